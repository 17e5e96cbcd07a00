"""The database is locked, frozen or gone: nothing is confirmed that is not stored, and everything else goes on."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.study.server import threads
from pixq.study.server.failures import FailureLog
from pixq.study.store.keys import hash_token, withdraw
from pixq.study.store.store import open_store
from support import databases, stuck_database, studying
from support.stuck_database import FILE_ACCIDENTS, SERVER_ACCIDENTS
from support.studying import ADMIN, KEY, Page, Server

pytestmark = pytest.mark.slow


@contextmanager
def impatient(server: Server) -> Iterator[None]:
    """Requests wait for the database for a short time."""
    assert server.threads is not None
    before, server.threads.seconds = server.threads.seconds, 0.7
    try:
        yield
    finally:
        server.threads.seconds = before


@contextmanager
def served(folder: Path, database: str) -> Iterator[tuple[Server, Page, list[str]]]:
    """A server, a page that shows a trial, and the lines that the server prints."""
    lines: list[str] = []
    with studying.running(folder, database, failures=FailureLog(write=lines.append), seconds=4.0) as server:
        page = Page(server)
        page.start()
        page.go("trial")
        yield server, page, lines


def reads(server: Server, page: Page) -> None:
    """State, images and statistics are there, each within 10 seconds."""
    for path, token in (
        ("/api/state", page.token),
        (f"/api/image/{page.state['trial']['reference']}", None),
        ("/api/admin", ADMIN),
    ):
        began = time.monotonic()
        status, _, body = server.ask("GET", path, token=token)
        assert status == 200, (path, body)
        assert time.monotonic() - began < 10, path
    assert json.loads(server.ask("GET", "/api/state", token=page.token)[2])["state"] == page.state


def failures(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.ask("GET", "/api/admin", token=ADMIN)[2])["failures"]
    return found


def refused(page: Page, event: dict[str, Any]) -> None:
    # The server may have closed an idle connection.
    page.close()
    began = time.monotonic()
    status, told = page.send(event)
    assert (status, told["error"]) == (503, "answers can't be stored at the moment; the page sends them again")
    assert time.monotonic() - began < 5


def test_the_deadlines_of_a_request_add_up_to_less_than_ten_seconds() -> None:
    assert 2 * threads.DATABASE_SECONDS < 10


@pytest.mark.parametrize("database", databases.KINDS, indirect=True)
def test_a_locked_database_delays_only_answers(folder: Path, database: str) -> None:
    with served(folder, database) as (server, page, lines):
        reads(server, page)
        others = [Page(server) for _ in range(30)]
        for other in others:
            other.start()
        event = page.event("trial", page.answer())
        with stuck_database.locked(database), impatient(server):
            # More than there are threads for writers.
            with ThreadPoolExecutor(len(others)) as pool:
                waiting = [pool.submit(refused, other, other.event("consent", {"agreed": True})) for other in others]
                reads(server, page)
                for each in waiting:
                    each.result()
            refused(page, event)
            assert server.ask("POST", "/api/start", {"platform": {"participant": "new"}})[0] == 503
        for other in others:
            other.say("consent", {"agreed": True})
        assert page.send(event)[0] == 200
        assert page.stored[-1] == (event["number"], "trial", event["data"])
        (failure,) = [each for each in failures(server) if each["kind"] == "answers can't be stored"]
        assert failure["count"] == len(others) + 2
        assert [line for line in lines if "answers can't be stored" in line] == lines[:1], "one line for all of them"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_frozen_database_delays_only_answers(folder: Path, database: str) -> None:
    with served(folder, database) as (server, page, _):
        reads(server, page)
        event = page.event("trial", page.answer())
        with stuck_database.frozen(database), impatient(server):
            # More than there are threads for writers.
            body = {"events": [event]}
            with ThreadPoolExecutor(12) as pool:
                waiting = [pool.submit(server.ask, "POST", "/api/events", body, page.token) for _ in range(12)]
                assert {each.result()[0] for each in waiting} == {503}
            refused(page, event)
            reads(server, page)
            assert {each["kind"] for each in failures(server)} >= {
                "answers can't be stored",
                "the database can't be read",
            }
        page.close()
        for _ in range(100):
            if page.send(event)[0] == 200:
                break
            time.sleep(0.05)
        assert page.stored[-1] == (event["number"], "trial", event["data"])


@pytest.mark.parametrize("accident", FILE_ACCIDENTS)
def test_a_file_that_is_gone_is_noticed_before_anything_is_confirmed(
    folder: Path, tmp_path: Path, accident: str
) -> None:
    path = tmp_path / "answers.db"
    with served(folder, str(path)) as (server, page, lines):
        reads(server, page)
        FILE_ACCIDENTS[accident](path)
        for _ in range(3):
            refused(page, page.event("trial", page.answer()))
        assert server.ask("POST", "/api/start", {"platform": {"participant": "new"}})[0] == 503
        reads(server, page)
        (failure,) = failures(server)
        assert "was deleted or replaced; restore the file, and restart pixq" in failure["message"]
        assert (failure["count"], len(lines)) == (4, 1)


def test_an_older_copy_in_the_same_file_is_noticed(folder: Path, tmp_path: Path) -> None:
    path, backup = tmp_path / "answers.db", tmp_path / "backup.db"
    with served(folder, str(path)) as (server, page, _):
        page.server.service.store.truncate_log()
        shutil.copyfile(path, backup)
        page.say("trial", page.answer())
        page.server.service.store.truncate_log()
        # `cp backup.db answers.db` writes into the file that is open.
        path.write_bytes(backup.read_bytes())
        server.service.store.engine.dispose()
        refused(page, page.event("trial", page.answer()))
        assert "answers that were stored are missing" in failures(server)[0]["message"]


@pytest.mark.parametrize("accident", SERVER_ACCIDENTS)
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_database_that_was_replaced_is_noticed_before_anything_is_confirmed(
    folder: Path, database: str, accident: str
) -> None:
    with served(folder, database) as (server, page, _):
        reads(server, page)
        SERVER_ACCIDENTS[accident](database)
        for _ in range(3):
            refused(page, page.event("trial", page.answer()))
        if accident != "older":
            assert server.ask("POST", "/api/start", {"platform": {"participant": "new"}})[0] == 503
        assert server.ask("GET", f"/api/image/{page.state['trial']['reference']}")[0] == 200
        assert failures(server)


@pytest.mark.parametrize("database", databases.KINDS, indirect=True)
@pytest.mark.parametrize("same", [True, False], ids=["this process", "another process"])
def test_images_stop_after_a_withdrawal(folder: Path, database: str, same: bool) -> None:
    with served(folder, database) as (server, page, _):
        other = Page(server)
        other.start()
        other.go("trial")
        image, others_image = (f"/api/image/{each.state['trial']['reference']}" for each in (page, other))
        assert [server.ask("GET", path)[0] for path in (image, others_image)] == [200, 200]
        store = server.service.store if same else open_store(database)
        withdraw(store, KEY, "local", page.platform["participant"])
        assert [server.ask("GET", path)[0] for path in (image, others_image, image)] == [404, 200, 404]
        assert server.ask("GET", "/api/state", token=page.token)[0] == 401
        if not same:
            store.close()


def test_clients_that_ask_together_share_a_query(folder: Path, tmp_path: Path) -> None:
    with served(folder, str(tmp_path / "answers.db")) as (server, page, _):
        image = f"/api/image/{page.state['trial']['reference']}"
        count, go, counted = server.service.store.withdrawals, threading.Event(), []
        server.service.store.withdrawals = lambda: (go.wait(0.2), counted.append(1), count())[-1]  # type: ignore[method-assign,func-returns-value]
        with ThreadPoolExecutor(20) as pool:
            found = [pool.submit(server.ask, "GET", image) for _ in range(20)]
            assert {each.result()[0] for each in found} == {200}
        assert 1 <= len(counted) < 10


def test_a_page_without_statistics_says_why(folder: Path, tmp_path: Path) -> None:
    with served(folder, str(tmp_path / "answers.db")) as (server, page, lines):
        server.service.store.engine.dispose()
        for name in ("", "-wal", "-shm"):
            Path(f"{tmp_path}/answers.db{name}").unlink(missing_ok=True)
        Path(tmp_path / "answers.db").write_text("not a database" * 500)
        status, _, body = server.ask("GET", "/api/admin", token=ADMIN)
        told = json.loads(body)
        assert status == 503
        assert "file is not a database" in told["error"]
        assert told["failures"][0]["kind"] == "the statistics can't be computed"
        assert len(lines) == 1
        assert hash_token(page.token) not in body.decode()


def test_failures_are_printed_now_and_then() -> None:
    now, lines = [1000.0], []
    log = FailureLog(clock=lambda: now[0], write=lines.append)
    assert log.summary() == []
    repeat: Callable[[int], None] = lambda times: [log.record("a", "why\x1b[2J") for _ in range(times)] and None  # noqa: E731
    repeat(1000)
    log.record("b", "why")
    now[0] = 1061.0
    repeat(2)
    first = "pixq: error: a: why\\x1b[2J"
    assert lines == [first, "pixq: error: b: why", f"{first} (999 more since the last line)"]
    assert [(each["kind"], each["count"]) for each in log.summary()] == [("a", 1002), ("b", 1)]
    # A clock that was set back does not silence it.
    now[0] = 0.0
    repeat(1)
    assert len(lines) == 4
