"""HTTP connections with deadlines, and with limits per address and in total.

Uvicorn waits forever for the first byte of a connection, for the rest of a request's head, for the rest of a body that
the application does not read, and for clients that don't read their response. One client could so take every
connection of a server. `pixq.http.body` has the deadlines of bodies that the application reads.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from pixq.http.error_handlers import error_response

__all__ = ["AddressCounter", "ConcurrencyMiddleware", "ConnectionLimits", "limited_protocol", "network_of"]


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of a server's connections.

    Parameters
    ----------
    total
        The most connections at a time; further ones get status 503.
    per_address
        The most connections of one address, which a whole laboratory may share; further ones get status 429. `None`
        behind a proxy, whose address all connections have; see `ConcurrencyMiddleware`.
    first_byte
        Seconds within which a new connection must send something.
    head
        Seconds within which the head of a request must arrive, from its first byte on.
    rest
        Seconds within which the rest of a body must arrive after the response.
    writing
        Seconds in which a client must read at least `least_read` bytes while it is sent more than fits into buffers,
        and those bytes or the rest after its connection is closed.
    least_read
        See `writing`.
    """

    total: int
    per_address: int | None
    first_byte: float = 10.0
    head: float = 20.0
    rest: float = 5.0
    writing: float = 30.0
    least_read: int = 64 << 10


def network_of(address: str) -> bytes:
    """What counts as one address: an IPv4 address, or the first half of an IPv6 one, as clients choose the rest.

    Examples
    --------
    >>> network_of("2001:db8::1") == network_of("2001:db8::2"), network_of("192.0.2.1") == network_of("192.0.2.2")
    (True, False)
    >>> network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    True
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address.encode("utf-8", "replace")
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return parsed.packed[:8] if mapped is None else mapped.packed
    return parsed.packed


class AddressCounter:
    """Counts what each address has at a time, up to a limit. For one event loop.

    Parameters
    ----------
    limit
        The most per address; `None`: no limit.

    Examples
    --------
    >>> counter = AddressCounter(1)
    >>> counter.enter(b"a"), counter.enter(b"a"), counter.enter(b"b")
    (True, False, True)
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._counts: Counter[bytes] = Counter()

    def enter(self, address: bytes) -> bool:
        """Count one more; return false, and count nothing, if the address has as many as it may have."""
        if self._limit is not None and self._counts[address] >= self._limit:
            return False
        self._counts[address] += 1
        return True

    def leave(self, address: bytes) -> None:
        """Count one less."""
        self._counts[address] -= 1
        if self._counts[address] <= 0:
            del self._counts[address]


class _Transport:
    """A transport that reports when it is closed, by whatever part of Uvicorn: it lasts until its buffer is empty."""

    def __init__(self, transport: asyncio.Transport, on_close: Callable[[], None]) -> None:
        self._transport = transport
        self._on_close = on_close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._transport.close()
        self._on_close()


class _LimitedProtocol(H11Protocol):
    """One connection; see `limited_protocol`."""

    def __init__(
        self, *args: Any, limits: ConnectionLimits, counter: AddressCounter, on_refused: Callable[[str], None],
        **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, **more)
        self._limits = limits
        self._counter = counter
        self._on_refused = on_refused
        self._address: bytes | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._awaits_head = False
        self._writing: asyncio.TimerHandle | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Transport(transport, self._watch_closing)))
        address = network_of(self.client[0] if self.client else "")
        if len(self.connections) > self._limits.total:
            self._on_refused(f"the limit of {self._limits.total} connections is reached; further ones get status 503")
            self._refuse(503, "Service Unavailable")
        elif not self._counter.enter(address):
            message = f"one address has {self._limits.per_address} connections; further ones of it get status 429"
            self._on_refused(message)
            self._refuse(429, "Too Many Requests")
        else:
            self._address = address
            self._set_deadline(self._limits.first_byte)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        self._lost = True
        self._cancel_writing()
        if self._address is not None:
            self._counter.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            # The application answers, and reads the body with its own deadlines.
            self._cancel_deadline()
        elif self.conn.their_state is h11.IDLE and not self._awaits_head:
            self._set_deadline(self._limits.head)
            self._awaits_head = True

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self.conn.their_state is h11.SEND_BODY:
            self._set_deadline(self._limits.rest)

    def eof_received(self) -> None:
        super().eof_received()
        # asyncio closes the transport itself when this returns.
        self._watch_closing()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        # What is left of a connection that closes must be read in time, however little it is.
        if not self.transport.is_closing():
            self._cancel_writing()

    def _cancel_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _watch_closing(self) -> None:
        if not self._lost and self._writing is None:
            self._watch_writing()

    def _watch_writing(self) -> None:
        self._cancel_writing()
        before = self.transport.get_write_buffer_size()

        def check() -> None:
            if before - self.transport.get_write_buffer_size() < self._limits.least_read:
                self.transport.abort()
            else:
                self._watch_writing()

        self._writing = self.loop.call_later(self._limits.writing, check)

    def _set_deadline(self, seconds: float) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(seconds, self._end)

    def _cancel_deadline(self) -> None:
        self._awaits_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        if self.transport.is_closing():
            return
        if self._awaits_head:
            self._refuse(408, "Request Timeout")
        else:
            self.transport.close()

    def _refuse(self, status: int, reason: str) -> None:
        head = f"HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode())
        self.transport.close()


def limited_protocol(
    limits: ConnectionLimits, on_refused: Callable[[str], None] = lambda message: None
) -> Callable[..., asyncio.Protocol]:
    """Make what Uvicorn takes as `http`: a factory of connections that keep to `limits`.

    Parameters
    ----------
    limits
        The limits; all connections of the factory share them.
    on_refused
        Gets one line whenever a connection is refused because of a limit.
    """
    return partial(_LimitedProtocol, limits=limits, counter=AddressCounter(limits.per_address), on_refused=on_refused)


class ConcurrencyMiddleware:
    """Limits the requests of one client that are handled at a time, for servers behind a proxy.

    Parameters
    ----------
    app
        The application.
    client
        Returns the client of a request; see `pixq.http.connections.network_of`.
    limit
        The most requests of a client; further ones get status 429.
    """

    def __init__(self, app: ASGIApp, client: Callable[[Scope], bytes], limit: int) -> None:
        self._app = app
        self._client = client
        self._counter = AddressCounter(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        client = self._client(scope)
        if not self._counter.enter(client):
            response = error_response(429, "too many requests at a time; try again", headers={"retry-after": "1"})
            await response(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._counter.leave(client)
