"""Reads a whole database one session after the other, as it is at one moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Result, Row, Select, case, literal, select

from pixq.study.store.records import Assignment, Event, Session
from pixq.study.store.tables import assignments, events, sessions

__all__ = ["Snapshot", "StoredSession"]

_T = TypeVar("_T")
#: Rows that are read at a time; one may hold a large event.
_ROWS = 64
#: Seconds that PostgreSQL may need for one of the queries.
_SECONDS = 120
_ORDER = (sessions.c.participant, sessions.c.ordinal)


class StoredSession(NamedTuple):
    """A session with its events, when each of them arrived, and its images in order."""

    session: Session
    events: list[Event]
    received: list[float]
    images: list[Assignment]


class Snapshot:
    """What a database holds at one moment, whatever is stored meanwhile.

    Parameters
    ----------
    connection
        A connection whose transaction sees nothing that is stored later; see `Store.snapshot`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_SECONDS}s'")
        # The moment is that of the first query.
        connection.execute(select(sessions.c.id).limit(1)).scalar()

    def sessions(self, without: Collection[str] = ()) -> Iterator[StoredSession]:
        """All sessions, by person and in the order of each person's sessions; only one is in memory.

        Parameters
        ----------
        without
            Kinds of events whose data are not read: they are `{}`.
        """
        data: ColumnElement[str] = events.c.data
        if without:
            data = case((events.c.kind.in_(sorted(without)), literal("{}")), else_=data).label("data")
        columns = (events.c.number, events.c.kind, events.c.at, events.c.wall, data)
        of_events = select(events.c.session, events.c.received, *columns).join(
            sessions, sessions.c.id == events.c.session
        )
        of_images = select(assignments).join(sessions, sessions.c.id == assignments.c.session)
        names = tuple(Session.__dataclass_fields__)
        of_sessions = select(*(sessions.c[name] for name in names)).order_by(*_ORDER)
        with (
            self._stream(of_sessions) as rows,
            self._stream(of_events.order_by(*_ORDER, events.c.number)) as stored,
            self._stream(of_images.order_by(*_ORDER, assignments.c.place)) as shown,
        ):
            take_events = _grouped(iter(stored), _event)
            take_images = _grouped(iter(shown), lambda row: Assignment(*tuple(row)))
            for row in rows:
                session = Session(*tuple(row))
                arrived = take_events(session.id)
                received, arrived_events = [time for time, _ in arrived], [event for _, event in arrived]
                yield StoredSession(session, arrived_events, received, take_images(session.id))

    def _stream(self, query: Select[Any]) -> Result[Any]:
        return self._connection.execute(query.execution_options(yield_per=_ROWS))


def _event(row: Row[Any]) -> tuple[float, Event]:
    values: tuple[Any, ...] = tuple(row)
    return values[1], Event(*values[2:])


def _grouped(rows: Iterator[Row[Any]], parse: Callable[[Row[Any]], _T]) -> Callable[[int], list[_T]]:
    """Make a function that takes the rows of the next session; the first column of a row is its session."""
    ahead: list[Row[Any]] = []

    def take(session: int) -> list[_T]:
        taken: list[_T] = []
        for row in chain(ahead[:], rows):
            if row[0] != session:
                ahead[:] = [row]
                return taken
            taken.append(parse(row))
        ahead.clear()
        return taken

    return take
