"""Whole sessions over HTTP, one person after another and many at once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.errors import PixqError
from pixq.study.server.routes_page import read_page
from pixq.study.store.keys import open_key
from pixq.study.store.store import open_store
from support import studying
from support.databases import ON_SQLITE
from support.studying import KEY, PAGE, SOURCES, Page, Server

PERSON = {
    "PROLIFIC_PID": "5f00000000000000000000aa",
    "STUDY_ID": "5f0000000000000000000001",
    "SESSION_ID": "5f" + "b" * 22,
}


def test_a_whole_session_is_stored_as_it_was_sent(server: Server, page: Page) -> None:
    told = page.start("de")
    assert told["study"] == server.service.public
    assert told["study"]["min_window"] == [1000, 700]
    steps = []
    while page.state["step"] != "completed":
        steps.append(page.state["step"])
        page.one()
    assert steps == ["consent", "check", "calibration", "instructions", "training", "trial", "trial", "trial", "survey"]
    assert page.state["completion"] == {"code": None, "url": None}
    assert page.stored == [(event["number"], event["kind"], event["data"]) for event in page.sent]
    session = page.session
    # The first start chose the language.
    assert (session.step, session.ordinal, session.language) == ("completed", 1, "en")
    assert session.ended is not None
    assert session.consent is not None
    store = server.service.store
    assert store.agreed_consents()[session.consent] == ("1", "en", "I agree.")
    assert all(image.answered is not None for image in store.assignments() if image.session == session.id)


def test_images_are_what_the_study_has(page: Page, folder: Path) -> None:
    page.go("training")
    files = {path.read_bytes(): path.name for path in (folder / "images").iterdir()}
    asked = []
    while page.state["step"] in ("training", "trial"):
        trial = page.state["trial"]
        assert [each["level"] for each in trial["levels"]] == list(studying.LEVELS)
        for level, key in [(0, trial["reference"]), *((each["level"], each["image"]) for each in trial["levels"])]:
            status, headers, body = page.ask("GET", f"/api/image/{key}")
            assert (status, headers["content-type"]) == (200, "image/png")
            assert headers["cache-control"] == "private, max-age=31536000, immutable"
            assert files[body].endswith(f"_{level}.png")
            asked.append(key)
        assert (trial["width"], trial["height"]) == (64, 48)
        later = trial["preload"]
        page.one()
        if page.state["step"] in ("training", "trial"):
            trial = page.state["trial"]
            assert later == [trial["reference"], *(each["image"] for each in trial["levels"])]
        else:
            assert later == []
    assert len(set(asked)) == len(asked) == 4 * 5


def test_training_is_met_once_and_no_source_twice(server: Server, page: Page) -> None:
    page.go("none")
    sessions = [page.session.id]
    again = Page(server, page.platform)
    again.start()
    sessions.append(again.session.id)
    again.go("instructions")
    again.say("instructions")
    assert again.state["step"] == "trial"
    again.go("none")
    images = [image for image in server.service.store.assignments() if image.session in sessions]
    assert sorted(image.source for image in images if not image.test) == list(SOURCES), "four sources in two sessions"
    told = Page(server, page.platform).start()
    assert (told["token"], told["state"]["step"], told["state"]["reason"]) == ("", "screened_out", "finished")


def test_a_person_goes_on_where_the_session_was(server: Server, page: Page) -> None:
    page.go("trial")
    page.one()
    other = Page(server, page.platform)
    told = other.start()
    assert (told["token"], told["state"]) == (page.token, page.state)
    status, _, body = other.ask("GET", "/api/state", token=page.token)
    assert (status, json.loads(body)["state"]) == (200, page.state)
    other.go("none")
    status, told = page.send(page.event("trial", page.answer(), number=page.state["next"]))
    assert status == 409
    sessions = server.service.store.sessions()
    assert sum(session.participant == page.session.participant for session in sessions) == 1


def test_the_server_goes_on_after_a_restart(folder: Path, database: str) -> None:
    with studying.running(folder, database) as first:
        page = Page(first, {"participant": "anna"})
        page.start()
        page.go("trial")
        before = page.state
        page.close()
    with studying.running(folder, database) as second:
        page = Page(second, {"participant": "anna"})
        assert page.start()["state"] == before
        key = before["trial"]["reference"]
        assert page.ask("GET", f"/api/image/{key}")[0] == 200
        page.go("none")
        assert page.state["step"] == "completed"


def test_two_people_at_once_do_not_meet(server: Server) -> None:
    pages = [Page(server, seed=seed) for seed in range(2)]
    for each in pages:
        each.start()
    while any(each.state["step"] != "completed" for each in pages):
        for each in pages:
            if each.state["step"] != "completed":
                each.one()
    for each in pages:
        assert each.stored == [(event["number"], event["kind"], event["data"]) for event in each.sent]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_prolific_codes_and_pseudonyms(tmp_path: Path, database: str) -> None:
    folder = studying.make_study(tmp_path / "prolific", platform=studying.PROLIFIC)
    with studying.running(folder, database) as server:
        page = Page(server, PERSON)
        token = page.start()["token"]
        page.go("none")
        url = "https://app.prolific.com/submissions/complete?cc=DONE1"
        assert page.state["completion"] == {"code": "DONE1", "url": url}
        # Reloading after the end shows the same end; another visit starts a new session.
        assert page.start()["state"]["completion"]["code"] == "DONE1"
        assert page.token == token
        other = Page(server, {**PERSON, "SESSION_ID": "5f" + "c" * 22})
        assert other.start()["token"] != token
        refusing = Page(server, {**PERSON, "PROLIFIC_PID": "5f00000000000000000000cc", "SESSION_ID": "5f" + "d" * 22})
        refusing.start()
        refusing.say("consent", {"agreed": False})
        assert refusing.state["completion"]["code"] == "FAIL3"
        for platform in ({}, {"PROLIFIC_PID": "{{%PROLIFIC_PID%}}", "SESSION_ID": "x"}, {**PERSON, "SESSION_ID": 5}):
            status, _, body = page.ask("POST", "/api/start", {"platform": platform})
            assert (status, "Prolific" in json.loads(body)["error"]) == (422, True)
    for path in Path(database).parent.glob("answers.db*"):
        for name in PERSON.values():
            assert name.encode() not in path.read_bytes()


def test_below_the_share_of_tests_a_person_is_out(tmp_path: Path, database: str) -> None:
    more = "screen_after = 2\nscreen_below = 0.5\nmax_sessions = 3\n"
    folder = studying.make_study(tmp_path / "strict", platform=more)
    toml = folder / "study.toml"
    toml.write_text(toml.read_text().replace("images = 2", "images = 1"))
    with studying.running(folder, database) as server:
        for name, good, ends in (("bad", False, ["screened_out"]), ("good", True, ["consent", "finished"])):
            found = []
            for session in range(4):
                page = Page(server, {"participant": name}, session)
                told = page.start()
                found.append(told["state"].get("reason", told["state"]["step"]))
                while page.token and page.state["step"] != "completed":
                    if page.state["step"] == "trial" and good:
                        page.say("trial", right_answer(server, page))
                    else:
                        page.one()
                if not page.token:
                    break
            assert found == ["consent", "consent", *ends]


def right_answer(server: Server, page: Page) -> dict[str, Any]:
    """An answer that is correct if this is a test image; taken from the plan, which the page does not know."""
    item = server.service.plan(page.session).trials[page.state["index"]]
    if item.truth is None:
        return page.answer()
    level = next(each for each in item.levels if item.truth.pjnd_range[0] <= each <= item.truth.pjnd_range[1])
    return page.answer(level, [*item.truth.points_yx, (0.5, 0.5)])


@ON_SQLITE
def test_consent_is_to_the_text_that_was_shown(server: Server, page: Page) -> None:
    page.say("consent", {"agreed": True, "language": "de"})
    other = Page(server)
    other.start("de")
    other.say("consent", {"agreed": True, "language": ["en"]})
    for session in (page.session, other.session):
        assert session.consent is not None
        assert server.service.store.agreed_consents()[session.consent] == ("1", "de", "Ja.")
        assert session.language == "de"
    third = Page(server)
    third.start("de")
    with pytest.raises(AssertionError, match="this version and language are not part of the study"):
        third.say("consent", {"agreed": True, "language": "de", "version": "0"})


def test_fifty_people_at_once_lose_nothing(folder: Path, database: str) -> None:
    with studying.running(folder, database) as server:
        fifty_people(server)


def fifty_people(server: Server) -> None:
    pages = [Page(server, {"participant": f"person-{n}"}, n) for n in range(50)]
    failed: list[BaseException] = []
    lock = threading.Lock()

    def take_part(page: Page) -> None:
        try:
            page.start()
            while page.state["step"] != "completed":
                before = page.state["step"]
                page.one()
                if before in ("consent", "trial"):
                    # Sent again, as if the confirmation had been lost.
                    page.send(page.sent[-1])
        except BaseException as error:
            with lock:
                failed.append(error)
        finally:
            page.close()

    threads = [threading.Thread(target=take_part, args=(each,)) for each in pages]
    for each in threads:
        each.start()
    for each in threads:
        each.join(300)
    assert not failed, failed[0]
    store = server.service.store
    assert len({session.participant for session in store.sessions()}) == len(store.sessions()) == 50
    for page in pages:
        assert page.session.participant == KEY.pseudonym("local", page.platform["participant"])
        assert page.stored == [(event["number"], event["kind"], event["data"]) for event in page.sent]
    answers = [image.source for image in store.assignments() if not image.test and image.answered is not None]
    # 100 answers over four sources are balanced, in whichever order people arrived.
    assert [answers.count(name) for name in SOURCES] == [25] * 4


def test_a_page_that_was_not_built_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_page(tmp_path)
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "licenses.txt").write_text("x")
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / ".hidden.js").write_text("x")
    (tmp_path / "a.js").mkdir()
    assert set(read_page(tmp_path)) == {"index.html", "licenses.txt"}


def test_a_study_that_lost_an_image_is_not_served(tmp_path: Path) -> None:
    folder, database = studying.make_study(tmp_path / "study"), str(tmp_path / "a.db")
    with studying.running(folder, database) as server:
        Page(server, {"participant": "anna"}).start()
        server.service.check()
    toml = folder / "study.toml"
    text = toml.read_text()
    toml.write_text(text.replace('id = "TRAIN_1"', 'id = "TRAIN_2"'))
    with studying.running(folder, database) as server, pytest.raises(PixqError, match="TRAIN_1"):
        server.service.check()
    assert open_store(database).events(1) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_the_server_ends_when_it_is_interrupted(tmp_path: Path) -> None:
    folder = studying.make_study(tmp_path / "study")
    program = (
        "from pathlib import Path\nfrom pixq.study.server import run\n"
        f"run.serve(Path({str(folder)!r}), port=0, page={PAGE!r})\n"
    )  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            server = Server(int(url.rstrip("/").rpartition(":")[2]), None)  # type: ignore[arg-type]
            page = Page(server, {"participant": "anna"})
            page.start()
            page.go("trial")
            token = (folder / "admin.token").read_text().strip()
            told = json.loads(page.ask("GET", "/api/admin", token=token)[2])
            assert told["dropouts"] == {"trial": 1}
            page.close()
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
    assert token not in said
    assert process.returncode in (-signal.SIGINT, 1), said
    # Closing the last connection merges the log into the file.
    assert not (folder / "answers.db-wal").exists()
    key = open_key(folder / "study.key")
    store = open_store(str(folder / "answers.db"))
    (session,) = store.sessions()
    assert session.participant == key.pseudonym("local", "anna")
    assert [each.number for each in store.events(session.id)] == list(range(len(page.sent)))
    store.close()
