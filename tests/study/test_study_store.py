"""Answers are stored once and in order, whatever is sent and whoever is killed, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")

from pixq.errors import PixqError
from pixq.study.store.deletion import LogNotTruncated
from pixq.study.store.records import (
    AnsweredImage,
    DatabaseUnavailable,
    Event,
    EventConflict,
    History,
    Hold,
    MissingEvents,
    Session,
    SessionChanges,
    UnknownSession,
)
from pixq.study.store.store import Store, open_store
from support import databases

GOES_ON = SessionChanges("trial")
#: Times that include everything.
ALL = {"silent": -1e18, "started": 0.0, "answered": 0.0, "until": 100.0, "watched": 3.0}


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    found = open_store(database)
    yield found
    found.close()


def event(number: int, kind: str = "frames", **data: Any) -> Event:
    return Event(number, kind, 1.5 * number, "2026-01-01T00:00:00Z", json.dumps(data))


def drawn(token: str, images: Sequence[tuple[str, bool]] = (("a", False), ("t", True))) -> Mapping[str, Any]:
    return {
        "public": f"public {token}",
        "token": token,
        "language": "en",
        "plan": "{}",
        "step": "consent",
        "images": images,
    }


def begin(store: Store, token: str, participant: str | None = None, visit: str | None = None) -> Session:
    found = store.start(participant or f"person {token}", visit, 10.0, lambda history: drawn(token))
    assert found is not None
    return found


def put(store: Store, token: str, *batch: Event, changes: SessionChanges = GOES_ON) -> int:
    return store.append(token, batch, 20.0, lambda *given: changes).next


def test_events_come_back_as_they_were(store: Store) -> None:
    session = begin(store, "t")
    odd = Event(1, "error", 1e9 + 0.125, "", json.dumps({"text": "ä\0\ud800'\";--", "n": 10**30}))
    assert put(store, "t", event(0), odd) == 2
    assert store.events(session.id) == [event(0), odd]
    assert store.events(session.id, 1) == [odd]
    assert store.session_by_token("t").step == "trial"
    with pytest.raises(UnknownSession):
        store.session_by_token("T")


def test_the_same_again_is_stored_once_and_admitted_once(store: Store) -> None:
    session, admitted = begin(store, "t"), []

    def admit(found: Session, first: int, new: Sequence[Event], read: Callable[[int], list[Event]]) -> SessionChanges:
        assert found.id == session.id
        assert [each.number for each in read(0)] == list(range(first))
        admitted.extend(each.number for each in new)
        return GOES_ON

    every = [event(n, n=n) for n in range(6)]
    for first, end in ((0, 2), (0, 2), (1, 4), (0, 6), (5, 6), (2, 3), (0, 6)):
        store.append("t", every[first:end], 20.0, admit)
    assert admitted == list(range(6))
    assert store.events(session.id) == every


def test_a_gap_and_another_content_change_nothing(store: Store) -> None:
    session = begin(store, "t")
    put(store, "t", event(0), event(1))
    with pytest.raises(MissingEvents) as gap:
        put(store, "t", event(3))
    assert gap.value.next == 2
    for other in (event(1, other=1), replace(event(1), kind="error"), replace(event(1), at=9.0)):
        with pytest.raises(EventConflict) as conflict:
            put(store, "t", event(0), other, event(2))
        assert (conflict.value.number, conflict.value.next) == (1, 2)
    assert store.events(session.id) == [event(0), event(1)]


def test_what_is_not_admitted_is_not_stored(store: Store) -> None:
    session = begin(store, "t")

    def refuse(*given: Any) -> SessionChanges:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.append("t", [event(0)], 20.0, refuse)
    # Nor a batch that the database refuses halfway: the second event has no kind.
    with pytest.raises(DatabaseUnavailable):
        put(store, "t", event(0), replace(event(1), kind=None))  # type: ignore[arg-type]
    assert store.events(session.id) == []
    assert store.session_by_token("t").step == "consent"


def test_a_person_gets_the_unfinished_session(store: Store) -> None:
    first = begin(store, "t1", "anna", "visit 1")
    again = begin(store, "t2", "anna", "visit 2")
    assert (again.id, again.visit) == (first.id, "visit 2")
    # Somebody who only knows the name, which is not proven, gets another one.
    other = store.start("anna", "visit 0", 10.0, lambda history: drawn("t0"), proven=False)
    assert other is not None
    assert (other.id != first.id, other.ordinal) == (True, 2)
    put(store, "t0", event(0), changes=SessionChanges("failed"))
    put(store, "t1", event(0), changes=SessionChanges("completed"))
    # A visit keeps its session after its end; another visit gets another one.
    assert begin(store, "t3", "anna", "visit 2").id == first.id
    assert store.session_by_token("t1").ended == 20.0
    next = begin(store, "t4", "anna", "visit 3")
    assert (next.id != first.id, next.ordinal) == (True, 3)
    assert begin(store, "t5", "bert", "visit 3").ordinal == 1


def test_what_is_known_when_a_session_is_drawn(store: Store) -> None:
    known: list[History] = []
    held: list[list[Hold]] = []

    def draw(history: History) -> Mapping[str, Any] | None:
        found = history.answers((), 3.0)
        known.append(replace(history, answers=lambda out, watched: found))
        held.append(history.holds(**ALL))
        return drawn("p2") if history.sessions else None

    assert store.start("anna", None, 5.0, draw) is None
    assert known[0].answers((), 3.0) == {}
    assert replace(known[0], answers=dict, holds=list) == History((), (), (), dict, {}, list)
    begin(store, "t1", "anna")
    put(store, "t1", event(0), changes=SessionChanges("trial", answered=(AnsweredImage(0, None),)))
    put(store, "t1", event(1), changes=SessionChanges("completed", answered=(AnsweredImage(1, False),)))
    begin(store, "tb", "bert")
    # Without visits, a person gets the last session again, unless a new one is requested.
    last = store.start("anna", None, 5.0, draw)
    assert last is not None
    assert (last.step, len(known)) == ("completed", 1)
    assert store.start("anna", None, 5.0, draw, again=True) is not None
    found = known[1]
    assert (found.passed, found.seen, found.answers((), 3.0)) == ((False,), ("a", "t"), {"a": 1})
    assert found.tested == {"anna": (1, (False,))}
    assert [(hold.source, hold.started, hold.answered) for hold in held[1]] == [("a", 10.0, None)]
    assert [(image.source, image.passed, image.answered) for image in store.assignments()][:2] == [
        ("a", None, 20.0),
        ("t", False, 20.0),
    ]


def test_places_are_held_after_a_start_or_an_answer_that_was_looked_for(store: Store) -> None:
    begin(store, "t1")
    begin(store, "t2")
    begin(store, "t3")
    for token, watched in (("t2", 2.9), ("t3", 3.0)):
        put(store, token, event(0), changes=SessionChanges("trial", answered=(AnsweredImage(0, None, 5, watched),)))

    def held(**times: float) -> list[tuple[int | None, int, float | None]]:
        found: list[Hold] = []
        store.start("x", None, 0.0, lambda history: found.extend(history.holds(**{**ALL, **times})))
        return [(hold.session, hold.number, hold.answered) for hold in found]

    assert held() == [(3, 1, 20.0), (None, 2, None)]
    # Of the first session nothing was heard.
    assert held(silent=11.0) == [(3, 1, 20.0), (None, 1, None)]
    assert held(started=11.0) == [(3, 1, 20.0)]
    assert held(started=11.0, answered=21.0) == []
    # The clock was ahead when these were stored.
    assert held(until=9.0) == []


def test_the_first_answer_to_an_image_counts(store: Store) -> None:
    begin(store, "t")
    put(store, "t", event(0), changes=SessionChanges("trial", answered=(AnsweredImage(1, False),)))
    put(store, "t", event(1), changes=SessionChanges("trial", answered=(AnsweredImage(1, True),)))
    assert [image.passed for image in store.assignments()] == [None, False]


def test_consent_is_kept_with_its_text(store: Store) -> None:
    assert store.save_consents({("1", "en"): "Yes!", ("1", "de"): "Ja!"}) == []
    # Nobody has agreed yet.
    assert store.save_consents({("1", "en"): "Yes.", ("1", "de"): "Ja."}) == []
    digest = store.consent_digest("1", "de")
    assert digest is not None
    for token in "ab":
        begin(store, token)
        put(store, token, event(0), changes=SessionChanges("check", consent=digest))
    assert (store.session_by_token("b").consent, store.session_by_token("b").language) == (digest, "de")
    assert store.agreed_consents() == {digest: ("1", "de", "Ja.")}
    assert store.save_consents({("1", "en"): "Yes, sir.", ("1", "de"): "Jawohl."}) == [("1", "de")]
    assert store.save_consents({("2", "en"): "Yes, sir.", ("2", "de"): "Jawohl."}) == []
    assert store.agreed_consents() == {digest: ("1", "de", "Ja.")}
    assert store.consent_digest("3", "de") is None


def test_withdrawing_leaves_nothing_of_the_person(store: Store, database: str) -> None:
    begin(store, "a", "anna")
    kept = begin(store, "b", "bert")
    put(store, "a", event(0, secret="of anna"), event(1))
    put(store, "b", event(0, secret="of bert"), changes=SessionChanges("trial", answered=(AnsweredImage(0, None),)))
    assert store.withdraw("anna") == 2
    assert store.withdraw("anna") == 0
    with pytest.raises(UnknownSession):
        put(store, "a", event(2))
    assert [each.participant for each in store.sessions()] == ["bert"]
    assert len(store.events(kept.id)) == 1
    assert {image.session for image in store.assignments()} == {kept.id}
    assert begin(store, "c", "anna").id > kept.id
    if store.is_sqlite:
        for path in Path(database).parent.iterdir():
            assert b"of anna" not in path.read_bytes()
        store.close()
        assert b"of bert" in Path(database).read_bytes()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_reader_keeps_the_log_and_a_short_one_does_not(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Path(f"{database}-wal")
    begin(store, "a", "anna")
    put(store, "a", event(0, secret="of anna"))
    reader = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (1,)
    with monkeypatch.context() as patch:
        patch.setattr("pixq.study.store.store._READERS", 0.0)
        with pytest.raises(LogNotTruncated) as kept:
            store.withdraw("anna")
    assert kept.value.events == 1
    assert store.sessions() == []
    assert b"of anna" in log.read_bytes()
    # A short reader, such as an export.
    ending = threading.Timer(0.5, reader.rollback)
    ending.start()
    assert store.truncate_log()
    ending.join()
    for path in Path(database).parent.iterdir():
        assert b"of anna" not in path.read_bytes()
    with store._reading() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 20_000
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
    reader.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_withdrawn_rows_are_vacuumed(store: Store) -> None:
    begin(store, "a", "anna")
    put(store, "a", event(0, secret="of anna"))
    assert store.withdraw("anna") == 1
    with store._reading() as connection:
        (held,) = connection.exec_driver_sql("SELECT pg_relation_size('events')").one()
    assert held == 0, "a table whose last rows are dead is cut"


def test_threads_with_one_session_store_each_event_once(store: Store) -> None:
    session, every = begin(store, "t"), [event(n, n=n) for n in range(40)]
    errors: list[Exception] = []

    def send() -> None:
        try:
            for first in range(0, 40, 2):
                put(store, "t", *every[max(first - 4, 0) : first + 2])
        except Exception as error:
            errors.append(error)

    together(*[send] * 8)
    assert not errors
    assert store.events(session.id) == every


def test_threads_that_start_one_person_share_the_session(store: Store) -> None:
    found: list[int] = []
    together(*[lambda n=n: found.append(begin(store, f"t{n}", "anna").id) for n in range(12)])  # type: ignore[misc]
    assert len(found) == 12
    assert len(set(found)) == 1
    assert len(store.sessions()) == 1


def test_threads_that_start_see_one_another(store: Store) -> None:
    seen: list[int] = []

    def start(n: int) -> None:
        def draw(history: History) -> Mapping[str, Any]:
            seen.append(sum(hold.number for hold in history.holds(**ALL)))
            return drawn(f"p{n}")

        store.start(f"person {n}", None, 10.0, draw)

    together(*[lambda n=n: start(n) for n in range(16)])  # type: ignore[misc]
    assert sorted(seen) == list(range(16)), "each drew knowing of all before"


def together(*jobs: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def test_two_stores_share_a_database(store: Store, database: str) -> None:
    session, other = begin(store, "t"), open_store(database)
    every = [event(n) for n in range(30)]

    def send(to: Store) -> None:
        for n in range(30):
            put(to, "t", *every[: n + 1])

    together(lambda: send(store), lambda: send(other))
    assert other.events(session.id) == every
    assert other.setdefault_fact("key", "mine") == "mine"
    assert store.setdefault_fact("key", "other") == "mine"
    other.close()


@pytest.mark.parametrize("rounds", [20])
def test_what_was_confirmed_outlives_its_writer(store: Store, database: str, rounds: int) -> None:
    tokens = ["a", "b", "c"]
    sessions = {token: begin(store, token).id for token in tokens}
    program = Path(__file__).parents[1] / "support" / "killed_writers.py"
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, program, database, str(rounds), *tokens], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": paths}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    confirmed = json.loads(done.stdout)
    assert sum(confirmed.values()) > rounds
    for token, number in confirmed.items():
        found = store.events(sessions[token])
        assert [each.number for each in found] == list(range(len(found))), "each once, none missing"
        assert all(json.loads(each.data) == {"n": each.number} for each in found)
        assert len(found) >= number
        assert len(found) % 3 == 0, "a batch is there whole, or not at all"


def test_sqlite_flushes_before_it_confirms(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "a.db"))
    with store.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "busy_timeout": 20000,
    }
    store.close()


def test_postgresql_flushes_before_it_confirms(postgresql: str) -> None:
    store = open_store(databases.fresh(postgresql))
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    store.close()


def test_what_is_no_database_is_said_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database, whatever it is called. " * 100)
    old = tmp_path / "old.db"
    store = open_store(str(old))
    store.close()
    with sqlite3.connect(old) as connection:
        connection.execute("UPDATE facts SET value = '0' WHERE name = 'schema'")
    connection.close()
    for where, words in (
        (str(text), "is a pixq database"),
        (str(tmp_path / "no" / "a.db"), "is a pixq database"),
        (str(old), "version 0"),
        ("mysql://a:secret@b/c", "the path of a file"),
        ("postgresql://me:secret@127.0.0.1:1/a", "is a pixq database"),
    ):
        if where.startswith("postgresql"):
            pytest.importorskip("psycopg", reason="PostgreSQL: psycopg is not installed")
        with pytest.raises(PixqError, match=words) as found:
            open_store(where)
        assert "\n" not in str(found.value)
        assert "secret" not in str(found.value)
