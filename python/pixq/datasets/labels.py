"""What a score means: polarity, scale, unit, raters. `quality` is derived from it once, here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pixq.errors import PixqError

__all__ = ["LabelContract", "Polarity", "check_text", "parse_score_range"]

Polarity = Literal["higher-is-better", "lower-is-better"]


@dataclass(frozen=True)
class LabelContract:
    """The meaning of a dataset's scores.

    Parameters
    ----------
    name
        What the dataset calls them, e.g. `MOS`.
    polarity
        Whether a higher score is a better image.
    minimum, maximum
        The ends of the scale, in the score's own unit.
    unit
        The scale in words, e.g. `mean opinion score`.
    raters
        People behind one score, where the dataset says so.
    subject
        Whether the score is of the whole image or of a patch.
    synthetic
        Whether no person gave the scores.
    note
        What else a reader must know, e.g. that the polarity is undocumented.

    Raises
    ------
    PixqError
        If the polarity is neither, the scale is no range of finite numbers, or a text is not valid Unicode.

    Examples
    --------
    >>> LabelContract("MOS", "higher-is-better", 0.0, 9.0, "mean opinion score").quality(4.5)
    0.5
    """

    name: str
    polarity: Polarity
    minimum: float
    maximum: float
    unit: str
    raters: int | None = None
    subject: Literal["image", "patch"] = "image"
    synthetic: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if self.polarity not in ("higher-is-better", "lower-is-better"):
            raise PixqError(f"unknown polarity {self.polarity!r}; choose higher-is-better or lower-is-better")
        if not (math.isfinite(self.minimum) and math.isfinite(self.maximum) and self.minimum < self.maximum):
            raise PixqError(f"the score range {self.minimum} to {self.maximum} is not a range of finite numbers")
        for what in ("name", "unit", "note"):
            check_text(getattr(self, what), f"the {what} of the scores")

    def quality(self, score: float) -> float:
        """The score as quality: 0 to 1, 1 = nobody notices.

        Raises
        ------
        PixqError
            If `score` is not a finite number inside the scale.
        """
        if not self.minimum <= score <= self.maximum:
            raise PixqError(f"score {score:g} lies outside the scale {self.minimum:g} to {self.maximum:g}")
        share = (score - self.minimum) / (self.maximum - self.minimum)
        return share if self.polarity == "higher-is-better" else 1.0 - share


def check_text(text: str, what: str) -> None:
    """Make sure that `text`, called `what` in the message, can be written as UTF-8.

    Bytes of a command line that aren't UTF-8, and half of a surrogate pair in JSON, give text that can't.

    Raises
    ------
    PixqError
        If it can't.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PixqError(f"{what} is {text!r}, which is not valid Unicode; write it in UTF-8") from None


def parse_score_range(text: str) -> tuple[float, float]:
    """The ends of a scale written as `LOW,HIGH`.

    Raises
    ------
    PixqError
        If `text` is not two finite numbers, the lower first.

    Examples
    --------
    >>> parse_score_range("0,100")
    (0.0, 100.0)
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = math.nan, math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise PixqError(f"--score-range {text!r} is not two numbers, the lower first; write it like 0,100")
    return low, high
