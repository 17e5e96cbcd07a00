"""The kinds of events that a page sends, and the data that each must contain for a session to continue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixq.study.constants import CONSTANTS
from pixq.study.design.survey import Question

__all__ = [
    "EVENT_KINDS", "LOGGED_KINDS", "AnswerPayload",
    "Calibration", "Check", "Consent", "Payload", "SurveyPayload", "parse_payload", "read_number",
]  # fmt: skip

_LIMITS = CONSTANTS["limits"]
#: The smallest and the largest number from a page that counts as a measurement; 0 does too.
_LEAST, _MOST = 1e-6, 1e12
_Pixels = Annotated[float, Field(ge=0, le=_LIMITS["css_pixels"])]
_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class Payload(BaseModel):
    """Data of an event. The declared fields are checked; all others are stored as they are, and decide nothing.

    Whether an answer is accepted and correct depends on the declared fields, and on the ground truth, which no page
    has.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False)


class Consent(Payload):
    """`consent`: whether the person agrees to take part."""

    agreed: bool


class Check(Payload):
    """`check`: the device of the participant.

    Parameters
    ----------
    mobile
        Whether it is a phone or a tablet.
    width, height
        Inner size of the window in CSS pixels.
    rate
        Measured refresh rate of the screen in Hz.
    """

    mobile: bool
    width: _Pixels
    height: _Pixels
    rate: Annotated[float, Field(ge=0, le=_LIMITS["hertz"])]


class Calibration(Payload):
    """`calibration`: the size of the screen, measured with a bank card.

    Parameters
    ----------
    px_per_cm
        CSS pixels per centimetre.
    screen_height
        Height of the screen in CSS pixels.
    """

    px_per_cm: Annotated[float, Field(gt=1, lt=_LIMITS["px_per_cm"])]
    screen_height: _Pixels


class AnswerPayload(Payload):
    """`training` and `trial`: the chosen level and the marked points.

    Parameters
    ----------
    key
        Key of the image, as the state contained it.
    pjnd
        The chosen level, one of the levels of the image.
    points
        (y, x) in pixels of the image.
    track
        All positions of the slider: time in milliseconds, and level.
    """

    key: Annotated[str, Field(max_length=_LIMITS["key_length"])]
    pjnd: int
    points: Annotated[list[_Pair], Field(max_length=CONSTANTS["judgement"]["max_points"])]
    track: Annotated[list[_Pair], Field(max_length=_LIMITS["track_positions"])]


class SurveyPayload(Payload):
    """`survey`: answers by the names of their questions."""

    def refusal(self, questions: Iterable[Question]) -> str:
        """Why these are not valid answers to the questions of a session; empty if they are."""
        answers = self.model_extra or {}
        refusals = ((question.name, question.refusal(answers.get(question.name))) for question in questions)
        return next((f"survey: {name}: {refusal}" for name, refusal in refusals if refusal), "")


class _AnyPayload(Payload):
    """Any object."""


#: Type of the data by kind of event.
_PAYLOADS: dict[str, type[Payload]] = {
    "consent": Consent,
    "check": Check,
    "calibration": Calibration,
    "instructions": _AnyPayload,
    "training": AnswerPayload,
    "trial": AnswerPayload,
    "survey": SurveyPayload,
}
#: Kinds that are only logged: accepted at any time, without an effect.
LOGGED_KINDS = tuple(kind for kind, purpose in CONSTANTS["events"].items() if purpose == "log")
#: All kinds of events.
EVENT_KINDS = tuple(CONSTANTS["events"])


def parse_payload(kind: str, data: Any) -> Payload:
    """Check the data of an event.

    Raises
    ------
    ValueError
        If the data are not valid; one line that names the field.

    Examples
    --------
    >>> parse_payload("consent", {"agreed": True}).agreed
    True
    >>> parse_payload("consent", {"agreed": "yes"})
    Traceback (most recent call last):
    ...
    ValueError: consent: agreed: Input should be a valid boolean
    """
    try:
        return _PAYLOADS.get(kind, _AnyPayload).model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(": ".join(part for part in (kind, where, first["msg"]) if part)) from None


def read_number(value: object) -> float | None:
    """Read a number that a page measured and no payload declares; `None` for anything that can't be a measurement.

    Examples
    --------
    >>> read_number(60), read_number("60"), read_number(1e300)
    (60.0, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if value == 0 or _LEAST <= value <= _MOST else None
