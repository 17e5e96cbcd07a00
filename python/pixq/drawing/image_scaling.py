"""From an image to the pixels of a picture: enlarged or shrunk by a whole factor, without a float copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.scoring.grid import Grid

__all__ = ["LONGEST", "Scale", "bands", "cells", "check_image", "pixels", "places", "scale_of"]

#: Pixels a side of a picture, its legend aside, unless another number is asked for.
LONGEST = 4096
#: A picture is enlarged while its longer side stays within this: a patch of 20 pixels is to be seen.
_SMALL = 512
#: The fewest pixels a side that may be asked for: a picture of fewer shows nothing.
_FEWEST = 256
#: Samples of an image, or of a picture, that are worked on at once.
_BAND = 1 << 21


@dataclass(frozen=True)
class Scale:
    """How an image is shown: each of its pixels as `enlarge` x `enlarge`, or boxes of `shrink` x `shrink` as one."""

    height: int
    width: int
    enlarge: int = 1
    shrink: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels that are shown."""
        return self._length(self.height), self._length(self.width)

    def _length(self, length: int) -> int:
        return -(-length // self.shrink) * self.enlarge


def scale_of(grid: Grid, longest: int, layout: tuple[int, int] = (1, 1)) -> Scale:
    """How to show the image of `grid`, `layout` rows and columns of it, within `longest` pixels a side.

    Raises
    ------
    PixqError
        If `longest` is too small a number.

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
    return Scale(grid.height, grid.width, enlarge, -(-side // longest))


def check_image(image: Any, grid: Grid, name: str) -> None:
    """Make sure that `image` is one that `grid` is of.

    Raises
    ------
    TypeError, ValueError
        If dtype or shape are others.
    """
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        found = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"'{name}' has dtype {found}; expected uint8 or uint16")
    if image.shape[:2] != (grid.height, grid.width) or image.shape[2:] not in ((), (1,), (3,)):
        raise ValueError(
            f"'{name}' has shape {image.shape}; the map is of ({grid.height}, {grid.width}), grey or with 3 channels"
        )


def bands(rows: int, samples: int) -> Iterator[slice]:
    """All rows in slices of about 2 M samples, where a row has `samples`."""
    step = max(_BAND // max(samples, 1), 1)
    return (slice(top, min(top + step, rows)) for top in range(0, rows, step))


def pixels(image: NDArray[Any], scale: Scale) -> NDArray[np.uint8]:
    """What is shown of an image: uint8 (rows, columns, 3) of `scale.shape`.

    16 bits become 8 as the models see them; a box of pixels becomes its mean, rounded half up, at the edges that of
    the pixels it has.
    """
    colour = image.reshape(*image.shape[:2], -1)
    shown = np.empty((*scale.shape, 3), np.uint8)
    if scale.shrink == 1:
        for band in bands(scale.height, scale.width * 3 * scale.enlarge**2):
            some = _to_8_bits(colour[band])
            wide = some.repeat(scale.enlarge, axis=0).repeat(scale.enlarge, axis=1)
            shown[band.start * scale.enlarge : band.stop * scale.enlarge] = wide
        return shown
    lefts = np.arange(0, scale.width, scale.shrink)
    widths = np.minimum(lefts + scale.shrink, scale.width) - lefts
    for band in bands(scale.shape[0], scale.width * 3 * scale.shrink):
        some = _to_8_bits(colour[band.start * scale.shrink : band.stop * scale.shrink])
        tops = np.arange(0, len(some), scale.shrink)
        heights = np.minimum(tops + scale.shrink, len(some)) - tops
        sums = np.add.reduceat(np.add.reduceat(some, tops, axis=0, dtype=np.uint32), lefts, axis=1)
        counts = (heights[:, None] * widths).astype(np.uint32)[..., None]
        shown[band] = (sums + counts // 2) // counts
    return shown


def _to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def places(scale: Scale) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where in the image the middle of each shown row and column of pixels lies, in pixels of the image.

    Examples
    --------
    >>> places(Scale(20, 25, shrink=10))[1].tolist()
    [4.5, 14.5, 22.0]
    """
    return _middles(scale.height, scale), _middles(scale.width, scale)


def _middles(length: int, scale: Scale) -> NDArray[np.float64]:
    if scale.shrink == 1:
        return (np.arange(length * scale.enlarge) + 0.5) / scale.enlarge - 0.5
    firsts = np.arange(0, length, scale.shrink)
    return (firsts + np.minimum(firsts + scale.shrink, length) - 1) / 2


def cells(values: NDArray[np.int8], grid: Grid, scale: Scale) -> NDArray[np.int8]:
    """The value of the cell that each shown pixel lies in; the least of several, so that none of these goes unseen.

    Parameters
    ----------
    values
        int8 (rows, columns) of `grid`.
    grid, scale
        Where the patches lie, and how the image is shown.

    Returns
    -------
    ndarray
        int8, of `scale.shape`.
    """
    for axis, own in enumerate(grid.cells()):
        if scale.shrink == 1:
            values = values.take(own.repeat(scale.enlarge), axis=axis)
            continue
        firsts = np.arange(0, len(own), scale.shrink)
        lasts = np.minimum(firsts + scale.shrink, len(own)) - 1
        # Pairs of a box's first cell and the one after its last, where there must be one: every second of the results
        # is a box's.
        ends = np.stack([own[firsts], own[lasts] + 1], axis=1).ravel()
        longer = np.concatenate([values, values.take([-1], axis=axis)], axis=axis)
        values = np.minimum.reduceat(longer, ends, axis=axis)[_every_second(axis)]
    return np.ascontiguousarray(values)


def _every_second(axis: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(None, None, 2),)
