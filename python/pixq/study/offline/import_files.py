"""Answers that were given in files of `pixq study build --offline`, stored as if they had come to the server."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixq.errors import PixqError
from pixq.io.csv import FORMULA, allow_long_cells
from pixq.study.constants import CONSTANTS
from pixq.study.offline.build_page import Drawer
from pixq.study.session.parse_event import parse_event
from pixq.study.session.participants import Person
from pixq.study.session.service import MAX_EVENTS, SessionService, UnexpectedEvent
from pixq.study.session.session_plan import SessionPlan
from pixq.study.session.state_machine import Progress, advance
from pixq.study.store.keys import OFFLINE_PLATFORM, Key
from pixq.study.store.records import DatabaseUnavailable, Event, EventConflict

__all__ = ["FORMAT", "Imported", "Importer", "Sent", "read_sent"]

#: What the page calls its files, and the version of what is in them.
FORMAT: str = CONSTANTS["offline_answers"]["format"]
_VERSION: int = CONSTANTS["offline_answers"]["version"]
#: Bytes; no honest file comes near.
_LARGEST = 100 << 20
#: How a page names the session that it begins.
_SESSION = re.compile(r"p[0-9a-f]{24}")
#: What a page makes of the start of a text that a spreadsheet would take for a formula.
_MARKED = tuple(f"'{each}" for each in FORMULA)
_AGAIN = "ask for the file again, as the page saved it"


@dataclass(frozen=True)
class Sent:
    """A file of answers.

    Parameters
    ----------
    path
        Of the file.
    study_version, seal, number
        Of the HTML file that gave it; see `pixq.study.offline.build_page.Drawn`.
    session
        The random name that the page gave its session.
    events
        All of the session.
    """

    path: Path
    study_version: str
    seal: str
    number: int
    session: str
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Imported:
    """What came of a file.

    Parameters
    ----------
    session
        The name that the person was shown.
    new
        Events stored; 0: all of them were there.
    answers
        About images, without training.
    """

    session: str
    new: int
    answers: int


def read_sent(path: Path) -> Sent:
    """Read a file of answers, JSON or CSV by what is in it.

    Raises
    ------
    PixqError
        If it can't be read, is none, or is not whole.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise PixqError(f"{path}: has more than {_LARGEST >> 20} MiB; no page saves such a file")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; give a file that an offline page saved") from None
    except UnicodeDecodeError:
        raise PixqError(f"{path}: is not text in UTF-8; {_AGAIN}") from None
    given = _from_json(path, text) if text.lstrip()[:1] == "{" else _from_csv(path, text)
    count, events = given["count"], given["events"]
    if type(count) is not int or not isinstance(events, list) or len(events) != count:
        some = len(events) if isinstance(events, list) else 0
        raise PixqError(f"{path}: holds {some} events of {count}, so it was cut off or edited; {_AGAIN}")
    if not 0 < count <= MAX_EVENTS:
        raise PixqError(f"{path}: holds {count} events; a session has 1 to {MAX_EVENTS}")
    session, seal, number = given["session"], given["seal"], given["number"]
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise PixqError(f"{path}: session: is none that a page made; {_AGAIN}")
    if not isinstance(seal, str) or type(number) is not int:
        raise PixqError(f"{path}: seal and number: are none that pixq made; {_AGAIN}")
    found = []
    for place, each in enumerate(events):
        try:
            found.append(parse_event(each))
        except ValueError as error:
            raise PixqError(f"{path}: event {place}: {error}; {_AGAIN}") from None
        if found[-1].number != place:
            raise PixqError(f"{path}: event {place}: has the number {found[-1].number}; {_AGAIN}")
    return Sent(path, str(given["study_version"]), seal, number, session, tuple(found))


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_FACTS = {"format", "format_version", "study", "study_version", "seal", "number", "session", "count", "events"}


def _from_json(path: Path, text: str) -> Mapping[str, Any]:
    try:
        given = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise PixqError(f"{path}: is no whole JSON, so it was cut off or edited; {_AGAIN}") from None
    _expect(path, given.get("format"), given.get("format_version"))
    if missing := sorted(_FACTS - set(given)):
        raise PixqError(f"{path}: has no {missing[0]}; {_AGAIN}")
    return dict(given)


