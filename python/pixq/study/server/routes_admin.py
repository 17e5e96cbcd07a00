"""Routes of the experimenter's page and its statistics."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Generic, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pixq.http.errors import RequestError
from pixq.study.server.routes_page import MEDIA_TYPES
from pixq.study.server.services import bearer_token, services_of
from pixq.study.store.keys import hash_token
from pixq.study.store.records import DatabaseUnavailable

__all__ = ["RefreshedValue", "page_routes", "statistics_route"]

_V = TypeVar("_V")
#: Seconds that a request waits for a value.
_PATIENCE = 8.0


def page_routes() -> list[Route]:
    """Routes of the files of the experimenter's page, which reveal nothing without the token."""
    admin, shared = files("pixq.study") / "admin", files("pixq.http") / "assets"
    paths = {
        "/admin": admin / "index.html", "/admin/admin.css": admin / "admin.css", "/admin/admin.js": admin / "admin.js",
        # Browsers always request an icon; this is the one of `pixq serve`.
        "/admin/icon.svg": shared / "icon.svg",
    }  # fmt: skip
    contents = {
        path: (file.read_bytes(), MEDIA_TYPES[f".{file.name.rpartition('.')[2]}"]) for path, file in paths.items()
    }

    async def page_file(request: Request) -> Response:
        services_of(request).limit_address(request)
        content, media_type = contents[request.url.path]
        return Response(content, media_type=media_type)

    return [Route(path, page_file, methods=["GET"]) for path in contents]


async def _statistics(request: Request) -> Response:
    services = services_of(request)
    if services.admin_token is None:
        raise HTTPException(404)
    token = bearer_token(request)
    if token is None or not hmac.compare_digest(hash_token(token), services.admin_token):
        services.limit_start(request)
        message = "this is not the token of this study; copy it from admin.token"
        raise RequestError(401, message, headers={"www-authenticate": "Bearer"})
    try:
        statistics, age = await services.statistics()
    except DatabaseUnavailable as error:
        failures = services.failures.summary()
        raise RequestError(
            503, f"the statistics are not available: {error}", headers={"retry-after": "5"}, failures=failures
        ) from None
    return JSONResponse({**statistics, "failures": services.failures.summary()}, headers={"age": str(int(age))})


statistics_route = Route("/api/admin", _statistics, methods=["GET"])


class RefreshedValue(Generic[_V]):
    """Computes a value at most once at a time; while it is refreshed, others get the old one. For one event loop.

    Parameters
    ----------
    compute
        Computes the value.
    seconds
        Seconds until the value is computed again.
    clock
        Returns seconds.
    patience
        Seconds that a request waits for a new value.
    """

    def __init__(
        self,
        compute: Callable[[], Awaitable[_V]],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        patience: float = _PATIENCE,
    ) -> None:
        self._compute = compute
        self._seconds = seconds
        self._clock = clock
        self._patience = patience
        self._last: tuple[_V, float] | None = None
        self._task: asyncio.Task[_V] | None = None

    async def get(self) -> tuple[_V, float]:
        """The value and its age in seconds; an old value if there is no new one in time, or it can't be computed.

        Raises
        ------
        DatabaseUnavailable
            If the first value takes longer than `patience`.
        Exception
            As raised by `compute`, for the first value; the next call tries again.
        """
        last, now = self._last, self._clock()
        if last is not None and (now - last[1] < self._seconds or self._task is not None):
            return last[0], now - last[1]
        if self._task is None:
            self._task = asyncio.create_task(self._refresh())
            # Nobody may wait for it any more.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        task = self._task
        # A client that disconnects does not cancel the computation for the others.
        await asyncio.wait({task}, timeout=self._patience)
        if task.done() and (last is None or task.exception() is None):
            return task.result(), 0.0
        if last is None:
            raise DatabaseUnavailable("they are still being computed")
        return last[0], now - last[1]

    async def _refresh(self) -> _V:
        started = self._clock()
        try:
            value = await self._compute()
            self._last = (value, started)
            return value
        finally:
            self._task = None
