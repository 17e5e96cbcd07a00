"""Limits of one session and one address, and the statistics that the experimenter gets."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from sqlalchemy import event

from pixq.study.results.answers import answers_of, as_json
from pixq.study.results.load import load_results
from pixq.study.results.statistics import study_statistics
from pixq.study.server.limits import AddressHasher, Limits, RateLimit, RateLimiter
from pixq.study.server.routes_admin import RefreshedValue
from pixq.study.store.keys import withdraw
from pixq.study.store.records import DatabaseUnavailable
from support import studying
from support.studying import ADMIN, KEY, PATIENT, SAID, Page, Server


def test_data_as_deep_as_they_may_be_are_exported(folder: Path, tmp_path: Path) -> None:
    with studying.running(folder, str(tmp_path / "answers.db")) as server:
        page = Page(server, {"participant": "anna"})
        page.start()
        page.go("check")
        deep: object = 1
        for _ in range(15):
            deep = [deep]
        status, told = page.send(page.event("check", {**SAID["check"], "a": [deep]}))
        assert (status, told["error"]) == (422, "data must not nest objects and lists more than 16 levels deep")
        page.say("check", {**SAID["check"], "a": deep})
        page.go("none")
        found = answers_of(server.service.study, *load_results(server.service)[:2])
        assert found[0].environment["check"]["a"] == deep
        assert "[" * 15 + "1" in as_json(found[0].environment)
        assert study_statistics(server.service)["people"] == 1


def request(server: Server, *lines: str, body: bytes = b"") -> int:
    """The status of a request with headers that no library would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall("\r\n".join([*lines, "Host: localhost", "Connection: close", "", ""]).encode() + body)
        with client.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def test_the_proxys_word_is_the_last_one(folder: Path, tmp_path: Path) -> None:
    slow = Limits(session=PATIENT.session, address=RateLimit(per_second=0.001, burst=2), start=PATIENT.start)
    ours, get = "X-Forwarded-For: 192.0.2.7", "GET /page/page.js HTTP/1.1"
    with studying.running(folder, str(tmp_path / "answers.db"), limits=slow, proxy=True) as server:
        # Whatever the client sends before it.
        found = [request(server, get, f"X-Forwarded-For: 198.51.100.{n}", ours) for n in range(3)]
        assert found == [200, 200, 429]
        assert request(server, get, "X-Forwarded-For: 198.51.100.9, 192.0.2.7") == 429
        assert request(server, get, ours, "X-Forwarded-For: 192.0.2.8") == 200
    with studying.running(folder, str(tmp_path / "answers.db"), limits=slow) as server:
        assert [request(server, get, f"X-Forwarded-For: 192.0.2.{n}") for n in range(3)] == [200, 200, 429]


def test_unknown_tokens_are_refused_before_their_bodies_are_read(folder: Path, tmp_path: Path) -> None:
    slow = Limits(
        session=PATIENT.session,
        address=RateLimit(per_second=0.001, burst=9),
        start=RateLimit(per_second=0.001, burst=4),
    )
    with studying.running(folder, str(tmp_path / "answers.db"), limits=slow) as server:
        page = Page(server, {"participant": "anna"})
        page.start()
        store, asked = server.service.store, []
        find = store.session_by_token
        store.session_by_token = lambda token: (asked.append(token), find(token))[1]  # type: ignore[method-assign]
        # While this transaction is open, requests that need a writer would wait.
        with store._writing():
            # The body is never sent.
            head = ("POST /api/events HTTP/1.1", "Content-Length: 1000000")
            tokens = [f"Authorization: Bearer {n:064d}" for n in range(6)]
            assert [request(server, *head, each) for each in tokens] == [401] * 3 + [429] * 3
            assert len(asked) == 3
            # A session that started before continues, although it sent nothing since.
            assert page.ask("GET", "/api/state", token=page.token)[0] == 200
    with studying.running(folder, str(tmp_path / "answers.db"), limits=slow) as server:
        page = Page(server, {"participant": "anna"})
        page.start()
        assert page.ask("GET", "/api/state", token=page.token)[0] == 200
        assert [request(server, *head, each) for each in tokens[:4]] == [401] * 3 + [429]
        assert page.ask("GET", "/api/state", token=page.token)[0] == 200
        assert withdraw(server.service.store, KEY, "local", "anna") == 0
        assert page.ask("GET", "/api/state", token=page.token)[0] == 429
        assert [page.ask("GET", "/page/page.js")[0] for _ in range(2)] == [200, 200]
        assert page.ask("GET", "/page/page.js")[0] == 429, "requests that are refused count for the address"


def test_what_comes_in_parts_costs_as_much(folder: Path, tmp_path: Path) -> None:
    slow = Limits(session=RateLimit(per_second=0.001, burst=5), address=PATIENT.address, start=PATIENT.start)
    with studying.running(folder, str(tmp_path / "answers.db"), limits=slow) as server:
        page = Page(server, {"participant": "anna"})
        page.start()
        body = json.dumps({"events": [page.event("frames", {"text": "x" * 70_000})]}).encode()
        head = ("POST /api/events HTTP/1.1", f"Authorization: Bearer {page.token}", "Transfer-Encoding: chunked")
        parts = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (body[:99], body[99:], b""))
        assert request(server, *head, body=parts) == 429
        assert server.service.store.session_size(1) == (0, 0)
        # It only cost one request.
        assert [page.ask("GET", "/api/state", token=page.token)[0] for _ in range(5)] == [200] * 4 + [429]


