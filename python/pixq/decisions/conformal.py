"""Split-conformal sets of classes: with a stated probability the true class is in the set.

Least ambiguous sets (LAC; Sadinle, Lei and Wasserman, 2019): a class is in the set when its probability is high enough,
and how high is a quantile over patches that the probabilities were not fitted to. Whatever the probabilities are worth,
the set of a new patch then holds its true class with at least the stated probability, if the new patch is exchangeable
with those of the quantile. Nothing is random, so with ties the coverage is above what was asked for.

Two things break exchangeability. Probabilities fitted to the same patches are too good there: `divide_groups` keeps the
two apart. And patches of one group are alike, so the promise holds over groups drawn afresh, and is rougher the fewer
there are: the effective number of patches lies between those of groups and of patches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.classes import CLASSES, NAMES
from pixq.errors import PixqError

__all__ = ["Sets", "divide_groups", "fit_sets", "needed"]


@dataclass(frozen=True)
class Sets:
    """Which classes a patch may be of.

    Parameters
    ----------
    threshold
        By class, worst first: a class is in the set when 1 - its probability is at most this, 0 to 1.
    coverage
        The probability with which the true class is in the set.
    patches
        How many patches the thresholds are from.
    by_class
        Whether the coverage holds within each true class, and so thresholds differ.

    Raises
    ------
    PixqError
        If a number is out of its range.
    """

    threshold: tuple[float, float, float]
    coverage: float
    patches: int
    by_class: bool = False

    def __post_init__(self) -> None:
        if len(self.threshold) != len(CLASSES) or not all(0.0 <= each <= 1.0 for each in self.threshold):
            raise PixqError(f"conformal sets need {len(CLASSES)} thresholds of 0 to 1")
        _check_coverage(self.coverage)
        if self.patches < 1:
            raise PixqError("conformal sets are from no patches")

    def of(self, probability: ArrayLike) -> NDArray[np.bool_]:
        """The sets of (n, 3) probabilities, worst class first: (n, 3), true where the class is in the set.

        A set may be empty, where no class is probable enough. An answer is sure when the set has exactly one class.

        Examples
        --------
        >>> Sets((0.5, 0.5, 0.5), 0.9, 100).of([[0.5, 0.5, 0.0], [0.1, 0.1, 0.8]]).tolist()
        [[True, True, False], [False, False, True]]
        """
        found: NDArray[np.bool_] = 1.0 - _probability(probability) <= np.array(self.threshold)
        return found

    def to_json(self) -> dict[str, Any]:
        """Numbers and lists."""
        return {
            "coverage": self.coverage,
            "threshold": list(self.threshold),
            "patches": self.patches,
            "by_class": self.by_class,
        }

    @classmethod
    def from_json(cls, data: Any) -> Sets:
        """The sets that `to_json` wrote; other keys are let be.

        Raises
        ------
        PixqError
            If `data` is no such thing.
        """
        try:
            if not isinstance(data, Mapping):
                raise TypeError
            patches, by_class = data["patches"], data["by_class"]
            numbers = [*data["threshold"], data["coverage"]]
            if type(patches) is not int or type(by_class) is not bool:
                raise TypeError
            if not all(type(each) in (int, float) for each in numbers):
                raise TypeError
            *threshold, coverage = (float(each) for each in numbers)
        except (KeyError, TypeError, OverflowError):
            raise PixqError("conformal sets must have coverage, three thresholds, patches and by_class") from None
        return cls(tuple(threshold), coverage, patches, by_class)  # type: ignore[arg-type]


def needed(coverage: float) -> int:
    """The fewest patches from which sets of this coverage can be learned.

    Examples
    --------
    >>> needed(0.9), needed(0.95)
    (9, 19)
    """
    exact = _check_coverage(coverage)
    return math.ceil(exact / (1 - exact))


def fit_sets(probability: ArrayLike, truth: ArrayLike, coverage: float = 0.9, *, by_class: bool = False) -> Sets:
    """Learn sets from patches that the probabilities were not fitted to.

    The threshold is the k-th smallest of 1 - the probability of the true class, k = ceil((n + 1) * coverage).

    Parameters
    ----------
    probability
        (n, 3), worst class first.
    truth
        (n,) classes, 0 to 2.
    coverage
        The probability with which the true class shall be in the set: over 0, under 1.
    by_class
        A threshold for each true class (Mondrian), so that the coverage holds within each.

    Raises
    ------
    PixqError
        If there are too few patches for the coverage, or shapes or values are wrong.

    Examples
    --------
    >>> fit_sets([[0.9, 0.1, 0.0]] * 8 + [[0.25, 0.75, 0.0]] * 2, [0] * 8 + [0, 1], 0.8).threshold[0]
    0.25
    """
    chances = _probability(probability)
    classes = np.asarray(truth)
    if classes.shape != chances.shape[:1]:
        raise PixqError(f"{len(chances)} rows of probabilities have true classes of shape {classes.shape}")
    if len(classes) and (classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= len(CLASSES)):
        raise PixqError(f"true classes must be 0 to {len(CLASSES) - 1}: {', '.join(NAMES)}")
    misfit = 1.0 - chances[np.arange(len(classes)), classes.astype(np.int64)]
    if by_class:
        found = [_quantile(misfit[classes == each], coverage, f" of {NAMES[each]}") for each in range(len(CLASSES))]
    else:
        found = [_quantile(misfit, coverage, "")] * len(CLASSES)
    return Sets((found[0], found[1], found[2]), float(coverage), len(classes), by_class)


def divide_groups(groups: ArrayLike, *, share: float = 0.5, seed: int = 0) -> NDArray[np.bool_]:
    """Which patches to fit probabilities to; the others are for the sets. Groups stay whole.

    Groups are ordered by the SHA-256 of `"<seed>:<group>"`, so the halves depend on the names and the seed alone.

    Parameters
    ----------
    groups
        (n,) the group of each patch: numbers or names.
    share
        The share of groups to fit to, over 0, under 1; at least one group is on either side.
    seed
        Another seed gives other halves.

    Returns
    -------
    numpy.ndarray
        (n,) bool.

    Raises
    ------
    PixqError
        If there are fewer than two groups, or `share` is out of its range.

    Examples
    --------
    >>> int(divide_groups(["a", "b", "c", "d", "a"]).sum()) in (2, 3)
    True
    """
    if not 0.0 < share < 1.0:
        raise PixqError(f"the share of groups to fit to is {share:g}; choose one between 0 and 1")
    names, at = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise PixqError(f"{len(names)} groups can't be divided; conformal sets need at least 2")
    order = sorted(range(len(names)), key=lambda each: hashlib.sha256(f"{seed}:{names[each]}".encode()).digest())
    first = min(max(round(share * len(names)), 1), len(names) - 1)
    fitting = np.zeros(len(names), dtype=bool)
    fitting[order[:first]] = True
    chosen: NDArray[np.bool_] = fitting[at]
    return chosen


def _quantile(misfit: NDArray[np.float64], coverage: float, of: str) -> float:
    exact = _check_coverage(coverage)
    rank = math.ceil((len(misfit) + 1) * exact)
    if rank > len(misfit):
        raise PixqError(
            f"{len(misfit)} patches{of} are too few for sets with a coverage of {coverage:g}, which need "
            f"{needed(coverage)}; lower the coverage or give more"
        )
    return float(np.partition(misfit, rank - 1)[rank - 1])


def _check_coverage(coverage: float) -> Fraction:
    """The coverage as it was written: 0.9 is nine tenths, so that 10 * 0.9 is no more than 9."""
    if not 0.0 < coverage < 1.0:
        raise PixqError(f"the coverage is {coverage:g}; choose one between 0 and 1")
    return Fraction(repr(float(coverage)))


def _probability(probability: ArrayLike) -> NDArray[np.float64]:
    chances = np.asarray(probability, dtype=np.float64)
    if chances.ndim != 2 or chances.shape[1] != len(CLASSES):
        raise PixqError(f"probabilities have shape {chances.shape}; expected (n, {len(CLASSES)})")
    if not ((chances >= 0.0) & (chances <= 1.0)).all():
        raise PixqError("a probability is not in 0 to 1")
    return chances
