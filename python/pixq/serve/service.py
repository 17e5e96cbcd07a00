"""`pixq serve`: a warning where others can reach it, and an end by Ctrl-C."""

from __future__ import annotations

import socket
import sys
import webbrowser
from typing import TYPE_CHECKING, Any

from pixq.http.security import is_loopback, is_wildcard
from pixq.http.server import address, answer, listen
from pixq.serve.app import Settings, create_app
from pixq.serve.response_json import Mapper

if TYPE_CHECKING:
    from pixq.scoring.scorer import Scorer

__all__ = ["about", "serve", "settings_for"]

#: Connections beyond those that the service answers or lets wait: the page's own files, and browsers that keep some.
_CONNECTIONS = 64
#: Seconds that a running request has after Ctrl-C.
_GRACE = 1


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
        Where; see `pixq.http.server.listen`.
    open_page
        Whether to open the page in the user's browser.
    **given
        Of `Settings`.

    Raises
    ------
    PixqError
        See `pixq.http.server.listen`.
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
        url = address(host, listening)
        print(url, flush=True)
        print("pixq: Ctrl-C ends it", file=sys.stderr, flush=True)
        if open_page:
            # It waits in the socket's queue until the next line.
            webbrowser.open(url)
        answer(app, listening, connections=_CONNECTIONS, grace=_GRACE, ending=app.state.ending)
