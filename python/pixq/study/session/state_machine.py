"""What comes next in a session: a function of its plan and of the events so far, and of nothing else.

Any event may come at any time; one that does not fit where the session is changes nothing but the number of the next.
So whatever a page sent, the session can go on, and the same events always lead to the same place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pixq.study.session.event_payloads import (
    LOGGED_KINDS,
    Answer,
    Calibration,
    Check,
    Consent,
    Payload,
    Survey,
    parse_payload,
)
from pixq.study.session.judge import REFERENCE_SIZE, SIGMA, SIGMAS, Judgement, judge
from pixq.study.session.session_plan import GroundTruth, Item, Rules, SessionPlan
from pixq.study.store.records import ENDED, Event

__all__ = [
    "CALIBRATIONS",
    "TRAININGS",
    "AcceptedAnswer",
    "Progress",
    "State",
    "Step",
    "advance",
    "judge_item",
    "replay",
]

#: Calibrations that a person may try.
CALIBRATIONS = 3
#: Answers to a training image after which the next one comes in any case.
TRAININGS = 5
#: Frames of the screen that an image must last.
_FRAMES = 2

Step = Literal[
    "consent", "check", "calibration", "instructions", "training", "trial", "survey",
    "completed", "failed",
]  # fmt: skip
State = dict[str, Any]


@dataclass(frozen=True)
class AcceptedAnswer:
    """An answer that counts.

    Parameters
    ----------
    place
        Of the image among the session's trials, or among its training images.
    number
        Of the event.
    passed
        Whether it is right; `None` where there is no truth.
    """

    place: int
    number: int
    passed: bool | None


@dataclass(frozen=True)
class Progress:
    """Where a session is.

    Parameters
    ----------
    next
        Number of the next event.
    step
        What is asked now.
    index
        Of the training image or trial.
    tries
        Calibrations, or answers to this training image, that came to nothing.
    reason
        Why it ended otherwise than by answering all.
    feedback
        On the last training answer, until something else is answered.
    answers
        To trials, by place.
    trained
        To training images, all tries.
    """

    next: int = 0
    step: Step = "consent"
    index: int = 0
    tries: int = 0
    reason: str = ""
    feedback: Mapping[str, Any] | None = None
    answers: tuple[AcceptedAnswer, ...] = ()
    trained: tuple[AcceptedAnswer, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more is asked."""
        return self.step in ENDED


def replay(plan: SessionPlan, events: Iterable[Event], start: Progress | None = None) -> Progress:
    """Where a session is after all its events.

    Parameters
    ----------
    plan
        What it consists of.
    events
        In order of their numbers; those that `start` has seen are passed over.
    start
        Where it was.
    """
    progress = start or Progress()
    for event in events:
        if event.number >= progress.next:
            progress, _ = advance(plan, progress, event)
    return progress


def advance(plan: SessionPlan, progress: Progress, event: Event) -> tuple[Progress, str]:
    """Where a session is after one more event.

    Parameters
    ----------
    plan
        What it consists of.
    progress
        Where it is.
    event
        Any event.

    Returns
    -------
    Progress
        Where it is then.
    str
        Why the event changes nothing; empty where it does, and where it is one that is only written down.
    """
    stood = replace(progress, next=event.number + 1)
    if event.kind in LOGGED_KINDS:
        return stood, ""
    if event.kind != progress.step:
        return stood, f"{event.kind}: the session is at {progress.step}"
    try:
        said = parse_payload(event.kind, json.loads(event.data))
    except ValueError as error:
        return stood, str(error)
    if isinstance(said, Answer):
        return _answer(plan, stood, said, event.number)
    if isinstance(said, Survey) and plan.rules.survey is not None and (refusal := said.refusal(plan.rules.survey)):
        return stood, refusal
    return _step(plan, replace(stood, feedback=None), said), ""


