"""How far an image is from its reference, in grey levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.io.images import pixels_of

__all__ = ["difference"]


def difference(reference: NDArray[Any], path: Path) -> float:
    """The mean absolute difference of an image file from its reference, in grey levels of its type.

    Raises
    ------
    PixqError
        If the file can't be read, or is of another size.
    """
    pixels = pixels_of(path)
    if pixels.shape != reference.shape:
        raise PixqError(f"{path}: has another size than its reference; give images of one")
    return float(np.abs(pixels.astype(np.float64) - reference.astype(np.float64)).mean())
