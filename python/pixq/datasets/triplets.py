"""Triplets in Samsung's layout: a clean 20x20 crop, and two interpolations of its dead pixels with a class each."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pixq import classes
from pixq.datasets.base import Adapter, DatasetIndex, ImagePair
from pixq.datasets.labels import LabelContract
from pixq.datasets.photos import fingerprint
from pixq.datasets.records import Rectangle, TripletRecord, read_records
from pixq.datasets.scores import contract_of
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError

__all__ = ["TRIPLETS", "group_records", "overlapping"]

#: Rows and columns of a crop, unless its record's roi has another size.
SIZE = 20

CONTRACT = LabelContract(
    name="score",
    polarity="higher-is-better",
    minimum=0.0,
    maximum=1.0,
    unit="class of a patch: " + ", ".join(f"{each.quality:g} {each.name} ({each.meaning})" for each in classes.CLASSES),
    subject="patch",
)

_SPLIT_FILES: dict[str, Literal["train", "test"]] = {"train_metadata.json": "train", "test_metadata.json": "test"}
_WHOLE_FILE = "dataset_metadata.json"


def index_triplets(root: Path) -> DatasetIndex:
    """Index a dataset of triplets.

    Each record is an image pair, `clean/<clean_image>.png` and `<method>/<distorted_image>.png`. Records are in one
    group if they share a clean crop (the same number, or the same pixels) or their rois overlap on one image source,
    directly or through other records. A group is named after its first clean crop.

    Raises
    ------
    PixqError
        If files are missing, a record is wrong or contradicts itself, or a crop has another size than its record says.
    """
    tree = Tree(root)
    metadata = [name for name in (*_SPLIT_FILES, _WHOLE_FILE) if tree.find(name, by_stem=False).path]
    clean, new, ref = tree.require("clean", "new", "ref", *(() if metadata else _SPLIT_FILES))[:3]
    folders = {"clean": clean, "new": new, "ref": ref}
    records = _records(tree, root)
    numbered = {name: _numbered(tree, folder) for name, folder in folders.items()}

    def path(folder: str, number: int) -> str:
        return numbered[folder].get(number, f"{folders[folder]}/{number}.png")

    lines = [
        ScoreLine(
            line=record.position,
            image_id=f"{record.method}/{record.distorted:06d}",
            reference_id=f"clean/{record.clean:06d}",
            group="",
            reference=path("clean", record.clean),
            distorted=path(record.method, record.distorted),
            distortion_type=record.method,
            level=None,
            score=record.score,
            where=record.where,
        )
        for record in records
    ]
    _check_sizes(root, zip(records, lines, strict=True))
    index = assemble(
        "triplets", tree, contract_of(root, CONTRACT), "the metadata", lines, folders=(clean, new, ref), by_stem=False
    )
    groups = group_records(records, _pixels(root, {line.reference_id: line.reference for line in lines}))
    of_image: dict[str, list[TripletRecord]] = defaultdict(list)
    for record, line in zip(records, lines, strict=True):
        of_image[line.image_id].append(record)

    def completed(pair: ImagePair) -> ImagePair:
        found = of_image[pair.image_id]
        sides = {record.side for record in found}
        side = found[0].side if len(sides) == 1 else "both"
        return replace(pair, group=groups[pair.reference_id], split=side, attributes=found[0].attributes)

    return replace(index, pairs=tuple(completed(pair) for pair in index.pairs))


def group_records(records: Iterable[TripletRecord], pixels: Mapping[str, str]) -> dict[str, str]:
    """Find the group of each clean crop.

    Parameters
    ----------
    records
        All records of the dataset.
    pixels
        A digest of the pixels of each crop, by reference_id (`clean/000012`). Crops without a digest are taken as
        different from all others.

    Returns
    -------
    dict
        Groups by reference_id; a group is named after its first reference_id in sorted order.
    """
    parent: dict[str, str] = {}

    def head(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def tie(first: str, second: str) -> None:
        low, high = sorted((head(first), head(second)))
        parent[high] = low

    of_pixels: dict[str, str] = {}
    of_source: dict[str, list[tuple[str, Rectangle]]] = defaultdict(list)
    for record in records:
        name = f"clean/{record.clean:06d}"
        parent.setdefault(name, name)
        if name in pixels:
            tie(name, of_pixels.setdefault(pixels[name], name))
        if record.source is not None and record.roi is not None:
            of_source[record.source].append((name, record.roi))
    for placed in of_source.values():
        names = [name for name, _ in placed]
        for one, other in overlapping([roi for _, roi in placed]):
            tie(names[one], names[other])
    return {name: head(name) for name in sorted(parent)}


def overlapping(rectangles: list[Rectangle]) -> Iterable[tuple[int, int]]:
    """Find pairs of rectangles that overlap, as indices in `rectangles`, each (x, y, width, height) in pixels.

    A sweep from left to right compares only rectangles that share a column.

    Examples
    --------
    >>> list(overlapping([(0, 0, 20, 20), (20, 0, 20, 20), (39, 19, 20, 20)]))
    [(1, 2)]
    """
    open_ones: list[int] = []
    for place in sorted(range(len(rectangles)), key=lambda place: rectangles[place][0]):
        x, y, _, height = rectangles[place]
        open_ones = [other for other in open_ones if rectangles[other][0] + rectangles[other][2] > x]
        for other in open_ones:
            _, top, _, rows = rectangles[other]
            if top < y + height and y < top + rows:
                yield other, place
        open_ones.append(place)


def _records(tree: Tree, root: Path) -> list[TripletRecord]:
    """The records of the train and test files, or, if neither exists, of the file with all records."""
    files = {side: tree.find(name, by_stem=False).path for name, side in _SPLIT_FILES.items()}
    records = []
    for side, file in files.items():
        if file is not None:
            records += read_records(root / file, file, side)
    whole = tree.find(_WHOLE_FILE, by_stem=False).path
    if not any(files.values()) and whole is not None:
        records += read_records(root / whole, whole, None)
    if not records:
        raise PixqError(f"{root}: the metadata lists no image; give a dataset with records in it")
    return records


def _numbered(tree: Tree, folder: str) -> dict[int, str]:
    """The files of a folder by number: both `12.png` and `0012.png` are number 12."""
    found: dict[int, str] = {}
    for path in tree.images(folder):
        stem, _, suffix = path.rpartition("/")[2].rpartition(".")
        if suffix.lower() != "png" or not (stem.isascii() and stem.isdecimal()):
            continue
        number = int(stem)
        if number in found:
            raise PixqError(f"{tree.root}: {found[number]} and {path} are both number {number}; remove one of them")
        found[number] = path
    return found


@dataclass(frozen=True)
class _Stated:
    """The size of a record's crops, in pixels, and the words for a message."""

    width: int
    height: int
    says: str


