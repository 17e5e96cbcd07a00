"""What a client reads when it is refused, and when something else goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from pixq.http.errors import Refused

__all__ = ["HANDLERS", "told"]


def told(
    status: int, message: str, image: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """An error as the answer that all of a service's errors have; see `Refused`."""
    return JSONResponse({"error": message, "image": image, **more}, status, headers)


async def _refused(request: Request, error: Any) -> Response:
    return told(error.status, str(error), error.image, error.headers, **error.more)


async def _nobody(request: Request, error: Exception) -> Response:
    # Nobody reads it; 499 is what other servers write down for a client that went away.
    return Response(status_code=499)


async def _other(request: Request, error: Any) -> Response:
    known = {404: "there is nothing here", 405: f"{request.method} is not possible here"}
    return told(error.status_code, known.get(error.status_code, str(error.detail)), headers=error.headers)


async def _defect(request: Request, error: Exception) -> Response:
    # Starlette raises it again for the log; the client learns nothing of our insides.
    return told(500, "pixq failed; its terminal says why")


#: Of a Starlette application.
HANDLERS: dict[Any, Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    Refused: _refused,
    ClientDisconnect: _nobody,
    HTTPException: _other,
    Exception: _defect,
}
