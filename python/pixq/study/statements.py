"""What a store asks of its database, in SQL; see `pixq.study.store`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, bindparam, func, insert, select, text, update

from pixq.study.rows import Changes, Event, History, Session
from pixq.study.tables import ENDED, assignments, consents, events, sessions

__all__ = [
    "BY_TOKEN",
    "BY_TOKEN_LOCKED",
    "EVERY",
    "INSERT",
    "LAST",
    "change",
    "events_of",
    "history_of",
    "locked",
    "session_of",
    "sessions_where",
]

#: Any number that other programs on the same PostgreSQL don't use: who draws a session's images does so alone.
_LOCK = 0x70697871


def locked(connection: Connection) -> None:
    """Hold the lock of those who draw, to the transaction's end; with SQLite who writes is alone in any case."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


_COLUMNS = tuple(Session.__dataclass_fields__)


def sessions_where(*where: Any) -> Select[Any]:
    """Sessions, as `session_of` takes them."""
    return select(*(sessions.c[name] for name in _COLUMNS)).where(*where)


# What every answer asks for, built once: to build a statement takes longer than to carry it out.
_OF: BindParameter[Any] = bindparam("of")
BY_TOKEN = sessions_where(sessions.c.token == _OF)
BY_TOKEN_LOCKED = BY_TOKEN.with_for_update()
LAST = select(func.max(events.c.number)).where(events.c.session == _OF)
_EVENTS = (
    select(events.c.number, events.c.kind, events.c.at, events.c.wall, events.c.data)
    .where(events.c.session == _OF, events.c.number >= bindparam("first"))
    .order_by(events.c.number)
)
EVERY = select(
    events.c.session, events.c.received, events.c.number, events.c.kind, events.c.at, events.c.wall, events.c.data
).order_by(events.c.session, events.c.number)
INSERT = insert(events)
_UPDATE = (
    update(sessions)
    .where(sessions.c.id == _OF)
    .values({name: bindparam(name) for name in ("step", "reason", "heard", "ended", "consent")})
)


def session_of(row: Any) -> Session:
    """A row of `sessions_where`."""
    return Session(*row)


def events_of(connection: Connection, session: int, first: int) -> list[Event]:
    """A session's events from a number on, in order."""
    return [Event(*row) for row in connection.execute(_EVENTS, {"of": session, "first": first})]


def history_of(connection: Connection, participant: str, mine: Iterable[Session]) -> History:
    """What is known when a session is drawn for a person who has had `mine`."""
    own = (
        select(assignments.c.source, assignments.c.passed)
        .join(sessions, sessions.c.id == assignments.c.session)
        .where(sessions.c.participant == participant)
    )
    rows = connection.execute(own).all()
    answered = select(assignments.c.source, func.count()).where(
        ~assignments.c.test, assignments.c.answered.is_not(None)
    )
    waiting = (
        select(assignments.c.source, sessions.c.heard)
        .join(sessions, sessions.c.id == assignments.c.session)
        .where(~assignments.c.test, assignments.c.answered.is_(None), sessions.c.ended.is_(None))
    )
    return History(
        tuple(mine),
        tuple(row.passed for row in rows if row.passed is not None),
        tuple(row.source for row in rows),
        {row[0]: row[1] for row in connection.execute(answered.group_by(assignments.c.source))},
        tuple((source, heard) for source, heard in connection.execute(waiting)),
    )


def change(connection: Connection, session: Session, changes: Changes, now: float) -> None:
    """Carry out what new events change beside being there."""
    ended = now if changes.step in ENDED and session.ended is None else session.ended
    values: dict[str, Any] = {"step": changes.step, "reason": changes.reason, "heard": now, "ended": ended}
    values["consent"] = session.consent
    if changes.consent is not None:
        digest, version, language, words = changes.consent
        locked(connection)
        if connection.execute(select(consents.c.digest).where(consents.c.digest == digest)).scalar() is None:
            connection.execute(insert(consents).values(digest=digest, version=version, language=language, text=words))
        values["consent"] = digest
    connection.execute(_UPDATE, {"of": session.id, **values})
    for place, passed in changes.answered:
        connection.execute(
            update(assignments)
            .where(assignments.c.session == session.id, assignments.c.place == place, assignments.c.answered.is_(None))
            .values(answered=now, passed=passed)
        )
