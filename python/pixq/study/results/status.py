"""How far a study is, in figures: answers by source, pass rates, times, where people leave, late frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pixq.study.design.study_files import OpenedStudy
from pixq.study.results.answers import Answer, SessionRow
from pixq.study.results.estimate import estimates_of
from pixq.study.store.records import ENDED

__all__ = ["HiddenStatus", "SourceStatus", "StudyStatus", "status_of"]


@dataclass(frozen=True)
class SourceStatus:
    """A source: its answers so far and the quota, its PJND by them, and the median of the seconds they took.

    Parameters
    ----------
    id, answers, quota, seconds
        As said.
    counted
        Answers that the PJND is of; see `pixq.study.results.estimate`.
    pjnd, low, high
        The PJND and its 95 % interval, in levels; `None` where there are too few answers.
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
    """A test image: how often it was answered, and how often the PJND was in range, two points matched, and both."""

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
        Who have begun a session.
    sessions
        By the step at which they are or ended. Those that are at no end are unfinished, or somebody is in them now.
    sources, tests
        By id, in the study's order.
    wanted, stored
        Answers: by the quotas, and those that count towards them, which is at most the quota for each source. Those
        that no estimate is made of do not count.
    seconds
        The median time that an answer took; `None` where no page said.
    late
        Late frames as a share of all frames shown; `None` where no page said.
    flags
        Answers by flag.
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
        """Sessions that are at no end, by the step at which they are."""
        return {step: count for step, count in self.sessions.items() if step not in ENDED}


def status_of(opened: OpenedStudy, sessions: Sequence[SessionRow], answers: Sequence[Answer]) -> StudyStatus:
    """The figures of a study.

    Parameters
    ----------
    opened
        The study, and the levels of its sources.
    sessions, answers
        As `pixq.study.results.answers` has them.
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
    # Late frames are counted where the frames are, too.
    known = [(each.late, each.rate * each.shown_ms / 1000) for each in answers if _counted(each)]  # type: ignore[operator]
    frames = sum(shown for _, shown in known)
    return StudyStatus(
        people=len({each.participant for each in sessions}),
        sessions=dict(Counter(each.step for each in sessions)),
        sources=sources,
        tests=tests,
        wanted=quota * len(study.source),
        stored=sum(min(each.counted, quota) for each in sources),
        seconds=_median(_seconds(answers)),
        late=sum(late or 0 for late, _ in known) / frames if frames else None,
        flags=dict(Counter(flag for each in answers for flag in each.flags)),
    )


def _counted(answer: Answer) -> bool:
    return None not in (answer.late, answer.rate, answer.shown_ms)


def _seconds(answers: Sequence[Answer]) -> list[float]:
    return [each.shown_ms / 1000 for each in answers if each.shown_ms is not None]


def _median(values: Sequence[float]) -> float | None:
    return float(median(values)) if values else None
