"""Malicious requests: each gets the right status, and nothing in the database changes."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from sqlalchemy import select

from pixq.http.security import SECURITY_HEADERS
from pixq.study.results.answers import answers_of
from pixq.study.results.load import load_results
from pixq.study.session.event_payloads import parse_payload
from pixq.study.store.tables import metadata
from support.studying import PATIENT, Page, Server


@pytest.fixture
def page(page: Page) -> Page:
    """A page that shows a trial."""
    page.go("trial")
    return page


def rows(server: Server) -> dict[str, list[Any]]:
    """All rows of the database."""
    with server.service.store.engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def changed(page: Page, **more: Any) -> dict[str, Any]:
    """A valid answer except for `more`."""
    return {**page.answer(), **more}


def test_answers_that_are_not_to_what_was_asked(server: Server, page: Page) -> None:
    other = Page(server)
    other.start()
    other.go("trial")
    before = rows(server)
    good = page.answer()
    trained = next(each["data"]["key"] for each in page.sent if each["kind"] == "training")
    nested: Any = 1
    for _ in range(900):
        nested = [nested]
    bad: list[dict[str, Any]] = [
        {}, {"passed": True}, changed(page, key=other.state["trial"]["key"]), changed(page, key=trained),
        changed(page, key="TEST_1"), changed(page, key=None), changed(page, key="0" * 65),
        *(changed(page, pjnd=level) for level in (0, -1, 11, 101, 2**70, 10.0, True, "10", None, [10])),
        *(changed(page, points=points) for points in (
            [], [[1, 1]] * 2, [[1, 1]] * 4, [[1, 1]] * 7, [[1], [1], [1]], [[1, 1, 1]] * 3, [[-1, 1]] * 3,
            [[1, 65]] * 3, [[49, 1]] * 3, [["1", "1"]] * 3, [[None, None]] * 3, [[1e300, 1]] * 3, {"y": 1}, "points",
            nested,
        )),
        *(changed(page, track=track) for track in (
            [], [[0, 0]], [[0, 0]] * 9, None, "track", [[0]], [[0, "1"]], [[0, 5]] * 50_001, nested,
        )),
    ]  # fmt: skip
    for data in bad:
        status, told = page.send(page.event("trial", data))
        deep = any(each is nested for each in data.values())
        # The longest track is not looked at: it is larger than an event may be.
        large = len(json.dumps(data)) > PATIENT.event_bytes
        assert status == (422 if deep else 413 if large else 409), json.dumps(data)[:80]
        assert "\n" not in told["error"]
        assert len(told["error"]) < 300
    # Offline pages save events of any size.
    parse_payload("trial", changed(page, track=[[0, 5]] * 50_000))
    with pytest.raises(ValueError, match=r"trial: track: .*50000"):
        parse_payload("trial", changed(page, track=[[0, 5]] * 50_001))
    for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999"):
        body = json.dumps({"events": [page.event("trial", {**good, "pjnd": 31337})]}).replace("31337", text)
        assert page.ask("POST", "/api/events", body.encode(), page.token)[0] in (400, 422)
    assert rows(server) == before
    assert page.send(page.event("trial", good))[0] == 200


def test_nobody_grants_themselves_a_pass(server: Server, page: Page) -> None:
    page.start()
    planted = {
        "passed": True, "in_range": True, "matched": 3, "kind": "source", "source": "TEST_1", "participant": "x",
        "session": "y", "place": 0, "step": "completed", "flags": [], "level": 1, "width": 1, "height": 1,
    }  # fmt: skip
    while page.state["step"] == "trial":
        # Outside every range, and far from every true point.
        data = {**changed(page, pjnd=20, points=[[0, 0], [0.5, 0.5], [48, 0]]), **planted}
        assert page.send(page.event("trial", data))[0] == 200
    sessions, events, _ = load_results(server.service)
    session = page.session
    answers = [
        answer
        for answer in answers_of(server.service.study, sessions, events)
        if answer.participant == session.participant
    ]
    (test,) = [each for each in answers if each.kind == "test"]
    assert (test.passed, test.in_range, test.level) == (False, False, 20)
    assert {each.step for each in answers} == {"survey"}
    assert {(each.width, each.height) for each in answers} == {(64, 48)}
    shown = [image for image in server.service.store.assignments() if image.session == session.id]
    assert [image.passed for image in shown if image.test] == [False]


def test_whatever_else_is_asked_changes_nothing(server: Server, page: Page) -> None:
    before = rows(server)
    event = {"events": [page.event("frames")]}
    deep = b'{"events": [{"number": 9, "kind": "frames", "at": 1, "wall": "", "data": {"a": ' + b"[" * 5000
    assert page.ask("POST", "/api/events", deep + b"]" * 5000 + b"}}]}", page.token)[0] in (400, 422)
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "GET"):
        assert page.ask(method, "/api/events", event, page.token)[0] == 405, method
        assert page.ask(method, "/api/start", {"platform": {"participant": "eve"}})[0] == 405, method
    for headers in ({"host": "evil.example"}, {"host": "127.0.0.1.evil.example"}, {"origin": "https://evil.example"},
                    {"origin": "http://["}, {"host": "["}):  # fmt: skip
        status, answered, _ = page.ask("POST", "/api/events", event, page.token, headers)
        assert status in (403, 421)
        assert {name: answered[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    for path in ("/api/events/", "/api//events", "/API/events", "/api/events%2f", "/api/events/0", "/api/admin/"):
        assert page.ask("POST", path, event, page.token)[0] in (404, 405), path
    key = page.state["trial"]["reference"]
    parts = key.split(".")
    for wrong in (
        key + "0", key.upper(), key[:-1], f"{key}/..", f"{key}%00", f"{key}%0a", "..%2f" + key, "/".join(parts),
        ".".join([*parts[:2], "10", parts[3]]), ".".join([*parts[:2], "00", parts[3]]),
        ".".join([*parts[:2], "-1", parts[3]]),
        ".".join([*parts[:2], "٠", parts[3]]).encode("utf-8").decode("latin-1"),
    ):  # fmt: skip
        quoted = "".join(each if each.isascii() else f"%{ord(each):02x}" for each in wrong)
        assert page.ask("GET", f"/api/image/{quoted}")[0] == 404, wrong
    # Lines that are not HTTP.
    for line in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(line + b"\r\n\r\n")
            assert b" 200 " not in client.recv(100)
    assert rows(server) == before
    assert page.ask("GET", f"/api/image/{key}")[0] == 200
