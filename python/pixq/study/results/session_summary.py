"""Sessions: one row each, also those that ended before an answer, with what the survey said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pixq.io.csv import FORMULA
from pixq.study.results.answers import late_frames
from pixq.study.session.state_machine import Progress
from pixq.study.store.records import Event, Session

__all__ = ["SessionSummary", "plain", "summary_of"]

#: Characters of a remark that are shown in a cell; the page takes no more.
_LONGEST = 2000
#: What the survey offers.
_SCALE = range(1, 6)
_GLASSES = ("none", "worn", "not")


@dataclass(frozen=True)
class SessionSummary:
    """A row; `pixq.study.results.export.SESSION_COLUMNS` says what each field is. `None`: not known."""

    participant: str
    session: str
    session_number: int
    language: str
    study_version: str
    consent: str | None
    started: str
    heard: str
    ended: str | None
    seconds: float | None
    step: str
    reason: str | None
    images: int
    answered: int
    tests: int
    tests_passed: int
    training_tries: int
    training_passed: int
    opened: int
    checks: int
    calibrations: int
    blocked: int
    errors: int
    late: int
    survey_hard: int | None
    survey_sure: int | None
    survey_glasses: str | None
    survey_remarks: str | None
    survey: Mapping[str, Any] | None


def summary_of(session: Session, events: Sequence[Event], progress: Progress) -> SessionSummary:
    """A session's row.

    Parameters
    ----------
    session
        As it is stored.
    events
        All of its events.
    progress
        Where they lead.
    """
    plan = json.loads(session.plan)
    kinds = Counter(each.kind for each in events)
    counted = {each.number for each in progress.answers}
    said = [json.loads(each.data) for each in events if each.number in counted]
    survey: Mapping[str, Any] = next((json.loads(each.data) for each in events if each.kind == "survey"), {})
    tests = [each.passed for each in progress.answers if each.passed is not None]
    ended = None if session.ended is None else session.ended - session.started
    glasses, remarks = survey.get("glasses"), survey.get("remarks")
    return SessionSummary(
        participant=session.participant,
        session=session.public,
        session_number=session.ordinal,
        language=session.language,
        study_version=plan["version"],
        consent=session.consent,
        started=_time(session.started),
        heard=_time(session.heard),
        ended=None if session.ended is None else _time(session.ended),
        seconds=None if ended is None else round(ended, 3),
        step=progress.step,
        reason=progress.reason or None,
        images=len(plan["trials"]),
        answered=len(progress.answers),
        tests=len(tests),
        tests_passed=sum(tests),
        training_tries=len(progress.trained),
        training_passed=sum(each.passed is True for each in progress.trained),
        opened=kinds["opened"],
        checks=kinds["check"],
        calibrations=kinds["calibration"],
        blocked=kinds["blocked"],
        errors=kinds["error"],
        late=sum(late_frames(each.get("late")) or 0 for each in said),
        survey_hard=_scale(survey.get("hard")),
        survey_sure=_scale(survey.get("sure")),
        survey_glasses=glasses if glasses in _GLASSES else None,
        survey_remarks=plain(remarks) if isinstance(remarks, str) and remarks.strip() else None,
        survey=survey or None,
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _scale(value: object) -> int | None:
    return value if type(value) is int and value in _SCALE else None


def plain(text: str) -> str:
    r"""Free text in one line that no spreadsheet computes, no terminal obeys, and any file can hold.

    Examples
    --------
    >>> plain("fine,\n\tthank you"), plain("=1+1"), plain("\x1b[2J")
    ('fine, thank you', "'=1+1", '[2J')
    """
    shown = "".join(each for each in " ".join(text.split()) if each.isprintable())[:_LONGEST]
    return f"'{shown}" if shown.startswith(FORMULA) else shown
