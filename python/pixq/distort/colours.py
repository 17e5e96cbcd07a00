"""Distortions of tones and colours; see `pixq.distort.kinds` for what a function takes and gives."""

from __future__ import annotations

import math

import numpy as np

from pixq.distort.pixels import Image, Samples, blur, from_lab, gaussian_taps, lab_planes, luma, to_uint8

__all__ = [
    "banding",
    "brighten",
    "brightness",
    "color_diffusion",
    "color_quantization",
    "color_shift",
    "contrast",
    "darken",
    "dithering",
    "hsv_saturation",
    "lab_saturation",
    "mean_shift",
    "quantization",
    "saturation",
    "tone_curve",
]


def quantization(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Round every sample to the nearest multiple of `value`."""
    step = int(value)
    return np.minimum((image.astype(np.int64) + step // 2) // step * step, 255).astype(np.uint8)


def brightness(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add `value` grey levels to every sample."""
    return np.clip(image.astype(np.int64) + int(value), 0, 255).astype(np.uint8)


def mean_shift(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Add `value` to every sample, of samples from 0 to 1."""
    return to_uint8(image.astype(np.float64) + 255.0 * value)


def contrast(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Multiply the difference of each sample from the mean of all by `value`."""
    mean = float(image.mean())
    return to_uint8(mean + value * (image.astype(np.float64) - mean))


def tone_curve(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Apply the curve through 0, (0.3, 0.25 - value / 4), (0.5, 0.5), (0.7, 0.75 + value / 4) and 1."""
    # The cubic that is odd about its middle: slope * u + bend * u^3.
    bend = (0.25 + value / 4.0 - 0.2) / (0.2**3 - 0.2 * 0.5**2)
    slope = 1.0 - bend * 0.5**2
    middle = image / 255.0 - 0.5
    return to_uint8(255.0 * (0.5 + slope * middle + bend * middle**3))


def _bent(samples: Samples, amount: float) -> Samples:
    """The parabola through 0, (0.5, 0.5 + amount / 2) and 1, clipped to 0..1."""
    return np.clip(samples + 2.0 * amount * samples * (1.0 - samples), 0.0, 1.0)


def brighten(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Lift the tones, by a curve of the samples and, for a third, of L*."""
    lightness, a, b = lab_planes(image)
    lifted = np.minimum(from_lab(100.0 * _bent(lightness / 100.0, value), a, b), 255.0)
    return to_uint8((2.0 * 255.0 * _bent(image / 255.0, value) + lifted) / 3.0)


def darken(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Lower the tones by a curve of the samples."""
    return to_uint8(255.0 * _bent(image / 255.0, -value))


def saturation(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Multiply the difference of each sample from luma by `value`."""
    grey = luma(image)[..., None]
    return to_uint8(grey + value * (image - grey))


def hsv_saturation(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Multiply the saturation of HSV by `value`: the difference of each sample from the largest of its pixel."""
    largest = image.max(axis=2, keepdims=True).astype(np.float64)
    return to_uint8(largest + value * (image - largest))


def lab_saturation(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Multiply a* and b* by `value`."""
    lightness, a, b = lab_planes(image)
    return to_uint8(from_lab(lightness, value * a, value * b))


def color_diffusion(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Blur a* and b* with a Gaussian of 1.5 `value` + 2 pixels, and multiply them by `value`; below 1, only blur."""
    sigma, gain = (1.5 * value + 2.0, value) if value >= 1.0 else (3.5 * value, 1.0)
    taps = gaussian_taps(sigma, math.ceil(2.0 * sigma))
    lightness, a, b = lab_planes(image)
    return to_uint8(from_lab(lightness, gain * blur(a, taps), gain * blur(b, taps)))


def color_shift(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Shift green by `value` pixels in a random direction, as far as there are edges."""
    samples = image.astype(np.float64)
    # The gradient of luma, smoothed; its extremes, one percent at both ends, are clipped.
    down, right = np.gradient(luma(image)) if min(image.shape[:2]) > 1 else (np.zeros(image.shape[:2]),) * 2
    edges = blur(np.hypot(down, right), gaussian_taps(4.0, 8))
    low, high = np.quantile(edges, (0.01, 0.99))
    weight = np.clip((edges - low) / max(float(high - low), 1e-9), 0.0, 1.0)
    angle = generator.uniform(0.0, 2.0 * math.pi)
    y, x = round(value * math.sin(angle)), round(value * math.cos(angle))
    radius = max(abs(y), abs(x))
    padded = np.pad(samples[..., 1], radius, mode="edge")
    height, width = image.shape[:2]
    shifted = padded[radius - y : radius - y + height, radius - x : radius - x + width]
    samples[..., 1] = weight * shifted + (1.0 - weight) * samples[..., 1]
    return to_uint8(samples)


def color_quantization(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Replace colours by the nearest of `value` that median cut chooses."""
    return _palette(image, int(value), dithered=False)


def dithering(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Replace colours by `value` that median cut chooses, with Floyd and Steinberg's error diffusion."""
    return _palette(image, int(value), dithered=True)


def _palette(image: Image, colours: int, *, dithered: bool) -> Image:
    from PIL import Image as Pillow

    picture = Pillow.fromarray(image)
    palette = picture.quantize(colours, Pillow.Quantize.MEDIANCUT)
    dither = Pillow.Dither.FLOYDSTEINBERG if dithered else Pillow.Dither.NONE
    return np.array(picture.quantize(palette=palette, dither=dither).convert("RGB"))


def banding(image: Image, value: float, generator: np.random.Generator) -> Image:
    """Quantise a smooth version of the image to steps of `value` grey levels, and add its detail again."""
    samples = image.astype(np.float64)
    smooth = blur(samples, gaussian_taps(4.0, 12))
    stepped = np.floor(smooth / value + 0.5) * value
    # Detail hides steps in texture and leaves them in smooth surfaces.
    return to_uint8(stepped + (samples - smooth))
