"""The study's pages and what they ask, over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from pixq.http.body import read_body
from pixq.http.error_handlers import HANDLERS, told
from pixq.http.errors import Refused
from pixq.http.security import Guard
from pixq.study.server.limits import AddressHasher, Known, Lately, RateLimit, RateLimiter
from pixq.study.session.parse_event import parse_event
from pixq.study.session.service import SessionService, UnexpectedEvent
from pixq.study.store.keys import hash_token
from pixq.study.store.records import DatabaseUnavailable, Event, EventConflict, MissingEvents, UnknownSession

__all__ = ["ADMIN", "Limits", "create_app", "read_page"]

_T = TypeVar("_T")

#: The experimenter's page, by path.
ADMIN = {
    "/admin": ("index.html", "text/html; charset=utf-8"),
    "/admin/admin.css": ("admin.css", "text/css; charset=utf-8"),
    "/admin/admin.js": ("admin.js", "text/javascript; charset=utf-8"),
}
#: What a bundle may consist of.
_MEDIA = {
    ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".woff2": "font/woff2",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{32,128})", re.IGNORECASE)
#: Bytes of a request that count as one more.
_COUNTED = 16 << 10
#: Events a request.
_BATCH = 200
#: Bytes of images that are kept in memory.
_SHELF = 256 << 20
#: Images have names that nobody guesses, and never change.
_FOR_EVER = "private, max-age=31536000, immutable"


class _Shelf:
    """Files that were asked for last, up to so many bytes; only the loop's thread uses it."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._files: OrderedDict[Path, bytes] = OrderedDict()

    def get(self, path: Path) -> bytes | None:
        if path in self._files:
            self._files.move_to_end(path)
        return self._files.get(path)

    def put(self, path: Path, content: bytes) -> None:
        if path in self._files or len(content) > self._most:
            return
        self._files[path] = content
        self._left -= len(content)
        while self._left < 0:
            self._left += len(self._files.popitem(last=False)[1])


@dataclass(frozen=True)
class Limits:
    """What is allowed.

    Parameters
    ----------
    body
        Of a request, in bytes.
    session
        Requests of one session; each 16 KiB count as one more.
    address
        Requests of one address, behind which a whole laboratory may be.
    start
        Sessions begun from one address, and tokens that are none.
    stored
        Of what one session says, in bytes. An honest one has some hundred KiB.
    figures
        Seconds for which the experimenter gets the same figures.
    """

    body: int = 1 << 20
    stored: int = 64 << 20
    figures: float = 30.0
    session: RateLimit = field(default_factory=lambda: RateLimit(second=20, burst=200))
    address: RateLimit = field(default_factory=lambda: RateLimit(second=2_000, burst=20_000))
    start: RateLimit = field(default_factory=lambda: RateLimit(second=2, burst=300))


@dataclass
class _Kept:
    """How much of a session is stored: bytes, and the number that comes next."""

    size: int
    next: int

    def added(self, batch: Sequence[Event]) -> int:
        """Bytes of those events that are not stored yet; data are in ASCII."""
        return sum(len(each.data) for each in batch if each.number >= self.next)


def read_page(folder: Traversable | None = None) -> dict[str, tuple[bytes, str]]:
    """The files of a built page, by name, with their types; no other is ever served.

    Raises
    ------
    FileNotFoundError
        If it has no `index.html`: it was not built.
    """
    folder = folder or files("pixq.study") / "page"
    found = {}
    for each in folder.iterdir() if folder.is_dir() else ():
        media = _MEDIA.get(f".{each.name.rpartition('.')[2]}")
        if each.is_file() and media and _NAME.fullmatch(each.name):
            found[each.name] = (each.read_bytes(), media)
    if "index.html" not in found:
        raise FileNotFoundError("index.html")
    return found


