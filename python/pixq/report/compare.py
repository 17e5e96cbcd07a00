"""`pixq compare`: several runs side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixq.errors import PixqError, printable
from pixq.evaluation.evaluation_file import EvaluationFile
from pixq.report import sections, sentences
from pixq.report.gather import RunData, gather
from pixq.report.page import Palette, render, write_page
from pixq.statistics.bootstrap import FEW_GROUPS
from pixq.statistics.estimates import Estimate
from pixq.statistics.metrics import METRICS

__all__ = ["Comparison", "compare", "write_compare"]


@dataclass(frozen=True)
class Entry:
    """An evaluation of a run, which is a column of a table.

    Parameters
    ----------
    label
        The name of the run; also that of the evaluation if the run has several, and that of the calibration if they
        differ.
    """

    label: str
    evaluation: EvaluationFile

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """The metrics of the model on patches, by name."""
        return self.evaluation.model.patches.estimates


@dataclass(frozen=True)
class Common:
    """Evaluations of two or more runs on the same patches.

    Parameters
    ----------
    dataset, split, fingerprint
        Which patches they are.
    metrics
        Names of `METRICS` that at least one evaluation has.
    entries
        The evaluations.
    best
        By metric, the label of the evaluation whose interval lies apart from all others, on the better side. Metrics
        whose intervals overlap are left out.
    """

    dataset: str
    split: str
    fingerprint: str
    metrics: Sequence[str]
    entries: Sequence[Entry]
    best: Mapping[str, str]

    @property
    def warnings(self) -> list[str]:
        """The warnings of all evaluations, each once, with the labels of the evaluations that have it."""
        labels: dict[str, list[str]] = {}
        for entry in self.entries:
            for text in entry.evaluation.warnings:
                labels.setdefault(text, []).append(entry.label)
        return [f"{', '.join(names)}: {text}" for text, names in labels.items()]


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Parameters
    ----------
    runs
        The names of the runs: the last parts of their paths, as many as tell them apart.
    facts
        Model, size, data and time: one value per run.
    recipe
        The keys in which the recipes differ: one value per run.
    common
        Metrics on patches that several runs were evaluated on.
    alone
        Sentences about evaluations that can't be compared.
    """

    runs: Sequence[str]
    facts: Mapping[str, Sequence[str]]
    recipe: Mapping[str, Sequence[str]]
    common: Sequence[Common]
    alone: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """The comparison as standard JSON."""
        return {
            "format": "pixq comparison",
            "schema_version": 1,
            "runs": list(self.runs),
            "facts": {name: list(values) for name, values in self.facts.items()},
            "recipe": {name: list(values) for name, values in self.recipe.items()},
            "common": [
                {
                    "dataset": table.dataset,
                    "split": table.split,
                    "fingerprint": table.fingerprint,
                    "entries": [
                        {
                            "label": entry.label,
                            "run": entry.evaluation.run.directory,
                            "evaluation": entry.evaluation.name,
                            "calibration": entry.evaluation.calibration,
                            "estimates": {name: value.model_dump() for name, value in entry.estimates.items()},
                        }
                        for entry in table.entries
                    ],
                    "best": dict(table.best),
                    "warnings": table.warnings,
                }
                for table in self.common
            ],
            "alone": list(self.alone),
        }

    def text(self) -> str:
        """The comparison as tables for a terminal; names are escaped."""
        parts = [_table("runs", [["", *self.runs], *([name, *values] for name, values in self.facts.items())])]
        if self.recipe:
            rows = [["", *self.runs], *([name, *values] for name, values in self.recipe.items())]
            parts.append(_table("differences between the recipes", rows))
        else:
            parts.append("The recipes are the same.")
        for table in self.common:
            rows = [["", *(entry.label for entry in table.entries)]]
            for name in table.metrics:
                cells = []
                for entry in table.entries:
                    value = entry.estimates.get(name)
                    star = " *" if table.best.get(name) == entry.label else ""
                    cells.append(sentences.DASH if value is None else _estimate(value, name) + star)
                rows.append([METRICS[name].title, *cells])
            parts.append(_table(f"{table.dataset}, split {table.split} ({table.fingerprint[:12]})", rows))
            parts += [printable(f"warning: {text}") for text in table.warnings]
        if any(table.best for table in self.common):
            parts.append("* better than all others: its interval does not overlap with theirs")
        parts += map(printable, self.alone)
        return "\n\n".join(parts)


def _estimate(value: Estimate, name: str) -> str:
    span = sentences.interval(value.low, value.high, name)
    return sentences.plain(value.value, name) + (f" ({span})" if span else "")


def _table(title: str, rows: Sequence[Sequence[str]]) -> str:
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([printable(title), *lines])


