"""Decode both images of a pair: into memory, or into temporary files where memory is short."""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq._core import compose, probe
from pixq.errors import PixqError
from pixq.io.images import AS_SHOWN, Background, ReadOptions, eight_bits, explain_image_errors, load_pixels
from pixq.predict.pairs import Pair
from pixq.scoring.grid import Grid

__all__ = ["MEMORY", "MIB", "DecodePlan", "Opened", "open_pair", "plan"]

MIB = 1 << 20
#: Default limit for pixels and results, in MiB.
MEMORY = 2048

#: Pixels from which on the core decodes on a separate thread.
_LONG = 1 << 23
#: Rows that are put on a background at a time; a multiple of 16.
_ROWS = 256
#: Bytes for cut patches and for the bands of pictures.
_WORK = 128 * MIB
#: Bytes that the results of one patch take, corners and intermediate arrays included.
_PATCH = 100
#: Further bytes per patch while a JSON or CSV file is written.
_LISTED = 400


@dataclass(frozen=True)
class DecodePlan:
    """How much memory it takes to open and score a pair, in bytes.

    Parameters
    ----------
    pair
        The files.
    decoding
        While each image is decoded: the file, its pixels, and what its format needs besides.
    held
        Both images as the models take them.
    work
        What scoring needs besides the pixels.
    profiles
        The profiles from which the reference and the distorted image are converted to sRGB.
    reading
        How the files are read.
    notes
        What is wrong with either file although its pixels are all there.
    """

    pair: Pair
    decoding: tuple[int, int]
    held: int
    work: int
    profiles: tuple[str | None, str | None] = (None, None)
    reading: ReadOptions = AS_SHOWN
    notes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    @property
    def together(self) -> int:
        """The peak with both images in memory."""
        return max(sum(self.decoding), self.held) + self.work

    @property
    def apart(self) -> int:
        """The peak with one image in memory at a time."""
        return max(self.decoding) + self.work


