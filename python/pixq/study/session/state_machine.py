"""The state machine of a session: its plan and its events alone decide what comes next.

Any event may come at any time; an event that does not fit the current step only increases the number of the next
event. So a session can continue whatever a page sent, and the same events always lead to the same state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pixq.study.constants import CONSTANTS
from pixq.study.session.event_payloads import (
    LOGGED_KINDS,
    AnswerPayload,
    Calibration,
    Check,
    Consent,
    Payload,
    SurveyPayload,
    parse_payload,
)
from pixq.study.session.judge import REFERENCE_SIZE, SIGMA, SIGMAS, Judgement, judge
from pixq.study.session.session_plan import GroundTruth, Item, Rules, SessionPlan
from pixq.study.store.records import ENDED, Event

__all__ = [
    "CALIBRATIONS", "TRAININGS", "AcceptedAnswer",
    "SessionProgress", "State", "Step", "advance", "judge_item", "replay",
]  # fmt: skip

#: Maximum number of calibrations.
CALIBRATIONS: int = CONSTANTS["flow"]["calibration_tries"]
#: Maximum number of answers to one training image; then the next one is shown in any case.
TRAININGS: int = CONSTANTS["flow"]["training_tries"]
#: Minimum number of screen refreshes per image.
_FRAMES: int = CONSTANTS["flow"]["frames_per_image"]

Step = Literal[
    "consent", "check", "calibration", "instructions", "training", "trial", "survey",
    "completed", "failed",
]  # fmt: skip
State = dict[str, Any]


@dataclass(frozen=True)
class AcceptedAnswer:
    """An answer that was accepted.

    Parameters
    ----------
    place
        Index of the image among the session's trials, or among its training images.
    number
        Number of the event.
    passed
        Whether it is correct; `None` if the image has no ground truth.
    """

    place: int
    number: int
    passed: bool | None


@dataclass(frozen=True)
class SessionProgress:
    """How far a session is.

    Parameters
    ----------
    next
        Number of the next event.
    step
        The current step.
    index
        Index of the current training image or trial.
    tries
        Number of failed calibrations, or of wrong answers to the current training image.
    reason
        Why the session failed; empty otherwise.
    feedback
        Feedback on the last training answer, until the next answer.
    answers
        Answers to trials, in order.
    trained
        Answers to training images, including repeated ones.
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
        """Whether the session has ended."""
        return self.step in ENDED


def replay(plan: SessionPlan, events: Iterable[Event], start: SessionProgress | None = None) -> SessionProgress:
    """The progress of a session after all its events.

    Parameters
    ----------
    plan
        Plan of the session.
    events
        Events in the order of their numbers; those before `start.next` are skipped.
    start
        Progress to start from; by default the beginning.
    """
    progress = start or SessionProgress()
    for event in events:
        if event.number >= progress.next:
            progress, _ = advance(plan, progress, event)
    return progress


def advance(plan: SessionPlan, progress: SessionProgress, event: Event) -> tuple[SessionProgress, str]:
    """The progress of a session after one more event.

    Parameters
    ----------
    plan
        Plan of the session.
    progress
        Progress before the event.
    event
        Any event.

    Returns
    -------
    SessionProgress
        Progress after the event.
    str
        Why the event was refused; empty if it was accepted, or is only logged.
    """
    waiting = replace(progress, next=event.number + 1)
    if event.kind in LOGGED_KINDS:
        return waiting, ""
    if event.kind != progress.step:
        return waiting, f"{event.kind}: the session is at {progress.step}"
    try:
        payload = parse_payload(event.kind, json.loads(event.data))
    except ValueError as error:
        return waiting, str(error)
    if isinstance(payload, AnswerPayload):
        return _answer(plan, waiting, payload, event.number)
    survey = plan.rules.survey
    if isinstance(payload, SurveyPayload) and survey is not None and (refusal := payload.refusal(survey)):
        return waiting, refusal
    return _leave_step(plan, replace(waiting, feedback=None), payload), ""


