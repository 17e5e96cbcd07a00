"""Runs the server of `pixq study serve`: opens the study and serves it until interrupted."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from pixq.errors import PixqError, printable
from pixq.http.connections import ConnectionLimits
from pixq.http.security import is_loopback, is_wildcard
from pixq.http.server import open_socket, page_url, run_server, server_config
from pixq.study.design.study_files import open_study
from pixq.study.results.statistics import study_statistics
from pixq.study.server.app import create_app
from pixq.study.server.failures import FailureLog
from pixq.study.server.limits import Limits
from pixq.study.server.open_study import ANSWERS_FILE, explain_database_errors
from pixq.study.server.routes_page import read_page
from pixq.study.server.routes_session import UNVERIFIED
from pixq.study.server.threads import DATABASE_SECONDS, Threads
from pixq.study.session.participants import check_url
from pixq.study.session.service import SessionService
from pixq.study.session.signatures import KeysUnavailable
from pixq.study.store.keys import KEY_FILE, check_key, hash_token, open_key, open_token
from pixq.study.store.store import open_store

__all__ = ["ADMIN_FILE", "serve"]

#: File of the experimenter's token, beside `study.toml`.
ADMIN_FILE = "admin.token"
#: Maximum number of connections; a browser opens six. Fewer if the system allows fewer open files.
_CONNECTIONS = 6_000
#: Kind of failure of connections that are refused because of a limit.
_REFUSED = "connections are refused"
#: Fewest connections that a study can be served with.
_FEWEST_CONNECTIONS = 64
#: Seconds for which a thread keeps the interpreter.
_SWITCH_INTERVAL = 0.0005
#: Number of open files besides connections.
_FILES = 500
#: Seconds that running requests have after Ctrl-C, so that an answer that is being sent is stored and confirmed.
_GRACE = 10
#: Seconds for which an idle connection stays open: opening a new one takes time over a long distance.
_KEEP_ALIVE = 75


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
    rehearsal: bool = False,
) -> None:
    """Serve a study until interrupted.

    Prints the address of the page to stdout, and everything else to stderr.

    Parameters
    ----------
    folder
        Folder of the study: `study.toml`, its images, its key, and `answers.db` unless `database` is given.
    database
        Database of answers; see `pixq.study.store.store.open_store`.
    host, port
        Where to listen; see `pixq.http.server.open_socket`.
    url
        Address that participants open if a reverse proxy forwards it, such as `https://study.example.org`.
    proxy
        Whether to trust the proxy's `X-Forwarded-For` header for the client address.
    open_page
        Whether to open the page in the user's browser.
    limits
        Limits for requests and sessions.
    page
        Files of the participants' page; by default the page that comes with pixq.
    private
        Folder of the key, the token and `answers.db`; by default the study's folder.
    rehearsal
        Whether simulated people take part; see `pixq.study.session.service.SessionService`.

    Raises
    ------
    PixqError
        If the study, its key or its database can't be opened, the page was not built, or the port is in use.
    KeyboardInterrupt
        After an interrupt.
    """
    opened = open_study(folder)
    if url is not None:
        check_url(url)
    try:
        page = page or read_page()
    except FileNotFoundError:
        raise PixqError("the study's page is not built; run `make`") from None
    limits = limits or Limits()
    files = _raise_file_limit(_CONNECTIONS + _FILES)
    # The event loop releases the interpreter at every system call, and a thread that stores an answer returns it only
    # after this time.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    folder = private or opened.study.folder
    key = open_key(folder / KEY_FILE)
    admin = open_token(folder / ADMIN_FILE)
    terminated: list[int] = []
    store = open_store(database or str(folder / ANSWERS_FILE), wait=DATABASE_SECONDS, brief=True)
    try:
        service = SessionService(opened, store, key, rehearsal=rehearsal)
        with explain_database_errors(store):
            store.watch_identity()
            check_key(key, store)
            service.check()
        failures = FailureLog()
        _load_keys(service, failures)
        with open_socket(host, port) as listening, closing(Threads()) as threads:
            app = create_app(
                service, threads, page, admin=(hash_token(admin), lambda: study_statistics(service)),
                hosts=_hosts(host, url), addresses=is_wildcard(host), proxy=proxy, limits=limits,
                failures=failures,
            )  # fmt: skip
            local = page_url(host, listening)
            _announce(host, url or local, f"{local}admin, with the token in {folder / ADMIN_FILE}")
            if open_page:
                # The request waits in the socket's queue until the server runs.
                webbrowser.open(local)
            with _catch_sigterm(terminated):
                connections = ConnectionLimits(
                    total=max(_FEWEST_CONNECTIONS, min(_CONNECTIONS, files - _FILES)),
                    per_address=None if proxy else limits.address_connections,
                )
                config = server_config(
                    app, connections, grace=_GRACE, keep=_KEEP_ALIVE, on_refused=partial(failures.record, _REFUSED)
                )
                run_server(config, listening)
    finally:
        store.close()
    if terminated:
        # So that the exit status says that SIGTERM ended the process.
        signal.raise_signal(signal.SIGTERM)


def _load_keys(service: SessionService, failures: FailureLog) -> None:
    """Load the keys that verify participants' addresses; what went wrong is printed, as sessions can continue."""
    try:
        if service.verifier is not None:
            service.verifier.load_keys()
    except KeysUnavailable as error:
        failures.record(UNVERIFIED, str(error))


def _announce(host: str, page: str, statistics: str) -> None:
    if not is_loopback(host):
        print(
            f"pixq: warning: {host} can be reached from other machines, without encryption; put an https server in "
            "front of it, and pass its address with --url",
            file=sys.stderr,
        )
    print(printable(page), flush=True)
    print(f"pixq: statistics at {printable(statistics)}", file=sys.stderr)
    print("pixq: press Ctrl-C to stop", file=sys.stderr, flush=True)


class _Terminated(BaseException):
    """SIGTERM arrived; not an `Exception`, like `KeyboardInterrupt`."""


@contextmanager
def _catch_sigterm(signals: list[int]) -> Iterator[None]:
    """Append SIGTERM to `signals` and end the block: ending the process would leave the database open."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        # While the server runs it has its own handler, and raises the signal again when it has ended. Until then,
        # nothing else would end it.
        signals.append(number)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Terminated:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_file_limit(files: int) -> int:
    """Raise the limit of open files and connections of this process as far as the system allows, and return it."""
    if sys.platform == "win32":
        return files
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return files if soft == resource.RLIM_INFINITY else max(soft, wanted)


def _hosts(host: str, url: str | None) -> tuple[str, ...]:
    names = ["localhost", "127.0.0.1", "::1", host]
    if is_wildcard(host):
        names.append(socket.gethostname())
    if url is not None:
        names.append(urlsplit(url).hostname or "")
    return tuple(dict.fromkeys(names))
