"""Answers: one row each, from what a study's pages said and what its sessions showed."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from pixq.study.design.config import Study
from pixq.study.session.event_payloads import LOGGED_KINDS
from pixq.study.session.judge import eligibility
from pixq.study.session.session_plan import Item, Rules
from pixq.study.session.state_machine import judge_item

__all__ = ["FLAGS", "Answer", "Heard", "SessionRow", "answers_of", "as_json", "flagged", "late_frames"]

#: Milliseconds in which nobody has searched an image.
FASTEST_MS = 3000
#: Positions of the slider from which a level was searched.
FEWEST_POSITIONS = 3
#: Clicks nearer to one another than this, in pixels, are one place.
ONE_PLACE = 5.0
#: Share of late frames, and of a difference from what was planned, that is worth a word.
LATE, OFF = 0.01, 0.02

_LEAST, _MOST = 1e-6, 1e12
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d[\d:.Z+-]{0,20}")

#: What may be odd about an answer. None of them takes it out.
FLAGS = {
    "fast": f"shown for less than {FASTEST_MS / 1000:g} s",
    "few_positions": f"the slider stood at fewer than {FEWEST_POSITIONS} positions",
    "highest_level": "the highest level there is was chosen, as by somebody who never noticed",
    "one_place": f"two of the points are less than {ONE_PLACE:g} pixels apart",
    "late_frames": f"more than {LATE:.0%} of the frames were late",
    "off_rate": f"images changed at a rate that is more than {OFF:.0%} off the one planned",
    "off_size": f"the image was shown at a size that is more than {OFF:.0%} off the one wanted",
    "interrupted": "the trial was covered, because a check failed, or the page was opened again in it",
    "unfinished": "the session was not completed",
    "failed_tests": "the person is out: after so many sessions, too small a share of all test images was passed",
}


@dataclass(frozen=True)
class Heard:
    """An event of a person's session, as the export takes it; the store has `pixq.study.store.records.Event`.

    Parameters
    ----------
    participant
        Pseudonym of the person.
    session
        Name of the session.
    number
        0, 1, 2, ... in the session.
    kind
        What happened.
    at
        Milliseconds since the page was opened.
    wall
        The page's clock, ISO 8601.
    received
        The server's clock, ISO 8601.
    data
        What the page said of it; anything may be in it.
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
    """A session, as it is stored.

    Parameters
    ----------
    session
        Its name.
    participant
        Pseudonym of the person.
    number
        The person's first, second, ... session: from 1.
    language
        Of the page.
    version
        Of the study.
    consent
        Digest of the text that was agreed to; empty where nothing was.
    step
        Where it is, or how it ended.
    rules
        That it began with.
    shown
        Its images, in order, test images among them, training not.
    counted
        Numbers of the events that are its answers, by what judges whether a session may go on.
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


@dataclass(frozen=True)
class Answer:
    """A row; `pixq.study.results.export.columns` says what each field is. `None`: not known."""

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
    answered: str | None
    received: str | None
    at_ms: float | None
    shown_ms: float | None
    track: tuple[tuple[float, float], ...] | None
    rate: float | None
    achieved: float | None
    frames_per_image: int | None
    late: int | None
    dpr: float | None
    px_per_cm: float | None
    width_css: float | None
    height_css: float | None
    environment: Mapping[str, Any]
    language: str | None
    study_version: str | None
    consent: str | None
    step: str
    in_range: bool | None
    matched: int | None
    passed: bool | None
    flags: tuple[str, ...] = ()


def answers_of(study: Study, sessions: Iterable[SessionRow], events: Iterable[Heard]) -> list[Answer]:
    """The answers of sessions, in the order they were given in each.

    Parameters
    ----------
    study
        What flags go by.
    sessions
        As they are stored. What an answer is about, and what is right, is what it was when its session began.
    events
        All events of these sessions, in any order.

    Returns
    -------
    list of Answer
        With their flags.
    """
    by_session: dict[str, list[Heard]] = defaultdict(list)
    for event in events:
        by_session[event.session].append(event)
    found: list[Answer] = []
    for session in sorted(sessions, key=lambda each: (each.participant, each.number)):
        found += _of_session(session, sorted(by_session[session.session], key=lambda each: each.number))
    return flagged(study, found)


def _of_session(session: SessionRow, events: Sequence[Heard]) -> list[Answer]:
    found: list[Answer] = []
    places = {shown.key: (place, shown) for place, shown in enumerate(session.shown, start=1)}
    environment: dict[str, Any] = {}
    broken = False
    for event in events:
        if event.kind in ("check", "calibration"):
            environment[event.kind] = dict(event.data)
        elif event.kind == "recalibration":
            environment["calibration"] = dict(event.data)
        broken |= event.kind in ("blocked", "opened")
        place = places.get(event.data.get("key", "")) if event.kind == "trial" else None
        if place is not None and event.number in session.counted:
            answer = _answer(session, event, *place, environment)
            odd = (*(["interrupted"] if broken else []), *(["off_size"] if _off_size(session.rules, answer) else []))
            found.append(replace(answer, flags=odd))
        # What interrupted an earlier step did not interrupt this one.
        if event.kind not in LOGGED_KINDS:
            broken = False
    return found


def _answer(session: SessionRow, event: Heard, place: int, of: Item, environment: Mapping[str, Any]) -> Answer:
    data = event.data
    points = tuple((float(y), float(x)) for y, x in data["points"])
    level = int(data["pjnd"])
    found = judge_item(of, level, points)
    return Answer(
        participant=session.participant,
        session=session.session,
        session_number=session.number,
        place=place,
        source=of.source,
        codec=of.codec,
        kind="source" if found is None else "test",
        width=of.width,
        height=of.height,
        level=level,
        highest=of.levels[-1],
        points=points,
        # A spreadsheet would compute what else a page may say.
        answered=event.wall if _TIME.fullmatch(event.wall) else None,
        received=event.received,
        at_ms=event.at,
        shown_ms=_number(data.get("shown_ms")),
        track=tuple((float(ms), float(at)) for ms, at in data.get("track", ())),
        rate=_number(data.get("rate")),
        achieved=_number(data.get("achieved")),
        frames_per_image=_count(data.get("frames_per_image")),
        late=late_frames(data.get("late")),
        dpr=_number(data.get("dpr")),
        px_per_cm=_number(data.get("px_per_cm")),
        width_css=_number(data.get("width_css")),
        height_css=_number(data.get("height_css")),
        environment=dict(environment),
        language=session.language,
        study_version=session.version,
        consent=session.consent,
        step=session.step,
        in_range=None if found is None else found.in_range,
        matched=None if found is None else len(found.matched),
        passed=None if found is None else found.passed,
    )


def _number(value: object) -> float | None:
    """What a page says is a number may be anything; none of these is negative, and what is next to 0 is no measure."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if value == 0 or _LEAST <= value <= _MOST else None


