"""The records of a store, and the errors that it raises."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

__all__ = [
    "ENDED", "AnsweredImage", "AppendResult", "Assignment", "DatabaseUnavailable", "Event", "EventConflict", "History",
    "Hold", "MissingEvents", "SelectHolds", "Session", "SessionChanges", "UnknownSession",
    "UnstorableText", "is_storable",
]  # fmt: skip

#: Steps at which a session has ended.
ENDED = ("completed", "failed")


@dataclass(frozen=True)
class Event:
    """An event that a page sent.

    Parameters
    ----------
    number
        Number of the event in its session: 0, 1, 2, …
    kind
        Kind of the event; see `pixq.study.session.event_payloads`.
    at
        Milliseconds since the page was opened.
    wall
        Time of the page's clock, ISO 8601.
    data
        Canonical JSON: sorted keys, no spaces.
    """

    number: int
    kind: str
    at: float
    wall: str
    data: str


@dataclass(frozen=True)
class Session:
    """A session of a person, as the table `sessions` stores it.

    Parameters
    ----------
    id
        Number of the session in the database.
    public
        Random name of the session in the addresses of its images.
    participant
        Pseudonym of the person.
    ordinal
        Number of the session among the person's sessions, from 1.
    visit
        Pseudonym of the platform's visit, or `None`.
    language
        Language of the page.
    plan
        The plan of the session as JSON.
    step
        Current step.
    reason
        Why the session failed; empty otherwise.
    started, heard, ended
        Times of the start, of the last event and of the end, in seconds since the epoch.
    consent
        Digest of the consent text that the person agreed to.
    """

    id: int
    public: str
    participant: str
    ordinal: int
    visit: str | None
    language: str
    plan: str
    step: str
    reason: str
    started: float
    heard: float
    ended: float | None
    consent: str | None


class Assignment(NamedTuple):
    """The image at a place of a session, as the table `assignments` stores it.

    `passed` says whether the answer to a test image was correct, and is `None` for other images and before the answer;
    `answered` is the time of the answer in seconds since the epoch. `fetched` is the number of the image's files that
    the server had sent before the answer, and `watched` for how many seconds at most the person saw them; both are
    `None` where the server doesn't know.
    """

    session: int
    place: int
    source: str
    test: bool
    passed: bool | None
    answered: float | None
    fetched: int | None = None
    watched: float | None = None


class Hold(NamedTuple):
    """An image, no test image, of unfinished sessions.

    Parameters
    ----------
    session
        Number of the session in the database; `None` for all sessions that answered nothing, which are only counted.
    source
        Id of the source.
    started
        When the session, or the first of these sessions, started, in seconds since the epoch.
    answered
        When the session last answered an image that somebody looked at, or `None`.
    number
        Number of sessions.
    """

    session: int | None
    source: str
    started: float
    answered: float | None
    number: int = 1


class SelectHolds(Protocol):
    """Selects the images of unfinished sessions that hold their places."""

    def __call__(self, *, started: float, silent: float, answered: float, until: float, watched: float) -> list[Hold]:
        """Sessions that started after `started`, or answered after `answered`, and neither after `until`.

        Sessions of which nothing was heard must have started after `silent`. Only answers count that were watched
        for `watched` seconds, or for which that is unknown.
        """


@dataclass(frozen=True)
class History:
    """What a new session depends on: the sessions of the person, and the answers of everybody.

    Parameters
    ----------
    sessions
        Sessions of the person, in order.
    passed
        For each test image that the person answered, whether the answer was correct.
    seen
        Ids of the images that the person's sessions showed.
    answers
        Counts the answers of completed sessions by source, without those of the given people. Only answers count that
        were watched for the given seconds, or for which that is unknown.
    tested
        By person: number of completed sessions, and for each answered test image whether the answer was correct.
    holds
        Selects the images that unfinished sessions hold.
    """

    sessions: tuple[Session, ...]
    passed: tuple[bool, ...]
    seen: tuple[str, ...]
    answers: Callable[[Collection[str], float], Mapping[str, int]]
    tested: Mapping[str, tuple[int, tuple[bool, ...]]]
    holds: SelectHolds


class AnsweredImage(NamedTuple):
    """An image of a session that is answered: its place, and what `Assignment` says about the answer."""

    place: int
    passed: bool | None
    fetched: int | None = None
    watched: float | None = None


@dataclass(frozen=True)
class SessionChanges:
    """Changes of a session that follow from new events.

    Parameters
    ----------
    step, reason
        New step of the session, and why it failed.
    answered
        The images that the events answer.
    consent
        Digest of the text that the person agreed to; the session continues in the language of the text.
    stored
        Number of events to store; `None` for all of them. The others are dropped.
    """

    step: str
    reason: str = ""
    answered: tuple[AnsweredImage, ...] = ()
    consent: str | None = None
    stored: int | None = None


@dataclass(frozen=True)
class AppendResult:
    """Result of `Store.append`: the session, the number of the next event, and the number of new events."""

    session: Session
    next: int
    new: int


class UnknownSession(Exception):
    """No session has this token."""


class DatabaseUnavailable(Exception):
    """The database does not respond; nothing was stored."""


class UnstorableText(Exception):
    """A text can't be stored: it has a NUL, or half of a surrogate pair. Nothing was stored."""


class MissingEvents(Exception):
    """Events are missing before the first one of a batch; `next` is the number of the first missing one."""

    def __init__(self, next: int) -> None:
        super().__init__(f"event {next} is missing")
        self.next = next


class EventConflict(Exception):
    """An event is stored with other content; `number` is its number, and `next` the number of the next event."""

    def __init__(self, number: int, next: int) -> None:
        super().__init__(f"event {number} is stored with other content")
        self.number = number
        self.next = next


def is_storable(text: str) -> bool:
    r"""Whether any database can store a text: PostgreSQL stores no NUL, and nothing stores half of a surrogate pair.

    Examples
    --------
    >>> is_storable("naïve"), is_storable("a\x00"), is_storable("\ud800")
    (True, False, False)
    """
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
