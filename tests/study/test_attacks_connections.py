"""Slow, stuck and too many clients of a study's server."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.http import body as bodies
from support import slow_clients, studying
from support.studying import PATIENT, Page

pytestmark = pytest.mark.slow


def test_heads_and_rests_of_bodies_have_deadlines(folder: Path, tmp_path: Path) -> None:
    database = str(tmp_path / "answers.db")
    with studying.running(folder, database, connections=slow_clients.DEADLINES) as server:
        slow_clients.check_heads(server.port)
        slow_clients.check_later_heads(server.port, "/page/page.js")
        # The token is unknown, so the body is not read.
        token = b"Authorization: Bearer " + b"0" * 64
        slow_clients.check_rests(server.port, b"POST /api/events HTTP/1.1\r\nHost: localhost\r\n" + token + b"\r\n")


def test_connections_are_limited_per_address_and_in_total(folder: Path, tmp_path: Path) -> None:
    database = str(tmp_path / "answers.db")
    with studying.running(folder, database, connections=slow_clients.COUNTED) as server:
        slow_clients.check_counts(server.port, "/page/page.js")
    with studying.running(folder, database, connections=slow_clients.TOTAL) as server:
        slow_clients.check_total(server.port, "/page/page.js")


def test_behind_a_proxy_requests_are_limited_per_address(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy may pass bodies on as slowly as clients send them."""
    monkeypatch.setattr(bodies, "PATIENCE", 5.0)
    limits = replace(PATIENT, address_connections=2)
    with studying.running(folder, str(tmp_path / "answers.db"), proxy=True, limits=limits) as server:
        page = Page(server)
        page.start()
        head = "POST /api/start HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {}\r\nContent-Length: 99\r\n\r\n"

        def slow(address: str) -> socket.socket:
            client = slow_clients.connect(server.port)
            client.sendall(head.format(address).encode() + b"{")
            return client

        def status(address: str) -> int:
            return server.ask("GET", "/page/page.js", headers={"X-Forwarded-For": address})[0]

        first = [slow("192.0.2.1") for _ in range(2)]
        waiting = threading.Event()
        for _ in range(200):
            if status("198.51.100.9, 192.0.2.1") == 429:
                break
            waiting.wait(0.02)
        assert status("192.0.2.1") == 429
        assert status("192.0.2.2") == 200
        for client in first:
            client.close()
        for _ in range(200):
            if status("192.0.2.1") == 200:
                return
            waiting.wait(0.02)
        raise AssertionError("requests that ended still count")
