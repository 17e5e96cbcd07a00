"""A formula for the visibility of a local change, as a substitute for people's answers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pixq import classes
from pixq.distort.pixels import Image, blur, gaussian_taps, lab_planes
from pixq.errors import PixqError

__all__ = ["VISIBLE", "synthetic_class", "visibility"]

#: The visibilities above which a change is Orange, and Red; see `synthetic_class` for how they were fitted.
VISIBLE = (0.43, 0.92)

Planes = npt.NDArray[np.float64]

_LIGHTNESS_BLUR, _COLOUR_BLUR, _MASK_BLUR = 0.7, 1.4, 2.0
_MASKING = 8.0


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
    before, after = lab_planes(reference), lab_planes(distorted)
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


def _blurred(planes: Planes, sigma: float) -> Planes:
    """Blur (n, height, width) with a Gaussian of `sigma` pixels; the border is replicated."""
    return blur(planes, gaussian_taps(sigma, math.ceil(3.0 * sigma)), axes=(1, 2))
