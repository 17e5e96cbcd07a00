"""JND-critical regions: the places of an image pair where a person would see the difference first.

The eye does not look at single patches. The map is smoothed by a Gaussian whose full width at half maximum is one
degree of the field of view, about the sharpest part of the fovea; the change is seen first where the result is lowest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixq import ranges
from pixq.classes import GREEN
from pixq.errors import PixqError
from pixq.scoring.quality_map import QualityMap

__all__ = ["DEGREE", "POINTS", "CriticalPoint", "check_points", "critical_map", "critical_points"]

#: Pixels per degree: images of 640 pixels that are 13.797 cm wide, seen from 30 cm, as in the study of KonJND++.
DEGREE = 24.0

#: The number of places that participants of that study marked.
POINTS = 3

#: The full width at half maximum of a Gaussian with standard deviation 1.
_HALF = 2.0 * math.sqrt(2.0 * math.log(2.0))

Values = NDArray[np.float64]


@dataclass(frozen=True)
class CriticalPoint:
    """A place where a difference is seen.

    Parameters
    ----------
    y, x
        Its centre, in pixels.
    score
        The smoothed map's value there, on the scale of `QualityMap.score`.
    class_
        The class of the patch there, which is not Green: a number of `pixq.classes.CLASSES`.
    jnd
        The JND of that patch; `None` if it was not measured.
    """

    y: float
    x: float
    score: float
    class_: int
    jnd: float | None = None


def critical_map(quality_map: QualityMap, *, degree: float = DEGREE) -> Values:
    """Smooth a map's scores as the eye does, float64 (rows, columns): they are low where a change is seen first.

    Patches that equal their reference count as the best score of the map, and at least as `QualityMap.best_score`.

    Parameters
    ----------
    quality_map
        The map of an image pair.
    degree
        Pixels per degree of the field of view; 0 leaves the map as it is.

    Raises
    ------
    PixqError
        If `degree` is negative or not finite.

    Examples
    --------
    >>> import pixq
    >>> scorer = pixq.load()
    >>> grey = np.full((100, 100, 3), 128, np.uint8)
    >>> striped = grey.copy()
    >>> striped[40:60:2, 60:80] -= 40
    >>> [(point.y, point.x) for point in critical_points(scorer.map(grey, striped))]
    [(49.5, 69.5)]
    """
    ranges.PIXELS_PER_DEGREE.check(degree, "--degree")
    finite = quality_map.score[~quality_map.identical]
    best = float(finite.max(initial=quality_map.best_score))
    values = np.where(quality_map.identical, best, quality_map.score)
    if degree == 0.0:
        return values
    sigma = degree / _HALF
    grid = quality_map.grid
    for axis, starts in enumerate((grid.ys, grid.xs)):
        # By the distance of centres, which is smaller at the edges. Sums have few terms, in a fixed order.
        distance = starts[:, None] - starts[None, :]
        weight = np.where(np.abs(distance) <= 4.0 * sigma, np.exp(-(distance**2) / (2.0 * sigma * sigma)), 0.0)
        values = _smoothed(values, weight, axis)
    return values


def check_points(points: int, degree: float) -> None:
    """Check the options of `critical_points`.

    Raises
    ------
    PixqError
        If a number is out of range.
    """
    ranges.COUNT.check(points, "--points")
    ranges.PIXELS_PER_DEGREE.check(degree, "--degree")


def _smoothed(values: Values, weight: Values, axis: int) -> Values:
    """Weighted means along an axis, by rows of weights that are 0 except near the diagonal."""
    moved = np.moveaxis(values, axis, 0)
    out = np.empty_like(moved)
    for row, weights in enumerate(weight):
        near = np.flatnonzero(weights)
        some, part = weights[near], moved[near[0] : near[-1] + 1]
        total = some[0] * part[0]
        for share, line in zip(some[1:], part[1:], strict=True):
            total = total + share * line
        out[row] = total / some.sum()
    return np.moveaxis(out, 0, axis)


def critical_points(
    quality_map: QualityMap, *, points: int = POINTS, degree: float = DEGREE, apart: float | None = None
) -> list[CriticalPoint]:
    """The places where a change is seen first, the most visible one first.

    Parameters
    ----------
    quality_map
        The map of an image pair.
    points
        The most places to return; there are fewer where the rest of the image is Green.
    degree
        As for `critical_map`.
    apart
        The least distance between two places, in pixels. Default: three degrees, and at least a patch's side.

    Raises
    ------
    PixqError
        If a number is out of range.
    """
    check_points(points, degree)
    if apart is not None and not apart >= 0.0:
        raise PixqError(f"places can't be {apart:g} pixels apart; give 0 or more")
    values = critical_map(quality_map, degree=degree)
    grid = quality_map.grid
    least = max(3.0 * degree, float(grid.size)) if apart is None else apart
    ys, xs = (starts + (grid.size - 1) / 2 for starts in (grid.ys, grid.xs))
    # Only patches that are not Green count; the smoothed scores give their order.
    left = np.where(quality_map.classes < GREEN, values, np.inf)
    chosen: list[CriticalPoint] = []
    while len(chosen) < points and np.isfinite(left.min()):
        row, column = np.unravel_index(int(np.argmin(left)), left.shape)
        y, x, score = float(ys[row]), float(xs[column]), float(left[row, column])
        jnd = None if quality_map.jnd is None else float(quality_map.jnd[row, column])
        chosen.append(CriticalPoint(y, x, score, int(quality_map.classes[row, column]), jnd))
        left[row, column] = np.inf
        left[np.hypot(ys[:, None] - y, xs[None, :] - x) < least] = np.inf
    return chosen
