"""What the routes of the study's server share: sessions, caches, limits, and the check of a session's token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cachetools import LRUCache
from starlette.requests import Request
from starlette.types import Scope

from pixq.http.errors import RequestError
from pixq.study.server.failures import FailureLog
from pixq.study.server.limits import AddressHasher, Limits, RateLimiter
from pixq.study.server.threads import Threads
from pixq.study.session.service import SessionService
from pixq.study.store.keys import hash_token
from pixq.study.store.records import DatabaseUnavailable

__all__ = ["Services", "StoredSize", "bearer_token", "retry_after", "services_of"]

_T = TypeVar("_T")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{32,128})", re.IGNORECASE)
#: Number of sessions whose size is cached; it is queried again for others.
_CACHED_SESSIONS = 20_000
#: Number of sessions whose last state is kept, for the time in which the database can't be read.
_CACHED_STATES = 2_000
#: Seconds for which images are sent without asking a database that can't be read.
_SKIPPED_SECONDS = 5.0
#: Bytes of images that are cached.
_CACHED_BYTES = 256 << 20


@dataclass
class StoredSize:
    """The size of a session in the database: the bytes of its events, and the number of the next event.

    `pending` are the bytes of events that are being stored.
    """

    size: int
    next: int
    pending: int = 0


class WithdrawalWatch:
    """Notices that people were withdrawn. All that ask before a query begins share it. For one event loop."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._running: asyncio.Task[int] | None = None
        self._waiting: asyncio.Task[int] | None = None
        self._skip_until = 0.0

    async def changed(self, count: Callable[[], Awaitable[int]]) -> bool:
        """Whether the number of withdrawals is not that of the last call; false while the database can't be read."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._skip_until:
            return False
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._query(count, self._running))
            # Nobody may wait for it any more.
            self._waiting.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            # A client that disconnects does not cancel the query for the others.
            number = await asyncio.shield(self._waiting)
        except DatabaseUnavailable:
            self._skip_until = loop.time() + _SKIPPED_SECONDS
            return False
        before, self._number = self._number, number
        return before is not None and before != number

    async def _query(self, count: Callable[[], Awaitable[int]], running: asyncio.Task[int] | None) -> int:
        if running is not None:
            await asyncio.wait({running})
        self._running, self._waiting = self._waiting, None
        return await count()


@dataclass(frozen=True)
class Services:
    """What the routes share. Only the event loop's thread uses the caches.

    Parameters
    ----------
    service
        Runs the sessions.
    threads
        They wait for the database and for files.
    page
        Files of the participants' page; see `pixq.study.server.routes_page.read_page`.
    limits
        Limits for requests and sessions.
    by_session, by_address, by_start
        Rate limiters for the three limits.
    proxy
        Whether a trusted proxy sets `X-Forwarded-For`, which then ends with the client's address.
    admin_token
        Hash of the experimenter's token; `None`: there is no experimenter's page.
    statistics
        Returns the statistics for the experimenter's page, and their age in seconds.
    failures
        Gets what goes wrong.
    sizes, states, images
        Caches of session sizes and of states by token hash, and of image files by path.
    withdrawals
        Notices that somebody was withdrawn, by this process or another one.
    """

    service: SessionService
    threads: Threads
    page: Mapping[str, tuple[bytes, str]]
    limits: Limits
    by_session: RateLimiter
    by_address: RateLimiter
    by_start: RateLimiter
    proxy: bool
    admin_token: str | None
    statistics: Callable[[], Awaitable[tuple[Any, float]]]
    failures: FailureLog
    sizes: LRUCache[str, StoredSize] = field(default_factory=lambda: LRUCache(_CACHED_SESSIONS))
    states: LRUCache[str, dict[str, Any]] = field(default_factory=lambda: LRUCache(_CACHED_STATES))
    images: LRUCache[Path, bytes] = field(default_factory=lambda: LRUCache(_CACHED_BYTES, getsizeof=len))
    withdrawals: WithdrawalWatch = field(default_factory=WithdrawalWatch)
    _hasher: AddressHasher = field(default_factory=AddressHasher)

    async def write(self, job: Callable[..., _T], *arguments: Any) -> _T:
        """Call `job` in a thread that writes to the database; raises `DatabaseUnavailable` if that fails."""
        try:
            return await self.threads.write(job, *arguments)
        except DatabaseUnavailable as error:
            self.failures.record("answers can't be stored", str(error))
            raise

    async def read(self, job: Callable[..., _T], *arguments: Any) -> _T:
        """Call `job` in a thread that reads from the database; raises `DatabaseUnavailable` if that fails."""
        try:
            return await self.threads.read(job, *arguments)
        except DatabaseUnavailable as error:
            self.failures.record("the database can't be read", str(error))
            raise

    async def forget_withdrawn(self) -> None:
        """Forget the images of sessions if somebody was withdrawn since the last call; reads from the database."""

        async def count() -> int:
            return await self.read(self.service.store.withdrawals)

        if await self.withdrawals.changed(count):
            self.service.forget_images()

    def client_of(self, scope: Scope) -> bytes:
        """Identifies the client of a request by the hash of its address."""
        return self.client(Request(scope)).encode()

    def client(self, request: Request) -> str:
        """Hash of the client's address."""
        # A client may send headers of this name too; the proxy's address is at the end of the last one.
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")) if self.proxy else ""
        connected = request.client.host if request.client else ""
        return self._hasher.hash(forwarded.rpartition(",")[2].strip() or connected)

    def limit_address(self, request: Request) -> None:
        """Count a request for its address; raises `RequestError` if there are too many."""
        _refuse_if(self.by_address.take(self.client(request)))

    def limit_start(self, request: Request) -> None:
        """Count a start, or an unknown token, for an address; raises `RequestError` if there are too many."""
        _refuse_if(self.by_start.take(self.client(request)))

    def limit_session(self, token: str, cost: float) -> None:
        """Count `cost` requests for a session; raises `RequestError` if there are too many."""
        _refuse_if(self.by_session.take(hash_token(token), cost))

    def query_size(self, token_hash: str) -> StoredSize:
        """The size of the session with this token; waits for the database."""
        store = self.service.store
        return StoredSize(*store.session_size(store.session_by_token(token_hash).id))

    async def authorize(self, request: Request, cost: float = 1.0) -> tuple[str, StoredSize]:
        """The token of a request and the size of its session, before the body is read or anything is locked.

        Raises
        ------
        RequestError
            If the token is missing, or there are too many requests.
        UnknownSession
            If no session has this token.
        """
        self.limit_address(request)
        token = bearer_token(request)
        if token is None:
            headers = {"www-authenticate": "Bearer"}
            raise RequestError(401, "the session token is missing; reopen the study", headers=headers)
        token_hash = hash_token(token)
        size = self.sizes.get(token_hash)
        if size is None:
            # Clients that have guessed too often don't reach the database.
            _refuse_if(self.by_start.wait(self.client(request)))
            queried = await self.read(self.query_size, token_hash)
            size = self.sizes.setdefault(token_hash, queried)
        self.limit_session(token, cost)
        return token, size


def services_of(request: Request) -> Services:
    """The services of the application that a request is for."""
    services: Services = request.app.state.services
    return services


def bearer_token(request: Request) -> str | None:
    """The token in the `Authorization` header, if it has the right form."""
    match = _BEARER.fullmatch(request.headers.get("authorization", ""))
    return match[1] if match else None


def retry_after(seconds: float) -> dict[str, str]:
    """The header that tells a client how long to wait."""
    return {"retry-after": str(max(1, round(seconds + 0.5)))}


def _refuse_if(seconds: float) -> None:
    if seconds:
        raise RequestError(429, "too many requests; try again later", headers=retry_after(seconds))
