"""Work that was not done: the server knows which images it sent and when, flags such answers and keeps the code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from support import databases
from support.attackers import Clocks, Participant, attacked, prolific
from support.studying import Server

NOTHING_SEEN = {"unseen", "overstated"}


@pytest.fixture(scope="module")
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture(scope="module", params=databases.KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, clocks: Clocks
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("work")
    with attacked(folder / "study", databases.new(request, folder), clocks) as server:
        yield server


def withheld(person: Participant) -> bool:
    """Whether the session ended without a code; reloading the page changes nothing about it."""
    state = person.state
    person.start()
    assert person.state["completion"] == state["completion"]
    assert (state["completion"]["code"] is None) == (state.get("reason") == "unqualified")
    return bool(state["completion"] == {"code": None, "url": None})


def test_a_script_that_loads_no_image(server: Server, clocks: Clocks) -> None:
    script = Participant(server, clocks)
    script.take_part(fetch=False, seconds=0.0)
    assert withheld(script)
    assert script.flags == [NOTHING_SEEN] * 3
    assert {(answer.fetched, answer.watched) for answer in script.answers} == {(0, 0.0)}
    # Nor does waiting help, nor asking for heads instead of files.
    script = Participant(server, clocks)
    script.start()
    script.go("trial")
    for level in script.state["trial"]["levels"]:
        assert script.ask("HEAD", f"/api/image/{level['image']}")[0] == 200
    while script.state["step"] == "trial":
        script.trial(fetch=False, seconds=60.0)
    script.go("completed")
    assert withheld(script)
    assert script.flags == [NOTHING_SEEN] * 3


def test_somebody_who_looks(server: Server, clocks: Clocks) -> None:
    person = Participant(server, clocks)
    person.take_part(seconds=9.5)
    assert not withheld(person)
    assert person.state["completion"]["code"] == "DONE1"
    assert person.flags == [set()] * 3
    assert {(answer.fetched, answer.watched) for answer in person.answers} == {(5, 9.5)}


@pytest.mark.parametrize(
    ("seconds", "shown_ms", "flags"),
    [(2.5, 2500.0, {"unseen"}), (2.5, 9000.0, {"unseen", "overstated"}), (6.0, 9000.0, {"overstated"})],
)
def test_somebody_who_looks_for_less_time_than_the_page_claims(
    server: Server, clocks: Clocks, seconds: float, shown_ms: float, flags: set[str]
) -> None:
    person = Participant(server, clocks)
    person.take_part(seconds=seconds, shown_ms=shown_ms)
    assert withheld(person)
    assert person.flags == [flags] * 3


def test_a_level_that_was_never_loaded(server: Server, clocks: Clocks) -> None:
    person = Participant(server, clocks)
    person.start()
    person.go("trial")
    person.fetch(10, 30)
    person.trial(fetch=False, pjnd=20, right=False)
    assert person.flags[0] >= {"unseen"}
    assert person.answers[0].fetched == 3


def test_answers_that_arrive_together(server: Server, clocks: Clocks) -> None:
    person = Participant(server, clocks)
    person.start()
    person.go("trial")
    person.fetch()
    for key in person.state["trial"]["preload"]:
        assert person.ask("GET", f"/api/image/{key}")[0] == 200
    clocks.pass_time(60.0)
    first = person.event("trial", person.answer())
    # The names of the next image's files give away its key.
    key = person.state["trial"]["preload"][0].split(".")[1]
    second = {**person.event("trial", {**person.answer(), "key": key}), "number": first["number"] + 1}
    assert person.send(first, second)[0] == 200
    assert person.flags == [set(), NOTHING_SEEN]


def test_failing_every_test_image(server: Server, clocks: Clocks) -> None:
    person = Participant(server, clocks)
    person.take_part(right=False)
    assert withheld(person)
    assert person.flags == [set()] * 3
    assert [answer.passed for answer in person.answers if answer.kind == "test"] == [False]


def test_what_a_restart_forgets_is_not_held_against_anybody(
    request: pytest.FixtureRequest, tmp_path: Path, server: Server
) -> None:
    clocks, platform = Clocks(), prolific()
    url = server.service.store.engine.url
    new = databases.fresh(request.getfixturevalue("postgresql")) if url.get_backend_name() != "sqlite" else None
    database = new or str(tmp_path / "answers.db")
    with attacked(tmp_path / "study", database, clocks) as before:
        person = Participant(before, clocks, platform)
        person.start()
        person.go("trial")
        person.fetch()
    with attacked(tmp_path / "study", database, clocks) as after:
        person = Participant(after, clocks, platform)
        person.start()
        # The page has the files of the first image, and the second's were on their way.
        person.trial(fetch=False)
        person.trial(fetch=False)
        person.trial(fetch=False)
        person.go("completed")
        assert [answer.watched for answer in person.answers] == [None, None, 0.0]
        assert person.flags == [set(), set(), NOTHING_SEEN]
        # One of three is more than a quarter.
        assert person.state["completion"]["code"] is None
