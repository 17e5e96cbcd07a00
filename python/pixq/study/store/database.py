"""Connects to SQLite or PostgreSQL, so that a committed transaction is on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pixq.errors import PixqError
from pixq.study.store.database_files import DatabaseFiles, ensure_private

__all__ = ["WRITES", "Database", "open_database"]

#: Execution option of a connection whose transactions write.
WRITES = "pixq_writes"
#: Connections that stay open, and further ones when all are in use.
_POOL = {"pool_size": 8, "max_overflow": 24}
#: What PostgreSQL's client sends over an idle connection, so that a server that is gone is noticed within 20 seconds.
_KEEPALIVES = {
    "keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}  # fmt: skip


class Database(NamedTuple):
    """A database that is open: its SQLAlchemy engine, and its files if it is one of SQLite."""

    engine: Engine
    files: DatabaseFiles | None


def open_database(where: str, wait: float, *, brief: bool = False) -> Database:
    """Open a database; no connection is made yet.

    Parameters
    ----------
    where
        Path of an SQLite file, or URL of a PostgreSQL database.
    wait
        Seconds that a writer waits for another one, and a client for its server.
    brief
        Whether PostgreSQL ends statements that take longer than `wait`.

    Raises
    ------
    PixqError
        If it is neither, or psycopg is not installed.
    """
    url = _url(where)
    if url.get_backend_name() == "sqlite":
        ensure_private(Path(where))
        engine = create_engine(url, connect_args={"timeout": wait}, **_POOL, pool_timeout=wait)
        files = DatabaseFiles(Path(where))
        event.listen(engine, "connect", _configure)
        event.listen(engine, "connect", files.connected)
        event.listen(engine, "close", files.closed)
        event.listen(engine, "begin", _begin)
        return Database(engine, files)
    # Whatever the server's default is, a commit returns only after it was flushed.
    milliseconds = round(1000 * wait)
    settings = {"synchronous_commit": "on", "lock_timeout": milliseconds}
    if brief:
        settings["statement_timeout"] = milliseconds
    options = {
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "connect_timeout": max(2, round(wait)),
        **_KEEPALIVES,
    }
    try:
        engine = create_engine(url, connect_args=options, **_POOL, pool_timeout=wait, pool_pre_ping=True)
    except ImportError:
        raise PixqError("PostgreSQL needs psycopg; run `pip install 'pixq[postgres]'`") from None
    return Database(engine, None)


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
    # Reading opens the log, whose identity is noted.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()


def _begin(connection: Connection) -> None:
    # A transaction that reads first can fail at its first write; BEGIN IMMEDIATE waits for other writers instead.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
