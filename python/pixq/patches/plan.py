"""What to build: the settings of a patch set, and the shards that follow from them and a dataset.

A plan is a pure function of the dataset's index, the photos' fingerprints and the settings. Each shard holds whole
groups of one split, so a leak between splits is impossible.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pixq import ranges
from pixq.datasets import buckets as bucketing
from pixq.datasets import splits
from pixq.datasets.base import Adapter, DatasetIndex, ImagePair, Problem
from pixq.datasets.given_split import GivenSplit, assign, given_split
from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry, fusion_names
from pixq.io.images import AS_SHOWN, ReadOptions

__all__ = ["BuildSettings", "Plan", "PlannedImage", "PlannedShard", "Sampling", "make_plan"]

#: Image pairs per shard, unless a single group has more. It is small enough that an interrupted build loses little and
#: threads stay busy to the end, and large enough to avoid thousands of files.
SHARD_PAIRS = 32

#: Default number of folds, unless there are fewer groups.
DEFAULT_FOLDS = 5

#: The meaning of a fused patch's quality, in words, for the manifest.
LABEL_MEANINGS = {
    "image": "the quality of the whole image",
    "energy": "1 - (1 - image quality) * sqrt(MSE of the fused patch / MSE of the unfused patch)",
}


@dataclass(frozen=True)
class Sampling:
    """Where patches are cut: on a `grid` of `stride` pixels, or at `n` places per image (`random`, `texture`).

    Examples
    --------
    >>> Sampling.parse("texture", n=50)
    Sampling(type='texture', stride=None, n=50)
    """

    type: Literal["grid", "random", "texture"] = "grid"
    stride: int | None = 20
    n: int | None = None

    def __post_init__(self) -> None:
        if self.type not in ("grid", "random", "texture"):
            raise PixqError(f"unknown sampling {self.type!r}; choose grid, random or texture")
        takes, other = ("stride", "n") if self.type == "grid" else ("n", "stride")
        if getattr(self, other) is not None:
            raise PixqError(f"sampling {self.type} only takes {takes}, not {other}")
        if takes == "stride":
            ranges.GRID_STRIDE.check(self.stride, "--stride")  # type: ignore[type-var]
        else:
            ranges.PATCHES_PER_IMAGE.check(self.n, "--patches")  # type: ignore[type-var]

    @classmethod
    def parse(cls, name: str, *, stride: int | None = None, n: int | None = None, size: int = 20) -> Sampling:
        """Make the sampling called `name`; `stride` (default: the patch size) is for `grid`, `n` for the others.

        Raises
        ------
        PixqError
            If the name is unknown, or the sampling does not take an option.
        """
        if name == "grid":
            if n is not None:
                raise PixqError("--patches is for --sampling random or texture; a grid takes --stride")
            return cls("grid", size if stride is None else stride, None)
        if name in ("random", "texture"):
            if stride is not None:
                raise PixqError(f"--stride is for --sampling grid; {name} takes --patches")
            return cls("random" if name == "random" else "texture", None, 100 if n is None else n)
        raise PixqError(f"unknown sampling {name!r}; choose grid, random or texture")

    def to_json(self) -> dict[str, Any]:
        """The sampling as the manifest has it."""
        return {"type": self.type, **({"stride": self.stride} if self.type == "grid" else {"n": self.n})}


@dataclass(frozen=True)
class BuildSettings:
    """Everything that decides the bytes of a patch set, apart from the dataset itself.

    Parameters
    ----------
    geometry
        Size of a patch and of its RoI, in pixels.
    fusions
        Each patch has one record for each of these.
    label
        Meaning of a fused patch's quality; see `LABEL_MEANINGS`.
    sampling
        Where patches are cut.
    seed
        Seed of random sampling (together with the image's id) and of splits (together with the group's name).
    min_difference
        Patches whose samples differ by at most this many grey levels (0..255) count as unchanged.
    unchanged
        Whether unchanged patches are kept, with quality 1, or dropped.
    buckets
        Buckets of the Jianjin008 report to build; `None` builds every image pair.
    max_levels
        With buckets: groups of (reference, distortion) with more levels are excluded.
    ratio
        Shares of train, validation and test.
    folds
        Number of folds by reference, in addition to the split; by default 5, or one per group if there are fewer.
    max_pixels
        Larger images are refused before memory is allocated.
    reading
        Whether colours are converted to sRGB, and what lies under transparent pixels.
    """

    geometry: PatchGeometry = field(default_factory=PatchGeometry)
    fusions: tuple[Fusion, ...] = (Fusion("none"),)
    label: Literal["image", "energy"] = "image"
    sampling: Sampling = Sampling()
    seed: int = 0
    min_difference: int = 0
    unchanged: Literal["keep", "drop"] = "keep"
    buckets: tuple[str, ...] | None = None
    max_levels: int = 3
    ratio: tuple[float, float, float] = (0.6, 0.2, 0.2)
    folds: int | None = None
    max_pixels: int = 1 << 28
    reading: ReadOptions = AS_SHOWN

    def __post_init__(self) -> None:
        if not self.fusions:
            raise PixqError(f"no fusion is named; give at least one of {fusion_names()}")
        if len(set(self.fusions)) != len(self.fusions):
            raise PixqError(f"a fusion is named twice: {', '.join(map(str, self.fusions))}")
        if self.label not in LABEL_MEANINGS:
            raise PixqError(f"unknown label {self.label!r}; choose image or energy")
        if self.unchanged not in ("keep", "drop"):
            raise PixqError(f"unknown --unchanged {self.unchanged!r}; choose keep or drop")
        ranges.GREY_LEVELS.check(self.min_difference, "--min-difference")
        ranges.SEED.check(self.seed, "--seed")
        ranges.MAX_LEVELS.check(self.max_levels, "--max-levels")
        ranges.MAX_PIXELS.check(self.max_pixels, "--max-pixels")
        if self.folds is not None:
            ranges.FOLDS.check(self.folds, "--folds")
        splits.check_ratio(self.ratio)

    @classmethod
    def for_adapter(cls, adapter: Adapter, **changes: Any) -> BuildSettings:
        """The defaults for a dataset (its fusions, with or without buckets), with `changes`."""
        defaults: dict[str, Any] = {
            "fusions": tuple(Fusion.parse(text) for text in adapter.default_fusions),
            "buckets": ("slight_flicker",) if adapter.bucketed else None,
        }
        return cls(**(defaults | changes))

    def to_json(self) -> dict[str, Any]:
        """The settings as the manifest has them, without the number of folds, which the plan decides."""
        y, x, height, width = self.geometry.roi_box
        return {
            "geometry": {"size": self.geometry.size, "roi": {"y": y, "x": x, "height": height, "width": width}},
            "fusions": [{"type": fusion.name, "alpha": fusion.alpha} for fusion in self.fusions],
            "label": self.label,
            "sampling": self.sampling.to_json(),
            "seed": self.seed,
            "min_difference": self.min_difference,
            "unchanged": self.unchanged,
            "buckets": None if self.buckets is None else list(self.buckets),
            "max_levels": None if self.buckets is None else self.max_levels,
            "ratio": list(self.ratio),
            "max_pixels": self.max_pixels,
            # Sets of earlier versions say nothing: they were cut from raw samples, without alpha.
            **({"colours": "sRGB"} if self.reading.colour_management else {}),
            **({"background": self.reading.background} if self.reading.background else {}),
            **({} if self.reading.frame is None else {"frame": self.reading.frame}),
        }


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image pair, its buckets, and its split and fold."""

    pair: ImagePair
    group: str
    buckets: tuple[str, ...]
    split: str
    fold: int


