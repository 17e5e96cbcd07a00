"""Pictures with the structure of photographs at all scales, for what has to recognise them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def photograph(seed: int, height: int = 256, width: int = 384) -> NDArray[np.uint8]:
    """A coloured picture whose spectrum falls with the frequency, as that of photographs does: (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    falling = 1.0 / np.maximum(frequency, 1.0 / width) ** 1.2
    layers = []
    for weight in (1.0, 0.3, 0.3):
        spectrum = falling * np.exp(2j * np.pi * random.random(falling.shape))
        layer = np.fft.irfft2(spectrum, (height, width))
        layers.append(weight * layer / layer.std())
    light, red, blue = layers
    picture = 128 + 40 * np.stack([light + red, light, light + blue], axis=-1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture in grey."""
    return np.repeat(np.asarray(Image.fromarray(image).convert("L"))[:, :, None], 3, axis=2)


def scaled(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """The picture at another size."""
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
