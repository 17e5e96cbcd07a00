"""The mean difference of an image from its reference, and levels that are out of order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.io.images import load_pixels, to_8_bits
from pixq.ladders.ladder import Level

__all__ = ["difference", "mean_difference", "order_warnings", "out_of_order"]

#: The share of a ladder's mean fall per level by which a level must be better than its neighbours.
_NOTABLE = 0.5
#: How many times it must also exceed the noise, the median of the second differences, in ladders that are long enough
#: to tell: a level in the wrong place changes four of them. In nine ladders of LocJND and KonJND-1k, 28 of 546 levels
#: are better than both their neighbours, and four of them by that much.
_NOISE, _LONG = 4.0, 16
#: How many levels out of order are named.
_NAMED = 5


def difference(reference: NDArray[Any], path: Path) -> float:
    """The mean absolute difference of an image file from its reference, in grey levels of 8 bits.

    Each of the two may have 16 bits per sample, as a PNG beside its JPEGs does.

    Raises
    ------
    PixqError
        If the file can't be read, or has another size.
    """
    pixels = load_pixels(path)
    if pixels.shape != reference.shape:
        raise PixqError(f"{path}: has another size than its reference; give images of the same size")
    return mean_difference(reference, pixels)


def mean_difference(reference: NDArray[Any], pixels: NDArray[Any]) -> float:
    """The mean absolute difference of two images of one size, in grey levels of 8 bits."""
    return float(np.abs(to_8_bits(pixels).astype(np.int16) - to_8_bits(reference)).mean())


def out_of_order(values: Sequence[float]) -> list[int]:
    """Find levels that are clearly better than both their neighbours, as one is whose file has a wrong name.

    Parameters
    ----------
    values
        How good each level is, in the order of the levels; infinite where it equals the reference.

    Returns
    -------
    list
        Places in `values`.

    Examples
    --------
    >>> out_of_order([0.9, 0.8, 0.5, 0.6, 0.4]), out_of_order([0.9, 0.7, 0.6, 0.605, 0.4])
    ([3], [])
    """
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return []
    notable = max(finite[0] - finite[-1], 0.0) / (len(finite) - 1) * _NOTABLE
    if len(finite) >= _LONG:
        notable = max(notable, _NOISE * float(np.median(np.abs(np.diff(finite, 2)))))
    return [
        place
        for place in range(1, len(values) - 1)
        if values[place] - notable > max(values[place - 1], values[place + 1])
    ]


def order_warnings(levels: Sequence[Level], values: Sequence[float]) -> list[str]:
    """Name the levels that are `out_of_order`, one line each."""
    places = out_of_order(values)
    lines = [
        f"{level.path}: level {level.level:g} looks better than both its neighbours; check that the file has the right "
        "name"
        for level in (levels[place] for place in places[:_NAMED])
    ]
    if len(places) > _NAMED:
        lines.append(f"{len(places) - _NAMED} more levels look better than both their neighbours")
    return lines