def test_a_session_stores_so_much_and_no_more(folder: Path, tmp_path: Path) -> None:
    small = replace(PATIENT, session_bytes=2 << 20, event_bytes=1 << 20)
    with studying.running(folder, str(tmp_path / "answers.db"), limits=small) as server:
        page, other = (Page(server, {"participant": name}) for name in ("anna", "bert"))
        page.start()
        other.start()
        large = page.event("frames", {"text": "x" * 900_000})
        # Repeated events are stored once, and count once.
        assert [page.send(large)[0] for _ in range(4)] == [200] * 4
        page.say("frames", {"text": "x" * 900_000})
        status, told = page.send(page.event("frames", {"text": "x" * 900_000}))
        assert (status, told["error"]) == (413, "this session has reached its limit of 2 MiB")
        page.say("frames")
        other.say("frames", {"text": "x" * 900_000})
        size, next = server.service.store.session_size(1)
        assert (size, next) == (2 * len('{"text":""}') + 1_800_000 + len("{}"), 3)
    with studying.running(folder, str(tmp_path / "answers.db"), limits=small) as server:
        page = Page(server, {"participant": "anna"})
        page.start()
        assert page.send(page.event("frames", {"text": "x" * 900_000}))[0] == 413, "and so after a restart"
        page.say("frames")


def test_figures_are_given_again_for_a_while(folder: Path, tmp_path: Path) -> None:
    with studying.running(
        folder, str(tmp_path / "answers.db"), limits=replace(PATIENT, statistics_seconds=3600.0)
    ) as server:
        for people in (0, 1):
            told = server.ask("GET", "/api/admin", token=ADMIN)
            assert (told[0], json.loads(told[2])["people"], int(told[1]["age"]) < 3600) == (200, 0, True)
            Page(server, {"participant": f"p{people}"}).start()
        assert study_statistics(server.service)["people"] == 2


def test_one_finds_and_others_get_what_there_is() -> None:
    now, begun, go = [0.0], [0], asyncio.Event()

    async def find() -> int:
        begun[0] += 1
        own = begun[0]
        await go.wait()
        if own == 3:
            raise ValueError("no figures")
        return own

    async def fail() -> int:
        raise ValueError("no figures")

    async def ask() -> None:
        refreshed = RefreshedValue(find, 30.0, lambda: now[0])
        waiting = [asyncio.create_task(refreshed.get()) for _ in range(5)]
        await asyncio.sleep(0)
        waiting.pop().cancel()
        go.set()
        assert await asyncio.gather(*waiting) == [(1, 0.0)] * 4
        now[0] = 29.0
        assert await refreshed.get() == (1, 29.0)
        now[0] = 31.0
        go.clear()
        refreshing = asyncio.create_task(refreshed.get())
        await asyncio.sleep(0)
        assert [await refreshed.get() for _ in range(3)] == [(1, 31.0)] * 3
        go.set()
        assert (await refreshing, begun) == ((2, 0.0), [2])
        now[0] = 70.0
        assert await refreshed.get() == (2, 39.0), "better old ones than none"
        assert await refreshed.get() == (4, 0.0)
        broken = RefreshedValue(fail, 30.0)
        with pytest.raises(ValueError, match="no figures"):
            await broken.get()
        slow = RefreshedValue(asyncio.Event().wait, 30.0, patience=0.01)
        with pytest.raises(DatabaseUnavailable, match="still being computed"):
            await slow.get()

    asyncio.run(asyncio.wait_for(ask(), 60))


def test_figures_take_as_many_queries_for_many_as_for_one(folder: Path, database: str) -> None:
    with studying.running(folder, database) as server:
        asked: list[str] = []
        event.listen(server.service.store.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        counts = []
        for people in range(3):
            page = Page(server, {"participant": f"p{people}"}, people)
            page.start()
            page.go("none")
            asked.clear()
            rows, events, _ = load_results(server.service)
            counts.append(sum(each.startswith("SELECT") for each in asked))
            assert (len(rows), len(events)) == (people + 1, sum(len(each.sent) for each in server.pages))
            assert all(each.received.endswith("+00:00") for each in events)
        assert counts == [4, 4, 4]


def test_who_asks_too_often_waits(folder: Path, tmp_path: Path) -> None:
    slow = RateLimit(per_second=0.01, burst=5)
    database = str(tmp_path / "answers.db")
    with studying.running(folder, database, limits=replace(PATIENT, session=slow)) as server:
        page, other = (Page(server, {"participant": name}) for name in ("anna", "bert"))
        page.start()
        other.start()
        statuses = [page.ask("GET", "/api/state", token=page.token)[0] for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        status, headers, _ = page.ask("POST", "/api/events", {"events": [page.event("frames")]}, page.token)
        assert status == 429
        assert int(headers["retry-after"]) >= 1
        assert other.ask("GET", "/api/state", token=other.token)[0] == 200
        # A large request counts as several.
        large = {"events": [other.event("error", {"text": "x" * 70_000})]}
        assert other.ask("POST", "/api/events", large, other.token)[0] == 429
        assert page.stored == other.stored == []
    with studying.running(folder, database, limits=replace(PATIENT, start=slow, address=slow)) as server:
        starts = [server.ask("POST", "/api/start", {"platform": {"participant": f"x{n}"}})[0] for n in range(6)]
        assert starts == [200] * 5 + [429]
        # Guessing tokens counts too.
        assert server.ask("GET", "/api/state", token="0" * 64)[0] == 429
        assert server.ask("GET", "/api/admin", token="0" * 64)[0] == 429
        # The first guess also counted as a request of this address.
        assert [server.ask("GET", "/page/page.js")[0] for _ in range(6)] == [200] * 4 + [429] * 2


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
