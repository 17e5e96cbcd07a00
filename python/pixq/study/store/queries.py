"""The SQL queries of `pixq.study.store.store`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, bindparam, delete, func, insert, or_, select, text, update

from pixq.study.store.records import ENDED, Event, History, Hold, Session, SessionChanges
from pixq.study.store.tables import assignments, consents, events, facts, participants, sessions

__all__ = [
    "IDENTITY", "INSERT_EVENTS", "LAST_NUMBER", "SESSION_BY_TOKEN", "SESSION_BY_TOKEN_LOCKED",
    "WITHDRAWALS", "apply_changes", "delete_silent", "lock_drawing", "select_events", "select_history",
]  # fmt: skip

#: Number of sessions that are deleted at a time.
_DELETED = 100
#: Number of the advisory lock under which the images of sessions are chosen; any number that other programs on the
#: same PostgreSQL don't use.
_LOCK = 0x70697871


def lock_drawing(connection: Connection) -> None:
    """Hold the lock until the end of the transaction; SQLite has only one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


_COLUMNS = tuple(Session.__dataclass_fields__)


def _select_sessions(*where: Any) -> Select[Any]:
    return select(*(sessions.c[name] for name in _COLUMNS)).where(*where)


def find_sessions(connection: Connection, *where: Any) -> list[Session]:
    """Sessions in the order in which they started."""
    return [Session(*row) for row in connection.execute(_select_sessions(*where).order_by(sessions.c.id))]


# Queries that every answer needs are built once: building a statement takes longer than running it.
_OF: BindParameter[Any] = bindparam("of")
SESSION_BY_TOKEN = _select_sessions(sessions.c.token == _OF)
SESSION_BY_TOKEN_LOCKED = SESSION_BY_TOKEN.with_for_update()
LAST_NUMBER = select(func.max(events.c.number)).where(events.c.session == _OF)
_EVENTS = (
    select(events.c.number, events.c.kind, events.c.at, events.c.wall, events.c.data)
    .where(events.c.session == _OF, events.c.number >= bindparam("first"))
    .order_by(events.c.number)
)
INSERT_EVENTS = insert(events)
WITHDRAWALS = select(facts.c.value).where(facts.c.name == "withdrawals")
IDENTITY = select(facts.c.value).where(facts.c.name == "identity")
_UPDATE = (
    update(sessions)
    .where(sessions.c.id == _OF)
    .values({name: bindparam(name) for name in ("step", "reason", "heard", "ended", "consent", "language")})
)


def select_events(connection: Connection, session: int, first: int) -> list[Event]:
    """Events of a session from number `first` on, in order."""
    return [Event(*row) for row in connection.execute(_EVENTS, {"of": session, "first": first})]


def select_history(connection: Connection, participant: str, sessions_before: Iterable[Session]) -> History:
    """What a new session of a person depends on, who has had `sessions_before`."""
    images = (
        select(assignments.c.source, assignments.c.passed)
        .join(sessions, sessions.c.id == assignments.c.session)
        .where(sessions.c.participant == participant)
    )
    rows = connection.execute(images).all()
    tested = (
        select(sessions.c.participant, assignments.c.passed)
        .join(sessions, sessions.c.id == assignments.c.session)
        .where(assignments.c.passed.is_not(None))
    )
    completed = (
        select(sessions.c.participant, func.count())
        .where(sessions.c.step == "completed")
        .group_by(sessions.c.participant)
    )
    passed: dict[str, list[bool]] = defaultdict(list)
    for person, correct in connection.execute(tested):
        passed[person].append(correct)
    return History(
        tuple(sessions_before),
        tuple(row.passed for row in rows if row.passed is not None),
        tuple(row.source for row in rows),
        partial(_count_answers, connection),
        {person: (count, tuple(passed[person])) for person, count in connection.execute(completed)},
        partial(_select_holds, connection),
    )


