"""Several patch sets as one, whose splits keep each photograph on one side whatever set it is in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations, count
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pixq.datasets import splits
from pixq.datasets.photos import Photo, merge_groups
from pixq.datasets.same_photo import Sketch, same_photos
from pixq.datasets.scores import csv_rows
from pixq.errors import PixqError
from pixq.io.paths import nfc
from pixq.patches.records import Records
from pixq.patches.schema import ImageLine, Manifest
from pixq.patches.sharded_array import ShardedArray
from pixq.patches.store import PatchSet, fingerprint

__all__ = ["JoinedSets", "read_photographs", "sketches"]

#: A reference's photograph, by the name of its set and its reference_id.
Photographs = Mapping[tuple[str, str], str]


def read_photographs(path: Path) -> dict[tuple[str, str], str]:
    """Read a table of the photographs that references show: a CSV file with columns set, reference and photograph.

    Raises
    ------
    PixqError
        If the file can't be read, a cell is empty, or a reference has two photographs.
    """
    photographs: dict[tuple[str, str], str] = {}
    for line, cells in csv_rows(path, ("set", "reference", "photograph")):
        if not all(cells[key] for key in ("set", "reference", "photograph")):
            raise PixqError(f"{path}, line {line}: a cell is empty; name set, reference and photograph")
        key = nfc(cells["set"]), nfc(cells["reference"])
        if photographs.setdefault(key, cells["photograph"]) != cells["photograph"]:
            raise PixqError(f"{path}, line {line}: reference {key[1]!r} of {key[0]} has two photographs; keep one")
    return photographs


@dataclass(frozen=True)
class _Layout:
    """Where the parts of a joined set begin: numbers of its sets' first image, reference row and distorted row."""

    images: list[int]
    reference: list[int]
    distorted: list[int]


