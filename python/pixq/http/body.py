"""Reading a request's body: patient, but not for ever, and no further than it may be long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from pixq.http.errors import Refused

__all__ = ["PATIENCE", "Body", "read_body"]

#: Seconds in which a client must send something.
PATIENCE = 30.0
#: Seconds for which what is too large is read and dropped.
_DRAIN = 2.0


class Body:
    """The body of a request, as it comes.

    Parameters
    ----------
    request
        Whose body it is; nothing else may read it.
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
        """Its parts.

        Raises
        ------
        Refused
            If nothing comes for `PATIENCE` seconds.
        ClientDisconnect
            If the client went away.
        """
        while not self._read:
            try:
                yield await self._next(PATIENCE)
            except TimeoutError:
                raise Refused(408, f"nothing came for {PATIENCE:g} seconds; send it again") from None

    async def drain(self) -> None:
        """Drop what is still to come, for a while: a client that can't go on sending may never see the answer."""
        end = time.monotonic() + _DRAIN
        while not self._read and (left := end - time.monotonic()) > 0:
            try:
                await self._next(left)
            except TimeoutError:
                return


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body of a request.

    Parameters
    ----------
    request
        Whose body is read.
    limit
        Bytes that it may have.

    Raises
    ------
    Refused
        If it is larger, or nothing comes for `PATIENCE` seconds.
    ClientDisconnect
        If the client went away.
    """
    body, found = Body(request), bytearray()
    try:
        length = int(request.headers.get("content-length", 0))
    except ValueError:
        length = 0
    if length <= limit:
        async for chunk in body.chunks():
            found += chunk
            if len(found) > limit:
                break
        else:
            return bytes(found)
    await body.drain()
    raise Refused(413, f"the request is larger than {limit >> 10} KiB; send it in parts")
