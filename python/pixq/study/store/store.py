"""Where answers are kept: events appended one by one, each stored once however often it is sent.

An event is one row that is never changed; its session and its number are its key. All of a call is one transaction, and
a call that returned is on the disk: SQLite writes its log ahead and flushes it at every commit, PostgreSQL does so by
itself. Only `withdraw` deletes anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, func, insert, inspect, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from pixq.errors import PixqError, one_line
from pixq.study.store.consent_texts import save_texts, select_agreed_texts, select_digest
from pixq.study.store.database import WRITES, open_engine
from pixq.study.store.deletion import LogNotTruncated, delete_participant, truncate_log, vacuum
from pixq.study.store.queries import (
    ALL_EVENTS,
    INSERT_EVENTS,
    LAST_NUMBER,
    SESSION_BY_TOKEN,
    SESSION_BY_TOKEN_LOCKED,
    apply_changes,
    lock_drawing,
    select_events,
    select_history,
    select_sessions,
    to_session,
)
from pixq.study.store.records import (
    AppendResult,
    DatabaseUnavailable,
    Event,
    EventConflict,
    History,
    MissingEvents,
    Session,
    SessionChanges,
    UnknownSession,
)
from pixq.study.store.tables import assignments, events, facts, metadata, participants, sessions

__all__ = ["SCHEMA", "Store", "open_store"]

#: Of the tables.
SCHEMA = "1"
#: Seconds that other readers may delay the truncation of SQLite's log, and seconds between two attempts.
_READERS, _PAUSE = 10.0, 0.1

Admit = Callable[[Session, int, Sequence[Event], Callable[[int], list[Event]]], SessionChanges]


@dataclass
class Store:
    """A database of answers. All methods may be called by several threads, and several processes may have it open.

    Parameters
    ----------
    engine
        Of SQLAlchemy.
    """

    engine: Engine
    _writer: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite."""
        return self.engine.dialect.name == "sqlite"

    @property
    def name(self) -> str:
        """The file, or the URL without its password."""
        url = self.engine.url
        return str(url.database) if self.is_sqlite else url.render_as_string()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        # SQLite has one writer at a time: threads wait for one another here, where they wake at once, and processes
        # by its own lock, which they poll.
        if not self.is_sqlite:
            with _translated(), self.engine.begin() as connection:
                yield connection
            return
        with self._writer, _translated(), self.engine.connect() as connection:
            connection.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _translated(), self.engine.connect() as connection:
            yield connection

    def setdefault_fact(self, name: str, value: str) -> str:
        """What the database says of itself under `name`: `value`, unless something is there already."""
        query = select(facts.c.value).where(facts.c.name == name)
        # Whoever only reads waits for no writer.
        with self._reading() as connection:
            found = connection.execute(query).scalar()
        if found is not None:
            return str(found)
        with self._writing() as connection:
            lock_drawing(connection)
            found = connection.execute(query).scalar()
            if found is None:
                connection.execute(insert(facts).values(name=name, value=value))
            return value if found is None else str(found)

    def start(
        self,
        participant: str,
        visit: str | None,
        now: float,
        draw: Callable[[History], Mapping[str, Any] | None],
        *,
        again: bool = False,
    ) -> Session | None:
        """The session of a person: the one that is not ended, the one of this visit, or a new one.

        Parameters
        ----------
        participant, visit
            Pseudonyms.
        now
            Seconds since the epoch.
        draw
            Gives, of what is known, a new session's `public`, `token` (the hash of it), `language`, `plan`, `step` and
            `images` (id and whether it is a test, in order), or `None` where there is to be none. It is called by one
            at a time.
        again
            Whether a person whose last session is completed gets a new one, where there are no visits to tell.

        Returns
        -------
        Session or None
            `None` where `draw` gave that.
        """
        with self._writing() as connection:
            lock_drawing(connection)
            mine = _sessions_of(connection, participant)
            found = next((each for each in mine if visit is not None and each.visit == visit), None)
            found = found or next((each for each in mine if each.ended is None), None)
            if found is None and visit is None and not again and mine and mine[-1].step == "completed":
                found = mine[-1]
            if found is not None:
                # A platform that sends a person again for an unfinished session means this one.
                if visit is not None and found.visit != visit:
                    connection.execute(update(sessions).where(sessions.c.id == found.id).values(visit=visit))
                    found = replace(found, visit=visit)
                return found
            drawn = draw(select_history(connection, participant, mine))
            if drawn is None:
                return None
            known = connection.execute(select(participants.c.id).where(participants.c.id == participant)).scalar()
            if known is None:
                connection.execute(insert(participants).values(id=participant, began=now))
            made = insert(sessions).values(
                public=drawn["public"], token=drawn["token"], participant=participant, ordinal=len(mine) + 1,
                visit=visit, language=drawn["language"], plan=drawn["plan"], step=drawn["step"], reason="",
                started=now, heard=now,
            )  # fmt: skip
            number = connection.execute(made.returning(sessions.c.id)).scalar_one()
            rows = [
                {"session": number, "place": place, "source": source, "test": test}
                for place, (source, test) in enumerate(drawn["images"])
            ]
            if rows:
                connection.execute(insert(assignments), rows)
            return to_session(connection.execute(select_sessions(sessions.c.id == number)).one())

    @contextmanager
    def history(self, participant: str) -> Iterator[History]:
        """What `draw` of `start` is given of a person, until the end of the block."""
        with self._reading() as connection:
            yield select_history(connection, participant, _sessions_of(connection, participant))

    def append(self, token: str, batch: Sequence[Event], now: float, admit: Admit) -> AppendResult:
        """Append events to a session; those that are there already stay as they are.

        Parameters
        ----------
        token
            Hash of the session's token.
        batch
            By number, without a gap among them.
        now
            Seconds since the epoch.
        admit
            Is given the session, the first new event's number, the new events, and a function that reads the stored
            ones from a number on. It says what they change, or raises, and then nothing is stored.

        Raises
        ------
        UnknownSession, MissingEvents, EventConflict, DatabaseUnavailable
            See there. Nothing was stored.
        """
        with self._writing() as connection:
            session = self._of(connection, token, lock=True)

            def read(first: int) -> list[Event]:
                return select_events(connection, session.id, first)

            stored = connection.execute(LAST_NUMBER, {"of": session.id}).scalar()
            next = 0 if stored is None else stored + 1
            if not batch:
                return AppendResult(session, next, 0)
            if batch[0].number > next:
                raise MissingEvents(next)
            old = {each.number: each for each in (read(batch[0].number) if batch[0].number < next else ())}
            for each in batch:
                if each.number in old and old[each.number] != each:
                    raise EventConflict(each.number, next)
            new = [each for each in batch if each.number >= next]
            if not new:
                return AppendResult(session, next, 0)
            changes = admit(session, next, new, read)
            connection.execute(
                INSERT_EVENTS,
                [
                    {
                        "session": session.id, "number": each.number, "kind": each.kind, "at": each.at,
                        "wall": each.wall, "data": each.data, "received": now,
                    }
                    for each in new
                ],
            )  # fmt: skip
            apply_changes(connection, session, changes, now)
            return AppendResult(session, next + len(new), len(new))

    def session_by_token(self, token: str) -> Session:
        """The session of a token's hash.

        Raises
        ------
        UnknownSession
            If there is none.
        """
        with self._reading() as connection:
            return self._of(connection, token, lock=False)

    def session_by_public_name(self, name: str) -> Session:
        """The session that has this name in addresses of images.

        Raises
        ------
        UnknownSession
            If there is none.
        """
        with self._reading() as connection:
            row = connection.execute(select_sessions(sessions.c.public == name)).one_or_none()
        if row is None:
            raise UnknownSession
        return to_session(row)

    def events(self, session: int, first: int = 0) -> list[Event]:
        """A session's events from a number on."""
        with self._reading() as connection:
            return select_events(connection, session, first)

    def session_size(self, session: int) -> tuple[int, int]:
        """Bytes of what a session's events say, and the number that comes next."""
        query = select(func.sum(func.length(events.c.data)), func.max(events.c.number))
        with self._reading() as connection:
            size, last = connection.execute(query.where(events.c.session == session)).one()
        return int(size or 0), 0 if last is None else last + 1

    def sessions_with_events(self) -> list[tuple[Session, list[tuple[Event, float]]]]:
        """All sessions, with their events and when each came, in seconds since the epoch; by two queries in all."""
        with self._reading() as connection:
            every = [to_session(row) for row in connection.execute(select_sessions().order_by(sessions.c.id))]
            found: dict[int, list[tuple[Event, float]]] = {each.id: [] for each in every}
            for session, received, *row in connection.execute(ALL_EVENTS):
                # What began since then is left to the next.
                if session in found:
                    found[session].append((Event(*row), received))
        return [(each, found[each.id]) for each in every]

    def sessions(self) -> list[Session]:
        """All sessions, in the order in which they began."""
        with self._reading() as connection:
            return [to_session(row) for row in connection.execute(select_sessions().order_by(sessions.c.id))]

    def assignments(self) -> list[tuple[int, int, str, bool, bool | None, float | None]]:
        """Of all sessions' images: session, place, source, whether it is a test, whether passed, when answered."""
        query = select(assignments).order_by(assignments.c.session, assignments.c.place)
        with self._reading() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def agreed_consents(self) -> dict[str, tuple[str, str, str]]:
        """Version, language and text of all consents that somebody agreed to, by `Session.consent`."""
        with self._reading() as connection:
            return select_agreed_texts(connection)

    def consent_digest(self, version: str, language: str) -> str | None:
        """The digest of the text that was kept of a version in a language, if one was."""
        with self._reading() as connection:
            return select_digest(connection, version, language)

    def save_consents(self, texts: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
        """Keep the texts of consents, by version and language; gives those of which people agreed to another text.

        Nothing is kept, if there are such.
        """
        with self._writing() as connection:
            lock_drawing(connection)
            return save_texts(connection, texts)

    def withdraw(self, participant: str) -> int:
        """Delete all there is of a person.

        Parameters
        ----------
        participant
            Pseudonym.

        Returns
        -------
        int
            Events deleted. Their text is gone from SQLite's file and its log; a PostgreSQL overwrites it in time.

        Raises
        ------
        LogNotTruncated
            If another program kept SQLite's log from being truncated; all else is done.
        """
        with self._writing() as connection:
            lock_drawing(connection)
            gone = delete_participant(connection, participant)
        if not self.truncate_log():
            raise LogNotTruncated(gone)
        return gone

    def truncate_log(self) -> bool:
        """Leave nothing of what is deleted, as far as the database does so; whether SQLite's log was truncated."""
        if not self.is_sqlite:
            with _translated():
                vacuum(self.engine)
            return True
        # Deleted rows are overwritten in the file; the log has them until it is truncated. Our own readers are short.
        end = time.monotonic() + _READERS
        while True:
            with self._writer, _translated(), self.engine.connect() as connection:
                if truncate_log(connection):
                    return True
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Close all connections; the last one leaves SQLite's file whole, without a log beside it."""
        self.engine.dispose()

    def _of(self, connection: Connection, token: str, *, lock: bool) -> Session:
        query = SESSION_BY_TOKEN_LOCKED if lock and not self.is_sqlite else SESSION_BY_TOKEN
        row = connection.execute(query, {"of": token}).one_or_none()
        if row is None:
            raise UnknownSession
        return to_session(row)


def _sessions_of(connection: Connection, participant: str) -> list[Session]:
    """A person's, by number."""
    query = select_sessions(sessions.c.participant == participant).order_by(sessions.c.ordinal)
    return [to_session(row) for row in connection.execute(query)]


def open_store(where: str, *, make: bool = True) -> Store:
    """Open a database of answers.

    Parameters
    ----------
    where
        A file's name, or the URL of a PostgreSQL database: `postgresql://user:password@host/name`.
    make
        Whether to make the tables where there are none; without it nothing is changed.

    Raises
    ------
    PixqError
        If it can't be opened, it has no tables and is not to get them, or they are another version's.
    """
    engine = open_engine(where)
    store = Store(engine)
    try:
        if make:
            with store._writing() as connection:
                lock_drawing(connection)
                metadata.create_all(connection)
            found: str | None = store.setdefault_fact("schema", SCHEMA)
        else:
            with store._reading() as connection:
                query = select(facts.c.value).where(facts.c.name == "schema")
                found = connection.execute(query).scalar() if inspect(connection).has_table(facts.name) else None
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        engine.dispose()
        raise PixqError(f"{store.name}: {_plain(error)}; is it a database of answers?") from None
    if found != SCHEMA:
        engine.dispose()
        if found is None:
            raise PixqError(f"{store.name}: it holds no answers; give the --database of the study")
        raise PixqError(f"{store.name}: its tables are version {found}, not {SCHEMA}; use that pixq")
    return store


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(_plain(error)) from error


def _plain(error: Exception) -> str:
    """What the database says, without the statement and its values."""
    inner = getattr(error, "orig", None)
    return one_line(inner if isinstance(inner, Exception) else error)
