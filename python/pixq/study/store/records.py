"""What a store keeps and gives, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

__all__ = [
    "ENDED",
    "AppendResult",
    "DatabaseUnavailable",
    "Event",
    "EventConflict",
    "History",
    "MissingEvents",
    "Session",
    "SessionChanges",
    "UnknownSession",
]

#: Steps after which nothing more is asked in a session.
ENDED = ("completed", "failed")


@dataclass(frozen=True)
class Event:
    """What a page says that happened.

    Parameters
    ----------
    number
        0, 1, 2, … in a session.
    kind
        What happened.
    at
        Milliseconds since the page was opened.
    wall
        The page's clock, ISO 8601.
    data
        JSON in one spelling: keys sorted, no spaces.
    """

    number: int
    kind: str
    at: float
    wall: str
    data: str


@dataclass(frozen=True)
class Session:
    """A person's session.

    Parameters
    ----------
    id
        Its number in the database.
    public
        Its name in addresses of images; it says nothing else.
    participant
        Pseudonym of the person.
    ordinal
        The person's first, second, … session: from 1.
    visit
        Pseudonym of the platform's own session, or `None`.
    language
        Of the page.
    plan
        JSON of what it shows.
    step
        Where it is.
    reason
        Why it ended as it did; empty for the usual end.
    started, heard, ended
        Seconds since the epoch: begun, last heard of, ended.
    consent
        Digest of the consent's text that was agreed to.
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


@dataclass(frozen=True)
class History:
    """What is known of a person, and of everybody's answers, when a session is drawn.

    Parameters
    ----------
    sessions
        The person's, by number.
    passed
        Whether each test image that the person answered was passed.
    seen
        Ids of what the person's sessions showed.
    answers
        Answers of completed sessions by source, but for those of some people.
    tested
        By person: sessions completed, and whether each test image that was answered was passed.
    reserved
        Source, time last heard of and step, for all that unfinished sessions ask about.
    """

    sessions: tuple[Session, ...]
    passed: tuple[bool, ...]
    seen: tuple[str, ...]
    answers: Callable[[Collection[str]], Mapping[str, int]]
    tested: Mapping[str, tuple[int, tuple[bool, ...]]]
    reserved: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True)
class SessionChanges:
    """What new events change beside being there.

    Parameters
    ----------
    step, reason
        Of the session.
    answered
        Place in the session, and whether it was passed (`None`: no test image), for every image answered.
    consent
        Digest of the text that was agreed to; the session is in its language from then on.
    """

    step: str
    reason: str = ""
    answered: tuple[tuple[int, bool | None], ...] = ()
    consent: str | None = None


@dataclass(frozen=True)
class AppendResult:
    """What `Store.append` did: to which session, the number that comes next, and how many rows are new."""

    session: Session
    next: int
    new: int


class UnknownSession(Exception):
    """No session has this token."""


class DatabaseUnavailable(Exception):
    """The database does not answer now; nothing was stored."""


class MissingEvents(Exception):
    """Events are missing before the first one sent; `next` is the number that is wanted."""

    def __init__(self, next: int) -> None:
        super().__init__(f"event {next} is wanted")
        self.next = next


class EventConflict(Exception):
    """Another event has this number already; `next` is the number that comes next."""

    def __init__(self, number: int, next: int) -> None:
        super().__init__(f"another event has the number {number}")
        self.number = number
        self.next = next
