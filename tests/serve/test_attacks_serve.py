"""Slow, stuck and too many clients of `pixq serve`."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

import uvicorn
from uvicorn.server import ServerState

from pixq.http import body as bodies
from pixq.http.connections import limited_protocol
from support import serving, slow_clients
from support.serve_requests import head, reply


@pytest.mark.slow
def test_heads_and_rests_of_bodies_have_deadlines() -> None:
    with serving.running(serving.Judge(), connections=slow_clients.DEADLINES) as service:
        slow_clients.check_heads(service.port)
        slow_clients.check_later_heads(service.port, "/api/model")
        slow_clients.check_rests(service.port, b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n")
        assert service.ask("GET", "/").status == 200


@pytest.mark.slow
def test_connections_are_limited_per_address_and_in_total() -> None:
    with serving.running(serving.Judge(), connections=slow_clients.COUNTED) as service:
        slow_clients.check_counts(service.port, "/api/model")
    with serving.running(serving.Judge(), connections=slow_clients.TOTAL) as service:
        slow_clients.check_total(service.port, "/api/model")


@pytest.mark.slow
def test_who_does_not_read_a_response_is_cut_off() -> None:
    size = 64 << 20

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size)})

    with serving.running_app(app, slow_clients.DEADLINES) as service, slow_clients.connect(service.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(1.0)
        # What the buffers of the system took is still delivered.
        assert 0 < len(slow_clients.ending(client)[1]) < size
        # Whoever reads gets all of it, in however many pieces.
        assert len(service.ask("GET", "/").body) == size


@pytest.mark.parametrize("closed_by", ["keep-alive", "response", "client", "deadline", "failure"])
def test_a_closed_connection_whose_last_bytes_are_not_read_ends(closed_by: str) -> None:
    """40 kB are less than what pauses writing, and more than the buffers of the system take here."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(40_000), "more_body": closed_by == "failure"})

    async def connection() -> None:
        loop = asyncio.get_running_loop()
        config = uvicorn.Config(app, timeout_keep_alive=0 if closed_by == "keep-alive" else 60, log_config=None)
        config.load()
        state, lost = ServerState(), asyncio.Event()
        made: Any = limited_protocol(slow_clients.DEADLINES)(config=config, server_state=state, app_state={})
        on_lost = made.connection_lost

        def connection_lost(error: Exception | None) -> None:
            on_lost(error)
            lost.set()

        made.connection_lost = connection_lost
        server, client = socket.socketpair()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        with client:
            transport, _ = await loop.connect_accepted_socket(lambda: made, server)
            more = {"response": "Connection: close\r\n", "deadline": "Content-Length: 9\r\n"}.get(closed_by, "")
            client.sendall(f"GET / HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
            while not transport.get_write_buffer_size():
                await asyncio.sleep(0.01)
            assert transport.get_write_buffer_size() < 1 << 16
            if closed_by == "client":
                client.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(lost.wait(), 10)
            assert transport.get_write_buffer_size() == 0
            assert not state.connections

    asyncio.run(connection())


@pytest.mark.slow
def test_a_body_that_comes_byte_by_byte_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte arrives in time, but all of them together don't."""
    monkeypatch.setattr(bodies, "PATIENCE", 0.5)
    with serving.running(serving.Judge()) as service, slow_clients.connect(service.port) as client:
        client.sendall(head(service, "Content-Length: 1000"))
        began = time.monotonic()
        for _ in range(4):
            client.sendall(b"\r\n")
            time.sleep(0.2)
        status, body = reply(client)
        assert status == 408
        assert json.loads(body)["error"] == "it arrived too slowly; send the request again"
        assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_body_has_a_last_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LONGEST", 0.3)
    deadlines = slow_clients.DEADLINES
    with serving.running(serving.Judge(), None, deadlines) as service, slow_clients.connect(service.port) as client:
        client.sendall(head(service, "Content-Length: 1000000"))
        with suppress(ConnectionError):
            for _ in range(100):
                client.sendall(b"\r\n" * 2500)
                time.sleep(0.02)
        # The server may have closed the connection before it read everything, which resets it.
        _, said = slow_clients.ending(client)
        assert said == b"" or said.startswith(b"HTTP/1.1 408 ")
