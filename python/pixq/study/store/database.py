"""Connecting to SQLite or PostgreSQL, so that what is committed is on the disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pixq.errors import PixqError

__all__ = ["WRITES", "open_engine"]

#: Option of a connection's execution: its transactions write.
WRITES = "pixq_writes"
#: Seconds that one writer waits for another, and a client for its server.
_PATIENCE = 20
#: Connections kept, and those made beside them when all are in use.
_KEPT, _MORE = 8, 24


def open_engine(where: str) -> Engine:
    """An engine of SQLAlchemy.

    Parameters
    ----------
    where
        A file's name, or the URL of a PostgreSQL database.

    Raises
    ------
    PixqError
        If it is neither, or PostgreSQL's client is not installed.
    """
    url = _url(where)
    if url.get_backend_name() == "sqlite":
        _private(Path(where))
        engine = create_engine(url, connect_args={"timeout": _PATIENCE}, pool_size=_KEPT, max_overflow=_MORE)
        event.listen(engine, "connect", _connected)
        event.listen(engine, "begin", _begin)
        return engine
    # Whatever the server's own default is: what was confirmed has been flushed.
    options = {"options": "-c synchronous_commit=on", "connect_timeout": _PATIENCE}
    try:
        return create_engine(url, connect_args=options, pool_size=_KEPT, max_overflow=_MORE, pool_pre_ping=True)
    except ImportError:
        raise PixqError("PostgreSQL needs psycopg; pip install 'pixq[postgres]'") from None


def _private(path: Path) -> None:
    """Make a database's file readable by its owner alone; SQLite makes those beside it alike."""
    # Whatever is wrong with it, SQLite says so.
    with suppress(OSError):
        if path.parent.is_dir() and not path.exists():
            path.touch(mode=0o600)


def _url(where: str) -> URL:
    if "://" not in where:
        return URL.create("sqlite+pysqlite", database=where)
    try:
        url = make_url(where)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError):
        url = None
    if url is not None and url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    raise PixqError("the database is neither a file nor postgresql://user:password@host/name; give one of them")


def _connected(connection: Any, record: Any) -> None:
    # The module would begin transactions of its own; ours begin in `_begin`.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _begin(connection: Connection) -> None:
    # A transaction that first reads and then writes can fail at its first write; one that says so at once waits.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
