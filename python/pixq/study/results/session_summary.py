"""Summarise sessions, one row each, even those that ended before the first answer, with their survey answers."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixq.io.csv import FORMULA
from pixq.study.constants import CONSTANTS
from pixq.study.design.survey import Question
from pixq.study.results.answers import as_json, late_frames
from pixq.study.results.event_times import as_time, time_problems
from pixq.study.session.session_plan import parse_rules
from pixq.study.session.state_machine import SessionProgress
from pixq.study.store.records import Event, Session

__all__ = ["SessionSummary", "safe_text", "summary_of"]

#: Characters of a text that a cell holds; the page accepts no more.
_LONGEST: int = CONSTANTS["limits"]["survey_text"]


@dataclass(frozen=True)
class SessionSummary:
    """One row of `sessions.csv`; `pixq.study.results.export.session_columns` describes the fields. `None`: unknown.

    `questions` are those that the session was asked, `survey_answers` the answers by the name of the question, and
    `survey` all of them as JSON.
    """

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
    time_problems: tuple[str, ...]
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
    questions: tuple[Question, ...]
    survey_answers: Mapping[str, str | int | float]
    survey: str | None


def summary_of(
    session: Session, events: Sequence[Event], progress: SessionProgress, received: Sequence[float]
) -> SessionSummary:
    """Summarise a session.

    Parameters
    ----------
    session
        The stored session.
    events
        All of its events.
    progress
        Where these events lead.
    received
        When the server stored each of them, in seconds since the epoch.
    """
    plan = json.loads(session.plan)
    kinds = Counter(event.kind for event in events)
    counted = {answer.number for answer in progress.answers}
    # One after the other, as a page may send anything with an answer.
    late = sum(late_frames(json.loads(event.data).get("late")) or 0 for event in events if event.number in counted)
    survey: Mapping[str, Any] = next((json.loads(event.data) for event in events if event.kind == "survey"), {})
    tests = [answer.passed for answer in progress.answers if answer.passed is not None]
    seconds = None if session.ended is None else session.ended - session.started
    questions = parse_rules(plan["rules"]).questions
    values = {question.name: question.value(survey.get(question.name)) for question in questions}
    return SessionSummary(
        participant=session.participant,
        session=session.public,
        session_number=session.ordinal,
        language=session.language,
        study_version=plan["version"],
        consent=session.consent,
        started=as_time(session.started),
        heard=as_time(session.heard),
        ended=None if session.ended is None else as_time(session.ended),
        seconds=None if seconds is None or seconds < 0 else round(seconds, 3),
        time_problems=time_problems(session, received, time.time()),
        step=progress.step,
        reason=progress.reason or None,
        images=len(plan["trials"]),
        answered=len(progress.answers),
        tests=len(tests),
        tests_passed=sum(tests),
        training_tries=len(progress.trained),
        training_passed=sum(answer.passed is True for answer in progress.trained),
        opened=kinds["opened"],
        checks=kinds["check"],
        calibrations=kinds["calibration"],
        blocked=kinds["blocked"],
        errors=kinds["error"],
        late=late,
        questions=questions,
        survey_answers={name: value for name, value in values.items() if value is not None},
        survey=as_json(survey) if survey else None,
    )


def safe_text(text: str) -> str:
    r"""Make free text one line that spreadsheets don't compute, terminals don't obey and any file can hold.

    Examples
    --------
    >>> safe_text("fine,\n\tthank you"), safe_text("=1+1"), safe_text("\x1b[2J")
    ('fine, thank you', "'=1+1", '[2J')
    """
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())[:_LONGEST]
    return f"'{line}" if line.startswith(FORMULA) else line
