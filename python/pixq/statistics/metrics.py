"""How good answers are: every metric, with a bootstrap interval over groups.

A metric that is undefined (because a class is missing, or all scores are the same) is `None`. So is the interval where
there is only one group, which says nothing about others. Metrics that are sums over patches are resampled as sums over
groups; the two correlations go over all patches once per resample. No result depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq import ranges
from pixq.classes import CLASSES, NAMES
from pixq.errors import PixqError
from pixq.statistics.bootstrap import Resamples
from pixq.statistics.checks import check_classes, check_scores, check_shares
from pixq.statistics.correlation import LogisticFit, Ranks
from pixq.statistics.paired import ResampledEstimate, difference

__all__ = [
    "BINS",
    "METRICS",
    "Answers",
    "Bin",
    "Measurement",
    "Metric",
    "ResampledEstimate",
    "difference",
    "measure",
    "reliability",
]

Values = NDArray[np.float64]


class Metric(NamedTuple):
    """The title of a metric in tables, and whether higher is better; `None` if neither is, as for coverage."""

    title: str
    higher_is_better: bool | None


#: All metrics by the names that files give them, in the order in which they are shown. `coverage` and `unsure` are only
#: measured where there are conformal sets.
METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "balanced_accuracy": Metric("balanced accuracy", True),
        "accuracy": Metric("accuracy", True),
        "macro_f1": Metric("macro F1", True),
        **{f"recall_{name.lower()}": Metric(f"recall of {name}", True) for name in NAMES},
        "kappa": Metric("quadratic kappa", True),
        "srcc": Metric("SRCC", True),
        "plcc": Metric("PLCC, after a logistic fit", True),
        "mse": Metric("MSE", False),
        "ece": Metric("ECE", False),
        "coverage": Metric("coverage of the sets", None),
        "unsure": Metric("share of unsure answers", None),
    }
)

#: Number of bins of the expected calibration error: of equal width, each including its upper end (Guo et al., 2017).
BINS = 15


@dataclass(frozen=True, eq=False)
class Answers:
    """What a method answers, and what is true, for each patch (or image).

    Parameters
    ----------
    truth
        (n,) true classes, 0 to 2, worst first.
    answer
        (n,) the classes that the method answers.
    quality
        (n,) true quality, 0 to 1.
    score
        (n,) finite; higher is better.
    group
        (n,) the group of each, as a number or a name.
    mapped
        (n,) the predicted quality, 0 to 1, for the MSE; or `None`.
    probability
        (n, 3) the probability of each class, for the ECE; or `None`.
    sets
        (n, 3) bool, the conformal sets; or `None`.

    Raises
    ------
    PixqError
        If there are no answers, or a shape or a value is wrong.
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
            check_classes(getattr(self, name), name)
        check_scores(self.score)
        for name in ("quality", "mapped", "probability"):
            if (values := getattr(self, name)) is not None:
                check_shares(values, name)

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: ArrayLike) -> Answers:
        """Select some of the answers, by row numbers or by a mask."""
        index = np.asarray(rows)
        present = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: values[index] for name, values in present.items() if values is not None})


@dataclass(frozen=True, eq=False)
class Measurement:
    """All metrics of some answers.

    Parameters
    ----------
    n
        The number of patches.
    groups
        The number of groups that the patches come from.
    confusion
        (3, 3) counts: one row per true class, one column per answer, worst class first.
    estimates
        By the names of `METRICS`.
    """

    n: int
    groups: int
    confusion: NDArray[np.int64]
    estimates: dict[str, ResampledEstimate]

    def to_json(self) -> dict[str, Any]:
        """The measurement as standard JSON: numbers, lists and `None`."""
        return {
            "n": self.n,
            "groups": self.groups,
            "confusion": self.confusion.tolist(),
            "estimates": {name: estimate.to_json() for name, estimate in self.estimates.items()},
        }