def _from_csv(path: Path, text: str) -> Mapping[str, Any]:
    try:
        with allow_long_cells(_LARGEST):
            rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise PixqError(f"{path}: is no whole CSV ({error}), so it was cut off or edited; {_AGAIN}") from None
    if not rows or "format" not in rows[0]:
        raise PixqError(f"{path}: is no file of answers; give the JSON or CSV that an offline page saved")
    first = rows[0]
    try:
        _expect(path, first["format"], int(first["format_version"]))
        facts: dict[str, Any] = {name: _plain(first[name]) for name in ("study", "study_version", "seal", "session")}
        facts |= {name: int(first[name]) for name in ("number", "count")}
        if any(row[name] != first[name] for row in rows for name in (*facts, "format")):
            raise ValueError("its rows are of several files")
        events = [
            {
                "number": int(row["event"]), "kind": row["kind"], "at": float(row["at"]), "wall": row["wall"],
                "data": json.loads(row["data"], parse_constant=_refused),
            }
            for row in rows
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        why = "its rows are of several files" if "several" in str(error) else "a row is not whole"
        raise PixqError(
            f"{path}: {why}, so it was edited, by a spreadsheet perhaps, or cut off; {_AGAIN}, or as JSON"
        ) from None
    return {**facts, "events": events}


def _plain(text: str) -> str:
    return text[1:] if text.startswith(_MARKED) else text


def _expect(path: Path, format: Any, version: Any) -> None:
    if format != FORMAT:
        raise PixqError(f"{path}: is no file of answers; give the JSON or CSV that an offline page saved")
    if version != _VERSION:
        raise PixqError(f"{path}: is of version {version}, and this pixq reads {_VERSION}; use that pixq")


class Importer:
    """Stores files of answers of one study.

    Parameters
    ----------
    service
        Of the study and its store.
    key
        The study's.
    """

    def __init__(self, service: SessionService, key: Key) -> None:
        self._conductor = service
        self._key = key
        self._drawer = Drawer(service.opened, key)

    def add(self, sent: Sent) -> Imported:
        """Store a file's session, judged as the server would have; one that is there already stays as it is.

        Nothing that the file says of itself is believed: what it showed is drawn again, and its answers are taken
        only where the server would have taken them.

        Raises
        ------
        PixqError
            If it is of another study, or of this one as it was before it was changed; if it was edited, or is not
            finished; or the database does not answer. Nothing of it was stored.
        """
        path, study = sent.path, self._conductor.study
        if sent.study_version != study.version:
            raise PixqError(
                f"{path}: is of version {sent.study_version!r} of a study, and study.toml of version "
                f"{study.version!r}; import it with the study.toml that it was built with"
            )
        drawn = self._drawer.draw(sent.number) if sent.number >= 1 else None
        if drawn is None or drawn.seal != sent.seal:
            raise PixqError(
                f"{path}: does not have this study's seal: it is of another study, or was edited, or study.toml, its "
                "images or study.key changed since it was built; put those back"
            )
        progress = _followed(path, drawn.course, sent.events)
        who = Person(
            self._key.pseudonym(OFFLINE_PLATFORM, sent.session),
            self._key.sign("visit", OFFLINE_PLATFORM, sent.session)[:32],
        )
        language = _language(sent.events, study.languages) or study.default_language
        try:
            new = self._conductor.import_session(who, drawn.plan, drawn.images, language, sent.events)
        except EventConflict as error:
            raise PixqError(
                f"{path}: event {error.number} is another than the one that is stored of session {sent.session}; one "
                "of the two files was edited"
            ) from None
        except UnexpectedEvent as error:
            raise PixqError(f"{path}: event {error.number}: {error}; {_AGAIN}") from None
        except DatabaseUnavailable as error:
            raise PixqError(f"{path}: the database does not answer: {error}; import it again") from None
        return Imported(sent.session, new, len(progress.answers))


def _followed(path: Path, course: SessionPlan, events: Iterable[Event]) -> Progress:
    """Where the session ends, which must be the end."""
    progress = Progress()
    for event in events:
        progress, wrong = advance(course, progress, event)
        if wrong:
            raise PixqError(f"{path}: event {event.number}: {wrong}, which no page saves; {_AGAIN}")
    if progress.step != "completed":
        of = f", image {progress.index + 1} of {len(course.trials)}" if progress.step == "trial" else ""
        raise PixqError(f"{path}: is not finished: it ends at {progress.step}{of}; ask for the file of the last page")
    return progress


def _language(events: Iterable[Event], languages: Iterable[str]) -> str | None:
    said = [json.loads(each.data).get("language") for each in events if each.kind == "consent"]
    return said[-1] if said and said[-1] in languages else None
