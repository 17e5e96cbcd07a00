"""Estimates that keep their value on every resample, so that two methods can be compared on the same ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.errors import PixqError
from pixq.statistics.bootstrap import MAX_UNDEFINED, Resamples, interval
from pixq.statistics.correlation import LogisticFit, Ranks

__all__ = ["ResampledEstimate", "better_share", "correlate", "difference"]

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ResampledEstimate:
    """The value of a metric, its confidence interval, and its value on every resample.

    Parameters
    ----------
    value
        `None` where the metric is undefined.
    low, high
        The percentile interval over resamples, or `None`.
    resampled
        (count,) the value on each resample, NaN where it is undefined.
    """

    value: float | None
    low: float | None
    high: float | None
    resampled: Values

    @classmethod
    def of(cls, value: float, resampled: Values, level: float) -> ResampledEstimate:
        """Make an estimate from its value, NaN if undefined, and its value on each resample."""
        if math.isnan(value):
            return cls(None, None, None, resampled)
        low, high = interval(resampled, level) or (None, None)
        return cls(value, low, high, resampled)

    def to_json(self) -> dict[str, float | None]:
        """The value and its interval, without the resamples."""
        return {"value": self.value, "low": self.low, "high": self.high}


def difference(one: ResampledEstimate, other: ResampledEstimate, level: float = 0.95) -> ResampledEstimate:
    """Subtract `other` from `one`, paired: both must have been measured on the same resamples.

    Raises
    ------
    PixqError
        If their numbers of resamples differ.
    """
    _check_paired(one, other)
    value = math.nan if one.value is None or other.value is None else one.value - other.value
    return ResampledEstimate.of(value, one.resampled - other.resampled, level)


def better_share(one: ResampledEstimate, other: ResampledEstimate, *, higher_is_better: bool = True) -> float | None:
    """Compute the share of resamples in which `one` is better than `other`, 0 to 1; half of those in which they tie.

    Both must have been measured on the same resamples. The share is `None` if either is undefined, or undefined on more
    than a share of `MAX_UNDEFINED` of the resamples.

    Raises
    ------
    PixqError
        If their numbers of resamples differ.

    Examples
    --------
    >>> one, other = (ResampledEstimate.of(1.0, np.array(values), 0.9) for values in ([1.0, 3, 5, 7], [2.0, 3, 4, 5]))
    >>> better_share(one, other)
    0.625
    """
    _check_paired(one, other)
    gained = one.resampled - other.resampled
    gained = gained[~np.isnan(gained)]
    if one.value is None or other.value is None or not len(gained):
        return None
    if len(gained) < (1.0 - MAX_UNDEFINED) * len(one.resampled):
        return None
    share = float((np.count_nonzero(gained > 0) + np.count_nonzero(gained == 0) / 2) / len(gained))
    return share if higher_is_better else 1.0 - share


def _check_paired(one: ResampledEstimate, other: ResampledEstimate) -> None:
    if one.resampled.shape != other.resampled.shape:
        raise PixqError("two estimates come from different resamples; measure both on the same ones")


def correlate(
    score: ArrayLike,
    quality: ArrayLike,
    groups: ArrayLike,
    resamples: Resamples,
    level: float = 0.95,
    *,
    fitted: bool = False,
) -> ResampledEstimate:
    """Compute SRCC, with its interval from resamples of groups.

    Parameters
    ----------
    score, quality
        (n,) finite; both higher for better images.
    groups
        (n,) the group of each image, such as its photograph.
    resamples
        Drawn from these groups, or from more of them.
    level
        Confidence level of the interval. A single group gives no interval.
    fitted
        Compute PLCC after a logistic fit instead.

    Raises
    ------
    PixqError
        If a group is not in `resamples`.

    Examples
    --------
    >>> from pixq.statistics.bootstrap import resample_groups
    >>> groups = ["a", "a", "b", "b"]
    >>> correlate([1, 2, 3, 4], [0.1, 0.2, 0.4, 0.3], groups, resample_groups(groups, 100)).value
    0.8
    """
    x, y = np.asarray(score, np.float64), np.asarray(quality, np.float64)
    rows = resamples.rows(groups)
    fit = LogisticFit(x, y) if fitted else None
    measure = Ranks(x, y).srcc if fit is None else fit.plcc
    resampled = np.full(resamples.count, math.nan)
    if len(np.unique(rows)) > 1:
        for number, multiplicity in enumerate(resamples.multiplicity):
            resampled[number] = measure(multiplicity[rows].astype(np.float64))
    return ResampledEstimate.of(measure(np.ones(len(x))), resampled, level)