def create_app(
    service: SessionService,
    executor: Executor,
    page: Mapping[str, tuple[bytes, str]],
    *,
    admin: tuple[str, Callable[[], Any]] | None = None,
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"),
    addresses: bool = False,
    proxy: bool = False,
    limits: Limits | None = None,
) -> Starlette:
    """The study's server as an ASGI application.

    Parameters
    ----------
    service
        Holds the sessions.
    executor
        Whose threads wait for the database.
    page
        See `read_page`.
    admin
        Hash of the experimenter's token, and what gives the figures; `None`: there is no such page.
    hosts, addresses
        See `pixq.http.security.Guard`.
    proxy
        Whether a proxy of ours stands before it, whose `X-Forwarded-For` ends with the client's address.
    limits
        See there.
    """
    limits = limits or Limits()
    names = AddressHasher()
    by_session, by_address, starts = RateLimiter(limits.session), RateLimiter(limits.address), RateLimiter(limits.start)
    known: Known[_Kept] = Known()
    shelf = _Shelf(_SHELF)
    folder = files("pixq.study") / "admin"
    admin_files = {path: ((folder / name).read_bytes(), media) for path, (name, media) in ADMIN.items()}
    # A browser asks for one in any case; it is that of `pixq serve`.
    icon = (files("pixq.http") / "assets" / "icon.svg").read_bytes()
    admin_files["/admin/icon.svg"] = (icon, _MEDIA[".svg"])

    def client(request: Request) -> str:
        # A client may send lines of its own; the proxy's is the last, or ends the last.
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")) if proxy else ""
        own = request.client.host if request.client else ""
        return names.name(forwarded.rpartition(",")[2].strip() or own)

    async def work(job: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(executor, job, *arguments)

    def kept_of(name: str) -> _Kept:
        return _Kept(*service.store.session_size(service.store.session_by_token(name).id))

    async def token_of(request: Request, cost: float = 1.0) -> tuple[str, _Kept]:
        """A session's token; one that is none is refused before anything is read of the request or locked for it."""
        _wait(by_address.take(client(request)))
        found = _BEARER.fullmatch(request.headers.get("authorization", ""))
        if found is None:
            raise Refused(401, "the token is missing; open the study again", headers={"www-authenticate": "Bearer"})
        name = hash_token(found[1])
        kept = known.get(name)
        if kept is None:
            # Whoever has guessed too often does not get as far as the database.
            _wait(starts.wait(client(request)))
            kept = known.put(name, await work(kept_of, name))
        _wait(by_session.take(name, cost))
        return found[1], kept

    # They take as long as everything that is stored is much, in the process that holds the sessions.
    lately = Lately(lambda: work(admin[1] if admin else dict), limits.figures)

    async def index(request: Request) -> Response:
        _wait(by_address.take(client(request)))
        local = service.study.platform.kind == "local" and request.url.path == "/"
        if local and "participant" not in request.query_params:
            # So that whoever loads the page again is the same person.
            query = {**request.query_params, "participant": secrets.token_hex(8)}
            return RedirectResponse(f"/?{urlencode(query)}", 303)
        content, media = page["index.html"]
        return Response(content, media_type=media)

    async def bundle(request: Request) -> Response:
        _wait(by_address.take(client(request)))
        found = page.get(request.path_params["name"])
        if found is None:
            raise Refused(404, "there is nothing here")
        return Response(found[0], media_type=found[1], headers={"cache-control": "no-cache"})

    async def start(request: Request) -> Response:
        _wait(starts.take(client(request)))
        given = _json(await read_body(request, 16 << 10))
        platform, language, again = given.get("platform", {}), given.get("language", ""), given.get("again", False)
        if not isinstance(platform, dict) or not isinstance(language, str) or not isinstance(again, bool):
            raise Refused(422, "platform must be an object, language a text, and again true or false")
        texts = {name: value for name, value in platform.items() if isinstance(value, str)}

        def job() -> tuple[dict[str, Any], str, _Kept | None]:
            told = service.start(texts, language, again=again)
            name = hash_token(told["token"])
            return told, name, kept_of(name) if told["token"] else None

        try:
            told, name, kept = await work(job)
            if kept is not None:
                # So that it goes on though its address may begin no more: a whole class may have begun at once.
                known.put(name, kept)
            return JSONResponse(told)
        except ValueError as error:
            raise Refused(422, str(error)) from None

    async def state(request: Request) -> Response:
        return JSONResponse({"state": await work(service.state, (await token_of(request))[0])})

    async def events(request: Request) -> Response:
        length = request.headers.get("content-length", "")
        # A number of sixteen digits is as good as any.
        announced = int(length[:16] if length.isascii() and length.isdigit() else 0)
        token, kept = await token_of(request, 1 + announced / _COUNTED)
        body = await read_body(request, limits.body)
        if len(body) > announced:
            # It came in parts, and nobody knew how many.
            _wait(by_session.take(hash_token(token), len(body) / _COUNTED))
        batch = _events(_json(body))
        if kept.size + kept.added(batch) > limits.stored:
            raise Refused(413, f"this session has stored {limits.stored >> 20} MiB, and may store no more")

        def job() -> tuple[int, bytes]:
            # Here and not in the loop: a trial names hundreds of images.
            told = service.append(token, batch)
            return told["stored"] + 1, bytes(JSONResponse(told).body)

        try:
            next, answered = await work(job)
            kept.size, kept.next = kept.size + kept.added(batch), max(kept.next, next)
            return Response(answered, media_type="application/json")
        except MissingEvents as error:
            raise _conflict(f"event {error.next} is missing; send it first", error.next) from None
        except EventConflict as error:
            text = f"another event has the number {error.number}; is the study open in another window?"
            raise _conflict(text, error.next, number=error.number) from None
        except UnexpectedEvent as error:
            raise _conflict(str(error), error.next, number=error.number) from None

    async def image(request: Request) -> Response:
        _wait(by_address.take(client(request)))

        key = request.path_params["key"]
        try:
            found = service.image(key, wait=False) or await work(service.image, key)
            content = shelf.get(found.path) if found else None
            if found and content is None:
                content = await work(found.path.read_bytes)
                shelf.put(found.path, content)
        except UnknownSession:
            raise Refused(404, "there is nothing here") from None
        except OSError:
            raise Refused(503, "this image can't be read now; try again", headers={"retry-after": "5"}) from None
        media = found.media if found else None
        return Response(content, media_type=media, headers={"cache-control": _FOR_EVER})

    async def admin_page(request: Request) -> Response:
        _wait(by_address.take(client(request)))
        content, media = admin_files[request.url.path]
        return Response(content, media_type=media)

    async def figures(request: Request) -> Response:
        if admin is None:
            raise Refused(404, "there is nothing here")
        token = _BEARER.fullmatch(request.headers.get("authorization", ""))
        if token is None or not hmac.compare_digest(hash_token(token[1]), admin[0]):
            _wait(starts.take(client(request)))
            raise Refused(401, "this is not the token of this study", headers={"www-authenticate": "Bearer"})
        found, age = await lately.get()
        return JSONResponse(found, headers={"age": str(int(age))})

    async def unknown(request: Request, error: Exception) -> Response:
        found = _BEARER.fullmatch(request.headers.get("authorization", ""))
        if found is not None:
            # Of a person who took all back.
            known.forget(hash_token(found[1]))
        wait = starts.take(client(request))
        if wait:
            return told(429, "too many requests; wait a little", headers=_after(wait))
        return told(401, "this token is none; open the study again", headers={"www-authenticate": "Bearer"})

    app = Starlette(
        routes=[
            # Asked for more often than all else together, and routes are tried in this order.
            Route("/api/image/{key}", image, methods=["GET"]),
            Route("/", index, methods=["GET"]),
            Route("/t/{token}", index, methods=["GET"]),
            Route("/page/{name}", bundle, methods=["GET"]),
            Route("/api/start", start, methods=["POST"]),
            Route("/api/state", state, methods=["GET"]),
            Route("/api/events", events, methods=["POST"]),
            *(Route(path, admin_page, methods=["GET"]) for path in (admin_files if admin else ())),
            Route("/api/admin", figures, methods=["GET"]),
        ],
        middleware=[Middleware(Guard, hosts=hosts, addresses=addresses)],
        exception_handlers={**HANDLERS, UnknownSession: unknown, DatabaseUnavailable: _busy},
    )
    # What is not there is not there with another slash either.
    app.router.redirect_slashes = False
    return app


async def _busy(request: Request, error: Exception) -> Response:
    return told(503, "the answers can't be stored now; they are sent again", headers={"retry-after": "2"})


def _after(wait: float) -> dict[str, str]:
    return {"retry-after": str(max(1, round(wait + 0.5)))}


def _wait(seconds: float) -> None:
    if seconds:
        raise Refused(429, "too many requests; wait a little", headers=_after(seconds))


def _conflict(text: str, next: int, **more: Any) -> Refused:
    return Refused(409, text, stored=next - 1, **more)


def _json(body: bytes) -> dict[str, Any]:
    def constant(name: str) -> Any:
        raise ValueError(name)

    try:
        found = json.loads(body, parse_constant=constant)
    except (ValueError, RecursionError):
        raise Refused(400, "this is no JSON; send it again") from None
    if not isinstance(found, dict):
        raise Refused(400, "send an object")
    return found


def _events(given: dict[str, Any]) -> list[Event]:
    listed = given.get("events")
    if not isinstance(listed, list) or not 1 <= len(listed) <= _BATCH:
        raise Refused(422, f"events must be a list of 1 to {_BATCH}")
    found = [_event(each) for each in listed]
    if any(later.number != each.number + 1 for each, later in pairwise(found)):
        raise Refused(422, "events must be in the order of their numbers, without a gap")
    return found


def _event(given: Any) -> Event:
    try:
        return parse_event(given)
    except ValueError as error:
        raise Refused(422, str(error)) from None
