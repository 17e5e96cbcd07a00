"""What a score means: the quality to expect of it, and the probability of each class, by isotonic regression.

All three fits are of increasing functions, on the same scores with the same weights. The share of patches that are at
least Orange is never under the share that is Green, and isotonic regression keeps such an order, so no class gets a
negative probability.

Between knots the curves are straight lines, not steps: a score that moves a little moves what it means a little, and at
every score of the data a line passes through the fitted value, so nothing of the fit is lost. Outside the data the
curves are flat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.classes import CLASSES, GREEN, NAMES, ORANGE
from pixq.errors import PixqError

__all__ = ["Curve", "Mapping", "fit_mapping"]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A function that never falls: straight lines between knots, flat outside.

    Parameters
    ----------
    score
        Scores of the knots, finite and rising.
    value
        Values there, 0 to 1 and never falling.

    Raises
    ------
    PixqError
        If knots are not so.

    Examples
    --------
    >>> Curve((0.0, 2.0), (0.25, 0.75))([-1, 1, 5]).tolist()
    [0.25, 0.5, 0.75]
    """

    score: tuple[float, ...]
    value: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.score or len(self.score) != len(self.value):
            raise PixqError(f"a curve has {len(self.score)} scores and {len(self.value)} values; give as many of both")
        if not all(math.isfinite(each) for each in (*self.score, *self.value)):
            raise PixqError("a knot of a curve is not a finite number")
        if any(b <= a for a, b in zip(self.score, self.score[1:], strict=False)):
            raise PixqError("the scores of a curve's knots do not rise")
        if any(b < a for a, b in zip(self.value, self.value[1:], strict=False)):
            raise PixqError("the values of a curve fall somewhere")
        if self.value[0] < 0.0 or self.value[-1] > 1.0:
            raise PixqError("the values of a curve leave 0 to 1")

    def __call__(self, score: ArrayLike) -> Values:
        """The value at each score, of any shape, float64; NaN at NaN."""
        values: Values = np.interp(np.asarray(score, dtype=np.float64), self.score, self.value)
        return values

    def to_json(self) -> dict[str, Any]:
        """Two lists; `from_json` gives back the same bits."""
        return {"score": list(self.score), "value": list(self.value)}

    @classmethod
    def from_json(cls, data: Any) -> Curve:
        """The curve that `to_json` wrote.

        Raises
        ------
        PixqError
            If `data` is no such thing.
        """
        if not isinstance(data, AnyMapping) or set(data) != {"score", "value"}:
            raise PixqError("a curve must have score and value, and nothing else")
        columns = []
        for name in ("score", "value"):
            numbers = data[name]
            if not isinstance(numbers, list) or not all(type(each) in (int, float) for each in numbers):
                raise PixqError(f"the {name} of a curve is not a list of numbers")
            try:
                columns.append(tuple(float(each) for each in numbers))
            except OverflowError:
                raise PixqError(f"a {name} of a curve is too large") from None
        return cls(*columns)


@dataclass(frozen=True)
class Mapping:
    """What scores mean in one domain.

    Parameters
    ----------
    expected
        The expected quality, 0 to 1, of a score.
    orange
        The probability that a patch is Orange or better.
    green
        The probability that it is Green; nowhere over `orange`.

    Raises
    ------
    PixqError
        If `green` is over `orange` somewhere.
    """

    expected: Curve
    orange: Curve
    green: Curve

    def __post_init__(self) -> None:
        # Both are straight between neighbours of the joined knots.
        knots = sorted({*self.orange.score, *self.green.score})
        if (self.green(knots) > self.orange(knots) + 1e-12).any():
            raise PixqError("Green is more probable than Orange or better at some score")

    def quality(self, score: ArrayLike) -> Values:
        """The expected quality of each score, 0 to 1, in the shape of `score`."""
        return self.expected(score)

    def probabilities(self, score: ArrayLike) -> Values:
        """The probability of each class, worst first.

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
        # Lines through the same points may be rounded differently.
        green = np.minimum(self.green(at_least), orange)
        return np.stack((1.0 - orange, orange - green, green), axis=-1)

    def to_json(self) -> dict[str, Any]:
        """Numbers and lists; `from_json` gives back the same bits."""
        return {
            "kind": "isotonic, linear between knots",
            "quality": self.expected.to_json(),
            "orange_or_better": self.orange.to_json(),
            "green": self.green.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any) -> Mapping:
        """The mapping that `to_json` wrote.

        Raises
        ------
        PixqError
            If `data` is no such thing.
        """
        parts = ("quality", "orange_or_better", "green")
        if not isinstance(data, AnyMapping) or set(data) != {"kind", *parts}:
            raise PixqError(f"a mapping must have kind, {', '.join(parts)}, and nothing else")
        if data["kind"] != "isotonic, linear between knots":
            raise PixqError(f"a mapping of the kind {data['kind']!r} is not known to this version of pixq")
        return cls(*(Curve.from_json(data[each]) for each in parts))


def fit_mapping(score: ArrayLike, quality: ArrayLike, truth: ArrayLike, weight: ArrayLike | None = None) -> Mapping:
    """Learn what scores mean.

    Parameters
    ----------
    score
        (n,) finite; higher is better.
    quality
        (n,) 0 to 1.
    truth
        (n,) classes, 0 to 2, worst first.
    weight
        (n,) finite and not negative; 0 leaves a patch out. 1 each by default.

    Raises
    ------
    PixqError
        If scikit-learn is missing, there are no patches, or shapes or values are wrong.

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
        raise PixqError("score, quality, truth and weight must all be (n,)")
    if not np.isfinite(scores).all():
        raise PixqError("a score is infinite or not a number; give identical patches the best finite score")
    if not ((qualities >= 0.0) & (qualities <= 1.0)).all():
        raise PixqError("a quality is not in 0 to 1")
    if len(classes) and (classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= len(CLASSES)):
        raise PixqError(f"true classes must be 0 to {len(CLASSES) - 1}: {', '.join(NAMES)}")
    if not np.isfinite(weights).all() or (weights < 0.0).any():
        raise PixqError("weights must be finite, none negative")
    drawn = weights > 0.0
    scores, weights = scores[drawn], weights[drawn]
    if not len(scores):
        raise PixqError("there are no patches to fit a mapping to")
    targets = (qualities[drawn], classes[drawn] >= ORANGE, classes[drawn] >= GREEN)
    return Mapping(*(_isotonic(scores, target.astype(np.float64), weights) for target in targets))


def _isotonic(score: Values, target: Values, weight: Values) -> Curve:
    """The increasing curve that is nearest in the mean square."""
    try:
        isotonic = import_module("sklearn.isotonic")
    except ModuleNotFoundError as error:
        if error.name not in ("sklearn", "sklearn.isotonic"):
            raise
        raise PixqError("scikit-learn is not installed; install it with: pip install 'pixq[train]'") from None
    # Scores that are nearer than scikit-learn tells apart would become one knot with the values of two: join them here.
    distinct, at = np.unique(score, return_inverse=True)
    total = np.bincount(at, weight)
    mean = np.bincount(at, weight * target) / total
    fit = isotonic.isotonic_regression(mean, sample_weight=total, y_min=0.0, y_max=1.0)
    # Inside a run of equal values knots add nothing.
    keep = np.ones(len(fit), dtype=bool)
    keep[1:-1] = (fit[1:-1] != fit[:-2]) | (fit[1:-1] != fit[2:])
    return Curve(tuple(distinct[keep].tolist()), tuple(fit[keep].tolist()))
