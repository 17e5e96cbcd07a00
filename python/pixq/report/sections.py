"""The sections of a report on calibrations and evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pixq.classes import GREEN, NAMES, ORANGE
from pixq.decisions.calibration_file import Calibration
from pixq.drawing.axes import number
from pixq.evaluation.files import METRICS, Estimate, EvaluationFile, Method, Metrics
from pixq.report import charts, sentences
from pixq.statistics.estimates import CutPoint

__all__ = ["calibration", "evaluation", "summary"]

DECISIONS = ("balanced_accuracy", "accuracy", "macro_f1", "recall_red", "recall_orange", "recall_green", "kappa")
SCORES = ("srcc", "plcc", "mse", "ece", "coverage", "unsure")
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


def _cut(value: CutPoint | None) -> str:
    if value is None:
        return sentences.DASH
    return sentences.plain(value) if math.isfinite(value) else "never" if value > 0 else "always"


def calibration(place: int, it: Calibration) -> dict[str, Any]:
    """A calibration, the `place`-th of the page."""
    cuts = {"orange": it.cuts.orange, "green": it.cuts.green}
    sets = it.conformal
    honest = it.out_of_bag
    span = sentences.interval(honest.low, honest.high)
    conformal = "No conformal sets were asked for."
    if sets is not None:
        kind = "of each class" if sets.by_class else "like these"
        thresholds = ", ".join(map(number, sets.threshold))
        conformal = (
            f"Conformal sets hold the truth in {_level(sets.coverage)} of patches {kind}, "
            f"by {sets.patches:,} patches of {sets.groups:,} groups (thresholds {thresholds}); a patch whose set is "
            "not exactly one class is unsure."
        )
    return {
        "calibration": it,
        "words": charts.describe_cuts(it.cuts.values),
        "level": _level(it.bootstrap.level),
        "objective": OBJECTIVES[it.objective],
        "chart": charts.cut_line(f"cuts-{place}", f"Answers of {it.name} by score", cuts),
        "cuts": [
            (NAMES[which], _cut(cut.value), _span(cut.low, cut.high))
            for which, cut in ((ORANGE, it.cuts.orange), (GREEN, it.cuts.green))
        ],
        "achieved": [
            (f"{title} on the calibration split", [(it.name, {"estimates": it.achieved})], shown)
            for title, names in (("Decisions", DECISIONS), ("Scores", SCORES))
            if (shown := [name for name in names if name in it.achieved])
        ],
        "meaning": _meaning(place, it),
        "honest": f"{sentences.plain(honest.value)} ({span})" if span else sentences.plain(honest.value),
        "conformal": conformal,
    }


def _meaning(place: int, it: Calibration) -> str:
    """The curves of `Mapping.to_json`; nothing for a mapping of another kind."""
    named = (("expected quality", "quality"), ("Orange or Green", "orange_or_better"), ("Green", "green"))
    series = []
    for name, key in named:
        curve = it.mapping.get(key)
        if not isinstance(curve, dict) or not isinstance(curve.get("score"), list):
            return ""
        series.append(charts.Series(name, "none", list(zip(curve["score"], curve["value"], strict=True))))
    return charts.meaning(f"meaning-{place}", f"What a score of {it.name} means", series)


def _span(low: CutPoint | None, high: CutPoint | None) -> str:
    return sentences.DASH if low is None or high is None else f"{_cut(low)} to {_cut(high)}"


def evaluation(place: int, it: EvaluationFile) -> dict[str, Any]:
    """An evaluation, the `place`-th of the page."""
    model = it.model
    key = f"evaluation-{place}"
    level = _level(it.bootstrap.level)
    pictures = [
        (f"{METRICS[metric][0][0].upper()}{METRICS[metric][0][1:]}", _rivals(f"{key}-{metric}", it.methods, metric))
        for metric in ("balanced_accuracy", "srcc")
    ]
    cuts = None if model.cuts is None else (model.cuts.orange, model.cuts.green)
    pictures.append(
        ("Scores by true class", charts.histogram(f"{key}-scores", "The model's scores by class", it.histogram, cuts))
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
        "matrices": _matrices(it),
        "by_metrics": BREAKDOWN,
        "breakdowns": _breakdowns(it),
    }


def summary(it: EvaluationFile) -> str:
    """How good the run is, in a sentence."""
    each = it.model.patches.estimates.get("balanced_accuracy")
    if it.model.patches.n == 0:
        return "There was no patch to evaluate on."
    told = it.model.title
    if each is None or each.value is None:
        return f"{told}: balanced accuracy is not defined."
    span = sentences.interval(each.low, each.high)
    told += f": balanced accuracy {sentences.plain(each.value)}{f' ({span})' if span else ''} on patches"
    chance = sentences.chance_words(it.model.patches)
    return f"{told}, {chance}." if chance else f"{told}."


def _verdicts(it: EvaluationFile) -> list[dict[str, Any]]:
    """Sentences by metric, in the order of `METRICS`."""
    title_of = {method.name: method.title for method in it.methods}
    found = []
    for metric, (title, _) in METRICS.items():
        rows = [sentences.verdict(each, title_of[each.name]) for each in it.against if each.metric == metric]
        if rows:
            found.append({"metric": metric, "title": title, "rows": rows})
    return found


def _rivals(key: str, methods: Sequence[Method], metric: str) -> str:
    rows = []
    for method in methods:
        each = method.patches.estimates.get(metric, Estimate(value=None, low=None, high=None))
        rows.append((method.title, each.value, each.low, each.high))
    chance = sentences.chance(methods[0].patches) if metric == "balanced_accuracy" else None
    return charts.intervals(key, f"{METRICS[metric][0]} on patches", rows, chance=chance)


def _tables(it: EvaluationFile) -> list[tuple[str, list[tuple[str, Metrics]], list[str]]]:
    """The metrics of all methods: of decisions and of scores, on patches and on images."""
    found = []
    images = [(each.title, each.images) for each in it.methods if each.images is not None]
    for unit, rows in (("patches", [(each.title, each.patches) for each in it.methods]), ("images", images)):
        for title, metrics in (("Decisions", DECISIONS), ("Scores", SCORES)):
            shown = [name for name in metrics if any(name in figures.estimates for _, figures in rows)]
            if shown:
                found.append((f"{title} on {unit}", rows, shown))
    return found


def _matrices(it: EvaluationFile) -> list[tuple[str, Metrics]]:
    found = [(f"{each.title}, patches", each.patches) for each in it.methods]
    if it.model.images is not None:
        found.insert(1, (f"{it.model.title}, images", it.model.images))
    return found


def _breakdowns(it: EvaluationFile) -> list[tuple[str, str, list[tuple[str, Metrics, Estimate | None]]]]:
    """The model's figures by type, level, fusion and so on, beside those of its strongest rival."""
    rival = _strongest(it.methods[1:])
    found = []
    for by, values in it.model.by.items():
        others: Mapping[str, Metrics] = {} if rival is None else rival.by.get(by, {})
        rows = [
            (value, figures, others[value].estimates.get("balanced_accuracy") if value in others else None)
            for value, figures in values.items()
        ]
        found.append((TITLES.get(by, by), rival.title if rival is not None and others else "", rows))
    return found


def _strongest(rivals: Sequence[Method]) -> Method | None:
    """The rival of the highest balanced accuracy over all patches."""

    def value(method: Method) -> float:
        each = method.patches.estimates.get("balanced_accuracy")
        return -math.inf if each is None or each.value is None else each.value

    return max(rivals, key=value, default=None)
