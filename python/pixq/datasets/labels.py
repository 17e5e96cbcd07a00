"""The meaning of scores: polarity, scale, unit and raters, and the quality that follows from them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pixq.errors import PixqError

__all__ = ["LabelContract", "LabelKind", "Observers", "Polarity", "check_text", "parse_score_range"]

Polarity = Literal["higher-is-better", "lower-is-better"]

#: What a score is: a `rating` of quality or annoyance; a `rate`, the share of people who noticed a difference; `pjnd`,
#: the share of people whose PJND a level of a ladder has reached; a `threshold` multiple, which is 1 where half of
#: the people notice.
LabelKind = Literal["rating", "rate", "pjnd", "threshold"]


@dataclass(frozen=True, slots=True)
class Observers:
    """The people behind one score of a `rate` or a `pjnd`.

    Parameters
    ----------
    raters
        Number of people who were asked.
    noticed
        How many of them noticed a difference.
    pjnd_range
        The lowest and the highest level that are accepted as the PJND of the image's ladder, if only that is known.

    Raises
    ------
    PixqError
        If the numbers contradict one another.

    Examples
    --------
    >>> Observers(raters=30, noticed=12).counts()
    (30, 12)
    """

    raters: int | None = None
    noticed: int | None = None
    pjnd_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if (self.raters is None) != (self.noticed is None):
            raise PixqError("raters and noticed belong together; give both or neither")
        if self.raters is not None and not (self.raters > 0 and 0 <= (self.noticed or 0) <= self.raters):
            raise PixqError(f"{self.noticed} of {self.raters} people can't be; correct the numbers")
        if self.pjnd_range is not None and not self.pjnd_range[0] <= self.pjnd_range[1]:
            raise PixqError(f"the PJND range {list(self.pjnd_range)} is not a range; give the lower level first")

    def to_json(self) -> dict[str, Any]:
        """What is known, as an image line of a patch set has it."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {**known, **({"pjnd_range": list(self.pjnd_range)} if self.pjnd_range else {})}

    def counts(self, level: float | None = None) -> tuple[int, int]:
        """Number of people, and how many of them noticed, for a loss.

        A PJND range counts as one person who doesn't notice below it and notices above it, and as nobody inside.
        """
        if self.raters is not None:
            return self.raters, self.noticed or 0
        if self.pjnd_range is None or level is None or self.pjnd_range[0] <= level <= self.pjnd_range[1]:
            return 0, 0
        return 1, int(level > self.pjnd_range[1])


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
    kind
        What a score is; see `LabelKind`.

    Raises
    ------
    PixqError
        If the polarity or the kind is unknown, the scale is not a range of finite numbers, or a text is not valid
        Unicode.

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
    kind: LabelKind = "rating"

    def __post_init__(self) -> None:
        if self.polarity not in ("higher-is-better", "lower-is-better"):
            raise PixqError(f"unknown polarity {self.polarity!r}; choose higher-is-better or lower-is-better")
        if not (math.isfinite(self.maximum - self.minimum) and self.minimum < self.maximum):
            raise PixqError(f"the score range {self.minimum} to {self.maximum} is not a range of finite numbers")
        if self.kind not in get_args(LabelKind):
            raise PixqError(f"unknown kind of label {self.kind!r}; choose {', '.join(get_args(LabelKind))}")
        for what in ("name", "unit", "note"):
            check_text(getattr(self, what), f"the {what} of the scores")

    def quality(self, score: float) -> float:
        """Convert a score to quality: 0 to 1, 1 = nobody notices.

        The scale becomes 0 to 1. A threshold multiple has no upper end: its quality halves with each threshold.

        Raises
        ------
        PixqError
            If `score` is not a finite number inside the scale.
        """
        if not self.minimum <= score <= self.maximum:
            raise PixqError(f"score {score:g} lies outside the scale {self.minimum:g} to {self.maximum:g}")
        if self.kind == "threshold":
            return float(0.5 ** (score - self.minimum))
        share = (score - self.minimum) / (self.maximum - self.minimum)
        return share if self.polarity == "higher-is-better" else 1.0 - share

    def to_json(self) -> dict[str, Any]:
        """The contract as a manifest has it: `kind` is left out for ratings, as in manifests of earlier versions."""
        entry = asdict(self)
        if self.kind == "rating":
            del entry["kind"]
        return entry


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
