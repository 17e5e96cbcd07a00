"""What all tests share: how hypothesis draws, and where real images are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from pixq import _core
from pixq.patches.store import PatchSet
from support import databases, judging, trees

settings.register_profile("default", deadline=None)  # a shared machine stalls now and then
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


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


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills once, for all processes of `pytest -n`; tests must leave it as it is."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with FileLock(f"{root}.lock"):
        if not (root / "made").exists():
            # What a process that failed has left is of no use to the next.
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            make(root)
            (root / "made").touch()
    return root


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
    if request.param == "sqlite":
        return str(tmp_path / "answers.db")
    return databases.fresh(request.getfixturevalue("postgresql"))
