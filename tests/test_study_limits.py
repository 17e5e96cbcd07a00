"""What a study's server bears of one session and one address, and what it tells the experimenter. On both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

import studying
from pixq.study.answers import answers_of, as_json
from pixq.study.figures import figures, stored
from studying import SAID, Page, Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return studying.make_study(tmp_path / "study")


@pytest.fixture
def server(folder: Path, database: str) -> Iterator[Server]:
    with studying.running(folder, database) as found:
        yield found


@pytest.fixture
def page(server: Server) -> Page:
    found = Page(server, {"participant": "anna"})
    found.start()
    return found


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_data_as_deep_as_they_may_be_are_exported(server: Server, page: Page) -> None:
    page.go("check")
    deep: object = 1
    for _ in range(15):
        deep = [deep]
    status, told = page.send(page.event("check", {**SAID["check"], "a": [deep]}))
    assert (status, told["error"]) == (422, "data may hold objects and lists 16 deep, no deeper")
    page.say("check", {**SAID["check"], "a": deep})
    page.go("none")
    found = answers_of(server.conductor.opened, *stored(server.conductor))
    assert found[0].environment["check"]["a"] == deep
    assert "[" * 15 + "1" in as_json(found[0].environment)
    assert figures(server.conductor)["people"] == 1