class JoinedSets(PatchSet):
    """Several patch sets that are opened as one.

    Names of images, references and groups begin with the name of their set. Groups that show one photograph are one
    group: those with the same pixels, those that look alike however they are cropped, coloured or sized, and those that
    `photographs` names. A group is in the test split if any of its parts is, else in validation if any is. New
    folds are made over all groups outside of the test split.

    Parameters
    ----------
    directories
        Directories that `pixq build-patches` wrote, two or more.
    photographs
        The photographs of references, by the name of the set and the reference_id, in addition to what is recognised.

    Raises
    ------
    PixqError
        If a set can't be opened, the sets don't fit together, or `photographs` names a set or reference that isn't
        there.
    """

    def __init__(self, directories: Sequence[Path], photographs: Photographs | None = None) -> None:
        self.sets = tuple(PatchSet(directory) for directory in directories)
        self.names = _names(directories)
        _check_fit(self.sets)
        self._directory = Path(", ".join(map(str, directories)))
        counts = [[len(of) for of in (one.images, one.reference, one.distorted)] for one in self.sets]
        starts = np.cumsum([[0, 0, 0], *counts], axis=0)[:-1]
        layout = _Layout(*(starts[:, column].tolist() for column in range(3)))
        #: For each image, the number of its set.
        self.set_of_image: NDArray[np.int64] = np.repeat(np.arange(len(self.sets)), [row[0] for row in counts])
        fusions = {fusion: None for one in self.sets for fusion in one.fusions}
        self._fusions = tuple(fusions)
        self._manifest = self._joined_manifest()
        groups, self.notes = _merged(self.sets, self.names, photographs or {})
        self._images = self._joined_images(groups)
        self._check_splits()
        size = self.geometry.size
        shards = [(one.directory / shard["name"], shard) for one in self.sets for shard in one.manifest["shards"]]
        self._reference = ShardedArray(
            [path.with_name(f"{path.name}.reference.npy") for path, _ in shards],
            [shard["reference_rows"] for _, shard in shards],
            size,
        )
        self._distorted = ShardedArray(
            [path.with_name(f"{path.name}.distorted.npy") for path, _ in shards],
            [shard["distorted_rows"] for _, shard in shards],
            size,
        )
        self._all = self._joined_records(layout)
        self._rows: NDArray[np.int64] | None = None

    def _joined_manifest(self) -> Manifest:
        """The first set's manifest, with the photos and fusions of all. It decides what the output of a model means."""
        first = self.sets[0].manifest
        photos = {
            f"{name}/{reference}": sha256
            for name, one in zip(self.names, self.sets, strict=True)
            for reference, sha256 in one.manifest["photos"]["sha256"].items()
        }
        contract = {**first["label_contract"]}
        contract["synthetic"] = any(one.manifest["label_contract"]["synthetic"] for one in self.sets)
        return cast(
            Manifest,
            {
                **first,
                "label_contract": contract,
                "photos": {**first["photos"], "sha256": photos},
                "fusions": [{"type": fusion.name, "alpha": fusion.alpha} for fusion in self._fusions],
            },
        )

    def _joined_images(self, groups: Mapping[str, str]) -> tuple[ImageLine, ...]:
        images: list[dict[str, Any]] = []
        strictest: dict[str, int] = {}
        for name, one in zip(self.names, self.sets, strict=True):
            for image in one.images:
                group = groups[f"{name}/{image['group']}"]
                names = {key: f"{name}/{image[key]}" for key in ("image_id", "reference_id")}
                images.append({**image, **names, "group": group})
                strictest[group] = max(strictest.get(group, 0), splits.SPLITS.index(image["split"]))
        free = [group for group, split in strictest.items() if splits.SPLITS[split] != "test"]
        wanted = max(one.manifest["splits"]["folds"] for one in self.sets)
        folds = splits.assign(free, ratio=(1.0, 0.0, 0.0), folds=min(wanted, len(free)), seed=0) if free else {}
        for joined in images:
            group = joined["group"]
            joined["split"] = splits.SPLITS[strictest[group]]
            joined["fold"] = folds[group].fold if group in folds else 0
        return tuple(cast(ImageLine, joined) for joined in images)

    def _joined_records(self, layout: _Layout) -> Records:
        columns: dict[str, list[NDArray[Any]]] = {field.name: [] for field in fields(Records)}
        for number, one in enumerate(self.sets):
            records = one.records
            fusion = np.array([self._fusions.index(fusion) for fusion in one.fusions], dtype=np.uint8)
            moved = {
                "image": records.image + np.uint32(layout.images[number]),
                "reference_row": records.reference_row + layout.reference[number],
                "distorted_row": records.distorted_row + layout.distorted[number],
                "fusion": fusion[records.fusion],
            }
            for name, parts in columns.items():
                parts.append(moved.get(name, getattr(records, name)))
        return Records(**{name: np.concatenate(parts) for name, parts in columns.items()})

    def set_of(self, image: int) -> str:
        """The name of the set that an image is from, by its number in `images`."""
        name: str = self.names[int(self.set_of_image[image])]
        return name

    @property
    def joined_fingerprint(self) -> str:
        """SHA-256 of the fingerprints of all sets, their order and the joined groups, splits and folds."""
        digest = hashlib.sha256()
        for one in self.sets:
            digest.update(fingerprint(one).encode() + b"\n")
        for image in self.images:
            digest.update(f"{image['image_id']}\t{image['group']}\t{image['split']}\t{image['fold']}\n".encode())
        return digest.hexdigest()

    def verify(self) -> list[str]:
        """Check every file of all sets; see `PatchSet.verify`."""
        return [problem for one in self.sets for problem in one.verify()]


def _names(directories: Sequence[Path]) -> tuple[str, ...]:
    """The name of each set: that of its directory, with a number if another set has it, too; no two are equal."""
    if len(directories) < 2:
        raise PixqError("several patch sets are joined; give at least two")
    if len({directory.resolve() for directory in directories}) < len(directories):
        raise PixqError("a patch set is named twice; name each once, and set its weight in the recipe's [sets]")
    plain = [nfc(directory.resolve().name) for directory in directories]
    counts, taken, names = Counter(plain), set(plain), list(plain)
    for i, name in enumerate(plain):
        if counts[name] > 1:
            names[i] = next(free for n in count(1) if (free := f"{name}-{n}") not in taken)
            taken.add(names[i])
    return tuple(names)


