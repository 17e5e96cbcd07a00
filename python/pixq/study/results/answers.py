"""Answers, one row each: built from the events that pages sent and from the sessions they belong to."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

from pixq.study.design.config import Study
from pixq.study.results.event_times import TOLERANCE_MS, EventTimes, parse_wall
from pixq.study.session.event_payloads import LOGGED_KINDS, read_number
from pixq.study.session.judge import eligibility
from pixq.study.session.session_plan import Item, Rules
from pixq.study.session.state_machine import judge_item
from pixq.study.session.viewing import FASTEST_SECONDS, UNKNOWN, Viewing, is_overstated, is_unseen

__all__ = [
    "FLAGS", "Answer", "SessionEvent", "SessionRow", "answers_of", "as_json", "flag_answer", "late_frames",
    "screened_out_people", "session_answers", "with_flags",
]  # fmt: skip

#: Slider positions that a real search visits at least.
FEWEST_POSITIONS = 3
#: Clicks closer together than this, in pixels, mark the same place.
ONE_PLACE = 5.0
#: Share of late frames, and relative deviation from the plan, above which an answer is flagged.
LATE, OFF = 0.01, 0.02


#: Why an answer may be unreliable. A flag alone excludes no answer.
FLAGS = {
    "unseen": f"the server had not sent the images, or less than {FASTEST_SECONDS:g} s before the answer",
    "overstated": "the page claims to have shown the image for longer than the server's clock allows",
    "fast": f"the image was shown for less than {FASTEST_SECONDS:g} s, as the page measured it",
    "few_positions": f"the slider stood at fewer than {FEWEST_POSITIONS} positions",
    "highest_level": "the highest available level was chosen, as by somebody who never noticed anything",
    "one_place": f"two of the clicks are less than {ONE_PLACE:g} pixels apart",
    "late_frames": f"more than {LATE:.0%} of the frames were late",
    "off_rate": f"the images alternated at a rate more than {OFF:.0%} off the planned one",
    "off_size": f"the image was shown at a size more than {OFF:.0%} off the planned one",
    "interrupted": "the trial was covered because a check failed, or the page was reloaded during it",
    "page_times": "the page's times can't be right: no date, running backwards, or longer than the page was open",
    "server_times": "the server's clock was set: the answer is stored with a time before an earlier event, or to come",
    "unfinished": "the session was not completed",
    "failed_tests": "the person is screened out: too small a share of all test images was passed",
}


@dataclass(frozen=True)
class SessionEvent:
    """An event of a session with the person and the session it belongs to.

    Parameters
    ----------
    participant
        Pseudonym of the person.
    session
        Name of the session.
    number
        0, 1, 2, ... within the session.
    kind
        What happened.
    at
        Milliseconds since the page was opened.
    wall
        Time by the page's clock, ISO 8601.
    received
        Time by the server's clock, ISO 8601.
    data
        What the page sent with it; it may contain anything.
    """

    participant: str
    session: str
    number: int
    kind: str
    at: float
    wall: str
    received: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class SessionRow:
    """A stored session.

    Parameters
    ----------
    session
        Name of the session.
    participant
        Pseudonym of the person.
    number
        Counts the person's sessions from 1.
    language
        Language of the page.
    version
        Version of the study.
    consent
        Digest of the consent text that the person agreed to; empty if there was none.
    step
        The current step, or how the session ended.
    rules
        The study's rules when the session began.
    shown
        Its images in order, test images included, training images not.
    counted
        Numbers of the events that count as answers; what decides whether a session may continue decides this too.
    viewings
        What the server saw of its answers, by the index of the image in `shown`.
    started
        When the session began by the server's clock, ISO 8601; empty if that is unknown.
    """

    session: str
    participant: str
    number: int
    language: str
    version: str
    consent: str
    step: str
    rules: Rules
    shown: tuple[Item, ...]
    counted: frozenset[int]
    viewings: Mapping[int, Viewing] = field(default_factory=dict)
    started: str = ""


@dataclass(frozen=True)
class Answer:
    """One row of the export; `pixq.study.results.export.answer_columns` describes the fields. `None` means unknown."""

    participant: str
    session: str
    session_number: int
    place: int
    source: str
    codec: str
    kind: Literal["source", "test"]
    width: int
    height: int
    level: int
    highest: int
    points: tuple[tuple[float, float], ...]
    step: str
    environment: Mapping[str, Any]
    track: tuple[tuple[float, float], ...] | None = None
    answered: str | None = None
    received: str | None = None
    at_ms: float | None = None
    language: str | None = None
    study_version: str | None = None
    consent: str | None = None
    # What the page measured; `_MEASURED` reads it.
    shown_ms: float | None = None
    rate: float | None = None
    achieved: float | None = None
    frames_per_image: int | None = None
    late: int | None = None
    dpr: float | None = None
    px_per_cm: float | None = None
    width_css: float | None = None
    height_css: float | None = None
    # What the server saw; see `pixq.study.session.viewing.Viewing`.
    fetched: int | None = None
    watched: float | None = None
    # Whether an answer to a test image is right; `None` for sources.
    in_range: bool | None = None
    matched: int | None = None
    passed: bool | None = None
    flags: tuple[str, ...] = ()


def answers_of(study: Study, sessions: Iterable[SessionRow], events: Iterable[SessionEvent]) -> list[Answer]:
    """Build the answers of sessions, in the order in which each session gave them.

    Parameters
    ----------
    study
        Its quota decides who is flagged as screened out.
    sessions
        Stored sessions. An answer is judged by the study as it was when its session began.
    events
        All events of these sessions, in any order.

    Returns
    -------
    list of Answer
        With their flags.
    """
    by_session: dict[str, list[SessionEvent]] = defaultdict(list)
    for event in events:
        by_session[event.session].append(event)
    answers: list[Answer] = []
    for session in sorted(sessions, key=lambda row: (row.participant, row.number)):
        answers += session_answers(session, sorted(by_session[session.session], key=lambda event: event.number))
    return with_flags(study, answers)


def session_answers(session: SessionRow, events: Iterable[SessionEvent]) -> list[Answer]:
    """Build the answers of one session from its events, which are in order, without the flags of `flag_answer`."""
    answers: list[Answer] = []
    items = {item.key: (place, item) for place, item in enumerate(session.shown, start=1)}
    environment: dict[str, Any] = {}
    interrupted = False
    times = EventTimes(session.started)
    for event in events:
        wrong_times = times.flags(event.kind, event.at, event.received)
        if event.kind in ("check", "calibration"):
            environment[event.kind] = dict(event.data)
        elif event.kind == "recalibration":
            environment["calibration"] = dict(event.data)
        interrupted |= event.kind in ("blocked", "opened")
        item = items.get(event.data.get("key", "")) if event.kind == "trial" else None
        if item is not None and event.number in session.counted:
            answer = _answer(session, event, *item, environment)
            flags = {
                *wrong_times,
                *(["interrupted"] if interrupted else []),
                *(["off_size"] if _off_size(session.rules, answer) else []),
                *(["page_times"] if _has_wrong_times(event, answer) else []),
            }
            answers.append(replace(answer, flags=tuple(name for name in FLAGS if name in flags)))
        # An interruption of an earlier step did not interrupt this one.
        if event.kind not in LOGGED_KINDS:
            interrupted = False
    return answers


def _has_wrong_times(event: SessionEvent, answer: Answer) -> bool:
    """Whether the times within one answer contradict each other."""
    shown = math.inf if answer.shown_ms is None else answer.shown_ms
    moves = [ms for ms, _ in answer.track or ()]
    return (
        (bool(event.wall) and parse_wall(event.wall) is None)
        or (answer.shown_ms is not None and shown > event.at + TOLERANCE_MS)
        or moves != sorted(moves)
        or any(ms < 0 or ms > shown + TOLERANCE_MS for ms in moves)
    )  # fmt: skip


def _answer(session: SessionRow, event: SessionEvent, place: int, item: Item, environment: Mapping[str, Any]) -> Answer:
    data = event.data
    points = tuple((float(y), float(x)) for y, x in data["points"])
    level = int(data["pjnd"])
    judgement = judge_item(item, level, points)
    viewing = session.viewings.get(place - 1, UNKNOWN)
    return Answer(
        participant=session.participant,
        session=session.session,
        session_number=session.number,
        place=place,
        source=item.source,
        codec=item.codec,
        kind="source" if judgement is None else "test",
        width=item.width,
        height=item.height,
        level=level,
        highest=item.levels[-1],
        points=points,
        step=session.step,
        environment=dict(environment),
        track=tuple((float(ms), float(position)) for ms, position in data.get("track", ())),
        # A page may send anything, and a spreadsheet would compute a formula.
        answered=parse_wall(event.wall),
        received=event.received,
        at_ms=event.at,
        language=session.language,
        study_version=session.version,
        consent=session.consent,
        in_range=None if judgement is None else judgement.in_range,
        matched=None if judgement is None else len(judgement.matched),
        passed=None if judgement is None else judgement.passed,
        fetched=viewing.fetched,
        watched=viewing.watched,
        **{name: read(data.get(name)) for name, read in _MEASURED.items()},
    )


def _count(value: object) -> int | None:
    number = read_number(value)
    return None if number is None else round(number)


def late_frames(value: object) -> int | None:
    """Read how many frames were late: a page sends their number or a list of them.

    Examples
    --------
    >>> late_frames(3), late_frames([16.5, 17.5]), late_frames("many")
    (3, 2, None)
    """
    return len(value) if isinstance(value, list) else _count(value)


#: Fields of `Answer` that the page measures, and how each is read from the data of its event.
_MEASURED: dict[str, Callable[[object], Any]] = {
    "shown_ms": read_number,
    "rate": read_number,
    "achieved": read_number,
    "frames_per_image": _count,
    "late": late_frames,
    "dpr": read_number,
    "px_per_cm": read_number,
    "width_css": read_number,
    "height_css": read_number,
}


def with_flags(study: Study, answers: Sequence[Answer]) -> list[Answer]:
    """Add the flags of `FLAGS` that apply to each answer, in that order; flags already set stay."""
    failed = screened_out_people(study, answers)
    return [flag_answer(answer, failed) for answer in answers]


def screened_out_people(study: Study, answers: Iterable[Answer]) -> set[str]:
    """Who is screened out, given all answers: too few of a person's test images were passed."""
    passed: dict[str, list[bool]] = defaultdict(list)
    sessions: dict[str, set[str]] = defaultdict(set)
    for answer in answers:
        if answer.passed is not None:
            passed[answer.participant].append(answer.passed)
        if answer.step == "completed":
            sessions[answer.participant].add(answer.session)
    return {
        participant
        for participant, results in passed.items()
        if eligibility(study.quota, len(sessions[participant]), results) == "screened_out"
    }


