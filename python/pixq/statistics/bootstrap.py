"""The bootstrap over groups: patches of one group are alike, so whole groups are drawn, with replacement.

A resample is how many times it has each group. All metrics of all methods are taken on the same resamples, so the
difference of two methods is paired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.errors import PixqError

__all__ = ["FEW_GROUPS", "MAX_UNDEFINED", "Resamples", "check_bootstrap", "interval", "resample_groups"]

#: Fewer groups than this, or fewer sources of them, are too few for intervals to be trusted.
FEW_GROUPS = 20
#: There is no interval where more than this share of resamples has no value.
MAX_UNDEFINED = 0.1


@dataclass(frozen=True, eq=False)
class Resamples:
    """How many times each resample has each group.

    Parameters
    ----------
    groups
        (G,) the groups, sorted.
    multiplicity
        (count, G) int32; rows add up to G.
    seed
        What they were drawn with.
    """

    groups: NDArray[np.generic]
    multiplicity: NDArray[np.int32]
    seed: int

    @property
    def count(self) -> int:
        """The number of resamples."""
        return len(self.multiplicity)

    def rows(self, groups: ArrayLike) -> NDArray[np.int64]:
        """The column of `multiplicity` for each of `groups`, (n,) int64.

        Raises
        ------
        PixqError
            If a group was not there when the resamples were drawn.
        """
        names = np.asarray(groups)
        found = np.searchsorted(self.groups, names)
        found = np.minimum(found, len(self.groups) - 1)
        if names.ndim != 1 or not np.array_equal(self.groups[found], names):
            raise PixqError(
                "the resamples are of other groups; draw them from the groups of the patches that are measured"
            )
        return found.astype(np.int64)


def check_bootstrap(resamples: int, level: float, seed: int) -> None:
    """Make sure that a bootstrap was asked for that gives intervals.

    Raises
    ------
    PixqError
        If there are fewer than 100 resamples, the level is no share, or the seed is negative; it names the option.
    """
    if resamples < 100:
        raise PixqError(f"--resamples is {resamples}; give 100 or more")
    if not 0.0 < level < 1.0:
        raise PixqError(f"--level is {level:g}; give a share between 0 and 1, like 0.95")
    if seed < 0:
        raise PixqError(f"--seed is {seed}; give 0 or more")


def resample_groups(groups: ArrayLike, count: int = 1000, seed: int = 0) -> Resamples:
    """Draw as many groups as there are, with replacement, `count` times.

    Parameters
    ----------
    groups
        (n,) the group of each patch: numbers or names; repeats don't matter.
    count
        The number of resamples. A longer run begins with the resamples of a shorter one.
    seed
        With the number of groups, all that the draw depends on.

    Raises
    ------
    PixqError
        If there are no groups, or `count` is not positive.

    Examples
    --------
    >>> resample_groups(["b", "a", "b"], count=4).multiplicity.sum(axis=1).tolist()
    [2, 2, 2, 2]
    """
    names = np.unique(np.asarray(groups))
    if not len(names):
        raise PixqError("there are no groups to resample")
    if count < 1:
        raise PixqError(f"{count} resamples; take at least 1, or better 1000")
    rng = np.random.default_rng(seed)
    multiplicity = np.empty((count, len(names)), np.int32)
    for row in multiplicity:
        row[:] = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
    return Resamples(names, multiplicity, seed)


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """The percentile interval of a bootstrap.

    Its ends are values of resamples, the nearest outside; nothing is interpolated, so infinite cuts are no problem.

    Parameters
    ----------
    values
        (count,) the estimate on each resample; NaN where it is undefined.
    level
        The share of resamples within, 0 to 1.

    Returns
    -------
    tuple or None
        Low and high; `None` where more than `MAX_UNDEFINED` of the values are undefined.

    Examples
    --------
    >>> interval(range(101), level=0.9)
    (5.0, 95.0)
    """
    if not 0.0 < level < 1.0:
        raise PixqError(f"the level of an interval is {level:g}; choose one between 0 and 1")
    numbers = np.asarray(values, dtype=np.float64)
    known = np.sort(numbers[~np.isnan(numbers)])
    if not len(known) or len(known) < (1.0 - MAX_UNDEFINED) * len(numbers):
        return None
    # 0.05 / 2 * 100 is a little more than 2.5, and (1 - 0.9) / 2 * 100 a little less than 5: round before flooring.
    rank = round((1.0 - level) / 2 * (len(known) - 1), 9)
    return float(known[math.floor(rank)]), float(known[len(known) - 1 - math.floor(rank)])
