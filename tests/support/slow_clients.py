"""Clients that are slow, stuck or too many, for the tests of both servers."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import replace

from pixq.http.connections import ConnectionLimits

#: Deadlines that tests can wait for.
SHORT = ConnectionLimits(
    total=8, per_address=4, first_byte=0.4, head=0.6, rest=0.3, writing=0.3, least_read=1 << 16
)  # fmt: skip


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def ending(client: socket.socket) -> tuple[float, bytes]:
    """Seconds until the server closes the connection, and what it sent."""
    began, data = time.monotonic(), b""
    with suppress(ConnectionError):
        while piece := client.recv(1 << 16):
            data += piece
    return time.monotonic() - began, data


def dripping(client: socket.socket, data: bytes, pause: float) -> tuple[float, bytes]:
    """As `ending`, for a client that sends a byte now and then."""
    began = time.monotonic()
    received = b""
    client.settimeout(pause)
    for byte in data:
        try:
            client.sendall(bytes([byte]))
            piece = client.recv(1 << 16)
        except TimeoutError:
            continue
        except ConnectionError:
            break
        received += piece
        if not piece:
            break
    return time.monotonic() - began, received


def check_heads(port: int) -> None:
    """Nothing, a part of a head, and a head that comes byte by byte: each is ended, and says so if it can."""
    with connect(port) as silent, connect(port) as partial, connect(port) as slow:
        partial.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        seconds, said = dripping(slow, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 400, 0.05)
        assert 0.3 < seconds < 5
        assert said.startswith(b"HTTP/1.1 408 ")
        assert ending(silent)[1] == b""
        assert ending(partial)[1].startswith(b"HTTP/1.1 408 ")


def check_later_heads(port: int, path: str) -> None:
    """The next request of a connection has the same deadline as the first; a whole one is answered."""
    with connect(port) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for _ in range(2):
            client.sendall(request)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
            client.settimeout(0.3)
            with suppress(TimeoutError):
                while client.recv(1 << 20):
                    pass
            client.settimeout(20)
        seconds, said = dripping(client, request[:-2] + b"X-Long: " + b"a" * 400, 0.05)
        assert 0.3 < seconds < 5
        assert said.startswith(b"HTTP/1.1 408 ")


def check_rests(port: int, head: bytes) -> None:
    """The rest of a body that was refused before it came does not keep the connection."""
    with connect(port) as client:
        client.sendall(head + b"Content-Length: 9999\r\n\r\n")
        seconds, said = dripping(client, b" " * 400, 0.05)
        assert seconds < 5
        assert said.startswith(b"HTTP/1.1 4")


def check_counts(port: int, path: str) -> None:
    """Further connections of an address are refused, those that it has go on, and closed ones count no more."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        first = [stack.enter_context(connect(port)) for _ in range(4)]
        # The first request shows that all four are counted.
        for client in first:
            client.sendall(request)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        with connect(port) as further:
            assert ending(further)[1].startswith(b"HTTP/1.1 429 ")
    for _ in range(100):
        with connect(port) as client:
            client.sendall(request)
            with suppress(ConnectionError):
                if client.recv(15) == b"HTTP/1.1 200 OK":
                    return
        time.sleep(0.05)
    raise AssertionError("closed connections still count")


def check_total(port: int, path: str) -> None:
    """Further connections are refused in total, and those that there are go on."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        first = [stack.enter_context(connect(port)) for _ in range(8)]
        with connect(port) as further:
            assert ending(further)[1].startswith(b"HTTP/1.1 503 ")
        for client in first:
            client.sendall(request)
            assert client.recv(15) == b"HTTP/1.1 200 OK"


#: Only the total counts.
TOTAL = replace(SHORT, per_address=None, first_byte=20.0)
#: Only the deadlines matter.
DEADLINES = replace(SHORT, total=100, per_address=100)
#: Only the number of connections of an address matters.
COUNTED = replace(SHORT, total=100, first_byte=20.0)
