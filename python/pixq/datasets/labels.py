"""The meaning of scores: polarity, scale, unit and raters, and the quality that follows from them."""

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
        Name of the scores in the dataset, e.g. `MOS`.
    polarity
        Whether a higher or a lower score means a better image.
    minimum, maximum
        The ends of the scale, in the score's own unit.
    unit
        The scale in words, e.g. `mean opinion score`.
    raters
        Number of people behind one score, if the dataset says so.
    subject
        Whether the whole image or a patch was scored.
    synthetic
        True if the scores don't come from people.
    note
        Anything else to know, e.g. that the polarity is undocumented.

    Raises
    ------
    PixqError
        If the polarity is unknown, the scale is not a range of finite numbers, or a text is not valid Unicode.

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
        if not (math.isfinite(self.maximum - self.minimum) and self.minimum < self.maximum):
            raise PixqError(f"the score range {self.minimum} to {self.maximum} is not a range of finite numbers")
        for what in ("name", "unit", "note"):
            check_text(getattr(self, what), f"the {what} of the scores")

    def quality(self, score: float) -> float:
        """Convert a score to quality: 0 to 1, 1 = nobody notices.

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

    Text can't if it comes from bytes on the command line that aren't UTF-8, or from half of a surrogate pair in JSON.

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
    """Parse the ends of a scale, written as `LOW,HIGH`.

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
    if not (math.isfinite(high - low) and low < high):
        raise PixqError(f"--score-range {text!r} is not two numbers, the lower first; write it like 0,100")
    return low, high