def _stated(record: TripletRecord) -> _Stated:
    if record.roi is None:
        return _Stated(SIZE, SIZE, f"crops are {SIZE}x{SIZE}")
    _, _, width, height = record.roi
    return _Stated(width, height, f"the roi of {record.where}, says {width}x{height}")


def _check_sizes(root: Path, rows: Iterable[tuple[TripletRecord, ScoreLine]]) -> None:
    """Make sure that crops have the size that their records state. Files that are not PNG are left to the build."""
    stated: dict[str, _Stated] = {}
    for record, line in rows:
        for file in (line.reference, line.distorted):
            size = _stated(record)
            before = stated.setdefault(file, size)
            if (before.width, before.height) != (size.width, size.height):
                raise PixqError(f"{root / file}: {before.says}, and {size.says}; fix the roi that is wrong")
    for file, size in stated.items():
        found = _png_size(root / file)
        if found is not None and found != (size.width, size.height):
            raise PixqError(
                f"{root / file}: is {found[0]}x{found[1]} pixels, and {size.says}; cut it again, or fix the record"
            )


def _png_size(path: Path) -> tuple[int, int] | None:
    """Width and height in the header of a PNG file; `None` if it can't be read."""
    try:
        # Unbuffered: a few bytes of each of some thousand files.
        with path.open("rb", buffering=0) as file:
            header = file.read(24)
    except OSError:
        return None
    if len(header) < 24 or header[:8] != b"\x89PNG\r\n\x1a\n" or header[12:16] != b"IHDR":
        return None
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


def _pixels(root: Path, references: Mapping[str, str]) -> dict[str, str]:
    """Digests of the pixels of the clean crops that can be decoded, by reference_id."""

    def digest(path: str) -> str | None:
        try:
            return fingerprint(root / path).sha256
        except (OSError, ValueError):
            return None  # Named as missing here, or as unusable by the build.

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(references, pool.map(digest, references.values()), strict=True))
    return {reference_id: sha256 for reference_id, sha256 in found.items() if sha256 is not None}


TRIPLETS = Adapter(
    name="triplets",
    title="Triplets in Samsung's layout: clean 20x20 crops and two ways of filling in their dead pixels",
    needs=(
        "clean/<n>.png, new/<n>.png, ref/<n>.png (20x20), train_metadata.json and test_metadata.json (lists of "
        'records, or {"data": [...]}: clean_image, distorted_image, score 0, 0.5 or 1, metadata with method, color, '
        "roi, image_source, bp_case), or dataset_metadata.json in their place; "
        'labels.json ({"synthetic": true, "note": "..."}) where no person gave the scores'
    ),
    licence="that of its owner: the original is private; trees of pixq distort have that of their references",
    citation="none: the original is not published",
    contract=CONTRACT,
    index=index_triplets,
)
