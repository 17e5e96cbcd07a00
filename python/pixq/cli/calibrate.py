"""`pixq calibrate`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.ladders import alternating
from pixq.cli.messages import note, print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import AS_SHOWN, AT_A_DESK, ImageOptions, ViewingOptions, explain_target
from pixq.cli.progress import progress_bar
from pixq.decisions.calibration_file import CALIBRATION, add_calibration, read_calibrations
from pixq.decisions.cuts import Cost, Objective
from pixq.decisions.pjnd_cuts import PJND, PJND_CUTS, write_cuts
from pixq.errors import PixqError
from pixq.evaluation.calibrate import CalibrateSettings
from pixq.evaluation.calibrate import calibrate as choose_cuts
from pixq.io.optional import require
from pixq.ladders.fit_green_cut import fit_green_cut
from pixq.patches.target import open_target
from pixq.scoring.grid import STRIDE
from pixq.scoring.scorer import DEFAULT, load
from pixq.viewing import ViewingConditions

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
    coverage: Annotated[float | None, number_in(ranges.LEVEL)] = None,
    resamples: Annotated[int | None, number_in(ranges.RESAMPLES)] = None,
    level: Annotated[float | None, number_in(ranges.LEVEL)] = None,
    seed: Annotated[int | None, number_in(ranges.SEED)] = None,
    share: Annotated[float | None, number_in(ranges.SHARE)] = None,
    stride: Annotated[int | None, number_in(ranges.STRIDE)] = None,
    device: str = "auto",
    force: Annotated[bool, Parameter(negative="")] = False,
    viewing: ViewingOptions = AT_A_DESK,
    images: ImageOptions = AS_SHOWN,
) -> int:
    """Choose the scores from which a patch is Orange and Green, for a target domain.

    The cuts are the exact optimum on the target's calibration split; the test split is never used. They are saved by
    name in the run's calibration.json.

    With --ladders instead of --target, the cut is fitted to ladders of increasing distortion for which people gave
    PJNDs, and saved in the run's pjnd.json. For a run of the model visibility, it is the JND from which people notice
    an image when it alternates with its reference; pixq pjnd and pixq critical use it, and the classes of patches stay
    as they are. For other models it is the Green cut, which pixq predict uses, too. The options from --name to --seed
    only apply to --target. What can't be read is listed on stderr and left out; the exit code is then 1.

    Parameters
    ----------
    run
        Directory of a finished run.
    target
        A patch set, or a tree of Samsung-style triplets, from which a patch set is built beside it.
    ladders
        Folders with ground_truth.json and images, in the layout of LocJND and KonJND.
    name
        Name of the calibration; a run can hold several. Default: default.
    split
        The target's calibration split. Default: validation.
    objective
        What the cuts are optimised for. Default: balanced_accuracy.
    cost
        For --objective cost: the cost of each answer, one row per true class, Red first, like 0,1,4/1,0,1/4,1,0.
    coverage
        Learn conformal sets that contain the true class with this probability; an answer with several classes, or with
        none, is `unsure`.
    resamples
        Number of bootstrap resamples of groups. Default: 1000.
    level
        Confidence level of the intervals. Default: 0.95.
    seed
        Random seed of the bootstrap and of the halves for --coverage. Default: 0.
    share
        For --ladders: a level is noticed if at least this share of patches, 0 to 1, is not Green. Default: 0.05.
        Refused for runs of the model visibility, where the JND of the whole image decides.
    stride
        For --ladders: pixels between neighbouring patches. Default: 10.
    device
        cpu, cuda, cuda:1, or auto.
    force
        Replace a calibration of the same name, or the cut fitted to ladders.
    """
    if run.resolve() == DEFAULT.resolve():
        raise PixqError(f"{run}: is part of the installed pixq; copy the folder and calibrate the copy")
    viewing.check_run(run)
    by_target = {
        "name": name, "split": split, "objective": objective, "cost": cost, "coverage": coverage,
        "resamples": resamples, "level": level, "seed": seed,
    }  # fmt: skip
    by_ladders = {
        "share": share,
        "stride": stride,
        "no-colour-management": None if images.colour_management else True,
        "background": images.background,
        "frame": images.frame,
    }
    if ladders:
        if target is not None:
            raise PixqError("--target and --ladders can't be combined; give one of them")
        _refuse(by_target, "--target")
        return _fit_ladders(run, ladders, device, alternating(viewing), force, share, stride, images)
    if target is None:
        raise PixqError("there is no data to choose cuts on; give --target or --ladders")
    _refuse(by_ladders, "--ladders")
    if name == PJND_CUTS:
        raise PixqError(f"--name is {name}, which is reserved for the cuts of --ladders; choose another name")
    best_for = Objective(objective or "balanced_accuracy", None if cost is None else _cost(cost))
    options: dict[str, Any] = {**by_target, "objective": best_for}
    del options["cost"]
    settings = CalibrateSettings(**{key: value for key, value in options.items() if value is not None})
    return _calibrate_target(run, target, device, force, settings, viewing.conditions)


def _calibrate_target(
    run: Path, target: Path, device: str, force: bool, settings: CalibrateSettings, viewing: ViewingConditions
) -> int:
    if settings.name in read_calibrations(run) and not force:
        raise PixqError(
            f"{run / CALIBRATION}: already holds a calibration called {settings.name}; choose another --name, or add "
            "--force"
        )
    patches, made = open_target(target)
    skipped = explain_target(target, patches, made)
    choose_device = require("torch", "pixq.models.device").choose_device
    device = str(choose_device(device))
    with progress_bar() as on_progress:
        calibration = choose_cuts(run, patches, settings, device=device, viewing=viewing, on_progress=on_progress)
    path = add_calibration(run, calibration)
    for warning in calibration.warnings:
        warn(warning)
    for label, cut in (("Orange", calibration.cuts.orange), ("Green", calibration.cuts.green)):
        if calibration.viewing is not None and math.isfinite(cut.value):
            span = "(no interval)" if cut.low is None or cut.high is None else _between(-cut.high, -cut.low)
            print_lines(f"{label:7} up to {-cut.value:.4f} JND  {span}")
            continue
        start = "from " if math.isfinite(cut.value) else ""
        print_lines(f"{label:7} {start}{_number(cut.value)}  {_between(cut.low, cut.high)}")
    if calibration.viewing is not None:
        print_lines(f"seen {calibration.viewing}")
    achieved, expected = calibration.achieved["balanced_accuracy"], calibration.out_of_bag
    print_lines(
        f"balanced accuracy {_number(achieved.value)} on these patches, {_number(expected.value)} "
        f"{_between(expected.low, expected.high)} on groups that the cuts were not chosen on"
    )
    if calibration.objective != "balanced_accuracy":
        print_lines(f"{calibration.objective.replace('_', ' ')} {_number(calibration.value)} on these patches")
    unsure = calibration.achieved.get("unsure")
    if unsure is not None and unsure.value is not None:
        print_lines(
            f"sets with a coverage of {settings.coverage:g}: {100 * unsure.value:.0f} % of these answers are unsure"
        )
    data = calibration.data
    print_lines(f"{path}: {settings.name}, from {data.patches:,} patches in {data.groups:,} groups")
    return 1 if skipped else 0


def _refuse(options: dict[str, Any], needed: str) -> None:
    """Refuse options that have no effect without another one."""
    useless = [f"--{name}" for name, value in options.items() if value is not None]
    if useless:
        verb, pronoun = ("has", "it") if len(useless) == 1 else ("have", "them")
        raise PixqError(f"{', '.join(useless)}: only {verb} an effect together with {needed}; remove {pronoun}")


def _fit_ladders(
    run: Path,
    ladders: tuple[Path, ...],
    device: str,
    viewing: ViewingConditions,
    force: bool,
    share: float | None,
    stride: int | None,
    images: ImageOptions,
) -> int:
    if (run / PJND).exists() and not force:
        raise PixqError(f"{run / PJND}: already exists; add --force to replace it")
    left_out: list[str] = []

    def leave_out(line: str) -> None:
        left_out.append(line)
        note(f"{line}; it was left out")

    with progress_bar() as on_progress:
        cuts = fit_green_cut(
            load(run, device, viewing=viewing),
            ladders,
            share=share,
            stride=STRIDE if stride is None else stride,
            reading=images.reading,
            on_progress=on_progress,
            leave_out=leave_out,
            warn=warn,
        )
    path = write_cuts(run, cuts)
    if cuts.share is None:
        print_lines(f"noticed from {-cuts.green:.4f} JND on  {_between(-cuts.high, -cuts.low)}", f"seen {viewing}")
    else:
        print_lines(f"Orange  from {_number(cuts.orange)}")
        print_lines(f"Green   from {_number(cuts.green)}  {_between(cuts.low, cuts.high)}")
    for name, source in cuts.sources.items():
        low, high = source.range
        predicted = "no level" if source.predicted is None else f"PJND {source.predicted:g}"
        print_lines(f"{name}: {predicted} predicted from the other sources, {low:g} to {high:g} by people")
    print_lines(f"{path}: {cuts.within:.0%} of {len(cuts.sources)} sources within their ranges")
    return 1 if left_out else 0


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
