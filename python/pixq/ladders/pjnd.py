"""The PJND of a ladder: the lowest level at which a person would notice the distortion.

For a run of the model `visibility`, a level counts as noticed when its image has at least 1 JND, that is, when half of
the people notice; what is compared with the cut is minus the JND, and the cut is -1, or the one that was fitted.

For all others, a level counts as noticed when at least `SHARE` of its patches are not Green, that is, when the `SHARE`
quantile of its map's scores is below the Green cut.

One fitted cut serves all ladders: the one by which most predictions lie in the ranges of levels that people gave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq import ranges
from pixq.decisions.pjnd_cuts import GreenCut
from pixq.errors import PixqError

__all__ = ["SHARE", "Pjnd", "SourceRange", "choose_green_cut", "leave_one_out", "pjnd", "score_quantile"]

#: The share of a map's patches that must not be Green for a person to notice.
SHARE = 0.05


Levels = NDArray[np.float64]


def score_quantile(score: ArrayLike, share: float = SHARE) -> float:
    """The score that the worst `share` of patches do not exceed: at least that many are below any higher cut.

    Parameters
    ----------
    score
        Scores of a map's patches, in any shape; higher is better, infinite where a patch equals its reference.
    share
        Above 0, up to 1; it always covers at least one patch.

    Raises
    ------
    PixqError
        If the share is out of range.

    Examples
    --------
    >>> score_quantile([0.1, 0.4, 0.6, 0.9], 0.5)
    0.4
    """
    ranges.SHARE.check(share, "the share of patches")
    values = np.asarray(score, dtype=np.float64).ravel()
    last = max(math.ceil(share * len(values) - 1e-9), 1) - 1
    return float(np.partition(values, last)[last])


@dataclass(frozen=True)
class Pjnd:
    """The predicted PJND of a ladder.

    Parameters
    ----------
    level
        The lowest level that is noticed; `None` if none is: the PJND lies above the ladder.
    above
        The lower end of the interval, exclusive: the highest level that the highest plausible cut leaves unnoticed, or
        that fewer than 25 % of people notice. `None` if the first level is noticed: the PJND may be lower.
    up_to
        The upper end, inclusive: the lowest level that the lowest plausible cut makes noticed, or that 75 % of people
        notice. `None` if there is none.
    """

    level: float | None
    above: float | None
    up_to: float | None


def pjnd(levels: ArrayLike, quantiles: ArrayLike, cut: GreenCut) -> Pjnd:
    """Predict the PJND from a ladder's levels, rising, and what is compared with the cut: a quantile, or minus the JND.

    Examples
    --------
    >>> pjnd([10, 20, 30, 40], [0.9, 0.7, 0.5, 0.3], GreenCut(0.6, 0.4, 0.8))
    Pjnd(level=30.0, above=10.0, up_to=40.0)
    """
    numbers, values = np.asarray(levels, np.float64), np.asarray(quantiles, np.float64)

    def first(noticed: NDArray[np.bool_]) -> int | None:
        return int(np.argmax(noticed)) if noticed.any() else None

    def level(place: int | None) -> float | None:
        return None if place is None else float(numbers[place])

    noticed = first(cut.below(values))
    strict = noticed if cut.high is None else first(cut.below(values, cut.high))
    # The interval is open below: every cut in it makes a quantile at its low end noticed, unless it is a single cut.
    lax = noticed if cut.low is None or cut.low == cut.value else first(values <= cut.low)
    before = len(numbers) if strict is None else strict
    return Pjnd(level(noticed), float(numbers[before - 1]) if before else None, level(lax))


@dataclass(frozen=True)
class SourceRange:
    """A source whose PJND people gave: the quantiles of its levels, and the range of levels that people accept.

    Parameters
    ----------
    name
        The source's name.
    levels, quantiles
        float64 (n,): its levels, rising, and the score quantiles of their maps, or minus the JND of their images.
    range
        The lowest and the highest level that are accepted as its PJND.
    """

    name: str
    levels: Levels
    quantiles: Levels
    range: tuple[float, float]

    @property
    def cuts(self) -> tuple[float, float]:
        """The interval of cuts by which the predicted PJND lies in the range: above the first, up to the second."""
        low, high = self.range
        above = self.quantiles[self.levels <= high].min(initial=math.inf)
        up_to = self.quantiles[self.levels < low].min(initial=math.inf)
        return float(above), float(up_to)

    def contains(self, prediction: Pjnd) -> bool:
        """Whether a prediction lies in the range."""
        return prediction.level is not None and self.range[0] <= prediction.level <= self.range[1]


def choose_green_cut(sources: Sequence[SourceRange]) -> GreenCut:
    """The cut by which most predictions lie in their ranges.

    Where an interval of cuts does equally well, the cut is its middle; of several intervals it is the widest, and of
    equally wide ones the lowest.

    Raises
    ------
    PixqError
        If there is no source, or no cut puts any prediction into its range.
    """
    spans = [source.cuts for source in sources]
    quantiles = np.concatenate([source.quantiles for source in sources]) if sources else np.empty(0)
    # Cuts above the highest quantile make every level noticed that differs, so they all do equally well.
    highest = quantiles[np.isfinite(quantiles)].max(initial=-math.inf)
    ends = np.unique([end for span in spans for end in (*span, highest) if math.isfinite(end)])
    if not len(ends):
        raise PixqError(
            "no level of any ladder could be noticed; give ladders whose levels differ from their reference"
        )
    # All cuts between neighbouring ends do equally well.
    hits = np.array([sum(above <= low and high <= up_to for above, up_to in spans) for low, high in pairwise(ends)])
    if not len(hits) or not hits.max():
        raise PixqError(
            "no cut puts any predicted PJND into its range; check the ranges, and the levels in the file names"
        )
    best = hits == hits.max()
    starts = np.flatnonzero(best & ~np.append(False, best[:-1]))
    stops = np.flatnonzero(best & ~np.append(best[1:], False)) + 1
    widest = int(np.argmax(ends[stops] - ends[starts]))
    low, high = float(ends[starts[widest]]), float(ends[stops[widest]])
    return GreenCut((low + high) / 2, low, high)


def leave_one_out(sources: Sequence[SourceRange]) -> dict[str, Pjnd]:
    """Predict each source, by name, with the cut that all others choose: this is how well a new source would do.

    If no cut puts any of the others into its range, no level counts as noticed.
    """
    if len(sources) < 2:
        raise PixqError("leaving one out takes at least two sources; give more ladders")
    predictions = {}
    for source in sources:
        try:
            cut = choose_green_cut([other for other in sources if other is not source])
        except PixqError:
            cut = GreenCut(-math.inf)
        predictions[source.name] = pjnd(source.levels, source.quantiles, cut)
    return predictions