def _count(value: object) -> int | None:
    number = _number(value)
    return None if number is None else round(number)


def late_frames(value: object) -> int | None:
    """How many frames were late, by what a page says: their number, or a list of them.

    Examples
    --------
    >>> late_frames(3), late_frames([16.5, 17.5]), late_frames("many")
    (3, 2, None)
    """
    return len(value) if isinstance(value, list) else _count(value)


def flagged(study: Study, answers: Sequence[Answer]) -> list[Answer]:
    """The answers with the flags of `FLAGS` that hold for them, in that order; those they have are kept."""
    passed: dict[str, list[bool]] = defaultdict(list)
    sessions: dict[str, set[str]] = defaultdict(set)
    for each in answers:
        if each.passed is not None:
            passed[each.participant].append(each.passed)
        if each.step == "completed":
            sessions[each.participant].add(each.session)
    failed = {who for who, own in passed.items() if eligibility(study.quota, len(sessions[who]), own) == "screened_out"}
    found: list[Answer] = []
    for each in answers:
        holds = {*each.flags, *_odd(each)} | ({"failed_tests"} if each.participant in failed else set())
        found.append(replace(each, flags=tuple(name for name in FLAGS if name in holds)))
    return found


def _off_size(rules: Rules, answer: Answer) -> bool:
    if rules.scaling != "physical" or not answer.px_per_cm:
        return False
    wanted = ((answer.width_css, rules.width_cm), (answer.height_css, rules.height_cm))
    return any(css is not None and abs(css / answer.px_per_cm / cm - 1) > OFF for css, cm in wanted)


def _odd(answer: Answer) -> Iterable[str]:
    if answer.shown_ms is not None and answer.shown_ms < FASTEST_MS:
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
    r"""JSON on one line, standard, in ASCII, and the same for the same value.

    Examples
    --------
    >>> as_json({"b": [1, 2.5], "a": "ü"})
    '{"a":"\\u00fc","b":[1,2.5]}'
    """
    # Text that a page made up may be no text in UTF-8.
    return json.dumps(value, allow_nan=False, separators=(",", ":"), sort_keys=True)
