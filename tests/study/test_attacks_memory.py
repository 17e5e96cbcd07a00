"""Sessions and events that would fill the memory or the disk, or slow everybody down."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from sqlalchemy import event, func, inspect, select

from pixq.study.results.answers import answers_of
from pixq.study.results.load import load_results
from pixq.study.results.statistics import study_statistics
from pixq.study.results.status import status_of
from pixq.study.results.stream import export_study
from pixq.study.store.records import Event, Hold, SessionChanges
from pixq.study.store.store import Store, open_store
from pixq.study.store.tables import assignments, metadata, participants, sessions
from support import studying
from support.studying import SAID, Page, Server

pytestmark = pytest.mark.slow


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = open_store(database)
    yield opened
    opened.close()


def drawn(name: str) -> Mapping[str, Any]:
    images = [("a", False), ("b", False), ("t", True)]
    return {"public": name, "token": name, "language": "en", "plan": "{}", "step": "consent", "images": images}


def begin(store: Store, name: str, now: float, person: str | None = None, visit: str | None = None) -> None:
    started = store.start(person or f"person {name}", visit, now, lambda history: drawn(name), proven=False)
    assert started is not None


def heard(store: Store, name: str, now: float) -> None:
    store.append(name, [Event(0, "opened", 1.0, "", "{}")], now, lambda *_: SessionChanges("consent"))


def count(store: Store, table: Any) -> int:
    with store._reading() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def holds(store: Store, now: float) -> list[Hold]:
    found: list[Hold] = []
    times = {"started": now - 1200, "silent": now - 60, "answered": now - 1800, "until": now + 60, "watched": 3.0}
    with store.history("nobody") as history:
        found += history.holds(**times)
    return found


def test_unfinished_sessions_are_counted_and_not_listed(store: Store) -> None:
    for number in range(40):
        begin(store, f"s{number}", 1000.0)
        if number % 2:
            heard(store, f"s{number}", 1001.0)
    assert sorted(holds(store, 1010.0)) == [Hold(None, "a", 1000.0, None, 40), Hold(None, "b", 1000.0, None, 40)]
    # Pages say at once that they are open: others hold no places any more.
    assert {hold.number for hold in holds(store, 1100.0)} == {20}
    assert holds(store, 2300.0) == []


# PostgreSQL keeps long texts outside the table.
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_starting_reads_plans_of_nobody_else(store: Store) -> None:
    """A table of 20,000 plans takes seconds to read, even for its other columns."""
    read: list[str] = []
    begin(store, "s", 1000.0)
    with store.history("nobody") as history, store.engine.connect() as connection:
        event.listen(store.engine, "before_cursor_execute", lambda *given: read.append((given[2], given[3])))
        history.answers(())
        times = {"started": 0.0, "silent": 0.0, "answered": 0.0, "until": 1e9, "watched": 3.0}
        history.holds(**times)
        with store.history("somebody"):
            pass
        plans = [
            row[3]
            for statement, values in read
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    assert [plan for plan in plans if plan.startswith("SCAN sessions")] == []
    assert any("COVERING INDEX sessions_unfinished" in plan for plan in plans)


def test_an_older_database_gets_the_indexes(database: str) -> None:
    store = open_store(database)
    with store.engine.begin() as connection:
        for column in ("fetched", "watched"):
            connection.exec_driver_sql(f"ALTER TABLE assignments DROP COLUMN {column}")
        for table in metadata.sorted_tables:
            for index in table.indexes:
                index.drop(connection)
        connection.exec_driver_sql("UPDATE facts SET value = '1' WHERE name = 'schema'")
    store.close()
    store = open_store(database)
    with store._reading() as connection:
        found = {each["name"] for name in ("sessions", "assignments") for each in inspect(connection).get_indexes(name)}
    assert {"sessions_unfinished", "sessions_step", "assignments_sources", "assignments_passed"} <= found
    store.close()


def test_sessions_of_which_nothing_was_heard_expire(store: Store) -> None:
    begin(store, "silent", 1000.0, "anna", "visit 1")
    begin(store, "other", 1500.0, "anna", "visit 2")
    begin(store, "heard", 1000.0, "bert")
    heard(store, "heard", 1001.0)
    begin(store, "late", 4000.0)
    assert count(store, sessions) == 4
    begin(store, "next", 4700.0, "anna", "visit 3")
    assert {session.public for session in store.sessions()} == {"other", "heard", "late", "next"}
    ordinals = [session.ordinal for session in store.sessions() if session.participant == "anna"]
    assert ordinals == [2, 3], "a number is not used again"
    begin(store, "last", 9000.0)
    assert {session.public for session in store.sessions()} == {"heard", "last"}
    assert (count(store, participants), count(store, assignments)) == (2, 6)
    # Whoever comes back starts anew.
    begin(store, "again", 9001.0, "anna", "visit 1")


def test_expiring_takes_a_part_of_many_sessions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixq.study.store.queries._DELETED", 3)
    for number in range(8):
        begin(store, f"s{number}", 1000.0)
    left = []
    for number in range(3):
        begin(store, f"n{number}", 9000.0)
        left.append(sum(session.public.startswith("s") for session in store.sessions()))
    assert left == [5, 2, 0]


@pytest.fixture(scope="module")
def answered(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A study with answers of some, and junk of others."""
    with studying.running(folder, str(tmp_path_factory.mktemp("junk") / "answers.db")) as server:
        for number, step in enumerate(("none", "trial", "none", "check", "survey")):
            page = Page(server, {"participant": f"p{number}"}, number)
            page.start()
            for kind in ("opened", "frames", "error"):
                page.say(kind, {"junk": [[]] * 100})
            page.go("check")
            # Too small a window: any number of checks.
            for width in range(3):
                page.say("check", {**SAID["check"], "width": width, "junk": [{}] * 100})
            page.go(step)
        yield server


