"""The words of a report: numbers with intervals, label contracts, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pixq.evaluation.evaluation_file import Difference, Metrics
from pixq.runs.directory import RunInfo
from pixq.statistics.metrics import METRICS

__all__ = [
    "ENDS",
    "chance",
    "compare_with_chance",
    "contract",
    "fusion_name",
    "interval",
    "plain",
    "seconds",
    "signed",
    "status",
    "verdict",
]

DASH = "–"

#: How a run can have ended.
ENDS = {"epochs": "finished, all epochs", "patience": "finished, stopped early"}


def plain(value: float | None, metric: str = "") -> str:
    """Format the value of a metric; a dash if it is undefined.

    Examples
    --------
    >>> plain(0.12345), plain(0.12345, "mse"), plain(None)
    ('0.123', '0.1235', '–')
    """
    if value is None:
        return DASH
    text = f"{value:.4f}" if metric == "mse" else f"{value:.3f}"
    return text.replace("-", "−")


def signed(value: float | None, metric: str = "") -> str:
    """Format a difference with its sign.

    Examples
    --------
    >>> signed(0.0312), signed(-0.5)
    ('+0.031', '−0.500')
    """
    if value is None:
        return DASH
    return ("−" if value < 0 else "+") + plain(abs(value), metric)


def interval(low: float | None, high: float | None, metric: str = "", *, sign: bool = False) -> str:
    """Format a confidence interval; empty if there is none."""
    if low is None or high is None:
        return ""
    show = signed if sign else plain
    return f"{show(low, metric)} to {show(high, metric)}"


def seconds(value: float) -> str:
    """Format a duration.

    Examples
    --------
    >>> seconds(3.21), seconds(125.0), seconds(7384.0)
    ('3.2 s', '2 min 5 s', '2 h 3 min')
    """
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{value // 60:.0f} min {value % 60:.0f} s"
    return f"{value // 3600:.0f} h {value % 3600 // 60:.0f} min"


def contract(label: Mapping[str, Any]) -> str:
    """Describe a label contract in a sentence; missing keys are left out.

    Examples
    --------
    >>> contract({"name": "MOS", "polarity": "lower-is-better", "minimum": 0.0, "maximum": 100.0, "subject": "image"})
    'MOS, from 0 to 100; lower is better; one score per image, which its patches share.'
    """
    scale = str(label.get("name", "score"))
    if "minimum" in label and "maximum" in label:
        scale += f", from {label['minimum']:g} to {label['maximum']:g}"
    if label.get("unit"):
        scale += f" ({label['unit']})"
    parts = [scale]
    if "polarity" in label:
        parts.append(str(label["polarity"]).replace("-", " "))
    subject = label.get("subject")
    if subject == "image":
        parts.append("one score per image, which its patches share")
    elif subject == "patch":
        parts.append("one score per patch")
    if label.get("raters"):
        parts.append(f"{label['raters']} raters per score")
    if label.get("synthetic"):
        parts.append("synthetic: no person gave it")
    note = f" {label['note']}" if label.get("note") else ""
    return "; ".join(parts) + "." + note


def fusion_name(fusion: Mapping[str, Any]) -> str:
    """Format a fusion as --fusion takes it."""
    alpha = fusion.get("alpha")
    return str(fusion["type"]) if alpha is None else f"{fusion['type']}:{alpha:g}"


def verdict(difference: Difference, title: str) -> tuple[str, str]:
    """Judge whether the model beats a rival: `better`, `worse`, `same` or `unknown`, and a sentence.

    Examples
    --------
    >>> verdict(Difference(name="psnr", metric="accuracy", value=0.1, low=0.05, high=0.2), "PSNR")
    ('better', 'beats PSNR: +0.100 (+0.050 to +0.200)')
    >>> verdict(Difference(name="psnr", metric="mse", value=0.1, low=0.05, high=0.2), "PSNR")[0]
    'worse'
    """
    name, (value, low, high) = difference.metric, (difference.value, difference.low, difference.high)
    if value is None:
        return "unknown", f"cannot be compared with {title}: the metric is undefined for one of the two"
    size = signed(value, name)
    if low is None or high is None:
        return "unknown", f"differs from {title} by {size}, without an interval"
    span = f"{size} ({interval(low, high, name, sign=True)})"
    if difference.better is not None:
        span += f", better in {100 * difference.better:.0f} % of resamples"
    if low <= 0.0 <= high:
        return "same", f"not distinguishable from {title}: {span}"
    wins = (low > 0.0) == (METRICS[name].higher_is_better is not False)
    return ("better", f"beats {title}: {span}") if wins else ("worse", f"loses to {title}: {span}")


def chance(figures: Metrics) -> float | None:
    """Compute the balanced accuracy of guessing: 1 / the number of classes present; `None` without patches."""
    classes = sum(any(row) for row in figures.confusion)
    return 1 / classes if classes else None


def compare_with_chance(figures: Metrics) -> str:
    """Say whether a balanced accuracy is better than guessing; empty if that is unknown."""
    accuracy, guess = figures.estimates.get("balanced_accuracy"), chance(figures)
    if accuracy is None or accuracy.low is None or guess is None:
        return ""
    return f"above chance ({guess:.3f})" if accuracy.low > guess else f"not above chance ({guess:.3f})"


def status(info: RunInfo) -> str:
    """Say how a run ended."""
    return ENDS.get(info.status, f"not finished, {info.status}")
