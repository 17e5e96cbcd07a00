"""Opening answers that are there, while the server runs or after it: for figures, exports and withdrawals."""

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

#: Beside `study.toml`.
ANSWERS_FILE = "answers.db"


@contextmanager
def explain_database_errors(store: Store) -> Iterator[None]:
    """A block in which a database that does not answer is its user's to mend.

    Parameters
    ----------
    store
        That is asked in the block.

    Raises
    ------
    PixqError
        If it does not answer.
    """
    try:
        yield
    except DatabaseUnavailable as error:
        raise PixqError(
            f"{store.name}: the database does not answer: {error}; end what holds it, and try again"
        ) from None


@contextmanager
def open_study_store(study: Study, database: str | None = None, *, make: bool = False) -> Iterator[tuple[Store, Key]]:
    """The answers of a study and its key, until the end of the block. The key is not made where it is missing.

    Parameters
    ----------
    study
        The study.
    database
        See `pixq.study.store.store.open_store`; `answers.db` beside `study.toml` by default.
    make
        Whether a database is made where there is none.

    Raises
    ------
    PixqError
        If there are no answers, and none are to be made; they are another study's, the key is missing, or the database
        does not answer.

    Examples
    --------
    >>> with open_study_store(read_study("study")) as (store, key):  # doctest: +SKIP
    ...     print(len(store.sessions()))
    """
    where = database or str(study.folder / ANSWERS_FILE)
    if not make and "://" not in where and not Path(where).is_file():
        raise PixqError(f"{where}: there are no answers; give their --database")
    if not (study.folder / KEY_FILE).exists():
        raise PixqError(f"{study.folder / KEY_FILE}: the key that the answers were collected with is gone; put it back")
    store = open_store(where, make=make)
    try:
        key = open_key(study.folder / KEY_FILE)
        with explain_database_errors(store):
            check_key(key, store)
            yield store, key
    finally:
        store.close()


@contextmanager
def open_service(folder: str | os.PathLike[str], database: str | None = None) -> Iterator[SessionService]:
    """The answers of a study with its images, until the end of the block; otherwise as `open_study_store`.

    Parameters
    ----------
    folder
        Of the study, or its `study.toml`.
    database
        As `open_study_store` has it.

    Raises
    ------
    PixqError
        As `open_study_store`; if the study or an image of it can't be read; or if nobody has begun a session.

    Examples
    --------
    >>> with open_service("study") as service:  # doctest: +SKIP
    ...     print(study_statistics(service)["people"])
    """
    with open_study_store(read_study(folder), database) as (store, key):
        if not store.sessions():
            raise PixqError(f"{store.name}: nobody has taken part yet; pixq study serve asks people")
        yield SessionService(open_study(folder), store, key)
