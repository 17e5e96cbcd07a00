"""The mean difference of an image from its reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.io.images import load_pixels, to_8_bits

__all__ = ["difference"]


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
    return float(np.abs(to_8_bits(pixels).astype(np.int16) - to_8_bits(reference)).mean())
