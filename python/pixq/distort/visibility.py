"""A formula for the visibility of a local change, as a substitute for people's answers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pixq import classes
from pixq.distort.kinds import Image
from pixq.errors import PixqError

__all__ = ["LIGHT", "VISIBLE", "synthetic_class", "visibility"]

#: The visibilities above which a change is Orange, and Red; see `synthetic_class` for how they were fitted.
VISIBLE = (0.43, 0.92)

Planes = npt.NDArray[np.float64]

_LIGHTNESS_BLUR, _COLOUR_BLUR, _MASK_BLUR = 0.7, 1.4, 2.0
_MASKING = 8.0

# Of sRGB (IEC 61966-2-1), relative to D65.
_TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
_CODES = np.arange(256) / 255.0
#: The light of each 8-bit level, 0 to 1.
LIGHT = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
_KNEE = (6.0 / 29.0) ** 3


def visibility(reference: Image, distorted: Image) -> Planes:
    """Estimate the visibility of the difference between patches, at the most visible pixel.

    The difference is taken in CIELAB (sRGB, D65) and blurred with a Gaussian of 0.7 pixels for L* and 1.4 for a* and
    b*, similar to the eye. As in S-CIELAB (Zhang and Wandell, 1996), this keeps coarse differences and weakens fine
    ones, above all in colour. Its length dE at each pixel is divided by 1 + c / 8, where c is the contrast of the
    reference: the standard deviation of L* under a Gaussian of 2 pixels. Texture thus masks what would be visible in a
    smooth surface. The visibility of a patch is the maximum over its pixels.

    Parameters
    ----------
    reference, distorted
        uint8 RGB of one shape (n, height, width, 3).

    Returns
    -------
    numpy.ndarray
        float64 (n,): 0 for equal patches; 1 is about a just noticeable difference between two large flat fields.

    Raises
    ------
    PixqError
        If the arrays have another type or shape.

    Examples
    --------
    >>> flat = np.full((1, 20, 20, 3), 100, np.uint8)
    >>> dot, field = flat.copy(), flat.copy()
    >>> dot[0, 10, 10] += 30
    >>> field[0, 4:16, 4:16] += 30
    >>> [round(float(visibility(flat, changed)[0]), 1) for changed in (flat, dot, field)]
    [0.0, 3.9, 12.0]
    """
    for image in (reference, distorted):
        if image.dtype != np.uint8 or image.ndim != 4 or image.shape[3] != 3 or image.shape != reference.shape:
            raise PixqError(
                f"patches are {reference.dtype} {reference.shape} and {distorted.dtype} {distorted.shape}; "
                "give uint8 RGB of one shape (n, height, width, 3)"
            )
    if not reference.size:
        return np.zeros(len(reference))
    before, after = _lab(reference), _lab(distorted)
    squares = sum(
        _blurred(late - early, sigma) ** 2
        for early, late, sigma in zip(before, after, (_LIGHTNESS_BLUR, _COLOUR_BLUR, _COLOUR_BLUR), strict=True)
    )
    lightness = before[0]
    mean = _blurred(lightness, _MASK_BLUR)
    contrast = np.sqrt(np.maximum(_blurred(lightness * lightness, _MASK_BLUR) - mean * mean, 0.0))
    seen: Planes = (np.sqrt(squares) / (1.0 + contrast / _MASKING)).max(axis=(1, 2))
    return seen


def synthetic_class(visible: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Convert a visibility to a class (`pixq.classes`): Green, Orange or Red, by the cuts `VISIBLE`.

    The cuts were fitted so that triplets made from 24 photographs of CID22 (150 each) have the same share of each class
    as the original data in this layout: 54 % Red, 17 % Orange, 29 % Green. The classes don't come from people.

    Examples
    --------
    >>> [classes.NAMES[number] for number in synthetic_class([0.0, 1000.0])]
    ['Green', 'Red']
    """
    return classes.classify(-np.asarray(visible, dtype=np.float64), (-VISIBLE[1], -VISIBLE[0]))


def _lab(patches: Image) -> tuple[Planes, Planes, Planes]:
    red, green, blue = (LIGHT[patches[..., c]] for c in range(3))
    # A matrix product would differ in its last bits between BLAS libraries.
    x, y, z = (_root(row[0] * red + row[1] * green + row[2] * blue) for row in _TO_XYZ)
    return 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)


def _root(ratio: Planes) -> Planes:
    return np.where(ratio > _KNEE, np.cbrt(ratio), ratio * (29.0 / 6.0) ** 2 / 3.0 + 4.0 / 29.0)


def _blurred(planes: Planes, sigma: float) -> Planes:
    """Blur (n, height, width) with a Gaussian of `sigma` pixels; the border is replicated."""
    radius = math.ceil(3.0 * sigma)
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2.0 * sigma * sigma))
    taps /= taps.sum()
    for axis in (1, 2):
        border = [(radius, radius) if a == axis else (0, 0) for a in range(3)]
        wide = np.moveaxis(np.pad(planes, border, mode="edge"), axis, 0)
        length = planes.shape[axis]
        # Summed tap by tap, in order: the same bits whatever NumPy was built with.
        blurred = taps[0] * wide[:length]
        for i, tap in enumerate(taps[1:], start=1):
            blurred = blurred + tap * wide[i : i + length]
        planes = np.moveaxis(blurred, 0, axis)
    return planes