def _step(plan: SessionPlan, at: Progress, said: Payload) -> Progress:
    rules = plan.rules
    if isinstance(said, Consent):
        return replace(at, step="check") if said.agreed else _ended(at, "failed", "consent")
    if isinstance(said, Check):
        if said.mobile:
            return _ended(at, "failed", "mobile")
        width, height = rules.min_window
        fits = said.width >= width and said.height >= height and said.rate >= _FRAMES * rules.hertz
        # Else the page says what to mend, and checks again.
        return replace(at, step="calibration") if fits else at
    if isinstance(said, Calibration):
        if said.screen_height / said.px_per_cm >= rules.min_screen_cm:
            return replace(at, step="instructions", tries=0)
        tried = replace(at, tries=at.tries + 1)
        return tried if tried.tries < CALIBRATIONS else _ended(tried, "failed", "screen")
    if at.step == "instructions":
        return _image(plan, replace(at, step="training"), 0)
    return replace(at, step="completed")


def _ended(at: Progress, step: Step, reason: str) -> Progress:
    return replace(at, step=step, reason=reason, tries=0)


def _image(plan: SessionPlan, at: Progress, index: int) -> Progress:
    """At an image, or past the last one of its step at the next step."""
    if at.step == "training" and index >= len(plan.training):
        return _image(plan, replace(at, step="trial"), 0)
    if at.step == "trial" and index >= len(plan.trials):
        return replace(at, step="survey" if plan.rules.questions else "completed", index=0, tries=0)
    return replace(at, index=index, tries=0)


def _answer(plan: SessionPlan, at: Progress, said: Answer, number: int) -> tuple[Progress, str]:
    item = (plan.training if at.step == "training" else plan.trials)[at.index]
    if wrong := _wrong(plan.rules, item, said):
        return at, f"{at.step}: {wrong}"
    found = judge_item(item, said.pjnd, [(y, x) for y, x in said.points])
    answered = AcceptedAnswer(at.index, number, None if found is None else found.passed)
    if at.step == "trial":
        return _image(plan, replace(at, answers=(*at.answers, answered), feedback=None), at.index + 1), ""
    feedback = None if item.truth is None or found is None else _feedback(item, item.truth, found)
    at = replace(at, trained=(*at.trained, answered), tries=at.tries + 1, feedback=feedback)
    if found is None or found.passed or at.tries >= TRAININGS:
        return _image(plan, at, at.index + 1), ""
    return at, ""


def _wrong(rules: Rules, item: Item, said: Answer) -> str:
    if said.key != item.key:
        return "key: another image is asked about"
    if said.pjnd not in item.levels:
        return "pjnd: is none of the levels shown"
    if len(said.points) != rules.clicks:
        return f"points: {rules.clicks} are asked for"
    if not all(0 <= y <= item.height and 0 <= x <= item.width for y, x in said.points):
        return "points: one is outside the image"
    if not any(level > 0 for _, level in said.track):
        return "track: the slider was not moved"
    return ""


def judge_item(item: Item, level: int, points: Sequence[tuple[float, float]]) -> Judgement | None:
    """An answer to an image by what is known of it; `None` where nothing is. Otherwise as `judge`."""
    if item.truth is None:
        return None
    return judge(
        level, points, pjnd_range=item.truth.pjnd_range, truth=item.truth.points_yx, width=item.width,
        height=item.height,
    )  # fmt: skip


def _feedback(item: Item, known: GroundTruth, found: Judgement) -> dict[str, Any]:
    width, height = REFERENCE_SIZE
    return {
        "key": item.key,
        "passed": found.passed,
        "in_range": found.in_range,
        "matched": sorted(pair[0] for pair in found.matched),
        "pjnd_range": list(known.pjnd_range),
        "points": [list(point) for point in known.points_yx],
        # Half axes of the places: y, x in pixels of the image.
        "radius": [SIGMAS * SIGMA * item.height / height, SIGMAS * SIGMA * item.width / width],
    }
