"""`pixq compare`: runs side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixq.errors import PixqError
from pixq.evaluation.files import METRICS, Estimate, EvaluationFile
from pixq.report import charts, sentences
from pixq.report.gather import Gathered, gather
from pixq.report.page import Palette, render, write_page
from pixq.statistics.bootstrap import FEW_GROUPS

__all__ = ["Comparison", "compare", "write_compare"]


@dataclass(frozen=True)
class Entry:
    """A run's evaluation: `label` is the run's name, the evaluation's where a run has several, and the calibration's
    where they differ.
    """

    label: str
    evaluation: EvaluationFile


@dataclass(frozen=True)
class Common:
    """Evaluations on the same patches.

    Parameters
    ----------
    dataset, split, fingerprint
        Of the patch set.
    metrics
        Names of `METRICS` that one of them has.
    entries
        An evaluation each; of two or more runs.
    best
        By metric, the label of the one whose interval is apart from all others' on the good side; of none where
        intervals overlap.
    """

    dataset: str
    split: str
    fingerprint: str
    metrics: Sequence[str]
    entries: Sequence[Entry]
    best: Mapping[str, str]

    @property
    def warnings(self) -> list[str]:
        """What the evaluations warn of, each once, with those it is of."""
        told: dict[str, list[str]] = {}
        for entry in self.entries:
            for text in entry.evaluation.warnings:
                told.setdefault(text, []).append(entry.label)
        return [f"{', '.join(labels)}: {text}" for text, labels in told.items()]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Parameters
    ----------
    runs
        Their names: the directories, without what all have in common.
    facts
        Model, size, data and time: a value a run.
    recipe
        The keys in which the recipes differ: a value a run.
    common
        Figures on patches that several runs were evaluated on.
    alone
        Sentences on evaluations that only one run has.
    """

    runs: Sequence[str]
    facts: Mapping[str, Sequence[str]]
    recipe: Mapping[str, Sequence[str]]
    common: Sequence[Common]
    alone: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "format": "pixq comparison",
            "schema_version": 1,
            "runs": list(self.runs),
            "facts": {name: list(values) for name, values in self.facts.items()},
            "recipe": {name: list(values) for name, values in self.recipe.items()},
            "common": [
                {
                    "dataset": each.dataset,
                    "split": each.split,
                    "fingerprint": each.fingerprint,
                    "entries": [
                        {
                            "label": entry.label,
                            "run": entry.evaluation.run.directory,
                            "evaluation": entry.evaluation.name,
                            "calibration": entry.evaluation.calibration,
                            "estimates": {
                                name: value.model_dump()
                                for name, value in entry.evaluation.model.patches.estimates.items()
                            },
                        }
                        for entry in each.entries
                    ],
                    "best": dict(each.best),
                    "warnings": each.warnings,
                }
                for each in self.common
            ],
            "alone": list(self.alone),
        }

    def text(self) -> str:
        """Tables for a terminal."""
        parts = [_table("runs", [["", *self.runs], *([name, *values] for name, values in self.facts.items())])]
        if self.recipe:
            rows = [["", *self.runs], *([name, *values] for name, values in self.recipe.items())]
            parts.append(_table("what differs in the recipes", rows))
        else:
            parts.append("The recipes are the same.")
        for each in self.common:
            rows = [["", *(entry.label for entry in each.entries)]]
            for name in each.metrics:
                cells = []
                for entry in each.entries:
                    value = entry.evaluation.model.patches.estimates.get(name)
                    star = " *" if each.best.get(name) == entry.label else ""
                    cells.append(sentences.DASH if value is None else _estimate(value, name) + star)
                rows.append([METRICS[name][0], *cells])
            parts.append(_table(f"{each.dataset}, split {each.split} ({each.fingerprint[:12]})", rows))
            parts += [f"warning: {text}" for text in each.warnings]
        if any(each.best for each in self.common):
            parts.append("* better than all others: the intervals are apart")
        parts += self.alone
        return "\n\n".join(parts)


def _estimate(value: Estimate, name: str) -> str:
    span = sentences.interval(value.low, value.high, name)
    return sentences.plain(value.value, name) + (f" ({span})" if span else "")