@dataclass(frozen=True)
class PlannedShard:
    """The image pairs of one shard: whole groups of one split."""

    name: str
    split: str
    groups: tuple[str, ...]
    images: tuple[PlannedImage, ...]


@dataclass(frozen=True)
class Plan:
    """A patch set before any patch is cut; `own_split` is the dataset's own split, if it has one."""

    settings: BuildSettings
    shards: tuple[PlannedShard, ...]
    groups: Mapping[str, splits.SplitOf]
    folds: int
    excluded: Mapping[str, int]
    own_split: GivenSplit | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems with the dataset's own split."""
        return () if self.own_split is None else self.own_split.problems

    @property
    def images(self) -> int:
        """Number of image pairs to cut."""
        return sum(len(shard.images) for shard in self.shards)

    @property
    def sides(self) -> dict[str, str]:
        """The split of each group."""
        return {group: side.split for group, side in self.groups.items()}

    def fingerprint(self) -> str:
        """SHA-256 of names of files, scores, buckets and splits. Pixels are covered by the shards' checksums."""
        digest = hashlib.sha256()
        for shard in self.shards:
            for image in shard.images:
                pair = image.pair
                row: list[Any] = [
                    pair.image_id,
                    pair.reference_id,
                    image.group,
                    pair.distortion_type,
                    pair.level,
                    pair.score,
                ]
                row += [pair.quality, list(image.buckets), image.split, image.fold, files_of(pair)]
                if pair.attributes or pair.split:
                    row += [dict(pair.attributes), pair.split]
                if pair.observers:
                    row += [pair.observers.to_json()]
                digest.update(json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        return digest.hexdigest()


def files_of(pair: ImagePair) -> list[str]:
    """The files of a pair, relative to the dataset's root."""
    return [pair.reference, pair.distorted, *([] if pair.blend_with is None else [pair.blend_with])]


def make_plan(index: DatasetIndex, groups: Mapping[str, str], settings: BuildSettings) -> Plan:
    """Plan the patch set of a dataset.

    Parameters
    ----------
    index
        The contents of the dataset.
    groups
        The group of each reference_id, after merging groups of the same photo.
    settings
        What to build.

    Raises
    ------
    PixqError
        If nothing is left to build, or the splits can't be made.
    """
    excluded: dict[str, int] = {}
    if settings.buckets is None:
        entries: tuple[tuple[ImagePair, tuple[str, ...]], ...] = tuple((pair, ()) for pair in index.pairs)
    else:
        result = bucketing.bucket(index.pairs, max_levels=settings.max_levels, buckets=settings.buckets)
        entries, excluded = result.pairs, dict(result.excluded)
    if not entries:
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in excluded.items()) or "the dataset has no image pair"
        )
        raise PixqError(f"{index.root}: nothing to build: {reasons}; `pixq inspect` shows what is there")
    seen: set[str] = set()
    for pair, _ in entries:
        if pair.image_id in seen:
            raise PixqError(
                f"{index.root}: two image pairs are called {pair.image_id!r}; give {pair.distorted} another name"
            )
        seen.add(pair.image_id)
    names = {groups[pair.reference_id] for pair, _ in entries}
    folds = min(DEFAULT_FOLDS, len(names)) if settings.folds is None else settings.folds
    own_split = given_split((pair.split, groups[pair.reference_id]) for pair, _ in entries)
    sides = assign(names, own_split, ratio=settings.ratio, folds=folds, seed=settings.seed)
    by_group: dict[str, list[PlannedImage]] = {}
    for pair, buckets in entries:
        group = groups[pair.reference_id]
        image = PlannedImage(pair, group, tuple(buckets), sides[group].split, sides[group].fold)
        by_group.setdefault(group, []).append(image)
    for images in by_group.values():
        # Pairs of one reference stand together, so it is decoded once.
        images.sort(key=lambda image: (image.pair.reference_id, image.pair.image_id))
    return Plan(settings, _shards(by_group, sides), sides, folds, excluded, own_split)


def _shards(
    by_group: Mapping[str, list[PlannedImage]], sides: Mapping[str, splits.SplitOf]
) -> tuple[PlannedShard, ...]:
    """Pack groups, in order of split and name, into shards of `SHARD_PAIRS` pairs."""
    packed: list[tuple[str, list[str]]] = []
    for split in ("train", "validation", "test"):
        room = 0
        for group in sorted(group for group in by_group if sides[group].split == split):
            size = len(by_group[group])
            if size > room:
                packed.append((split, []))
                room = SHARD_PAIRS
            packed[-1][1].append(group)
            room -= size
    return tuple(
        PlannedShard(
            f"shard-{number:05}", split, tuple(names), tuple(image for group in names for image in by_group[group])
        )
        for number, (split, names) in enumerate(packed)
    )
