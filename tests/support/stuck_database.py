"""Databases that are locked, frozen, deleted or replaced while a study's server has them open."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def is_file(database: str) -> bool:
    return "://" not in database


@contextmanager
def connected(database: str) -> Iterator[Any]:
    """A connection of another program to the same PostgreSQL database, without transactions of its own."""
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@contextmanager
def locked(database: str) -> Iterator[None]:
    """Another program holds the lock of writers until the end of the block; readers go on."""
    if is_file(database):
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
        other.close()
        return
    with connected(database) as connection, connection.transaction():
        connection.execute("LOCK TABLE sessions, events, assignments IN EXCLUSIVE MODE")
        yield


@contextmanager
def frozen(database: str) -> Iterator[None]:
    """PostgreSQL neither answers nor ends connections until the end of the block: neither readers nor writers go on."""
    with connected(database) as connection:
        processes = [row[0] for row in connection.execute("SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL")]
        (folder,) = connection.execute("SHOW data_directory").fetchone()
    processes.append(int(Path(folder, "postmaster.pid").read_text().split()[0]))
    stopped = []
    try:
        for process in processes:
            try:
                os.kill(process, signal.SIGSTOP)
                stopped.append(process)
            except ProcessLookupError:
                continue
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


def _delete(path: Path) -> None:
    path.unlink()


def _rename(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def _replace(path: Path) -> None:
    """By a copy of itself that is another file, as a restored backup is."""
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    copy.replace(path)


def _delete_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


#: What may happen to the file of answers.
FILE_ACCIDENTS: dict[str, Callable[[Path], None]] = {
    "deleted": _delete, "renamed": _rename, "replaced": _replace, "log deleted": _delete_log,
}  # fmt: skip


def _drop_tables(database: str) -> None:
    with connected(database) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def _truncate(database: str) -> None:
    with connected(database) as connection:
        connection.execute("TRUNCATE facts, participants, consents, sessions, events, assignments")


def _forget_answers(database: str) -> None:
    """As when an older copy of the same database is restored."""
    with connected(database) as connection:
        connection.execute("TRUNCATE events")


def _recreate(database: str) -> None:
    from pixq.study.store.store import open_store

    name = urlsplit(database).path.strip("/")
    with connected(database.replace(f"/{name}?", "/postgres?")) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    other = open_store(database)
    other.watch_identity()
    other.close()


#: What may happen to a database of PostgreSQL.
SERVER_ACCIDENTS: dict[str, Callable[[str], None]] = {
    "tables dropped": _drop_tables, "emptied": _truncate, "older": _forget_answers, "recreated": _recreate,
}  # fmt: skip
