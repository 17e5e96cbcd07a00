"""Import the answers that offline pages saved, as if they had come to the server."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixq.errors import PixqError
from pixq.io.csv import FORMULA, allow_long_cells, read_csv
from pixq.io.text import read_bytes, without_mark
from pixq.study.constants import CONSTANTS
from pixq.study.offline.build_page import OfflineSessions
from pixq.study.session.parse_event import parse_event
from pixq.study.session.participants import Person
from pixq.study.session.service import MAX_EVENTS, SessionService, UnexpectedEvent
from pixq.study.session.session_plan import SessionPlan
from pixq.study.session.state_machine import SessionProgress, advance
from pixq.study.store.keys import OFFLINE_PLATFORM, Key
from pixq.study.store.records import DatabaseUnavailable, Event, EventConflict

__all__ = ["FORMAT", "AnswerFile", "ImportResult", "Importer", "read_answer_file"]

#: The format of the files, and its version.
FORMAT: str = CONSTANTS["offline_answers"]["format"]
_VERSION: int = CONSTANTS["offline_answers"]["version"]
#: The largest file, in bytes; no honest one comes near.
_LARGEST = 100 << 20
#: The names that pages give their sessions.
_SESSION = re.compile(r"p[0-9a-f]{24}")
#: How a page marks texts that a spreadsheet would take for formulas.
_MARKED = tuple(f"'{character}" for character in FORMULA)
_AGAIN = "ask for the file again, as the page saved it"


@dataclass(frozen=True)
class AnswerFile:
    """A file of answers.

    Parameters
    ----------
    path
        The file's path.
    study_version, seal, number
        Those of the HTML file; see `pixq.study.offline.build_page.OfflineSession`.
    session
        The random name that the page gave its session.
    events
        All events of the session.
    """

    path: Path
    study_version: str
    seal: str
    number: int
    session: str
    events: tuple[Event, ...]


@dataclass(frozen=True)
class ImportResult:
    """The result of importing a file.

    Parameters
    ----------
    session
        The name that the person was shown.
    new
        Number of events stored; 0 if all of them were stored before.
    answers
        Number of answers about images, without training.
    """

    session: str
    new: int
    answers: int


def read_answer_file(path: Path) -> AnswerFile:
    """Read a file of answers, which may be JSON or CSV.

    Raises
    ------
    PixqError
        If it can't be read, is not a file of answers, or is incomplete.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise PixqError(f"{path}: has more than {_LARGEST >> 20} MiB; no page saves such a file")
        # With the line ends that it has: texts of people may hold some.
        text = without_mark(read_bytes(path, limit=_LARGEST)).decode("utf-8")
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; give a file that an offline page saved") from None
    except UnicodeDecodeError:
        raise PixqError(f"{path}: is not text in UTF-8; {_AGAIN}") from None
    facts = _from_json(path, text) if text.lstrip()[:1] == "{" else _from_csv(path, text)
    count, rows = facts["count"], facts["events"]
    if type(count) is not int or not isinstance(rows, list) or len(rows) != count:
        there = len(rows) if isinstance(rows, list) else 0
        raise PixqError(f"{path}: holds {there} events of {count}, so it was cut off or edited; {_AGAIN}")
    if not 0 < count <= MAX_EVENTS:
        raise PixqError(f"{path}: holds {count} events; a session has 1 to {MAX_EVENTS}")
    session, seal, number = facts["session"], facts["seal"], facts["number"]
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise PixqError(f"{path}: session: is not a name that a page made; {_AGAIN}")
    if not isinstance(seal, str) or type(number) is not int:
        raise PixqError(f"{path}: seal and number: were not made by pixq; {_AGAIN}")
    events = []
    for place, row in enumerate(rows):
        try:
            event = parse_event(row)
        except ValueError as error:
            raise PixqError(f"{path}: event {place}: {error}; {_AGAIN}") from None
        if event.number != place:
            raise PixqError(f"{path}: event {place}: has the number {event.number}; {_AGAIN}")
        events.append(event)
    return AnswerFile(path, str(facts["study_version"]), seal, number, session, tuple(events))


class _SeveralFiles(ValueError):
    """Rows of one CSV come from several files."""


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_FACTS = {"format", "format_version", "study", "study_version", "seal", "number", "session", "count", "events"}