def compare(runs: Sequence[str | os.PathLike[str]]) -> Comparison:
    """Compare runs.

    Evaluations are matched by their patches: the fingerprint of the patch set, and the split.

    Raises
    ------
    PixqError
        If there are fewer than two runs, one is given twice, is not a run, or has a damaged file.
    """
    paths = [Path(run) for run in runs]
    if len(paths) < 2:
        raise PixqError(f"{len(paths)} runs can't be compared; give two or more")
    if len({path.resolve() for path in paths}) < len(paths):
        raise PixqError("a run is given twice; give each run once")
    gathered = [gather(path) for path in paths]
    names = _names(paths)
    recipes = [_flatten(run.recipe.model_dump(mode="json")) for run in gathered]
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe))
    values = {key: [str(recipe.get(key, sentences.DASH)) for recipe in recipes] for key in keys}
    common, alone = _match(names, gathered)
    return Comparison(
        runs=names,
        facts=_facts(gathered),
        recipe={key: row for key, row in values.items() if len(set(row)) > 1},
        common=common,
        alone=alone,
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Shorten the paths to their last parts, as many as tell them apart."""
    resolved = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, resolved)) + 1):
        names = ["/".join(parts[-length:]) for parts in resolved]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _facts(runs: Sequence[RunData]) -> dict[str, list[str]]:
    def loss(run: RunData) -> str:
        value = None if run.info.best is None else run.info.best.get("loss")
        return f"{value:.5f}" if isinstance(value, float) else sentences.DASH

    def time(run: RunData) -> str:
        value = run.info.timings.get("seconds")
        return sentences.seconds(value) if isinstance(value, int | float) else sentences.DASH

    return {
        "model": [f"{run.recipe.model.name}, {run.recipe.model.head}" for run in runs],
        "trained weights": [f"{run.info.parameters:,}" for run in runs],
        "trained on": [run.patches.dataset.get("name", "") for run in runs],
        "its fingerprint": [run.patches.fingerprint[:12] for run in runs],
        "status": [sentences.status(run.info) for run in runs],
        "kept epoch": [sentences.DASH if run.best_epoch is None else str(run.best_epoch) for run in runs],
        "validation loss": [loss(run) for run in runs],
        "time": [time(run) for run in runs],
        "calibrations": [", ".join(run.calibrations) or "none" for run in runs],
    }


def _match(names: Sequence[str], runs: Sequence[RunData]) -> tuple[list[Common], list[str]]:
    """Match evaluations by their patches, and explain why the others can't be compared."""
    common: list[Common] = []
    alone: list[str] = []
    by_data: dict[tuple[str, str], dict[str, list[EvaluationFile]]] = {}
    for name, run in zip(names, runs, strict=True):
        for evaluation in run.evaluations:
            if not run.is_current(evaluation.run.model_blake3):
                alone.append(
                    f"Evaluation {evaluation.name} of {name} was made with different weights; "
                    "run `pixq evaluate` again."
                )
                continue
            key = (evaluation.data.fingerprint, evaluation.data.split)
            by_data.setdefault(key, {}).setdefault(name, []).append(evaluation)
    for matched in by_data.values():
        if len(matched) > 1:
            common.append(_common(matched))
            continue
        (name, evaluations), *_ = matched.items()
        data = evaluations[0].data
        titles = ", ".join(evaluation.name for evaluation in evaluations)
        alone.append(f"Only {name} was evaluated on {data.dataset.get('name')}, split {data.split} ({titles}).")
    alone += [
        f"{name} is not evaluated; run `pixq evaluate`."
        for name, run in zip(names, runs, strict=True)
        if not run.evaluations
    ]
    return common, alone


def _common(runs: Mapping[str, Sequence[EvaluationFile]]) -> Common:
    """Put the evaluations of several runs on the same patches side by side."""
    calibrations = {evaluation.calibration for evaluations in runs.values() for evaluation in evaluations}
    entries = []
    for name, evaluations in runs.items():
        for evaluation in evaluations:
            label = name if len(evaluations) == 1 else f"{name}: {evaluation.name}"
            if len(calibrations) > 1:
                label += f" ({evaluation.calibration or 'not calibrated'})"
            entries.append(Entry(label, evaluation))
    metrics = [name for name in METRICS if any(name in entry.estimates for entry in entries)]
    winners = {name: _best(name, entries) for name in metrics}
    best = {name: winner for name, winner in winners.items() if winner is not None}
    data = entries[0].evaluation.data
    return Common(data.dataset.get("name", ""), data.split, data.fingerprint, metrics, entries, best)


def _best(metric: str, entries: Sequence[Entry]) -> str | None:
    """Find the entry whose interval lies apart from all others, on the better side.

    All intervals must exist, come from enough groups and have the same level. There is no best recall, because a method
    that always answers one class has a recall of 1.
    """
    higher = METRICS[metric].higher_is_better
    few = any(entry.evaluation.model.patches.groups < FEW_GROUPS for entry in entries)
    levels = {entry.evaluation.bootstrap.level for entry in entries}
    if higher is None or metric.startswith("recall_") or few or len(levels) > 1:
        return None
    ends = []
    for entry in entries:
        value = entry.estimates.get(metric)
        if value is None or value.low is None or value.high is None:
            return None
        ends.append((value.low, value.high) if higher else (-value.high, -value.low))
    first = max(range(len(ends)), key=lambda number: ends[number][0])
    if all(ends[first][0] > high for number, (_, high) in enumerate(ends) if number != first):
        return entries[first].label
    return None


def write_compare(runs: Sequence[str | os.PathLike[str]], out: Path, *, palette: Palette = "standard") -> Comparison:
    """Write a page that compares runs, and return the comparison.

    Raises
    ------
    PixqError
        As in `compare`, or if Jinja2 is not installed, or `out` can't be written.
    """
    comparison = compare(runs)
    charts = [
        [
            sections.interval_chart(
                f"common-{place}-{metric}",
                metric,
                [(entry.label, entry.evaluation.model.patches) for entry in table.entries],
            )
            for metric in sections.CHARTED
            if metric in table.metrics
        ]
        for place, table in enumerate(comparison.common)
    ]
    values = {
        "title": f"Comparison of {len(comparison.runs)} runs",
        "paths": [str(run) for run in runs],
        "comparison": comparison,
        "charts": charts,
    }
    write_page(render("compare.html", values, palette), out)
    return comparison
