"""Progress of long work, reported by a callback that every part of pixq calls alike."""

from __future__ import annotations

from typing import Protocol

__all__ = ["ProgressCallback", "ignore_progress"]


class ProgressCallback(Protocol):
    """Called again and again while work goes on; what it raises ends the work.

    Parameters
    ----------
    stage
        What is being done, such as `building` or the name of a source; a new name begins a new count.
    done, total
        Items finished in this stage, of how many; `done` never falls within a stage.
    note
        What else to show, such as a rate or the loss of the epoch that just ended; may be empty.

    Examples
    --------
    >>> def show(stage: str, done: int, total: int, note: str = "") -> None:
    ...     print(f"{stage}: {done} of {total}")
    >>> on_progress: ProgressCallback = show
    >>> on_progress("scoring", 3, 4)
    scoring: 3 of 4
    """

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Take note of it."""


def ignore_progress(stage: str, done: int, total: int, note: str = "") -> None:
    """Do nothing: the callback of work that nobody watches."""
