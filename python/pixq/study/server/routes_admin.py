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

__all__ = ["RefreshedValue", "page_routes", "statistics_route"]

_V = TypeVar("_V")


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
    statistics, age = await services.statistics()
    return JSONResponse(statistics, headers={"age": str(int(age))})


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
    """

    def __init__(
        self, compute: Callable[[], Awaitable[_V]], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._compute = compute
        self._seconds = seconds
        self._clock = clock
        self._last: tuple[_V, float] | None = None
        self._task: asyncio.Task[_V] | None = None

    async def get(self) -> tuple[_V, float]:
        """The value and its age in seconds.

        Raises
        ------
        Exception
            As raised by `compute`; the next call tries again.
        """
        last, now = self._last, self._clock()
        if last is not None and (now - last[1] < self._seconds or self._task is not None):
            return last[0], now - last[1]
        if self._task is None:
            self._task = asyncio.create_task(self._refresh())
        # A client that disconnects does not cancel the computation for the others.
        return await asyncio.shield(self._task), 0.0

    async def _refresh(self) -> _V:
        started = self._clock()
        try:
            value = await self._compute()
            self._last = (value, started)
            return value
        finally:
            self._task = None
