"""The kinds of distortion: what each does to an image, and its parameter at five levels.

To add a kind, write its function here and add an entry to `DISTORTIONS`; everything else reads that table. A function
`(image, value, generator)` takes uint8 RGB of shape (height, width, 3) and the level's parameter, and returns a new
array like it. It works in float64 or integers, rounds half up, clips to 0..255, and draws from `generator` alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DISTORTIONS", "LEVELS", "Distortion", "Image"]

Image = npt.NDArray[np.uint8]
LEVELS = 5

# ITU-R BT.601, as JPEG and most of the field use it.
_LUMA = (0.299, 0.587, 0.114)
_BLUR_RADIUS = 5
_BLOCK = 32


@dataclass(frozen=True)
class Distortion:
    """A kind of distortion with five levels, mildest first.

    Parameters
    ----------
    name
        Name in pixq.
    number
        Number in file names (`<dd>`): the type's number in TID2013, or 30 plus its number in KADID-10k.
    values
        The parameter of `apply` at levels 1 to 5.
    unit
        Meaning and unit of the parameter.
    source
        Source of the method and the values.
    apply
        `apply(image, value, generator)` returns the distorted image.
    unchanged
        The parameter that leaves an image as it is, or nearly so.
    whole
        Whether the parameter is a whole number.
    """

    name: str
    number: int
    values: tuple[float, float, float, float, float]
    unit: str
    source: str
    apply: Callable[[Image, float, np.random.Generator], Image]
    unchanged: float
    whole: bool = False

    def at(self, strength: float) -> float:
        """Compute the parameter of any strength: 20 is level 1, 100 is level 5, and 0 leaves an image as it is.

        Between the levels it changes linearly. Where the levels go both ways from `unchanged`, as those of brightness,
        it goes down.

        Examples
        --------
        >>> DISTORTIONS["gaussian_blur"].at(50), DISTORTIONS["brightness"].at(40), DISTORTIONS["jpeg"].at(1)
        (0.825, -10.0, 99.0)
        """
        changes = [value - self.unchanged for value in self.values]
        if min(changes) < 0.0 < max(changes):
            changes = [-abs(change) for change in changes]
        change = float(np.interp(strength / 20.0, range(LEVELS + 1), [0.0, *changes]))
        if self.whole:
            # Away from zero, so that the mildest step does something.
            change = math.copysign(math.ceil(abs(change) - 1e-9), change)
        return round(self.unchanged + change, 9)


def _to_uint8(samples: npt.NDArray[np.float64]) -> Image:
    return np.clip(np.floor(samples + 0.5), 0, 255).astype(np.uint8)


def _white_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    return _to_uint8(image + generator.normal(0.0, value, image.shape))


def _quantization(image: Image, value: float, generator: np.random.Generator) -> Image:
    step = int(value)
    return np.minimum((image.astype(np.int64) + step // 2) // step * step, 255).astype(np.uint8)


def _gaussian_blur(image: Image, value: float, generator: np.random.Generator) -> Image:
    taps = np.exp(-(np.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1) ** 2) / (2.0 * value * value))
    taps /= taps.sum()
    samples = image.astype(np.float64)
    for axis in (0, 1):
        length = samples.shape[axis]
        border = [(_BLUR_RADIUS, _BLUR_RADIUS) if a == axis else (0, 0) for a in range(3)]
        padded = np.moveaxis(np.pad(samples, border, mode="edge"), axis, 0)
        # Summed tap by tap, in order: the same bits whatever NumPy was built with.
        blurred = taps[0] * padded[:length]
        for i, tap in enumerate(taps[1:], start=1):
            blurred += tap * padded[i : i + length]
        samples = np.moveaxis(blurred, 0, axis)
    return _to_uint8(samples)


def _jpeg(image: Image, value: float, generator: np.random.Generator) -> Image:
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG", quality=int(value), subsampling="4:2:0")
    with Pillow.open(buffer) as decoded:
        return np.array(decoded)


def _brightness(image: Image, value: float, generator: np.random.Generator) -> Image:
    return np.clip(image.astype(np.int64) + int(value), 0, 255).astype(np.uint8)


def _saturation(image: Image, value: float, generator: np.random.Generator) -> Image:
    # A matrix product would differ in its last bits between BLAS libraries.
    red, green, blue = (weight * image[..., c : c + 1] for c, weight in enumerate(_LUMA))
    luma = red + green + blue
    return _to_uint8(luma + value * (image - luma))


def _color_block(image: Image, value: float, generator: np.random.Generator) -> Image:
    distorted = image.copy()
    height, width = (max(1, length - _BLOCK + 1) for length in image.shape[:2])
    for _ in range(int(value)):
        y, x = generator.integers(height), generator.integers(width)
        distorted[y : y + _BLOCK, x : x + _BLOCK] = generator.integers(0, 256, 3, dtype=np.uint8)
    return distorted


DISTORTIONS: dict[str, Distortion] = {
    distortion.name: distortion
    for distortion in (
        Distortion(
            "white_noise",
            1,
            (5.71, 8.06, 11.39, 16.09, 22.73),
            "standard deviation in grey levels, independent for each sample",
            "TID2013 type 1: a PSNR of 33, 30, 27, 24 and 21 dB before clipping",
            _white_noise,
            unchanged=0.0,
        ),
        Distortion(
            "quantization",
            7,
            (19, 27, 39, 55, 76),
            "step in grey levels",
            "TID2013 type 7: every sample to the nearest multiple of the step",
            _quantization,
            unchanged=1.0,
            whole=True,
        ),
        Distortion(
            "gaussian_blur",
            8,
            (0.5, 0.65, 1.0, 1.7, 4.0),
            "standard deviation in pixels, of 11 x 11 taps",
            "TID2013 type 8, with the border replicated where TID2013 has it black",
            _gaussian_blur,
            unchanged=0.0,
        ),
        Distortion(
            "jpeg",
            10,
            (80, 60, 23, 8, 4),
            "quality of libjpeg, 1 to 100, with 4:2:0 chroma",
            "TID2013 type 10; encoded and decoded by Pillow's own libjpeg-turbo",
            _jpeg,
            unchanged=100.0,
            whole=True,
        ),
        Distortion(
            "brightness",
            16,
            (-6, 10, -20, 30, -40),
            "grey levels added to every sample",
            "TID2013 type 16, mean shift",
            _brightness,
            unchanged=0.0,
            whole=True,
        ),
        Distortion(
            "saturation",
            18,
            (0.75, 0.6, 0.45, 0.25, 0.0),
            "factor on the difference from BT.601 luma; 0 is grey",
            "TID2013 type 18, which has factors tuned to each image; these are near their medians",
            _saturation,
            unchanged=1.0,
        ),
        Distortion(
            "color_block",
            53,
            (2, 4, 6, 8, 10),
            "blocks of 32 x 32 pixels, of one random colour each, at random places",
            "KADID-10k type 23, color block; it leaves most patches as they are",
            _color_block,
            unchanged=0.0,
            whole=True,
        ),
    )
}
