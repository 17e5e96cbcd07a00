"""How good answers are: every metric with a bootstrap interval over groups.

A metric that is undefined (a class that is not there, scores that are all alike) is `None`; so is the interval of one
group, for it says nothing of others. Metrics that are sums over patches are resampled as sums over groups; the two
correlations go over the patches once a resample. No result depends on the number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.classes import CLASSES, NAMES
from pixq.errors import PixqError
from pixq.statistics.bootstrap import Resamples, interval
from pixq.statistics.correlation import LogisticFit, Ranks

__all__ = ["BINS", "METRICS", "Answers", "Bin", "Estimate", "Measured", "difference", "measure", "reliability"]

Values = NDArray[np.float64]

_RECALLS = tuple(f"recall_{name.lower()}" for name in NAMES)

#: All metrics, as files name them; `coverage` and `unsure` only where there are conformal sets.
METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    *_RECALLS,
    "kappa",
    "srcc",
    "plcc",
    "mse",
    "ece",
    "coverage",
    "unsure",
)

#: Bins of the expected calibration error: of equal width, each with its upper end (Guo et al., 2017).
BINS = 15

_LAST = len(CLASSES) - 1


@dataclass(frozen=True, eq=False)
class Answers:
    """What was answered, and what is true, patch by patch (or image by image).

    Parameters
    ----------
    truth
        (n,) true classes, 0 to 2, worst first.
    answer
        (n,) the classes answered.
    quality
        (n,) true quality, 0 to 1.
    score
        (n,) finite; higher is better.
    group
        (n,) the group of each: numbers or names.
    mapped
        (n,) the quality that was predicted, 0 to 1, or `None`; for the MSE.
    probability
        (n, 3) the probability of each class, or `None`; for the ECE.
    sets
        (n, 3) bool: conformal sets, or `None`.

    Raises
    ------
    PixqError
        If there are none, or shapes or values are wrong.
    """

    truth: NDArray[np.int8]
    answer: NDArray[np.int8]
    quality: Values
    score: Values
    group: NDArray[np.generic]
    mapped: Values | None = None
    probability: Values | None = None
    sets: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.truth)
        if not n:
            raise PixqError("there are no answers to measure")
        for field in fields(self):
            values = getattr(self, field.name)
            expected = (n, len(CLASSES)) if field.name in ("probability", "sets") else (n,)
            if values is not None and np.shape(values) != expected:
                raise PixqError(f"{field.name} has shape {np.shape(values)}; expected {expected}")
        for name in ("truth", "answer"):
            classes = getattr(self, name)
            if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() > _LAST:
                raise PixqError(f"{name} must be classes 0 to {_LAST}: {', '.join(NAMES)}")
        if not np.isfinite(self.score).all():
            raise PixqError("a score is infinite or not a number; give identical patches the best finite score")
        for name in ("quality", "mapped", "probability"):
            values = getattr(self, name)
            if values is not None and not ((values >= 0.0) & (values <= 1.0)).all():
                raise PixqError(f"{name} has a value that is not in 0 to 1")

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: ArrayLike) -> Answers:
        """Some of them: numbers of rows, or a mask."""
        index = np.asarray(rows)
        present = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{name: values[index] for name, values in present.items() if values is not None})


@dataclass(frozen=True, eq=False)
class Estimate:
    """A metric and how sure it is.

    Parameters
    ----------
    value
        `None` where it is undefined.
    low, high
        The percentile interval over resamples, or `None`.
    resampled
        (count,) its value on each resample, NaN where undefined.
    """

    value: float | None
    low: float | None
    high: float | None
    resampled: Values

    def to_json(self) -> dict[str, float | None]:
        """Value, low and high."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, eq=False)
