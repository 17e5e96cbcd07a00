"""What a page may say: the kinds of events, and what their data must hold for a session to go on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixq.study.design.survey import Question

__all__ = [
    "EVENT_KINDS",
    "LOGGED_KINDS",
    "Answer",
    "Calibration",
    "Check",
    "Consent",
    "Payload",
    "Survey",
    "parse_payload",
]

#: The longest slider track, in positions.
_TRACK = 50_000


class Payload(BaseModel):
    """Data of an event. What is named here must be so; what else there is, is kept as it is, and decides nothing.

    Whether an answer counts and is right follows from what is named here, and from the truth, which no page has.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False)


class Consent(Payload):
    """`consent`: whether the person agrees."""

    agreed: bool


class Check(Payload):
    """`check`: what the page runs on.

    Parameters
    ----------
    mobile
        Whether it is a phone or a tablet.
    width, height
        Of the window's inside, in CSS pixels.
    rate
        Of the screen, measured, in Hz.
    """

    mobile: bool
    width: Annotated[float, Field(ge=0, le=1e5)]
    height: Annotated[float, Field(ge=0, le=1e5)]
    rate: Annotated[float, Field(ge=0, le=1e4)]


class Calibration(Payload):
    """`calibration`: what the bank card came to.

    Parameters
    ----------
    px_per_cm
        CSS pixels per centimetre.
    screen_height
        Of the screen, in CSS pixels.
    """

    px_per_cm: Annotated[float, Field(gt=1, lt=10_000)]
    screen_height: Annotated[float, Field(ge=0, le=1e5)]


class Answer(Payload):
    """`training` and `trial`: level and places.

    Parameters
    ----------
    key
        Of the trial, as the state gave it.
    pjnd
        The level, one of those that were shown.
    points
        (y, x) in pixels of the image.
    track
        Every position of the slider: milliseconds and level.
    """

    key: Annotated[str, Field(max_length=64)]
    pjnd: int
    points: Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(max_length=6)]
    track: Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(max_length=_TRACK)]


class Survey(Payload):
    """`survey`: answers by the names of their questions."""

    def refusal(self, questions: Iterable[Question]) -> str:
        """Why these are not answers to the questions of a session; empty where they are."""
        answers = self.model_extra or {}
        refusals = ((question.name, question.refusal(answers.get(question.name))) for question in questions)
        return next((f"survey: {name}: {refusal}" for name, refusal in refusals if refusal), "")


class _Free(Payload):
    """Any object."""


#: Kinds by what their data are.
_DATA: dict[str, type[Payload]] = {
    "consent": Consent,
    "check": Check,
    "calibration": Calibration,
    "instructions": _Free,
    "training": Answer,
    "trial": Answer,
    "survey": Survey,
}
#: Kinds that are written down at any time and change nothing.
LOGGED_KINDS = ("opened", "blocked", "resumed", "recalibration", "done", "error", "frames")
#: All.
EVENT_KINDS = (*_DATA, *LOGGED_KINDS)


def parse_payload(kind: str, data: Any) -> Payload:
    """The data of an event.

    Raises
    ------
    ValueError
        If they are not so; one line that names the key.

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
        return _DATA.get(kind, _Free).model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(": ".join(part for part in (kind, where, first["msg"]) if part)) from None
