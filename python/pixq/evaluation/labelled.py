"""One split of a patch set with its labels and a model's scores, which calibration and evaluation start from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from pixq.classes import NAMES, QUALITY_CUTS, classify
from pixq.errors import PixqError
from pixq.evaluation.trained_photographs import trained_photograph
from pixq.io.paths import text_of
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.schema import ImageLine
from pixq.patches.store import PatchSet, fingerprint, image_spans
from pixq.scoring.engine import EngineScores
from pixq.scoring.pooling import pool_by
from pixq.statistics.bootstrap import FEW_GROUPS
from pixq.statistics.estimates import Data

if TYPE_CHECKING:
    from pixq.scoring.scorer import Scorer

__all__ = [
    "LabelledSplit",
    "Scores",
    "check_photos",
    "check_target",
    "model_outputs",
    "model_scores",
    "read_split",
]

#: Number of patches scored at a time, as in training.
CHUNK = 256
#: An attribute with more values than this, such as a crop's number, makes no useful table.
MOST_VALUES = 24


@dataclass(frozen=True, eq=False)
class LabelledSplit:
    """The patches of one split with their labels; row i of every column belongs to patch i.

    Parameters
    ----------
    patches
        The patches of the split, in the order of their images.
    split
        `train`, `validation` or `test`.
    """

    patches: PatchSet
    split: str

    def __len__(self) -> int:
        return len(self.patches)

    @cached_property
    def quality(self) -> NDArray[np.float64]:
        """The quality of each patch, 0 to 1; 1 = nobody notices."""
        return self.patches.records.quality

    @cached_property
    def truth(self) -> NDArray[np.int8]:
        """The true class of each patch."""
        return classify(self.quality, QUALITY_CUTS)

    @cached_property
    def image(self) -> NDArray[np.int64]:
        """The index of each patch's image in `PatchSet.images`."""
        return self.patches.records.image.astype(np.int64)

    @cached_property
    def group_names(self) -> NDArray[np.str_]:
        """The names of the patch set's groups, sorted."""
        return np.unique([image["group"] for image in self.patches.images])

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """The index of each patch's group in `group_names`; confidence intervals resample these groups."""
        names = [image["group"] for image in self.patches.images]
        return np.searchsorted(self.group_names, names)[self.image]

    @cached_property
    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first patch and the number of patches of each image."""
        return image_spans(self.image)

    @property
    def has_images(self) -> bool:
        """Whether images have more than one patch."""
        return len(self.spans[0]) < len(self)

    def by_image(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Average `values`, (n,) or (n, k), over the patches of each image."""
        starts, counts = self.spans
        sums = np.add.reduceat(values, starts, axis=0)
        return sums / counts.reshape(-1, *[1] * (values.ndim - 1))

    @cached_property
    def labels(self) -> dict[str, list[str]]:
        """The columns to break metrics down by: `distortion_type`, `level`, `fusion` and the dataset's attributes.

        Each list has one value per patch. Columns with a single value, or with too many, are left out.
        """
        images, records = self.patches.images, self.patches.records
        columns = {
            "distortion_type": [images[i]["distortion_type"] for i in self.image.tolist()],
            "level": [_level(images[i]) for i in self.image.tolist()],
            "fusion": [str(self.patches.fusions[f]) for f in records.fusion.tolist()],
        }
        attributes: list[Mapping[str, str]] = [dict(images[i].get("attributes", {})) for i in self.image.tolist()]
        # Some datasets call the true class `color`; a breakdown by it says nothing.
        for key in sorted({key for row in attributes for key in row} - {"color"}):
            column = [row.get(key, "-") for row in attributes]
            if column not in columns.values():
                columns[key] = column
        return {key: column for key, column in columns.items() if 1 < len(set(column)) <= MOST_VALUES}

    def warnings(self) -> list[str]:
        """Explain what makes confidence intervals over these groups too narrow."""
        warnings = []
        groups = len(np.unique(self.group))
        if groups < FEW_GROUPS:
            warnings.append(
                f"the {self.split} split has {groups} groups; intervals from fewer than {FEW_GROUPS} are too narrow"
            )
        images = [self.patches.images[number] for number in np.unique(self.image).tolist()]
        sources = {dict(image.get("attributes", {})).get("source") for image in images}
        # Crops of one photo that don't overlap are separate groups, and yet alike.
        if None not in sources and len(sources) < min(groups, FEW_GROUPS):
            plural = "" if len(sources) == 1 else "s"
            warnings.append(
                f"the {groups} groups of the {self.split} split are crops of {len(sources)} image{plural}: intervals "
                "hold for other crops of the same images, and are too narrow for other images"
            )
        return warnings

    def describe(self) -> Data:
        """Describe the split as `calibration.json` and evaluations do."""
        manifest = self.patches.manifest
        counts = np.bincount(self.truth, minlength=len(NAMES))
        return Data(
            directory=text_of(self.patches.directory),
            fingerprint=fingerprint(self.patches),
            dataset=cast("dict[str, str]", manifest["dataset"]),
            split=self.split,
            patches=len(self),
            images=len(self.spans[0]),
            groups=len(np.unique(self.group)),
            by_class=dict(zip(NAMES, counts.tolist(), strict=True)),
            label_contract=dict(manifest["label_contract"]),
        )


