"""The service behind the page: its files, facts about the model, and maps of uploads."""

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
from pixq.errors import PixqError
from pixq.http.error_handlers import EXCEPTION_HANDLERS, error_response
from pixq.http.errors import RequestError
from pixq.http.security import SecurityMiddleware
from pixq.io.image_formats import DECODED
from pixq.io.images import Background
from pixq.io.progress import ProgressCallback
from pixq.scoring.backgrounds import DEFAULT_BACKGROUNDS
from pixq.scoring.grid import STRIDE
from pixq.serve.form_fields import VIEWING_FIELDS, read_backgrounds, read_stride, read_viewing
from pixq.serve.response_json import MAX_PATCHES, Mapper, as_png, class_table, map_json, score_uploads, viewing_json
from pixq.serve.upload import read_form
from pixq.viewing import TASKS, ViewingConditions

__all__ = ["PAGE", "Settings", "create_app"]

_T = TypeVar("_T")

#: The files that are served, and their types, by path.
PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("api", "drop", "flicker", "map", "page", "verdict", "viewer", "viewing")
    },
}

#: Files of `pixq/http/assets`, which the page of `pixq study` uses too.
SHARED = ("flicker.js", "icon.svg", "page.css")


@dataclass(frozen=True)
class Settings:
    """The limits of a service, and facts about its model.

    Parameters
    ----------
    hosts
        Names that a `Host` header may hold; see `pixq.http.security`.
    addresses
        Whether it may hold any numeric address.
    about
        Facts about the model for the page: `model`, `fingerprint`, `calibration`.
    max_upload
        The largest file, in bytes.
    max_pixels
        The largest image, in pixels.
    workers
        The number of pairs that are scored at a time.
    waiting
        The number of further requests that may wait; others get status 503.
    size
        Side of a patch, in pixels.
    strides
        The strides that may be requested.
    colour_management
        Whether images with a profile are converted to sRGB.
    backgrounds
        What images with transparent pixels are put on, unless a request names others.
    frame
        Which frame of animations, or page of TIFFs; files that hold one image ignore it. Without it, files that have
        several are refused.
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
    colour_management: bool = True
    backgrounds: tuple[Background, ...] = DEFAULT_BACKGROUNDS
    frame: int | None = None


class _Gone(Exception):
    """The client has disconnected, or the service ends."""


class _Queue:
    """Handles `workers` requests at a time, lets `waiting` others wait, and refuses the rest before they upload."""

    def __init__(self, workers: int, waiting: int) -> None:
        self._places = workers + waiting
        self._taken = 0
        self.ending = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pixq-serve")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        if self._taken >= self._places:
            raise RequestError(
                503, "too many requests are waiting; try again in a few seconds", headers={"retry-after": "5"}
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def work(self, request: Request, job: Callable[[ProgressCallback], _T]) -> _T:
        """Run `job` on a thread; it is stopped when the client disconnects or the service ends."""
        gone = threading.Event()

        def on_progress(stage: str, done: int, total: int, note: str = "") -> None:
            if gone.is_set() or self.ending.is_set():
                raise _Gone

        # Work that was given up stays in the pool's queue, but must not keep the uploads of its job.
        held = [job]

        def run() -> _T:
            try:
                current = held.pop()
            except IndexError:
                raise _Gone from None
            return current(on_progress)

        work = asyncio.get_running_loop().run_in_executor(self._pool, run)
        disconnected = asyncio.create_task(_wait_for_disconnect(request))
        try:
            either: set[asyncio.Future[Any]] = {work, disconnected}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return work.result()
        finally:
            gone.set()
            held.clear()
            disconnected.cancel()
            # Cancels work that has not begun; work that has begun ends at its next `on_progress`, unobserved.
            work.cancel()
            work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def create_app(mapper: Mapper, settings: Settings | None = None) -> Starlette:
    """Make the service, an ASGI application.

    Uploads are never written to disk, and no file is read for a request but the run's calibrations, once people look at
    the images in another way.

    Parameters
    ----------
    mapper
        Scores image pairs, as the scorer that `pixq.load` returns does; `settings.workers` threads call it.
    settings
        Its limits; the defaults of `Settings` if `None`.

    Returns
    -------
    Starlette
        `state.ending` is a `threading.Event`: setting it stops all scoring.
    """
    settings = settings or Settings()
    queue = _Queue(settings.workers, settings.waiting)
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
                "colour_management": settings.colour_management,
                "backgrounds": settings.backgrounds,
                "viewing": viewing_json(mapper.viewing),
                "tasks": [{"name": name, "words": words} for name, words in TASKS.items()],
                "frame": settings.frame,
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
        async with queue.place():
            fields = ("stride", "background", *VIEWING_FIELDS)
            form = await read_form(request, ("reference", "distorted"), fields, settings.max_upload)
            stride = read_stride(form.fields.get("stride"), settings.strides)
            backgrounds = read_backgrounds(form.fields.get("background"), settings.backgrounds)
            viewing = read_viewing(form.fields, mapper.viewing)
            reference, distorted = form.files["reference"], form.files["distorted"]
            managed = settings.colour_management

            def job(on_progress: ProgressCallback) -> bytes:
                scored = score_uploads(
                    _for_viewing(mapper, viewing), reference, distorted, stride=stride, size=settings.size,
                    max_pixels=settings.max_pixels, on_progress=on_progress,
                    colour_management=managed, backgrounds=backgrounds, frame=settings.frame,
                )  # fmt: skip
                # On this thread and not in the event loop: it may be tens of megabytes.
                made = map_json(scored, reference.name, distorted.name, colour_management=managed)
                return bytes(JSONResponse(made).body)

            return Response(await queue.work(request, job), media_type="application/json")

    async def preview(request: Request) -> Response:
        async with queue.place():
            form = await read_form(request, ("image",), (), settings.max_upload)
            upload = form.files["image"]
            managed = settings.colour_management
            png = await queue.work(
                request,
                lambda on_progress: as_png(
                    upload, settings.max_pixels, colour_management=managed, frame=settings.frame
                ),
            )
            return Response(png, media_type="image/png")

    app = Starlette(
        routes=[
            *(Route(path, page, methods=["GET"]) for path in PAGE),
            Route("/api/model", model, methods=["GET"]),
            Route("/api/predict", predict, methods=["POST"]),
            Route("/api/picture", preview, methods=["POST"]),
        ],
        middleware=[Middleware(SecurityMiddleware, hosts=settings.hosts, addresses=settings.addresses)],
        exception_handlers={**EXCEPTION_HANDLERS, _Gone: _ended},
    )
    # A path with an extra slash is not found either.
    app.router.redirect_slashes = False
    app.state.ending = queue.ending
    return app


def _for_viewing(mapper: Mapper, viewing: ViewingConditions) -> Mapper:
    try:
        return mapper.with_viewing(viewing)
    except PixqError:
        # Its own message names a file of this machine, and options of the command line.
        raise RequestError(
            422, f"the calibration in use holds for {mapper.viewing}, and not for {viewing}; go back to the former"
        ) from None


async def _ended(request: Request, error: Exception) -> Response:
    return error_response(503, "pixq serve is shutting down; start it again")
