"""`pixq study serve`: a study's folder, served until it is interrupted."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from pixq.errors import PixqError
from pixq.http.security import is_loopback, is_wildcard
from pixq.http.server import address, answer, listen
from pixq.study.design.study_files import open_study
from pixq.study.results.statistics import study_statistics
from pixq.study.server.app import create_app
from pixq.study.server.limits import Limits
from pixq.study.server.open_study import ANSWERS_FILE, explain_database_errors
from pixq.study.server.routes_page import read_page
from pixq.study.session.platforms import check_url
from pixq.study.session.service import SessionService
from pixq.study.store.keys import KEY_FILE, check_key, hash_token, open_key, open_token
from pixq.study.store.store import open_store

__all__ = ["ADMIN_FILE", "THREADS", "serve"]

#: Beside `study.toml`.
ADMIN_FILE = "admin.token"
#: Requests that wait for the database or for a file at a time.
THREADS = 16
#: Connections; a browser keeps six.
_CONNECTIONS = 6_000
#: Seconds for which a thread keeps the interpreter.
_SWITCH = 0.0005
#: Files beside them.
_FILES = 500
#: Seconds that running requests have after Ctrl-C: an answer under way is stored and confirmed.
_GRACE = 10
#: Seconds between two events for which a page's connection is kept: a new one takes its time, far away.
_KEEP = 75


def serve(
    folder: Path,
    *,
    database: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8009,
    url: str | None = None,
    proxy: bool = False,
    open_page: bool = False,
    limits: Limits | None = None,
    page: Mapping[str, tuple[bytes, str]] | None = None,
    private: Path | None = None,
) -> None:
    """Answer until interrupted.

    The page's address goes to stdout, all else to stderr.

    Parameters
    ----------
    folder
        Of the study: `study.toml`, its images, its key, and `answers.db` where no other database is given.
    database
        Of the answers; see `pixq.study.store.store.open_store`.
    host, port
        Where; see `pixq.http.server.listen`.
    url
        The address that participants open, where another server of ours passes it on, such as
        `https://study.example.org`.
    proxy
        Whether that server says in `X-Forwarded-For` who asks.
    open_page
        Whether to open the page in the user's browser.
    limits
        Of requests; see there.
    page
        The participants' page; the one that comes with pixq by default.
    private
        Folder of the key, the token and `answers.db`; the study's by default.

    Raises
    ------
    PixqError
        If the study, its key or its database can't be opened, the page was not built, or the port is taken.
    KeyboardInterrupt
        When it was interrupted.
    """
    opened = open_study(folder)
    if url is not None:
        check_url(url)
    try:
        page = page or read_page()
    except FileNotFoundError:
        raise PixqError("the study's page was not built; run `make`") from None
    _allow(_CONNECTIONS + _FILES)
    # The loop gives the interpreter away at every call of the system, and gets it back only after this time from a
    # thread that stores an answer.
    sys.setswitchinterval(_SWITCH)
    folder = private or opened.study.folder
    key = open_key(folder / KEY_FILE)
    admin = open_token(folder / ADMIN_FILE)
    terminated: list[int] = []
    store = open_store(database or str(folder / ANSWERS_FILE))
    try:
        service = SessionService(opened, store, key)
        with explain_database_errors(store):
            check_key(key, store)
            service.check()
        with listen(host, port) as listening, ThreadPoolExecutor(THREADS, thread_name_prefix="pixq-study") as threads:
            app = create_app(
                service, threads, page, admin=(hash_token(admin), lambda: study_statistics(service)),
                hosts=_hosts(host, url), addresses=is_wildcard(host), proxy=proxy, limits=limits,
            )  # fmt: skip
            if not is_loopback(host):
                print(
                    f"pixq: warning: {host} can be reached from other machines, without encryption; give "
                    "participants an https address of a server before it, and --url",
                    file=sys.stderr,
                )
            own = address(host, listening)
            print(url or own, flush=True)
            print(f"pixq: figures at {own}admin, with the token in {folder / ADMIN_FILE}", file=sys.stderr)
            print("pixq: Ctrl-C ends it", file=sys.stderr, flush=True)
            if open_page:
                # It waits in the socket's queue until the next line.
                webbrowser.open(own)
            with _noted(terminated):
                answer(app, listening, connections=_CONNECTIONS, grace=_GRACE, keep=_KEEP)
    finally:
        store.close()
    if terminated:
        # What asked for the end learns that it was this.
        signal.raise_signal(signal.SIGTERM)


class _Terminated(BaseException):
    """What a program can't go on after, like `KeyboardInterrupt`."""


@contextmanager
def _noted(signals: list[int]) -> Iterator[None]:
    """Let SIGTERM end the block and be written down, where it would end the process before its database is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        # The server has a handler of its own while it runs, and raises its signal again when it has ended. Before
        # that, nothing else would end it.
        signals.append(number)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Terminated:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _allow(files: int) -> None:
    """Let this process have so many files and connections, if it may."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _hosts(host: str, url: str | None) -> tuple[str, ...]:
    names = ["localhost", "127.0.0.1", "::1", host]
    if is_wildcard(host):
        names.append(socket.gethostname())
    if url is not None:
        names.append(urlsplit(url).hostname or "")
    return tuple(dict.fromkeys(names))