def _select_holds(
    connection: Connection, *, started: float, silent: float, answered: float, until: float, watched: float
) -> list[Hold]:
    """See `pixq.study.store.records.SelectHolds`."""
    unfinished = sessions.c.ended.is_(None)
    # Both queries use indexes alone for sessions: reading a row reads its plan too.
    last = (
        select(assignments.c.session, func.max(assignments.c.answered).label("last"))
        .join(sessions, sessions.c.id == assignments.c.session)
        .where(assignments.c.answered.between(answered, until), unfinished)
        .where(or_(assignments.c.watched.is_(None), assignments.c.watched >= watched))
        .group_by(assignments.c.session)
        .subquery()
    )
    begun = (
        select(assignments.c.session, assignments.c.source, sessions.c.started, last.c.last)
        .join(last, last.c.session == assignments.c.session)
        .join(sessions, sessions.c.id == assignments.c.session)
        .where(~assignments.c.test)
    )
    early = (
        select(assignments.c.source, func.min(sessions.c.started), func.count())
        .join(sessions, sessions.c.id == assignments.c.session)
        .where(unfinished, sessions.c.started.between(started, until), ~assignments.c.test)
        .where(or_(sessions.c.heard > sessions.c.started, sessions.c.started >= silent))
        .where(sessions.c.id.not_in(select(last.c.session)))
        .group_by(assignments.c.source)
    )
    return [
        *(Hold(*row) for row in connection.execute(begun)),
        *(Hold(None, source, first, None, number) for source, first, number in connection.execute(early)),
    ]


def delete_silent(connection: Connection, before: float) -> None:
    """Delete some of the sessions that started before a time, and of which nothing was ever heard."""
    silent = (
        select(sessions.c.id)
        .where(sessions.c.ended.is_(None), sessions.c.started < before, sessions.c.heard <= sessions.c.started)
        .limit(_DELETED)
    )
    begun = select(events.c.session).where(events.c.session == sessions.c.id).exists()
    # An event that arrives now is stored before or after this.
    ids = [row[0] for row in connection.execute(silent.where(~begun).with_for_update(skip_locked=True))]
    if not ids:
        return
    people = {row[0] for row in connection.execute(select(sessions.c.participant).where(sessions.c.id.in_(ids)))}
    connection.execute(delete(assignments).where(assignments.c.session.in_(ids)))
    connection.execute(delete(sessions).where(sessions.c.id.in_(ids)))
    others = select(sessions.c.id).where(sessions.c.participant == participants.c.id).exists()
    connection.execute(delete(participants).where(participants.c.id.in_(sorted(people)), ~others))


def _count_answers(connection: Connection, without: Collection[str], watched: float = 0.0) -> dict[str, int]:
    """Number of answers of completed sessions by source, without those of some people, or that were watched less."""
    query = (
        select(assignments.c.source, func.count())
        .join(sessions, sessions.c.id == assignments.c.session)
        .where(~assignments.c.test, assignments.c.answered.is_not(None), sessions.c.step == "completed")
        .where(or_(assignments.c.watched.is_(None), assignments.c.watched >= watched))
        .group_by(assignments.c.source)
    )
    if without:
        query = query.where(sessions.c.participant.not_in(sorted(without)))
    return {row[0]: row[1] for row in connection.execute(query)}


def apply_changes(connection: Connection, session: Session, changes: SessionChanges, now: float) -> None:
    """Update a session after new events."""
    ended = now if changes.step in ENDED and session.ended is None else session.ended
    values: dict[str, Any] = {"step": changes.step, "reason": changes.reason, "heard": now, "ended": ended}
    values |= {"consent": session.consent, "language": session.language}
    if changes.consent is not None:
        query = select(consents.c.language).where(consents.c.digest == changes.consent)
        values |= {"consent": changes.consent, "language": connection.execute(query).scalar_one()}
    connection.execute(_UPDATE, {"of": session.id, **values})
    for answer in changes.answered:
        place = (assignments.c.session == session.id, assignments.c.place == answer.place)
        values = {"answered": now, "passed": answer.passed, "fetched": answer.fetched, "watched": answer.watched}
        connection.execute(update(assignments).where(*place, assignments.c.answered.is_(None)).values(values))
