"""Images as the models take them: 8 bits, three channels."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pixq import ranges
from pixq._core import decode
from pixq.errors import PixqError

__all__ = [
    "AS_SHOWN",
    "BACKGROUNDS",
    "MAX_PIXELS",
    "Background",
    "Colours",
    "Intent",
    "ReadOptions",
    "eight_bits",
    "explain_image_errors",
    "load_pixels",
    "read_pixels",
    "to_8_bits",
    "without_options",
]

#: What may lie under transparent pixels; `checker` has squares of 8x8 pixels, alternately 102 and 153 of 255.
Background = Literal["black", "white", "checker"]
BACKGROUNDS: tuple[Background, ...] = get_args(Background)
#: What the samples of pixels stand for, and how those with a profile become sRGB.
Colours = Literal["sRGB", "raw"]
Intent = Literal["relative colorimetric"]

#: Rows that are converted at a time, so that intermediate arrays stay small.
_ROWS = 256


def to_8_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Round samples of 16 bits to the nearest of 8; those of 8 bits are returned as they are.

    pixq converts depths in this function only, so that all commands see the same pixels. 65535 is 257 * 255, so a
    sample of 8 bits that was stored as 16 comes back unchanged.

    Examples
    --------
    >>> to_8_bits(np.array([0, 128, 129, 255, 65407, 65535], np.uint16)).tolist()
    [0, 0, 1, 1, 255, 255]
    """
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def eight_bits(name: str, image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image to uint8 (height, width, 3) with contiguous rows; it is only copied if it has to be.

    Parameters
    ----------
    name
        Its name in messages.
    image
        (height, width, 3), (height, width, 1) or (height, width), uint8 or uint16; 16 bits are rounded to 8.

    Raises
    ------
    TypeError, ValueError
        If the dtype or shape is wrong.

    Examples
    --------
    >>> eight_bits("reference", np.array([[0, 128, 129, 65535]], np.uint16))[0, :, 0].tolist()
    [0, 0, 1, 255]
    """
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        dtype = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"'{name}' has dtype {dtype}; expected uint8 or uint16")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"'{name}' has shape {image.shape}; expected (height, width, 3), or (height, width) of grey")
    pixels = np.asarray(image) if image.ndim == 3 else np.asarray(image)[:, :, None]
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3 and pixels.strides[1:] == (3, 1):
        return pixels
    out = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), _ROWS):
        out[top : top + _ROWS] = to_8_bits(pixels[top : top + _ROWS])
    return out


#: The most pixels that `_core.decode` takes by default.
MAX_PIXELS = 1 << 28


@dataclass(frozen=True)
class ReadOptions:
    """How the pixels of image files are read.

    Parameters
    ----------
    colour_management
        Convert samples that an ICC profile, cICP or gAMA says are not sRGB; if not, samples are taken as they are.
    background
        What lies under transparent pixels; without it, an image that has some is refused.
    frame
        Which frame of an animation, or page of a TIFF, counted from 0; files that hold one image ignore it. Without it,
        files that have several are refused.
    """

    colour_management: bool = True
    background: Background | None = None
    frame: int | None = None

    def __post_init__(self) -> None:
        if self.background is not None and self.background not in BACKGROUNDS:
            raise PixqError(f"unknown background {self.background!r}; choose {', '.join(BACKGROUNDS)}")
        if self.frame is not None:
            ranges.FRAME.check(self.frame, "--frame")

    @property
    def colours(self) -> Colours:
        """What the samples stand for: sRGB if those with a profile are converted."""
        return "sRGB" if self.colour_management else "raw"

    @property
    def intent(self) -> Intent | None:
        """The rendering intent of the conversion; `None` if there is none."""
        return "relative colorimetric" if self.colour_management else None


#: As people see images: in sRGB. Transparent pixels are refused.
AS_SHOWN = ReadOptions()


def read_pixels(
    path: Path, *, max_pixels: int = MAX_PIXELS, options: ReadOptions = AS_SHOWN, keep_alpha: bool = False
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode an image file to (height, width, 3) RGB: uint8, or uint16 where the file has 16 bits.

    With `keep_alpha`, an image that has transparent pixels has four channels and needs no background.

    Raises
    ------
    OSError, ValueError
        If the file can't be read, is not an image that pixq reads, or has more than `max_pixels` pixels.
    """
    pixels: NDArray[np.uint8] | NDArray[np.uint16] = decode(
        os.fspath(path),
        max_pixels=max_pixels,
        colour_management=options.colour_management,
        background=None if keep_alpha else options.background,
        keep_alpha=keep_alpha,
        frame=options.frame,
    )
    return pixels


#: What the core says of options, and what those who have none can do.
_HINTS = {
    '; save it without them, or choose what lies under them: --background white (background="white")': (
        "; save it without them"
    ),
    ", or compare raw samples with --no-colour-management (colour_management=False)": "",
    "; choose one of its frames, e.g. --frame 0 (frame=0)": "; save the frame that you want as a plain image",
}


def without_options(message: str) -> str:
    """Replace the advice of `_core` to choose an option, for those who can't, such as visitors of a page.

    Examples
    --------
    >>> without_options("is an animated PNG; choose one of its frames, e.g. --frame 0 (frame=0)")
    'is an animated PNG; save the frame that you want as a plain image'
    """
    for hint, advice in _HINTS.items():
        message = message.replace(hint, advice)
    return message


@contextmanager
def explain_image_errors(path: Path, *, options: bool = True) -> Iterator[None]:
    """Turn the error of a block that can't read the image at `path` into a `PixqError` that names the file.

    `options` says whether the command has options for how images are read, which the message may then name.

    Raises
    ------
    PixqError
        In place of an `OSError`, `ValueError` or `MemoryError`.
    """
    try:
        yield
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}") from None
    except (ValueError, MemoryError) as error:
        # The core's messages are whole sentences, and end with how to fix the file. In the name, with which they begin,
        # control characters are replaced.
        name = "".join("\ufffd" if unicodedata.category(letter) == "Cc" else letter for letter in str(path))
        line = " ".join(str(error).removeprefix(f"{name}: ").split()) or type(error).__name__
        raise PixqError(f"{path}: {line if options else without_options(line)}") from None


def load_pixels(path: Path, options: ReadOptions | None = None, *, keep_alpha: bool = False) -> NDArray[Any]:
    """Decode an image file as `read_pixels` does, for a file that the user named.

    `options` are those of the command. Without, it has none: the image is read as it is shown, and messages name none.

    Raises
    ------
    PixqError
        If it can't be read.
    """
    with explain_image_errors(path, options=options is not None):
        return read_pixels(path, options=options or AS_SHOWN, keep_alpha=keep_alpha)
