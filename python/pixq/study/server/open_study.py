"""Opens existing answers for statistics, exports and withdrawals, while the server runs or after it has ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixq.errors import PixqError
from pixq.study.design.config import Study, read_study
from pixq.study.design.study_files import open_study
from pixq.study.session.service import SessionService
from pixq.study.store.keys import KEY_FILE, Key, check_key, open_key
from pixq.study.store.records import DatabaseUnavailable
from pixq.study.store.store import Store, open_store

__all__ = ["ANSWERS_FILE", "explain_database_errors", "open_service", "open_study_store"]

#: File of the answers, beside `study.toml`.
ANSWERS_FILE = "answers.db"


@contextmanager
def explain_database_errors(store: Store) -> Iterator[None]:
    """Turn a `DatabaseUnavailable` of the block into a `PixqError` that says how to fix it.

    Raises
    ------
    PixqError
        If the database does not respond.
    """
    try:
        yield
    except DatabaseUnavailable as error:
        raise PixqError(
            f"{store.name}: the database does not respond: {error}; end the program that locks it, and try again"
        ) from None


@contextmanager
def open_study_store(study: Study, database: str | None = None, *, make: bool = False) -> Iterator[tuple[Store, Key]]:
    """Open the answers and the key of a study until the end of the block; a missing key is not created.

    Parameters
    ----------
    study
        The study.
    database
        See `pixq.study.store.store.open_store`; by default `answers.db` beside `study.toml`.
    make
        Whether to create a missing database.

    Raises
    ------
    PixqError
        If there are no answers and `make` is false, the answers belong to another study, the key is missing, or the
        database does not respond.

    Examples
    --------
    >>> with open_study_store(read_study("study")) as (store, key):  # doctest: +SKIP
    ...     print(len(store.sessions()))
    """
    path_or_url = database or str(study.folder / ANSWERS_FILE)
    if not make and "://" not in path_or_url and not Path(path_or_url).is_file():
        raise PixqError(
            f"{path_or_url}: there are no answers yet; run pixq study serve, or pass --database if they are elsewhere"
        )
    if not (study.folder / KEY_FILE).exists():
        raise PixqError(f"{study.folder / KEY_FILE}: the key of the answers is missing; restore the file")
    store = open_store(path_or_url, make=make)
    try:
        key = open_key(study.folder / KEY_FILE)
        with explain_database_errors(store):
            check_key(key, store)
            yield store, key
    finally:
        store.close()


@contextmanager
def open_service(folder: str | os.PathLike[str], database: str | None = None) -> Iterator[SessionService]:
    """Open the answers of a study together with its images until the end of the block; see `open_study_store`.

    Parameters
    ----------
    folder
        Folder of the study, or its `study.toml`.
    database
        See `open_study_store`.

    Raises
    ------
    PixqError
        As in `open_study_store`; or if the study or an image can't be read, or nobody has started a session.

    Examples
    --------
    >>> with open_service("study") as service:  # doctest: +SKIP
    ...     print(study_statistics(service)["people"])
    """
    with open_study_store(read_study(folder), database) as (store, key):
        if not store.has_sessions():
            raise PixqError(f"{store.name}: nobody has taken part yet; run `pixq study serve` to collect answers")
        yield SessionService(open_study(folder), store, key)
