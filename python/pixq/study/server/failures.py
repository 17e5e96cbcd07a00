"""What goes wrong while a study is served: printed now and then, and shown on the experimenter's page."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pixq.errors import printable

__all__ = ["FailureLog"]

#: Seconds between two lines about the same kind of failure.
_PAUSE = 60.0


@dataclass
class _Failures:
    """Failures of one kind: how many, those that were not printed, the first and the last."""

    count: int
    unprinted: int
    first: float
    last: float
    printed: float
    message: str


class FailureLog:
    """Counts failures by kind, and prints each kind at most once a minute. Several threads may call all methods.

    Parameters
    ----------
    clock
        Returns seconds since the epoch.
    write
        Prints a line.

    Examples
    --------
    >>> log = FailureLog(clock=lambda: 1e9, write=print)
    >>> for _ in range(3):
    ...     log.record("answers can't be stored", "disk full")
    pixq: error: answers can't be stored: disk full
    >>> log.summary()[0]["count"]
    3
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        write: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self._clock = clock
        self._write = write
        self._kinds: dict[str, _Failures] = {}
        self._lock = threading.Lock()

    def record(self, kind: str, message: str) -> None:
        """Count a failure, and print it unless one of its kind was printed just before.

        Parameters
        ----------
        kind
            What does not work, one of a few texts.
        message
            Why; one line.
        """
        now = self._clock()
        with self._lock:
            failures = self._kinds.setdefault(kind, _Failures(0, 0, now, now, now - _PAUSE, message))
            failures.count += 1
            failures.last, failures.message = now, printable(message)
            if abs(now - failures.printed) < _PAUSE:
                failures.unprinted += 1
                return
            more = f" ({failures.unprinted} more since the last line)" if failures.unprinted else ""
            failures.printed, failures.unprinted = now, 0
        self._write(f"pixq: error: {kind}: {failures.message}{more}")

    def summary(self) -> list[dict[str, Any]]:
        """What failed since the server started, the most recent first, as JSON."""
        with self._lock:
            kinds = sorted(self._kinds.items(), key=lambda item: item[1].last, reverse=True)
            return [
                {
                    "kind": kind, "message": failures.message, "count": failures.count,
                    "first": _time(failures.first), "last": _time(failures.last),
                }
                for kind, failures in kinds
            ]  # fmt: skip


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
