"""One participant against all: nobody can take the places of others, their session, or their name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.study.results.load import load_results
from pixq.study.results.statistics import study_statistics
from pixq.study.store.tables import assignments, events, participants, sessions
from support import databases
from support.attackers import Clocks, Participant, attacked, prolific
from support.studying import Server

#: Answers wanted per source, of four sources; a session asks about two, so six sessions fill the study.
ANSWERS = 3
CROWD = 14


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture(scope="module", params=databases.KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return databases.new(request, tmp_path_factory.mktemp("places"))


@pytest.fixture
def server(database: str, tmp_path: Path, clocks: Clocks) -> Iterator[Server]:
    """A study that nobody has taken part in."""
    with attacked(tmp_path / "study", database, clocks, answers=ANSWERS) as server:
        with server.service.store.engine.begin() as connection:
            for table in (events, assignments, sessions, participants):
                connection.execute(table.delete())
        yield server


def crowd(server: Server, clocks: Clocks, count: int = CROWD, *, addresses: bool = False) -> list[Participant]:
    """So many people who have started a session, from one address or each from their own."""
    people = []
    for number in range(count):
        person = Participant(server, clocks, address=f"198.51.100.{number}" if addresses else "198.51.100.1")
        person.start()
        people.append(person)
    return people


def test_half_open_sessions_take_no_places(server: Server, clocks: Clocks) -> None:
    attackers = crowd(server, clocks) + crowd(server, clocks, addresses=True)
    assert all(attacker.state["step"] == "consent" for attacker in attackers)
    for _ in range(6):
        honest = Participant(server, clocks)
        honest.take_part()
        assert honest.state["completion"]["code"] == "DONE1"
    # Everything is answered now: that is for good, and has a code.
    late = Participant(server, clocks)
    late.start()
    assert (late.state["step"], late.state["reason"]) == ("screened_out", "enough")
    assert late.state["completion"]["code"] == "OUT2"


def test_one_address_takes_no_more_than_half_of_the_places(server: Server, clocks: Clocks) -> None:
    for number, attacker in enumerate(crowd(server, clocks, CROWD)):
        attacker.go("trial")
        # Some really look, and others only say so.
        attacker.trial(seconds=10.0 * (number % 2), fetch=number % 2 == 1)
    for attacker in crowd(server, clocks, 8, addresses=True):
        attacker.go("trial")
        attacker.trial(seconds=2.9)
    honest = Participant(server, clocks)
    honest.take_part()
    assert honest.state["completion"]["code"] == "DONE1"


def test_answers_without_a_look_fill_nothing(server: Server, clocks: Clocks) -> None:
    for _ in range(8):
        script = Participant(server, clocks)
        script.take_part(seconds=0.0, fetch=False)
        assert script.state["completion"]["code"] is None
    for _ in range(6):
        honest = Participant(server, clocks)
        honest.take_part()
        assert honest.state["completion"]["code"] == "DONE1"
    status = study_statistics(server.service)
    assert (status["stored"], status["wanted"]) == (12, 12)
    assert status["flags"]["unseen"] == 24


def test_a_full_study_invites_people_back(server: Server, clocks: Clocks) -> None:
    for person in crowd(server, clocks, 8, addresses=True):
        person.go("trial")
        person.trial()
    late = Participant(server, clocks)
    told = late.start()
    assert (told["token"], late.state["step"], late.state["reason"]) == ("", "full", "full")
    # Nobody is sent back to the platform with a code, and nobody is stored as having taken part.
    assert late.state["completion"] is None
    assert 0 < late.state["minutes"] <= 120
    assert len(server.service.store.sessions()) == 8
    clocks.pass_time(60 * late.state["minutes"] + 60)
    late.take_part()
    assert late.state["completion"]["code"] == "DONE1"


def test_a_clock_that_jumps_ahead_and_back_leaves_no_study_full(server: Server, clocks: Clocks) -> None:
    year = 365 * 86_400.0
    clocks.wall += year
    held = crowd(server, clocks, 8, addresses=True)
    for person in held:
        person.go("trial")
        person.trial()
    clocks.wall -= year
    honest = Participant(server, clocks)
    honest.take_part()
    assert honest.state["completion"]["code"] == "DONE1"
    # Somebody who was there during the jump continues, and the export names what can't be.
    held[0].trial()
    held[0].trial()
    assert held[0].flags == [set(), {"server_times"}, {"server_times"}]
    held[0].go("completed")
    assert held[0].state["completion"]["code"] == "DONE1"
    assert (honest.flags, problems(server, honest)) == ([set()] * 3, ())
    assert problems(server, held[0]) == ("ended_before_start", "event_before_start", "events_out_of_order")


def problems(server: Server, person: Participant) -> tuple[str, ...]:
    """Why the times of a person's session can't be right, in the export."""
    (row,) = [row for row in load_results(server.service).summaries if row.session == person.session.public]
    assert (row.seconds is None) == bool(row.time_problems)
    return row.time_problems


def test_a_session_is_not_given_to_somebody_who_knows_the_name(server: Server, clocks: Clocks) -> None:
    victim = Participant(server, clocks)
    victim.start()
    victim.go("trial")
    token = victim.token
    thief = Participant(server, clocks, prolific(victim.platform["PROLIFIC_PID"]))
    thief.start()
    assert thief.token not in ("", token)
    assert thief.state["step"] == "consent"
    # Reloading the page still continues the session, and its visit is unchanged.
    victim.start()
    assert (victim.token, victim.state["step"]) == (token, "trial")


#: Texts that PostgreSQL, or any database, can't store.
UNSTORABLE = ("\x00", "en\x00", "\ud800", "en\udfff", "\udc80\x00")


def test_texts_that_cannot_be_stored(server: Server, clocks: Clocks) -> None:
    person = Participant(server, clocks)
    for text in UNSTORABLE:
        person.start(language=text)
        for data in ({"agreed": True, "language": text}, {"agreed": True, "version": text}):
            status, told = person.send(person.event("consent", data))
            assert (status, "not part of the study" in told["error"]) == (409, True)
        # Nobody gets in under such a name.
        for name in ("PROLIFIC_PID", "SESSION_ID"):
            asked = {"platform": {**prolific(), name: f"person{text}000"}, "language": "en"}
            assert person.ask("POST", "/api/start", asked)[0] == 422
        event = {**person.event("frames"), "wall": text}
        assert person.ask("POST", "/api/events", {"events": [event]}, person.token)[0] == 422
        # What people write is stored as they sent it.
        person.say("error", {"why": f"half {text} a character"})
        assert person.stored[-1][2] == {"why": f"half {text} a character"}
    person.go("check")


def test_any_text_that_a_database_refuses_is_a_conflict(
    server: Server, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixq.study.session.service.is_storable", lambda text: True)
    person = Participant(server, clocks)
    person.start()
    told: dict[str, Any] = {"agreed": True, "language": "\ud800"}
    assert person.send(person.event("consent", told))[0] == 409
    body = json.dumps({"events": [person.event("consent", {"agreed": True, "language": "\x00"})]}).encode()
    # SQLite can look for a NUL, and finds no such language.
    assert person.ask("POST", "/api/events", body, person.token)[0] == 409
    person.go("check")
