"""Rank correlation and correlation after a logistic fit, on many resamples of the same patches.

Both sort or fit once and then take weights: how many times a resample contains each patch. No sum over patches uses
linear algebra, whose results may depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["LogisticFit", "Ranks"]

Values = NDArray[np.float64]

#: The most steps of a fit, and the gain in r^2 that a step must promise.
_STEPS = 30
_PROMISE = 1e-8
#: Bounds of the fitted curve's width, in standard deviations of the scores: from almost a step to almost a line.
_WIDTHS = (0.02, 30.0)
#: Middles of the curves that a fit starts with, as quantiles of the scores.
_MIDDLES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


class Ranks:
    """Spearman's rank correlation of scores and qualities; ties get their mean rank.

    Parameters
    ----------
    score, quality
        (n,) float64.
    """

    def __init__(self, score: Values, quality: Values) -> None:
        self._score = _Ranked(score)
        self._quality = _Ranked(quality)

    def srcc(self, weight: Values) -> float:
        """Compute the correlation when patch i occurs `weight[i]` times, (n,) whole numbers; NaN if either is constant.

        Examples
        --------
        >>> Ranks(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 1.0])).srcc(np.array([1.0, 2.0, 0.0]))
        1.0
        """
        x, y = self._score.ranks(weight), self._quality.ranks(weight)
        weighted = weight * x
        xx, xy, yy = _sum(weighted, x), _sum(weighted, y), _sum(weight * y, y)
        return xy / math.sqrt(xx * yy) if xx > 0.0 and yy > 0.0 else math.nan


class _Ranked:
    def __init__(self, values: Values) -> None:
        distinct, place = np.unique(values, return_inverse=True)
        self.place, self.count = place, len(distinct)

    def ranks(self, weight: Values) -> Values:
        """Compute twice the centred mean rank: a whole number, so that sums over few patches are exact."""
        counts = np.bincount(self.place, weight, self.count)
        cumulative = np.cumsum(counts)
        ranks: Values = (2.0 * cumulative - counts - cumulative[-1])[self.place]
        return ranks


class LogisticFit:
    """Pearson's correlation after VQEG's increasing logistic with four parameters.

    quality ~ b2 + (b1 - b2) / (1 + exp(-(score - b3) / b4)), b1 > b2, b4 > 0: the monotone mapping of the Video Quality
    Experts Group's reports on full-reference metrics (2000, 2003). For fixed b3 and b4, b1 and b2 follow by linear
    regression, and the correlation after the fit is the correlation of the logistic with the quality. So only b3 and b4
    are searched for, by Gauss-Newton steps that are shortened until they help. A line is the limit of a wide logistic,
    so the result is never below the plain correlation. It is the plain correlation if that is not positive (no fit
    reverses the direction) or if the fit fails.

    Parameters
    ----------
    score, quality
        (n,) float64.
    """

    def __init__(self, score: Values, quality: Values) -> None:
        self.constant = len(score) < 2 or score.min() == score.max() or quality.min() == quality.max()
        if self.constant:
            return
        # Scaled first, because the square of a large score may overflow.
        scaled = score / np.abs(score).max()
        deviation = scaled - scaled.mean()
        self._x = deviation / math.sqrt(_sum(deviation, deviation) / len(score))
        self._y = quality - quality.mean()
        self._ends = float(self._x.min()), float(self._x.max())
        whole = np.ones(len(score))
        middles = np.quantile(self._x, _MIDDLES)
        starts = [(float(middle), width) for middle in middles for width in (0.1, 0.3, 1.0, 3.0)]
        starts.sort(key=lambda start: -_fitted(self._sums(whole, *start)))
        # Where the fits of resamples start. The best start need not lead to the best end.
        self._start = max(self._climb(whole, *start) for start in starts[:4])[1:]

    def plcc(self, weight: Values) -> float:
        """Compute the correlation when patch i occurs `weight[i]` times, (n,); NaN if either is constant."""
        if self.constant:
            return math.nan
        plain = self._plain(weight)
        if not plain > 0.0:
            return plain
        return max(plain, self._climb(weight, *self._start)[0])

    def _plain(self, weight: Values) -> float:
        wx, wy = weight * self._x, weight * self._y
        total = float(weight.sum())
        if total == 0.0:
            return math.nan
        x, y = float(wx.sum()), float(wy.sum())
        xx, yy = _sum(wx, self._x), _sum(wy, self._y)
        varied = xx - x * x / total, yy - y * y / total
        # The variance of a constant is nothing but rounding errors.
        if varied[0] <= 1e-12 * xx or varied[1] <= 1e-12 * yy:
            return math.nan
        plain = (_sum(wx, self._y) - x * y / total) / math.sqrt(varied[0] * varied[1])
        # Rounding may take the correlation of a line above 1.
        return min(max(plain, -1.0), 1.0)

    def _climb(self, weight: Values, middle: float, width: float) -> tuple[float, float, float]:
        """Find the highest correlation, and the middle and width of the curve that gives it."""
        sums = self._sums(weight, middle, width)
        best = _fitted(sums)
        for _ in range(_STEPS):
            step = _step(sums, *self._bounded(middle, width))
            if step is None:
                break
            factor = 1.0
            while factor > 1e-3:
                tried_middle = min(max(middle + factor * step[0] * width, self._ends[0]), self._ends[1])
                grown = min(max(factor * step[1], -1.5), 1.5)
                tried_width = min(max(width * math.exp(grown), _WIDTHS[0]), _WIDTHS[1])
                tried = self._sums(weight, tried_middle, tried_width)
                value = _fitted(tried)
                if value > best:
                    break
                factor /= 4.0
            else:
                break
            gained = value * value - best * best
            middle, width, sums, best = tried_middle, tried_width, tried, value
            if gained < _PROMISE / 10:
                break
        return best, middle, width

    def _bounded(self, middle: float, width: float) -> tuple[int, int]:
        """Tell whether middle and width are at their upper bound (1), at their lower bound (-1), or at neither (0)."""

        def side(value: float, low: float, high: float) -> int:
            return int(value >= high) - int(value <= low)

        return side(middle, *self._ends), side(width, *_WIDTHS)

    def _sums(self, weight: Values, middle: float, width: float) -> Values:
        """Weighted covariances, (4, 4), times the total weight.

        The columns are the curve, its slopes by middle and by log width, and the quality.
        """
        u = (self._x - middle) * (0.5 / width)
        curve = np.tanh(u)
        slope = 1.0 - curve * curve
        columns = (curve, slope, slope * u, self._y)
        total = float(weight.sum())
        products = np.empty((4, 4))
        means = np.empty(4)
        for i, column in enumerate(columns):
            weighted = weight * column
            means[i] = weighted.sum()
            for j in range(i, 4):
                products[i, j] = products[j, i] = _sum(weighted, columns[j])
        return products - np.outer(means, means) / total


def _fitted(sums: Values) -> float:
    """Compute the correlation of the curve with the quality; -1 if the curve is flat."""
    varied = sums[0, 0] * sums[3, 3]
    return min(float(sums[0, 3] / math.sqrt(varied)), 1.0) if sums[0, 0] > 0.0 and varied > 0.0 else -1.0


def _step(sums: Values, middle: int, width: int) -> tuple[float, float] | None:
    """Compute the Gauss-Newton step in middle (in widths) and log width; `None` if it promises too little.

    `middle` and `width` are 1 or -1 at the upper or lower bound, which is not crossed, and 0 elsewhere.
    """
    if not (sums[0, 3] > 0.0 and sums[0, 0] > 0.0):
        return None
    height = float(sums[0, 3] / sums[0, 0])
    free = [0, 1, 2]
    while True:
        part = sums[np.ix_(free, free)]
        scale = np.sqrt(np.maximum(np.diagonal(part), 1e-300))
        normal = part / np.outer(scale, scale)
        normal[np.diag_indices(len(free))] += 1e-9
        side = sums[free, 3] / scale
        solved = np.linalg.solve(normal, side)
        promised = (float(solved @ side) - height * sums[0, 3]) / sums[3, 3]
        if not promised > _PROMISE:
            return None
        by = dict(zip(free, (solved / scale).tolist(), strict=True))
        # d tanh(u) / d middle = -slope / (2 width), and by log width -slope * u.
        step = -2.0 * by.get(1, 0.0) / height, -by.get(2, 0.0) / height
        outward = [1 + axis for axis, bound in enumerate((middle, width)) if step[axis] * bound > 0.0]
        if not outward:
            return step
        free.remove(outward[0])


def _sum(a: Values, b: Values) -> float:
    return float(np.einsum("i,i->", a, b))
