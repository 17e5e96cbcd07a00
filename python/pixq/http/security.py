"""Refuse requests to foreign host names and from foreign sites, and add security headers to every response."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["SECURITY_HEADERS", "SecurityMiddleware", "is_loopback", "is_wildcard"]

#: Headers of every response. Pages load nothing from elsewhere and can't be framed; scripts can't make markup of text.
SECURITY_HEADERS = {
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

#: A host as in RFC 3986, and optionally a port.
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")

#: Methods that change nothing, so that another site gains nothing from them.
_SAFE = ("GET", "HEAD")


def is_loopback(host: str) -> bool:
    """Whether `host` can be reached from this machine only.

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
        # For example http://[, which is not a URL.
        return False
    return parts.scheme in ("http", "https") and parts.netloc == host


class SecurityMiddleware:
    """Middleware that refuses requests from foreign sites, and adds `SECURITY_HEADERS` to every response.

    A page of another site can make a visitor's browser send requests here. If its name is made to point here (DNS
    rebinding), the request's `Host` is that name, so hosts are compared with the allowed ones. Otherwise, requests that
    change something carry a foreign `Origin` or `Sec-Fetch-Site`. Programs other than browsers send neither.

    Parameters
    ----------
    app
        The application that handles allowed requests.
    hosts
        Names and addresses that a `Host` header may hold, without a port; IPv6 with or without brackets.
    addresses
        Whether any numeric address is allowed: rebinding needs a name.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, addresses: bool = False) -> None:
        self._app = app
        self._hosts = {host.strip("[]").lower() for host in hosts}
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            # The server is configured not to offer WebSockets or anything else.
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # The application may set its own cache policy; all other headers are fixed.
                headers.update(
                    SECURITY_HEADERS | {name: headers[name] for name in ("cache-control",) if name in headers}
                )
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_secured)
            return
        status, text = refusal
        body = json.dumps({"error": text, "image": None}).encode()
        start: MutableMapping[str, Any] = {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        }
        await send_secured(start)
        await send_secured({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._allowed(host):
            return 421, "this server does not serve that host name; open the address that pixq printed"
        if scope["method"] in _SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and not _same(origin, host):
            return 403, "pages of other sites may not use this service"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "pages of other sites may not use this service"
        return None

    def _allowed(self, host: str) -> bool:
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