@dataclass(frozen=True)
class Opened:
    """Both images: uint8 (height, width, 3), or with transparent pixels (height, width, 4), which may be uint16.

    Parameters
    ----------
    reference, distorted
        In memory, or mapped from a temporary file, which is deleted with the last array.
    maps
        The memory maps, if any.
    """

    reference: NDArray[Any]
    distorted: NDArray[Any]
    maps: tuple[mmap.mmap, ...] = field(default=(), repr=False)

    @property
    def transparent(self) -> bool:
        """Whether one of the images has transparent pixels."""
        return 4 in (self.reference.shape[2], self.distorted.shape[2])

    def composed(self, background: Background) -> Opened:
        """Both images on a background; what is in a temporary file stays in one.

        Raises
        ------
        PixqError
            If a temporary file can't be written.
        """
        images, maps = [], list(self.maps)
        for pixels in (self.reference, self.distorted):
            if pixels.shape[2] == 3:
                images.append(pixels)
            elif self.maps:
                spooled, mapped = _spooled(_bands(pixels, background), (*pixels.shape[:2], 3))
                images.append(spooled)
                maps.append(mapped)
            else:
                images.append(eight_bits("pixels", compose(pixels, background)))
        return Opened(images[0], images[1], tuple(maps))

    def release(self) -> None:
        """Free the memory of mapped pixels; they are read again from their files when they are needed."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self.maps:
                mapped.madvise(mmap.MADV_DONTNEED)


def plan(pair: Pair, size: int, stride: int, *, listed: bool = False, reading: ReadOptions = AS_SHOWN) -> DecodePlan:
    """Estimate the memory that a pair takes, from the headers of its files.

    `listed` says that every patch will be written to JSON or CSV.

    Raises
    ------
    PixqError
        If a file can't be read or is not an image that pixq reads, the sizes differ, or no patch fits.
    """
    shapes, decoding, profiles, notes, held = [], [], [], [], 0
    for path in (pair.reference, pair.distorted):
        with explain_image_errors(path):
            header = probe(path, colour_management=reading.colour_management, frame=reading.frame)
            decoding.append(_decoding(path, header))
        shapes.append((header["height"], header["width"]))
        profiles.append(header["converted_from"])
        notes.append(tuple(header["notes"]))
        # With alpha, the file's own samples and those on a background.
        samples = 3 + (4 * header["bit_depth"] // 8 if header["alpha"] else 0)
        held += samples * header["height"] * header["width"]
    (height, width), other = shapes
    if (height, width) != other:
        raise PixqError(
            f"{pair.reference}: has {width}x{height} pixels, {pair.distorted} {other[1]}x{other[0]}; "
            "give two images of the same size"
        )
    try:
        rows, columns = Grid(height, width, size, stride).shape
    except PixqError as error:
        raise PixqError(f"{pair.distorted}: {error}") from None
    per_patch = _PATCH + (_LISTED if listed else 0)
    work = _WORK + per_patch * rows * columns
    return DecodePlan(
        pair, (decoding[0], decoding[1]), held, work, (profiles[0], profiles[1]), reading, (notes[0], notes[1])
    )


def _decoding(path: Path, header: dict[str, Any]) -> int:
    """An upper bound of the bytes that decoding takes, from measurements and the file's header.

    On files of 25 megapixels, decoders took the file's size plus the pixels once (PNG, BMP, TIFF, JPEG), 2.4 times
    (WebP) or 3 times (progressive JPEG, which keeps 2 bytes of coefficients per sample), and once more where an image
    is rotated. What Pillow decodes is in memory up to four times on its way to the core. The files of large images are
    copied, so that decoding can be interrupted.
    """
    # An opaque alpha channel is dropped, with a copy; another one is kept.
    pixels = (7 if header["alpha"] else 3) * header["height"] * header["width"]
    times = 1.0
    if header["pillow"]:
        times = 4.0
    elif header["format"] == "webp":
        times = 2.5
    elif header["format"] == "jpeg" and _progressive(path):
        times = 3.0
    if header["orientation"] != 1:
        times += 1.0
    # 16-bit pixels are in memory together with the 8-bit ones that are made of them.
    deep = 3 * pixels if header["bit_depth"] == 16 else int(times * pixels)
    copies = 2 if header["format"] != "bmp" and header["height"] * header["width"] >= _LONG else 1
    return deep + copies * path.stat().st_size


def _progressive(path: Path) -> bool:
    """Whether a JPEG is progressive: skips segments by their lengths up to the frame header (ITU-T T.81, B.1.1.3)."""
    with path.open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF:
            if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
                return head[1] not in (0xC0, 0xC1)
            file.seek(int.from_bytes(head[2:]) - 2, 1)
    # Something else: no format takes more memory.
    return True


def open_pair(planned: DecodePlan, memory: int) -> Opened:
    """Decode both images: in two threads if `memory` bytes allow it, or one after the other into temporary files.

    Raises
    ------
    PixqError
        If a file is damaged, or `memory` is too small even for one image.
    """
    files = (planned.pair.reference, planned.pair.distorted)
    if planned.together <= memory:
        with ThreadPoolExecutor(2, "pixq-decode") as pool:
            reference, distorted = pool.map(partial(_decode, reading=planned.reading), files)
        return Opened(reference, distorted)
    if planned.apart > memory:
        largest, need = files[int(planned.decoding[1] > planned.decoding[0])], -(-planned.apart // MIB)
        raise PixqError(f"{largest}: takes {need} MiB to decode and compare; give at least --memory {need}")
    (reference, first), (distorted, second) = (
        _spooled([pixels], pixels.shape) for pixels in (_decode(path, planned.reading) for path in files)
    )
    return Opened(reference, distorted, (first, second))


def _decode(path: Path, reading: ReadOptions) -> NDArray[Any]:
    pixels = load_pixels(path, reading, keep_alpha=True)
    # Transparent pixels are rounded to 8 bits on a background.
    return pixels if pixels.shape[2] == 4 else eight_bits("pixels", pixels)


def _bands(pixels: NDArray[Any], background: Background) -> Iterator[NDArray[np.uint8]]:
    """An image on a background, some rows at a time; a checker repeats after 16."""
    for top in range(0, len(pixels), _ROWS):
        yield eight_bits("pixels", compose(np.ascontiguousarray(pixels[top : top + _ROWS]), background))


def _spooled(bands: Iterable[NDArray[Any]], shape: tuple[int, ...]) -> tuple[NDArray[Any], mmap.mmap]:
    """Pixels in a temporary file."""
    dtype = np.dtype(np.uint8)
    try:
        with tempfile.TemporaryFile(prefix="pixq-") as file:
            # The file has no name; it lives as long as the map.
            for band in bands:
                dtype = band.dtype
                file.write(np.ascontiguousarray(band).data)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        need = math.prod(shape) * dtype.itemsize // MIB + 1
        raise PixqError(
            f"{tempfile.gettempdir()}: {error.strerror or error}; free {need} MiB there, "
            "set TMPDIR to another folder, or give more --memory"
        ) from None
    return np.frombuffer(mapped, dtype).reshape(shape), mapped
