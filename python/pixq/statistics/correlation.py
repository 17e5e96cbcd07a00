"""Rank correlation and correlation after a logistic fit, on many resamples of the same patches.

Both sort or fit once and then take weights: how many times a resample has each patch. No sum over patches is made by a
library of linear algebra, whose results may depend on its number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["LogisticFit", "Ranks"]

Values = NDArray[np.float64]

#: Steps of the fit at most, and how much of r^2 a step must promise.
_STEPS = 30
_PROMISE = 1e-8
#: The fitted curve's width, in standard deviations of the scores: from almost a step to almost a line.
_WIDTHS = (0.02, 30.0)
#: Where its middle is at first, in quantiles of the scores.
_MIDDLES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


class Ranks:
    """Spearman's rank correlation of scores and qualities, ties at their mean rank.

    Parameters
    ----------
    score, quality
        (n,) float64.
    """

    def __init__(self, score: Values, quality: Values) -> None:
        self._score = _Ranked(score)
        self._quality = _Ranked(quality)

    def srcc(self, weight: Values) -> float:
        """The correlation where patch i is there `weight[i]` times, (n,) whole numbers; NaN where either is constant.

        Examples
        --------
        >>> Ranks(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 1.0])).srcc(np.array([1.0, 2.0, 0.0]))
        1.0
        """
        x, y = self._score.of(weight), self._quality.of(weight)
        weighted = weight * x
        xx, xy, yy = _sum(weighted, x), _sum(weighted, y), _sum(weight * y, y)
        return xy / math.sqrt(xx * yy) if xx > 0.0 and yy > 0.0 else math.nan


class _Ranked:
    def __init__(self, values: Values) -> None:
        distinct, at = np.unique(values, return_inverse=True)
        self.at, self.count = at, len(distinct)

    def of(self, weight: Values) -> Values:
        """Twice the mean rank less its mean: a whole number, so that sums of few patches are exact."""
        each = np.bincount(self.at, weight, self.count)
        upto = np.cumsum(each)
        ranks: Values = (2.0 * upto - each - upto[-1])[self.at]
        return ranks


class LogisticFit:
    """Pearson's correlation after VQEG's logistic with four parameters, held to rise.

    quality ~ b2 + (b1 - b2) / (1 + exp(-(score - b3) / b4)), b1 > b2, b4 > 0: the monotone mapping of the Video Quality
    Experts Group's reports on full-reference metrics (2000, 2003). With b3 and b4 given, b1 and b2 are a linear
    regression, and the correlation of what was fitted is that of the logistic with the quality; so b3 and b4 are
    sought, by Gauss-Newton steps that are halved until they help. A line is the limit of a wide logistic: the result is
    never under the plain correlation, and is the plain one where that is not positive (no fit turns the direction) or
    the fit fails.

    Parameters
    ----------
    score, quality
        (n,) float64.
    """

    def __init__(self, score: Values, quality: Values) -> None:
        self.constant = len(score) < 2 or score.min() == score.max() or quality.min() == quality.max()
        if self.constant:
            return
        # Divided first: the square of a large score may be too large.
        scaled = score / np.abs(score).max()
        deviation = scaled - scaled.mean()
        self._x = deviation / math.sqrt(_sum(deviation, deviation) / len(score))
        self._y = quality - quality.mean()
        self._ends = float(self._x.min()), float(self._x.max())
        whole = np.ones(len(score))
        starts = [(float(at), width) for at in np.quantile(self._x, _MIDDLES) for width in (0.1, 0.3, 1.0, 3.0)]
        starts.sort(key=lambda start: -_fitted(self._sums(whole, *start)))
        # What resamples begin with. The best start need not lead to the best end.
        self._start = max(self._climb(whole, *start) for start in starts[:4])[1:]

    def plcc(self, weight: Values) -> float:
        """The correlation where patch i is there `weight[i]` times, (n,); NaN where either is constant."""
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
        # Of a constant, only roundings are left.
        if varied[0] <= 1e-12 * xx or varied[1] <= 1e-12 * yy:
            return math.nan
        return (_sum(wx, self._y) - x * y / total) / math.sqrt(varied[0] * varied[1])

    def _climb(self, weight: Values, at: float, width: float) -> tuple[float, float, float]:
        """The highest correlation, and where the curve is then: its middle and its width."""
        sums = self._sums(weight, at, width)
        best = _fitted(sums)
        for _ in range(_STEPS):
            step = _step(sums, *self._bounded(at, width))
            if step is None:
                break
            factor = 1.0
            while factor > 1e-3:
                tried_at = min(max(at + factor * step[0] * width, self._ends[0]), self._ends[1])
                grown = min(max(factor * step[1], -1.5), 1.5)
                tried_width = min(max(width * math.exp(grown), _WIDTHS[0]), _WIDTHS[1])
                tried = self._sums(weight, tried_at, tried_width)
                value = _fitted(tried)
                if value > best:
                    break
                factor /= 4.0
            else:
                break
            gained = value * value - best * best
            at, width, sums, best = tried_at, tried_width, tried, value
            if gained < _PROMISE / 10:
                break
        return best, at, width

    def _bounded(self, at: float, width: float) -> tuple[int, int]:
        """1, -1 or 0 for middle and width: at the upper bound, at the lower, at none."""
        ends = self._ends, _WIDTHS
        middle, wide = (
            int(each >= high) - int(each <= low) for each, (low, high) in zip((at, width), ends, strict=True)
        )
        return middle, wide

    def _sums(self, weight: Values, at: float, width: float) -> Values:
        """Weighted covariances (4, 4), times the weight: the curve, its slopes by middle and log width, quality."""
        u = (self._x - at) * (0.5 / width)
        curve = np.tanh(u)
        slope = 1.0 - curve * curve
        columns = (curve, slope, slope * u, self._y)
        total = float(weight.sum())
        found = np.empty((4, 4))
        means = np.empty(4)
        for i, column in enumerate(columns):
            weighted = weight * column
            means[i] = weighted.sum()
            for j in range(i, 4):
                found[i, j] = found[j, i] = _sum(weighted, columns[j])
        return found - np.outer(means, means) / total


def _fitted(sums: Values) -> float:
    """The correlation of the curve with quality; -1 where the curve is flat."""
    varied = sums[0, 0] * sums[3, 3]
    return float(sums[0, 3] / math.sqrt(varied)) if sums[0, 0] > 0.0 and varied > 0.0 else -1.0


def _step(sums: Values, middle: int, width: int) -> tuple[float, float] | None:
    """Gauss-Newton's step in middle (of widths) and log width; none where it promises too little.

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
        outward = [1 + each for each, bound in enumerate((middle, width)) if step[each] * bound > 0.0]
        if not outward:
            return step
        free.remove(outward[0])


def _sum(a: Values, b: Values) -> float:
    return float(np.einsum("i,i->", a, b))
