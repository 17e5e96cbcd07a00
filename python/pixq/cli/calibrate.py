"""`pixq calibrate`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pixq.cli.progress import progress_bar
from pixq.errors import PixqError

if TYPE_CHECKING:
    from pixq.decisions.cuts import Cost

__all__ = ["calibrate"]


def calibrate(
    run: Path,
    /,
    *,
    target: Path | None = None,
    ladders: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    name: str | None = None,
    split: Literal["train", "validation"] | None = None,
    objective: Literal["balanced_accuracy", "accuracy", "macro_f1", "cost"] | None = None,
    cost: str | None = None,
    coverage: float | None = None,
    resamples: int | None = None,
    level: float | None = None,
    seed: int | None = None,
    share: float | None = None,
    stride: int | None = None,
    device: str = "auto",
    force: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Choose the scores from which a patch is Orange, and Green, for a target domain.

    The cuts are the best there are for the target's calibration split; the test split is never looked at. They are
    kept in calibration.json of the run, by name.

    With --ladders in place of --target, the Green cut is chosen on ladders of rising distortion whose PJNDs people
    gave, for pixq pjnd, pixq critical and pixq predict; it is kept in pjnd.json of the run. The options from --name to
    --seed are for --target alone.

    Parameters
    ----------
    run
        Directory of a finished run.
    target
        A patch set, or a tree of Samsung-style triplets, of which one is built beside it.
    ladders
        Folders with ground_truth.json and images, in the layout of LocJND and KonJND.
    name
        What the calibration is called; one run can hold several. Default: default.
    split
        The target's calibration split. Default: validation.
    objective
        What the cuts are to be best at. Default: balanced_accuracy.
    cost
        For --objective cost: what each answer costs, a row a true class, Red first, like 0,1,4/1,0,1/4,1,0.
    coverage
        Learn conformal sets that hold the true class with this probability; an answer of several classes, or none, is
        `unsure`.
    resamples
        Of the bootstrap over groups. Default: 1000.
    level
        Of the intervals. Default: 0.95.
    seed
        Of the bootstrap, and of the halves of --coverage. Default: 0.
    share
        For --ladders: of patches that are no longer Green where a level is noticed, 0 to 1. Default: 0.05.
    stride
        For --ladders: pixels between neighbouring patches. Default: 10.
    device
        cpu, cuda, cuda:1, or auto.
    force
        Replace a calibration of the same name, or the cut by ladders.
    """
    from pixq.scoring.scorer import DEFAULT

    if run.resolve() == DEFAULT.resolve():
        raise PixqError(f"{run}: is part of the installed pixq; copy the folder, and calibrate the copy")
    by_target = {
        "name": name, "split": split, "objective": objective, "cost": cost, "coverage": coverage,
        "resamples": resamples, "level": level, "seed": seed,
    }  # fmt: skip
    by_ladders = {"share": share, "stride": stride}
    if ladders:
        if target is not None:
            raise PixqError("--target and --ladders are two ways to choose cuts; give one of them")
        _refuse(by_target, "--target")
        return _by_ladders(run, ladders, device, force, share, stride)
    if target is None:
        raise PixqError("there is nothing to choose cuts by; give --target, or --ladders")
    _refuse(by_ladders, "--ladders")
    from pixq.decisions.calibration_file import CALIBRATION, add_calibration, read_calibrations
    from pixq.decisions.cuts import Objective
    from pixq.decisions.pjnd_cuts import PJND_CUTS
    from pixq.evaluation.calibrate import CalibrateSettings
    from pixq.evaluation.calibrate import calibrate as choose
    from pixq.models.device import choose_device
    from pixq.patches.target import open_target

    if name == PJND_CUTS:
        raise PixqError(f"--name is {name}, which is what the cuts by --ladders are called; give another")
    best_at = objective or "balanced_accuracy"
    given: dict[str, Any] = {**by_target, "objective": Objective(best_at, None if cost is None else _cost(cost))}
    del given["cost"]
    settings = CalibrateSettings(**{key: value for key, value in given.items() if value is not None})
    if settings.name in read_calibrations(run) and not force:
        raise PixqError(
            f"{run / CALIBRATION}: holds a calibration {settings.name} already; give another --name, or --force"
        )
    patches, made = open_target(target)
    if made is not None:
        print(f"pixq: {target}: is a tree of triplets; its patch set is {made}", file=sys.stderr)
    with progress_bar() as on_progress:
        found = choose(run, patches, settings, device=str(choose_device(device)), on_progress=on_progress)
    path = add_calibration(run, found)
    for warning in found.warnings:
        print(f"pixq: warning: {warning}", file=sys.stderr)
    for label, cut in (("Orange", found.cuts.orange), ("Green", found.cuts.green)):
        where = "from " if math.isfinite(cut.value) else ""
        print(f"{label:7} {where}{_number(cut.value)}  {_between(cut.low, cut.high)}")
    achieved, honest = found.achieved["balanced_accuracy"], found.out_of_bag
    print(
        f"balanced accuracy {_number(achieved.value)} on these patches, {_number(honest.value)} "
        f"{_between(honest.low, honest.high)} on groups that cuts have not seen"
    )
    if best_at != "balanced_accuracy":
        print(f"{best_at.replace('_', ' ')} {_number(found.value)} on these patches")
    if found.conformal is not None and found.achieved["unsure"].value is not None:
        print(
            f"sets of {coverage:g} coverage: {100 * found.achieved['unsure'].value:.0f} % of these answers are unsure"
        )
    print(f"{path}: {settings.name}, from {found.data.patches:,} patches of {found.data.groups:,} groups")
    return 0


