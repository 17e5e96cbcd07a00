"""The bootstrap over groups: patches of one group are alike, so whole groups are drawn, with replacement.

A resample is described by how many times it contains each group. All metrics of all methods are computed on the same
resamples, so the difference between two methods is paired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq import ranges
from pixq.errors import PixqError

__all__ = ["FEW_GROUPS", "MAX_UNDEFINED", "Resamples", "check_bootstrap", "interval", "resample_groups"]

#: Fewer groups than this, or fewer sources of them, are too few for intervals to be trusted.
FEW_GROUPS = 20
#: There is no interval if the value is undefined on more than this share of the resamples.
MAX_UNDEFINED = 0.1


@dataclass(frozen=True, eq=False)
class Resamples:
    """How many times each resample contains each group.

    Parameters
    ----------
    groups
        (G,) the groups, sorted.
    multiplicity
        (count, G) int32; rows add up to G.
    seed
        The seed that they were drawn with.
    """

    groups: NDArray[np.generic]
    multiplicity: NDArray[np.int32]
    seed: int

    @property
    def count(self) -> int:
        """The number of resamples."""
        return len(self.multiplicity)

    def rows(self, groups: ArrayLike) -> NDArray[np.int64]:
        """Find the column of `multiplicity` for each of `groups`: (n,) int64.

        Raises
        ------
        PixqError
            If a group is not among those that the resamples were drawn from.
        """
        names = np.asarray(groups)
        columns = np.searchsorted(self.groups, names)
        columns = np.minimum(columns, len(self.groups) - 1)
        if names.ndim != 1 or not np.array_equal(self.groups[columns], names):
            raise PixqError(
                "the resamples were drawn from different groups; draw them from the groups of the measured patches"
            )
        return columns.astype(np.int64)


def check_bootstrap(resamples: int, level: float, seed: int) -> None:
    """Check that a bootstrap with these options can give intervals.

    Raises
    ------
    PixqError
        If one of them is out of its range. The message names the option.
    """
    ranges.RESAMPLES.check(resamples, "--resamples")
    ranges.LEVEL.check(level, "--level")
    ranges.SEED.check(seed, "--seed")


def resample_groups(groups: ArrayLike, count: int = 1000, seed: int = 0) -> Resamples:
    """Draw resamples: as many groups as there are, with replacement, `count` times.

    Parameters
    ----------
    groups
        (n,) the group of each patch, as numbers or names; repetitions don't matter.
    count
        Number of resamples. A larger number begins with the same resamples as a smaller one.
    seed
        The draw depends on this seed and the number of groups, and on nothing else.

    Raises
    ------
    PixqError
        If there are no groups, or a number is out of range.

    Examples
    --------
    >>> resample_groups(["b", "a", "b"], count=4).multiplicity.sum(axis=1).tolist()
    [2, 2, 2, 2]
    """
    names = np.unique(np.asarray(groups))
    if not len(names):
        raise PixqError("there are no groups to resample")
    ranges.COUNT.check(count, "the number of resamples")
    ranges.SEED.check(seed, "the seed")
    rng = np.random.default_rng(seed)
    multiplicity = np.empty((count, len(names)), np.int32)
    for row in multiplicity:
        row[:] = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
    return Resamples(names, multiplicity, seed)


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Compute the percentile interval of a bootstrap.

    Its ends are values of resamples, the nearest ones outside; nothing is interpolated, so values may be infinite.

    Parameters
    ----------
    values
        (count,) the estimate on each resample; NaN where it is undefined.
    level
        The share of resamples inside the interval, 0 to 1.

    Returns
    -------
    tuple or None
        Low and high; `None` if more than a share of `MAX_UNDEFINED` of the values is undefined.

    Examples
    --------
    >>> interval(range(101), level=0.9)
    (5.0, 95.0)
    """
    ranges.LEVEL.check(level, "the level of an interval")
    numbers = np.asarray(values, dtype=np.float64)
    defined = np.sort(numbers[~np.isnan(numbers)])
    if not len(defined) or len(defined) < (1.0 - MAX_UNDEFINED) * len(numbers):
        return None
    # 0.05 / 2 * 100 is a little more than 2.5, and (1 - 0.9) / 2 * 100 a little less than 5: round before flooring.
    rank = round((1.0 - level) / 2 * (len(defined) - 1), 9)
    return float(defined[math.floor(rank)]), float(defined[len(defined) - 1 - math.floor(rank)])
