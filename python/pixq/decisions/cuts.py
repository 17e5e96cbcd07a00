"""An exact search for the two cut points that are best for an objective.

Scores are sorted once. A cut lies between neighbouring distinct scores, so that equal scores are never divided. With m
distinct scores there are m + 1 places for each cut; the outer ones are minus and plus infinity, where a class is never
answered. Balanced accuracy, accuracy and cost are sums over patches, so they separate into f(orange) + g(green), and
one running maximum finds the best pair: O(n log n) for the sort, O(n) after it. Macro-F1 does not separate: see
`pixq.decisions.macro_f1`.

Weights that are whole numbers (as in a bootstrap) are summed as integers, so the result and its ties are exact. Other
weights are summed in float64, and the result is then exact up to rounding.

Among equally good cuts, the search takes the one in the widest gap between scores, and an infinite one only if no other
is as good; among equally wide gaps, the middle one (the lower of two). The green cut is chosen first, then the orange
cut for it, which equals the green one only if no other is as good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq import ranges
from pixq.classes import classify
from pixq.decisions import macro_f1
from pixq.errors import PixqError
from pixq.statistics.bootstrap import Resamples
from pixq.statistics.checks import check_classes, check_scores

__all__ = ["OBJECTIVES", "BestCuts", "Objective", "bootstrap_cuts", "find_cuts"]

#: The values that `Objective.name` can take.
OBJECTIVES = ("balanced_accuracy", "accuracy", "macro_f1", "cost")

#: Sums of integers stay below this.
_LARGEST = 2**62

Numbers = NDArray[np.int64] | NDArray[np.float64]
Cost = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Objective:
    """What cuts are optimised for.

    Parameters
    ----------
    name
        `balanced_accuracy`: the mean recall of the classes that are present. `accuracy`. `macro_f1`: the mean F1 of the
        classes that are present. `cost`: the mean of `cost`, the only objective that is minimised.
    cost
        What each answer costs: one row per true class, one column per answer, both worst first. Only for `cost`.

    Raises
    ------
    PixqError
        If the objective is unknown, or `cost` is missing, not 3 x 3, not finite, or given for another objective.

    Examples
    --------
    >>> Objective("accuracy").value([[3, 1, 0], [0, 2, 0], [0, 0, 4]])
    0.9
    """

    name: str = "balanced_accuracy"
    cost: Cost | None = None

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise PixqError(f"there is no objective {self.name!r}; choose one of {', '.join(OBJECTIVES)}")
        if (self.name == "cost") != (self.cost is not None):
            raise PixqError(
                "the objective cost needs a cost matrix, and no other objective takes one; give --objective cost and "
                "--cost together, like --cost 0,1,4/1,0,1/4,1,0"
            )
        if self.cost is not None:
            if len(self.cost) != 3 or any(len(row) != 3 for row in self.cost):
                raise PixqError("the cost matrix is not 3 x 3; give one row per true class and one column per answer")
            for row in self.cost:
                for cost in row:
                    ranges.COST.check(cost, "an entry of the cost matrix")

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher `value` is better."""
        return self.name != "cost"

    def value(self, confusion: ArrayLike) -> float:
        """Compute the objective of a confusion matrix of counts or weights: rows are true classes, columns answers."""
        counts = np.asarray(confusion, dtype=np.float64)
        totals = counts.sum(axis=1)
        right = np.diagonal(counts)
        present = totals > 0
        if not present.any():
            return math.nan
        if self.name == "balanced_accuracy":
            return float(np.mean(right[present] / totals[present]))
        if self.name == "accuracy":
            return float(right.sum() / totals.sum())
        if self.name == "macro_f1":
            return float(np.mean(2 * right[present] / (totals + counts.sum(axis=0))[present]))
        return float((counts * np.array(self.cost)).sum() / totals.sum())

    def gains(self, totals: Numbers) -> Numbers:
        """Compute what a unit of weight adds to the objective, up to a factor, given the `totals` (3,) of the classes.

        (3, 3): rows are true classes, columns answers; integers if sums of them stay exact. Macro-F1 has no gains.
        """
        whole = totals.dtype.kind == "i"
        if self.name == "accuracy":
            return np.eye(3, dtype=np.int64) if whole else np.eye(3)
        if self.name == "balanced_accuracy":
            common = math.lcm(*(int(total) for total in totals if total > 0)) if whole else 1
            if whole and 3 * common < _LARGEST:
                shares = [common // int(total) if total > 0 else 0 for total in totals]
                return np.diag(np.array(shares, dtype=np.int64))
            return np.diag(np.divide(1.0, totals, out=np.zeros(3), where=totals > 0))
        cost = -np.array(self.cost, dtype=np.float64)
        # Differences of costs are summed, so twice the largest cost must fit.
        if whole and (cost == np.rint(cost)).all() and 2 * np.abs(cost).max() * float(totals.sum()) < _LARGEST:
            return cost.astype(np.int64)
        return cost


@dataclass(frozen=True)
class BestCuts:
    """The scores from which a patch is Orange and Green, and the value of the objective that they reach.

    Parameters
    ----------
    orange, green
        orange <= green; infinite if a class is never answered.
    value
        The objective at these cuts: `Objective.value` of the confusion matrix that `classify` gives with them.
    """

    orange: float
    green: float
    value: float

    @property
    def pair(self) -> tuple[float, float]:
        """The two cuts, as `pixq.classes.classify` takes them."""
        return self.orange, self.green


def find_cuts(
    score: ArrayLike, truth: ArrayLike, objective: Objective | None = None, weight: ArrayLike | None = None
) -> BestCuts:
    """Find the cuts with the best value of an objective.

    Parameters
    ----------
    score
        (n,) finite; higher is better. Converted to float64.
    truth
        (n,) classes, 0 to 2. A missing class doesn't count: balanced accuracy and macro-F1 are means over the classes
        that are present.
    objective
        Balanced accuracy by default.
    weight
        (n,) finite and not negative; 0 leaves a patch out. All 1 by default.

    Raises
    ------
    PixqError
        If there are no patches, or a shape or a value is wrong.

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
    # NumPy's default sort is four times as fast. It may order ties differently, which only fractional weights notice.
    order = np.argsort(scores, kind="stable" if weights.dtype.kind == "f" else None)
    orange, green = _search(scores[order], classes[order], weights[order], objective)
    answer = classify(scores, (orange, green))
    confusion = np.bincount(classes * 3 + answer, weights, 9).reshape(3, 3)
    return BestCuts(orange, green, objective.value(confusion))


def bootstrap_cuts(
    score: ArrayLike, truth: ArrayLike, groups: ArrayLike, resamples: Resamples, objective: Objective | None = None
) -> NDArray[np.float64]:
    """Find the best cuts of every resample of the groups: (count, 2), as `find_cuts` gives for the resampled patches.

    Scores are sorted once; each resample then takes O(n) (for macro-F1 see `pixq.decisions.macro_f1`).

    Parameters
    ----------
    score, truth, objective
        As in `find_cuts`.
    groups
        (n,) the group of each patch; `resamples` was drawn from them.
    resamples
        Drawn with `pixq.statistics.bootstrap.resample_groups`.

    Returns
    -------
    numpy.ndarray
        The cuts for Orange and Green; NaN for a resample without patches.

    Raises
    ------
    PixqError
        As in `find_cuts`, or if a group is not in `resamples`.

    Examples
    --------
    >>> from pixq.statistics.bootstrap import resample_groups
    >>> group = [0, 0, 0, 1, 1, 1]
    >>> cuts = bootstrap_cuts([1, 2, 3, 1, 2, 3], [0, 1, 2, 0, 1, 2], group, resample_groups(group, 2))
    >>> cuts.tolist()
    [[1.5, 2.5], [1.5, 2.5]]
    """
    objective = objective or Objective()
    scores, classes = _checked(score, truth)
    rows = resamples.rows(groups)
    if len(rows) != len(scores):
        raise PixqError(f"there are {len(scores)} scores and {len(rows)} groups; give one group per score")
    order = np.argsort(scores, kind="stable")
    scores, classes, rows = scores[order], classes[order], rows[order]
    cuts = np.full((resamples.count, 2), np.nan)
    for number, times in enumerate(resamples.multiplicity):
        weights = times[rows].astype(np.int64)
        drawn = np.flatnonzero(weights)
        if len(drawn):
            cuts[number] = _search(scores[drawn], classes[drawn], weights[drawn], objective)
    return cuts


def _checked(score: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores = np.asarray(score, dtype=np.float64)
    classes = np.asarray(truth)
    if scores.ndim != 1 or classes.shape != scores.shape:
        raise PixqError(f"scores have shape {scores.shape} and classes {classes.shape}; both must have shape (n,)")
    check_scores(scores)
    if not len(scores):
        raise PixqError("there are no patches to find cuts from")
    check_classes(classes)
    return scores, classes.astype(np.int64)


def _weights(weight: ArrayLike, size: int) -> Numbers:
    weights = np.asarray(weight)
    if weights.shape != (size,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise PixqError(f"weights must be {size} finite numbers, and none of them negative")
    if (weights == np.rint(weights)).all() and float(weights.sum(dtype=np.float64)) < 2.0**53:
        return weights.astype(np.int64)
    return weights.astype(np.float64)


def _search(
    score: NDArray[np.float64],
    truth: NDArray[np.int64],
    weight: Numbers,
    objective: Objective,
) -> tuple[float, float]:
    """Find the best cuts of sorted scores with positive weights."""
    starts = np.flatnonzero(score[1:] != score[:-1]) + 1
    # Place p is before the p-th distinct score: `edges[p]` patches are below it.
    edges = np.concatenate(([0], starts, [len(score)]))
    distinct = score[edges[:-1]]
    if objective.name == "macro_f1":
        below = np.stack([_below(np.where(truth == number, weight, 0), edges) for number in range(3)])
        candidates = macro_f1.search(below)
        green = _pick(np.unique(candidates[1]), distinct)
        orange = _pick(candidates[0][candidates[1] == green], distinct, green)
    else:
        totals: Any = np.array([weight[truth == number].sum() for number in range(3)], dtype=weight.dtype)
        gains = objective.gains(totals)
        f = _below((gains[:, 0] - gains[:, 1])[truth] * weight, edges)
        g = _below((gains[:, 1] - gains[:, 2])[truth] * weight, edges)
        best = np.maximum.accumulate(f)
        total = best + g
        green = _pick(np.flatnonzero(total == total.max()), distinct)
        orange = _pick(np.flatnonzero(f[: green + 1] == best[green]), distinct, green)
    return _cut(distinct, orange), _cut(distinct, green)


def _below(values: NDArray[np.generic], edges: NDArray[np.int64]) -> NDArray[np.generic]:
    """Sum the values below each place."""
    sums = np.zeros(len(values) + 1, dtype=values.dtype)
    np.cumsum(values, out=sums[1:])
    return sums if len(edges) == len(sums) else sums[edges]


def _pick(places: NDArray[np.int64], distinct: NDArray[np.float64], taken: int | None = None) -> int:
    """Choose one of several places by the rule in the module's docstring; `taken` is a last resort, as infinity is."""
    inner = places[(places > 0) & (places < len(distinct)) & (places != (-1 if taken is None else taken))]
    if len(inner):
        # Halved first, because twice the largest float64 overflows.
        gap = distinct[inner] / 2 - distinct[inner - 1] / 2
        places = inner[gap == gap.max()]
    return int(places[(len(places) - 1) // 2])


def _cut(distinct: NDArray[np.float64], place: int) -> float:
    """Compute the score midway between the neighbours of a place; the upper one if no float64 lies between them."""
    if place == 0:
        return -math.inf
    if place == len(distinct):
        return math.inf
    lower, upper = float(distinct[place - 1]), float(distinct[place])
    middle = lower / 2 + upper / 2
    return middle if lower < middle <= upper else upper
