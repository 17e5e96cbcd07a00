"""PJND of a ladder: the lowest level at which a person would notice, by the worst share of a map's patches.

A level is noticed when at least `SHARE` of its patches are no longer Green, which is to say when the worst of them, the
*edge* of the map, falls below the Green cut. One cut serves all ladders. It is chosen where the ranges of levels at
which people notice are known: the cut at which most predictions lie in their ranges.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

import pixq
from pixq.classes import QUALITY_CUTS
from pixq.errors import PixqError
from pixq.evaluation.shared import FileModel, Share, read_model, write_model

__all__ = [
    "PJND",
    "PJND_CUTS",
    "SHARE",
    "GreenCut",
    "Pjnd",
    "PjndCuts",
    "Ranged",
    "choose",
    "edge",
    "leave_one_out",
    "pjnd",
    "read_cuts",
    "write_cuts",
]

#: The share of a map's patches that must be no longer Green for a person to notice.
SHARE = 0.05

#: The file of a run that holds its cuts by PJND.
PJND = "pjnd.json"
#: What they are called beside the run's calibrations.
PJND_CUTS = "pjnd"
FORMAT: Literal["pixq pjnd"] = "pixq pjnd"

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
class GreenCut:
    """The score from which a patch is Green.

    Parameters
    ----------
    value
        What is predicted by.
    low, high
        The ends of what it could as well be: every cut above `low`, up to `high`, does as well where it was chosen.
        `None`: unknown.
    """

    value: float
    low: float | None = None
    high: float | None = None


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
class Ranged:
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


def choose(ladders: Sequence[Ranged]) -> GreenCut:
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


def leave_one_out(ladders: Sequence[Ranged]) -> dict[str, Pjnd]:
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


class Source(FileModel):
    """A source that the cut was chosen on: its accepted range, and the PJND that the others' cut predicts.

    `None`: no level is noticed, or the others choose no cut.
    """

    range: tuple[float, float] = Field(strict=False)
    predicted: float | None


class PjndCuts(FileModel):
    """`pjnd.json`: the cuts that ranges of human PJNDs choose.

    Parameters
    ----------
    pixq
        Version of pixq.
    blake3
        Of `model.safetensors`, the weights that gave the scores.
    share
        The share of patches that must be no longer Green.
    stride
        Pixels between the patches of the maps.
    orange, green, low, high
        The scores from which a patch is Orange, and Green, and the interval of the latter. PJNDs tell nothing of Red:
        Orange begins at the lowest third of quality, as for any model without a calibration.
    within
        The share of sources whose PJND lies in the range by the cut that the others choose.
    sources
        By name.
    """

    format: Literal["pixq pjnd"] = FORMAT
    schema_version: Literal[1] = 1
    pixq: str
    blake3: str
    share: Annotated[float, Field(gt=0.0, le=1.0)]
    stride: Annotated[int, Field(ge=1)]
    orange: float
    green: float
    low: float
    high: float
    within: Share
    sources: dict[str, Source]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.orange <= self.green or not self.low <= self.green <= self.high:
            raise ValueError("the cuts are not in order")
        return self

    @property
    def cut(self) -> GreenCut:
        """The Green cut and its interval."""
        return GreenCut(self.green, self.low, self.high)

    @classmethod
    def of(cls, ladders: Sequence[Ranged], *, blake3: str, share: float, stride: int) -> PjndCuts:
        """What is chosen on `ladders`, and how well it does on each when the others choose; see `choose`."""
        cut, out = choose(ladders), leave_one_out(ladders)
        assert cut.low is not None
        assert cut.high is not None
        return cls(
            pixq=pixq.__version__,
            blake3=blake3,
            share=share,
            stride=stride,
            orange=min(QUALITY_CUTS[0], cut.value),
            green=cut.value,
            low=cut.low,
            high=cut.high,
            within=sum(ladder.holds(out[ladder.name]) for ladder in ladders) / len(ladders),
            sources={each.name: Source(range=each.range, predicted=out[each.name].level) for each in ladders},
        )


def read_cuts(run: str | os.PathLike[str]) -> PjndCuts | None:
    """The cuts of a run; `None` where it has none.

    Raises
    ------
    PixqError
        If the file is damaged, or of another version.
    """
    path = Path(run) / PJND
    return read_model(PjndCuts, path, "pixq calibrate --ladders") if path.exists() else None


def write_cuts(run: str | os.PathLike[str], cuts: PjndCuts) -> Path:
    """Write the cuts into a run, whole or not at all; gives the file's path.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    path = Path(run) / PJND
    write_model(cuts, path)
    return path
