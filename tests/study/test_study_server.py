"""Whole sessions over HTTP, many people at once, and people who mean harm. On SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.errors import PixqError
from pixq.http.security import HEADERS
from pixq.study.server.limits import AddressHasher, Limits, RateLimit, RateLimiter
from pixq.study.server.routes_page import read_page
from pixq.study.store.keys import Key, check_key, open_key, open_token, withdraw
from pixq.study.store.store import Store, open_store
from support import studying
from support.studying import ADMIN, KEY, PAGE, SAID, SOURCES, TRUTH, Page, Server

PERSON = {
    "PROLIFIC_PID": "5f00000000000000000000aa",
    "STUDY_ID": "5f0000000000000000000001",
    "SESSION_ID": "5f" + "b" * 22,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return studying.make_study(tmp_path / "study")


@pytest.fixture
def server(folder: Path, database: str) -> Iterator[Server]:
    with studying.running(folder, database) as found:
        yield found


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    found = Page(server, {"participant": "anna"})
    found.start()
    yield found
    found.close()


def store_of(server: Server) -> Store:
    return server.service.store


def kept(server: Server) -> list[tuple[int, str, Any]]:
    """All that is stored."""
    store = store_of(server)
    return [
        (each.number, each.kind, json.loads(each.data))
        for session in store.sessions()
        for each in store.events(session.id)
    ]


# What a participant meets.


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
    assert kept(server) == [(each["number"], each["kind"], each["data"]) for each in page.sent]
    (session,) = store_of(server).sessions()
    # The language was chosen with the first start.
    assert (session.step, session.ordinal, session.language) == ("completed", 1, "en")
    assert session.ended is not None
    assert session.consent is not None
    assert store_of(server).agreed_consents()[session.consent] == ("1", "en", "I agree.")
    assert all(image.answered is not None for image in store_of(server).assignments())


def test_images_are_what_the_study_has(server: Server, page: Page, folder: Path) -> None:
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
    again = Page(server, {"participant": "anna"})
    again.start()
    again.go("instructions")
    again.say("instructions")
    assert again.state["step"] == "trial"
    again.go("none")
    shown = [image.source for image in store_of(server).assignments() if not image.test]
    assert sorted(shown) == list(SOURCES), "four sources in two sessions"
    told = Page(server, {"participant": "anna"}).start()
    assert (told["token"], told["state"]["step"], told["state"]["reason"]) == ("", "screened_out", "finished")


def test_a_person_goes_on_where_the_session_was(server: Server, page: Page) -> None:
    page.go("trial")
    page.one()
    other = Page(server, {"participant": "anna"})
    told = other.start()
    assert (told["token"], told["state"]) == (page.token, page.state)
    status, _, body = other.ask("GET", "/api/state", token=page.token)
    assert (status, json.loads(body)["state"]) == (200, page.state)
    other.go("none")
    status, told = page.send(page.event("trial", page.answer(), number=page.state["next"]))
    assert status == 409
    assert len(store_of(server).sessions()) == 1


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
    pages = [Page(server, {"participant": name}, seed) for seed, name in enumerate(("anna", "bert"))]
    for each in pages:
        each.start()
    while any(each.state["step"] != "completed" for each in pages):
        for each in pages:
            if each.state["step"] != "completed":
                each.one()
    for each, session in zip(pages, store_of(server).sessions(), strict=True):
        stored = [(one.number, json.loads(one.data)) for one in store_of(server).events(session.id)]
        assert stored == [(one["number"], one["data"]) for one in each.sent]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_prolific_codes_and_pseudonyms(tmp_path: Path, database: str) -> None:
    folder = studying.make_study(tmp_path / "prolific", platform=studying.PROLIFIC)
    with studying.running(folder, database) as server:
        page = Page(server, PERSON)
        token = page.start()["token"]
        page.go("none")
        url = "https://app.prolific.com/submissions/complete?cc=DONE1"
        assert page.state["completion"] == {"code": "DONE1", "url": url}
        # A reload after the end is the same end, and no new session; another visit is one.
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
    """An answer that passes if this is a test; the test knows what the page does not."""
    session = next(each for each in store_of(server).sessions() if each.ended is None)
    item = server.service.plan(session).trials[page.state["index"]]
    if item.truth is None:
        return page.answer()
    level = next(each for each in item.levels if item.truth.pjnd_range[0] <= each <= item.truth.pjnd_range[1])
    return page.answer(level, [*item.truth.points_yx, (0.5, 0.5)])


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_consent_is_to_the_text_that_was_shown(server: Server, page: Page) -> None:
    page.say("consent", {"agreed": True, "language": "de"})
    other = Page(server, {"participant": "bert"})
    other.start("de")
    other.say("consent", {"agreed": True, "language": ["en"]})
    for session in store_of(server).sessions():
        assert session.consent is not None
        assert store_of(server).agreed_consents()[session.consent] == ("1", "de", "Ja.")
        assert session.language == "de"
    third = Page(server, {"participant": "carl"})
    third.start("de")
    with pytest.raises(AssertionError, match="this version and language are not part of the study"):
        third.say("consent", {"agreed": True, "language": "de", "version": "0"})


# What nobody may learn.


def test_the_whole_log_of_a_session_holds_no_truth(server: Server) -> None:
    for name in ("anna", "bert", "carl"):
        page = Page(server, {"participant": name})
        page.start()
        page.go("training")
        page.one()
        # From here the truth of the training image is known to the page, and is left out of the search.
        while page.state["step"] != "completed":
            if page.state["step"] == "trial":
                trial = page.state["trial"]
                page.ask("GET", f"/api/image/{trial['reference']}")
                page.ask("GET", f"/api/image/{trial['levels'][0]['image']}")
            page.one()
        page.ask("GET", "/api/state", token=page.token)
    secrets = [*SOURCES, *TRUTH, 'pjnd_range": [30', "points_yx", 'passed": null', "is_test", '"test"']
    for name, ((low, high), points) in TRUTH.items():
        if name != "TRAIN_1":
            secrets += [str(number) for point in points for number in point]
            secrets += [f"[{low},{high}]", f"[{low}, {high}]"]
    assert len(server.log) > 30
    for method, path, headers, body in server.log:
        for secret in secrets:
            assert secret.encode() not in headers + body + path.encode(), (method, path)


def test_a_test_looks_like_any_other_image(server: Server) -> None:
    shapes, tests = [], 0
    for n in range(6):
        page = Page(server, {"participant": f"p{n}"}, n)
        page.start()
        page.go("trial")
        session = store_of(server).sessions()[-1]
        for item in server.service.plan(session).trials:
            trial = page.state["trial"]
            tests += item.kind == "test"
            told = page.say("trial", page.answer())
            state = {
                key: value for key, value in told["state"].items() if key not in ("next", "index", "step", "trial")
            }
            shapes.append(
                (sorted(trial), trial["kind"], [len(each["image"]) for each in trial["levels"]], state.keys() - {"of"})
            )
    assert tests == 6
    assert len(shapes) == 18
    assert all(each == shapes[0] for each in shapes)


def test_keys_of_images_are_of_one_session(server: Server) -> None:
    keys: list[set[str]] = []
    for name in ("anna", "bert"):
        page = Page(server, {"participant": name})
        page.start()
        page.go("training")
        keys.append({page.state["trial"]["reference"], *(each["image"] for each in page.state["trial"]["levels"])})
    assert not keys[0] & keys[1]
    # The seal of one session, trial or level is none of another's.
    one, other = (sorted(each)[0].split(".") for each in keys)
    for place in range(3):
        mixed = [*one]
        mixed[place] = other[place] if place < 2 else "999"
        assert server.ask("GET", f"/api/image/{'.'.join(mixed)}")[0] == 404


# People who mean harm.


def test_repeated_and_overlapping_batches_are_stored_once(server: Server, page: Page) -> None:
    batch = [
        page.event("consent", SAID["consent"], 0),
        page.event("check", SAID["check"], 1),
        page.event("frames", {}, 2),
    ]
    for part in (batch[:1], batch[:1], batch[:2], batch, batch[1:], batch):
        status, told = page.send(*part)
        assert status == 200
    assert (told["stored"], told["state"]["step"], told["state"]["next"]) == (2, "calibration", 3)
    assert [number for number, _, _ in kept(server)] == [0, 1, 2]


def test_gaps_reordered_and_changed_events_change_nothing(server: Server, page: Page) -> None:
    page.say("consent", SAID["consent"])
    page.say("check", SAID["check"])
    before = kept(server)
    for status, batch in (
        (409, [page.event("frames", {}, 3)]),  # A gap.
        (422, [page.event("frames", {}, 3), page.event("frames", {}, 2)]),
        (422, [page.event("frames", {}, 2), page.event("frames", {}, 4)]),
        (422, [page.event("frames", {}, 2), page.event("frames", {}, 2)]),
        (409, [page.event("check", {**SAID["check"], "width": 5000}, 1)]),  # Other content.
        (409, [page.event("consent", {"agreed": False}, 0)]),
        (409, [page.event("consent", SAID["consent"], 0), page.event("error", {}, 1), page.event("frames", {}, 2)]),
        (409, [page.event("frames", {}, 2), page.event("trial", {}, 3)]),  # Not its turn.
        (409, [page.event("survey", {}, 2)]),
        (409, [page.event("calibration", {"px_per_cm": 1e9, "screen_height": 9}, 2)]),
    ):
        found, told = page.send(*batch)
        assert found == status, told
        assert "error" in told
        if found == 409:
            assert told["stored"] == 1
    assert kept(server) == before
    assert page.ask("GET", "/api/state", token=page.token)[0] == 200


def test_nothing_is_skipped(server: Server, page: Page) -> None:
    page.go("trial")
    # All at once, with a key guessed for what comes next.
    batch = [page.event("trial", page.answer(), page.state["next"] + n) for n in range(3)]
    status, told = page.send(*batch)
    assert (status, told["number"]) == (409, batch[1]["number"])
    assert page.send(page.event("survey"))[0] == 409
    assert page.send(page.event("done", {"passed": True}))[0] == 200
    assert page.state["step"] == "trial"
    assert page.state["index"] == 0


def test_anothers_token_and_no_token(server: Server, page: Page) -> None:
    other = Page(server, {"participant": "bert"})
    other.start()
    other.say("consent", SAID["consent"])
    good, event = page.token, page.event("consent", SAID["consent"])
    for bad in (
        "",
        "Bearer",
        f"Basic {good}",
        "Bearer " + "0" * 64,
        f"Bearer {good[:-1]}",
        f"Bearer {good}0",
        f"Bearer {ADMIN}",
    ):
        for method, path, body in (("GET", "/api/state", None), ("POST", "/api/events", {"events": [event]})):
            status, headers, told = page.ask(method, path, body, headers={"authorization": bad})
            assert status == 401, bad
            assert headers["www-authenticate"] == "Bearer"
            assert good.encode() not in told
    # A session's name is no token, and another's token is for another's session only.
    public = next(each.public for each in store_of(server).sessions())
    assert page.ask("GET", "/api/state", token=public)[0] == 401
    status, told = page.send(event)
    assert status == 200
    assert json.loads(page.ask("GET", "/api/state", token=other.token)[2])["state"]["next"] == 1
    for token in (good, other.token):
        assert token not in json.dumps([each.__dict__ for each in store_of(server).sessions()])


GOOD = {"number": 0, "kind": "frames", "at": 1, "wall": "", "data": {}}
MALFORMED: list[tuple[int, bytes]] = [
    (400, b""), (400, b"{"), (400, b"[]"), (400, b"\xff\xfe"), (400, b"null"), (400, b'{"events": [NaN]}'),
    (400, b"[" * 200_000), (400, b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    (400, b'{"a": ' + b"9" * 5000 + b"}"),
    (422, b"{}"), (422, b'{"events": []}'), (422, b'{"events": {}}'), (422, b'{"events": [1]}'),
    (422, json.dumps({"events": [GOOD] * 201}).encode()),
    *((422, json.dumps({"events": [{**GOOD, **bad}]}).encode()) for bad in (
        {"number": -1}, {"number": 0.0}, {"number": True}, {"number": "0"}, {"number": 2**31}, {"number": None},
        {"kind": "admin"}, {"kind": ["frames"]}, {"kind": None}, {"at": -1}, {"at": "1"}, {"at": None}, {"at": True},
        {"wall": 1}, {"wall": "<script>"}, {"wall": "0" * 41}, {"data": []}, {"data": None}, {"session": 1},
    )),
    (422, b'{"events": [{"number": 0, "kind": "frames", "at": 1e999, "wall": "", "data": {}}]}'),
    (422, b'{"events": [{"number": 0, "kind": "frames", "at": 1, "wall": "", "data": {"a": 1e999}}]}'),
    (422, b'{"events": [{"number": 0, "kind": "frames", "at": 1, "wall": ""}]}'),
    (422, b'{"events": [{"number": 0, "kind": "frames", "at": 1, "wall": "", "data": {"a": %s}}]}'
     % (b"[" * 16 + b"]" * 16)),
    (422, b'{"events": [{"number": 0, "kind": "check", "at": 1, "wall": "", "data": %s}]}'
     % (b'{"a":' * 900 + b"1" + b"}" * 900)),
    (413, b" " * ((1 << 20) + 1)),
]  # fmt: skip


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_malformed_and_oversized_requests(server: Server, page: Page) -> None:
    for status, body in MALFORMED:
        found, headers, told = page.ask("POST", "/api/events", body, page.token)
        assert found == status, (body[:80], told)
        error = json.loads(told)["error"]
        assert "\n" not in error
        assert {name: headers[name] for name in HEADERS} == HEADERS
    for status, given in (
        (400, b"x"),
        (422, {"platform": []}),
        (422, {"platform": {}, "language": 5}),
        (413, b"x" * 20_000),
    ):
        assert page.ask("POST", "/api/start", given)[0] == status
    # What begins as announced, and goes on for ever.
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        head = f"POST /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {page.token}\r\n"
        client.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(40):
                client.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        except OSError:
            pass
        else:
            client.sendall(b"0\r\n\r\n")
        assert b" 413 " in client.recv(200)
    assert kept(server) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_nothing_of_the_file_system_is_served(server: Server, page: Page, folder: Path) -> None:
    (folder / "secret.txt").write_text("a secret")
    names = [
        "study.toml",
        "secret.txt",
        "images/SRC_A_0.png",
        "../study.toml",
        "study.key",
    ]
    turns = ["..%2f..%2f", "%2e%2e/", "..\\", "....//", "%00", "/", "//", "file:", "%252e%252e%252f", ""]
    for name in names:
        for turn in turns:
            for root in ("/", "/page/", "/api/image/", "/t/", "/admin/"):
                status, headers, body = page.ask("GET", f"{root}{turn}{name}".replace(" ", "%20"))
                # A link's page is the page, whatever its token is.
                assert status in (404, 405) or body == PAGE["index.html"][0], (root, turn, name, status)
                assert b"secret" not in body
                assert {each: headers[each] for each in HEADERS} == HEADERS
    for key in ("0" * 32, ".".join(["0" * 32, "0" * 16, "0", "0" * 32]), "%c3%a9" * 20, "%ff%fe", "%00", "a" * 5000):
        assert page.ask("GET", f"/api/image/{key}")[0] in (404, 400)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_pages_and_their_headers(server: Server, page: Page) -> None:
    status, headers, _ = page.ask("GET", "/?a=b%26c")
    assert status == 303
    assert re.fullmatch(r"/\?a=b%26c&participant=[0-9a-f]{16}", headers["location"])
    for path, content in (
        ("/?participant=x", "index.html"), ("/t/abc", "index.html"), ("/page/page.js", "page.js"),
        ("/page/index.html", "index.html"),
    ):  # fmt: skip
        status, headers, body = page.ask("GET", path)
        assert (status, body, headers["content-type"]) == (200, *PAGE[content])
    assert page.ask("GET", "/page/page.js")[1]["cache-control"] == "no-cache"
    assert page.ask("GET", "/page/other.js")[0] == 404
    assert page.ask("POST", "/", b"")[0] == 405
    assert page.ask("DELETE", "/api/events", token=page.token)[0] == 405
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert page.ask("POST", "/api/start", {"platform": {}}, headers=headers)[0] in (403, 421)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_experimenters_page_needs_its_token(server: Server, page: Page) -> None:
    for path in ("/admin", "/admin/admin.js", "/admin/admin.css"):
        status, _, body = page.ask("GET", path)
        assert status == 200
        assert not any(name.encode() in body for name in (*SOURCES, *TRUTH))
    for token in (None, page.token, ADMIN[:-1], ADMIN + "x", "0" * 43):
        status, _, body = page.ask("GET", "/api/admin", token=token)
        assert status == 401
        assert not any(name.encode() in body for name in (*SOURCES, *TRUTH))
    page.go("none")
    told = json.loads(page.ask("GET", "/api/admin", token=ADMIN)[2])
    assert (told["people"], told["sessions"], told["stored"], told["wanted"]) == (1, {"completed": 1}, 2, 200)
    assert [each["id"] for each in told["sources"]] == list(SOURCES)
    assert sum(each["answers"] for each in told["tests"]) == 1
    Page(server, {"participant": "bert"}).start()
    told = json.loads(page.ask("GET", "/api/admin", token=ADMIN)[2])
    assert told["dropouts"] == {"consent": 1}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_who_asks_too_often_waits(folder: Path, database: str) -> None:
    slow = RateLimit(per_second=0.01, burst=5)
    patient = studying.PATIENT
    with studying.running(
        folder, database, limits=Limits(session=slow, address=patient.address, start=patient.start)
    ) as server:
        page, other = (Page(server, {"participant": name}) for name in ("anna", "bert"))
        page.start()
        other.start()
        statuses = [page.ask("GET", "/api/state", token=page.token)[0] for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        status, headers, _ = page.ask("POST", "/api/events", {"events": [page.event("frames")]}, page.token)
        assert status == 429
        assert int(headers["retry-after"]) >= 1
        assert other.ask("GET", "/api/state", token=other.token)[0] == 200
        # A large request counts as many.
        large = {"events": [other.event("error", {"text": "x" * 70_000})]}
        assert other.ask("POST", "/api/events", large, other.token)[0] == 429
        assert kept(server) == []
    with studying.running(folder, database, limits=Limits(session=patient.session, start=slow, address=slow)) as server:
        starts = [server.ask("POST", "/api/start", {"platform": {"participant": f"x{n}"}})[0] for n in range(6)]
        assert starts == [200] * 5 + [429]
        # Guessing counts too.
        assert server.ask("GET", "/api/state", token="0" * 64)[0] == 429
        assert server.ask("GET", "/api/admin", token="0" * 64)[0] == 429
        # The first of them was one of this address's requests, too.
        assert [server.ask("GET", "/page/page.js")[0] for _ in range(6)] == [200] * 4 + [429] * 2


# Many at once.


def test_fifty_people_at_once_lose_nothing(server: Server) -> None:
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
                    # As if the confirmation had been lost.
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
    store = store_of(server)
    sessions = {each.participant: each for each in store.sessions()}
    assert len(sessions) == 50
    for page in pages:
        session = sessions[KEY.pseudonym("local", page.platform["participant"])]
        found = [(each.number, each.kind, json.loads(each.data)) for each in store.events(session.id)]
        assert found == [(each["number"], each["kind"], each["data"]) for each in page.sent]
    answers = [image.source for image in store.assignments() if not image.test and image.answered is not None]
    # 100 answers over four sources: balanced, whoever was first.
    assert [answers.count(name) for name in SOURCES] == [25] * 4


# Keys, tokens and those who take back their answers.


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_withdrawn_person_is_gone(server: Server, page: Page) -> None:
    page.go("survey")
    other = Page(server, {"participant": "bert"})
    other.start()
    other.go("check")
    assert withdraw(store_of(server), KEY, "local", "anna") == len(page.sent)
    assert page.send(page.event("survey"))[0] == 401
    other.go("none")
    assert len(kept(server)) == len(other.sent)
    with pytest.raises(PixqError, match="anna"):
        withdraw(store_of(server), KEY, "local", "anna")
    check_key(KEY, store_of(server))
    other_key = Key(bytes(31) + b"1")
    with pytest.raises(PixqError, match="another key"):
        withdraw(store_of(server), other_key, "local", "bert")
    (left,) = {each.participant for each in store_of(server).sessions()}
    assert withdraw(store_of(server), KEY, "local", left) == len(other.sent)


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    for name, opens in (("study.key", open_key), ("admin.token", open_token)):
        path = tmp_path / name
        first = opens(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert opens(path) == first
        assert path.read_text().strip() not in repr(first) or name == "admin.token"
        path.chmod(0o640)
        with pytest.raises(PixqError, match="chmod 600"):
            opens(path)
        path.chmod(0o600)
        for bad in ("", "00", "z" * 20, "é" * 64):
            path.write_text(bad, "utf-8")
            with pytest.raises(PixqError, match=name):
                opens(path)
        with pytest.raises(PixqError, match=name):
            opens(tmp_path / "no" / name)
    assert len(list(tmp_path.iterdir())) == 2
    found = {open_key(tmp_path / f"k{n}").secret for n in range(8)}
    assert len(found) == 8


def test_threads_that_make_a_key_get_the_same(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(open_key(tmp_path / "study.key").secret)) for _ in range(16)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 16
    assert len(set(found)) == 1


def test_addresses_are_not_kept() -> None:
    names, other = AddressHasher(), AddressHasher()
    assert names.hash("192.0.2.1") == names.hash("192.0.2.1") != other.hash("192.0.2.1")
    rates = RateLimiter(RateLimit(1, 2), max_buckets=3)
    for n in range(50):
        rates.take(names.hash(f"192.0.2.{n}"), 2)
    assert len(rates._buckets) == 3
    assert "192.0.2" not in repr(rates.__dict__)


def test_buckets_fill_with_time() -> None:
    now = [0.0]
    rates = RateLimiter(RateLimit(per_second=2, burst=4), clock=lambda: now[0])
    assert [rates.take("a", 3), rates.take("a", 3)] == [0, 1.0]
    now[0] = 1.0
    assert [rates.take("a", 3), rates.take("b", 100)] == [0, 0]
    now[0] = 100.0
    assert [rates.take("a", 4), rates.take("a", 1)] == [0, 0.5]


def test_a_page_that_was_not_built_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_page(tmp_path)
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.js").write_text("x")
    (tmp_path / "a.js").mkdir()
    assert set(read_page(tmp_path)) == {"index.html"}


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


# The command.


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_the_server_ends_when_it_is_interrupted(folder: Path) -> None:
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
    # The last connection puts the log into the file.
    assert not (folder / "answers.db-wal").exists()
    key = open_key(folder / "study.key")
    store = open_store(str(folder / "answers.db"))
    (session,) = store.sessions()
    assert session.participant == key.pseudonym("local", "anna")
    assert [each.number for each in store.events(session.id)] == list(range(len(page.sent)))
    store.close()
