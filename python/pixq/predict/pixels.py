"""Images as the models take them: 8 bits, three channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["eight_bits"]

#: Rows that are converted at a time, so that what is in between stays small.
_ROWS = 256


def eight_bits(name: str, image: NDArray[Any]) -> NDArray[np.uint8]:
    """An image as uint8 (height, width, 3), its pixels contiguous within rows; not copied where it is so already.

    Parameters
    ----------
    name
        What messages call it.
    image
        (height, width, 3), (height, width, 1) or (height, width), uint8 or uint16; 16 bits are rounded to 8.

    Raises
    ------
    TypeError, ValueError
        If dtype or shape are others.

    Examples
    --------
    >>> eight_bits("reference", np.array([[0, 128, 129, 65535]], np.uint16))[0, :, 0].tolist()
    [0, 0, 1, 255]
    """
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        found = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"'{name}' has dtype {found}; expected uint8 or uint16")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"'{name}' has shape {image.shape}; expected (height, width, 3), or (height, width) of grey")
    pixels = np.asarray(image) if image.ndim == 3 else np.asarray(image)[:, :, None]
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3 and pixels.strides[1:] == (3, 1):
        return pixels
    out = np.empty((*pixels.shape[:2], 3), np.uint8)
    for at in range(0, len(pixels), _ROWS):
        band = pixels[at : at + _ROWS]
        # 257 times as many steps from black to white: each goes to the nearest of the few.
        out[at : at + _ROWS] = band if band.dtype == np.uint8 else (band.astype(np.uint32) + 128) // 257
    return out
