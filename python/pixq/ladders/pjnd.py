"""PJND of a ladder: the lowest level at which a person would notice, by the worst share of a map's patches.

A level is noticed when at least `SHARE` of its patches are no longer Green, which is to say when the worst of them, the
*edge* of the map, falls below the Green cut. One cut serves all ladders. It is chosen where the ranges of levels at
which people notice are known: the cut at which most predictions lie in their ranges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.decisions.pjnd_cuts import GreenCut
from pixq.errors import PixqError

__all__ = ["SHARE", "Pjnd", "SourceRange", "choose", "edge", "leave_one_out", "pjnd"]

#: The share of a map's patches that must be no longer Green for a person to notice.
SHARE = 0.05


Levels = NDArray[np.float64]


def edge(score: ArrayLike, share: float = SHARE) -> float:
    """The score that the worst `share` of patches do not exceed: at least so many are below any higher cut.

    Parameters
    ----------
    score
        Of a map's patches, of any shape; higher is better, infinite where a patch equals its reference.
    share
        Above 0, up to 1; at least one patch is taken.

    Raises
    ------
    PixqError
        If the share is none.

    Examples
    --------
    >>> edge([0.1, 0.4, 0.6, 0.9], 0.5)
    0.4
    """
    if not 0.0 < share <= 1.0:
        raise PixqError(f"the share {share:g} is not above 0 and up to 1")
    values = np.asarray(score, dtype=np.float64).ravel()
    last = max(math.ceil(share * len(values) - 1e-9), 1) - 1
    return float(np.partition(values, last)[last])


@dataclass(frozen=True)
class Pjnd:
    """The predicted PJND of a ladder.

    Parameters
    ----------
    level
        The lowest level that is noticed; `None` where none is: the PJND lies above the ladder.
    above
        It lies above this level: the highest that is not noticed yet by the highest cut that could as well be. `None`
        where the ladder begins with a level that is noticed: the PJND may be lower.
    up_to
        And not above this one: the lowest level that is noticed by the lowest such cut. `None` where there is none.
    """

    level: float | None
    above: float | None
    up_to: float | None


def pjnd(levels: ArrayLike, edges: ArrayLike, cut: GreenCut) -> Pjnd:
    """The PJND by a ladder's levels, rising, and the edges of their maps.

    Examples
    --------
    >>> pjnd([10, 20, 30, 40], [0.9, 0.7, 0.5, 0.3], GreenCut(0.6, 0.4, 0.8))
    Pjnd(level=30.0, above=10.0, up_to=40.0)
    """
    at, values = np.asarray(levels, np.float64), np.asarray(edges, np.float64)

    def first(noticed: NDArray[np.bool_]) -> int | None:
        return int(np.argmax(noticed)) if noticed.any() else None

    def level(place: int | None) -> float | None:
        return None if place is None else float(at[place])

    own = first(values < cut.value)
    strict = own if cut.high is None else first(values < cut.high)
    # The interval is open below: an edge at its low end is noticed by every cut in it, unless it is the cut alone.
    lax = own if cut.low is None or cut.low == cut.value else first(values <= cut.low)
    before = len(at) if strict is None else strict
    return Pjnd(level(own), float(at[before - 1]) if before else None, level(lax))


@dataclass(frozen=True)
class SourceRange:
    """A ladder whose PJND people gave.

    Parameters
    ----------
    name
        Of the source.
    levels, edges
        float64 (n,): its levels, rising, and the edges of their maps.
    range
        The lowest and the highest level that are accepted as its PJND.
    """

    name: str
    levels: Levels
    edges: Levels
    range: tuple[float, float]

    @property
    def cuts(self) -> tuple[float, float]:
        """The predicted PJND lies in the range by a cut above the first of these, up to the second."""
        low, high = self.range
        above = self.edges[self.levels <= high].min(initial=math.inf)
        up_to = self.edges[self.levels < low].min(initial=math.inf)
        return float(above), float(up_to)

    def holds(self, found: Pjnd) -> bool:
        """Whether a prediction lies in the range."""
        return found.level is not None and self.range[0] <= found.level <= self.range[1]


def choose(ladders: Sequence[SourceRange]) -> GreenCut:
    """The cut at which most ladders' predictions lie in their ranges.

    Where a span of cuts does equally well, it is its middle, and its ends are the interval; of several spans, the
    widest, and of equally wide ones the lowest.

    Raises
    ------
    PixqError
        If there is no ladder, or no cut puts any prediction into its range.
    """
    spans = [ladder.cuts for ladder in ladders]
    edges = np.concatenate([ladder.edges for ladder in ladders]) if ladders else np.empty(0)
    known = edges[np.isfinite(edges)]
    # Above the highest edge, where every level that differs is noticed, a cut tells nothing.
    ends = np.unique([end for span in spans for end in (*span, known.max(initial=-math.inf)) if math.isfinite(end)])
    if not len(ends):
        raise PixqError(
            "no ladder has a level that could be noticed; give some whose levels differ from their reference"
        )
    # Between neighbouring ends all cuts do equally well.
    hits = np.array([sum(above <= low and high <= up_to for above, up_to in spans) for low, high in pairwise(ends)])
    if not len(hits) or not hits.max():
        raise PixqError(
            "no cut puts any predicted PJND into its range; check the ranges, and which level is which file"
        )
    best = hits == hits.max()
    starts = np.flatnonzero(best & ~np.append(False, best[:-1]))
    stops = np.flatnonzero(best & ~np.append(best[1:], False)) + 1
    widest = int(np.argmax(ends[stops] - ends[starts]))
    low, high = float(ends[starts[widest]]), float(ends[stops[widest]])
    return GreenCut((low + high) / 2, low, high)


def leave_one_out(ladders: Sequence[SourceRange]) -> dict[str, Pjnd]:
    """The prediction of each ladder, by its name, by the cut that all others choose: what a new source may expect.

    Where the others choose none, as no cut puts any of them into its range, no level is noticed.
    """
    if len(ladders) < 2:
        raise PixqError("leaving one out takes two ladders or more")
    found = {}
    for ladder in ladders:
        try:
            cut = choose([other for other in ladders if other is not ladder])
        except PixqError:
            cut = GreenCut(-math.inf)
        found[ladder.name] = pjnd(ladder.levels, ladder.edges, cut)
    return found
