"""The sections of a report about calibrations and evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pixq.classes import GREEN, NAMES, ORANGE
from pixq.decisions.calibration_file import Calibration
from pixq.drawing.axes import number
from pixq.evaluation.evaluation_file import EvaluationFile, Method, Metrics
from pixq.report import charts, sentences
from pixq.statistics.estimates import CutPoint, Estimate
from pixq.statistics.metrics import METRICS

__all__ = ["CHARTED", "calibration", "evaluation", "interval_chart", "summary"]

DECISIONS = ("balanced_accuracy", "accuracy", "macro_f1", "recall_red", "recall_orange", "recall_green", "kappa")
SCORES = ("srcc", "plcc", "mse", "ece", "coverage", "unsure")
#: The metrics that are drawn with their intervals.
CHARTED = ("balanced_accuracy", "srcc")
BREAKDOWN = ("balanced_accuracy", "accuracy", "srcc")
TITLES = {"distortion_type": "distortion", "level": "level", "fusion": "fusion", "method": "method"}
OBJECTIVES = {
    "balanced_accuracy": "the highest balanced accuracy",
    "accuracy": "the highest accuracy",
    "macro_f1": "the highest macro F1",
    "cost": "the lowest cost",
}


def _level(value: float) -> str:
    return f"{100 * value:g} %"


def _cut(value: CutPoint | None, *, jnd: bool = False) -> str:
    if value is None:
        return sentences.DASH
    if jnd and math.isfinite(value):
        return f"{sentences.plain(-value)} JND"
    return sentences.plain(value) if math.isfinite(value) else "never" if value > 0 else "always"


def calibration(place: int, it: Calibration) -> dict[str, Any]:
    """Collect what the template shows of a calibration, the `place`-th of the page."""
    cuts = {"orange": it.cuts.orange, "green": it.cuts.green}
    # Of a run of visibility, whose scores are minus the JND.
    jnd = it.viewing is not None
    sets = it.conformal
    expected = it.out_of_bag
    span = sentences.interval(expected.low, expected.high)
    conformal = "No conformal sets were requested."
    if sets is not None:
        kind = "of each class" if sets.by_class else "like these"
        thresholds = ", ".join(map(number, sets.threshold))
        conformal = (
            f"Conformal sets contain the true class for {_level(sets.coverage)} of patches {kind}. They were learned "
            f"from {sets.patches:,} patches in {sets.groups:,} groups (thresholds {thresholds}). A patch is unsure if "
            "its set does not have exactly one class."
        )
    return {
        "calibration": it,
        "words": charts.describe_cuts(it.cuts.values, jnd=jnd),
        "cut_words": "up to this JND" if jnd else "from this score",
        "level": _level(it.bootstrap.level),
        "objective": OBJECTIVES[it.objective],
        "chart": charts.cut_line(f"cuts-{place}", f"Answers of {it.name} by score", cuts, jnd=jnd),
        "cuts": [
            (NAMES[which], _cut(cut.value, jnd=jnd), _span(cut.low, cut.high, jnd=jnd))
            for which, cut in ((ORANGE, it.cuts.orange), (GREEN, it.cuts.green))
        ],
        "achieved": [
            (f"{title} on the calibration split", [(it.name, {"estimates": it.achieved})], measured)
            for title, names in (("Decisions", DECISIONS), ("Scores", SCORES))
            if (measured := [name for name in names if name in it.achieved])
        ],
        "meaning": _meaning(place, it),
        "expected": f"{sentences.plain(expected.value)} ({span})" if span else sentences.plain(expected.value),
        "conformal": conformal,
    }


def _meaning(place: int, it: Calibration) -> str:
    """Draw the curves that say what a score means."""
    mapping = it.mapping
    curves = (
        ("expected quality", mapping.quality),
        ("Orange or Green", mapping.orange_or_better),
        ("Green", mapping.green),
    )
    series = [charts.Series(name, "none", list(zip(curve.score, curve.value, strict=True))) for name, curve in curves]
    title = f"What a score of {it.name} means"
    return charts.meaning(f"meaning-{place}", title, series, jnd=it.viewing is not None)


def _span(low: CutPoint | None, high: CutPoint | None, *, jnd: bool = False) -> str:
    if low is None or high is None:
        return sentences.DASH
    # The lower score is the higher JND.
    first, last = (high, low) if jnd else (low, high)
    return f"{_cut(first, jnd=jnd)} to {_cut(last, jnd=jnd)}"


def evaluation(place: int, it: EvaluationFile, *, jnd: bool = False) -> dict[str, Any]:
    """Collect what the template shows of an evaluation, the `place`-th of the page; with `jnd`, of visibility."""
    model = it.model
    key = f"evaluation-{place}"
    level = _level(it.bootstrap.level)
    pictures = [
        interval_chart(f"{key}-{metric}", metric, [(method.title, method.patches) for method in it.methods])
        for metric in CHARTED
    ]
    cuts = None if model.cuts is None else (model.cuts.orange, model.cuts.green)
    pictures.append(
        (
            "Scores by true class",
            charts.histogram(f"{key}-scores", "The model's scores by class", it.histogram, cuts, jnd=jnd),
        )
    )
    if it.reliability:
        pictures.append(
            ("Reliability", charts.reliability(f"{key}-reliability", "Right answers by confidence", it.reliability))
        )
    return {
        "evaluation": it,
        "level": level,
        "words": summary(it),
        "verdicts": _verdicts(it),
        "charts": pictures,
        "tables": _tables(it),
        "whole_images": _whole_images(it),
        "matrices": _matrices(it),
        "by_metrics": BREAKDOWN,
        "breakdowns": _breakdowns(it),
    }


def summary(it: EvaluationFile) -> str:
    """Say in a sentence how good the run is."""
    accuracy = it.model.patches.estimates.get("balanced_accuracy")
    if it.model.patches.n == 0:
        return "There was no patch to evaluate on."
    if accuracy is None or accuracy.value is None:
        return f"{it.model.title}: balanced accuracy is undefined."
    span = sentences.interval(accuracy.low, accuracy.high)
    value = f"{sentences.plain(accuracy.value)} ({span})" if span else sentences.plain(accuracy.value)
    chance = sentences.compare_with_chance(it.model.patches)
    return f"{it.model.title}: balanced accuracy {value} on patches{f', {chance}' if chance else ''}."


def _verdicts(it: EvaluationFile) -> list[dict[str, Any]]:
    """Compare the model with its rivals, metric by metric."""
    title_of = {method.name: method.title for method in it.methods}
    verdicts = []
    for name, metric in METRICS.items():
        rows = [sentences.verdict(row, title_of[row.name]) for row in it.against if row.metric == name]
        if rows:
            verdicts.append({"metric": name, "title": metric.title, "rows": rows})
    return verdicts


def _whole_images(it: EvaluationFile) -> dict[str, Any] | None:
    """Compare the model's image scores with metrics of whole images."""
    whole = it.whole_images
    if whole is None:
        return None
    title_of = {method.name: method.title for method in whole.methods}
    seen = "" if whole.viewing is None else f", seen at {whole.viewing}"
    return {
        "words": f"{whole.images:,} images in {whole.groups:,} groups{seen}",
        "verdicts": [sentences.verdict(row, title_of[row.name]) for row in whole.against],
        "rows": [(method.title, method) for method in whole.methods],
    }


