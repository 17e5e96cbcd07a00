"""Faults of cameras: dead and hot pixels, rows and columns, and demosaicing; see `pixq.distort.kinds`."""

from __future__ import annotations

import numpy as np

from pixq.distort.fill import bayer_masks, demosaic_bilinear, demosaic_directed
from pixq.distort.pixels import Image, Samples, convolve, to_uint8

__all__ = ["bilinear_demosaicing", "column_defects", "dead_pixels", "directed_demosaicing", "hot_pixels",
           "malvar_demosaicing", "row_defects"]  # fmt: skip


def dead_pixels(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Set a share `value` of the pixels to black."""
    return np.where((generator.random(image.shape[:2]) < value)[..., None], 0, image).astype(np.uint8)


def hot_pixels(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Set one channel of a share `value` of the pixels to 255, as a Bayer array has one channel at each."""
    hot = generator.random(image.shape[:2]) < value
    channel = generator.integers(0, 3, image.shape[:2])
    return np.where(hot[..., None] & (channel[..., None] == np.arange(3)), 255, image).astype(np.uint8)


def row_defects(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add to each row an offset of its own, Gaussian, of `value` grey levels: the noise of a row's amplifier."""
    return to_uint8(image + generator.normal(0.0, value, (image.shape[0], 1, 1)))


def column_defects(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add to each column an offset of its own, Gaussian, of `value` grey levels."""
    return to_uint8(image + generator.normal(0.0, value, (1, image.shape[1], 1)))


def _by_share(image: Image, demosaiced: Image, value: float) -> Image:
    """The change that demosaicing makes, `value` times."""
    return to_uint8(image + value * (demosaiced.astype(np.float64) - image))


def bilinear_demosaicing(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Sample with a Bayer array, and fill in bilinearly; the change, `value` times."""
    return _by_share(image, demosaic_bilinear(image), value)


def directed_demosaicing(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Sample with a Bayer array, and fill in along edges (Hamilton and Adams, 1997); the change, `value` times."""
    return _by_share(image, demosaic_directed(image), value)


def malvar_demosaicing(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Sample with a Bayer array, and fill in with the 5 x 5 filters of Malvar, He and Cutler (2004); `value` times."""
    return _by_share(image, demosaic_malvar(image), value)


#: Malvar, He and Cutler's filters, in eighths: green where it is missing; red or blue in the row of its own samples, in
#: their column, and where the other of the two is.
_GREEN = ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0))
_ROW = ((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0))
_OTHER = ((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0))


def demosaic_malvar(image: Image) -> Image:
    """Sample with an RGGB Bayer array, and fill in lost samples with gradient-corrected linear filters.

    H. S. Malvar, L. He, R. Cutler. High-quality linear interpolation for demosaicing of Bayer-patterned color images.
    ICASSP 2004.

    Examples
    --------
    >>> flat = np.full((6, 6, 3), (10, 20, 30), np.uint8)
    >>> bool((demosaic_malvar(flat) == flat).all())
    True
    """
    height, width = image.shape[:2]
    red, green, blue = kept = bayer_masks(height, width)
    seen = (image * np.stack(kept, axis=-1)).sum(axis=-1).astype(np.float64)
    # Mirrored about the last row and column, which keeps the array's phase.
    mirrored = np.pad(seen, 2, mode="reflect" if min(height, width) > 2 else "edge")

    def filtered(taps: tuple[tuple[float, ...], ...], *, turned: bool = False) -> Samples:
        kernel = np.array(taps).T if turned else np.array(taps)
        return convolve(mirrored, kernel / 8.0)[2 : 2 + height, 2 : 2 + width]

    in_row, in_column, other = filtered(_ROW), filtered(_ROW, turned=True), filtered(_OTHER)
    # Green samples lie in the rows of red, or in those of blue.
    red_row = red.any(axis=1, keepdims=True)
    planes = [
        np.where(red, seen, np.where(blue, other, np.where(red_row, in_row, in_column))),
        np.where(green, seen, filtered(_GREEN)),
        np.where(blue, seen, np.where(red, other, np.where(red_row, in_column, in_row))),
    ]
    return to_uint8(np.stack(planes, axis=-1))