def measure(answers: Answers, resamples: Resamples, level: float = 0.95) -> Measurement:
    """Compute every metric, with its bootstrap interval.

    The metrics are accuracy; balanced accuracy and macro-F1, which are means over the classes that are present and
    undefined on a resample without one of them; the recall of each class; Cohen's kappa with quadratic weights; SRCC
    and PLCC (see `pixq.statistics.correlation`) of score and quality; MSE of mapped and true quality; ECE of the most
    probable class (the worse one on a tie), in `BINS` bins; the share of conformal sets that contain the true class,
    and the share that do not contain exactly one class.

    The ECE is a sum of absolute gaps, and resampling adds noise to each, so its values on resamples are too high. Its
    interval is therefore moved down by how much their mean exceeds the ECE itself, and ends at 0.

    Parameters
    ----------
    answers
        What to measure.
    resamples
        Drawn from the groups of these answers, or from more groups, so that parts of the answers can be compared when
        they are measured on the resamples of all.
    level
        Confidence level of the intervals.

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
    values = tables.metrics(np.ones((1, len(resamples.groups)), np.int32))
    resampled = tables.metrics(resamples.multiplicity) if present > 1 else {}
    undefined = np.full(resamples.count, np.nan)
    estimates = {
        name: ResampledEstimate.of(float(value[0]), resampled.get(name, undefined), level)
        for name, value in values.items()
    }
    estimates["ece"] = _unbiased(estimates["ece"])
    confusion = np.bincount(answers.truth.astype(np.int64) * 3 + answers.answer, minlength=9).reshape(3, 3)
    return Measurement(len(answers), present, confusion, estimates)


@dataclass(frozen=True)
class Bin:
    """The patches whose most probable class has a probability above `low`, up to and including `high`.

    `confidence` is the mean of that probability, `accuracy` the share of patches for which that class is true; both
    are `None` where `count` is 0.
    """

    low: float
    high: float
    confidence: float | None
    accuracy: float | None
    count: int


def reliability(probability: ArrayLike, truth: ArrayLike, bins: int = BINS) -> tuple[Bin, ...]:
    """Compare confidence with accuracy, bin by bin, for a reliability diagram; the ECE is the mean gap.

    Parameters
    ----------
    probability
        (n, 3), worst class first.
    truth
        (n,) classes, 0 to 2.
    bins
        Number of bins, of equal width.

    Examples
    --------
    >>> reliability([[0.75, 0.25, 0.0], [0.75, 0.25, 0.0]], [0, 1], bins=2)[1]
    Bin(low=0.5, high=1.0, confidence=0.75, accuracy=0.5, count=2)
    """
    ranges.COUNT.check(bins, "the number of bins")
    place, confidence, right = _top(np.asarray(probability, dtype=np.float64), np.asarray(truth), bins)
    count = np.bincount(place, minlength=bins)
    sums = np.bincount(place, confidence, bins), np.bincount(place, right, bins)
    rows = []
    for k in range(bins):
        mean, share = (float(total[k] / count[k]) if count[k] else None for total in sums)
        rows.append(Bin(k / bins, (k + 1) / bins, mean, share, int(count[k])))
    return tuple(rows)


def _top(probability: Values, truth: NDArray[Any], bins: int) -> tuple[NDArray[np.int64], Values, Values]:
    """The most probable class of each patch: its bin, its probability, and whether it is the true one."""
    top = probability.argmax(axis=1)
    confidence = probability[np.arange(len(top)), top]
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return place, confidence, (top == truth).astype(np.float64)


def _unbiased(estimate: ResampledEstimate) -> ResampledEstimate:
    """Move an interval by the bootstrap's estimate of the bias; for a metric that can't be below 0."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    bias = float(np.nanmean(estimate.resampled)) - estimate.value
    return replace(estimate, low=max(estimate.low - bias, 0.0), high=max(estimate.high - bias, 0.0))


