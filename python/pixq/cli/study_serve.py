"""`pixq study serve`, `links`, `who` and `withdraw`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.messages import note, print_lines
from pixq.cli.number_options import number_in
from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.study.design.config import read_study
from pixq.study.design.platforms import PLATFORMS
from pixq.study.store.keys import KEY_FILE, find_pseudonym, open_key
from pixq.study.store.keys import withdraw as delete_answers

__all__ = ["links", "serve", "who", "withdraw"]


def serve(
    study: Path = Path(),
    /,
    *,
    database: str | None = None,
    host: str = "127.0.0.1",
    port: Annotated[int, number_in(ranges.PORT)] = 8009,
    url: str | None = None,
    proxy: Annotated[bool, Parameter(negative="")] = False,
    open: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Serve a study to its participants, and print the address of its page. Press Ctrl-C to stop.

    Parameters
    ----------
    study
        Folder of the study, or its study.toml. Default: the current folder.
    database
        Database of answers: a file, or postgresql://user@host/name with its password in PGPASSWORD or in the file
        that PGPASSFILE names. Default: answers.db beside study.toml.
    host
        Address to listen on. The default can only be reached from this machine.
    port
        Port to listen on; 0: any free port.
    url
        Address that participants open if a reverse proxy forwards it, such as https://study.example.org.
    proxy
        Trust the proxy's X-Forwarded-For header for the client address.
    open
        Open the page in your browser.
    """
    for package in ("sqlalchemy", "starlette", "uvicorn"):
        require(package)
    from pixq.study.server import run

    run.serve(study, database=database, host=host, port=port, url=url, proxy=proxy, open_page=open)
    return 0


def links(study: Path = Path(), /, *, count: Annotated[int, number_in(ranges.COUNT)], url: str) -> int:
    """Print new links for a study whose platform is "link", one per person.

    Parameters
    ----------
    study
        Folder of the study, or its study.toml. Default: the current folder.
    count
        Number of links.
    url
        Address that participants open, such as https://study.example.org.
    """
    from pixq.study.session.participants import check_url, links

    config = read_study(study)
    if not PLATFORMS[config.platform.kind].sealed:
        raise PixqError(f'{study}: platform.kind is "{config.platform.kind}"; set it to "link" to use links')
    check_url(url)
    for token in links(open_key(config.folder / KEY_FILE), count):
        print_lines(f"{url.rstrip('/')}/t/{token}")
    return 0


def who(name: str, study: Path = Path(), /, *, database: str | None = None) -> int:
    """Print the sessions of a person, to approve or reject a submission on a platform.

    Works while the study is being served, and afterwards.

    Parameters
    ----------
    name
        ID of the person on the platform, token of the link, participant in the export, or number on the last page of
        an offline file.
    study
        Folder of the study, or its study.toml. Default: the current folder.
    database
        Database of answers. Default: answers.db beside study.toml.
    """
    require("sqlalchemy")
    from pixq.study.results.participant_report import participant_sessions, report_lines
    from pixq.study.server.open_study import open_study_store

    config = read_study(study)
    with open_study_store(config, database) as (store, key):
        participant = find_pseudonym(store, key, config.platform.kind, name)
        sessions = participant_sessions(store, participant)
    print_lines(*report_lines(participant, sessions))
    return 0


def withdraw(name: str, study: Path = Path(), /, *, database: str | None = None) -> int:
    """Delete all answers of a person who withdraws. Delete earlier exports yourself.

    Parameters
    ----------
    name
        ID of the person on the platform, token of the link, participant in the export, or number on the last page of
        an offline file. Delete that file too, as it could be imported again. Exit code 1: another program reads the
        database, whose log still contains the deleted answers.
    study
        Folder of the study, or its study.toml. Default: the current folder.
    database
        Database of answers. Default: answers.db beside study.toml.
    """
    require("sqlalchemy")
    from pixq.study.server.open_study import open_study_store
    from pixq.study.store.deletion import LogNotTruncated

    config = read_study(study)
    with open_study_store(config, database) as (store, key):
        try:
            count = delete_answers(store, key, config.platform.kind, name)
        except LogNotTruncated as error:
            note(
                f"{error.events} events deleted, but another program reads the database, so {store.name}-wal "
                "still contains them; end that program, and run this command again"
            )
            return 1
    note(f"{count} events deleted")
    return 0
