"""Listening: a socket, a warning where others can reach it, and an end by Ctrl-C."""

from __future__ import annotations

import os
import socket
import sys
import threading
import webbrowser
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from pixq.errors import PixqError
from pixq.serve.answer import Mapper
from pixq.serve.app import Settings, create_app
from pixq.serve.guard import is_loopback, is_wildcard

if TYPE_CHECKING:
    from pixq.scorer import Scorer

__all__ = ["about", "listen", "serve", "settings_for"]

#: Connections beyond those that the service answers or lets wait: the page's own files, and browsers that keep some.
_CONNECTIONS = 64
#: Seconds that a running request has after Ctrl-C.
_GRACE = 1


class _Server(uvicorn.Server):
    """Gives up what is being scored as soon as it is to end, not only when its grace is over."""

    def __init__(self, config: uvicorn.Config, ending: threading.Event) -> None:
        super().__init__(config)
        self.ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.ending.set()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Parameters
    ----------
    host
        A name or an address of this machine.
    port
        0 to 65535; 0: any that is free.

    Raises
    ------
    PixqError
        If the port is taken, or the host is none of this machine's.
    """
    if not 0 <= port <= 65535:
        raise PixqError(f"--port {port}: is not 0 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise PixqError(
            f"--host {host}: {error.strerror or error}; give a name or an address of this machine"
        ) from None
    try:
        return socket.create_server(address[:2], family=family, backlog=_CONNECTIONS)
    except OSError as error:
        mend = "choose another --port, or 0 for any that is free"
        raise PixqError(f"{host}:{port}: {os.strerror(error.errno or 0)}; {mend}") from None


def about(scorer: Scorer) -> dict[str, str | None]:
    """What the page says of a model: its name, BLAKE3 of its weights, and its calibration.

    The calibration is called as answers call it.
    """
    return {
        "model": scorer.recipe.model.name,
        "fingerprint": scorer.blake3,
        "calibration": scorer.decision.name,
    }


def settings_for(host: str, **given: Any) -> Settings:
    """Settings of a service that listens at `host`, and what else is `given`."""
    names = ["localhost", "127.0.0.1", "::1", host]
    if is_wildcard(host):
        names.append(socket.gethostname())
    return Settings(hosts=tuple(dict.fromkeys(names)), addresses=is_wildcard(host), **given)


def serve(mapper: Mapper, *, host: str = "127.0.0.1", port: int = 8008, open_page: bool = False, **given: Any) -> None:
    """Answer until interrupted.

    The page's address goes to stdout, all else to stderr.

    Parameters
    ----------
    mapper
        What scores.
    host, port
        Where; see `listen`.
    open_page
        Whether to open the page in the user's browser.
    **given
        Of `Settings`.

    Raises
    ------
    PixqError
        See `listen`.
    KeyboardInterrupt
        When it was interrupted.
    """
    with listen(host, port) as listening:
        app = create_app(mapper, settings_for(host, **given))
        if not is_loopback(host):
            print(
                f"pixq: warning: {host} can be reached from other machines; whoever reaches it may score images here",
                file=sys.stderr,
            )
        name = "localhost" if is_wildcard(host) else host.strip("[]")
        url = f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"
        print(url, flush=True)
        print("pixq: Ctrl-C ends it", file=sys.stderr, flush=True)
        if open_page:
            # It waits in the socket's queue until the next line.
            webbrowser.open(url)
        config = uvicorn.Config(
            app,
            # One implementation of HTTP, whatever else is installed: the strict one.
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE,
        )
        # Raises the signal that ended it again: KeyboardInterrupt.
        _Server(config, app.state.ending).run(sockets=[listening])
