"""ImageScale images for pictures: enlarge or shrink them by a whole factor, without a float copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.io.images import to_8_bits
from pixq.scoring.grid import Grid

__all__ = ["LONGEST", "ImageScale", "bands", "cells", "check_image", "pixels", "places", "scale_of"]

#: Default limit for the sides of a picture without its legend, in pixels.
LONGEST = 4096
#: A picture is enlarged while its longer side stays within this, so that a patch of 20 pixels can be seen.
_SMALL = 512
#: The smallest limit that may be set: a smaller picture shows nothing.
_FEWEST = 256
#: Samples of an image or a picture that are processed at a time.
_BAND = 1 << 21


@dataclass(frozen=True)
class ImageScale:
    """How an image is scaled: each pixel to `enlarge` x `enlarge` ones, or each `shrink` x `shrink` box to one."""

    height: int
    width: int
    enlarge: int = 1
    shrink: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the scaled image."""
        return self._length(self.height), self._length(self.width)

    def _length(self, length: int) -> int:
        return -(-length // self.shrink) * self.enlarge


def scale_of(grid: Grid, longest: int, layout: tuple[int, int] = (1, 1)) -> ImageScale:
    """The scale at which `layout` rows and columns of the image of `grid` fit within `longest` pixels a side.

    Raises
    ------
    PixqError
        If `longest` is too small.

    Examples
    --------
    >>> scale_of(Grid(20, 20), 4096).shape, scale_of(Grid(10_000, 9_001), 4096).shape
    ((500, 500), (3334, 3001))
    """
    if longest < _FEWEST:
        raise PixqError(f"longest is {longest}; give at least {_FEWEST} pixels a side")
    side = max(grid.height * layout[0], grid.width * layout[1])
    enlarge = max(min(_SMALL, longest) // max(grid.height, grid.width), 1)
    enlarge = max(min(enlarge, longest // side), 1)
    return ImageScale(grid.height, grid.width, enlarge, -(-side // longest))


def check_image(image: Any, grid: Grid, name: str) -> None:
    """Check that `image` has the size of `grid`, and a dtype and shape that can be drawn.

    Raises
    ------
    TypeError, ValueError
        If the dtype or shape is wrong.
    """
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        dtype = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"'{name}' has dtype {dtype}; expected uint8 or uint16")
    if image.shape[:2] != (grid.height, grid.width) or image.shape[2:] not in ((), (1,), (3,)):
        raise ValueError(
            f"'{name}' has shape {image.shape}; expected ({grid.height}, {grid.width}), grey or with 3 channels"
        )


def bands(rows: int, samples: int) -> Iterator[slice]:
    """Slices of `rows` rows of about 2 M samples, where a row has `samples`."""
    step = max(_BAND // max(samples, 1), 1)
    return (slice(top, min(top + step, rows)) for top in range(0, rows, step))


def pixels(image: NDArray[Any], scale: ImageScale) -> NDArray[np.uint8]:
    """ImageScale an image: uint8 (rows, columns, 3) of `scale.shape`.

    16 bits become 8 as for the models. A box becomes the mean of its pixels, rounded half up; boxes at the edges may
    hold fewer.
    """
    colour = image.reshape(*image.shape[:2], -1)
    scaled = np.empty((*scale.shape, 3), np.uint8)
    if scale.shrink == 1:
        for band in bands(scale.height, scale.width * 3 * scale.enlarge**2):
            some = to_8_bits(colour[band])
            wide = some.repeat(scale.enlarge, axis=0).repeat(scale.enlarge, axis=1)
            scaled[band.start * scale.enlarge : band.stop * scale.enlarge] = wide
        return scaled
    lefts = np.arange(0, scale.width, scale.shrink)
    widths = np.minimum(lefts + scale.shrink, scale.width) - lefts
    for band in bands(scale.shape[0], scale.width * 3 * scale.shrink):
        some = to_8_bits(colour[band.start * scale.shrink : band.stop * scale.shrink])
        tops = np.arange(0, len(some), scale.shrink)
        heights = np.minimum(tops + scale.shrink, len(some)) - tops
        sums = np.add.reduceat(np.add.reduceat(some, tops, axis=0, dtype=np.uint32), lefts, axis=1)
        counts = (heights[:, None] * widths).astype(np.uint32)[..., None]
        scaled[band] = (sums + counts // 2) // counts
    return scaled


def places(scale: ImageScale) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centre of each row and column of the scaled image, in pixels of the original.

    Examples
    --------
    >>> places(ImageScale(20, 25, shrink=10))[1].tolist()
    [4.5, 14.5, 22.0]
    """
    return _middles(scale.height, scale), _middles(scale.width, scale)


def _middles(length: int, scale: ImageScale) -> NDArray[np.float64]:
    if scale.shrink == 1:
        return (np.arange(length * scale.enlarge) + 0.5) / scale.enlarge - 0.5
    firsts = np.arange(0, length, scale.shrink)
    return (firsts + np.minimum(firsts + scale.shrink, length) - 1) / 2


def cells(values: NDArray[np.int8], grid: Grid, scale: ImageScale) -> NDArray[np.int8]:
    """The value of the cell under each pixel of the scaled image; the least of several, so that it is never lost.

    Parameters
    ----------
    values
        int8 (rows, columns) of `grid`.
    grid, scale
        The positions of the patches, and how the image is scaled.

    Returns
    -------
    ndarray
        int8, of `scale.shape`.
    """
    for axis, numbers in enumerate(grid.cells()):
        if scale.shrink == 1:
            values = values.take(numbers.repeat(scale.enlarge), axis=axis)
            continue
        firsts = np.arange(0, len(numbers), scale.shrink)
        lasts = np.minimum(firsts + scale.shrink, len(numbers)) - 1
        # reduceat takes pairs: a box's first cell, and the one after its last. Every second result belongs to a box.
        ends = np.stack([numbers[firsts], numbers[lasts] + 1], axis=1).ravel()
        longer = np.concatenate([values, values.take([-1], axis=axis)], axis=axis)
        values = np.minimum.reduceat(longer, ends, axis=axis)[_every_second(axis)]
    return np.ascontiguousarray(values)


def _every_second(axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(None, None, 2),)
