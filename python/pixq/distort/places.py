"""Distortions of places: blocks, shifted pixels and resampling; see `pixq.distort.kinds` for what a function takes."""

from __future__ import annotations

import numpy as np

from pixq.distort.pixels import Image, Samples, to_uint8

__all__ = ["blockwise", "chromatic_aberration", "color_block", "jitter", "misplaced_patches", "moire", "pixelate"]

_BLOCK = 32
_PATCH = 16
#: How far a patch is moved at most, in pixels.
_NEAR = 16


def color_block(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Paint `value` blocks of 32 x 32 pixels, of one random colour each, at random places."""
    distorted = image.copy()
    height, width = (max(1, length - _BLOCK + 1) for length in image.shape[:2])
    for _ in range(int(value)):
        y, x = generator.integers(height), generator.integers(width)
        distorted[y : y + _BLOCK, x : x + _BLOCK] = generator.integers(0, 256, 3, dtype=np.uint8)
    return distorted


def blockwise(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Make 16 blocks of 32 x 32 pixels lighter or darker by up to `value` grey levels, at random places."""
    distorted = image.astype(np.float64)
    height, width = (max(1, length - _BLOCK + 1) for length in image.shape[:2])
    for _ in range(16):
        y, x = generator.integers(height), generator.integers(width)
        shift = value * generator.uniform(0.5, 1.0) * generator.choice((-1.0, 1.0))
        block = slice(y, y + _BLOCK), slice(x, x + _BLOCK)
        distorted[block] = image[block] + shift
    return to_uint8(distorted)


def misplaced_patches(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Copy `value` patches of 16 x 16 pixels from random places to places up to 16 pixels away."""
    distorted = image.copy()
    height, width = (max(1, length - _PATCH + 1) for length in image.shape[:2])
    for _ in range(int(value)):
        y, x = int(generator.integers(height)), int(generator.integers(width))
        down, right = (int(step) for step in generator.integers(-_NEAR, _NEAR + 1, 2))
        top, left = min(max(y + down, 0), height - 1), min(max(x + right, 0), width - 1)
        distorted[top : top + _PATCH, left : left + _PATCH] = image[y : y + _PATCH, x : x + _PATCH]
    return distorted


def sample_at(samples: Samples, ys: Samples, xs: Samples) -> Samples:
    """Interpolate (height, width, ...) linearly at places, (height, width) each, which are moved into the image."""
    height, width = samples.shape[:2]
    ys, xs = np.clip(ys, 0.0, height - 1.0), np.clip(xs, 0.0, width - 1.0)
    top, left = np.floor(ys).astype(np.intp), np.floor(xs).astype(np.intp)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    extra = (...,) + (None,) * (samples.ndim - 2)
    y, x = (ys - top)[extra], (xs - left)[extra]
    upper = samples[top, left] * (1.0 - x) + samples[top, right] * x
    lower = samples[below, left] * (1.0 - x) + samples[below, right] * x
    result: Samples = upper * (1.0 - y) + lower * y
    return result


def _places(image: Image) -> tuple[Samples, Samples]:
    ys, xs = np.meshgrid(*(np.arange(side, dtype=np.float64) for side in image.shape[:2]), indexing="ij")
    return ys, xs


def jitter(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Take each pixel from a place that is `value` pixels away (standard deviation, along rows and columns)."""
    ys, xs = _places(image)
    ys, xs = (place + generator.normal(0.0, value, place.shape) for place in (ys, xs))
    return to_uint8(sample_at(image.astype(np.float64), ys, xs))


def pixelate(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Shrink to 0.95 - `value` ** 0.6 of the size, and enlarge again, with the nearest pixel each time."""
    if value <= 0.0:
        return image.copy()
    chosen = []
    for side in image.shape[:2]:
        small = max(1, int((0.95 - value**0.6) * side))
        kept = ((np.arange(small) + 0.5) * side / small).astype(np.intp)
        chosen.append(kept[((np.arange(side) + 0.5) * small / side).astype(np.intp)])
    return image[np.ix_(*chosen)]


def chromatic_aberration(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Enlarge red and shrink blue about the centre, so that both are `value` pixels off at the corners."""
    ys, xs = _places(image)
    middle = [(side - 1) / 2.0 for side in image.shape[:2]]
    reach = max(float(np.hypot(*middle)), 1.0)
    samples = image.astype(np.float64)
    for channel, scale in ((0, 1.0 - value / reach), (2, 1.0 + value / reach)):
        y, x = middle[0] + (ys - middle[0]) * scale, middle[1] + (xs - middle[1]) * scale
        samples[..., channel] = sample_at(samples[..., channel], y, x)
    return to_uint8(samples)


def moire(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add rings of interference as a display photographed by a sensor has: `value` grey levels, other in each channel.

    The pattern is the beat of two grids, one of which is slightly turned, and is stronger where the image is lighter.
    """
    ys, xs = _places(image)
    angle, period = generator.uniform(0.0, np.pi), generator.uniform(9.0, 15.0)
    samples = image.astype(np.float64)
    for channel in range(3):
        turned = angle + 0.06 * channel
        along = np.cos(turned) * ys + np.sin(turned) * xs
        across = np.cos(turned) * xs - np.sin(turned) * ys
        wave = np.sin(2.0 * np.pi * along / period + 0.5 * np.sin(2.0 * np.pi * across / (4.0 * period)))
        samples[..., channel] += value * wave * (0.25 + 0.75 * samples[..., channel] / 255.0)
    return to_uint8(samples)
