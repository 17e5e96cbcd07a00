"""The grid of a map's patches: one per stride, and the last ones at the image's edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.ranges import whole

__all__ = ["STRIDE", "Grid"]

#: Default distance between neighbouring patches, in pixels.
STRIDE = 10


@dataclass(frozen=True)
class Grid:
    """Patches that cover an image to its edges.

    Parameters
    ----------
    height, width
        Size of the image, in pixels.
    size
        Side of a patch, in pixels.
    stride
        Pixels between neighbouring patches; the last of a row or column touches the edge and may be nearer.

    Raises
    ------
    PixqError
        If a patch does not fit, or the stride is not 1 to `size`: pixels between patches would be skipped.

    Examples
    --------
    >>> grid = Grid(20, 45)
    >>> grid.shape, grid.xs.tolist(), grid.corners[-1].tolist()
    ((1, 4), [0, 10, 20, 25], [0, 25])
    """

    height: int
    width: int
    size: int = 20
    stride: int = STRIDE

    def __post_init__(self) -> None:
        whole(1, self.size).check(self.stride, "the stride")
        if min(self.height, self.width) < self.size:
            raise PixqError(
                f"the image has {self.width}x{self.height} pixels; a patch takes {self.size}x{self.size}: "
                "give a larger image"
            )

    @property
    def ys(self) -> NDArray[np.int64]:
        """The first row of pixels of each row of patches, int64 (rows,)."""
        return _starts(self.height, self.size, self.stride)

    @property
    def xs(self) -> NDArray[np.int64]:
        """The first column of pixels of each column of patches, int64 (columns,)."""
        return _starts(self.width, self.size, self.stride)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return len(self.ys), len(self.xs)

    @property
    def corners(self) -> NDArray[np.int64]:
        """Top-left corners of all patches, row by row, int64 (rows * columns, 2), y before x."""
        return np.stack(np.meshgrid(self.ys, self.xs, indexing="ij"), axis=-1).reshape(-1, 2)

    def cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each row and column of pixels, the row and column of patches whose centre is nearest.

        Returns
        -------
        tuple
            int64 (height,) and (width,): `values[rows][:, columns]` is a map of `values` (rows, columns) by pixel.

        Examples
        --------
        >>> Grid(20, 30).cells()[1].tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
        """
        return _nearest(self.ys, self.height, self.size), _nearest(self.xs, self.width, self.size)


def _starts(length: int, size: int, stride: int) -> NDArray[np.int64]:
    starts = np.arange(0, length - size + 1, stride, dtype=np.int64)
    return starts if starts[-1] == length - size else np.append(starts, length - size)


def _nearest(starts: NDArray[np.int64], length: int, size: int) -> NDArray[np.int64]:
    # Twice the centres, which are integers; a pixel halfway between two belongs to the later one.
    between = starts[:-1] + starts[1:] + size
    return np.searchsorted(between, 2 * np.arange(length) + 1, side="right")