def _refuse(given: dict[str, Any], of: str) -> None:
    """Options that would be given in vain."""
    vain = [f"--{name}" for name, value in given.items() if value is not None]
    if vain:
        raise PixqError(f"{', '.join(vain)}: given in vain without {of}; leave it out")


def _by_ladders(
    run: Path, ladders: tuple[Path, ...], device: str, force: bool, share: float | None, stride: int | None
) -> int:
    from pixq.decisions.pjnd_cuts import PJND, write_cuts
    from pixq.ladders.fit_green_cut import fit
    from pixq.ladders.pjnd import SHARE
    from pixq.scoring.grid import STRIDE
    from pixq.scoring.scorer import load

    if (run / PJND).exists() and not force:
        raise PixqError(f"{run / PJND}: is there already; give --force to replace it")
    with progress_bar() as on_progress:
        found = fit(
            load(run, device),
            ladders,
            share=SHARE if share is None else share,
            stride=STRIDE if stride is None else stride,
            watch=on_progress,
        )
    path = write_cuts(run, found)
    print(f"Orange  from {_number(found.orange)}")
    print(f"Green   from {_number(found.green)}  {_between(found.low, found.high)}")
    for name, source in found.sources.items():
        low, high = source.range
        predicted = "no level" if source.predicted is None else f"PJND {source.predicted:g}"
        print(f"{name}: {predicted} by the cut of the others, {low:g} to {high:g} by people")
    print(f"{path}: {found.within:.0%} of {len(found.sources)} sources within their ranges")
    return 0


def _cost(text: str) -> Cost:
    try:
        rows = [tuple(float(part) for part in row.split(",")) for row in text.split("/")]
    except ValueError:
        rows = []
    if len(rows) != 3 or any(len(row) != 3 for row in rows):
        raise PixqError(f"--cost is {text!r}; give three rows of three numbers, like 0,1,4/1,0,1/4,1,0")
    return tuple(rows)  # type: ignore[return-value]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if math.isfinite(value) else "never" if value > 0 else "always"


def _between(low: float | None, high: float | None) -> str:
    return "(no interval)" if low is None or high is None else f"({_number(low)} to {_number(high)})"
