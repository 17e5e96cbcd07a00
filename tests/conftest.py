"""What all tests share: how hypothesis draws, that Ctrl-C arrives, and where real images are."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from pixq import _core
from pixq.patches.store import PatchSet
from support import databases, judging, training, trees
from support.made_once import made_once

settings.register_profile("default", deadline=None)  # a shared machine stalls now and then
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
# A shell that runs the tests in the background lets them and all that they start ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images and scores."""
    return trees.data_dir()


@pytest.fixture
def restore_threads() -> Iterator[None]:
    """Put back the number of threads that a test sets."""
    before = _core.num_threads()
    yield
    _core.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tests must leave as it is; see `judging.make_run`."""
    return made_once(tmp_path_factory, "trained", judging.make_run) / "run"


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    """Triplets; see `judging.make_target`."""
    return PatchSet(made_once(tmp_path_factory, "target", judging.make_target) / "target")


@pytest.fixture(scope="session")
def levels(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    """Images of many patches; see `judging.make_levels`."""
    return PatchSet(made_once(tmp_path_factory, "levels", judging.make_levels) / "out")


@pytest.fixture(scope="session")
def patch_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small patch set that tests must leave as it is; see `training.make_set`."""
    return made_once(tmp_path_factory, "patch-set", training.make_set) / "patches"


@pytest.fixture(scope="session")
def finished(patch_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on `patch_set` that tests must leave as it is; see `training.run`."""
    return made_once(tmp_path_factory, "finished", lambda root: training.run(patch_set, root / "run")) / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained`."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A server's URL; see `databases.postgresql`."""
    with databases.postgresql() as url:
        yield url


@pytest.fixture(params=databases.KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database, of either kind, as `pixq.study.store.store.open_store` takes it."""
    return databases.new(request, tmp_path)


#: Helpers that open a browser, start servers or train: a test of a module that uses one takes seconds.
_SLOW_HELPERS = ("browser", "taking_part", "serve_page", "studying", "training", "databases")


@cache
def _is_slow(module: ModuleType) -> bool:
    """Whether a test module uses one of the slow helpers, or a name of theirs."""
    used = {value.__name__ for value in vars(module).values() if isinstance(value, ModuleType)}
    used |= {str(getattr(value, "__module__", "")) for value in vars(module).values()}
    return not used.isdisjoint(f"support.{name}" for name in _SLOW_HELPERS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of modules that open browsers, start servers or train as slow."""
    for item in items:
        # Doctests of pixq's own modules are fast.
        if isinstance(item, pytest.Function) and _is_slow(item.module):
            item.add_marker(pytest.mark.slow)
