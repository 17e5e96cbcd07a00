"""Who may ask: the host that was meant, and no page of another site. And what browsers are told with every answer."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "Guard", "is_loopback", "is_wildcard"]

#: Of every answer. Nothing is loaded from anywhere else, nobody frames the page, and no script makes markup of text.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

#: A host of RFC 3986, and a port. What matches neither is no host.
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")

#: Methods that change nothing, so that another site gains nothing by asking.
_SAFE = ("GET", "HEAD")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for every address of this machine.

    Examples
    --------
    >>> [is_wildcard(host) for host in ("0.0.0.0", "::", "192.168.0.7")]
    [True, True, False]
    """
    return host.strip("[]") in ("0.0.0.0", "::")


def _same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        # As of http://[, which names nobody.
        return False
    return parts.scheme in ("http", "https") and parts.netloc == host


class Guard:
    """Refuses requests that are not for us, and puts `HEADERS` on every answer.

    A page of another site can make a visitor's browser send requests here. If its name is made to point here (DNS
    rebinding), the `Host` of the request is that name, so hosts are compared with those that were meant. Else the
    `Origin` or `Sec-Fetch-Site` of what changes something tells. A program that is no browser sends neither.

    Parameters
    ----------
    app
        What answers the others.
    hosts
        Names and addresses that a `Host` header may have, without a port; IPv6 with or without brackets.
    addresses
        Whether it may have any numeric address: rebinding takes a name.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, addresses: bool = False) -> None:
        self._app = app
        self._hosts = {host.strip("[]").lower() for host in hosts}
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # Neither WebSockets nor anything else is spoken here; the server is told not to offer them.
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # What may be kept is said by who made it; all else is as it must be.
                kept = headers.get("cache-control")
                headers.update(HEADERS)
                if kept is not None:
                    headers["cache-control"] = kept
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, told)
            return
        status, text = refusal
        body = json.dumps({"error": text, "image": None}).encode()
        start: MutableMapping[str, Any] = {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        }
        await told(start)
        await told({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(host):
            return 421, "this host name is not served here; open the address that pixq printed"
        if scope["method"] in _SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and not _same(origin, host):
            return 403, "a page of another site may not use this service"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "a page of another site may not use this service"
        return None

    def _known(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").lower()
        if name in self._hosts:
            return True
        if not self._addresses:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
