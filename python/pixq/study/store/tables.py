"""The tables of the database; the same for SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["assignments", "consents", "events", "facts", "metadata", "participants", "sessions"]

metadata = MetaData()

#: Facts about the database itself, such as the version of its tables.
facts = Table(
    "facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

#: Participants by pseudonym, and when they started their first session.
participants = Table(
    "participants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("began", Double, nullable=False),
)

#: Consent texts that people agreed to.
consents = Table(
    "consents",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("text", Text, nullable=False),
)

#: Sessions, with the hash of their token. `step`, `reason`, `heard` and `ended` follow from the events.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("public", Text, nullable=False, unique=True),
    Column("participant", Text, ForeignKey("participants.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("visit", Text),
    Column("token", Text, nullable=False, unique=True),
    Column("language", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started", Double, nullable=False),
    Column("heard", Double, nullable=False),
    Column("ended", Double),
    Column("consent", Text, ForeignKey("consents.digest")),
    UniqueConstraint("participant", "ordinal"),
    UniqueConstraint("participant", "visit"),
    # Numbers are never reused: a copy of the database may still contain a withdrawn session.
    sqlite_autoincrement=True,
)

#: Events of pages, one row each. Rows are only added, never changed.
events = Table(
    "events",
    metadata,
    Column("session", Integer, ForeignKey("sessions.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("wall", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("received", Double, nullable=False),
    PrimaryKeyConstraint("session", "number"),
)

#: Images of sessions in order. `answered` and `passed` follow from the events. `fetched` and `watched` are what the
#: server saw when the answer arrived, and are empty where it can't know: how many of the image's files it had sent, and
#: for how many seconds the person could have looked at them.
assignments = Table(
    "assignments",
    metadata,
    Column("session", Integer, ForeignKey("sessions.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("source", Text, nullable=False, index=True),
    Column("test", Boolean, nullable=False),
    Column("passed", Boolean),
    Column("answered", Double),
    Column("fetched", Integer),
    Column("watched", Double),
    PrimaryKeyConstraint("session", "place"),
)


def _partial(name: str, *columns: Column[Any], where: ColumnElement[bool]) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


# By these, starting a session takes as long with thousands of unfinished sessions as with a few.
# SQLite reads no row where an index has all columns, even those that are the same in all of its rows.
_partial(
    "sessions_unfinished", sessions.c.started, sessions.c.heard, sessions.c.ended, where=sessions.c.ended.is_(None)
)
Index("sessions_step", sessions.c.step, sessions.c.participant)
_partial(
    "assignments_answered", assignments.c.answered, assignments.c.session, where=assignments.c.answered.is_not(None)
)
_partial("assignments_passed", assignments.c.session, assignments.c.passed, where=assignments.c.passed.is_not(None))
Index("assignments_sources", assignments.c.session, assignments.c.test, assignments.c.source)
