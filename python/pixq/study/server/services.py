"""What the routes of the study's server share: sessions, caches, limits, and the check of a session's token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cachetools import LRUCache
from starlette.requests import Request
from starlette.types import Scope

from pixq.http.errors import RequestError
from pixq.study.server.limits import AddressHasher, Limits, RateLimiter
from pixq.study.session.service import SessionService
from pixq.study.store.keys import hash_token

__all__ = ["Services", "StoredSize", "bearer_token", "retry_after", "services_of"]

_T = TypeVar("_T")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{32,128})", re.IGNORECASE)
#: Number of sessions whose size is cached; it is queried again for others.
_CACHED_SESSIONS = 20_000
#: Bytes of images that are cached.
_CACHED_BYTES = 256 << 20


@dataclass
class StoredSize:
    """The size of a session in the database: the bytes of its events, and the number of the next event."""

    size: int
    next: int


@dataclass(frozen=True)
class Services:
    """What the routes share. Only the event loop's thread uses the caches.

    Parameters
    ----------
    service
        Runs the sessions.
    executor
        Its threads wait for the database and for files.
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
    sizes, images
        Caches of session sizes by token hash, and of image files by path.
    """

    service: SessionService
    executor: Executor
    page: Mapping[str, tuple[bytes, str]]
    limits: Limits
    by_session: RateLimiter
    by_address: RateLimiter
    by_start: RateLimiter
    proxy: bool
    admin_token: str | None
    statistics: Callable[[], Awaitable[tuple[Any, float]]]
    sizes: LRUCache[str, StoredSize] = field(default_factory=lambda: LRUCache(_CACHED_SESSIONS))
    images: LRUCache[Path, bytes] = field(default_factory=lambda: LRUCache(_CACHED_BYTES, getsizeof=len))
    _hasher: AddressHasher = field(default_factory=AddressHasher)

    async def run(self, job: Callable[..., _T], *arguments: Any) -> _T:
        """Call `job` in a thread of the executor."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, job, *arguments)

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
            queried = await self.run(self.query_size, token_hash)
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