def interval_chart(key: str, metric: str, methods: Sequence[tuple[str, Metrics]]) -> tuple[str, str]:
    """Draw a metric of several methods with its intervals, and return a caption and the drawing."""
    rows = []
    for title, figures in methods:
        estimate = figures.estimates.get(metric, Estimate(value=None, low=None, high=None))
        rows.append((title, estimate.value, estimate.low, estimate.high))
    chance = sentences.chance(methods[0][1]) if metric == "balanced_accuracy" else None
    title = METRICS[metric].title
    return f"{title[0].upper()}{title[1:]}", charts.intervals(key, f"{title} on patches", rows, chance=chance)


def _tables(it: EvaluationFile) -> list[tuple[str, list[tuple[str, Metrics]], list[str]]]:
    """Collect the metrics of all methods: of decisions and of scores, on patches and on images."""
    tables = []
    patches = [(method.title, method.patches) for method in it.methods]
    images = [(method.title, method.images) for method in it.methods if method.images is not None]
    for unit, rows in (("patches", patches), ("images", images)):
        for title, metrics in (("Decisions", DECISIONS), ("Scores", SCORES)):
            measured = [name for name in metrics if any(name in figures.estimates for _, figures in rows)]
            if measured:
                tables.append((f"{title} on {unit}", rows, measured))
    return tables


def _matrices(it: EvaluationFile) -> list[tuple[str, Metrics]]:
    matrices = [(f"{method.title}, patches", method.patches) for method in it.methods]
    if it.model.images is not None:
        matrices.insert(1, (f"{it.model.title}, images", it.model.images))
    return matrices


def _breakdowns(it: EvaluationFile) -> list[tuple[str, str, list[tuple[str, Metrics, Estimate | None]]]]:
    """Break the model's metrics down by type, level, fusion and so on, beside those of its strongest rival."""
    rival = _strongest(it.methods[1:])
    tables = []
    for by, values in it.model.by.items():
        others: Mapping[str, Metrics] = {} if rival is None else rival.by.get(by, {})
        rows = [
            (value, figures, others[value].estimates.get("balanced_accuracy") if value in others else None)
            for value, figures in values.items()
        ]
        tables.append((TITLES.get(by, by), rival.title if rival is not None and others else "", rows))
    return tables


def _strongest(rivals: Sequence[Method]) -> Method | None:
    """Find the rival with the highest balanced accuracy on all patches."""

    def value(method: Method) -> float:
        estimate = method.patches.estimates.get("balanced_accuracy")
        return -math.inf if estimate is None or estimate.value is None else estimate.value

    return max(rivals, key=value, default=None)
