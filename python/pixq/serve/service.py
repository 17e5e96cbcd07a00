"""Run `pixq serve`: warn if other machines can reach it, and end on Ctrl-C."""

from __future__ import annotations

import logging
import socket
import sys
import webbrowser
from typing import TYPE_CHECKING, Any

from pixq.http.connections import ConnectionLimits
from pixq.http.security import is_loopback, is_wildcard
from pixq.http.server import open_socket, page_url, run_server, server_config
from pixq.serve.app import Settings, create_app
from pixq.serve.response_json import Mapper

if TYPE_CHECKING:
    from pixq.scoring.scorer import Scorer

__all__ = ["describe_model", "serve", "settings_for"]

#: Limits of connections: they also request the page's files, and browsers keep up to six open.
CONNECTIONS = ConnectionLimits(total=64, per_address=24)
#: Seconds that running requests have after Ctrl-C.
_GRACE = 1


def describe_model(scorer: Scorer) -> dict[str, str | None]:
    """What the page says about the model: its name, the checksum of its weights, and its calibration."""
    return {
        "model": scorer.recipe.model.name,
        "fingerprint": scorer.blake3,
        "calibration": scorer.decision.name,
    }


def settings_for(host: str, **options: Any) -> Settings:
    """The settings of a service that listens at `host`, with other `options` of `Settings`."""
    names = ["localhost", "127.0.0.1", "::1", host]
    if is_wildcard(host):
        names.append(socket.gethostname())
    return Settings(hosts=tuple(dict.fromkeys(names)), addresses=is_wildcard(host), **options)


def serve(
    mapper: Mapper, *, host: str = "127.0.0.1", port: int = 8008, open_page: bool = False, **options: Any
) -> None:
    """Serve the page until interrupted.

    Its address goes to stdout, everything else to stderr.

    Parameters
    ----------
    mapper
        Scores image pairs.
    host, port
        Where to listen; see `pixq.http.server.open_socket`.
    open_page
        Whether to open the page in the user's browser.
    **options
        See `Settings`.

    Raises
    ------
    PixqError
        See `pixq.http.server.open_socket`.
    KeyboardInterrupt
        When it is interrupted.
    """
    # Its warnings are about what clients send, who could fill a disk with them.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    with open_socket(host, port) as listening:
        app = create_app(mapper, settings_for(host, **options))
        if not is_loopback(host):
            print(
                f"pixq: warning: other machines can reach {host}, and anyone who does can score images on this one",
                file=sys.stderr,
            )
        url = page_url(host, listening)
        print(url, flush=True)
        print("pixq: press Ctrl-C to stop", file=sys.stderr, flush=True)
        if open_page:
            # The browser's request waits in the socket's queue until the server runs.
            webbrowser.open(url)
        config = server_config(app, CONNECTIONS, grace=_GRACE)
        run_server(config, listening, app.state.ending)
