"""`pixq train`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from pixq.cli.messages import note, print_lines
from pixq.cli.progress import progress_bar
from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.patches.joined import JoinedSets, read_photographs
from pixq.patches.store import PatchSet
from pixq.runs.directory import RunDirectory
from pixq.runs.recipe import check_used, read_recipe
from pixq.train.partition import by_split

__all__ = ["train"]


def train(
    *patches: Path,
    out: Path,
    photographs: Path | None = None,
    recipe: str | None = None,
    source: Annotated[Path | None, Parameter(name="--from")] = None,
    only: Literal["head"] | None = None,
    overrides: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = (),
    folds: Annotated[bool, Parameter(negative="")] = False,
    leave_out: Literal["distortion", "dataset"] | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
) -> int:
    """Train a patch-quality model.

    Parameters
    ----------
    patches
        Directory of the patch set, or of several. Photographs that occur in several sets are recognised, and are
        either trained on or not.
    out
        Directory of the run.
    photographs
        With several sets: a CSV file with columns set (a directory's name), reference and photograph, for photographs
        that are not recognised.
    recipe
        seed, strong, or a TOML file. Default: seed; with --resume, the run's own; with --from, that of the other run.
    source
        Directory of a finished run: start from its best model instead of random weights.
    only
        With --from: train only the head, and leave the body as it is.
    overrides
        A key of the recipe and its value, like optimiser.lr=0.001 or 'balance.by=["quality"]'. Repeat it to set
        several keys. The documentation lists the keys.
    folds
        Train one run per fold, and pool their predictions of the held-out images.
    leave_out
        Like --folds, once for each type of distortion, or each of several sets, which is left out of training.
    resume
        Continue a run that was interrupted, or begin it.
    device
        auto, cpu, cuda or cuda:0.
    """
    require("torch")
    # torchrun starts several processes, of which only the first one prints.
    first = os.environ.get("RANK", "0") == "0"
    from pixq.train import folds as cross
    from pixq.train import loop
    from pixq.train.init_from_run import InitialRun, finetuning_recipe
    from pixq.train.set_scales import check_sets

    if source is not None and (folds or leave_out is not None):
        raise PixqError("--from starts one run; leave out --folds and --leave-out")
    if only is not None and source is None:
        raise PixqError(f"--only {only} needs --from RUN; add the run to start from, or remove --only")
    opened = _open(patches, photographs)
    several = folds or leave_out is not None
    begun = RunDirectory(out / cross.plan(opened, leave_out)[0].name if several else out)
    if resume and first and not begun.exists():
        note(f"{out}: holds no run yet; beginning one")
    if resume and recipe is None and not overrides and begun.exists():
        chosen = begun.recipe_of(begun.read_info())
    elif source is not None:
        chosen = finetuning_recipe(source, recipe, overrides)
    else:
        chosen = read_recipe(recipe or "seed", overrides)
        check_used(chosen, overrides)
    check_sets(opened, chosen)
    if first and isinstance(opened, JoinedSets):
        for line in opened.notes:
            note(line)
    if several:
        with progress_bar(quiet=not first) as on_progress:
            summary = cross.train_folds(
                opened, out, chosen, leave_out=leave_out, device=device, resume=resume, on_progress=on_progress
            )
        if first:
            print_lines(*_folds(summary))
        return 0
    if (out / cross.FOLDS).exists():
        raise PixqError(f"{out}: holds runs of --folds; choose another --out")
    with progress_bar(quiet=not first) as on_progress:
        start = None if source is None else InitialRun.of(source, only)
        partition = by_split(opened)
        info = loop.train(partition, out, chosen, device=device, resume=resume, start=start, on_progress=on_progress)
    best = info.best or {"epoch": 0, "loss": float("nan")}
    if first:
        print_lines(
            f"{out}: {chosen.model.name}, {info.parameters:,} weights, best after epoch {best['epoch']}: "
            f"validation loss {best['loss']:.5f}"
        )
    return 0


def _open(directories: Sequence[Path], photographs: Path | None) -> PatchSet:
    """The patch set, or several as one."""
    if not directories:
        raise PixqError("no patch set is named; give the directory of one that pixq build-patches wrote")
    if len(directories) > 1:
        opened: PatchSet = JoinedSets(directories, None if photographs is None else read_photographs(photographs))
        for one in opened.sets if isinstance(opened, JoinedSets) else ():
            one.check_not_empty()
        return opened
    if photographs is not None:
        raise PixqError("--photographs is for several patch sets; name them, or remove it")
    opened = PatchSet(directories[0])
    opened.check_not_empty()
    return opened


def _folds(summary: dict[str, Any]) -> list[str]:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    if summary["leave_out"] is None:
        image = summary["image"]
        lines = [f"SRCC of image scores, pooled over {len(summary['runs'])} folds: {number(image['srcc'])}"]
        lines += [f"  {number(value)}  {kind}" for kind, value in summary["by_distortion"].items()]
        lines += [f"  {number(value)}  set {name}" for name, value in summary.get("by_dataset", {}).items()]
        return [*lines, f"PLCC {number(image['plcc'])}, MAE {number(image['mae'])}"]
    what = "type" if summary["leave_out"] == "distortion" else "set"
    lines = [f"SRCC over all held-out images, and over the {what} left out"]
    rows = summary[f"by_{summary['leave_out']}"]
    lines += [f"  {number(row['all'])}  {number(row['left_out'])}  {kind}" for kind, row in rows.items()]
    return [*lines, f"  {number(summary['mean']['all'])}  {number(summary['mean']['left_out'])}  mean"]
