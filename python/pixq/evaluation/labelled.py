"""Patches of one split, what people said of them, and what a model says: what calibration and evaluation begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pixq.classes import NAMES, QUALITY_CUTS, classify
from pixq.errors import PixqError
from pixq.io.paths import text_of
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.schema import ImageLine
from pixq.patches.store import PatchSet, fingerprint, image_spans
from pixq.statistics.bootstrap import FEW_GROUPS
from pixq.statistics.estimates import Data

if TYPE_CHECKING:
    from pixq.scoring.scorer import Scorer

__all__ = ["LabelledSplit", "Scores", "check_photos", "check_target", "judged", "model_scores"]

#: Patches scored at a time, as in training.
CHUNK = 256


@dataclass(frozen=True, eq=False)
class LabelledSplit:
    """The patches of one split with what people said of them; of all columns, row i is of patch i.

    Parameters
    ----------
    patches
        The selection, its records image by image.
    split
        `train`, `validation` or `test`.
    """

    patches: PatchSet
    split: str

    def __len__(self) -> int:
        return len(self.patches)

    @cached_property
    def quality(self) -> NDArray[np.float64]:
        """0 to 1, 1 = nobody notices."""
        return self.patches.records.quality

    @cached_property
    def truth(self) -> NDArray[np.int8]:
        """The true class."""
        return classify(self.quality, QUALITY_CUTS)

    @cached_property
    def image(self) -> NDArray[np.int64]:
        """The number of its image in `PatchSet.images`."""
        return self.patches.records.image.astype(np.int64)

    @cached_property
    def group_names(self) -> NDArray[np.str_]:
        """The groups of the patch set, sorted."""
        return np.unique([image["group"] for image in self.patches.images])

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """The number of its group in `group_names`: what intervals are drawn over."""
        names = [image["group"] for image in self.patches.images]
        return np.searchsorted(self.group_names, names)[self.image]

    @cached_property
    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First patch and number of patches of each image."""
        return image_spans(self.image)

    @property
    def has_images(self) -> bool:
        """Whether an image is more than one patch."""
        return len(self.spans[0]) < len(self)

    def by_image(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of `values` (n,) or (n, k) over each image's patches."""
        starts, counts = self.spans
        sums = np.add.reduceat(values, starts, axis=0)
        return sums / counts.reshape(-1, *[1] * (values.ndim - 1))

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """What patches can be told apart by: `distortion_type`, `level`, `fusion` and the dataset's attributes.

        Only what takes several values here; each list has a text a patch.
        """
        images, records = self.patches.images, self.patches.records
        found = {
            "distortion_type": [images[i]["distortion_type"] for i in self.image.tolist()],
            "level": [_level(images[i]) for i in self.image.tolist()],
            "fusion": [str(self.patches.fusions[f]) for f in records.fusion.tolist()],
        }
        attributes: list[Mapping[str, str]] = [dict(images[i].get("attributes", {})) for i in self.image.tolist()]
        # The class itself, which some datasets name, is no way to tell patches apart.
        for key in sorted({key for each in attributes for key in each} - {"color"}):
            column = [each.get(key, "-") for each in attributes]
            if column not in found.values():
                found[key] = column
        return {key: values for key, values in found.items() if 1 < len(set(values)) <= MOST_VALUES}

    def warnings(self) -> list[str]:
        """What a reader must know before intervals over these groups are believed, in words."""
        found = []
        groups = len(np.unique(self.group))
        if groups < FEW_GROUPS:
            found.append(
                f"the {self.split} split has {groups} groups; intervals from fewer than {FEW_GROUPS} are too narrow"
            )
        images = [self.patches.images[number] for number in np.unique(self.image).tolist()]
        sources = {dict(image.get("attributes", {})).get("source") for image in images}
        # Crops of one photo that don't overlap are groups of their own, and yet alike.
        if None not in sources and len(sources) < min(groups, FEW_GROUPS):
            many = "" if len(sources) == 1 else "s"
            found.append(
                f"the {groups} groups of the {self.split} split are crops of {len(sources)} image{many}: intervals are "
                "for other crops of these, and too narrow for other images"
            )
        return found

    def describe(self) -> Data:
        """What `calibration.json` and evaluations say of it."""
        manifest = self.patches.manifest
        counts = np.bincount(self.truth, minlength=len(NAMES))
        return Data(
            directory=text_of(self.patches.directory),
            fingerprint=fingerprint(self.patches),
            dataset=manifest["dataset"],
            split=self.split,
            patches=len(self),
            images=len(self.spans[0]),
            groups=len(np.unique(self.group)),
            by_class=dict(zip(NAMES, counts.tolist(), strict=True)),
            label_contract=manifest["label_contract"],
        )


#: An attribute with more values than this, as a crop's number has, tells nothing as a table.
MOST_VALUES = 24


def _level(image: ImageLine) -> str:
    return "-" if image["level"] is None else f"{image['level']:g}"


def judged(patches: PatchSet | str | os.PathLike[str], split: str) -> LabelledSplit:
    """One split of a patch set, image by image.

    Raises
    ------
    PixqError
        If there is no such split, or it is empty.
    """
    opened = patches if isinstance(patches, PatchSet) else PatchSet(patches)
    if split not in ("train", "validation", "test"):
        raise PixqError(f"there is no split {split!r}; choose train, validation or test")
    opened.check_not_empty()
    chosen = opened.select(split=split)
    if len(chosen) == 0:
        raise PixqError(
            f"{opened.directory}: its {split} split is empty; build the patch set with a share of it, like "
            "--split 0.5,0.25,0.25"
        )
    return LabelledSplit(chosen[np.argsort(chosen.records.image, kind="stable")], split)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of patches, and of their images, on no fixed scale; higher is better.

    Parameters
    ----------
    patches
        float64 (n,).
    images
        float64 (m,): an image's, from its patches; the images in their order in `LabelledSplit.image`.
    """

    patches: NDArray[np.float64]
    images: NDArray[np.float64]


def model_scores(scorer: Scorer, data: LabelledSplit, on_progress: ProgressCallback = ignore_progress) -> Scores:
    """The scores that a run's model gives.

    Parameters
    ----------
    scorer
        The model.
    data
        What is scored.
    on_progress
        Called with the number of patches scored so far.
    """
    score, weight = np.empty(len(data)), np.empty(len(data), dtype=np.float32)
    done = 0
    for batch in data.patches.batches(CHUNK):
        here = slice(done, done + len(batch.rows))
        score[here], weight[here] = scorer.scores(batch.reference, batch.fused)
        done = here.stop
        on_progress("scoring", done, len(data))
    if not np.isfinite(score).all():
        raise PixqError(f"{data.patches.directory}: the model gives a score that is not a number; train anew")
    return Scores(score, scorer.image_scores(data.image, score, weight))


def check_target(scorer: Scorer, data: LabelledSplit) -> None:
    """Make sure that a target's patches are as large as those that the model was trained on.

    Raises
    ------
    PixqError
        If they aren't.
    """
    size = scorer.info.patches["geometry"]["size"]
    if data.patches.geometry.size != size:
        raise PixqError(
            f"{data.patches.directory}: its patches have {data.patches.geometry.size} pixels a side, those of the run "
            f"{size}; build the target with --size {size}"
        )


def check_photos(scorer: Scorer, data: LabelledSplit, parts: tuple[str, ...]) -> list[str]:
    """Make sure that the model has not learned from these photos; a warning where that can't be known.

    Parameters
    ----------
    scorer
        The model.
    data
        What it is to be judged on.
    parts
        What of the run must not be there: `train`, and `validation`, which chose the epoch.

    Raises
    ------
    PixqError
        If a photo is in both: a leak.
    """
    known = scorer.info.seen()
    if not known:
        return ["the run does not say which photos it was trained on, so a leak can't be ruled out; train it anew"]
    mine = data.patches.photos()
    for part in parts:
        if shared := mine & set(known.get(part, [])):
            references = sorted({data.patches.images[number]["reference_id"] for number in set(data.image.tolist())})
            name = next(each for each in references if data.patches.select(reference=each).photos() & shared)
            did = "trained" if part == "train" else "chosen"
            raise PixqError(
                f"{data.patches.directory}: a leak: {len(shared)} photos of its {data.split} split, like {name!r}, "
                f"are among those the model was {did} on; take a split or a set without them"
            )
    return []
