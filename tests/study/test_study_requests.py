"""Requests that are repeated, out of order, malformed, or not for the person who sends them."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.http.security import SECURITY_HEADERS
from support import studying
from support.databases import ON_SQLITE
from support.studying import ADMIN, PAGE, SAID, SOURCES, TRUTH, Page, Server


def test_repeated_and_overlapping_batches_are_stored_once(page: Page) -> None:
    batch = [
        page.event("consent", SAID["consent"], 0),
        page.event("check", SAID["check"], 1),
        page.event("frames", {}, 2),
    ]
    for part in (batch[:1], batch[:1], batch[:2], batch, batch[1:], batch):
        status, told = page.send(*part)
        assert status == 200
    assert (told["stored"], told["state"]["step"], told["state"]["next"]) == (2, "calibration", 3)
    assert [number for number, _, _ in page.stored] == [0, 1, 2]


def test_gaps_reordered_and_changed_events_change_nothing(page: Page) -> None:
    page.say("consent", SAID["consent"])
    page.say("check", SAID["check"])
    before = page.stored
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
    assert page.stored == before
    assert page.ask("GET", "/api/state", token=page.token)[0] == 200


def test_nothing_is_skipped(page: Page) -> None:
    page.go("trial")
    # All trials at once, with a guessed key for the next ones.
    batch = [page.event("trial", page.answer(), page.state["next"] + n) for n in range(3)]
    status, told = page.send(*batch)
    assert (status, told["number"]) == (409, batch[1]["number"])
    assert page.send(page.event("survey"))[0] == 409
    assert page.send(page.event("done", {"passed": True}))[0] == 200
    assert page.state["step"] == "trial"
    assert page.state["index"] == 0


def test_anothers_token_and_no_token(server: Server, page: Page) -> None:
    other = Page(server)
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
    # A session's public name is not a token, and a token only opens its own session.
    public = page.session.public
    assert page.ask("GET", "/api/state", token=public)[0] == 401
    status, told = page.send(event)
    assert status == 200
    assert json.loads(page.ask("GET", "/api/state", token=other.token)[2])["state"]["next"] == 1
    for token in (good, other.token):
        assert token not in json.dumps([session.__dict__ for session in server.service.store.sessions()])


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


@ON_SQLITE
def test_malformed_and_oversized_requests(server: Server, page: Page) -> None:
    for status, body in MALFORMED:
        found, headers, told = page.ask("POST", "/api/events", body, page.token)
        assert found == status, (body[:80], told)
        error = json.loads(told)["error"]
        assert "\n" not in error
        assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    for status, given in (
        (400, b"x"),
        (422, {"platform": []}),
        (422, {"platform": {}, "language": 5}),
        (413, b"x" * 20_000),
    ):
        assert page.ask("POST", "/api/start", given)[0] == status
    # A body without an announced length that never ends.
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
    assert page.stored == []


@ON_SQLITE
def test_nothing_of_the_file_system_is_served(page: Page) -> None:
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
                # /t/ serves the page, whatever the token is.
                assert status in (404, 405) or body == PAGE["index.html"][0], (root, turn, name, status)
                assert b"secret" not in body
                assert {each: headers[each] for each in SECURITY_HEADERS} == SECURITY_HEADERS
    for key in ("0" * 32, ".".join(["0" * 32, "0" * 16, "0", "0" * 32]), "%c3%a9" * 20, "%ff%fe", "%00", "a" * 5000):
        assert page.ask("GET", f"/api/image/{key}")[0] in (404, 400)


@ON_SQLITE
def test_pages_and_their_headers(page: Page) -> None:
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


def test_the_experimenters_page_needs_its_token(folder: Path, tmp_path: Path) -> None:
    with studying.running(folder, str(tmp_path / "answers.db")) as server:
        page = Page(server, {"participant": "anna"})
        page.start()
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
