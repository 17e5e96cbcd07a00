"""A running study that the tests of a module share; each test takes part in it as somebody new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import databases


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that tests must leave as it is, with a file that no server may give away."""
    from support import studying

    made = studying.make_study(tmp_path_factory.mktemp("shared") / "study")
    (made / "secret.txt").write_text("a secret")
    return made


@pytest.fixture(scope="module", params=databases.KINDS)
def server(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A server for all tests of a module, on a database of either kind."""
    from support import studying

    with studying.running(folder, databases.new(request, tmp_path_factory.mktemp("server"))) as running:
        yield running


@pytest.fixture
def page(server: object) -> Iterator[object]:
    """The page of a person who has just started a session."""
    from support import studying

    page = studying.Page(server)  # type: ignore[arg-type]
    page.start()
    yield page
    page.close()