def _table(title: str, rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([title, *lines])


def compare(runs: Sequence[str | os.PathLike[str]]) -> Comparison:
    """Put runs side by side.

    Evaluations are matched by the patches they are on: the fingerprint of the patch set, and the split.

    Raises
    ------
    PixqError
        If there are fewer than two runs, one is given twice, is none, or has a damaged file.
    """
    paths = [Path(run) for run in runs]
    if len(paths) < 2:
        raise PixqError("there is one run to compare, if any; give two or more")
    if len({path.resolve() for path in paths}) < len(paths):
        raise PixqError("a run is given twice; give each once")
    found = [gather(path) for path in paths]
    names = _names(paths)
    recipes = [_flat(each.recipe.model_dump(mode="json")) for each in found]
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe))
    values = {key: [str(recipe.get(key, sentences.DASH)) for recipe in recipes] for key in keys}
    common, alone = _matched(names, found)
    return Comparison(
        runs=names,
        facts=_facts(found),
        recipe={key: row for key, row in values.items() if len(set(row)) > 1},
        common=common,
        alone=alone,
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return flat


def _facts(found: Sequence[Gathered]) -> dict[str, list[str]]:
    def best(each: Gathered, key: str) -> Any:
        return None if each.info.best is None else each.info.best.get(key)

    def loss(each: Gathered) -> str:
        value = best(each, "loss")
        return f"{value:.5f}" if isinstance(value, float) else sentences.DASH

    def time(each: Gathered) -> str:
        value = each.info.timings.get("seconds")
        return sentences.seconds(value) if isinstance(value, int | float) else sentences.DASH

    return {
        "model": [f"{each.recipe.model.name}, {each.recipe.model.head}" for each in found],
        "trained weights": [f"{each.info.parameters:,}" for each in found],
        "trained on": [each.patches.dataset.get("name", "") for each in found],
        "its fingerprint": [each.patches.fingerprint[:12] for each in found],
        "status": [sentences.status(each.info) for each in found],
        "kept epoch": [
            str(best(each, "epoch") if best(each, "epoch") is not None else sentences.DASH) for each in found
        ],
        "validation loss": [loss(each) for each in found],
        "time": [time(each) for each in found],
        "calibrations": [", ".join(each.calibrations) or "none" for each in found],
    }


def _matched(names: Sequence[str], found: Sequence[Gathered]) -> tuple[list[Common], list[str]]:
    common: list[Common] = []
    alone: list[str] = []
    by_data: dict[tuple[str, str], dict[str, list[EvaluationFile]]] = {}
    for name, each in zip(names, found, strict=True):
        for evaluation in each.evaluations:
            if evaluation.run.model_blake3 != each.info.model_blake3:
                alone.append(f"Evaluation {evaluation.name} of {name} is of other weights; run pixq evaluate anew.")
                continue
            key = (evaluation.data.fingerprint, evaluation.data.split)
            by_data.setdefault(key, {}).setdefault(name, []).append(evaluation)
    for (fingerprint, split), runs in by_data.items():
        if len(runs) < 2:
            (name, evaluations), *_ = runs.items()
            told = ", ".join(each.name for each in evaluations)
            alone.append(
                f"Only {name} was evaluated on {evaluations[0].data.dataset.get('name')}, split {split} ({told})."
            )
            continue
        one = len({each.calibration for evaluations in runs.values() for each in evaluations}) == 1
        entries = [
            Entry(
                (name if len(evaluations) == 1 else f"{name}: {each.name}")
                + ("" if one else f" ({each.calibration or 'not calibrated'})"),
                each,
            )
            for name, evaluations in runs.items()
            for each in evaluations
        ]
        metrics = [name for name in METRICS if any(name in each.evaluation.model.patches.estimates for each in entries)]
        winners = {name: _best(name, entries) for name in metrics}
        dataset = entries[0].evaluation.data.dataset.get("name", "")
        best = {name: winner for name, winner in winners.items() if winner is not None}
        common.append(Common(dataset, split, fingerprint, metrics, entries, best))
    alone += [
        f"{name} is not evaluated; pixq evaluate does it."
        for name, each in zip(names, found, strict=True)
        if not each.evaluations
    ]
    return common, alone


def _best(metric: str, entries: Sequence[Entry]) -> str | None:
    """The entry whose interval is on the good side of all others', which must be known, of groups enough
    and of one level.

    There is no best recall: to answer one class alone gives a recall of 1.
    """
    higher = METRICS[metric][1]
    few = any(each.evaluation.model.patches.groups < FEW_GROUPS for each in entries)
    levels = {each.evaluation.bootstrap.level for each in entries}
    if metric.startswith("recall_") or few or len(levels) > 1:
        return None
    ends = []
    for entry in entries:
        value = entry.evaluation.model.patches.estimates.get(metric)
        if value is None or value.low is None or value.high is None:
            return None
        ends.append((value.low, value.high) if higher else (-value.high, -value.low))
    if higher is None:
        return None
    first = max(range(len(ends)), key=lambda at: ends[at][0])
    if all(ends[first][0] > high for at, (_, high) in enumerate(ends) if at != first):
        return entries[first].label
    return None


def write_compare(runs: Sequence[str | os.PathLike[str]], out: Path, *, palette: Palette = "standard") -> Comparison:
    """Write a page that has runs side by side; gives what it shows.

    Raises
    ------
    PixqError
        As `compare`, or if Jinja2 is not installed, or `out` can't be written.
    """
    found = compare(runs)
    pictures = [
        [_chart(f"common-{place}-{name}", each, name) for name in each.metrics]
        for place, each in enumerate(found.common)
    ]
    values = {
        "title": f"{len(found.runs)} runs side by side",
        "paths": [str(run) for run in runs],
        "found": found,
        "charts": [[chart for chart in row if chart] for row in pictures],
    }
    write_page(render("compare.html", values, palette), out)
    return found


def _chart(key: str, common: Common, metric: str) -> tuple[str, str] | None:
    if metric not in ("balanced_accuracy", "srcc"):
        return None
    rows = []
    for entry in common.entries:
        value = entry.evaluation.model.patches.estimates.get(metric, Estimate(value=None, low=None, high=None))
        rows.append((entry.label, value.value, value.low, value.high))
    title = METRICS[metric][0]
    chance = sentences.chance(common.entries[0].evaluation.model.patches) if metric == "balanced_accuracy" else None
    return f"{title[0].upper()}{title[1:]}", charts.intervals(key, f"{title} on patches", rows, chance=chance)
