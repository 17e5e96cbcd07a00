"""`PatchSet` opens a patch set on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq import ranges
from pixq._core import fuse_rows, read_records
from pixq.datasets import splits
from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry
from pixq.io.atomic import FileInfo, checksum, explain_os_errors
from pixq.io.enclosed import check_enclosed
from pixq.io.images import ReadOptions
from pixq.patches.read_files import read_images, read_manifest
from pixq.patches.records import Records, join_shards
from pixq.patches.schema import MANIFEST, ImageLine, Manifest, ShardEntry
from pixq.patches.sharded_array import ShardedArray

__all__ = ["Batch", "PatchSet", "check_sizes", "fingerprint", "image_spans", "verify"]


@dataclass(frozen=True)
class Batch:
    """Records of a patch set with their pixels.

    `rows` are the records' numbers in the patch set; `reference` and `fused` are uint8 of shape (n, size, size, 3);
    `quality` is float64 of shape (n,), 0 to 1, 1 = nobody notices.
    """

    rows: NDArray[np.int64]
    reference: NDArray[np.uint8]
    fused: NDArray[np.uint8]
    quality: NDArray[np.float64]


class PatchSet:
    """A patch set, or a selection of its records.

    Patches are memory-mapped and read on demand; records are columns in memory. A selection shares both with the set
    that it comes from.

    Parameters
    ----------
    directory
        A directory that `pixq build-patches` wrote.

    Raises
    ------
    PixqError
        If it is not a complete patch set, files are missing or cut short, or a group is in two splits.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pixq.distort import write_tree
    >>> folder = Path(tempfile.mkdtemp())
    >>> noise = np.random.default_rng(0)
    >>> photos = {f"photo{n}": noise.integers(0, 256, (60, 80, 3), dtype=np.uint8) for n in range(5)}
    >>> _ = write_tree(photos, folder / "dataset", ["jpeg"], [1, 2])
    >>> from pixq.patches.build import build
    >>> patches = PatchSet(build("jianjin008", folder / "dataset", folder / "patches").out)
    >>> train = patches.select(split="train", fusion="blend")
    >>> len(patches), len(train)
    (120, 36)
    >>> batch = next(train.batches(16, seed=0))
    >>> batch.reference.shape, batch.fused.shape, batch.quality.shape
    ((16, 20, 20, 3), (16, 20, 20, 3), (16,))
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._manifest = read_manifest(self._directory)
        check_sizes(self._directory, self._manifest)
        self._images = read_images(self._directory, self._manifest)
        self._check_splits()
        self._fusions = tuple(Fusion(fusion["type"], fusion["alpha"]) for fusion in self._manifest["fusions"])
        shards = self._manifest["shards"]
        size = self._manifest["geometry"]["size"]
        self._reference = ShardedArray(
            [self._directory / f"{shard['name']}.reference.npy" for shard in shards],
            [shard["reference_rows"] for shard in shards],
            size,
        )
        self._distorted = ShardedArray(
            [self._directory / f"{shard['name']}.distorted.npy" for shard in shards],
            [shard["distorted_rows"] for shard in shards],
            size,
        )
        self._all = self._read_records()
        self._rows: NDArray[np.int64] | None = None

    def _check_splits(self) -> None:
        """Make sure that no group, reference or photo is in two splits."""
        splits.check(
            (image["image_id"], image["group"], image["reference_id"], image["split"]) for image in self._images
        )
        photos = self._manifest["photos"]["sha256"]
        splits.check_photos(
            (image["reference_id"], photos[image["reference_id"]], image["split"])
            for image in self._images
            if image["reference_id"] in photos
        )

    def _read_records(self) -> Records:
        """Read the columns of all shards, with one thread per core."""
        shards = self._manifest["shards"]
        of_shard: dict[str, list[int]] = {shard["name"]: [] for shard in shards}
        for number, image in enumerate(self._images):
            of_shard.setdefault(image["shard"], []).append(number)

        def read(shard: ShardEntry) -> dict[str, NDArray[Any]]:
            path = self._directory / f"{shard['name']}.jsonl"
            numbers = of_shard[shard["name"]]
            try:
                columns = read_records(path, [self._images[number]["image_id"] for number in numbers])
            except ValueError as error:
                raise PixqError(str(error)) from None
            columns["image"] = np.array(numbers, dtype=np.uint32)[columns["image"]]
            if len(columns["image"]) != shard["records"]:
                raise PixqError(
                    f"{path}: holds {len(columns['image'])} records, the manifest says {shard['records']}; "
                    "build the patch set again"
                )
            return columns

        with ThreadPoolExecutor(min(len(shards), os.cpu_count() or 1) or 1) as pool:
            parts = list(pool.map(read, shards))
        return join_shards(
            parts,
            [self._directory / f"{shard['name']}.jsonl" for shard in shards],
            reference_offsets=self._reference.offsets,
            distorted_offsets=self._distorted.offsets,
            images=self._images,
            fusions=self.fusions,
            size=self.geometry.size,
        )

    def __len__(self) -> int:
        return len(self._all) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        part = "" if self._rows is None else f" of {len(self._all)}"
        return f"<PatchSet {str(self._directory)!r}: {len(self)}{part} records>"

    def set_of(self, image: int) -> str | None:
        """The name of the set that an image is from, by its number in `images`; `None` unless sets were joined."""
        return None

    @property
    def joined_fingerprint(self) -> str | None:
        """The fingerprint of several sets that were joined; `None` for a single set."""
        return None

    @property
    def directory(self) -> Path:
        """The directory of the patch set."""
        return self._directory

    @property
    def manifest(self) -> Manifest:
        """`manifest.json`."""
        return self._manifest

    @property
    def images(self) -> tuple[ImageLine, ...]:
        """The lines of `images.jsonl` for the whole set; `records.image` is an index into them."""
        return self._images

    @property
    def geometry(self) -> PatchGeometry:
        """Size of a patch and of its RoI."""
        geometry = self._manifest["geometry"]
        return PatchGeometry(geometry["size"], geometry["roi"]["height"])

    @property
    def fusions(self) -> tuple[Fusion, ...]:
        """The fusions of the set; `records.fusion` is an index into them."""
        return self._fusions

    @property
    def reference(self) -> ShardedArray:
        """All reference patches: uint8 (m, size, size, 3), memory-mapped; `records.reference_row` is an index."""
        return self._reference

    @property
    def distorted(self) -> ShardedArray:
        """All distorted patches, unfused: uint8 (n, size, size, 3), memory-mapped; see `records.distorted_row`."""
        return self._distorted

    @property
    def records(self) -> Records:
        """The selected records as columns of length `len(self)`."""
        return self._all if self._rows is None else self._all.take(self._rows)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The selected records' numbers in the whole set, int64 (len(self),)."""
        return np.arange(len(self._all)) if self._rows is None else self._rows

    def select(
        self,
        *,
        split: str | None = None,
        fold: int | None = None,
        bucket: str | None = None,
        distortion: str | None = None,
        fusion: str | None = None,
        reference: str | None = None,
    ) -> PatchSet:
        """Select the records that meet all conditions.

        Parameters
        ----------
        split
            `train`, `validation` or `test`.
        fold
            Number of the fold, from 0.
        bucket, distortion, reference
            Bucket, distortion type and reference_id of the image.
        fusion
            `none`, `copy`, `paste`, `blend`, or `blend:ALPHA` for one alpha.

        Raises
        ------
        PixqError
            If the set doesn't have a name; the message lists those that it has.
        """
        columns: list[tuple[str, object, list[Any]]] = [
            ("split", split, [image["split"] for image in self._images]),
            ("fold", fold, [image["fold"] for image in self._images]),
            ("distortion type", distortion, [image["distortion_type"] for image in self._images]),
            ("reference", reference, [image["reference_id"] for image in self._images]),
        ]
        chosen = np.ones(len(self._images), dtype=bool)
        for key, wanted, values in columns:
            if wanted is not None:
                chosen &= _matches(values, wanted, key)
        if bucket is not None:
            known = sorted({name for image in self._images for name in image["bucket"]})
            _known(bucket, known, "bucket")
            chosen &= np.array([bucket in image["bucket"] for image in self._images], dtype=bool)
        records = self.records
        keep = chosen[records.image]
        if fusion is not None:
            # `blend` means any blend; `blend:0.30` the same as `blend:0.3`.
            exact = Fusion.parse(fusion) if fusion.startswith("blend:") else None
            fits = [fusion == candidate.name or exact == candidate for candidate in self.fusions]
            if not any(fits):
                _known(fusion, [str(candidate) for candidate in self.fusions], "fusion")
            keep &= np.array(fits, dtype=bool)[records.fusion]
        return self._with(self.rows[keep])

    def _with(self, rows: NDArray[np.int64]) -> PatchSet:
        selection = object.__new__(type(self))
        selection.__dict__.update(self.__dict__, _rows=rows)
        return selection

    def __getitem__(self, rows: slice | ArrayLike) -> PatchSet:
        """The records at `rows` (a slice, numbers or a mask) of this selection, in that order."""
        return self._with(np.atleast_1d(self.rows[rows if isinstance(rows, slice) else np.asarray(rows)]))

    @property
    def reading(self) -> ReadOptions:
        """How the images were read that the patches were cut from."""
        pixels = self._manifest.get("pixels")
        if pixels is None:
            # Earlier versions did not apply profiles.
            return ReadOptions(colour_management=False)
        return ReadOptions(pixels["colours"] == "sRGB", pixels["background"], pixels.get("frame"))

    def photos(self) -> set[str]:
        """Identify the selection's reference photos by 16 digits of the SHA-256 of their pixels.

        A photo has the same digits in every patch set, whatever its file is called.
        """
        known = self._manifest["photos"]["sha256"]
        names = {self._images[number]["reference_id"] for number in np.unique(self.records.image).tolist()}
        return {known[name][:16] for name in names if name in known}

    def check_not_empty(self) -> None:
        """Make sure that at least one record is selected."""
        if len(self._all) == 0:
            raise PixqError(f"{self._directory}: has no record; its manifest says what was skipped")
        if len(self) == 0:
            raise PixqError(f"{self._directory}: nothing is selected; leave out a condition")

    def fused(self, rows: slice | ArrayLike | None = None) -> NDArray[np.uint8]:
        """Compute the fused patches of `rows` of this selection (all by default): uint8 (n, size, size, 3).

        `rows` may repeat and be in any order.
        """
        return self._pixels(self._chosen(rows))[1]

    def _chosen(self, rows: slice | ArrayLike | None) -> Records:
        return self.records if rows is None else self[rows].records

    def _pixels(self, records: Records) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Reference and fused patches of `records`."""
        size = self.geometry.size
        reference = np.empty((len(records), size, size, 3), dtype=np.uint8)
        fused = np.empty_like(reference)
        fusions = [(fusion.name, 0.5 if fusion.alpha is None else fusion.alpha) for fusion in self.fusions]
        shard_of = self._reference.shard_of(records.reference_row)
        for shard in np.unique(shard_of):
            here = np.flatnonzero(shard_of == shard)
            reference_rows = records.reference_row[here] - self._reference.offsets[shard]
            source = self._reference.shard(shard)
            reference[here] = source[reference_rows]
            fused[here] = fuse_rows(
                source,
                self._distorted.shard(shard),
                reference_rows,
                records.distorted_row[here] - self._distorted.offsets[shard],
                fusions=fusions,
                which=records.fusion[here],
                roi=self.geometry.roi_box,
            )
        return reference, fused

    def batches(self, size: int, *, seed: int | None = None, drop_last: bool = False) -> Iterator[Batch]:
        """Iterate over the selection in batches of `size` records, in order, or shuffled with `seed`.

        The last batch may be smaller; `drop_last` leaves it out.
        """
        ranges.BATCH.check(size, "the batch size")
        if seed is not None:
            ranges.SEED.check(seed, "the seed")
        order = np.arange(len(self))
        if seed is not None:
            np.random.default_rng(seed).shuffle(order)
        selected = self.rows
        for start in range(0, len(order), size):
            rows = selected[order[start : start + size]]
            if drop_last and len(rows) < size:
                return
            records = self._all.take(rows)
            reference, fused = self._pixels(records)
            yield Batch(rows, reference, fused, records.quality)

    def verify(self) -> list[str]:
        """Check every file against the manifest; the result has a line for each file that differs.

        An empty list means that every byte is as it was built.
        """
        return verify(self._directory)


def _known(wanted: object, known: list[Any], key: str) -> None:
    if wanted not in known:
        raise PixqError(f"the patch set has no {key} {wanted!r}; it has {', '.join(map(str, known)) or 'none'}")


def _matches(values: list[Any], wanted: object, key: str) -> NDArray[np.bool_]:
    known = sorted(set(values))
    # A split that got no image is empty, not unknown.
    _known(wanted, ["train", "validation", "test"] if key == "split" else known, key)
    return np.array([value == wanted for value in values], dtype=bool)


def listed_files(manifest: Manifest) -> dict[str, FileInfo]:
    """Every file that a manifest lists, by name."""
    images = manifest["images"]
    files: dict[str, FileInfo] = {images["file"]: FileInfo(images["bytes"], images["blake3"])}
    for shard in manifest["shards"]:
        files |= {name: FileInfo(**info) for name, info in shard["files"].items()}
    return files


def check_sizes(directory: Path, manifest: Manifest) -> None:
    """Make sure that all files are there, lie in the directory, and have the sizes that the manifest says."""
    for name, info in listed_files(manifest).items():
        path = directory / name
        rebuild = f"delete {directory} and build the patch set again"
        with explain_os_errors(path, rebuild):
            size = check_enclosed(directory, name).stat().st_size
        if size != info.bytes:
            raise PixqError(f"{path}: has {size} bytes, the manifest says {info.bytes}; {rebuild}")


def verify(directory: Path) -> list[str]:
    """Check the files of a patch set; the result has a line for each that is missing or has another checksum.

    An empty list means that every byte is as it was built, and that the set can be opened.

    Raises
    ------
    PixqError
        If there is no patch set, or its manifest is damaged.
    """

    def check(item: tuple[str, FileInfo]) -> str | None:
        name, info = item
        try:
            found = checksum(check_enclosed(directory, name))
        except OSError as error:
            return f"{directory / name}: {error.strerror or error}"
        if found == info:
            return None
        return f"{directory / name}: BLAKE3 is {found.blake3}, the manifest says {info.blake3}"

    files = listed_files(read_manifest(directory))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        problems = [problem for problem in pool.map(check, files.items()) if problem is not None]
    if not problems:
        PatchSet(directory)
    return problems


def fingerprint(patches: PatchSet) -> str:
    """BLAKE3 of the manifest. It covers the whole set, since the manifest has the checksums of all other files.

    Joined sets have a fingerprint of their own.
    """
    if patches.joined_fingerprint is not None:
        return patches.joined_fingerprint
    return checksum(patches.directory / MANIFEST).blake3


def image_spans(image: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First record and number of records of each image, for records in order of their images.

    Examples
    --------
    >>> starts, counts = image_spans(np.array([4, 4, 4, 7, 7]))
    >>> starts.tolist(), counts.tolist()
    ([0, 3], [3, 2])
    """
    starts = np.flatnonzero(np.diff(image, prepend=-1))
    return starts, np.diff(np.append(starts, len(image)))
