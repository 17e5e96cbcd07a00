"""`pixq evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.messages import print_json, print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import AT_A_DESK, ViewingOptions, explain_target
from pixq.cli.progress import progress_bar
from pixq.evaluation.baselines import BASELINES
from pixq.evaluation.evaluate import EvaluateSettings, plan
from pixq.evaluation.evaluate import evaluate as measure
from pixq.evaluation.evaluation_file import (
    Difference,
    EvaluationFile,
    Metrics,
    WholeImages,
    check_free,
    write_evaluation,
)
from pixq.evaluation.rivals import DEFAULT_RIVALS, RIVALS
from pixq.io.optional import require
from pixq.patches.target import open_target
from pixq.runs.load import scores_visibility
from pixq.statistics.estimates import Estimate
from pixq.statistics.metrics import METRICS

__all__ = ["evaluate"]

_OF_IMAGES = ", ".join(name for name in BASELINES if name not in RIVALS)
RIVALS_HELP = (
    f"Methods to compare with, separated by commas: {', '.join(RIVALS)}; with --dataset also {_OF_IMAGES}; all, which "
    f"are those that are installed and can measure these patches and images; or none. Default: "
    f"{', '.join(DEFAULT_RIVALS)}."
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
    dataset: Path | None = None,
    viewing: ViewingOptions = AT_A_DESK,
    resamples: Annotated[int, number_in(ranges.RESAMPLES)] = 1000,
    level: Annotated[float, number_in(ranges.LEVEL)] = 0.95,
    seed: Annotated[int, number_in(ranges.SEED)] = 0,
    device: str = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Measure a run's decisions, beside those of simpler methods.

    Every number has a confidence interval from a bootstrap over groups, and the model is compared with each rival on
    the same resamples. Evaluation refuses photos that were used for training or calibration. The result is saved in the
    run's evaluations/NAME.json.

    With --dataset, the scores of whole images are compared as well, with metrics such as ColorVideoVDP and
    butteraugli. Some of these depend on how images are looked at: by default on a 24-inch full-HD display at 60 cm,
    which has 38 pixels per degree, with white at 200 cd/m2, in an office of 250 lux.

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
    dataset
        Folder of the dataset that the patch set was built from.
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
    conditions = viewing.conditions if viewing.named else None
    settings = EvaluateSettings(name, split, calibration, chosen, resamples, level, seed, dataset, conditions)
    if viewing.named and not scores_visibility(run):
        users = "the model visibility, or with --dataset and rivals that depend on it, such as colorvideovdp"
        viewing.check_used(settings.viewing_fields, users)
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
    titles = {method.name: method.title for method in evaluation.methods}
    for difference in evaluation.against:
        if difference.metric == "balanced_accuracy":
            _compare(difference, titles[difference.name], "balanced accuracy")
    if evaluation.whole_images is not None:
        _image_table(evaluation.whole_images)
    print_lines(path)


def _image_table(whole: WholeImages) -> None:
    seen = "" if whole.viewing is None else f"; {whole.viewing}"
    print_lines(f"{whole.images:,} whole images in {whole.groups:,} groups{seen}")
    print_lines(f"{'':18}{'srcc':>26}{'plcc':>26}")
    for method in whole.methods:
        cells = (_cell(method.estimates[name]) for name in ("srcc", "plcc"))
        print_lines(f"{method.title:18.18}" + "".join(f"{cell:>26}" for cell in cells))
    for difference in whole.against:
        _compare(difference, {method.name: method.title for method in whole.methods}[difference.name], "SRCC of images")


def _compare(difference: Difference, title: str, metric: str) -> None:
    """Say in how many resamples the model is better than a rival, and by how much it is."""
    if difference.value is None:
        return
    size = f"{difference.value:+.3f}{_between(difference.low, difference.high)}"
    if difference.better is None:
        print_lines(f"{metric} minus that of {title}: {size}")
    else:
        print_lines(f"{metric}: better than {title} in {100 * difference.better:.0f} % of resamples, {size}")


def _estimate(metrics: Metrics, name: str) -> str:
    return _cell(metrics.estimates.get(name))


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    return f"{estimate.value:.3f}{_between(estimate.low, estimate.high)}"


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f}..{high:.3f})"
