"""The responses for refused requests and for unexpected errors."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from pixq.http.errors import RequestError

__all__ = ["EXCEPTION_HANDLERS", "error_response"]


def error_response(
    status: int, message: str, image: str | None = None, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """An error as a response; see `RequestError`."""
    return JSONResponse({"error": message, "image": image, **more}, status, headers)


async def _refused(request: Request, error: Any) -> Response:
    return error_response(error.status, str(error), error.image, error.headers, **error.more)


async def _disconnected(request: Request, error: Exception) -> Response:
    # Nobody reads it; other servers log this status for clients that disconnect.
    return Response(status_code=499)


async def _http_error(request: Request, error: Any) -> Response:
    messages = {404: "nothing was found at this address", 405: f"{request.method} is not supported at this address"}
    return error_response(error.status_code, messages.get(error.status_code, str(error.detail)), headers=error.headers)


async def _bug(request: Request, error: Exception) -> Response:
    # Starlette raises it again for the log; the client learns no internals.
    return error_response(500, "pixq failed; see its terminal for the reason")


#: Exception handlers for a Starlette application.
EXCEPTION_HANDLERS: dict[Any, Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    RequestError: _refused,
    ClientDisconnect: _disconnected,
    HTTPException: _http_error,
    Exception: _bug,
}