def _check_fit(sets: Sequence[PatchSet]) -> None:
    """Make sure that patches of all sets can be in one batch, and that their labels mean the same in a fused patch."""
    first = sets[0]
    for other in sets[1:]:
        for what, option, one, another in (
            ("patches and RoIs of another size", "--patch-size and --roi-size", first.geometry, other.geometry),
            ("another --label", "--label", *(of.manifest["label"]["kind"] for of in (first, other))),
            ("another --min-difference", "--min-difference", *(of.manifest["min_difference"] for of in (first, other))),
            (
                "pixels that were read otherwise",
                "--no-colour-management and --background",
                first.reading,
                other.reading,
            ),
        ):
            if one != another:
                raise PixqError(
                    f"{other.directory}: has {what} than {first.directory}; build both with the same {option}"
                )


def _merged(
    sets: Sequence[PatchSet], names: Sequence[str], photographs: Photographs
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The joined group of each set's group, and a line about each merge."""
    group_of = {
        f"{name}/{image['reference_id']}": f"{name}/{image['group']}"
        for name, one in zip(names, sets, strict=True)
        for image in one.images
    }
    photos = {
        f"{name}/{reference}": (group_of[f"{name}/{reference}"], Photo(sha256, 0, 0, 0))
        for name, one in zip(names, sets, strict=True)
        for reference, sha256 in one.manifest["photos"]["sha256"].items()
        if f"{name}/{reference}" in group_of
    }
    merged = merge_groups(
        photos, together=[*_named_alike(group_of, names, photographs), *_look_alike(sets, names, group_of)]
    )
    # A reference that couldn't be read has no photo.
    return {group: group for group in group_of.values()} | merged.groups, merged.notes


def _named_alike(
    group_of: Mapping[str, str], names: Sequence[str], photographs: Photographs
) -> Iterator[tuple[str, str, str]]:
    first: dict[str, str] = {}
    for (name, reference), photograph in photographs.items():
        if name not in names:
            raise PixqError(f"--photographs names the set {name!r}; the sets are called {', '.join(names)}")
        if (key := f"{name}/{reference}") not in group_of:
            raise PixqError(f"--photographs names reference {reference!r} of {name}, which that set doesn't have")
        before = first.setdefault(photograph, key)
        yield group_of[before], group_of[key], f"{before} and {key} show {photograph}, as --photographs says"


def _look_alike(
    sets: Sequence[PatchSet], names: Sequence[str], group_of: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    drawn = [
        {f"{name}/{reference}": sketch for reference, sketch in sketches(one).items()}
        for name, one in zip(names, sets, strict=True)
    ]
    for first, second in combinations(drawn, 2):
        for one, other, alike in same_photos(first, second):
            yield group_of[one], group_of[other], f"{one} and {other} show one photograph (likeness {alike:.2f})"


def sketches(patches: PatchSet) -> dict[str, Sketch]:
    """The references of a patch set, put together from its patches; references whose patches are plain are left out."""
    records = patches.records
    of_reference: dict[str, list[int]] = {}
    for number, image in enumerate(patches.images):
        of_reference.setdefault(image["reference_id"], []).append(number)
    order = np.argsort(records.image, kind="stable")
    starts = np.searchsorted(records.image[order], np.arange(len(patches.images) + 1))
    size = patches.geometry.size
    drawn = {}
    for reference, numbers in of_reference.items():
        rows = np.concatenate([order[starts[number] : starts[number + 1]] for number in numbers])
        _, unique = np.unique(records.reference_row[rows], return_index=True)
        rows = rows[unique]
        # The patches of one reference have the same places in it, whatever image they belong to.
        pixels = patches.reference[records.reference_row[rows]]
        if len(rows) == 0 or pixels.min() == pixels.max():
            continue
        image = patches.images[numbers[0]]
        grey = np.zeros((image["height"], image["width"]), dtype=np.float32)
        known = np.zeros_like(grey)
        luma = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        for y, x, patch in zip(records.y[rows].tolist(), records.x[rows].tolist(), luma, strict=True):
            grey[y : y + size, x : x + size] = patch
            known[y : y + size, x : x + size] = 1.0
        drawn[reference] = Sketch(grey, known)
    return drawn
