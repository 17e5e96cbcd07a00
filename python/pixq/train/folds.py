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
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.io.atomic import save_json, save_text
from pixq.io.optional import require
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.models.device import choose_device
from pixq.patches.store import PatchSet, fingerprint
from pixq.runs.directory import RunDirectory
from pixq.runs.recipe import Recipe
from pixq.train.loop import train
from pixq.train.metrics import agreement, finite, mean_agreement, srcc
from pixq.train.parallel import join
from pixq.train.partition import by_fold, folds_of, kinds_of
from pixq.train.set_scales import set_numbers

__all__ = ["FOLDS", "Fold", "plan", "train_folds"]

FOLDS = "folds.json"


@dataclass(frozen=True)
class Fold:
    """One run of a cross-validation: its directory's name, the fold it predicts, and what it is not trained on."""

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
        training and validation. `dataset`: the same per set of several.

    Raises
    ------
    PixqError
        If there are too few folds, or only one type of distortion or one set.
    """
    folds = folds_of(patches)
    if leave_out is None:
        return [Fold(f"fold-{fold}", fold) for fold in folds]
    every = zip(kinds_of(patches, leave_out), patches.images, strict=True)
    kinds = sorted({kind for kind, image in every if image["split"] != "test"})
    if len(kinds) < 2:
        what = "type of distortion" if leave_out == "distortion" else "set"
        raise PixqError(
            f"{patches.directory}: has only one {what} outside its test split; without it nothing is left to train on"
        )
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
    for run in runs:
        # What can't be trained is found before hours of training.
        by_fold(patches, run.fold, run.left_out, leave_out or "distortion")
    lines: list[dict[str, Any]] = []
    patch_quality, patch_predicted, patch_image = [], [], []
    # Several processes meet once for all runs.
    with join(choose_device(device)):
        for number, run in enumerate(runs, 1):
            info = train(
                by_fold(patches, run.fold, run.left_out, leave_out or "distortion"),
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
            patch_image.append(columns["image"])
    summary = {
        "format": "pixq folds",
        "schema_version": 1,
        "patches": fingerprint(patches),
        "recipe": recipe.model_dump(mode="json"),
        "leave_out": leave_out,
        "runs": [run.name for run in runs],
        "patch": _patches(patch_predicted, patch_quality, patch_image, patches),
        **pooled(lines, leave_out),
    }
    if int(os.environ.get("RANK", "0")) == 0:
        save_text(out / "predictions.jsonl", (json.dumps(line, allow_nan=False) + "\n" for line in lines))
        save_json(summary_path, summary)
    return summary


def _patches(
    predicted: Sequence[NDArray[Any]], quality: Sequence[NDArray[Any]], image: Sequence[NDArray[Any]], patches: PatchSet
) -> dict[str, float | None]:
    """Agreement over all patches; of several sets, the mean over the sets."""
    p, q, sets = np.concatenate(predicted), np.concatenate(quality), set_numbers(patches)[np.concatenate(image)]
    return mean_agreement([agreement(p[sets == number], q[sets == number]) for number in np.unique(sets).tolist()])


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


def _by_set(lines: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The lines of each set: scores of several sets may be on different scales."""
    return [
        [line for line in lines if line.get("set") == name] for name in dict.fromkeys(line.get("set") for line in lines)
    ]


def _srcc(lines: Sequence[dict[str, Any]]) -> float | None:
    """The SRCC of image scores, the mean over the sets that they are from."""
    parts = [
        {"srcc": finite(srcc([line["predicted"] for line in part], [line["quality"] for line in part]))}
        for part in _by_set(lines)
    ]
    return mean_agreement(parts).get("srcc")


def pooled(lines: Sequence[dict[str, Any]], leave_out: str | None) -> dict[str, Any]:
    """Agreement of image scores pooled over folds; of several sets, the mean over the sets.

    With a type of distortion or a set left out, each one's models give `all`, the SRCC over all images of the held-out
    references, and `left_out`, that over the images of what they were never shown; `mean` is over types or sets.
    """
    key = "set" if leave_out == "dataset" else "distortion_type"
    kinds = sorted({line[key] for line in lines})
    if leave_out is None:
        image = mean_agreement(
            [
                agreement([line["predicted"] for line in part], [line["quality"] for line in part])
                for part in _by_set(lines)
            ]
        )
        by_kind = {kind: _srcc([line for line in lines if line["distortion_type"] == kind]) for kind in kinds}
        sets = {part[0]["set"]: _srcc(part) for part in _by_set(lines) if part[0].get("set") is not None}
        return {"image": image, "by_distortion": by_kind, **({"by_dataset": sets} if sets else {})}
    table = {}
    for kind in kinds:
        mine = [line for line in lines if line["left_out"] == kind]
        table[kind] = {
            "all": _srcc(mine),
            "left_out": _srcc([line for line in mine if line[key] == kind]),
        }
    mean = {
        name: mean_agreement([{"mean": row[name]} for row in table.values()])["mean"] for name in ("all", "left_out")
    }
    return {f"by_{leave_out}": table, "mean": mean}
