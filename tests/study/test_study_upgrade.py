"""Databases of older versions: they are upgraded when they are opened, and keep what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")

from pixq.study.store.records import AnsweredImage, Event, SessionChanges
from pixq.study.store.store import open_store
from pixq.study.store.upgrade import SCHEMA
from support import databases

NEW_COLUMNS = {"assignments": ("fetched", "watched")}


@pytest.fixture(params=databases.KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return databases.new(request, tmp_path)


def drawn(history: object) -> Mapping[str, Any]:
    images = [("a", False), ("t", True)]
    return {"public": "p", "token": "t", "language": "en", "plan": "{}", "step": "consent", "images": images}


def make_first_version(database: str) -> None:
    """A database as the first version left it, with a session and an answer."""
    store = open_store(database)
    store.start("anna", None, 10.0, drawn)
    store.append(
        "t", [Event(0, "trial", 1.0, "", "{}")], 11.0, lambda *_: SessionChanges("trial", "", (AnsweredImage(1, True),))
    )
    with store.engine.begin() as connection:
        for table, columns in NEW_COLUMNS.items():
            for column in columns:
                connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.exec_driver_sql("UPDATE facts SET value = '1' WHERE name = 'schema'")
    store.close()


@pytest.mark.parametrize("make", [True, False])
def test_a_database_of_the_first_version_is_upgraded(database: str, make: bool) -> None:
    make_first_version(database)
    for _ in range(2):
        store = open_store(database, make=make)
        shown = [tuple(image[1:]) for image in store.assignments()]
        assert shown == [(0, "a", False, None, None, None, None), (1, "t", True, True, 11.0, None, None)]
        assert [session.participant for session in store.sessions()] == ["anna"]
        assert store.setdefault_fact("schema", "?") == SCHEMA
        store.append("t", [Event(1, "trial", 2.0, "", "{}")], 12.0, lambda *_: SessionChanges("trial"))
        store.append("t", [Event(1, "trial", 2.0, "", "{}")], 12.0, lambda *_: SessionChanges("trial"))
        store.close()