def _level(image: ImageLine) -> str:
    return "-" if image["level"] is None else f"{image['level']:g}"


def read_split(patches: PatchSet | str | os.PathLike[str], split: str) -> LabelledSplit:
    """Read one split of a patch set, in the order of its images.

    Raises
    ------
    PixqError
        If there is no such split, or it is empty.
    """
    patch_set = patches if isinstance(patches, PatchSet) else PatchSet(patches)
    if split not in ("train", "validation", "test"):
        raise PixqError(f"there is no split {split!r}; choose train, validation or test")
    patch_set.check_not_empty()
    selection = patch_set.select(split=split)
    if len(selection) == 0:
        raise PixqError(
            f"{patch_set.directory}: its {split} split is empty; build the patch set with a share for it, like "
            "--split 0.5,0.25,0.25"
        )
    return LabelledSplit(selection[np.argsort(selection.records.image, kind="stable")], split)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of patches and of their images, on any scale; higher is better.

    Parameters
    ----------
    patches
        float64 (n,).
    images
        float64 (m,): the score of each image, pooled from its patches, in the order of `LabelledSplit.image`.
    """

    patches: NDArray[np.float64]
    images: NDArray[np.float64]


def model_scores(scorer: Scorer, data: LabelledSplit, on_progress: ProgressCallback = ignore_progress) -> Scores:
    """The scores alone of `model_outputs`."""
    return model_outputs(scorer, data, on_progress)[0]


def model_outputs(
    scorer: Scorer, data: LabelledSplit, on_progress: ProgressCallback = ignore_progress
) -> tuple[Scores, Scores]:
    """Score the patches of a split with a run's model.

    Parameters
    ----------
    scorer
        The model.
    data
        The split.
    on_progress
        Called with the number of patches scored so far.

    Returns
    -------
    tuple
        What calibrations cut, and qualities: of the model `visibility`, the two are different answers.
    """
    outputs, done = EngineScores.empty(len(data)), 0
    for batch in data.patches.batches(CHUNK):
        part = slice(done, done + len(batch.rows))
        outputs.score[part], outputs.quality[part], outputs.weight[part] = scorer.outputs(batch.reference, batch.fused)
        done = part.stop
        on_progress("scoring", done, len(data))
    score, quality, weight = outputs
    if not np.isfinite(score).all():
        raise PixqError(
            f"{data.patches.directory}: the model gives a score that is infinite or not a number; train it again"
        )
    qualities = quality.astype(np.float64)
    return (
        Scores(score, scorer.image_scores(data.image, score, weight)),
        Scores(qualities, pool_by(scorer.recipe.model, data.image, qualities, weight)),
    )


def check_target(scorer: Scorer, data: LabelledSplit) -> None:
    """Check that a target's patches have the size that the model was trained on.

    Raises
    ------
    PixqError
        If they don't.
    """
    size = scorer.info.patches["geometry"]["size"]
    if data.patches.geometry.size != size:
        raise PixqError(
            f"{data.patches.directory}: its patches are {data.patches.geometry.size} pixels wide, but the model was "
            f"trained on {size}; build the target with --patch-size {size}"
        )


def check_photos(scorer: Scorer, data: LabelledSplit, parts: tuple[str, ...]) -> list[str]:
    """Check that the model has not learned from these photos; return a warning if that is unknown.

    A photo that looks like one of them, but was cropped, turned to grey or scaled, gives a warning, too.

    Parameters
    ----------
    scorer
        The model.
    data
        The split that is calibrated or evaluated on.
    parts
        The parts of the run's own data that must not share a photo with `data`: `train`, and `validation`, which chose
        the epoch.

    Raises
    ------
    PixqError
        If a photo is in both, which is a leak.
    """
    seen = scorer.info.seen()
    if not seen:
        return ["the run does not say which photos it was trained on, so a leak can't be ruled out; train it again"]
    photos = data.patches.photos()
    for part in parts:
        if shared := photos & set(seen.get(part, [])):
            references = sorted({data.patches.images[number]["reference_id"] for number in set(data.image.tolist())})
            name = next(ref for ref in references if data.patches.select(reference=ref).photos() & shared)
            use = "trained" if part == "train" else "selected"
            raise PixqError(
                f"{data.patches.directory}: a leak: {len(shared)} photos of its {data.split} split, such as {name!r}, "
                f"are among those the model was {use} on; use a split or a patch set without them"
            )
    learned = {photo for part in parts for photo in seen.get(part, [])}
    if (alike := trained_photograph(scorer.info, learned, data.patches)) is not None:
        reference, trained = alike
        return [
            f"reference {reference!r} of the {data.split} split looks like {trained!r}, on which the model was trained "
            "or selected, in another crop, size or colour; if it is the same photograph, the result is too good"
        ]
    return []
