"""Images as the models take them: 8 bits, three channels."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixq._core import decode
from pixq.errors import PixqError, one_line

__all__ = ["T", "eight_bits", "explained", "pixels_of", "read_pixels"]

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


# What `_core.decode` takes by default.
MAX_PIXELS = 1 << 28


def read_pixels(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The pixels of an image file: (H, W, 3) RGB, uint8, or uint16 where the file is that deep.

    Raises
    ------
    OSError, ValueError
        If the file can't be read, is no image that pixq takes, or has more than `max_pixels` pixels.
    """
    pixels: NDArray[np.uint8] | NDArray[np.uint16] = decode(os.fspath(path), max_pixels=max_pixels)
    return pixels


T = TypeVar("T")


def explained(path: Path, call: Callable[[], T]) -> T:
    """What `call` gives; that it can't read the file at `path` is the user's to mend.

    Raises
    ------
    PixqError
        If so, with the file's name.
    """
    try:
        return call()
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}") from None
    except (ValueError, MemoryError) as error:
        line = one_line(error)
        raise PixqError(line if line.startswith(str(path)) else f"{path}: {line}") from None


def pixels_of(path: Path) -> NDArray[Any]:
    """The pixels of an image file; see `pixq.io.images.read_pixels`.

    Raises
    ------
    PixqError
        If it can't be read.
    """
    return explained(path, partial(read_pixels, path))
