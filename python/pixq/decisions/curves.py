"""What a score means: the expected quality and the probability of each class, by isotonic regression.

All three curves are increasing and fitted to the same scores with the same weights. The share of patches that are at
least Orange is never below the share that is Green, and isotonic regression preserves this order, so no class gets a
negative probability.

Between knots the curves are straight lines, not steps: a small change of a score changes its meaning only a little, and
at every score of the data the line passes through the fitted value, so nothing of the fit is lost. Outside the data the
curves are flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.classes import GREEN, ORANGE
from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.statistics.checks import check_classes, check_scores, check_shares

__all__ = ["Curve", "Mapping", "fit_mapping"]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A function that never decreases: straight lines between knots, flat outside.

    Parameters
    ----------
    score
        Scores of the knots, finite and increasing.
    value
        Values at the knots, 0 to 1, which never decrease.

    Raises
    ------
    PixqError
        If the knots don't fulfil this.

    Examples
    --------
    >>> Curve((0.0, 2.0), (0.25, 0.75))([-1, 1, 5]).tolist()
    [0.25, 0.5, 0.75]
    """

    score: tuple[float, ...]
    value: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.score or len(self.score) != len(self.value):
            raise PixqError(
                f"a curve has {len(self.score)} scores and {len(self.value)} values; it needs the same number of both"
            )
        if not all(math.isfinite(number) for number in (*self.score, *self.value)):
            raise PixqError("a knot of a curve is not a finite number")
        if any(b <= a for a, b in zip(self.score, self.score[1:], strict=False)):
            raise PixqError("the scores of a curve's knots do not increase")
        if any(b < a for a, b in zip(self.value, self.value[1:], strict=False)):
            raise PixqError("the values of a curve decrease somewhere")
        if self.value[0] < 0.0 or self.value[-1] > 1.0:
            raise PixqError("the values of a curve are not between 0 and 1")

    def __call__(self, score: ArrayLike) -> Values:
        """Evaluate the curve at scores of any shape, as float64; NaN at NaN."""
        values: Values = np.interp(np.asarray(score, dtype=np.float64), self.score, self.value)
        return values

    def to_json(self) -> dict[str, Any]:
        """The knots as two lists, from which the same bits can be read back."""
        return {"score": list(self.score), "value": list(self.value)}


@dataclass(frozen=True)
class Mapping:
    """What scores mean in one domain.

    Parameters
    ----------
    expected
        The expected quality, 0 to 1, at each score.
    orange
        The probability that a patch is Orange or better.
    green
        The probability that a patch is Green; nowhere above `orange`.

    Raises
    ------
    PixqError
        If `green` is above `orange` somewhere.
    """

    expected: Curve
    orange: Curve
    green: Curve

    def __post_init__(self) -> None:
        # Between neighbouring knots of either curve, both are straight.
        knots = sorted({*self.orange.score, *self.green.score})
        if (self.green(knots) > self.orange(knots) + 1e-12).any():
            raise PixqError("Green is more probable than Orange or better at some score")

    def quality(self, score: ArrayLike) -> Values:
        """Compute the expected quality of each score, 0 to 1, in the shape of `score`."""
        return self.expected(score)

    def probabilities(self, score: ArrayLike) -> Values:
        """Compute the probability of each class, worst first.

        Parameters
        ----------
        score
            (n,); higher is better.

        Returns
        -------
        numpy.ndarray
            (n, 3), none negative; rows add up to 1.
        """
        at_least = np.asarray(score, dtype=np.float64)
        orange = self.orange(at_least)
        # Lines through the same points may round differently.
        green = np.minimum(self.green(at_least), orange)
        return np.stack((1.0 - orange, orange - green, green), axis=-1)

    def to_json(self) -> dict[str, Any]:
        """The curves as JSON; `pixq.decisions.calibration_file.MappingFile` reads the same bits back."""
        return {
            "kind": "isotonic, linear between knots",
            "quality": self.expected.to_json(),
            "orange_or_better": self.orange.to_json(),
            "green": self.green.to_json(),
        }


def fit_mapping(score: ArrayLike, quality: ArrayLike, truth: ArrayLike, weight: ArrayLike | None = None) -> Mapping:
    """Learn the meaning of scores from patches whose quality and class are known.

    Parameters
    ----------
    score
        (n,) finite; higher is better.
    quality
        (n,) 0 to 1.
    truth
        (n,) classes, 0 to 2, worst first.
    weight
        (n,) finite and not negative; 0 leaves a patch out. All 1 by default.

    Raises
    ------
    PixqError
        If scikit-learn is not installed, there are no patches, or a shape or a value is wrong.

    Examples
    --------
    >>> mapping = fit_mapping([1.0, 3.0, 4.0, 5.0], [0.0, 0.5, 0.5, 1.0], [0, 1, 1, 2])
    >>> mapping.quality([1.0, 2.0, 9.0]).tolist()
    [0.0, 0.25, 1.0]
    """
    scores = np.asarray(score, dtype=np.float64)
    qualities = np.asarray(quality, dtype=np.float64)
    classes = np.asarray(truth)
    weights = np.ones(scores.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if scores.ndim != 1 or not scores.shape == qualities.shape == classes.shape == weights.shape:
        raise PixqError("score, quality, truth and weight must all have shape (n,)")
    check_scores(scores)
    check_shares(qualities, "quality")
    check_classes(classes)
    if not np.isfinite(weights).all() or (weights < 0.0).any():
        raise PixqError("weights must be finite, and none of them negative")
    drawn = weights > 0.0
    scores, weights = scores[drawn], weights[drawn]
    if not len(scores):
        raise PixqError("there are no patches to fit a mapping to")
    targets = (qualities[drawn], classes[drawn] >= ORANGE, classes[drawn] >= GREEN)
    return Mapping(*(_isotonic(scores, target.astype(np.float64), weights) for target in targets))


def _isotonic(score: Values, target: Values, weight: Values) -> Curve:
    """Fit the increasing curve with the smallest mean squared error."""
    isotonic_regression = require("sklearn", "sklearn.isotonic").isotonic_regression
    # Equal scores are joined here, because IsotonicRegression would also join scores that are almost equal.
    distinct, place = np.unique(score, return_inverse=True)
    total = np.bincount(place, weight)
    mean = np.bincount(place, weight * target) / total
    fit = isotonic_regression(mean, sample_weight=total, y_min=0.0, y_max=1.0)
    # Knots inside a run of equal values add nothing.
    keep = np.ones(len(fit), dtype=bool)
    keep[1:-1] = (fit[1:-1] != fit[:-2]) | (fit[1:-1] != fit[2:])
    return Curve(tuple(distinct[keep].tolist()), tuple(fit[keep].tolist()))
