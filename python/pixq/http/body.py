"""Read the body of a request, with a time limit and a size limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from pixq.http.errors import RequestError

__all__ = ["LONGEST", "PATIENCE", "SLOWEST", "Body", "read_body"]

#: Seconds within which a client must send something.
PATIENCE = 30.0
#: Bytes per second that a client must send on average, from `PATIENCE` seconds on.
SLOWEST = 16 << 10
#: Seconds within which the whole body must arrive.
LONGEST = 600.0
#: Seconds for which the rest of a refused body is read and dropped.
_DRAIN = 2.0


class Body:
    """The body of a request as a stream.

    Parameters
    ----------
    request
        The request; nothing else may read its body.
    """

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._read = False

    async def _next(self, seconds: float) -> bytes:
        message = await asyncio.wait_for(self._receive(), seconds)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._read = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the parts of the body.

        Raises
        ------
        RequestError
            If nothing arrives for `PATIENCE` seconds, or the body arrives too slowly; see `SLOWEST` and `LONGEST`.
        ClientDisconnect
            If the client disconnects.
        """
        began, size = time.monotonic(), 0
        while not self._read:
            # The time that this many bytes may take: sending a byte now and then does not keep a connection.
            left = began + min(PATIENCE + size / SLOWEST, LONGEST) - time.monotonic()
            try:
                chunk = await self._next(max(0.0, min(PATIENCE, left)))
            except TimeoutError:
                waited = f"nothing arrived for {PATIENCE:g} seconds" if left >= PATIENCE else "it arrived too slowly"
                raise RequestError(408, f"{waited}; send the request again") from None
            size += len(chunk)
            yield chunk

    async def drain(self) -> None:
        """Read and drop the rest for a while: a client that can't finish sending may never read the response."""
        end = time.monotonic() + _DRAIN
        while not self._read and (left := end - time.monotonic()) > 0:
            try:
                await self._next(left)
            except TimeoutError:
                return


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body of a request.

    Parameters
    ----------
    request
        The request.
    limit
        The largest size, in bytes.

    Raises
    ------
    RequestError
        If it is larger, or arrives too slowly; see `Body.chunks`.
    ClientDisconnect
        If the client disconnects.
    """
    body, data = Body(request), bytearray()
    try:
        length = int(request.headers.get("content-length", 0))
    except ValueError:
        length = 0
    if length <= limit:
        async for chunk in body.chunks():
            data += chunk
            if len(data) > limit:
                break
        else:
            return bytes(data)
    await body.drain()
    raise RequestError(413, f"the request is larger than {limit >> 10} KiB; send it in parts")
