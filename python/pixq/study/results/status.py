"""Compute how far a study is: answers per source, pass rates, times, where people leave, late frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import get_args

from pixq.study.design.study_files import OpenedStudy
from pixq.study.results.answers import FLAGS, Answer, SessionRow
from pixq.study.results.estimate import estimates_of
from pixq.study.results.session_summary import SessionSummary
from pixq.study.session.state_machine import Step
from pixq.study.store.records import ENDED

__all__ = ["HiddenStatus", "SourceStatus", "StudyStatus", "status_of"]


@dataclass(frozen=True)
class SourceStatus:
    """How far one source is.

    Parameters
    ----------
    id
        Id of the source.
    answers, quota
        Answers so far, and answers wanted.
    counted
        Answers that the estimate of the PJND uses; see `pixq.study.results.estimate`.
    pjnd, low, high
        The PJND and its 95 % interval, in levels; `None` if there are too few answers.
    seconds
        Median time of an answer, in seconds.
    """

    id: str
    answers: int
    quota: int
    counted: int
    pjnd: float | None
    low: float | None
    high: float | None
    seconds: float | None


@dataclass(frozen=True)
class HiddenStatus:
    """A test image: its answers, and how many had the PJND in range, at least two points that match, and both."""

    id: str
    answers: int
    in_range: int
    matched: int
    passed: int


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is.

    Parameters
    ----------
    people
        People who have begun a session.
    sessions
        Number of sessions by their current step or how they ended, in the order of the steps. Those that did not end
        are unfinished or running.
    sources, tests
        How far each source and test image is, in the study's order.
    wanted, stored
        Answers that the quotas want, and answers that count towards them, at most the quota for each source. Answers
        that estimates leave out do not count.
    seconds
        Median time of an answer, in seconds; `None` if no page reported it.
    late
        Late frames as a share of all frames shown; `None` if no page reported them.
    flags
        Number of answers by flag, in the order of `pixq.study.results.answers.FLAGS`.
    """

    people: int
    sessions: dict[str, int]
    sources: tuple[SourceStatus, ...]
    tests: tuple[HiddenStatus, ...]
    wanted: int
    stored: int
    seconds: float | None
    late: float | None
    flags: dict[str, int]

    @property
    def pass_rate(self) -> float | None:
        """The share of answers to test images that passed."""
        answers = sum(each.answers for each in self.tests)
        return sum(each.passed for each in self.tests) / answers if answers else None

    @property
    def dropouts(self) -> dict[str, int]:
        """Sessions that did not end, by their current step."""
        return {step: count for step, count in self.sessions.items() if step not in ENDED}


def status_of(
    opened: OpenedStudy, sessions: Sequence[SessionRow | SessionSummary], answers: Sequence[Answer]
) -> StudyStatus:
    """Compute how far a study is.

    Parameters
    ----------
    opened
        The study, and the levels of its sources.
    sessions, answers
        As `pixq.study.results.load` and `pixq.study.results.answers` give them.
    """
    by_source: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_source[answer.source].append(answer)
    study = opened.study
    quota = study.quota.answers
    sources = tuple(
        SourceStatus(
            each.source,
            len(by_source[each.source]),
            quota,
            each.answers,
            each.median,
            each.low,
            each.high,
            _median(_seconds(by_source[each.source])),
        )
        for each in estimates_of(opened, answers)
    )
    tests = tuple(
        HiddenStatus(
            each.id,
            len(own := by_source[each.id]),
            sum(answer.in_range is True for answer in own),
            sum((answer.matched or 0) >= 2 for answer in own),
            sum(answer.passed is True for answer in own),
        )
        for each in study.test
    )
    # Sessions come by person, so the order of their steps and flags would say nothing.
    steps, flags = Counter(each.step for each in sessions), Counter(flag for each in answers for flag in each.flags)
    # Late frames only count where the number of all frames is known.
    known = [(each.late, each.rate * each.shown_ms / 1000) for each in answers if _counted(each)]  # type: ignore[operator]
    frames = sum(shown for _, shown in known)
    return StudyStatus(
        people=len({each.participant for each in sessions}),
        sessions={step: steps[step] for step in get_args(Step) if steps[step]},
        sources=sources,
        tests=tests,
        wanted=quota * len(study.source),
        stored=sum(min(each.counted, quota) for each in sources),
        seconds=_median(_seconds(answers)),
        late=sum(late or 0 for late, _ in known) / frames if frames else None,
        flags={flag: flags[flag] for flag in FLAGS if flags[flag]},
    )


def _counted(answer: Answer) -> bool:
    return None not in (answer.late, answer.rate, answer.shown_ms)


def _seconds(answers: Sequence[Answer]) -> list[float]:
    return [each.shown_ms / 1000 for each in answers if each.shown_ms is not None]


def _median(values: Sequence[float]) -> float | None:
    return float(median(values)) if values else None
