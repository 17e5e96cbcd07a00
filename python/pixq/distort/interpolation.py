"""Synthetic triplets: a clean crop, and two interpolations of pixels that a sensor lost."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixq import classes, ranges
from pixq.datasets import splits
from pixq.distort.apply import check_image, generator
from pixq.distort.damage import BAYER, CASES, TURNS, dead_pixels
from pixq.distort.fill import demosaic_bilinear, demosaic_directed, fill_directed, fill_median
from pixq.distort.kinds import Image
from pixq.distort.visibility import VISIBLE, synthetic_class, visibility
from pixq.distort.whole import MAKER, save_png, write_whole
from pixq.errors import PixqError
from pixq.geometry import PatchGeometry

__all__ = ["METHODS", "Triplet", "make_triplets", "write_triplets"]

#: Descriptions of the methods, by the name of their folder.
METHODS = {
    "new": "edge-directed: pixq.distort.fill.fill_directed, and demosaic_directed for bayer",
    "ref": "plain: pixq.distort.fill.fill_median, and demosaic_bilinear for bayer",
}

_NOTE = (
    "No person gave these scores: each is the class of pixq.distort.visibility, a formula of the patch's change in "
    "CIELAB and the contrast around it (1 GREEN, 0.5 ORANGE, 0 RED)."
)
# Increase it when pixels, labels or the layout change, so that existing trees are written again.
_VERSION = 1
_GEOMETRY = PatchGeometry()
_SIZE = _GEOMETRY.size
#: One triplet in this many overlaps another one, as crops of a test chart do.
_OVERLAPPING = 16
_TEST_SHARE = 0.2
#: Thirds of the cells, from the flattest, in turn. Most are textured: losses in a smooth surface are seldom visible.
_THIRDS = (2, 0, 2, 1, 2, 2)


@dataclass(frozen=True)
class Triplet:
    """A clean patch, with its top left pixel at row `y` and column `x` of its reference, and two interpolations of it.

    `clean`, `new` and `ref` are uint8 RGB (20, 20, 3); `case` is the kind of damage, a name in `CASES`.
    """

    y: int
    x: int
    case: str
    clean: Image
    new: Image
    ref: Image


def make_triplets(image: Image, count: int, seed: int, *, name: str = "") -> list[Triplet]:
    """Damage an image at `count` places and fill it in by the two methods.

    Places are cells of a grid of 20 pixels with a random origin. Of every six, one is drawn from the flattest third of
    the cells, one from the middle and four from the most textured third (by the standard deviation of luma), as long as
    these last. One triplet in sixteen lies a few pixels from another one instead. Cases take turns, in random order.
    Nothing outside the RoI changes. All draws are keyed by `seed`, `name` and the triplet's number.

    Parameters
    ----------
    image
        uint8 RGB of shape (height, width, 3).
    count
        Number of triplets, 1 or more.
    seed
        Any integer.
    name
        Name of the image: images with different names get different draws.

    Raises
    ------
    PixqError
        If the image is not uint8 RGB or has too few places.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    >>> triplets = make_triplets(noise, 18, seed=0)
    >>> sorted({triplet.case for triplet in triplets}) == sorted(CASES)
    True
    """
    check_image(image, name or "image")
    ranges.COUNT.check(count, "--count")
    places = _places(image, count, generator(seed, name, "places", 0), name)
    order = generator(seed, name, "cases", 0).permutation(len(TURNS))
    made = []
    for number, (y, x) in enumerate(places):
        case = TURNS[order[number % len(TURNS)]]
        clean = np.ascontiguousarray(image[y : y + _SIZE, x : x + _SIZE])
        if case == BAYER:
            new, ref = (fill(clean, top=y, left=x) for fill in (demosaic_directed, demosaic_bilinear))
        else:
            lost = dead_pixels(case, generator(seed, name, case, number))
            new, ref = (fill(clean, lost) for fill in (fill_directed, fill_median))
        made.append(Triplet(y, x, case, clean, _inside(clean, new), _inside(clean, ref)))
    return made


def write_triplets(
    references: Mapping[str, Image], root: str | os.PathLike[str], count: int = 50, seed: int = 0
) -> bool:
    """Write triplets made of references, with synthetic scores, in the layout of the dataset `triplets`.

    The files are `clean/<n>.png`, `new/<n>.png` and `ref/<n>.png` (20x20; n is the number of the triplet, from 0 over
    all references), `train_metadata.json` and `test_metadata.json` (a fifth of the references; none is in both),
    `dataset_metadata.json` (all records), and `labels.json`, which says that the scores are synthetic and how the files
    were made. They appear together or not at all.

    A score is 1, 0.5 or 0: the class (`synthetic_class`) of the patch's `visibility`.

    Parameters
    ----------
    references
        Images by name, uint8 RGB of shape (height, width, 3). The names become the records' `image_source`.
    root
        The folder to write. A folder made by pixq is kept if it has the same content, and replaced if not.
    count
        Number of triplets per reference; each makes two pairs.
    seed
        See `make_triplets`.

    Returns
    -------
    bool
        True if files were written, False if they were there already.

    Raises
    ------
    PixqError
        If `root` holds other files or can't be written, a reference is too small, or two are the same image.

    Examples
    --------
    >>> import tempfile
    >>> from pixq import datasets
    >>> root = Path(tempfile.mkdtemp(), "tree")
    >>> noise = np.random.default_rng(0)
    >>> photos = {f"photo{n}": noise.integers(0, 256, (60, 80, 3), dtype=np.uint8) for n in range(5)}
    >>> write_triplets(photos, root, count=4)
    True
    >>> index = datasets.index("triplets", root)
    >>> len(index.pairs), len({pair.group for pair in index.pairs}), index.contract.synthetic
    (40, 20, True)
    """
    if not references:
        raise PixqError("there is nothing to write: give at least one reference")
    hashes = _hashes(references)
    made = [
        (name, triplet)
        for name, image in references.items()
        for triplet in make_triplets(image, count, seed, name=name)
    ]
    labels = {
        "synthetic": True,
        "note": _NOTE,
        "made_by": MAKER,
        "version": _VERSION,
        "seed": seed,
        "count": count,
        "visible": {"orange_above": VISIBLE[0], "red_above": VISIBLE[1]},
        "methods": METHODS,
        "cases": CASES,
        "references": {name: {"sha256": sha256} for name, sha256 in hashes.items()},
    }
    folders = ("clean", *METHODS)
    metadata = ("train", "test", "dataset")
    wanted = {
        "labels.json",
        *(f"{which}_metadata.json" for which in metadata),
        *(f"{folder}/{number}.png" for folder in folders for number in range(len(made))),
    }

    def fill(new: Path) -> None:
        for folder in folders:
            (new / folder).mkdir()
            for number, (_, triplet) in enumerate(made):
                save_png(getattr(triplet, folder), new / folder / f"{number}.png")
        records = _records(made)
        tested = _tested(references)
        parts = {
            "train": [record for record in records if record["metadata"]["image_source"] not in tested],
            "test": [record for record in records if record["metadata"]["image_source"] in tested],
            "dataset": records,
        }
        for which in metadata:
            text = json.dumps(parts[which], indent=1, ensure_ascii=False) + "\n"
            (new / f"{which}_metadata.json").write_text(text, encoding="utf-8")

    return write_whole(Path(root), json.dumps(labels, indent=2, ensure_ascii=False) + "\n", wanted, fill)


def _records(made: list[tuple[str, Triplet]]) -> list[dict[str, Any]]:
    """The records of all pairs: for each triplet, first `new` and then `ref`."""
    if not made:
        return []
    clean = np.stack([triplet.clean for _, triplet in made])
    classes_of = {
        method: synthetic_class(visibility(clean, np.stack([getattr(triplet, method) for _, triplet in made])))
        for method in METHODS
    }
    records: list[dict[str, Any]] = []
    for number, (name, triplet) in enumerate(made):
        for method in METHODS:
            patch_class = classes.CLASSES[classes_of[method][number]]
            records.append(
                {
                    "unique_sample_id": len(records),
                    "clean_image": number,
                    "distorted_image": number,
                    "score": patch_class.quality,
                    "metadata": {
                        "crop_id": number,
                        "image_source": name,
                        "bp_case": triplet.case,
                        "method": method,
                        "color": patch_class.name.upper(),
                        "score": patch_class.quality,
                        "roi": [triplet.x, triplet.y, _SIZE, _SIZE],
                    },
                }
            )
    return records


def _hashes(references: Mapping[str, Image]) -> dict[str, str]:
    """A digest of each reference. Two equal ones are an error: they could put one photo on both sides."""
    hashes: dict[str, str] = {}
    first: dict[str, str] = {}
    for name, image in references.items():
        check_image(image, name)
        hashes[name] = hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).data).hexdigest()
        twin = first.setdefault(hashes[name], name)
        if twin != name:
            raise PixqError(
                f"references {twin!r} and {name!r} are the same image, pixel for pixel; give just one of them"
            )
    return hashes


def _tested(references: Mapping[str, Image]) -> set[str]:
    """The references of the test side; none if there is just one reference."""
    if len(references) < 2:
        return set()
    sides = splits.assign(references, ratio=(1.0 - _TEST_SHARE, 0.0, _TEST_SHARE), folds=1)
    return {name for name, side in sides.items() if side.split == "test"}


def _inside(clean: Image, filled: Image) -> Image:
    """`clean` with the RoI of `filled`."""
    top, left, height, width = _GEOMETRY.roi_box
    roi = slice(top, top + height), slice(left, left + width)
    out = clean.copy()
    out[roi] = filled[roi]
    return out


def _places(image: Image, count: int, draw: np.random.Generator, name: str) -> list[tuple[int, int]]:
    """`count` places of patches, as (y, x), in random order; see `make_triplets`."""
    beside = count // _OVERLAPPING
    cells = _cells(image, draw)
    if len(cells) < count - beside:
        raise PixqError(
            f"{name or 'the image'} has {len(cells)} places of {_SIZE}x{_SIZE} pixels, and --count {count} needs "
            f"{count - beside}; lower it, or give larger references"
        )
    luma = image[..., 0] * 0.299 + image[..., 1] * 0.587 + image[..., 2] * 0.114
    contrast = [luma[y : y + _SIZE, x : x + _SIZE].std() for y, x in cells]
    ranked = np.argsort(contrast, kind="stable")
    thirds = [draw.permutation(third).tolist() for third in np.array_split(ranked, 3)]
    taken: list[int] = []
    # Thirds without cells are passed over.
    while len(taken) < count - beside:
        for third in _THIRDS:
            taken += [thirds[third].pop()] if thirds[third] else []
    places = [cells[cell] for cell in taken[: count - beside]]
    height, width = image.shape[:2]
    for number in range(beside):
        y, x = places[number]
        down, right = (draw.integers(3, 10, 2) * draw.choice((-1, 1), 2)).tolist()
        places.append((min(max(y + down, 0), height - _SIZE), min(max(x + right, 0), width - _SIZE)))
    return [places[place] for place in draw.permutation(count)]


def _cells(image: Image, draw: np.random.Generator) -> list[tuple[int, int]]:
    """The cells of a grid of 20 pixels with a random origin, as (y, x)."""
    starts = []
    for length in image.shape[:2]:
        # A larger origin could leave one cell less.
        first = int(draw.integers(length % _SIZE + 1))
        starts.append(range(first, length - _SIZE + 1, _SIZE))
    return [(y, x) for y in starts[0] for x in starts[1]]
