"""Listening: a socket, its address, and a server that ends when it is asked to."""

from __future__ import annotations

import os
import socket
import threading
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from pixq.errors import PixqError
from pixq.http.security import is_wildcard

__all__ = ["address", "answer", "listen"]

#: Connections that wait to be taken.
_BACKLOG = 512


class _Server(uvicorn.Server):
    """Gives up what is being worked on as soon as it is to end, not only when its grace is over."""

    def __init__(self, config: uvicorn.Config, ending: threading.Event | None) -> None:
        super().__init__(config)
        self.ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.ending is not None:
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
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        # Connections have it from here. An answer is two writes, head and body: the second would else wait until the
        # first is acknowledged, which takes a client 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        mend = "choose another --port, or 0 for any that is free"
        raise PixqError(f"{host}:{port}: {os.strerror(error.errno or 0)}; {mend}") from None


def address(host: str, listening: socket.socket) -> str:
    """The URL at which a browser of this machine finds `listening`, which listens at `host`."""
    name = "localhost" if is_wildcard(host) else host.strip("[]")
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"


def answer(
    app: ASGIApp,
    listening: socket.socket,
    *,
    connections: int,
    grace: int,
    keep: int = 5,
    ending: threading.Event | None = None,
) -> None:
    """Answer until interrupted.

    Parameters
    ----------
    app
        What answers.
    listening
        Where; see `listen`.
    connections
        Those that are served at a time; more are answered with 503.
    grace
        Seconds that a running request has when it is to end.
    keep
        Seconds for which a connection is kept that nothing comes from.
    ending
        Is set as soon as it is to end.

    Raises
    ------
    KeyboardInterrupt
        When it was interrupted.
    """
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
        limit_concurrency=connections,
        timeout_keep_alive=keep,
        timeout_graceful_shutdown=grace,
    )
    # Raises the signal that ended it again: KeyboardInterrupt.
    _Server(config, ending).run(sockets=[listening])
