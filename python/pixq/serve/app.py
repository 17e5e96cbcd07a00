"""The service: a page, what it is told of the model, and the map of two uploads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pixq._version import __version__
from pixq.http.error_handlers import HANDLERS, told
from pixq.http.errors import Refused
from pixq.http.security import Guard
from pixq.io.image_formats import DECODED
from pixq.scoring.grid import STRIDE
from pixq.serve.response_json import MAX_PATCHES, Mapper, Watch, answer, class_table, compare, picture
from pixq.serve.upload import read_form

__all__ = ["PAGE", "Settings", "create_app"]

_T = TypeVar("_T")

#: All files that are served, by path, with their types; there are no others.
PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("api", "drop", "flicker", "map", "page", "verdict", "viewer")
    },
}

#: Those that the page of `pixq study` uses too: they lie in `pixq/http/assets`.
SHARED = ("flicker.js", "icon.svg", "page.css")


@dataclass(frozen=True)
class Settings:
    """What a service allows, and what it says of its model.

    Parameters
    ----------
    hosts
        What a `Host` header may name; see `pixq.http.security`.
    addresses
        Whether it may be any numeric address.
    about
        Facts of the model that the page shows: `model`, `fingerprint`, `calibration`.
    max_upload
        The largest file, in bytes.
    max_pixels
        The largest image, in pixels.
    workers
        Pairs that are scored at a time.
    waiting
        Requests beyond those that may wait; more are answered with 503.
    size
        Side of a patch, in pixels.
    strides
        Those that may be asked for.
    """

    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
    addresses: bool = False
    about: Mapping[str, str | None] = field(default_factory=dict)
    max_upload: int = 64 << 20
    max_pixels: int = 64_000_000
    workers: int = 1
    waiting: int = 4
    size: int = 20
    strides: tuple[int, ...] = (5, STRIDE, 20)


class _Gone(Exception):
    """Nobody waits for the answer any more, or the service ends."""


class _Desk:
    """So many are served at a time, so many wait, and the rest are sent away before they have sent anything."""

    def __init__(self, workers: int, waiting: int) -> None:
        self._places = workers + waiting
        self._inside = 0
        self.ending = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pixq-serve")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        if self._inside >= self._places:
            raise Refused(503, "too many are waiting; try again in a few seconds", headers={"retry-after": "5"})
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def work(self, request: Request, job: Callable[[Watch], _T]) -> _T:
        """The result of `job` on a thread; it is ended when the client goes away, or the service does."""
        gone = threading.Event()

        def watch(done: int, total: int) -> None:
            if gone.is_set() or self.ending.is_set():
                raise _Gone

        # Work that was given up stays in the pool's queue; with a job, its uploads would.
        held = [job]

        def run() -> _T:
            try:
                own = held.pop()
            except IndexError:
                raise _Gone from None
            return own(watch)

        work = asyncio.get_running_loop().run_in_executor(self._pool, run)
        left = asyncio.create_task(_left(request))
        try:
            either: set[asyncio.Future[Any]] = {work, left}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return work.result()
        finally:
            gone.set()
            held.clear()
            left.cancel()
            # Of work that has not begun; what has begun ends at its next `watch`, and nobody asks how.
            work.cancel()
            work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def create_app(mapper: Mapper, settings: Settings | None = None) -> Starlette:
    """The service as an ASGI application.

    Nothing that is uploaded is written to a disk, and no file is read for a request.

    Parameters
    ----------
    mapper
        What scores, such as `pixq.load` gives; it is called from several threads where `settings.workers` says so.
    settings
        What it allows; the defaults of `Settings`.

    Returns
    -------
    Starlette
        `state.ending` is a `threading.Event`: once it is set, what is being scored is given up.
    """
    settings = settings or Settings()
    desk = _Desk(settings.workers, settings.waiting)
    package, assets = files("pixq.serve") / "page", files("pixq.http") / "assets"
    loaded = {
        path: (((assets if name in SHARED else package) / name).read_bytes(), kind)
        for path, (name, kind) in PAGE.items()
    }

    async def page(request: Request) -> Response:
        content, kind = loaded[request.url.path]
        return Response(content, media_type=kind)

    async def model(request: Request) -> Response:
        return JSONResponse(
            {
                "pixq": __version__,
                **settings.about,
                "classes": class_table(),
                "size": settings.size,
                "stride": STRIDE,
                "strides": settings.strides,
                "limits": {
                    "bytes": settings.max_upload,
                    "pixels": settings.max_pixels,
                    "formats": [image_format.title for image_format in DECODED],
                    "patches": MAX_PATCHES,
                    "at_a_time": settings.workers,
                    "waiting": settings.waiting,
                },
            }
        )

    async def predict(request: Request) -> Response:
        async with desk.place():
            form = await read_form(request, ("reference", "distorted"), ("stride",), settings.max_upload)
            stride = _stride(form.fields.get("stride"), settings.strides)
            reference, distorted = form.files["reference"], form.files["distorted"]

            def job(watch: Watch) -> bytes:
                found = compare(
                    mapper, reference, distorted, stride=stride, size=settings.size,
                    max_pixels=settings.max_pixels, watch=watch,
                )  # fmt: skip
                # Here and not in the loop: it may be tens of megabytes.
                return bytes(JSONResponse(answer(found, reference.name, distorted.name)).body)

            return Response(await desk.work(request, job), media_type="application/json")

    async def preview(request: Request) -> Response:
        async with desk.place():
            form = await read_form(request, ("image",), (), settings.max_upload)
            upload = form.files["image"]
            png = await desk.work(request, lambda watch: picture(upload, settings.max_pixels))
            return Response(png, media_type="image/png")

    app = Starlette(
        routes=[
            *(Route(path, page, methods=["GET"]) for path in PAGE),
            Route("/api/model", model, methods=["GET"]),
            Route("/api/predict", predict, methods=["POST"]),
            Route("/api/picture", preview, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, hosts=settings.hosts, addresses=settings.addresses)],
        exception_handlers={**HANDLERS, _Gone: _ended},
    )
    # What is not there is not there with another slash either.
    app.router.redirect_slashes = False
    app.state.ending = desk.ending
    return app


def _stride(given: str | None, known: tuple[int, ...]) -> int:
    if given is None:
        return STRIDE
    if given not in map(str, known):
        raise Refused(422, f"there is no stride {given!r} here; choose {', '.join(map(str, known))}")
    return int(given)


async def _ended(request: Request, error: Exception) -> Response:
    return told(503, "pixq serve is ending")
