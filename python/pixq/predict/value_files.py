"""Quality per pixel as a file for further processing: NPY, or a 16-bit grey TIFF."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.io.atomic import atomic_write
from pixq.scoring.quality_map import QualityMap

__all__ = ["ENDINGS", "JND_ENDINGS", "write_jnd", "write_values"]

#: Endings that a file of values may have.
ENDINGS = (".npy", ".tif", ".tiff")
#: Those of a file of JND, which have no upper end that a TIFF could scale to.
JND_ENDINGS = (".npy",)

#: Pixels that are computed at a time: 100 megapixels would be 400 MB, of which only a few are in memory.
_BAND = 1 << 20

# TIFF 6.0, June 1992: types of fields, and the tags of baseline bilevel and greyscale images (sections 2, 4 and 6).
_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5
_DESCRIPTION = b"quality of each pixel by pixq: 65535 = nobody notices, 0 = obvious\0"
_LARGEST = (1 << 32) - 1
_Field = tuple[int, int, list[int] | bytes]


def write_values(quality_map: QualityMap, path: str | os.PathLike[str]) -> None:
    """Write `quality_map.per_pixel()` without ever having all of it in memory.

    Parameters
    ----------
    quality_map
        The map.
    path
        `.npy`: float32 (height, width), 0 to 1; `.tif` or `.tiff`: 16-bit grey, uncompressed, quality * 65535, rounded.

    Raises
    ------
    PixqError
        If the name has another ending, the file can't be written, or a TIFF would exceed 4 GB.

    Examples
    --------
    >>> write_values(quality_map, "quality.npy")  # doctest: +SKIP
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise PixqError(f"{path}: give a name that ends in .npy (float32) or .tif (16 bit)")
    with atomic_write(path) as scratch, scratch.open("wb") as file:
        if ending == ".npy":
            _write_npy(quality_map, file)
        else:
            _write_tiff(quality_map, file, path)


def write_jnd(quality_map: QualityMap, path: str | os.PathLike[str]) -> None:
    """Write the JND of each pixel, interpolated as quality is, as float32 (height, width) in a `.npy` file.

    Raises
    ------
    PixqError
        If the file can't be written, or the map has no JND.
    """
    path, jnd = Path(path), quality_map.jnd
    if jnd is None:
        raise PixqError(f"{path}: an earlier version of pixq made this map, without JND; predict the pair again")
    with atomic_write(path) as scratch, scratch.open("wb") as file:
        _write_npy(quality_map, file, jnd)


def _bands(
    quality_map: QualityMap, rows: int, values: NDArray[np.floating] | None = None
) -> Iterator[NDArray[np.float32]]:
    columns = np.arange(quality_map.grid.width)
    for top in range(0, quality_map.grid.height, rows):
        yield quality_map.at(np.arange(top, min(top + rows, quality_map.grid.height)), columns, values)


def _write_npy(quality_map: QualityMap, file: BinaryIO, values: NDArray[np.floating] | None = None) -> None:
    shape = (quality_map.grid.height, quality_map.grid.width)
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for band in _bands(quality_map, max(_BAND // shape[1], 1), values):
        file.write(band.astype("<f4", copy=False).data)


def _write_tiff(quality_map: QualityMap, file: BinaryIO, path: Path) -> None:
    """Write a baseline TIFF, a header and rows: Pillow would need the whole image in memory."""
    height, width = quality_map.grid.height, quality_map.grid.width
    rows = min(max(_BAND // width, 1), height)
    strips = -(-height // rows)
    sizes = [2 * width * (min(top + rows, height) - top) for top in range(0, height, rows)]
    #: Tag, type, values; in the order of the tags, as the format demands.
    fields: list[_Field] = [
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, [16]),
        (259, _SHORT, [1]),  # not compressed
        (262, _SHORT, [1]),  # 0 is black
        (270, _ASCII, _DESCRIPTION),
        (273, _LONG, [0] * strips),
        (277, _SHORT, [1]),
        (278, _LONG, [rows]),
        (279, _LONG, sizes),
        (282, _RATIONAL, [1, 1]),
        (283, _RATIONAL, [1, 1]),
        (296, _SHORT, [1]),  # pixels have no size
    ]
    first = len(_directory(fields))
    if first + sum(sizes) > _LARGEST:
        raise PixqError(f"{path}: {width}x{height} pixels exceed the 4 GB of a TIFF; give a name that ends in .npy")
    offsets = [first + sum(sizes[:strip]) for strip in range(strips)]
    file.write(_directory([(tag, kind, offsets if tag == 273 else values) for tag, kind, values in fields]))
    for band in _bands(quality_map, rows):
        file.write(np.rint(band * np.float64(65535)).astype("<u2").data)


def _directory(fields: list[_Field]) -> bytes:
    """The header and the only directory; values longer than an entry's four bytes come after it."""
    entries, further = b"", b""
    after = 8 + 2 + 12 * len(fields) + 4
    for tag, kind, values in fields:
        if isinstance(values, bytes):
            packed, count = values, len(values)
        else:
            packed = struct.pack(f"<{len(values)}{'H' if kind == _SHORT else 'I'}", *values)
            count = len(values) // 2 if kind == _RATIONAL else len(values)
        if len(packed) > 4:
            packed += b"\0" * (len(packed) % 2)  # offsets are even
            place, further = struct.pack("<I", after + len(further)), further + packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + place
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + struct.pack("<I", 0) + further