def flag_answer(answer: Answer, screened_out: Collection[str]) -> Answer:
    """Add the flags of `FLAGS` that apply to an answer, given who is screened out; flags already set stay."""
    flags = {*answer.flags, *_odd(answer)} | ({"failed_tests"} if answer.participant in screened_out else set())
    return replace(answer, flags=tuple(name for name in FLAGS if name in flags))


def _off_size(rules: Rules, answer: Answer) -> bool:
    if rules.scaling != "physical" or not answer.px_per_cm:
        return False
    wanted = ((answer.width_css, rules.width_cm), (answer.height_css, rules.height_cm))
    return any(css is not None and abs(css / answer.px_per_cm / cm - 1) > OFF for css, cm in wanted)


def _odd(answer: Answer) -> Iterable[str]:
    if is_unseen(answer.watched):
        yield "unseen"
    if is_overstated(answer.shown_ms, answer.watched):
        yield "overstated"
    if answer.shown_ms is not None and answer.shown_ms < 1000 * FASTEST_SECONDS:
        yield "fast"
    if answer.track is not None and len({level for _, level in answer.track}) < FEWEST_POSITIONS:
        yield "few_positions"
    if answer.level == answer.highest:
        yield "highest_level"
    if any(math.dist(a, b) < ONE_PLACE for a, b in combinations(answer.points, 2)):
        yield "one_place"
    if answer.late and answer.rate and answer.shown_ms and answer.late > LATE * answer.rate * answer.shown_ms / 1000:
        yield "late_frames"
    if answer.achieved is not None and answer.rate and answer.frames_per_image:
        planned = answer.rate / answer.frames_per_image
        if abs(answer.achieved / planned - 1) > OFF:
            yield "off_rate"
    if answer.step != "completed":
        yield "unfinished"


def as_json(value: object) -> str:
    r"""Write a value as standard JSON on one line, in ASCII; equal values give equal text.

    Examples
    --------
    >>> as_json({"b": [1, 2.5], "a": "ü"})
    '{"a":"\\u00fc","b":[1,2.5]}'
    """
    # Text from a page may hold lone surrogates, which UTF-8 can't encode.
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), sort_keys=True)
    return text.replace("\x7f", "\\u007f")
