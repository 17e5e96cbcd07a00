"""The two cut points that are best for an objective, found exactly.

Scores are sorted once. A cut lies between neighbouring distinct scores, so that equal scores are never divided; with
m distinct scores there are m + 1 places for each cut, the outer ones at minus and plus infinity, where a class is never
answered. Balanced accuracy, accuracy and cost are sums over patches, so they separate into f(orange) + g(green), and
one running maximum finds the best pair: O(n log n) for the sort, O(n) after it. Macro-F1 does not separate: see
`pixq.decisions.macro_f1`.

Weights that are whole numbers (a bootstrap's) are summed in integers, so the result is exact and so are ties; other
weights are summed in float64, and then the result is exact up to rounding.

Of cuts that are equally good the one in the widest gap between scores is taken, an infinite one only where no other is
as good; of equally wide gaps, the middle one (the lower of two). The green cut is chosen first, then the orange cut for
it, which equals the green one only where no other is as good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.classes import CLASSES, NAMES, classify
from pixq.decisions import macro_f1
from pixq.errors import PixqError
from pixq.statistics.bootstrap import Resamples

__all__ = ["OBJECTIVES", "BestCuts", "Objective", "bootstrap_cuts", "find_cuts"]

#: What `Objective.name` may be.
OBJECTIVES = ("balanced_accuracy", "accuracy", "macro_f1", "cost")

#: Sums of integers stay under this.
_LARGEST = 2**62

Numbers = NDArray[np.int64] | NDArray[np.float64]
Cost = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Objective:
    """What cuts should be best at.

    Parameters
    ----------
    name
        `balanced_accuracy`: the mean recall of the classes that are there. `accuracy`. `macro_f1`: the mean F1 of the
        classes that are there. `cost`: the mean of `cost`, and the only one that is to be small.
    cost
        What an answer costs: rows are the true class, columns the answer, both worst first; for `cost` alone.

    Raises
    ------
    PixqError
        If there is no such objective, or `cost` is missing, not 3 x 3, not finite, or given to another objective.

    Examples
    --------
    >>> Objective("accuracy").value([[3, 1, 0], [0, 2, 0], [0, 0, 4]])
    0.9
    """

    name: str = "balanced_accuracy"
    cost: Cost | None = None

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise PixqError(f"there is no objective {self.name!r}; choose {', '.join(OBJECTIVES)}")
        if (self.name == "cost") != (self.cost is not None):
            raise PixqError(
                "a cost matrix goes with the objective cost, and only with it: give --objective cost and a --cost "
                "like 0,1,4/1,0,1/4,1,0"
            )
        if self.cost is not None:
            if len(self.cost) != 3 or any(len(row) != 3 for row in self.cost):
                raise PixqError("the cost matrix is not 3 x 3; rows are the true class, columns the answer")
            if not all(math.isfinite(each) for row in self.cost for each in row):
                raise PixqError("the cost matrix has an entry that is not a finite number")

    @property
    def higher_is_better(self) -> bool:
        """Whether `value` should be high."""
        return self.name != "cost"

    def value(self, confusion: ArrayLike) -> float:
        """The objective of a confusion matrix: counts or weights, rows the true class, columns the answer."""
        counts = np.asarray(confusion, dtype=np.float64)
        totals = counts.sum(axis=1)
        right = np.diagonal(counts)
        here = totals > 0
        if not here.any():
            return math.nan
        if self.name == "balanced_accuracy":
            return float(np.mean(right[here] / totals[here]))
        if self.name == "accuracy":
            return float(right.sum() / totals.sum())
        if self.name == "macro_f1":
            return float(np.mean(2 * right[here] / (totals + counts.sum(axis=0))[here]))
        return float((counts * np.array(self.cost)).sum() / totals.sum())

    def gains(self, totals: Numbers) -> Numbers:
        """What a unit of weight brings, up to a factor, where there is `totals` (3,) of each class.

        (3, 3): rows the true class, columns the answer; integers where sums of them stay exact. Macro-F1 has none.
        """
        whole = totals.dtype.kind == "i"
        if self.name == "accuracy":
            return np.eye(3, dtype=np.int64) if whole else np.eye(3)
        if self.name == "balanced_accuracy":
            here = [int(total) for total in totals if total > 0] if whole else []
            common = math.lcm(*here)
            if whole and 3 * common < _LARGEST:
                each = [common // int(total) if total > 0 else 0 for total in totals]
                return np.diag(np.array(each, dtype=np.int64))
            return np.diag(np.divide(1.0, totals, out=np.zeros(3), where=totals > 0))
        cost = -np.array(self.cost, dtype=np.float64)
        # Differences of costs are summed, so twice the largest cost must fit.
        if whole and (cost == np.rint(cost)).all() and 2 * np.abs(cost).max() * float(totals.sum()) < _LARGEST:
            return cost.astype(np.int64)
        return cost


@dataclass(frozen=True)
class BestCuts:
    """The scores from which a patch is Orange, and Green: as `pixq.classes.classify` takes them.

    Parameters
    ----------
    orange, green
        orange <= green; infinite where a class is never answered.
    value
        The objective at these cuts, as `Objective.value` of the confusion matrix that `classify` gives with them.
    """

    orange: float
    green: float
    value: float

    @property
    def pair(self) -> tuple[float, float]:
        """What `classify` takes."""
        return self.orange, self.green


def find_cuts(
    score: ArrayLike, truth: ArrayLike, objective: Objective | None = None, weight: ArrayLike | None = None
) -> BestCuts:
    """The cuts with the best objective.

    Parameters
    ----------
    score
        (n,) finite; higher is better. Taken as float64.
    truth
        (n,) classes, 0 to 2. A class that is not there doesn't count: balanced accuracy and macro-F1 are means over
        the classes that are.
    objective
        Balanced accuracy by default.
    weight
        (n,) finite and not negative; 0 leaves a patch out. 1 each by default.

    Raises
    ------
    PixqError
        If there is nothing to learn from, or shapes or values are wrong.

    Examples
    --------
    >>> find_cuts([0.1, 0.2, 0.5, 0.6, 0.9], [0, 0, 1, 1, 2])
    BestCuts(orange=0.35, green=0.75, value=1.0)
    """
    objective = objective or Objective()
    scores, classes = _checked(score, truth)
    weights: Numbers = np.ones(len(scores), np.int64)
    if weight is not None:
        weights = _weights(weight, len(scores))
        drawn = weights > 0
        scores, classes, weights = scores[drawn], classes[drawn], weights[drawn]
    if not len(scores):
        raise PixqError("there are no patches to find cuts from")
    # NumPy's own sort is four times as fast; it may order ties differently, which only sums of fractions can tell.
    order = np.argsort(scores, kind="stable" if weights.dtype.kind == "f" else None)
    orange, green = _search(scores[order], classes[order], weights[order], objective)
    answer = classify(scores, (orange, green))
    confusion = np.bincount(classes * 3 + answer, weights, 9).reshape(3, 3)
    return BestCuts(orange, green, objective.value(confusion))


def bootstrap_cuts(
    score: ArrayLike, truth: ArrayLike, groups: ArrayLike, resamples: Resamples, objective: Objective | None = None
) -> NDArray[np.float64]:
    """The cuts of every resample of the groups, (count, 2): what `find_cuts` gives for the resampled patches.

    Sorts once; each resample is then O(n) (macro-F1: see `pixq.decisions.macro_f1`).

    Parameters
    ----------
    score, truth, objective
        As for `find_cuts`.
    groups
        (n,) the group of each patch, as `resamples` was made from.
    resamples
        From `pixq.statistics.bootstrap.resample_groups`.

    Returns
    -------
    numpy.ndarray
        Orange, then Green; NaN for a resample without patches.

    Raises
    ------
    PixqError
        As `find_cuts`, or if a group is not in `resamples`.

    Examples
    --------
    >>> from pixq.statistics.bootstrap import resample_groups
    >>> group = [0, 0, 0, 1, 1, 1]
    >>> found = bootstrap_cuts([1, 2, 3, 1, 2, 3], [0, 1, 2, 0, 1, 2], group, resample_groups(group, 2))
    >>> found.tolist()
    [[1.5, 2.5], [1.5, 2.5]]
    """
    objective = objective or Objective()
    scores, classes = _checked(score, truth)
    rows = resamples.rows(groups)
    if len(rows) != len(scores):
        raise PixqError(f"{len(scores)} scores have {len(rows)} groups; give each its own")
    order = np.argsort(scores, kind="stable")
    scores, classes, rows = scores[order], classes[order], rows[order]
    found = np.full((resamples.count, 2), np.nan)
    for number, times in enumerate(resamples.multiplicity):
        weights = times[rows].astype(np.int64)
        drawn = np.flatnonzero(weights)
        if len(drawn):
            found[number] = _search(scores[drawn], classes[drawn], weights[drawn], objective)
    return found


def _checked(score: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores = np.asarray(score, dtype=np.float64)
    classes = np.asarray(truth)
    if scores.ndim != 1 or classes.shape != scores.shape:
        raise PixqError(f"scores of shape {scores.shape} and classes of shape {classes.shape}; both must be (n,)")
    if not np.isfinite(scores).all():
        raise PixqError("a score is infinite or not a number; give identical patches the best finite score")
    if not len(scores):
        raise PixqError("there are no patches to find cuts from")
    if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= len(CLASSES):
        raise PixqError(f"true classes must be 0 to {len(CLASSES) - 1}: {', '.join(NAMES)}")
    return scores, classes.astype(np.int64)


def _weights(weight: ArrayLike, size: int) -> Numbers:
    weights = np.asarray(weight)
    if weights.shape != (size,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise PixqError(f"weights must be {size} finite numbers, none negative")
    if (weights == np.rint(weights)).all() and float(weights.sum(dtype=np.float64)) < 2.0**53:
        return weights.astype(np.int64)
    return weights.astype(np.float64)


def _search(
    score: NDArray[np.float64],
    truth: NDArray[np.int64],
    weight: Numbers,
    objective: Objective,
) -> tuple[float, float]:
    """The best cuts of sorted scores with positive weights."""
    starts = np.flatnonzero(score[1:] != score[:-1]) + 1
    # Place p is before the p-th distinct score: `edges[p]` patches are below it.
    edges = np.concatenate(([0], starts, [len(score)]))
    distinct = score[edges[:-1]]
    if objective.name == "macro_f1":
        below = np.stack([_below(np.where(truth == each, weight, 0), edges) for each in range(3)])
        candidates = macro_f1.search(below)
        green = _pick(np.unique(candidates[1]), distinct)
        orange = _pick(candidates[0][candidates[1] == green], distinct, green)
    else:
        totals: Any = np.array([weight[truth == each].sum() for each in range(3)], dtype=weight.dtype)
        gains = objective.gains(totals)
        f = _below((gains[:, 0] - gains[:, 1])[truth] * weight, edges)
        g = _below((gains[:, 1] - gains[:, 2])[truth] * weight, edges)
        best = np.maximum.accumulate(f)
        total = best + g
        green = _pick(np.flatnonzero(total == total.max()), distinct)
        orange = _pick(np.flatnonzero(f[: green + 1] == best[green]), distinct, green)
    return _cut(distinct, orange), _cut(distinct, green)


def _below(values: NDArray[np.generic], edges: NDArray[np.int64]) -> NDArray[np.generic]:
    """The sum of the values below each place."""
    sums = np.zeros(len(values) + 1, dtype=values.dtype)
    np.cumsum(values, out=sums[1:])
    return sums if len(edges) == len(sums) else sums[edges]


def _pick(places: NDArray[np.int64], distinct: NDArray[np.float64], taken: int | None = None) -> int:
    """One of several places, by the rule of the module; `taken` comes last, as an infinite cut does."""
    inner = places[(places > 0) & (places < len(distinct)) & (places != (-1 if taken is None else taken))]
    if len(inner):
        # Halved, for the largest float64 has no double.
        gap = distinct[inner] / 2 - distinct[inner - 1] / 2
        places = inner[gap == gap.max()]
    return int(places[(len(places) - 1) // 2])


def _cut(distinct: NDArray[np.float64], place: int) -> float:
    """The score midway between the neighbours of a place; the upper one where no float64 is between them."""
    if place == 0:
        return -math.inf
    if place == len(distinct):
        return math.inf
    lower, upper = float(distinct[place - 1]), float(distinct[place])
    middle = lower / 2 + upper / 2
    return middle if lower < middle <= upper else upper
