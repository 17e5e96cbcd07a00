"""Fingerprints that recognise a photo under another name, so that it can't be in two splits."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixq.datasets.base import Problem
from pixq.io.images import MAX_PIXELS, ReadOptions, read_pixels

__all__ = [
    "NEAR_BITS",
    "MergedGroups",
    "NearDuplicate",
    "Photo",
    "fingerprint",
    "fingerprint_all",
    "merge_groups",
    "near_duplicates",
    "near_warnings",
]


NEAR_BITS = 8
"""Two photos whose difference hashes differ in at most this many of 64 bits may be the same photo.

Measured on 39 photographs (ten Kodak crops, 24 of CID22, five of KonJND): distinct ones differ in 18 bits or more;
JPEG at quality 50, a shift by one pixel and 10 grey levels more light change 7 bits at most.
"""

_HASH_SHAPE = (8, 9)
# Rows of the comparison that are in memory at once: 256 x 5,000 hashes are 10 MB.
_BLOCK = 256


@dataclass(frozen=True)
class Photo:
    """Fingerprints of a photo's pixels, and its size.

    `sha256` is the hash of the file's samples with their shape and type, in hexadecimal; profiles are not applied, so a
    photo has the same hash whether or not a patch set was cut from converted pixels. `dhash` has 64 bits, one for
    each pair of neighbours in a row of the photo shrunk to 8 x 9 grey pixels: 1 if the right one is brighter. `height`
    and `width` are in pixels.
    """

    sha256: str
    dhash: int
    height: int
    width: int


@dataclass(frozen=True)
class NearDuplicate:
    """Two references with different pixels whose `dhash` differs in only `bits` bits, at most `NEAR_BITS`."""

    first: str
    second: str
    bits: int


@dataclass(frozen=True)
class MergedGroups:
    """Groups after merging those that share a photo.

    `groups` maps each original group to the merged one; `notes` describes each merge in one line; `near` are the pairs
    of references that may show the same photo and were not merged.
    """

    groups: dict[str, str]
    notes: tuple[str, ...]
    near: tuple[NearDuplicate, ...]


def fingerprint(path: Path, *, max_pixels: int = MAX_PIXELS, frame: int | None = None) -> Photo:
    """Compute the fingerprint of an image file, or of one `frame` of it; see `ReadOptions`.

    The difference hash is Krawetz's dHash (Kind of like that, The Hacker Factor Blog, 2013) over exact block sums.

    Raises
    ------
    OSError, ValueError
        If the file can't be read, is not an image that pixq reads, or has more than `max_pixels` pixels.
    """
    raw = ReadOptions(colour_management=False, frame=frame)
    pixels = read_pixels(path, max_pixels=max_pixels, options=raw, keep_alpha=True)
    digest = hashlib.sha256(f"{pixels.dtype.name}:{pixels.shape}:".encode())
    digest.update(pixels.data)
    return Photo(digest.hexdigest(), _dhash(pixels), pixels.shape[0], pixels.shape[1])


def fingerprint_all(
    root: Path,
    files: Mapping[str, str],
    *,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    frame: int | None = None,
) -> tuple[dict[str, Photo], tuple[Problem, ...]]:
    """Compute the fingerprints of many images on several threads.

    Parameters
    ----------
    root
        The folder that the paths are relative to.
    files
        Paths by reference id.
    threads
        Number of threads; the number of processors by default. The result doesn't depend on it.
    max_pixels
        Largest number of pixels in an image.
    frame
        Which frame of animations, or page of TIFFs.

    Returns
    -------
    tuple
        Photos by reference id, and a `corrupt` problem for each file that can't be decoded.
    """

    def one(path: str) -> Photo | str:
        try:
            return fingerprint(root / path, max_pixels=max_pixels, frame=frame)
        except OSError as error:
            return error.strerror or str(error)
        except ValueError as error:
            # Without the folder: problems go into manifests, which must not depend on where a dataset lies.
            return " ".join(str(error).split()).removeprefix(f"{root / path}: ")

    photos: dict[str, Photo] = {}
    problems: list[Problem] = []
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for reference_id, result in zip(files, pool.map(one, files.values()), strict=True):
            if isinstance(result, Photo):
                photos[reference_id] = result
            else:
                problems.append(Problem("corrupt", files[reference_id], result))
    return photos, tuple(problems)


def merge_groups(
    photos: Mapping[str, tuple[str, Photo]], *, together: Iterable[tuple[str, str, str]] = ()
) -> MergedGroups:
    """Merge groups that share a photo, pixel for pixel, or that must be merged for another reason.

    The result depends neither on the order of `photos` nor on that of `together`.

    Parameters
    ----------
    photos
        `(group, Photo)` by reference id.
    together
        `(group, other group, note)` of further groups to merge, such as those of two pairs that share a file. They
        need not be in `photos`. The note is kept for each merge that it causes, not for groups that are already
        merged.

    Examples
    --------
    >>> photo = Photo("00", 0, 512, 512)
    >>> merge_groups({"I03": ("I03", photo), "I25": ("I25", photo)}).groups
    {'I03': 'I03', 'I25': 'I03'}
    """
    # Ordered, so that which of several notes causes a merge doesn't depend on who lists them.
    links = sorted((*sorted((first, second)), note) for first, second, note in together)
    parent = {group: group for group, _ in photos.values()}
    parent |= {group: group for first, second, _ in links for group in (first, second)}

    def head(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    same: dict[str, list[str]] = defaultdict(list)
    for reference_id in sorted(photos):
        same[photos[reference_id][1].sha256].append(reference_id)
    notes = []
    for reference_ids in same.values():
        groups = sorted({photos[reference_id][0] for reference_id in reference_ids})
        if len(groups) > 1:
            heads = sorted({head(group) for group in groups})
            for other in heads[1:]:
                parent[other] = heads[0]
            notes.append(
                f"references {', '.join(reference_ids)} are the same photo, pixel for pixel; "
                f"groups {', '.join(groups)} are kept in one split"
            )
    for first, second, note in links:
        heads = sorted({head(first), head(second)})
        if len(heads) > 1:
            parent[heads[1]] = heads[0]
            notes.append(note)
    near = near_duplicates({reference_id: photo for reference_id, (_, photo) in photos.items()})
    return MergedGroups({group: head(group) for group in sorted(parent)}, tuple(notes), near)


def near_duplicates(photos: Mapping[str, Photo]) -> tuple[NearDuplicate, ...]:
    """Find pairs of references with different pixels whose difference hashes are at most `NEAR_BITS` apart.

    Plain images have no structure that a hash could compare, and a hash of 0; they are near to nothing. The pairs are
    ordered by name. Every pair is compared: 5,000 references take 0.03 s and 10 MB.
    """
    names = sorted(name for name in photos if photos[name].dhash)
    hashes = np.array([photos[name].dhash for name in names], dtype=np.uint64)
    found = []
    for start in range(0, len(names), _BLOCK):
        bits = np.bitwise_count(hashes[start : start + _BLOCK, None] ^ hashes[None, start:])
        for row, column in np.argwhere(bits <= NEAR_BITS).tolist():
            first, second = names[start + row], names[start + column]
            if row < column and photos[first].sha256 != photos[second].sha256:
                found.append(NearDuplicate(first, second, int(bits[row, column])))
    return tuple(found)


def near_warnings(near: Iterable[NearDuplicate], splits: Mapping[str, str]) -> tuple[str, ...]:
    """Warn of near-duplicates, first of those in different splits; `splits` gives the split by reference id."""
    apart, together = [], []
    for pair in near:
        first, second = splits.get(pair.first, "no split"), splits.get(pair.second, "no split")
        text = f"references {pair.first} and {pair.second} look like one photo ({pair.bits} of 64 bits differ)"
        if first != second:
            apart.append(
                f"{text}, and are in different splits: {first} and {second}; if they are one photo, give them one group"
            )
        else:
            together.append(f"{text}; both are in {first}")
    return (*apart, *together)


def _dhash(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> int:
    """Compute the difference hash of (H, W, 3) pixels. Sums are exact, so every machine gives the same bits."""
    sums: NDArray[np.integer] = pixels
    extents = []
    for axis, cells in enumerate(_HASH_SHAPE):
        edges = np.arange(cells) * pixels.shape[axis] // cells
        # An image of fewer pixels than cells has cells without extent: reduceat gives them the pixel at their edge.
        extents.append(np.maximum(np.diff(np.append(edges, pixels.shape[axis])), 1))
        sums = np.add.reduceat(sums, edges, axis=axis, dtype=np.int64)
    # BT.601 luma in thousandths, as Pillow's "L".
    grey = (sums @ np.array([299, 587, 114])) / np.multiply.outer(*extents)
    brighter = grey[:, 1:] > grey[:, :-1]
    return int.from_bytes(np.packbits(brighter).tobytes(), "big")
