"""Both images of a pair in memory, or, where they don't fit, in files that are read as they are needed."""

from __future__ import annotations

import mmap
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq._core import probe
from pixq.errors import PixqError
from pixq.io.images import eight_bits, explained, read_pixels
from pixq.predict.pairs import Pair
from pixq.scoring.grid import Grid

__all__ = ["MEMORY", "MIB", "Opened", "Plan", "open_pair", "plan"]

MIB = 1 << 20
#: MiB for pixels and results, unless another number is asked for.
MEMORY = 2048

#: Bytes for patches that are cut, and a picture's bands.
_WORK = 128 * MIB
#: Bytes that the results of a patch take, corners and what is in between included.
_PATCH = 100
#: Bytes a patch more while they become the numbers and words of a JSON or CSV file.
_LISTED = 400


@dataclass(frozen=True)
class Plan:
    """What it takes to open a pair, in bytes.

    Parameters
    ----------
    pair
        The files.
    decoding
        Of each image: while it is decoded; the file, its pixels, and what some formats need beside them.
    held
        Both images as the models take them.
    work
        What scoring needs beside the pixels.
    """

    pair: Pair
    decoding: tuple[int, int]
    held: int
    work: int

    @property
    def together(self) -> int:
        """With both images in memory."""
        return max(sum(self.decoding), self.held) + self.work

    @property
    def apart(self) -> int:
        """With one image in memory at a time."""
        return max(self.decoding) + self.work


@dataclass(frozen=True)
class Opened:
    """Both images: uint8 (height, width, 3).

    Parameters
    ----------
    reference, distorted
        In memory, or mapped from a file that is gone when they are.
    maps
        What they are mapped by.
    """

    reference: NDArray[np.uint8]
    distorted: NDArray[np.uint8]
    maps: tuple[mmap.mmap, ...] = field(default=(), repr=False)

    def release(self) -> None:
        """Let go of pixels that were read from files: they are read again when they are looked at."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for each in self.maps:
                each.madvise(mmap.MADV_DONTNEED)


def plan(pair: Pair, size: int, stride: int, *, listed: bool = False) -> Plan:
    """What it takes to open a pair; no pixel is decoded. `listed`: JSON or CSV with every patch will be written.

    Raises
    ------
    PixqError
        If a file can't be read or is none that pixq takes, sizes differ, or no patch fits.
    """
    shapes, decoding = [], []
    for path in (pair.reference, pair.distorted):
        said = explained(path, partial(probe, path))
        height, width = said["height"], said["width"]
        shapes.append((height, width))
        decoding.append(explained(path, partial(_decoding, path, said)))
    (height, width), other = shapes
    if (height, width) != other:
        raise PixqError(
            f"{pair.reference}: has {width}x{height} pixels, {pair.distorted} {other[1]}x{other[0]}; "
            "give two images of one size"
        )
    try:
        rows, columns = Grid(height, width, size, stride).shape
    except PixqError as error:
        raise PixqError(f"{pair.distorted}: {error}") from None
    each = _PATCH + (_LISTED if listed else 0)
    return Plan(pair, (decoding[0], decoding[1]), 2 * 3 * height * width, _WORK + each * rows * columns)


def _decoding(path: Path, said: dict[str, Any]) -> int:
    """The most bytes that decoding has been seen to take, by what the header says.

    On files of 25 megapixels decoders took the file and its pixels (PNG, BMP, TIFF, JPEG), these 2.4 times (WebP), 3
    times (progressive JPEG, which keeps 2 bytes of coefficients a sample), and once more where pixels are turned.
    """
    pixels = 3 * said["height"] * said["width"]
    times = 1.0
    if said["format"] == "webp":
        times = 2.5
    elif said["format"] == "jpeg" and _progressive(path):
        times = 3.0
    if said["orientation"] != 1:
        times += 1.0
    # Of 16 bits, the 8 that are kept come on top.
    deep = 3 * pixels if said["bit_depth"] == 16 else int(times * pixels)
    return deep + path.stat().st_size


def _progressive(path: Path) -> bool:
    """Whether a JPEG's frame is progressive (ITU-T T.81, B.1.1.3): segments, each with its length, up to a frame's."""
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF:
            if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
                return head[1] not in (0xC0, 0xC1)
            file.seek(int.from_bytes(head[2:]) - 2, 1)
    # Whatever stands there instead, it takes no more than that.
    return True


def open_pair(planned: Plan, memory: int) -> Opened:
    """Decode both images, in two threads if `memory` bytes allow, or one after the other into temporary files.

    Raises
    ------
    PixqError
        If a file is damaged, or `memory` does not do for one image alone.
    """
    files = (planned.pair.reference, planned.pair.distorted)
    if planned.together <= memory:
        with ThreadPoolExecutor(2, "pixq-decode") as pool:
            reference, distorted = pool.map(_decode, files)
        return Opened(reference, distorted)
    if planned.apart > memory:
        largest = files[int(planned.decoding[1] > planned.decoding[0])]
        raise PixqError(
            f"{largest}: takes {-(-planned.apart // MIB)} MiB to decode and compare; give a --memory of as many"
        )
    (reference, first), (distorted, second) = (_spooled(path) for path in files)
    return Opened(reference, distorted, (first, second))


def _decode(path: Path) -> NDArray[np.uint8]:
    return eight_bits("pixels", explained(path, lambda: read_pixels(path)))


def _spooled(path: Path) -> tuple[NDArray[np.uint8], mmap.mmap]:
    pixels = _decode(path)
    try:
        with tempfile.TemporaryFile(prefix="pixq-") as file:
            # The map keeps the file, which has no name.
            file.write(np.ascontiguousarray(pixels).data)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise PixqError(
            f"{tempfile.gettempdir()}: {error.strerror or error}; make room for {pixels.nbytes // MIB + 1} MiB, set "
            "TMPDIR to another folder, or give more --memory"
        ) from None
    return np.frombuffer(mapped, np.uint8).reshape(pixels.shape), mapped
