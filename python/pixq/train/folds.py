"""Cross-validation: one run per fold, and predictions of all images by models that never saw them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixq.errors import PixqError
from pixq.io.atomic import save_json, save_text
from pixq.io.optional import require
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.models.device import choose_device
from pixq.patches.store import PatchSet, fingerprint
from pixq.runs.directory import RunDirectory
from pixq.runs.recipe import Recipe
from pixq.train.loop import train
from pixq.train.metrics import agreement, finite, srcc
from pixq.train.parallel import join
from pixq.train.partition import by_fold, folds_of

__all__ = ["FOLDS", "Fold", "plan", "train_folds"]

FOLDS = "folds.json"


@dataclass(frozen=True)
class Fold:
    """One run of a cross-validation: its directory's name, the fold it predicts, and the type it is not trained on."""

    name: str
    fold: int
    left_out: str | None = None


def plan(patches: PatchSet, leave_out: str | None = None) -> list[Fold]:
    """The runs of a cross-validation.

    Parameters
    ----------
    patches
        The patch set.
    leave_out
        `None`: one run per fold. `distortion`: one run per fold and type of distortion, which is left out of its
        training and validation.

    Raises
    ------
    PixqError
        If there are too few folds, or only one type of distortion.
    """
    folds = folds_of(patches)
    if leave_out is None:
        return [Fold(f"fold-{fold}", fold) for fold in folds]
    if leave_out != "distortion":
        raise PixqError(f"--leave-out is {leave_out!r}; choose distortion")
    kinds = sorted({image["distortion_type"] for image in patches.images if image["split"] != "test"})
    if len(kinds) < 2:
        raise PixqError(f"{patches.directory}: has only one type of distortion; without it nothing is left to train on")
    runs = []
    for number, kind in enumerate(kinds):
        # A type's name may hold anything; the number keeps two that look alike apart.
        slug = re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")[:40]
        runs += [Fold(f"without-{number:02d}-{slug}/fold-{fold}", fold, kind) for fold in folds]
    return runs


def train_folds(
    patches: PatchSet,
    out: str | os.PathLike[str],
    recipe: Recipe,
    *,
    leave_out: str | None = None,
    device: str = "auto",
    resume: bool = False,
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, Any]:
    """Train one run per fold, and pool the predictions of the held-out images.

    Each run uses the next fold for early stopping and for choosing its best weights, so the pooled predictions are of
    images that played no part in training. The images of the patch set's test split are not used at all.

    Parameters
    ----------
    patches, recipe, device, resume
        As in `train`; `resume` also begins the runs that were not begun.
    out
        Directory of the runs; `folds.json` and `predictions.jsonl` are pooled over them.
    leave_out
        See `plan`.
    on_progress
        As in `train`; the stage begins with the run and its number, like `fold-0 (1 of 5)`.

    Returns
    -------
    dict
        What `folds.json` holds: agreement over all images, by type of distortion, by run.

    Raises
    ------
    PixqError
        As `train`, or if `out` holds other runs.
    """
    out = Path(out)
    runs = plan(patches, leave_out)
    summary_path = out / FOLDS
    if summary_path.exists() and not resume:
        raise PixqError(f"{out}: holds runs already; continue them with --resume, or choose another --out")
    _check_same_plan(summary_path, leave_out)
    if RunDirectory(out).exists():
        raise PixqError(f"{out}: holds a run without --folds; choose another --out")
    lines: list[dict[str, Any]] = []
    patch_quality, patch_predicted = [], []
    # Several processes meet once for all runs.
    with join(choose_device(device)):
        for number, run in enumerate(runs, 1):
            info = train(
                by_fold(patches, run.fold, run.left_out),
                out / run.name,
                recipe,
                device=device,
                resume=resume,
                on_progress=_named(on_progress, f"{run.name} ({number} of {len(runs)})"),
            )
            files = RunDirectory(out / run.name)
            if files.checksums() != info.files:
                raise PixqError(
                    f"{files.path}: its files are not those of its run.json; delete it, and continue with --resume"
                )
            mine = [json.loads(line) for line in files.images.read_text("utf-8").splitlines()]
            lines += [{**line, "fold": run.fold, "left_out": run.left_out} for line in mine]
            columns = require("safetensors", "safetensors.numpy").load_file(files.predictions)
            patch_quality.append(columns["quality"])
            patch_predicted.append(columns["predicted"])
    summary = {
        "format": "pixq folds",
        "schema_version": 1,
        "patches": fingerprint(patches),
        "recipe": recipe.model_dump(mode="json"),
        "leave_out": leave_out,
        "runs": [run.name for run in runs],
        "patch": agreement(np.concatenate(patch_predicted), np.concatenate(patch_quality)),
        **pooled(lines, leave_out),
    }
    if int(os.environ.get("RANK", "0")) == 0:
        save_text(out / "predictions.jsonl", (json.dumps(line, allow_nan=False) + "\n" for line in lines))
        save_json(summary_path, summary)
    return summary


def _named(on_progress: ProgressCallback, name: str) -> ProgressCallback:
    """The callback, with the name of a run before each stage."""
    return lambda stage, done, total, note="": on_progress(f"{name} {stage}", done, total, note)


def _check_same_plan(path: Path, leave_out: str | None) -> None:
    """An error if the summary that would be overwritten is of other runs."""
    if not path.exists():
        return
    try:
        before = json.loads(path.read_text("utf-8"))["leave_out"]
    except (ValueError, KeyError, TypeError):
        raise PixqError(f"{path}: is damaged; delete it, and continue with --resume") from None
    if before != leave_out:
        kind = "--folds" if before is None else f"--leave-out {before}"
        raise PixqError(f"{path.parent}: holds runs of {kind}; continue with that, or choose another --out")


def _srcc(lines: Sequence[dict[str, Any]]) -> float | None:
    return finite(srcc([line["predicted"] for line in lines], [line["quality"] for line in lines]))


def pooled(lines: Sequence[dict[str, Any]], leave_out: str | None) -> dict[str, Any]:
    """Agreement of image scores pooled over folds.

    With a type of distortion left out, each type's models give `all`, the SRCC over all images of the held-out
    references, and `left_out`, that over the images of the type they were never shown; `mean` is over the types.
    """
    kinds = sorted({line["distortion_type"] for line in lines})
    if leave_out is None:
        image = agreement([line["predicted"] for line in lines], [line["quality"] for line in lines])
        by_kind = {kind: _srcc([line for line in lines if line["distortion_type"] == kind]) for kind in kinds}
        return {"image": image, "by_distortion": by_kind}
    table = {}
    for kind in kinds:
        mine = [line for line in lines if line["left_out"] == kind]
        table[kind] = {
            "all": _srcc(mine),
            "left_out": _srcc([line for line in mine if line["distortion_type"] == kind]),
        }
    known = {key: [row[key] for row in table.values() if row[key] is not None] for key in ("all", "left_out")}
    mean = {key: float(np.mean(np.array(values))) if values else None for key, values in known.items()}
    return {"by_distortion": table, "mean": mean}