def _from_json(path: Path, text: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise PixqError(f"{path}: is not complete JSON, so it was cut off or edited; {_AGAIN}") from None
    _expect(path, facts.get("format"), facts.get("format_version"))
    if missing := sorted(_FACTS - set(facts)):
        raise PixqError(f"{path}: has no {missing[0]}; {_AGAIN}")
    return dict(facts)


def _from_csv(path: Path, text: str) -> Mapping[str, Any]:
    try:
        with allow_long_cells(_LARGEST):
            table = [row.cells for row in read_csv(text, ("format", "session"))]
    except csv.Error as error:
        raise PixqError(f"{path}: is not complete CSV ({error}), so it was cut off or edited; {_AGAIN}") from None
    rows = [dict(zip(table[0], cells, strict=False)) for cells in table[1:]]
    if not rows or "format" not in rows[0]:
        raise PixqError(f"{path}: is not a file of answers; give the JSON or CSV that an offline page saved")
    first = rows[0]
    try:
        _expect(path, first["format"], int(first["format_version"]))
        facts: dict[str, Any] = {name: _plain(first[name]) for name in ("study", "study_version", "seal", "session")}
        facts |= {name: int(first[name]) for name in ("number", "count")}
        if any(row[name] != first[name] for row in rows for name in (*facts, "format")):
            raise _SeveralFiles
        events = [
            {
                "number": int(row["event"]), "kind": row["kind"], "at": float(row["at"]), "wall": row["wall"],
                "data": json.loads(row["data"], parse_constant=_refused),
            }
            for row in rows
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        why = "its rows come from several files" if isinstance(error, _SeveralFiles) else "a row is incomplete"
        raise PixqError(
            f"{path}: {why}, so it was edited, perhaps by a spreadsheet, or cut off; {_AGAIN}, or as JSON"
        ) from None
    return {**facts, "events": events}


def _plain(text: str) -> str:
    return text[1:] if text.startswith(_MARKED) else text


def _expect(path: Path, format: Any, version: Any) -> None:
    if format != FORMAT:
        raise PixqError(f"{path}: is not a file of answers; give the JSON or CSV that an offline page saved")
    if version != _VERSION:
        raise PixqError(
            f"{path}: has format version {version}, and this pixq reads {_VERSION}; use the pixq of that version"
        )


class Importer:
    """Imports files of answers into one study.

    Parameters
    ----------
    service
        The service of the study and its store.
    key
        The study's key.
    """

    def __init__(self, service: SessionService, key: Key) -> None:
        self._service = service
        self._key = key
        self._sessions = OfflineSessions(service.opened, key)

    def add(self, file: AnswerFile) -> ImportResult:
        """Store a file's session, judged as the server would have judged it; a stored one stays as it is.

        Nothing that the file says about itself is trusted: which images it showed is computed again, and its answers
        are accepted only where the server would have accepted them.

        Raises
        ------
        PixqError
            If the file belongs to another study or to an earlier state of this one, was edited, or is not finished, or
            if the database does not answer. Then nothing of it is stored.
        """
        path, study = file.path, self._service.study
        if file.study_version != study.version:
            raise PixqError(
                f"{path}: comes from version {file.study_version!r} of the study, and study.toml has version "
                f"{study.version!r}; import it with the study.toml that it was built with"
            )
        session = self._sessions.get(file.number) if file.number >= 1 else None
        if session is None or session.seal != file.seal:
            raise PixqError(
                f"{path}: does not have this study's seal: it belongs to another study, or was edited, or study.toml, "
                "its images or study.key changed after it was built; put those back"
            )
        progress = _final_progress(path, session.plan, file.events)
        who = Person(
            self._key.pseudonym(OFFLINE_PLATFORM, file.session),
            self._key.sign("visit", OFFLINE_PLATFORM, file.session)[:32],
        )
        language = _language(file.events, study.languages) or study.default_language
        try:
            new = self._service.import_session(who, session.plan_json, session.images, language, file.events)
        except EventConflict as error:
            raise PixqError(
                f"{path}: event {error.number} differs from the one stored for session {file.session}: one of the two "
                "files was edited; ask for the file again, as the page saved it"
            ) from None
        except UnexpectedEvent as error:
            raise PixqError(f"{path}: event {error.number}: {error}; {_AGAIN}") from None
        except DatabaseUnavailable as error:
            raise PixqError(f"{path}: the database does not answer: {error}; import it again") from None
        return ImportResult(file.session, new, len(progress.answers))


def _final_progress(path: Path, plan: SessionPlan, events: Iterable[Event]) -> SessionProgress:
    """Replay a session, which must be completed."""
    progress = SessionProgress()
    for event in events:
        progress, refusal = advance(plan, progress, event)
        if refusal:
            raise PixqError(f"{path}: event {event.number}: {refusal}, which no page saves; {_AGAIN}")
    if progress.step != "completed":
        image = f", image {progress.index + 1} of {len(plan.trials)}" if progress.step == "trial" else ""
        raise PixqError(
            f"{path}: is not finished: it ends at {progress.step}{image}; ask for the file that the last page saves"
        )
    return progress


def _language(events: Iterable[Event], languages: Iterable[str]) -> str | None:
    """The language in which the person agreed, if it is one of the study's."""
    codes = [json.loads(event.data).get("language") for event in events if event.kind == "consent"]
    return codes[-1] if codes and codes[-1] in languages else None
