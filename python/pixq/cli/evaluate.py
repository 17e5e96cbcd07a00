"""`pixq evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pixq.cli.progress import progress_bar

if TYPE_CHECKING:
    from pixq.evaluation.files import EvaluationFile, Metrics

__all__ = ["evaluate"]


def evaluate(
    run: Path,
    /,
    *,
    on: Path,
    split: Literal["train", "validation", "test"] = "test",
    calibration: str | None = None,
    name: str | None = None,
    rivals: str | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    device: str = "auto",
    json: Annotated[bool, Parameter(negative="")] = False,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Measure a run's decisions, beside those of simpler methods.

    Every number has an interval by a bootstrap over groups. Photos that were trained on, or that cuts were chosen on,
    are refused. The result is kept in evaluations/NAME.json of the run.

    Parameters
    ----------
    run
        Directory of a finished run; see pixq calibrate.
    on
        A patch set, or a tree of Samsung-style triplets, of which one is built beside it.
    split
        Which of its splits.
    calibration
        Name of the calibration; the only one by default.
    name
        What the evaluation is called; after the patch set, the split and the calibration by default.
    rivals
        With commas between: majority, psnr, roi_psnr, ssim, mdsi, vsi, gmsd, boosting; none for the model alone.
        Default: all but gmsd.
    resamples
        Of the bootstrap over groups.
    level
        Of the intervals.
    seed
        Of the bootstrap.
    device
        cpu, cuda, cuda:1, or auto.
    json
        Print the file instead of a table.
    force
        Replace an evaluation of the same name that another command made.
    """
    from pixq.evaluation.evaluate import RIVALS, EvaluateSettings, planned
    from pixq.evaluation.evaluate import evaluate as judge
    from pixq.evaluation.files import check_free, write_evaluation
    from pixq.models.device import choose_device
    from pixq.patches.target import open_target

    chosen = RIVALS if rivals is None else tuple(each for each in _names(rivals) if each != "none")
    settings = EvaluateSettings(name, split, calibration, chosen, resamples, level, seed)
    patches, made = open_target(on)
    if made is not None:
        print(f"pixq: {on}: is a tree of triplets; its patch set is {made}", file=sys.stderr)
    if not force:
        # Before minutes of work, not after.
        check_free(run, *planned(run, patches, settings))
    with progress_bar() as on_progress:
        found = judge(run, patches, settings, device=str(choose_device(device)), on_progress=on_progress)
    path = write_evaluation(run, found)
    for warning in found.warnings:
        print(f"pixq: warning: {warning}", file=sys.stderr)
    print(path.read_text("utf-8"), end="") if json else _table(found, path)
    return 0


def _names(text: str) -> list[str]:
    return [each.strip().lower().replace("-", "_") for each in text.split(",") if each.strip()]


SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "srcc", "plcc")


def _table(found: EvaluationFile, path: Path) -> None:
    from pixq.evaluation.files import METRICS

    print(f"{found.data.patches:,} patches of {found.data.groups:,} groups, {found.data.split} split")
    print(f"{'':18}" + "".join(f"{name.replace('_', ' '):>26}" for name in SHOWN))
    for method in found.methods:
        print(f"{method.title:18.18}" + "".join(f"{_estimate(method.patches, name):>26}" for name in SHOWN))
    if found.model.images is not None:
        print(f"{'model, images':18}" + "".join(f"{_estimate(found.model.images, name):>26}" for name in SHOWN))
    for name in ("coverage", "unsure"):
        if (cell := _estimate(found.model.patches, name)) != "-":
            print(f"{METRICS[name][0]}: {cell}")
    for each in found.against:
        if each.metric == "balanced_accuracy" and each.value is not None:
            title = next(method.title for method in found.methods if method.name == each.name)
            print(f"balanced accuracy less that of {title}: {each.value:+.3f}{_between(each.low, each.high)}")
    print(path)


def _estimate(metrics: Metrics, name: str) -> str:
    found = metrics.estimates.get(name)
    if found is None or found.value is None:
        return "-"
    return f"{found.value:.3f}{_between(found.low, found.high)}"


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f}..{high:.3f})"
