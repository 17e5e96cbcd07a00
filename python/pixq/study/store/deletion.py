"""Deletes the data of a person from a database, and from its files as far as the database can."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, delete, insert, select

from pixq.study.store.queries import WITHDRAWALS
from pixq.study.store.tables import assignments, events, facts, metadata, participants, sessions

__all__ = ["LogNotTruncated", "delete_participant", "truncate_log", "vacuum"]

#: Seconds that one attempt waits for readers; writers have to wait meanwhile.
_ATTEMPT = 0.1


class LogNotTruncated(Exception):
    """Rows were deleted, but SQLite's log still contains them: a program that reads prevents its truncation.

    `events` is the number of deleted events.
    """

    def __init__(self, events: int) -> None:
        super().__init__(f"the log still contains {events} deleted events")
        self.events = events


def delete_participant(connection: Connection, participant: str) -> int:
    """Delete all rows of a person, under the lock of `lock_drawing`; return the number of deleted events."""
    ids = select(sessions.c.id).where(sessions.c.participant == participant)
    if connection.dialect.name != "sqlite":
        # No event can arrive from here on: `append` waits for this transaction, and then finds no session.
        connection.execute(ids.with_for_update())
    # A server that finds another number forgets what it remembers of sessions.
    withdrawals = int(connection.execute(WITHDRAWALS).scalar() or 0) + 1
    connection.execute(delete(facts).where(facts.c.name == "withdrawals"))
    connection.execute(insert(facts).values(name="withdrawals", value=str(withdrawals)))
    deleted = connection.execute(delete(events).where(events.c.session.in_(ids))).rowcount
    connection.execute(delete(assignments).where(assignments.c.session.in_(ids)))
    connection.execute(delete(sessions).where(sessions.c.participant == participant))
    connection.execute(delete(participants).where(participants.c.id == participant))
    return int(deleted)


def truncate_log(connection: Connection) -> bool:
    """Try once to truncate SQLite's log, which nobody may be reading; return whether it was truncated."""
    timeout = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql(f"PRAGMA busy_timeout={round(1000 * _ATTEMPT)}")
    try:
        return not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    finally:
        # The connection returns to the pool.
        connection.exec_driver_sql(f"PRAGMA busy_timeout={timeout}")


def vacuum(engine: Engine) -> None:
    """Let PostgreSQL reuse the space of deleted rows."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in metadata.sorted_tables:
            connection.exec_driver_sql(f"VACUUM {table.name}")
