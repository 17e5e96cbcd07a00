"""`pixq study serve`, `links`, `who` and `withdraw`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.errors import PixqError, printable
from pixq.io.optional import require

__all__ = ["links", "serve", "who", "withdraw"]


def serve(
    study: Path = Path(),
    /,
    *,
    database: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8009,
    url: str | None = None,
    proxy: Annotated[bool, Parameter(negative="")] = False,
    open: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Serve a study to its participants; the page's address is printed. Ctrl-C ends it.

    Parameters
    ----------
    study
        Its folder, or study.toml. Default: this folder.
    database
        Of the answers: a file, or postgresql://user:password@host/name. Default: answers.db beside study.toml.
    host
        Where to listen. The default can be reached from this machine alone.
    port
        Where to listen; 0: any port that is free.
    url
        The address that participants open, where another server passes it on, such as https://study.example.org.
    proxy
        That server says in X-Forwarded-For who asks.
    open
        Open the page in your browser.
    """
    for package in ("sqlalchemy", "starlette", "uvicorn"):
        require(package)
    from pixq.study.server import run

    run.serve(study, database=database, host=host, port=port, url=url, proxy=proxy, open_page=open)
    return 0


def links(study: Path = Path(), /, *, count: int, url: str) -> int:
    """Print new links for a study of the platform link, one a person.

    Parameters
    ----------
    study
        Its folder, or study.toml. Default: this folder.
    count
        How many.
    url
        The address that participants open, such as https://study.example.org.
    """
    from pixq.study.design.config import read_study
    from pixq.study.session.platforms import check_url, links
    from pixq.study.store.keys import KEY_FILE, open_key

    found = read_study(study)
    if found.platform.kind != "link":
        raise PixqError(f'{study}: platform.kind is "{found.platform.kind}"; links are for "link"')
    check_url(url)
    if not 1 <= count <= 100_000:
        raise PixqError(f"--count {count}: is not 1 to 100000")
    for token in links(open_key(found.folder / KEY_FILE), count):
        print(f"{url.rstrip('/')}/t/{token}")
    return 0


def who(name: str, study: Path = Path(), /, *, database: str | None = None) -> int:
    """Print what a person has done, session by session, to approve or reject what a platform says was submitted.

    It works while the study is served, and after it.

    Parameters
    ----------
    name
        The person's ID on the platform, the token of the link, a participant of the export, or the number that the
        last page of an offline file showed.
    study
        Its folder, or study.toml. Default: this folder.
    database
        Of the answers. Default: answers.db beside study.toml.
    """
    require("sqlalchemy")
    from pixq.study.design.config import read_study
    from pixq.study.results.participant_report import participant_sessions, report_lines
    from pixq.study.server.open_study import open_study_store
    from pixq.study.store.keys import find_pseudonym

    found = read_study(study)
    with open_study_store(found, database) as (store, key):
        participant = find_pseudonym(store, key, found.platform.kind, name)
        sessions = participant_sessions(store, participant)
    print(*map(printable, report_lines(participant, sessions)), sep="\n")
    return 0


def withdraw(name: str, study: Path = Path(), /, *, database: str | None = None) -> int:
    """Delete all answers of a person who takes them back. What was exported before is yours to delete.

    Parameters
    ----------
    name
        The person's ID on the platform, the token of the link, a participant of the export, or the number that the
        last page of an offline file showed. Delete the file with the answers, too, or it can be imported again.
        Exit code 1 says that another program kept the database's log from being cut, which has what was deleted.
    study
        Its folder, or study.toml. Default: this folder.
    database
        Of the answers. Default: answers.db beside study.toml.
    """
    require("sqlalchemy")
    from pixq.study.design.config import read_study
    from pixq.study.server.open_study import open_study_store
    from pixq.study.store.deletion import LogNotTruncated
    from pixq.study.store.keys import withdraw as take_back

    found = read_study(study)
    with open_study_store(found, database) as (store, key):
        try:
            count = take_back(store, key, found.platform.kind, name)
        except LogNotTruncated as kept:
            print(
                f"pixq: {kept.events} events deleted, but another program reads the database, so {store.name}-wal has "
                "them still; end that program, and run this again",
                file=sys.stderr,
            )
            return 1
    print(f"pixq: {count} events deleted", file=sys.stderr)
    return 0
