"""Split-conformal sets of classes, which contain the true class with a stated probability.

Least ambiguous sets (LAC; Sadinle, Lei and Wasserman, 2019): a class is in the set if its probability is high enough,
and how high is a quantile over patches that the probabilities were not fitted to. However good the probabilities are,
the set of a new patch then contains its true class with at least the stated probability, if the new patch is
exchangeable with those of the quantile. Nothing is random, so with ties the coverage is higher than requested.

Two things break exchangeability. Probabilities are too good on the patches they were fitted to: `divide_groups` keeps
the two apart. And patches of one group are alike, so the coverage holds over newly drawn groups, and is rougher the
fewer groups there are: the effective number of patches lies between the number of groups and the number of patches.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq import ranges
from pixq.classes import CLASSES, NAMES
from pixq.errors import PixqError
from pixq.statistics.checks import check_classes, check_shares

__all__ = ["Sets", "divide_groups", "fit_sets", "needed"]


@dataclass(frozen=True)
class Sets:
    """The rule that says which classes a patch may have.

    Parameters
    ----------
    threshold
        For each class, worst first: a class is in the set if 1 - its probability is at most this, 0 to 1.
    coverage
        The probability with which the true class is in the set.
    patches
        How many patches the thresholds were learned from.
    by_class
        Whether the coverage holds within each true class, so that thresholds differ.

    Raises
    ------
    PixqError
        If a number is out of range.
    """

    threshold: tuple[float, float, float]
    coverage: float
    patches: int
    by_class: bool = False

    def __post_init__(self) -> None:
        if len(self.threshold) != len(CLASSES) or not all(0.0 <= value <= 1.0 for value in self.threshold):
            raise PixqError(f"conformal sets need {len(CLASSES)} thresholds between 0 and 1")
        _check_coverage(self.coverage)
        if self.patches < 1:
            raise PixqError("conformal sets must be learned from at least one patch")

    def of(self, probability: ArrayLike) -> NDArray[np.bool_]:
        """Compute the sets of (n, 3) probabilities, worst class first: (n, 3), true where the class is in the set.

        A set may be empty, if no class is probable enough. An answer is sure if the set has exactly one class.

        Examples
        --------
        >>> Sets((0.5, 0.5, 0.5), 0.9, 100).of([[0.5, 0.5, 0.0], [0.1, 0.1, 0.8]]).tolist()
        [[True, True, False], [False, False, True]]
        """
        members: NDArray[np.bool_] = 1.0 - _probability(probability) <= np.array(self.threshold)
        return members

    def to_json(self) -> dict[str, Any]:
        """The rule as JSON; `pixq.decisions.calibration_file.Conformal` reads it back."""
        return {
            "coverage": self.coverage,
            "threshold": list(self.threshold),
            "patches": self.patches,
            "by_class": self.by_class,
        }


def needed(coverage: float) -> int:
    """Compute the smallest number of patches from which sets of this coverage can be learned.

    Examples
    --------
    >>> needed(0.9), needed(0.95)
    (9, 19)
    """
    exact = _check_coverage(coverage)
    return math.ceil(exact / (1 - exact))


def fit_sets(probability: ArrayLike, truth: ArrayLike, coverage: float = 0.9, *, by_class: bool = False) -> Sets:
    """Learn sets from patches that the probabilities were not fitted to.

    The threshold is the k-th smallest value of 1 - the probability of the true class, k = ceil((n + 1) * coverage).

    Parameters
    ----------
    probability
        (n, 3), worst class first.
    truth
        (n,) classes, 0 to 2.
    coverage
        The probability with which the true class should be in the set, between 0 and 1.
    by_class
        Learn one threshold per true class (Mondrian), so that the coverage holds within each.

    Raises
    ------
    PixqError
        If there are too few patches for the coverage, or a shape or a value is wrong.

    Examples
    --------
    >>> fit_sets([[0.9, 0.1, 0.0]] * 8 + [[0.25, 0.75, 0.0]] * 2, [0] * 8 + [0, 1], 0.8).threshold[0]
    0.25
    """
    chances = _probability(probability)
    classes = np.asarray(truth)
    if classes.shape != chances.shape[:1]:
        raise PixqError(
            f"there are {len(chances)} rows of probabilities, and true classes have shape {classes.shape}; "
            "give one true class per row"
        )
    check_classes(classes)
    misfit = 1.0 - chances[np.arange(len(classes)), classes.astype(np.int64)]
    if by_class:
        thresholds = [
            _quantile(misfit[classes == number], coverage, f"{name} patches") for number, name in enumerate(NAMES)
        ]
    else:
        thresholds = [_quantile(misfit, coverage, "patches")] * len(CLASSES)
    return Sets((thresholds[0], thresholds[1], thresholds[2]), float(coverage), len(classes), by_class)


def divide_groups(groups: ArrayLike, *, share: float = 0.5, seed: int = 0) -> NDArray[np.bool_]:
    """Choose the patches to fit probabilities to; the others are for the sets. Groups stay whole.

    Groups are ordered by the SHA-256 of `"<seed>:<group>"`, so the halves depend on nothing but the names and the seed.

    Parameters
    ----------
    groups
        (n,) the group of each patch, as numbers or names.
    share
        The share of groups to fit to, between 0 and 1; each side gets at least one group.
    seed
        Different seeds give different halves.

    Returns
    -------
    numpy.ndarray
        (n,) bool.

    Raises
    ------
    PixqError
        If there are fewer than two groups, or `share` is out of range.

    Examples
    --------
    >>> int(divide_groups(["a", "b", "c", "d", "a"]).sum()) in (2, 3)
    True
    """
    ranges.LEVEL.check(share, "the share of groups to fit to")
    ranges.SEED.check(seed, "the seed")
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise PixqError(f"{len(names)} groups can't be divided; conformal sets need at least 2")
    order = sorted(range(len(names)), key=lambda number: hashlib.sha256(f"{seed}:{names[number]}".encode()).digest())
    first = min(max(round(share * len(names)), 1), len(names) - 1)
    fitting = np.zeros(len(names), dtype=bool)
    fitting[order[:first]] = True
    chosen: NDArray[np.bool_] = fitting[place]
    return chosen


def _quantile(misfit: NDArray[np.float64], coverage: float, patches: str) -> float:
    exact = _check_coverage(coverage)
    rank = math.ceil((len(misfit) + 1) * exact)
    if rank > len(misfit):
        raise PixqError(
            f"{len(misfit)} {patches} are too few for sets with a coverage of {coverage:g}, which need "
            f"{needed(coverage)}; lower the coverage or use more patches"
        )
    return float(np.partition(misfit, rank - 1)[rank - 1])


def _check_coverage(coverage: float) -> Fraction:
    """Turn the coverage into the fraction that it was written as: 0.9 is nine tenths, so that 10 * 0.9 is exactly 9."""
    ranges.LEVEL.check(coverage, "the coverage")
    return Fraction(repr(float(coverage)))


def _probability(probability: ArrayLike) -> NDArray[np.float64]:
    chances = np.asarray(probability, dtype=np.float64)
    if chances.ndim != 2 or chances.shape[1] != len(CLASSES):
        raise PixqError(f"probabilities have shape {chances.shape}; expected (n, {len(CLASSES)})")
    check_shares(chances, "probability")
    return chances
