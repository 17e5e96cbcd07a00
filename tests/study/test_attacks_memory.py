"""Sessions and events that would fill the memory or the disk, or slow everybody down."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
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


@pytest.fixture
def server(folder: Path, database: str) -> Iterator[Server]:
    with studying.running(folder, database) as running:
        yield running


def stored_bytes(page: Page) -> int:
    return page.server.service.store.session_size(page.session.id)[0]


def test_events_have_a_size_limit(server: Server) -> None:
    page = Page(server)
    page.start()
    event = page.event("frames", {"text": "x" * (256 << 10)})
    status, told = page.send(event)
    assert (status, told["error"], told["number"]) == (413, "event 0 is larger than 256 KiB", 0)
    # Characters that JSON escapes count as it stores them.
    assert page.send(page.event("frames", {"text": "ä" * 50_000}))[0] == 413
    assert page.stored == []
    # The longest answer that the page gives: the slider moved all the time.
    page.go("trial")
    answer = page.answer()
    answer["track"] = [[10 * number, 10 + number % 30] for number in range(22_000)]
    page.say("trial", answer)
    assert len(page.stored[-1][2]["track"]) == 22_000


def test_a_session_has_a_few_mebibytes_however_they_are_sent(server: Server) -> None:
    page = Page(server)
    page.start()
    limit = server.service.store, 4 << 20
    events = [page.event("frames", {"text": "x" * 250_000}, number) for number in range(30)]
    statuses = [page.send(event)[0] for event in events]
    assert statuses == [200] * 16 + [413] * 14
    assert stored_bytes(page) <= limit[1]
    # Others are not concerned.
    other = Page(server)
    other.start()
    other.say("frames", {"text": "x" * 250_000})


def test_requests_at_once_share_the_limit_of_their_session(server: Server, folder: Path) -> None:
    page = Page(server)
    page.start()
    append, refused = server.service.append, threading.Event()

    def slow(*given: Any, **more: Any) -> Any:
        # Nothing is stored before the server has taken or refused every request, however late one arrives.
        assert refused.wait(60)
        return append(*given, **more)

    server.service.append = slow  # type: ignore[method-assign]
    body = {"events": [page.event("frames", {"text": "x" * 250_000}, number) for number in range(4)]}
    with ThreadPoolExecutor(6) as pool:
        sent = [pool.submit(server.ask, "POST", "/api/events", body, page.token) for _ in range(6)]
        answers = as_completed(sent)
        statuses = [next(answers).result()[0] for _ in range(2)]
        refused.set()
        statuses = sorted(statuses + [each.result()[0] for each in answers])
    # The same events, so that four requests are within the limit, and two would be above it.
    assert statuses == [200] * 4 + [413] * 2


def test_nothing_is_stored_after_the_end(server: Server) -> None:
    page = Page(server)
    page.start()
    page.go("survey")
    # The end, and what comes after it in the same request.
    last = page.event("survey", SAID["survey"])
    late = page.event("frames", {"text": "x" * 1000}, last["number"] + 1)
    status, told = page.send(last, late)
    assert (status, told["stored"], told["state"]["step"]) == (200, last["number"], "completed")
    stored, ended = page.stored, page.session
    assert stored[-1][0] == last["number"]
    for kind, data in (
        ("done", {"step": "completed"}),
        ("opened", {}),
        ("frames", {"text": "x" * 200_000}),
        ("error", {}),
    ):
        status, told = page.send(page.event(kind, data))
        # Pages take what the server answers for stored, and go on to the last page.
        assert (status, told["stored"], told["state"]["next"]) == (200, last["number"], last["number"] + 1)
        assert told["state"]["completion"] is not None or server.service.study.platform.kind == "local"
    assert page.send(page.event("trial", {}))[0] == 200
    assert page.stored == stored
    assert page.session == ended, "not even the time is another"
    # A declined session has ended too.
    declined = Page(server)
    declined.start()
    declined.say("consent", {"agreed": False})
    assert declined.send(declined.event("consent", {"agreed": True}))[0] == 200
    assert (declined.session.step, len(declined.stored)) == ("failed", 1)


def test_a_snapshot_reads_all_of_many_rows(store: Store) -> None:
    """More rows than are read at a time, of sessions with and without events."""
    for number in range(30):
        begin(store, f"s{number}", 1000.0)
        events = [Event(n, "frames", float(n), "", json.dumps({"n": n})) for n in range(9 * (number % 3))]
        store.append(f"s{number}", events, 1001.0, lambda *_: SessionChanges("consent"))
    with store.snapshot() as snapshot:
        begin(store, "later", 1002.0)
        read = list(snapshot.sessions())
        again = [len(stored.events) for stored in snapshot.sessions(["frames"])]
    assert sorted(int(stored.session.public[1:]) for stored in read) == list(range(30))
    for stored in read:
        number = int(stored.session.public[1:])
        assert [event.number for event in stored.events] == list(range(9 * (number % 3)))
        assert stored.events == store.events(stored.session.id)
        assert (len(stored.received), [image.source for image in stored.images]) == (
            len(stored.events),
            ["a", "b", "t"],
        )
    assert again == [len(stored.events) for stored in read]
