"""Finds times that can't be right: clocks that were set, and pages that claim the impossible."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from pixq.study.store.records import Session

__all__ = ["TIME_PROBLEMS", "TOLERANCE_MS", "EventTimes", "as_time", "parse_wall", "time_problems"]

#: Milliseconds by which the times of a page may contradict each other: it rounds them.
TOLERANCE_MS = 1000.0
#: Seconds by which a stored time may be ahead of the clock.
_AHEAD = 60.0
#: The last time that ISO 8601 can write with four digits of the year, in seconds since the epoch.
_LAST = 253_402_300_799.0
_WALL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d[\d:.Z+-]{0,20}")

#: What `time_problems` finds in a session.
TIME_PROBLEMS = {
    "ended_before_start": "the session ended before it began",
    "event_before_start": "an event was stored before the session began",
    "events_out_of_order": "an event was stored before an earlier one",
    "in_the_future": "a time is later than that of the export",
}


def as_time(seconds: float) -> str:
    """A time of the server's clock, in seconds since the epoch, as ISO 8601; at most the end of the year 9999."""
    return datetime.fromtimestamp(min(max(seconds, 0.0), _LAST), UTC).isoformat(timespec="milliseconds")


def parse_wall(wall: str) -> str | None:
    """The time that a page gives, or `None` if it is no time: a page may send anything.

    Examples
    --------
    >>> parse_wall("2026-01-01T10:00:00Z"), parse_wall("2026-13-01T10:00:00Z")
    ('2026-01-01T10:00:00Z', None)
    """
    try:
        # A spreadsheet would compute a formula.
        return wall if _WALL.fullmatch(wall) and datetime.fromisoformat(wall) else None
    except ValueError:
        return None


class EventTimes:
    """Follows the events of a session, in order, and flags those whose times contradict what came before.

    Parameters
    ----------
    started
        When the session began by the server's clock, ISO 8601; empty if that is unknown.
    """

    def __init__(self, started: str) -> None:
        self._latest = started
        self._at = 0.0
        self._future = as_time(time.time() + _AHEAD)

    def flags(self, kind: str, at: float, received: str) -> list[str]:
        """The flags of the next event: `page_times`, `server_times`.

        Parameters
        ----------
        kind
            Kind of the event; `opened` begins the time of a page.
        at
            Milliseconds since the page was opened.
        received
            When the event was stored by the server's clock, ISO 8601.
        """
        backwards = kind != "opened" and at < self._at - TOLERANCE_MS
        wrong = received < self._latest or received > self._future
        self._at, self._latest = at, max(received, self._latest)
        return ["page_times"] * backwards + ["server_times"] * wrong


def time_problems(session: Session, received: Sequence[float], now: float) -> tuple[str, ...]:
    """Name the times of a session that can't be right, with names of `TIME_PROBLEMS`.

    Parameters
    ----------
    session
        The session.
    received
        When its events were stored, in their order, in seconds since the epoch.
    now
        The current time.
    """
    times = (session.started, session.heard, *received, *(() if session.ended is None else (session.ended,)))
    found = {
        "ended_before_start": session.ended is not None and session.ended < session.started,
        "event_before_start": min(received, default=session.started) < session.started,
        "events_out_of_order": any(later < earlier for earlier, later in pairwise(received)),
        "in_the_future": max(times) > now + _AHEAD,
    }
    return tuple(name for name, wrong in found.items() if wrong)
