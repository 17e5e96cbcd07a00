"""What the server itself saw of an answer: which files of the image it had sent, and how long these could be seen.

A page can claim anything. The server knows when it sent each file, when it stored the answer before, and when this one
arrived, all by a clock that nobody can set. An honest page shows an image after both, so it can't have shown it for
longer. The record is in memory: it is written with the answer, and what a restart forgets is unknown, not suspicious.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cachetools import LRUCache

__all__ = ["FASTEST_SECONDS", "UNKNOWN", "Viewing", "ViewingRecord", "is_contradicted", "is_overstated", "is_unseen"]

#: Nobody has searched an image in less time than this.
FASTEST_SECONDS = 3.0
#: By how much the page's clock may run ahead of the server's: seconds, and as a share.
_TOLERANCE_SECONDS, _TOLERANCE = 0.5, 0.01
#: Number of sessions in memory; what is known of others is forgotten.
_SESSIONS = 20_000


def _clock() -> float:
    # Where there is such a clock, one that goes on while the computer sleeps: people's computers don't.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Viewing(NamedTuple):
    """What the server saw of an answer; `None` where it doesn't know.

    Parameters
    ----------
    fetched
        Number of the image's files that it had sent.
    watched
        For how many seconds at most the person saw the image: since the server sent the reference, and since it stored
        the answer before. 0 if it had not sent the reference and the chosen level.
    """

    fetched: int | None
    watched: float | None


UNKNOWN = Viewing(None, None)


def is_unseen(watched: float | None) -> bool:
    """Whether nobody can have looked at an image: it was not sent, or too short a time before the answer."""
    return watched is not None and watched < FASTEST_SECONDS


def is_overstated(shown_ms: float | None, watched: float | None) -> bool:
    """Whether a page claims to have shown an image for longer than the server's clock allows.

    Examples
    --------
    >>> is_overstated(9000, 9.1), is_overstated(9000, 4.0), is_overstated(9000, None)
    (False, True, False)
    """
    if shown_ms is None or watched is None:
        return False
    return shown_ms / 1000 > watched * (1 + _TOLERANCE) + _TOLERANCE_SECONDS


def is_contradicted(shown_ms: float | None, watched: float | None) -> bool:
    """Whether the server's clock contradicts an answer: nobody could have looked at the image, or not for so long."""
    return is_unseen(watched) or is_overstated(shown_ms, watched)


@dataclass
class _Image:
    """What was sent of one image: when the reference was first sent, and a bit for each level."""

    reference: float | None = None
    levels: int = 0


@dataclass
class _Watched:
    """What is known of one session."""

    #: The first image of which everything is known.
    known_from: int
    #: When the last answer was stored.
    since: float
    images: dict[int, _Image] = field(default_factory=dict)


class ViewingRecord:
    """Which images were sent to which session, and when. Several threads may call all methods.

    Sessions have names, and the images of a session are numbered from 0, training images first.

    Parameters
    ----------
    clock
        Returns seconds; never set, and never running backwards.

    Examples
    --------
    >>> record = ViewingRecord(clock=iter([0.0, 1.0, 1.0, 9.0]).__next__)
    >>> record.begin("s")
    >>> for level in (0, 40):
    ...     record.send("s", 0, level)
    >>> record.view("s", [(0, 40)], record.now())
    [Viewing(fetched=2, watched=8.0)]
    """

    def __init__(self, clock: Callable[[], float] = _clock) -> None:
        self.now = clock
        self._sessions: LRUCache[str, _Watched] = LRUCache(_SESSIONS)
        self._lock = threading.Lock()

    def begin(self, session: str) -> None:
        """Note that a session has just started, so that everything about it is known."""
        with self._lock:
            self._sessions[session] = _Watched(0, self.now())

    def send(self, session: str, place: int, level: int) -> None:
        """Note that a level of an image is sent; level 0 is the reference."""
        now = self.now()
        with self._lock:
            image = self._watched(session, place, now).images.setdefault(place, _Image())
            image.levels |= 1 << level
            if level == 0 and image.reference is None:
                image.reference = now

    def view(self, session: str, answers: Sequence[tuple[int, int]], now: float) -> list[Viewing]:
        """What was seen of answers that arrived together, given the place of each image and the chosen level."""
        viewings: list[Viewing] = []
        with self._lock:
            for place, level in answers:
                watched = self._watched(session, place, now)
                if place < watched.known_from:
                    viewings.append(UNKNOWN)
                    continue
                image = watched.images.get(place, _Image())
                seen = image.reference is not None and image.levels >> level & 1
                # Of several answers that arrive together, only the first can have been looked at.
                since = max(image.reference or 0.0, watched.since) if seen and not viewings else now
                viewings.append(Viewing(image.levels.bit_count(), round(max(0.0, now - since), 3)))
        return viewings

    def store(self, session: str, places: Sequence[int], now: float) -> None:
        """Note that answers to images were stored; the next image can be looked at from now on."""
        if not places:
            return
        with self._lock:
            watched = self._watched(session, places[-1], now)
            watched.since = max(watched.since, now)
            watched.images = {place: image for place, image in watched.images.items() if place >= places[-1]}

    def _watched(self, session: str, place: int, now: float) -> _Watched:
        watched = self._sessions.get(session)
        if watched is None:
            # An earlier process, or a time that is forgotten, may have sent this image and the next.
            watched = self._sessions[session] = _Watched(place + 2, now)
        return watched