class Measured:
    """All metrics of some answers.

    Parameters
    ----------
    n
        The number of patches.
    groups
        The number of groups they are of.
    confusion
        (3, 3) counts: rows the true class, columns the answer, worst first.
    estimates
        By name, in the order of `METRICS`.
    """

    n: int
    groups: int
    confusion: NDArray[np.int64]
    estimates: dict[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """Numbers, lists and `None`: standard JSON."""
        return {
            "n": self.n,
            "groups": self.groups,
            "confusion": self.confusion.tolist(),
            "estimates": {name: each.to_json() for name, each in self.estimates.items()},
        }


def measure(answers: Answers, resamples: Resamples, level: float = 0.95) -> Measured:
    """Every metric, with its bootstrap interval.

    Accuracy; balanced accuracy and macro-F1, means over the classes that are there, undefined on a resample without
    one of them; the recall of each class; Cohen's
    kappa with quadratic weights; SRCC and PLCC (see `pixq.statistics.correlation`) of score and quality; MSE of mapped
    and true quality; ECE of the most probable class (the worse one of equals), in `BINS` bins; the share of conformal
    sets that hold the true class, and of those that don't hold exactly one.

    The ECE is a sum of absolute gaps, and resampling adds noise to each: its values on resamples lie too high. So its
    interval is moved by how much their mean lies above the ECE itself, and ends at 0.

    Parameters
    ----------
    answers
        What to measure.
    resamples
        Drawn from the groups of these answers, or of more: a part of the answers measured on the resamples of all
        can be compared with another part.
    level
        Of the intervals.

    Raises
    ------
    PixqError
        If a group is not in `resamples`.

    Examples
    --------
    >>> from pixq.statistics.bootstrap import resample_groups
    >>> truth, group = np.array([0, 1, 2, 0]), np.array([0, 1, 2, 3])
    >>> answers = Answers(truth, np.array([0, 1, 2, 1]), truth / 2, truth * 1.0, group)
    >>> measured = measure(answers, resample_groups(group, 100))
    >>> measured.estimates["accuracy"].value, measured.confusion.tolist()
    (0.75, [[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    """
    rows = resamples.rows(answers.group)
    present = len(np.unique(rows))
    tables = _Tables(answers, rows, len(resamples.groups))
    names = [name for name in METRICS if answers.sets is not None or name not in ("coverage", "unsure")]
    once = tables.metrics(np.ones((1, len(resamples.groups)), np.int32))
    again = tables.metrics(resamples.multiplicity) if present > 1 else {}
    undefined = np.full(resamples.count, np.nan)
    estimates = {name: _estimate(float(once[name][0]), again.get(name, undefined), level) for name in names}
    estimates["ece"] = _unbiased(estimates["ece"])
    confusion = np.bincount(answers.truth.astype(np.int64) * 3 + answers.answer, minlength=9).reshape(3, 3)
    return Measured(len(answers), present, confusion, estimates)


def difference(one: Estimate, other: Estimate, level: float = 0.95) -> Estimate:
    """One less the other, paired: both must have been measured on the same resamples.

    Raises
    ------
    PixqError
        If their numbers of resamples differ.
    """
    if one.resampled.shape != other.resampled.shape:
        raise PixqError("two estimates are of different resamples; measure both on the same")
    value = math.nan if one.value is None or other.value is None else one.value - other.value
    return _estimate(value, one.resampled - other.resampled, level)


@dataclass(frozen=True)
class Bin:
    """The patches whose most probable class has a probability over `low`, up to `high`.

    `confidence` is its mean and `accuracy` the share for which that class is true; `None` where `count` is 0.
    """

    low: float
    high: float
    confidence: float | None
    accuracy: float | None
    count: int


def reliability(probability: ArrayLike, truth: ArrayLike, bins: int = BINS) -> tuple[Bin, ...]:
    """What the ECE is the mean gap of, for a reliability diagram.

    Parameters
    ----------
    probability
        (n, 3), worst class first.
    truth
        (n,) classes, 0 to 2.
    bins
        How many, of equal width.

    Examples
    --------
    >>> reliability([[0.75, 0.25, 0.0], [0.75, 0.25, 0.0]], [0, 1], bins=2)[1]
    Bin(low=0.5, high=1.0, confidence=0.75, accuracy=0.5, count=2)
    """
    at, confidence, right = _top(np.asarray(probability, dtype=np.float64), np.asarray(truth), bins)
    count = np.bincount(at, minlength=bins)
    sums = np.bincount(at, confidence, bins), np.bincount(at, right, bins)
    found = []
    for k in range(bins):
        mean, share = (float(each[k] / count[k]) if count[k] else None for each in sums)
        found.append(Bin(k / bins, (k + 1) / bins, mean, share, int(count[k])))
    return tuple(found)


def _top(probability: Values, truth: NDArray[Any], bins: int) -> tuple[NDArray[np.int64], Values, Values]:
    """Of the most probable class: its bin, its probability, and whether it is true."""
    top = probability.argmax(axis=1)
    confidence = probability[np.arange(len(top)), top]
    at = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return at, confidence, (top == truth).astype(np.float64)


def _estimate(value: float, resampled: Values, level: float) -> Estimate:
    if math.isnan(value):
        return Estimate(None, None, None, resampled)
    low, high = interval(resampled, level) or (None, None)
    return Estimate(value, low, high, resampled)


def _unbiased(found: Estimate) -> Estimate:
    """The same with its interval moved by the bootstrap's own estimate of the bias; for what can't be below 0."""
    if found.value is None or found.low is None or found.high is None:
        return found
    bias = float(np.nanmean(found.resampled)) - found.value
    return replace(found, low=max(found.low - bias, 0.0), high=max(found.high - bias, 0.0))


class _Tables:
    """Sums by group, from which metrics of any resample follow."""

    def __init__(self, answers: Answers, rows: NDArray[np.int64], groups: int) -> None:
        self.rows, self.groups = rows, groups
        truth = answers.truth.astype(np.int64)
        self.confusion = self._by_group(truth * 3 + answers.answer, 9)
        self.mse = None if answers.mapped is None else self._by_group(0, 1, (answers.mapped - answers.quality) ** 2)
        self.ece: tuple[Values, ...] | None = None
        if answers.probability is not None:
            at, confidence, right = _top(answers.probability, truth, BINS)
            self.ece = self._by_group(at, BINS, confidence), self._by_group(at, BINS, right)
        self.sets: tuple[Values, ...] | None = None
        if answers.sets is not None:
            covered, unsure = answers.sets[np.arange(len(truth)), truth], answers.sets.sum(axis=1) != 1
            self.sets = self._by_group(0, 1, covered), self._by_group(0, 1, unsure)
        # In the order of the scores the ranks are read as they lie.
        order = np.argsort(answers.score, kind="stable")
        self.sorted_rows = rows[order]
        score, quality = (each[order].astype(np.float64) for each in (answers.score, answers.quality))
        self.ranks, self.fit = Ranks(score, quality), LogisticFit(score, quality)

    def _by_group(self, column: NDArray[np.int64] | int, width: int, values: NDArray[Any] | None = None) -> Values:
        """(width, groups): the sum of the values, or the count, of each column and group."""
        size = width * self.groups
        return (
            np.bincount(column * self.groups + self.rows, values, size).reshape(width, self.groups).astype(np.float64)
        )

    def metrics(self, multiplicity: NDArray[np.int32]) -> dict[str, Values]:
        """Each metric on each resample, (count,); NaN where undefined."""
        counts = _resampled(multiplicity, self.confusion).reshape(-1, 3, 3)
        n = counts.sum(axis=(1, 2))
        truth, answer = counts.sum(axis=2), counts.sum(axis=1)
        right = np.diagonal(counts, axis1=1, axis2=2)
        recall = _ratio(right, truth)
        # A mean over fewer classes than there are would be of something else, as a rule far higher.
        whole = (truth[:, self.confusion.reshape(3, -1).any(axis=1)] > 0).all(axis=1)
        f1 = np.where(truth > 0, _ratio(2 * right, truth + answer), np.nan)
        apart = np.subtract.outer(np.arange(3.0), np.arange(3.0)) ** 2
        by_chance = np.einsum("ri,rj,ij->r", truth, answer, apart)
        undefined = np.full(len(multiplicity), np.nan)
        found = {
            "accuracy": _ratio(right.sum(axis=1), n),
            "balanced_accuracy": np.where(whole, _mean_of_known(recall), np.nan),
            "macro_f1": np.where(whole, _mean_of_known(f1), np.nan),
            **{name: recall[:, each] for each, name in enumerate(_RECALLS)},
            "kappa": 1.0 - _ratio(np.einsum("rij,ij->r", counts, apart) * n, by_chance),
            "srcc": undefined.copy(),
            "plcc": undefined.copy(),
            "mse": undefined if self.mse is None else _ratio(_resampled(multiplicity, self.mse)[:, 0], n),
            "ece": undefined,
        }
        if self.ece is not None:
            confidence, true = (_resampled(multiplicity, each) for each in self.ece)
            found["ece"] = _ratio(np.abs(confidence - true).sum(axis=1), n)
        if self.sets is not None:
            for name, table in zip(("coverage", "unsure"), self.sets, strict=True):
                found[name] = _ratio(_resampled(multiplicity, table)[:, 0], n)
        for number, times in enumerate(multiplicity):
            weight = times.astype(np.float64)[self.sorted_rows]
            found["srcc"][number] = self.ranks.srcc(weight)
            found["plcc"][number] = self.fit.plcc(weight)
        return found


def _resampled(multiplicity: NDArray[np.int32], table: Values) -> Values:
    """(count, width) sums of the resamples; not by a library whose sums may depend on its number of threads."""
    found = np.empty((len(multiplicity), len(table)))
    for first in range(0, len(multiplicity), 64):
        part = multiplicity[first : first + 64].astype(np.float64)
        np.einsum("rg,kg->rk", part, table, out=found[first : first + 64])
    return found


def _ratio(top: Values, bottom: Values) -> Values:
    ratio: Values = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
    return ratio


def _mean_of_known(values: Values) -> Values:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))
