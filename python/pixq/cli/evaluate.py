"""`pixq evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.messages import print_json, print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import explain_target
from pixq.cli.progress import progress_bar
from pixq.evaluation.evaluate import EvaluateSettings, plan
from pixq.evaluation.evaluate import evaluate as measure
from pixq.evaluation.evaluation_file import EvaluationFile, Metrics, check_free, write_evaluation
from pixq.evaluation.rivals import DEFAULT_RIVALS, RIVALS
from pixq.io.optional import require
from pixq.patches.target import open_target
from pixq.statistics.metrics import METRICS

__all__ = ["evaluate"]

RIVALS_HELP = (
    f"Methods to compare with, separated by commas: {', '.join(RIVALS)}; or none. Default: {', '.join(DEFAULT_RIVALS)}."
)


def evaluate(
    run: Path,
    /,
    *,
    on: Path,
    split: Literal["train", "validation", "test"] = "test",
    calibration: str | None = None,
    name: str | None = None,
    rivals: Annotated[str | None, Parameter(help=RIVALS_HELP)] = None,
    resamples: Annotated[int, number_in(ranges.RESAMPLES)] = 1000,
    level: Annotated[float, number_in(ranges.LEVEL)] = 0.95,
    seed: Annotated[int, number_in(ranges.SEED)] = 0,
    device: str = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Measure a run's decisions, beside those of simpler methods.

    Every number has a confidence interval from a bootstrap over groups. Evaluation refuses photos that were used for
    training or calibration. The result is saved in the run's evaluations/NAME.json.

    Parameters
    ----------
    run
        Directory of a finished run, usually after pixq calibrate.
    on
        A patch set, or a tree of Samsung-style triplets, from which a patch set is built beside it.
    split
        The split of the patch set to evaluate.
    calibration
        Name of the calibration; may be left out if the run has only one.
    name
        Name of the evaluation; by default made from the names of the patch set, the split and the calibration.
    resamples
        Number of bootstrap resamples of groups.
    level
        Confidence level of the intervals.
    seed
        Random seed of the bootstrap.
    device
        cpu, cuda, cuda:1, or auto.
    json
        Print the file instead of a table.
    force
        Replace an evaluation of the same name that another command made.
    """
    chosen = DEFAULT_RIVALS if rivals is None else tuple(rival for rival in _names(rivals) if rival != "none")
    settings = EvaluateSettings(name, split, calibration, chosen, resamples, level, seed)
    patches, made = open_target(on)
    skipped = explain_target(on, patches, made)
    if not force:
        # Checked before minutes of work, not after.
        check_free(run, *plan(run, patches, settings))
    choose_device = require("torch", "pixq.models.device").choose_device
    with progress_bar() as on_progress:
        evaluation = measure(run, patches, settings, device=str(choose_device(device)), on_progress=on_progress)
    path = write_evaluation(run, evaluation)
    for warning in evaluation.warnings:
        warn(warning)
    print_json(path.read_text("utf-8")) if json else _table(evaluation, path)
    return 1 if skipped else 0


def _names(text: str) -> list[str]:
    return [name.strip().lower().replace("-", "_") for name in text.split(",") if name.strip()]


#: The metrics in the columns of the table.
COLUMNS = ("balanced_accuracy", "accuracy", "macro_f1", "srcc", "plcc")


def _table(evaluation: EvaluationFile, path: Path) -> None:
    data, model = evaluation.data, evaluation.model
    print_lines(f"{data.patches:,} patches in {data.groups:,} groups, {data.split} split")
    print_lines(f"{'':18}" + "".join(f"{name.replace('_', ' '):>26}" for name in COLUMNS))
    for method in evaluation.methods:
        print_lines(f"{method.title:18.18}" + "".join(f"{_estimate(method.patches, name):>26}" for name in COLUMNS))
    if model.images is not None:
        print_lines(f"{'model, images':18}" + "".join(f"{_estimate(model.images, name):>26}" for name in COLUMNS))
    for name in ("coverage", "unsure"):
        if (cell := _estimate(model.patches, name)) != "-":
            print_lines(f"{METRICS[name].title}: {cell}")
    for difference in evaluation.against:
        if difference.metric == "balanced_accuracy" and difference.value is not None:
            title = next(method.title for method in evaluation.methods if method.name == difference.name)
            span = _between(difference.low, difference.high)
            print_lines(f"balanced accuracy minus that of {title}: {difference.value:+.3f}{span}")
    print_lines(path)


def _estimate(metrics: Metrics, name: str) -> str:
    estimate = metrics.estimates.get(name)
    if estimate is None or estimate.value is None:
        return "-"
    return f"{estimate.value:.3f}{_between(estimate.low, estimate.high)}"


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f}..{high:.3f})"
