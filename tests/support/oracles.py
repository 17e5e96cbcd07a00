"""The kernels again, in plain NumPy: what they should give, written to be read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

RANGES = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


def grid(height: int, width: int, size: tuple[int, int], stride: tuple[int, int]) -> list[list[int]]:
    ys = range(0, height - size[0] + 1, stride[0])
    xs = range(0, width - size[1] + 1, stride[1])
    return [[y, x] for y in ys for x in xs]


def tile(image: Array, size: tuple[int, int], coords: Iterable[Iterable[int]]) -> Array:
    patches = [image[y : y + size[0], x : x + size[1]] for y, x in coords]
    return np.stack(patches) if patches else np.empty((0, *size, *image.shape[2:]), image.dtype)


def untile(patches: Array, coords: Iterable[Iterable[int]], height: int, width: int) -> Array:
    image = np.zeros((height, width, *patches.shape[3:]), patches.dtype)
    for patch, (y, x) in zip(patches, coords, strict=True):
        image[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
    return image


def weights(fusion: str, alpha: float, size: tuple[int, int], roi: tuple[int, int, int, int]) -> Array:
    """The weight of the reference at each pixel of a patch."""
    inside, outside = {"none": (0.0, 0.0), "copy": (1.0, 0.0), "blend": (alpha, 0.0), "paste": (0.0, 1.0)}[fusion]
    mask = np.full(size, outside)
    y, x, height, width = roi
    mask[y : y + height, x : x + width] = inside
    return mask


def fuse(reference: Array, distorted: Array, mask: Array) -> Array:
    """Patches of shape (..., h, w[, c]) fused with weights (h, w) of the reference; `reference.ndim` tells which."""
    w = mask[..., None] if reference.shape[-1] in (1, 3) and reference.ndim > 2 else mask
    with np.errstate(invalid="ignore", over="ignore"):
        mean = w * reference.astype(np.float64) + (1 - w) * distorted.astype(np.float64)
        if reference.dtype.kind == "u":
            return np.floor(mean + 0.5).astype(reference.dtype)
        return np.where(w == 0, distorted, np.where(w == 1, reference, mean.astype(np.float32)))


def mse(reference: Array, distorted: Array) -> float:
    """By Python's whole numbers, which can't overflow, or by a sum that doesn't round until its end."""
    if reference.dtype.kind == "u":
        pairs = zip(reference.ravel().tolist(), distorted.ravel().tolist(), strict=True)
        total = sum((a - b) ** 2 for a, b in pairs)
        return float(total) / reference.size
    return math.fsum(((reference.astype(np.float64) - distorted) ** 2).ravel()) / reference.size


def psnr(reference: Array, distorted: Array, data_range: float | None = None) -> float:
    error = mse(reference, distorted)
    peak = RANGES[str(reference.dtype)] if data_range is None else data_range
    return math.inf if error == 0 else 10 * math.log10(peak * peak / error)


def local_variance(image: Array, size: tuple[int, int]) -> Array:
    planes = image.astype(np.float64).reshape(*image.shape[:2], -1)
    boxes = np.lib.stride_tricks.sliding_window_view(planes, size, axis=(0, 1))
    return np.asarray(boxes.var(axis=(-2, -1)).mean(axis=-1))


def feather_mask(
    height: int, width: int, roi: tuple[int, int, int, int], feather: int, inside: float, outside: float
) -> Array:
    def beyond(at: int, start: int, length: int) -> int:
        return max(start - at, at - (start + length - 1), 0)

    mask = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            n = max(beyond(y, roi[0], roi[2]), beyond(x, roi[1], roi[3]))
            mask[y, x] = outside + (inside - outside) * max(0.0, 1 - n / (feather + 1))
    return mask