class _Tables:
    """Sums per group, from which the metrics of any resample are computed."""

    def __init__(self, answers: Answers, rows: NDArray[np.int64], groups: int) -> None:
        self.rows, self.groups = rows, groups
        truth = answers.truth.astype(np.int64)
        self.confusion = self._by_group(truth * 3 + answers.answer, 9)
        self.mse = None if answers.mapped is None else self._by_group(0, 1, (answers.mapped - answers.quality) ** 2)
        self.ece: tuple[Values, ...] | None = None
        if answers.probability is not None:
            place, confidence, right = _top(answers.probability, truth, BINS)
            self.ece = self._by_group(place, BINS, confidence), self._by_group(place, BINS, right)
        self.sets: tuple[Values, ...] | None = None
        if answers.sets is not None:
            covered, unsure = answers.sets[np.arange(len(truth)), truth], answers.sets.sum(axis=1) != 1
            self.sets = self._by_group(0, 1, covered), self._by_group(0, 1, unsure)
        # Sorted by score, so that ranks are read in the order of memory.
        order = np.argsort(answers.score, kind="stable")
        self.sorted_rows = rows[order]
        score, quality = (values[order].astype(np.float64) for values in (answers.score, answers.quality))
        self.ranks, self.fit = Ranks(score, quality), LogisticFit(score, quality)

    def _by_group(self, column: NDArray[np.int64] | int, width: int, values: NDArray[Any] | None = None) -> Values:
        """Sum the values, or count, for each column and group: (width, groups)."""
        size = width * self.groups
        return (
            np.bincount(column * self.groups + self.rows, values, size).reshape(width, self.groups).astype(np.float64)
        )

    def metrics(self, multiplicity: NDArray[np.int32]) -> dict[str, Values]:
        """Compute each metric on each resample: (count,), NaN where it is undefined."""
        counts = _resampled(multiplicity, self.confusion).reshape(-1, 3, 3)
        n = counts.sum(axis=(1, 2))
        truth, answer = counts.sum(axis=2), counts.sum(axis=1)
        right = np.diagonal(counts, axis1=1, axis2=2)
        recall = _ratio(right, truth)
        # A mean over fewer classes than the answers have would measure something else, and is usually far higher.
        whole = (truth[:, self.confusion.reshape(3, -1).any(axis=1)] > 0).all(axis=1)
        f1 = np.where(truth > 0, _ratio(2 * right, truth + answer), np.nan)
        apart = np.subtract.outer(np.arange(3.0), np.arange(3.0)) ** 2
        by_chance = np.einsum("ri,rj,ij->r", truth, answer, apart)
        undefined = np.full(len(multiplicity), np.nan)
        metrics = {
            "accuracy": _ratio(right.sum(axis=1), n),
            "balanced_accuracy": np.where(whole, _mean_of_defined(recall), np.nan),
            "macro_f1": np.where(whole, _mean_of_defined(f1), np.nan),
            **{f"recall_{name.lower()}": recall[:, number] for number, name in enumerate(NAMES)},
            "kappa": 1.0 - _ratio(np.einsum("rij,ij->r", counts, apart) * n, by_chance),
            "srcc": undefined.copy(),
            "plcc": undefined.copy(),
            "mse": undefined if self.mse is None else _ratio(_resampled(multiplicity, self.mse)[:, 0], n),
            "ece": undefined,
        }
        if self.ece is not None:
            confidence, true = (_resampled(multiplicity, table) for table in self.ece)
            metrics["ece"] = _ratio(np.abs(confidence - true).sum(axis=1), n)
        if self.sets is not None:
            for name, table in zip(("coverage", "unsure"), self.sets, strict=True):
                metrics[name] = _ratio(_resampled(multiplicity, table)[:, 0], n)
        for number, times in enumerate(multiplicity):
            weight = times.astype(np.float64)[self.sorted_rows]
            metrics["srcc"][number] = self.ranks.srcc(weight)
            metrics["plcc"][number] = self.fit.plcc(weight)
        return metrics


def _resampled(multiplicity: NDArray[np.int32], table: Values) -> Values:
    """Sum the table over the groups of each resample: (count, width).

    Not with linear algebra, whose sums may depend on the number of threads.
    """
    sums = np.empty((len(multiplicity), len(table)))
    for first in range(0, len(multiplicity), 64):
        part = multiplicity[first : first + 64].astype(np.float64)
        np.einsum("rg,kg->rk", part, table, out=sums[first : first + 64])
    return sums


def _ratio(top: Values, bottom: Values) -> Values:
    ratio: Values = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
    return ratio


def _mean_of_defined(values: Values) -> Values:
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
