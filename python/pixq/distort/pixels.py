"""What distortions have in common: rounding, blurs, and colour spaces, in float64 and with the same bits everywhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "LIGHT",
    "LUMA",
    "Image",
    "Samples",
    "blur",
    "convolve",
    "from_lab",
    "from_ycbcr",
    "gaussian_taps",
    "lab_planes",
    "luma",
    "to_uint8",
    "to_ycbcr",
]

Image = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float64]

#: ITU-R BT.601, as JPEG and most of the field use it.
LUMA = (0.299, 0.587, 0.114)

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
_RGB = tuple(map(tuple, np.linalg.inv(np.array(_TO_XYZ)).tolist()))
#: BT.601 with 16 to 235, as MATLAB's rgb2ycbcr; without its offsets.
_YCBCR = (
    (65.481 / 255, 128.553 / 255, 24.966 / 255),
    (-37.797 / 255, -74.203 / 255, 112.0 / 255),
    (112.0 / 255, -93.786 / 255, -18.214 / 255),
)
_FROM_YCBCR = tuple(map(tuple, np.linalg.inv(np.array(_YCBCR)).tolist()))


def to_uint8(samples: Samples) -> Image:
    """Round half up, and clip to 0..255."""
    return np.clip(np.floor(samples + 0.5), 0, 255).astype(np.uint8)


def luma(samples: npt.NDArray[np.generic]) -> Samples:
    """BT.601 luma, float64 (height, width), of (height, width, 3)."""
    # A matrix product would differ in its last bits between BLAS libraries.
    red, green, blue = (weight * samples[..., c].astype(np.float64) for c, weight in enumerate(LUMA))
    return red + green + blue


def _mixed(samples: Samples, matrix: tuple[tuple[float, ...], ...]) -> Samples:
    rows = [row[0] * samples[..., 0] + row[1] * samples[..., 1] + row[2] * samples[..., 2] for row in matrix]
    return np.stack(rows, axis=-1)


def to_ycbcr(samples: Samples) -> Samples:
    """Luma and colour differences of sRGB samples; offsets are left out."""
    return _mixed(samples, _YCBCR)


def from_ycbcr(samples: Samples) -> Samples:
    """The inverse of `to_ycbcr`."""
    return _mixed(samples, _FROM_YCBCR)


def lab_planes(image: Image) -> tuple[Samples, Samples, Samples]:
    """L* (0 to 100), a* and b* (D65) of sRGB of shape (..., 3)."""
    red, green, blue = (LIGHT[image[..., c]] for c in range(3))
    # A matrix product would differ in its last bits between BLAS libraries.
    x, y, z = (_root(row[0] * red + row[1] * green + row[2] * blue) for row in _TO_XYZ)
    return 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)


def _root(ratio: Samples) -> Samples:
    return np.where(ratio > _KNEE, np.cbrt(ratio), ratio * (29.0 / 6.0) ** 2 / 3.0 + 4.0 / 29.0)


def from_lab(lightness: Samples, a: Samples, b: Samples) -> Samples:
    """The sRGB samples (..., 3), 0 to 255 but not clipped above, of L*, a* and b* (D65)."""
    y = (lightness + 16.0) / 116.0
    root = np.stack([y + a / 500.0, y, y - b / 200.0], axis=-1)
    ratio = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    linear = np.maximum(_mixed(ratio, _RGB), 0.0)
    return 255.0 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def gaussian_taps(sigma: float, radius: int) -> Samples:
    """Weights of a Gaussian of `sigma` pixels, 2 * radius + 1 of them, that add up to 1."""
    if sigma <= 0:
        taps = np.zeros(2 * radius + 1)
        taps[radius] = 1.0
        return taps
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2.0 * sigma * sigma))
    return np.asarray(taps / taps.sum())


def blur(samples: Samples, taps: Samples, axes: tuple[int, int] = (0, 1)) -> Samples:
    """Convolve the axes of rows and columns with symmetric taps, an odd number; the border is replicated."""
    radius = len(taps) // 2
    for axis in axes:
        length = samples.shape[axis]
        border = [(radius, radius) if number == axis else (0, 0) for number in range(samples.ndim)]
        padded = np.moveaxis(np.pad(samples, border, mode="edge"), axis, 0)
        # Summed tap by tap, in order: the same bits whatever NumPy was built with.
        blurred = taps[0] * padded[:length]
        for place, tap in enumerate(taps[1:], start=1):
            blurred = blurred + tap * padded[place : place + length]
        samples = np.moveaxis(blurred, 0, axis)
    return samples


def convolve(samples: Samples, kernel: Samples) -> Samples:
    """Correlate rows and columns with a kernel of odd sides; the border is replicated."""
    down, right = kernel.shape[0] // 2, kernel.shape[1] // 2
    border = [(down, down), (right, right)] + [(0, 0)] * (samples.ndim - 2)
    padded = np.pad(samples, border, mode="edge")
    height, width = samples.shape[:2]
    result = np.zeros_like(samples)
    for y, x in np.argwhere(kernel != 0.0).tolist():
        result += kernel[y, x] * padded[y : y + height, x : x + width]
    return result
