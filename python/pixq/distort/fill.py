"""The two interpolation methods of triplets, which fill in lost samples of a patch from their neighbours.

`ref` is the plain method: the median of valid neighbours for dead pixels, and bilinear interpolation for a Bayer array.
`new` follows edges: for dead pixels it interpolates along the directions in which the patch changes least (as in
edge-directed interpolation), and for an array it uses the gradient-corrected green of Hamilton and Adams with colour
differences.

Patches are uint8 RGB of shape (height, width, 3); masks are bool (height, width), True where a pixel is lost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pixq.distort.pixels import Image

__all__ = ["bayer_masks", "demosaic_bilinear", "demosaic_directed", "fill_directed", "fill_median"]

Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.float64]

# Rows and columns to one side of the four lines through a pixel.
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
_MEDIAN_NEEDS = 3


def fill_median(patch: Image, lost: Mask) -> Image:
    """Replace each lost pixel by the median, per channel, of the valid pixels around it.

    The window is the smallest of 3x3, 5x5, ... with at least three valid pixels. Halves are rounded up.

    Examples
    --------
    >>> patch = np.full((3, 3, 3), 9, np.uint8)
    >>> lost = np.zeros((3, 3), bool)
    >>> patch[1, 1], lost[1, 1] = 200, True
    >>> fill_median(patch, lost)[1, 1]
    array([9, 9, 9], dtype=uint8)
    """
    filled = patch.copy()
    for y, x in np.argwhere(lost):
        for radius in range(1, max(patch.shape)):
            window = slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)
            valid = patch[window][~lost[window]]
            if len(valid) >= _MEDIAN_NEEDS:
                filled[y, x] = np.floor(np.median(valid, axis=0) + 0.5)
                break
    return filled


def fill_directed(patch: Image, lost: Mask) -> Image:
    """Interpolate each lost pixel along four directions, with most weight on those in which the patch changes least.

    In each direction, the next valid pixels p and q are i and j pixels away, and linear interpolation gives
    (j p + i q) / (i + j). Its weight is 1 / ((i + j) (1 + g))^2, where g is the difference of p and q in grey levels,
    averaged over channels. Directions with a valid pixel on just one side are ignored; if all are, the pixel is that of
    `fill_median`.

    Examples
    --------
    >>> patch = np.repeat(np.array([[0, 0, 0, 240, 240]], np.uint8), 5, axis=0)[..., None].repeat(3, axis=2)
    >>> lost = np.zeros((5, 5), bool)
    >>> lost[2, 2] = True
    >>> fill_directed(patch, lost)[2, 2], fill_median(patch, lost)[2, 2, 0]
    (array([0, 0, 0], dtype=uint8), np.uint8(0))
    """
    filled = fill_median(patch, lost)
    samples = patch.astype(np.float64)
    for y, x in np.argwhere(lost):
        total, weights = np.zeros(3), 0.0
        for down, right in _DIRECTIONS:
            ahead, behind = (_next_valid(lost, int(y), int(x), sign * down, sign * right) for sign in (1, -1))
            if not ahead or not behind:
                continue
            p = samples[y + ahead * down, x + ahead * right]
            q = samples[y - behind * down, x - behind * right]
            # A diagonal step is longer.
            length = (ahead + behind) * (2.0**0.5 if down and right else 1.0)
            weight = 1.0 / (length * (1.0 + float(np.abs(p - q).sum()) / 3.0)) ** 2
            total += weight * (behind * p + ahead * q) / (ahead + behind)
            weights += weight
        if weights:
            filled[y, x] = np.clip(np.floor(total / weights + 0.5), 0, 255)
    return filled


def _next_valid(lost: Mask, y: int, x: int, down: int, right: int) -> int:
    """Steps to the next valid pixel; 0 if the border comes first."""
    height, width = lost.shape
    steps = 0
    while True:
        steps, y, x = steps + 1, y + down, x + right
        if not (0 <= y < height and 0 <= x < width):
            return 0
        if not lost[y, x]:
            return steps


def demosaic_bilinear(patch: Image, *, top: int = 0, left: int = 0) -> Image:
    """Sample `patch` with an RGGB Bayer array, and fill in lost samples from their neighbours in each channel.

    `top` and `left` are the position of the patch in its image, where the array begins with red at (0, 0).

    Examples
    --------
    >>> flat = np.full((6, 6, 3), (10, 20, 30), np.uint8)
    >>> bool((demosaic_bilinear(flat) == flat).all())
    True
    """
    kept = bayer_masks(patch.shape[0], patch.shape[1], top, left)
    samples = patch.astype(np.float64)
    planes = [_spread(samples[..., c], kept[c]) for c in range(3)]
    return _merged(patch, kept, planes)


def demosaic_directed(patch: Image, *, top: int = 0, left: int = 0) -> Image:
    """Sample `patch` with an RGGB Bayer array as `demosaic_bilinear` does, and fill in lost samples along edges.

    Green comes first: it is interpolated along rows or columns, whichever change less, and corrected by the second
    difference of the channel sampled there (Hamilton and Adams, US patent 5,629,734, 1997). Red and blue follow as
    bilinear differences from green.

    Examples
    --------
    >>> flat = np.full((6, 6, 3), (10, 20, 30), np.uint8)
    >>> bool((demosaic_directed(flat) == flat).all())
    True
    """
    height, width = patch.shape[:2]
    kept = bayer_masks(height, width, top, left)
    samples = patch.astype(np.float64)
    seen = (samples * np.stack(kept, axis=-1)).sum(axis=-1)
    # Mirrored about the last row and column, which keeps the array's phase.
    wide = np.pad(seen, 2, mode="reflect")

    def at(down: int, right: int) -> Plane:
        return wide[2 + down : 2 + down + height, 2 + right : 2 + right + width]

    estimates, changes = [], []
    for down, right in ((0, 1), (1, 0)):
        bend = 2.0 * seen - at(-2 * down, -2 * right) - at(2 * down, 2 * right)
        before, after = at(-down, -right), at(down, right)
        changes.append(np.abs(before - after) + np.abs(bend))
        estimates.append((before + after) / 2.0 + bend / 4.0)
    along_rows, along_columns = estimates
    mean = (along_rows + along_columns) / 2.0
    green = np.where(changes[0] < changes[1], along_rows, np.where(changes[0] > changes[1], along_columns, mean))
    green = np.where(kept[1], samples[..., 1], np.clip(green, 0.0, 255.0))
    planes = [green if c == 1 else green + _spread(samples[..., c] - green, kept[c]) for c in range(3)]
    return _merged(patch, kept, planes)


def bayer_masks(height: int, width: int, top: int = 0, left: int = 0) -> tuple[Mask, Mask, Mask]:
    """Which pixels an RGGB array keeps of red, green and blue."""
    odd_row = (np.arange(top, top + height) % 2 == 1)[:, None]
    odd_column = (np.arange(left, left + width) % 2 == 1)[None, :]
    return ~odd_row & ~odd_column, odd_row ^ odd_column, odd_row & odd_column


def _spread(plane: Plane, kept: Mask) -> Plane:
    """`plane` where it is kept, and the mean of the kept neighbours, weighted 1 2 1 both ways, elsewhere."""
    values, weights = (_smoothed(part) for part in (np.where(kept, plane, 0.0), kept.astype(np.float64)))
    return np.where(kept, plane, values / np.where(weights > 0, weights, 1.0))


def _smoothed(plane: Plane) -> Plane:
    for axis in (0, 1):
        border = [(1, 1) if a == axis else (0, 0) for a in range(2)]
        wide = np.moveaxis(np.pad(plane, border), axis, 0)
        length = plane.shape[axis]
        plane = np.moveaxis(wide[:length] + 2.0 * wide[1 : 1 + length] + wide[2 : 2 + length], 0, axis)
    return plane


def _merged(patch: Image, kept: tuple[Mask, Mask, Mask], planes: list[Plane]) -> Image:
    filled = np.clip(np.floor(np.stack(planes, axis=-1) + 0.5), 0, 255).astype(np.uint8)
    return np.where(np.stack(kept, axis=-1), patch, filled)
