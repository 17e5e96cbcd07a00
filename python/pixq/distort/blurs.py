"""Distortions that smooth or sharpen; see `pixq.distort.kinds` for what a function takes and gives."""

from __future__ import annotations

import math

import numpy as np

from pixq.distort.pixels import (
    Image,
    Samples,
    blur,
    convolve,
    from_lab,
    gaussian_taps,
    lab_planes,
    to_uint8,
)

__all__ = ["denoise", "gaussian_blur", "halo", "lens_blur", "motion_blur", "oversmooth", "sharpen"]

_BLUR_RADIUS = 5
#: Samples on a pixel's side for kernels that cover pixels in part.
_FINE = 16


def gaussian_blur(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Blur with a Gaussian of `value` pixels, 11 x 11 taps."""
    return to_uint8(blur(image.astype(np.float64), gaussian_taps(value, _BLUR_RADIUS)))


def lens_blur(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Blur with a disc of radius `value` pixels; pixels at its edge count as far as it covers them."""
    radius = math.ceil(value)
    places = (np.arange((2 * radius + 1) * _FINE) + 0.5) / _FINE - radius - 0.5
    inside = np.hypot(places[:, None], places[None, :]) <= max(value, 0.5 / _FINE)
    kernel = inside.reshape(2 * radius + 1, _FINE, 2 * radius + 1, _FINE).mean(axis=(1, 3))
    return to_uint8(convolve(image.astype(np.float64), kernel / kernel.sum()))


def motion_blur(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Blur along a line of `value` + 1 pixels, in a random direction."""
    angle = generator.uniform(0.0, math.pi)
    radius = math.ceil(value / 2.0 + 0.5)
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    steps = np.linspace(-value / 2.0, value / 2.0, max(2, math.ceil(value * 8)) + 1)
    for step in steps.tolist():
        y, x = radius - step * math.sin(angle), radius + step * math.cos(angle)
        top, left = math.floor(y), math.floor(x)
        for row, down in ((top, 1.0 - (y - top)), (top + 1, y - top)):
            for column, right in ((left, 1.0 - (x - left)), (left + 1, x - left)):
                if down * right > 0.0:
                    kernel[row, column] += down * right
    return to_uint8(convolve(image.astype(np.float64), kernel / kernel.sum()))


def denoise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add Gaussian noise of variance `value` (of samples from 0 to 1), and remove it with a 5 x 5 Wiener filter."""
    noisy = image + generator.normal(0.0, 255.0 * math.sqrt(value), image.shape)
    return to_uint8(_wiener(noisy, 65025.0 * value))


def oversmooth(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Remove what a 5 x 5 Wiener filter takes for noise of `value` grey levels, though there is none."""
    return to_uint8(_wiener(image.astype(np.float64), value * value))


def _wiener(samples: Samples, noise: float) -> Samples:
    box = np.full(5, 0.2)
    mean = blur(samples, box)
    variance = np.maximum(blur(samples * samples, box) - mean * mean, 0.0)
    kept = np.maximum(variance - noise, 0.0) / np.maximum(np.maximum(variance, noise), 1e-12)
    result: Samples = mean + kept * (samples - mean)
    return result


def sharpen(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Subtract `value` times a quarter of the Laplacian from L*."""
    lightness, a, b = lab_planes(image)
    cross = np.array([[0.0, 0.25, 0.0], [0.25, -1.0, 0.25], [0.0, 0.25, 0.0]])
    return to_uint8(from_lab(np.clip(lightness - value * convolve(lightness, cross), 0.0, 100.0), a, b))


def halo(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add `value` times the difference from a Gaussian blur of 2.5 pixels: a sharpening with wide halos."""
    samples = image.astype(np.float64)
    return to_uint8(samples + value * (samples - blur(samples, gaussian_taps(2.5, 8))))
