"""Which images a run trains, validates and predicts on; no photo is in two of these parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pixq.datasets import splits
from pixq.errors import PixqError
from pixq.patches.joined import JoinedSets
from pixq.patches.store import PatchSet

__all__ = ["Partition", "by_fold", "by_split", "folds_of", "kinds_of"]


@dataclass(frozen=True)
class Partition:
    """The images of a run.

    Parameters
    ----------
    patches
        The whole patch set.
    train, validation
        The images that the weights are fitted to, and those that early stopping and the choice of the best weights use.
    held_out
        For a fold, the images that are predicted at the end and used for nothing else. `None` for a plain run, which
        does not use the test split.
    rule
        How the images were chosen, for `run.json`.
    """

    patches: PatchSet
    train: PatchSet
    validation: PatchSet
    held_out: PatchSet | None
    rule: dict[str, Any]

    def __post_init__(self) -> None:
        images = self.patches.images
        named = {"train": self.train, "validation": self.validation, "held out": self.held_out}
        splits.check(
            (images[number]["image_id"], images[number]["group"], images[number]["reference_id"], name)
            for name, part in named.items()
            if part is not None
            for number in np.unique(part.records.image).tolist()
        )

    def describe(self) -> dict[str, Any]:
        """The rule, and the numbers of images and records and the photos of each part, for `run.json`."""
        named = {"train": self.train, "validation": self.validation, "held_out": self.held_out}
        parts = {name: part for name, part in named.items() if part is not None}
        counts = {
            name: {"images": len(np.unique(part.records.image)), "records": len(part)} for name, part in parts.items()
        }
        photos = {name: sorted(part.photos()) for name, part in parts.items()}
        return {**self.rule, **counts, "photos": photos}


def by_split(patches: PatchSet) -> Partition:
    """The training and validation splits of the patch set.

    Raises
    ------
    PixqError
        If one of them is empty.
    """
    for split in ("train", "validation"):
        if len(patches.select(split=split)) == 0:
            raise PixqError(
                f"{patches.directory}: its {split} split is empty; build it with both, for example "
                "--split 0.6,0.2,0.2, or train with --folds"
            )
    return Partition(
        patches, patches.select(split="train"), patches.select(split="validation"), None, {"rule": "split"}
    )


def folds_of(patches: PatchSet) -> list[int]:
    """The folds that have images outside the test split, which cross-validation never uses.

    Raises
    ------
    PixqError
        If there are fewer than three: one to predict, one to validate and one to train.
    """
    folds = sorted({image["fold"] for image in patches.images if image["split"] != "test" and image["records"]})
    if len(folds) < 3:
        raise PixqError(
            f"{patches.directory}: has {len(folds)} folds outside its test split, but three are needed: one to "
            "predict, one to validate and one to train; build it with more references or more --folds"
        )
    return folds


def kinds_of(patches: PatchSet, leave_out: str) -> list[str]:
    """The type of distortion of each image, or the name of its set: what `leave_out` (distortion, dataset) leaves out.

    Raises
    ------
    PixqError
        If `leave_out` is something else, or `dataset` and there is one patch set.
    """
    if leave_out == "distortion":
        return [image["distortion_type"] for image in patches.images]
    if leave_out != "dataset":
        raise PixqError(f"--leave-out is {leave_out!r}; choose distortion or dataset")
    if not isinstance(patches, JoinedSets):
        raise PixqError(f"{patches.directory}: is one patch set; --leave-out dataset needs several")
    return [patches.names[number] for number in patches.set_of_image]


def by_fold(patches: PatchSet, fold: int, left_out: str | None = None, leave_out: str = "distortion") -> Partition:
    """A partition that holds one fold out, validates on the next one and trains on the others.

    Early stopping and the choice of the best weights use the validating fold alone, so the images of the held-out fold
    play no part in training. With `left_out`, a type of distortion, or one of several sets (`leave_out`), is also
    excluded from training and validation: the held-out fold then shows how well the model does on what it has never
    seen.

    Raises
    ------
    PixqError
        If there are fewer than three folds, no such fold, type or set, or nothing is left to train or validate with.
    """
    folds = folds_of(patches)
    kinds = kinds_of(patches, leave_out)
    if fold not in folds:
        raise PixqError(f"{patches.directory}: has no fold {fold}; it has {', '.join(map(str, folds))}")
    if left_out is not None and left_out not in kinds:
        what = "distortion type" if leave_out == "distortion" else "set"
        raise PixqError(f"{patches.directory}: has no {what} {left_out!r}; it has {', '.join(sorted(set(kinds)))}")
    # A fold may hold nothing but what is left out.
    usable = {
        image["fold"]
        for image, kind in zip(patches.images, kinds, strict=True)
        if kind != left_out and image["split"] != "test" and image["records"]
    }
    position = folds.index(fold)
    following = [other for other in (*folds[position + 1 :], *folds[:position]) if other in usable]
    if len(following) < 2:
        raise PixqError(
            f"{patches.directory}: fewer than two folds are left to train and validate with for fold {fold} without "
            f"{left_out!r}; build it with more references"
        )
    next_fold = following[0]

    def part(name: str, chosen: list[int], without: str | None) -> PatchSet:
        keep = np.array(
            [
                image["fold"] in chosen and image["split"] != "test" and kind != without
                for image, kind in zip(patches.images, kinds, strict=True)
            ],
            dtype=bool,
        )
        chosen_patches = patches[keep[patches.records.image]]
        if len(chosen_patches) == 0:
            raise PixqError(
                f"{patches.directory}: nothing is left to {name} with for fold {fold}"
                + ("" if without is None else f" without {without!r}")
            )
        return chosen_patches

    rule: dict[str, Any] = {"rule": "fold", "fold": fold, "folds": folds, "validation_fold": next_fold}
    if left_out is not None:
        rule["left_out"] = left_out
        if leave_out != "distortion":
            rule["leave_out"] = leave_out
    others = [other for other in folds if other not in (fold, next_fold)]
    return Partition(
        patches,
        part("train", others, left_out),
        part("validate", [next_fold], left_out),
        part("predict", [fold], None),
        rule,
    )
