"""Route of the images that sessions show."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pixq.errors import one_line
from pixq.http.errors import RequestError
from pixq.study.server.services import services_of
from pixq.study.store.records import UnknownSession

__all__ = ["ROUTES"]

#: The key of an image can't be guessed, and its image never changes.
_FOREVER = "private, max-age=31536000, immutable"


async def _image(request: Request) -> Response:
    services = services_of(request)
    services.limit_address(request)
    key = request.path_params["key"]
    await services.forget_withdrawn()
    try:
        find = partial(services.service.image, key, sent=request.method == "GET")
        image = find(wait=False) or await services.read(find)
        if image is None:
            raise HTTPException(404)
        content = services.images.get(image.path)
        if content is None:
            content = await services.threads.read_file(image.path.read_bytes)
            # An image that is larger than the cache is not cached.
            with suppress(ValueError):
                services.images[image.path] = content
    except UnknownSession:
        raise HTTPException(404) from None
    except OSError as error:
        services.failures.record("an image can't be read", one_line(error))
        message = "this image can't be read at the moment; try again"
        raise RequestError(503, message, headers={"retry-after": "5"}) from None
    return Response(content, media_type=image.media, headers={"cache-control": _FOREVER})


ROUTES = [Route("/api/image/{key}", _image, methods=["GET"])]
