"""Connects to SQLite or PostgreSQL, so that a committed transaction is on the disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pixq.errors import PixqError

__all__ = ["WRITES", "open_engine"]

#: Execution option of a connection whose transactions write.
WRITES = "pixq_writes"
#: Seconds that a writer waits for another one, and a client for its server.
_TIMEOUT = 20
#: Connections that stay open, and further ones when all are in use.
_POOL = {"pool_size": 8, "max_overflow": 24}


def open_engine(where: str) -> Engine:
    """Create an SQLAlchemy engine.

    Parameters
    ----------
    where
        Path of an SQLite file, or URL of a PostgreSQL database.

    Raises
    ------
    PixqError
        If it is neither, or psycopg is not installed.
    """
    url = _url(where)
    if url.get_backend_name() == "sqlite":
        _create_private(Path(where))
        engine = create_engine(url, connect_args={"timeout": _TIMEOUT}, **_POOL)
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        return engine
    # Whatever the server's default is, a commit returns only after it was flushed.
    options = {"options": "-c synchronous_commit=on", "connect_timeout": _TIMEOUT}
    try:
        return create_engine(url, connect_args=options, **_POOL, pool_pre_ping=True)
    except ImportError:
        raise PixqError("PostgreSQL needs psycopg; run `pip install 'pixq[postgres]'`") from None


def _create_private(path: Path) -> None:
    """Create the file, readable only by its owner; SQLite copies the mode to the files beside it."""
    # SQLite reports what is wrong with the path.
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
    raise PixqError("--database: pass the path of a file, or postgresql://user:password@host/name")


def _configure(connection: Any, record: Any) -> None:
    # The sqlite3 module starts no transactions by itself; `_begin` does.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _begin(connection: Connection) -> None:
    # A transaction that reads first can fail at its first write; BEGIN IMMEDIATE waits for other writers instead.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
