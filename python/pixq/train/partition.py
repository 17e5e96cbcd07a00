"""Which images a run trains, validates and predicts on; no photo is ever in two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pixq.datasets import splits
from pixq.errors import PixqError
from pixq.patches.store import PatchSet

__all__ = ["Parts", "by_fold", "by_split", "folds_of"]


@dataclass(frozen=True)
class Parts:
    """The images of a run.

    Parameters
    ----------
    patches
        The whole patch set.
    train, validation
        What weights are fitted to, and what early stopping and the choice of the checkpoint look at.
    held_out
        For a fold: the images predicted at the end, which nothing else has seen. `None` for a plain run: the test
        split is not looked at.
    rule
        How they were chosen, for `run.json`.
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
        """The rule, the counts of images and records of each part, and its photos, which no judge may use."""
        named = {"train": self.train, "validation": self.validation, "held_out": self.held_out}
        parts = {name: part for name, part in named.items() if part is not None}
        counts = {
            name: {"images": len(np.unique(part.records.image)), "records": len(part)} for name, part in parts.items()
        }
        photos = {name: sorted(part.photos()) for name, part in parts.items()}
        return {**self.rule, **counts, "photos": photos}


def by_split(patches: PatchSet) -> Parts:
    """Train and validation as the patch set was split.

    Raises
    ------
    PixqError
        If one of them is empty.
    """
    for split in ("train", "validation"):
        if len(patches.select(split=split)) == 0:
            raise PixqError(
                f"{patches.directory}: its {split} split is empty; build it with shares of both, like "
                "--split 0.6,0.2,0.2, or train by --folds"
            )
    return Parts(patches, patches.select(split="train"), patches.select(split="validation"), None, {"rule": "split"})


def folds_of(patches: PatchSet) -> list[int]:
    """The folds that have images outside of the test split, which folds never touch.

    Raises
    ------
    PixqError
        If there are fewer than three: one is predicted, one validates, the others train.
    """
    found = sorted({image["fold"] for image in patches.images if image["split"] != "test" and image["records"]})
    if len(found) < 3:
        raise PixqError(
            f"{patches.directory}: has {len(found)} folds outside of its test split, and three are needed: one to "
            "predict, one to validate, one to train; build it with more references or more --folds"
        )
    return found


def by_fold(patches: PatchSet, fold: int, left_out: str | None = None) -> Parts:
    """One fold is held out, the next one validates, the others train.

    Early stopping and the checkpoint look at the validating fold alone, so predictions of the held-out fold are of
    images that played no part. With `left_out`, a type of distortion is taken out of training and validation as
    well: the held-out fold tells how the model does on a distortion that it has never seen.

    Raises
    ------
    PixqError
        If there are fewer than three folds, no such fold or type, or nothing is left to train or validate with.
    """
    folds = folds_of(patches)
    kinds = sorted({image["distortion_type"] for image in patches.images})
    if fold not in folds:
        raise PixqError(f"{patches.directory}: has no fold {fold}; it has {', '.join(map(str, folds))}")
    if left_out is not None and left_out not in kinds:
        raise PixqError(f"{patches.directory}: has no distortion type {left_out!r}; it has {', '.join(kinds)}")
    next_fold = folds[(folds.index(fold) + 1) % len(folds)]

    def part(name: str, chosen: list[int], without: str | None) -> PatchSet:
        keep = np.array(
            [
                image["fold"] in chosen and image["split"] != "test" and image["distortion_type"] != without
                for image in patches.images
            ],
            dtype=bool,
        )
        found = patches[keep[patches.records.image]]
        if len(found) == 0:
            raise PixqError(
                f"{patches.directory}: nothing is left to {name} with in fold {fold}"
                + ("" if without is None else f" without {without!r}")
            )
        return found

    rule: dict[str, Any] = {"rule": "fold", "fold": fold, "folds": folds, "validation_fold": next_fold}
    if left_out is not None:
        rule["left_out"] = left_out
    others = [each for each in folds if each not in (fold, next_fold)]
    return Parts(
        patches,
        part("train", others, left_out),
        part("validate", [next_fold], left_out),
        part("predict", [fold], None),
        rule,
    )
