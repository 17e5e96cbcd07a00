"""Distortions that add noise; see `pixq.distort.kinds` for what a function takes and gives."""

from __future__ import annotations

import math

import numpy as np

from pixq.distort.pixels import Image, blur, from_ycbcr, gaussian_taps, luma, to_uint8, to_ycbcr

__all__ = [
    "color_noise",
    "component_noise",
    "correlated_noise",
    "high_frequency_noise",
    "impulse_noise",
    "masked_noise",
    "multiplicative_noise",
    "white_noise",
]


def white_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add Gaussian noise of `value` grey levels to each sample."""
    return to_uint8(image + generator.normal(0.0, value, image.shape))


def color_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add Gaussian noise of variance `value` to the colour differences, and of a 4.1th of it to luma."""
    noise = generator.normal(0.0, 1.0, image.shape) * np.sqrt([value / 4.1, value, value])
    return to_uint8(image + from_ycbcr(noise))


def component_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add Gaussian noise of variance `value` (of samples from 0 to 1) to luma and colour differences."""
    noise = generator.normal(0.0, 255.0 * math.sqrt(value), image.shape)
    return to_uint8(from_ycbcr(to_ycbcr(image.astype(np.float64)) + noise))


def correlated_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add Gaussian noise that a 3 x 3 mean has smoothed, of `value` grey levels after that."""
    noise = blur(generator.normal(0.0, 3.0 * value, image.shape), np.full(3, 1.0 / 3.0))
    return to_uint8(image + noise)


def high_frequency_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add Gaussian noise without what a Gaussian of one pixel keeps, of `value` grey levels after that."""
    taps = gaussian_taps(1.0, 4)
    noise = generator.normal(0.0, 1.0, image.shape)
    # The share of the variance that is left: of the whole kernel, minus twice its centre, plus its energy.
    left = math.sqrt(1.0 - 2.0 * float(taps[4]) ** 2 + float((taps * taps).sum()) ** 2)
    return to_uint8(image + value / left * (noise - blur(noise, taps)))


def masked_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add Gaussian noise where texture hides it: `value` times the contrast of luma around a pixel, 5 x 5."""
    grey = luma(image)
    box = np.full(5, 0.2)
    mean = blur(grey, box)
    contrast = np.sqrt(np.maximum(blur(grey * grey, box) - mean * mean, 0.0))
    return to_uint8(image + value * contrast[..., None] * generator.normal(0.0, 1.0, image.shape))


def impulse_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Replace each sample, with probability `value`, by 0 or 255."""
    chosen = generator.random(image.shape)
    distorted = np.where(chosen < value / 2.0, 0, image)
    return np.where(chosen > 1.0 - value / 2.0, 255, distorted).astype(np.uint8)


def multiplicative_noise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Multiply each sample by 1 plus Gaussian noise of variance `value`."""
    return to_uint8(image * (1.0 + generator.normal(0.0, math.sqrt(value), image.shape)))