def test_streaming_gives_what_loading_gives(answered: Server, tmp_path: Path) -> None:
    service = answered.service
    rows, events, summaries = load_results(service)
    answers = answers_of(service.study, rows, events)
    assert answers
    status = status_of(service.opened, rows, answers)
    statistics = study_statistics(service)
    assert {name: statistics[name] for name in ("people", "stored", "seconds", "late", "flags", "sessions")} == {
        "people": status.people, "stored": status.stored, "seconds": status.seconds, "late": status.late,
        "flags": status.flags, "sessions": status.sessions,
    }  # fmt: skip
    export_study(service, tmp_path, parquet=False)
    with (tmp_path / "answers.csv").open(newline="") as file:
        exported = list(csv.DictReader(file))
    assert [(row["session"], row["place"], row["level"], row["flags"]) for row in exported] == [
        (answer.session, str(answer.place), str(answer.level), "|".join(answer.flags)) for answer in answers
    ]
    assert [json.loads(row["environment"]) for row in exported] == [dict(answer.environment) for answer in answers]
    assert [json.loads(row["track"]) for row in exported] == [
        [list(each) for each in answer.track or ()] for answer in answers
    ]
    with (tmp_path / "sessions.csv").open(newline="") as file:
        assert [row["session"] for row in csv.DictReader(file)] == [summary.session for summary in summaries]


def test_data_that_no_answer_needs_are_not_parsed(answered: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed JSON takes thirty times as much memory as its text."""
    parsed: list[str] = []
    loads = json.loads

    class Noting:
        def __getattr__(self, name: str) -> Any:
            return getattr(json, name)

        def loads(self, text: str, **more: Any) -> Any:
            parsed.append(text)
            return loads(text, **more)

    monkeypatch.setattr("pixq.study.results.load.json", Noting())
    study_statistics(answered.service)
    assert parsed
    assert not any('"junk":[[]' in text for text in parsed), "what is only logged"
    assert not any('"width":1' in text and '"junk"' in text for text in parsed), "checks before the last one"
