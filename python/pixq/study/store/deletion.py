"""Deleting a person from a database, so that nothing is left in its files as far as it can be seen to."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, delete, select

from pixq.study.store.tables import assignments, events, metadata, participants, sessions

__all__ = ["LogNotTruncated", "delete_participant", "truncate_log", "vacuum"]

#: Seconds for which a try waits for those who read; writers wait for it.
_TRY = 0.1


class LogNotTruncated(Exception):
    """Rows are deleted, but a program that reads keeps SQLite's log from being truncated, which has them still.

    `events` is how many were deleted.
    """

    def __init__(self, events: int) -> None:
        super().__init__(f"the log has {events} deleted events still")
        self.events = events


def delete_participant(connection: Connection, participant: str) -> int:
    """Delete all rows of a person, in a transaction that nobody else draws in; gives how many events there were."""
    mine = select(sessions.c.id).where(sessions.c.participant == participant)
    if connection.dialect.name != "sqlite":
        # After this no event can come in between: `append` waits for it, and finds no session.
        connection.execute(mine.with_for_update())
    gone = connection.execute(delete(events).where(events.c.session.in_(mine))).rowcount
    connection.execute(delete(assignments).where(assignments.c.session.in_(mine)))
    connection.execute(delete(sessions).where(sessions.c.participant == participant))
    connection.execute(delete(participants).where(participants.c.id == participant))
    return int(gone)


def truncate_log(connection: Connection) -> bool:
    """Try once to truncate SQLite's log, which nobody may be reading; return whether it was truncated."""
    patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql(f"PRAGMA busy_timeout={round(1000 * _TRY)}")
    try:
        return not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    finally:
        # The connection is used again.
        connection.exec_driver_sql(f"PRAGMA busy_timeout={patience}")


def vacuum(engine: Engine) -> None:
    """Let PostgreSQL use the space of deleted rows again."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in metadata.sorted_tables:
            connection.exec_driver_sql(f"VACUUM {table.name}")
