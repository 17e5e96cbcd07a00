"""The database of answers: events are appended, and each is stored once however often it is sent.

An event is one row that is never changed; its session and number are its key. Each call is one transaction, and when it
returns, its data are on the disk: SQLite flushes its write-ahead log at every commit, as PostgreSQL does by default.
`withdraw` deletes a person; sessions of which nothing was ever heard are deleted after an hour.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cachetools import LRUCache
from sqlalchemy import Connection, func, insert, or_, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from pixq.errors import PixqError, one_line
from pixq.study.store import queries
from pixq.study.store.consent_texts import save_texts, select_agreed_texts, select_digest
from pixq.study.store.database import WRITES, open_database
from pixq.study.store.database_files import DatabaseFiles
from pixq.study.store.deletion import LogNotTruncated, delete_participant, truncate_log, vacuum
from pixq.study.store.records import (
    AppendResult,
    Assignment,
    DatabaseUnavailable,
    Event,
    EventConflict,
    History,
    MissingEvents,
    Session,
    SessionChanges,
    UnknownSession,
    UnstorableText,
)
from pixq.study.store.snapshot import Snapshot
from pixq.study.store.tables import assignments, events, facts, participants, sessions
from pixq.study.store.upgrade import SCHEMA, UPGRADABLE, stored_version, upgrade_tables

__all__ = ["Store", "open_store"]

#: Seconds that a writer waits for another one, and a client for its server.
_WAIT = 20.0
#: Seconds after which a session of which nothing was ever heard is deleted.
_SILENT = 3600.0
#: Number of sessions whose confirmed events are remembered.
_CONFIRMED = 20_000
#: Seconds that other readers may delay the truncation of SQLite's log, and seconds between two attempts.
_READERS, _PAUSE = 10.0, 0.1

Admit = Callable[[Session, int, Sequence[Event], Callable[[int], list[Event]]], SessionChanges]


@dataclass
class Store:
    """A database of answers. Several threads may call all methods, and several processes may open it.

    Parameters
    ----------
    engine
        The SQLAlchemy engine.
    files
        The files of an SQLite database.
    wait
        Seconds that a writer waits for the writers before it.
    """

    engine: Engine
    files: DatabaseFiles | None = None
    wait: float = _WAIT
    _identity: str | None = None
    _writer: threading.Lock = field(default_factory=threading.Lock)
    #: The number of the next event of sessions, as it was confirmed.
    _confirmed: LRUCache[int, int] = field(default_factory=lambda: LRUCache(_CONFIRMED))
    _confirmed_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is an SQLite file."""
        return self.engine.dialect.name == "sqlite"

    @property
    def name(self) -> str:
        """Path of the file, or the URL without its password."""
        url = self.engine.url
        return str(url.database) if self.is_sqlite else url.render_as_string()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        # SQLite has one writer at a time. Threads wait for this lock, which wakes them at once; processes poll the lock
        # of the database.
        if not self.is_sqlite:
            with _translated(), self.engine.begin() as connection:
                yield connection
            return
        if not self._writer.acquire(timeout=self.wait):
            raise DatabaseUnavailable("the database is locked")
        try:
            with _translated(), self.engine.connect() as connection:
                self._check_files()
                connection.execution_options(**{WRITES: True})
                with connection.begin():
                    yield connection
                # Before anything is confirmed.
                self._check_files()
        finally:
            self._writer.release()

    def _check_files(self) -> None:
        if self.files is not None:
            self.files.check()

    def _check_identity(self, connection: Connection) -> None:
        """Raise `DatabaseUnavailable` if this is not the database that was opened, although it has the same name."""
        if self._identity is not None and connection.execute(queries.IDENTITY).scalar() != self._identity:
            raise DatabaseUnavailable("the database was replaced; restore it, and restart pixq")

    def _check_confirmed(self, session: int, next: int) -> None:
        """Raise `DatabaseUnavailable` if events that were confirmed are missing."""
        with self._confirmed_lock:
            confirmed = self._confirmed.get(session, 0)
        if next < confirmed:
            raise DatabaseUnavailable("answers that were stored are missing; restore the database, and restart pixq")

    def _confirm(self, appended: AppendResult) -> AppendResult:
        with self._confirmed_lock:
            self._confirmed[appended.session.id] = max(self._confirmed.get(appended.session.id, 0), appended.next)
        return appended

    def watch_identity(self) -> None:
        """Give the database an identity unless it has one; later, nothing is stored in a database with another one."""
        self._identity = self.setdefault_fact("identity", secrets.token_hex(16))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _translated(), self.engine.connect() as connection:
            yield connection

    def setdefault_fact(self, name: str, value: str) -> str:
        """The value that the database stores under `name`; stores and returns `value` if there is none."""
        query = select(facts.c.value).where(facts.c.name == name)
        # Readers wait for no writer.
        with self._reading() as connection:
            stored = connection.execute(query).scalar()
        if stored is not None:
            return str(stored)
        with self._writing() as connection:
            queries.lock_drawing(connection)
            stored = connection.execute(query).scalar()
            if stored is None:
                connection.execute(insert(facts).values(name=name, value=value))
            return value if stored is None else str(stored)

    def start(
        self,
        participant: str,
        visit: str | None,
        now: float,
        draw: Callable[[History], Mapping[str, Any] | None],
        *,
        again: bool = False,
        proven: bool = True,
    ) -> Session | None:
        """The session of a person: the one of this visit, the unfinished one, or a new one.

        Parameters
        ----------
        participant, visit
            Pseudonyms of the person and of the platform's visit.
        now
            Current time, in seconds since the epoch.
        draw
            Returns `public`, `token` (its hash), `language`, `plan`, `step` and `images` (id and whether it is a test
            image, in order) of a new session, or `None` if there should be none. Only one call runs at a time.
        again
            Whether a person who has completed a session gets a new one. Only has an effect without visits.
        proven
            Whether it is proven that the person is who they say. Otherwise a session that began under one visit is not
            continued under another: anybody may know the person's ID.

        Returns
        -------
        Session or None
            `None` if `draw` returned `None`.
        """
        with self._writing() as connection:
            queries.lock_drawing(connection)
            self._check_identity(connection)
            queries.delete_silent(connection, now - _SILENT)
            before = queries.find_sessions(connection, sessions.c.participant == participant)
            resumed = next((session for session in before if visit is not None and session.visit == visit), None)
            if resumed is None and (visit is None or proven):
                resumed = next((session for session in before if session.ended is None), None)
            if resumed is None and visit is None and not again and before and before[-1].step == "completed":
                resumed = before[-1]
            if resumed is not None:
                # A new visit of a person with an unfinished session continues that session.
                if visit is not None and resumed.visit != visit:
                    connection.execute(update(sessions).where(sessions.c.id == resumed.id).values(visit=visit))
                    resumed = replace(resumed, visit=visit)
                return resumed
            drawn = draw(queries.select_history(connection, participant, before))
            if drawn is None:
                return None
            query = select(participants.c.id).where(participants.c.id == participant)
            if connection.execute(query).scalar() is None:
                connection.execute(insert(participants).values(id=participant, began=now))
            ordinal = before[-1].ordinal + 1 if before else 1
            new = insert(sessions).values(
                public=drawn["public"], token=drawn["token"], participant=participant, ordinal=ordinal,
                visit=visit, language=drawn["language"], plan=drawn["plan"], step=drawn["step"], reason="",
                started=now, heard=now,
            )  # fmt: skip
            number = connection.execute(new.returning(sessions.c.id)).scalar_one()
            rows = [
                {"session": number, "place": place, "source": source, "test": test}
                for place, (source, test) in enumerate(drawn["images"])
            ]
            if rows:
                connection.execute(insert(assignments), rows)
            return queries.find_sessions(connection, sessions.c.id == number)[0]

    @contextmanager
    def history(self, participant: str) -> Iterator[History]:
        """The history that `start` passes to `draw`; valid until the end of the block."""
        with self._reading() as connection:
            before = queries.find_sessions(connection, sessions.c.participant == participant)
            yield queries.select_history(connection, participant, before)

    def append(self, token: str, batch: Sequence[Event], now: float, admit: Admit) -> AppendResult:
        """Append events to a session; events that are stored already are skipped.

        Parameters
        ----------
        token
            Hash of the session's token.
        batch
            Events in the order of their numbers, without gaps.
        now
            Current time, in seconds since the epoch.
        admit
            Gets the session, the number of the first new event, the new events, and a function that reads the stored
            events from a number on. It returns what the events change. If it raises, nothing is stored.

        Raises
        ------
        UnknownSession, MissingEvents, EventConflict, DatabaseUnavailable
            Nothing was stored.
        """
        with self._writing() as connection:
            appended = self._append(connection, token, batch, now, admit)
        return self._confirm(appended)

    def _append(
        self, connection: Connection, token: str, batch: Sequence[Event], now: float, admit: Admit
    ) -> AppendResult:
        session = self._find(connection, token, lock=True)

        def read(first: int) -> list[Event]:
            return queries.select_events(connection, session.id, first)

        stored = connection.execute(queries.LAST_NUMBER, {"of": session.id}).scalar()
        next = 0 if stored is None else stored + 1
        self._check_confirmed(session.id, next)
        if not batch:
            return AppendResult(session, next, 0)
        if batch[0].number > next:
            raise MissingEvents(next)
        old = {event.number: event for event in (read(batch[0].number) if batch[0].number < next else ())}
        for event in batch:
            if event.number in old and old[event.number] != event:
                raise EventConflict(event.number, next)
        new = [event for event in batch if event.number >= next]
        if not new:
            return AppendResult(session, next, 0)
        changes = admit(session, next, new, read)
        new = new[: changes.stored]
        if not new:
            return AppendResult(session, next, 0)
        connection.execute(
            queries.INSERT_EVENTS,
            [
                {
                    "session": session.id, "number": event.number, "kind": event.kind, "at": event.at,
                    "wall": event.wall, "data": event.data, "received": now,
                }
                for event in new
            ],
        )  # fmt: skip
        queries.apply_changes(connection, session, changes, now)
        return AppendResult(session, next + len(new), len(new))

    def session_by_token(self, token: str) -> Session:
        """The session whose token has this hash.

        Raises
        ------
        UnknownSession
            If there is none.
        """
        with self._reading() as connection:
            return self._find(connection, token, lock=False)

    def session_by_public_name(self, name: str) -> Session:
        """The session with this public name, which the addresses of its images contain.

        Raises
        ------
        UnknownSession
            If there is none.
        """
        with self._reading() as connection:
            named = queries.find_sessions(connection, sessions.c.public == name)
        if not named:
            raise UnknownSession
        return named[0]

    def events(self, session: int, first: int = 0) -> list[Event]:
        """Events of a session from number `first` on."""
        with self._reading() as connection:
            return queries.select_events(connection, session, first)

    def session_size(self, session: int) -> tuple[int, int]:
        """Bytes of the data of a session's events, and the number of the next event."""
        query = select(func.sum(func.length(events.c.data)), func.max(events.c.number))
        with self._reading() as connection:
            size, last = connection.execute(query.where(events.c.session == session)).one()
        return int(size or 0), 0 if last is None else last + 1

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """What the database holds now; valid until the end of the block, and SQLite's log is kept until then."""
        # SQLite's transactions see no later ones anyway.
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with _translated(), self.engine.connect() as connection:
            connection.execution_options(**options)
            with connection.begin():
                yield Snapshot(connection)

    def has_sessions(self) -> bool:
        """Whether anybody has started a session."""
        with self._reading() as connection:
            return connection.execute(select(sessions.c.id).limit(1)).scalar() is not None

    def has_participant(self, participant: str) -> bool:
        """Whether a person, given by pseudonym, has started a session."""
        query = select(sessions.c.id).where(sessions.c.participant == participant).limit(1)
        with self._reading() as connection:
            return connection.execute(query).scalar() is not None

    def participant_sessions(self, participant: str) -> list[tuple[Session, list[Assignment]]]:
        """The sessions of a person in order, with their images."""
        with self._reading() as connection:
            found = queries.find_sessions(connection, sessions.c.participant == participant)
        return [(session, self.assignments(session.id)) for session in found]

    def unfinished_plans(self, now: float) -> Iterator[str]:
        """The plans of sessions that have not ended, one after the other, without those that expire."""
        begun = select(events.c.session).where(events.c.session == sessions.c.id).exists()
        query = select(sessions.c.plan).where(
            sessions.c.ended.is_(None), or_(sessions.c.started >= now - _SILENT, begun)
        )
        with self._reading() as connection, connection.execute(query.execution_options(yield_per=100)) as plans:
            yield from plans.scalars()

    def sessions(self) -> list[Session]:
        """All sessions, in the order in which they started."""
        with self._reading() as connection:
            return queries.find_sessions(connection)

    def assignments(self, session: int | None = None) -> list[Assignment]:
        """The images of a session, or of all sessions, in order."""
        query = select(assignments).order_by(assignments.c.session, assignments.c.place)
        if session is not None:
            query = query.where(assignments.c.session == session)
        with self._reading() as connection:
            return [Assignment(*row) for row in connection.execute(query)]

    def agreed_consents(self) -> dict[str, tuple[str, str, str]]:
        """Version, language and text of the consent texts that people agreed to, by `Session.consent`."""
        with self._reading() as connection:
            return select_agreed_texts(connection)

    def consent_digest(self, version: str, language: str) -> str | None:
        """The digest of the stored consent text of a version in a language, or `None`."""
        with self._reading() as connection:
            return select_digest(connection, version, language)

    def save_consents(self, texts: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
        """Store consent texts by version and language.

        Returns the versions and languages for which people agreed to another text; then nothing is stored.
        """
        with self._writing() as connection:
            queries.lock_drawing(connection)
            return save_texts(connection, texts)

    def withdraw(self, participant: str) -> int:
        """Delete all data of a person.

        Parameters
        ----------
        participant
            Pseudonym of the person.

        Returns
        -------
        int
            Number of deleted events. They are erased from SQLite's file and log; PostgreSQL overwrites them in time.

        Raises
        ------
        LogNotTruncated
            If another program prevents the truncation of SQLite's log; everything else is done.
        """
        with self._writing() as connection:
            queries.lock_drawing(connection)
            deleted = delete_participant(connection, participant)
        if not self.truncate_log():
            raise LogNotTruncated(deleted)
        return deleted

    def withdrawals(self) -> int:
        """How often `withdraw` was called for this database, by any process."""
        with self._reading() as connection:
            return int(connection.execute(queries.WITHDRAWALS).scalar() or 0)

    def truncate_log(self) -> bool:
        """Erase deleted rows as far as the database can; return whether SQLite's log was truncated."""
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
        """Close all connections; the last one merges SQLite's log into its file."""
        self.engine.dispose()

    def _find(self, connection: Connection, token: str, *, lock: bool) -> Session:
        query = queries.SESSION_BY_TOKEN_LOCKED if lock and not self.is_sqlite else queries.SESSION_BY_TOKEN
        row = connection.execute(query, {"of": token}).one_or_none()
        if row is None:
            self._check_identity(connection)
            raise UnknownSession
        return Session(*row)


def open_store(where: str, *, make: bool = True, wait: float | None = None, brief: bool = False) -> Store:
    """Open a database of answers.

    Parameters
    ----------
    where
        Path of an SQLite file, or URL of a PostgreSQL database: `postgresql://user@host/name`. Its password may be in
        the URL, in `PGPASSWORD`, or in the file that `PGPASSFILE` names.
    make
        Whether to create missing tables. Those of an older version are upgraded in any case.
    wait, brief
        See `pixq.study.store.database.open_database`; by default, writers wait for 20 seconds.

    Raises
    ------
    PixqError
        If the database can't be opened, others can read its file and this can't be changed, its tables are missing and
        `make` is false, or they have another version.
    """
    wait = _WAIT if wait is None else wait
    engine, files = open_database(where, wait, brief=brief)
    store = Store(engine, files, wait)
    try:
        with store._reading() as connection:
            version = stored_version(connection)
        if version in UPGRADABLE or (make and version is None):
            with store._writing() as connection:
                queries.lock_drawing(connection)
                version = upgrade_tables(connection)
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        engine.dispose()
        message = _database_message(error)
        fix = "check that this is a pixq database of answers"
        if "password" in message:
            fix = "set PGPASSWORD to the password, or PGPASSFILE to a password file of PostgreSQL"
        raise PixqError(f"{store.name}: {message}; {fix}") from None
    if version != SCHEMA:
        engine.dispose()
        if version is None:
            raise PixqError(f"{store.name}: contains no answers; pass the study's database with --database")
        raise PixqError(f"{store.name}: its tables have version {version}, but this pixq uses {SCHEMA}; upgrade pixq")
    try:
        if files is not None:
            files.make_private()
    except PixqError:
        engine.dispose()
        raise
    return store


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DataError, UnicodeEncodeError) as error:
        raise UnstorableText(_database_message(error)) from error
    except SQLAlchemyError as error:
        raise DatabaseUnavailable(_database_message(error)) from error


def _database_message(error: Exception) -> str:
    """The message of the database, without the statement and its values."""
    original = getattr(error, "orig", None)
    return one_line(original if isinstance(original, Exception) else error)
