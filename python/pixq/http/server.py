"""Open a socket, name its address, and run a server on it until it is interrupted."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from pixq import ranges
from pixq.errors import PixqError
from pixq.http.connections import ConnectionLimits, limited_protocol
from pixq.http.security import is_wildcard

__all__ = ["open_socket", "page_url", "run_server", "server_config"]

#: Connections that may wait to be accepted.
_BACKLOG = 512


class _Server(uvicorn.Server):
    """Signals running work to stop as soon as the server is asked to end, not only after the grace period."""

    def __init__(self, config: uvicorn.Config, ending: threading.Event | None) -> None:
        super().__init__(config)
        self.ending = ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.ending is not None:
            self.ending.set()
        super().handle_exit(sig, frame)


def open_socket(host: str, port: int) -> socket.socket:
    """Open a socket that listens.

    Parameters
    ----------
    host
        A name or an address of this machine.
    port
        0 to 65535; 0 for any free port.

    Raises
    ------
    PixqError
        If the port is taken, or the host is not one of this machine.
    """
    ranges.PORT.check(port, "--port")
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
        # Connections inherit this. A response is two writes, head and body; without it, the second would wait until
        # the client acknowledges the first, which takes 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        fix = "choose another --port, or 0 for any free one"
        raise PixqError(f"{host}:{port}: {os.strerror(error.errno or 0)}; {fix}") from None


def page_url(host: str, listening: socket.socket) -> str:
    """The URL for browsers on this machine of a socket that listens at `host`."""
    name = "localhost" if is_wildcard(host) else host.strip("[]")
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}/"


def server_config(
    app: ASGIApp,
    limits: ConnectionLimits,
    *,
    grace: int,
    keep: int = 5,
    on_refused: Callable[[str], None] = lambda message: None,
) -> uvicorn.Config:
    """The configuration of a server.

    Parameters
    ----------
    app
        The application.
    limits
        Limits of its connections.
    grace
        Seconds that running requests have to finish after an interrupt.
    keep
        Seconds after which idle connections are closed.
    on_refused
        Gets one line whenever a connection is refused because of a limit.
    """
    return uvicorn.Config(
        app,
        # Always the same, strict implementation of HTTP, whatever else is installed.
        http=limited_protocol(limits, on_refused),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        # Warnings are about what clients send, who could fill a disk with them.
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=keep,
        timeout_graceful_shutdown=grace,
    )


def run_server(config: uvicorn.Config, listening: socket.socket, ending: threading.Event | None = None) -> None:
    """Serve an application until interrupted.

    Parameters
    ----------
    config
        The configuration; see `server_config`.
    listening
        The socket; see `open_socket`.
    ending
        An event to set as soon as the server is asked to end.

    Raises
    ------
    KeyboardInterrupt
        When it is interrupted.
    """
    # Raises the signal that ended it, as KeyboardInterrupt.
    _Server(config, ending).run(sockets=[listening])