def _leave_step(plan: SessionPlan, progress: SessionProgress, payload: Payload) -> SessionProgress:
    rules = plan.rules
    if isinstance(payload, Consent):
        return replace(progress, step="check") if payload.agreed else _end(progress, "failed", "consent")
    if isinstance(payload, Check):
        if payload.mobile:
            return _end(progress, "failed", "mobile")
        width, height = rules.min_window
        fits = payload.width >= width and payload.height >= height and payload.rate >= _FRAMES * rules.hertz
        # Otherwise the page says what to change, and checks again.
        return replace(progress, step="calibration") if fits else progress
    if isinstance(payload, Calibration):
        if payload.screen_height / payload.px_per_cm >= rules.min_screen_cm:
            return replace(progress, step="instructions", tries=0)
        tried = replace(progress, tries=progress.tries + 1)
        return tried if tried.tries < CALIBRATIONS else _end(tried, "failed", "screen")
    if progress.step == "instructions":
        return _go_to_image(plan, replace(progress, step="training"), 0)
    return replace(progress, step="completed")


def _end(progress: SessionProgress, step: Step, reason: str) -> SessionProgress:
    return replace(progress, step=step, reason=reason, tries=0)


def _go_to_image(plan: SessionPlan, progress: SessionProgress, index: int) -> SessionProgress:
    """Show an image; after the last one of a step, go to the next step."""
    if progress.step == "training" and index >= len(plan.training):
        return _go_to_image(plan, replace(progress, step="trial"), 0)
    if progress.step == "trial" and index >= len(plan.trials):
        return replace(progress, step="survey" if plan.rules.questions else "completed", index=0, tries=0)
    return replace(progress, index=index, tries=0)


def _answer(
    plan: SessionPlan, progress: SessionProgress, answer: AnswerPayload, number: int
) -> tuple[SessionProgress, str]:
    item = (plan.training if progress.step == "training" else plan.trials)[progress.index]
    if refusal := _refusal(plan.rules, item, answer):
        return progress, f"{progress.step}: {refusal}"
    judgement = judge_item(item, answer.pjnd, [(y, x) for y, x in answer.points])
    accepted = AcceptedAnswer(progress.index, number, None if judgement is None else judgement.passed)
    if progress.step == "trial":
        progress = replace(progress, answers=(*progress.answers, accepted), feedback=None)
        return _go_to_image(plan, progress, progress.index + 1), ""
    feedback = None if item.truth is None or judgement is None else _feedback(item, item.truth, judgement)
    progress = replace(progress, trained=(*progress.trained, accepted), tries=progress.tries + 1, feedback=feedback)
    if judgement is None or judgement.passed or progress.tries >= TRAININGS:
        return _go_to_image(plan, progress, progress.index + 1), ""
    return progress, ""


def _refusal(rules: Rules, item: Item, answer: AnswerPayload) -> str:
    if answer.key != item.key:
        return "key: does not belong to the current image"
    if answer.pjnd not in item.levels:
        return "pjnd: is not one of the levels of this image"
    if len(answer.points) != rules.clicks:
        return f"points: must be exactly {rules.clicks}"
    if not all(0 <= y <= item.height and 0 <= x <= item.width for y, x in answer.points):
        return "points: one is outside the image"
    if not any(level > 0 for _, level in answer.track):
        return "track: the slider was not moved"
    return ""


def judge_item(item: Item, level: int, points: Sequence[tuple[float, float]]) -> Judgement | None:
    """Judge an answer by the ground truth of its image; `None` if it has none. See `judge`."""
    if item.truth is None:
        return None
    return judge(
        level, points, pjnd_range=item.truth.pjnd_range, truth=item.truth.points_yx, width=item.width,
        height=item.height,
    )  # fmt: skip


def _feedback(item: Item, truth: GroundTruth, judgement: Judgement) -> dict[str, Any]:
    width, height = REFERENCE_SIZE
    return {
        "key": item.key,
        "passed": judgement.passed,
        "in_range": judgement.in_range,
        "matched": sorted(pair[0] for pair in judgement.matched),
        "pjnd_range": list(truth.pjnd_range),
        "points": [list(point) for point in truth.points_yx],
        # Half axes of the accepted ellipses: y, x in pixels of the image.
        "radius": [SIGMAS * SIGMA * item.height / height, SIGMAS * SIGMA * item.width / width],
    }
