"""What a participant did, for experimenters who approve or reject submissions on a platform."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pixq.study.session.viewing import is_unseen
from pixq.study.store.store import Store

__all__ = ["SessionReport", "participant_sessions", "report_lines"]


@dataclass(frozen=True)
class SessionReport:
    """What a participant did in one session.

    Parameters
    ----------
    number
        Counts the person's sessions from 1.
    step, reason
        The current step or how the session ended, and why; `reason` is empty for the usual end.
    started, ended
        Times by the server's clock, ISO 8601; `ended` is `None` before the end.
    answers, images
        Images answered, and all images of the session; both include test images.
    passed, tests
        Test images passed, and test images answered.
    unseen
        Answers that came too fast for anybody to have looked at the image, by the server's clock.
    """

    number: int
    step: str
    reason: str
    started: str
    ended: str | None
    answers: int
    images: int
    passed: int
    tests: int
    unseen: int = 0


def participant_sessions(store: Store, participant: str) -> list[SessionReport]:
    """Report the sessions of a participant in order, without writing to the database or reading an image.

    Parameters
    ----------
    store
        The study's database.
    participant
        The pseudonym; see `pixq.study.store.keys.find_pseudonym`.
    """
    return [
        SessionReport(
            number=session.ordinal,
            step=session.step,
            reason=session.reason,
            started=_time(session.started),
            ended=None if session.ended is None else _time(session.ended),
            answers=sum(image.answered is not None for image in images),
            images=len(images),
            passed=sum(image.passed is True for image in images),
            tests=sum(image.passed is not None for image in images),
            unseen=sum(is_unseen(image.watched) for image in images),
        )
        for session, images in store.participant_sessions(participant)
    ]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def report_lines(participant: str, sessions: list[SessionReport]) -> list[str]:
    r"""Lay out the result of `participant_sessions` for people: the pseudonym, and a table.

    Examples
    --------
    >>> failed = SessionReport(1, "failed", "consent", "2026-01-01T00:00:00", None, 0, 5, 0, 0)
    >>> print(*report_lines("3fa9", [failed]), sep="\n")
    participant 3fa9
    session  step    started              ended  answers  unseen  tests passed  reason
    1        failed  2026-01-01T00:00:00  -      0 of 5   0       0 of 0        consent
    """
    rows = [("session", "step", "started", "ended", "answers", "unseen", "tests passed", "reason")]
    for session in sessions:
        answers, tests = f"{session.answers} of {session.images}", f"{session.passed} of {session.tests}"
        times = session.started, session.ended or "-"
        rows.append(
            (str(session.number), session.step, *times, answers, str(session.unseen), tests, session.reason or "-")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"participant {participant}", *table]
