"""Routes of the participants' page and its files."""

from __future__ import annotations

import re
import secrets
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pixq.study.server.services import services_of

__all__ = ["MEDIA_TYPES", "ROUTES", "read_page"]

#: Media types of the files that a page may consist of.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read_page(folder: Traversable | None = None) -> dict[str, tuple[bytes, str]]:
    """The files of a built page and their media types, by name; no other file is ever served.

    Raises
    ------
    FileNotFoundError
        If there is no `index.html`: the page was not built.
    """
    folder = folder or files("pixq.study") / "page"
    page = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        media_type = MEDIA_TYPES.get(f".{file.name.rpartition('.')[2]}")
        if file.is_file() and media_type and _NAME.fullmatch(file.name):
            page[file.name] = (file.read_bytes(), media_type)
    if "index.html" not in page:
        raise FileNotFoundError("index.html")
    return page


async def _index(request: Request) -> Response:
    services = services_of(request)
    services.limit_address(request)
    local = services.service.study.platform.kind == "local" and request.url.path == "/"
    if local and "participant" not in request.query_params:
        # A name in the address, so that reloading the page does not make another participant.
        query = {**request.query_params, "participant": secrets.token_hex(8)}
        return RedirectResponse(f"/?{urlencode(query)}", 303)
    content, media_type = services.page["index.html"]
    return Response(content, media_type=media_type)


async def _file(request: Request) -> Response:
    services = services_of(request)
    services.limit_address(request)
    file = services.page.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    return Response(file[0], media_type=file[1], headers={"cache-control": "no-cache"})


ROUTES = [
    Route("/", _index, methods=["GET"]),
    Route("/t/{token}", _index, methods=["GET"]),
    Route("/page/{name}", _file, methods=["GET"]),
]
