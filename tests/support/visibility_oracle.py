"""`pixq._core.visible_differences` once more in NumPy, float64, slowly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000

Array = NDArray[Any]

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
RGB_TO_XYZ = np.array([
    [0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041],
])  # fmt: skip
XYZ_TO_LMS = np.array([
    [0.187596268556126, 0.585168649077728, -0.026384263306304],
    [-0.133397430663221, 0.405505777260049, 0.034502127690364],
    [0.000244379021663, -0.000542995890619, 0.019406849066323],
])  # fmt: skip
#: Peak, and the parameters of its fall in the dark; frequency, and of its fall; squared decades below and above.
CHANNELS = (
    (200.5, (35.0, 0.287), 3.342, (4.40, 0.667), (2.379, 0.829)),
    (324.6, (18.9, 0.649), 0.2557, (0.0, 0.0), (np.inf, 3.156)),
    (2670.7, (33.76, 0.542), 0.1153, (0.0, 0.0), (np.inf, 3.903)),
)


def filtered(image: Array, taps: Array) -> Array:
    """Along both axes; the last pixel is repeated."""
    half = len(taps) // 2
    for axis in (0, 1):
        padding = [(half, half) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = np.pad(image, padding, mode="edge")
        image = sum(tap * np.take(padded, np.arange(image.shape[axis]) + i, axis=axis) for i, tap in enumerate(taps))
    return image


def expanded(image: Array, shape: tuple[int, ...]) -> Array:
    for axis in (0, 1):
        at = np.arange(shape[axis])
        low, end = at // 2, image.shape[axis] - 1
        before, here, after = (np.take(image, np.clip(low + by, 0, end), axis=axis) for by in (-1, 0, 1))
        even = (at % 2 == 0).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        image = np.where(even, (before + 6 * here + after) / 8, (here + after) / 2)
    return image


def sensitivity(channel: int, frequency: float, luminance: Array) -> Array:
    peak, dark, best, best_dark, width = CHANNELS[channel]

    def falls(at: tuple[float, float]) -> Array:
        return np.asarray((1 + at[0] / luminance) ** -at[1])

    decades = np.log10(frequency / (best * falls(best_dark)))
    found: Array = peak * falls(dark) * 10 ** (-(decades**2) / np.where(decades < 0, *width))
    return found


def light(image: Array) -> Array:
    value = image / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def opponent(image: Array, white: float, black: float) -> Array:
    cones = XYZ_TO_LMS @ RGB_TO_XYZ
    long, medium, short = cones.sum(axis=1)
    both = long + medium
    matrix = np.array([[1, 1, 0], [1, -long / medium, 0], [-short / both, -short / both, 1]]) @ cones / both
    found: Array = white * light(image) @ matrix.T
    found[..., 0] += black
    return found


def band_energy(upper: list[Array], lower: list[Array], coarse: list[Array], frequency: float) -> Array:
    background = np.maximum((coarse[0][..., 0] + coarse[1][..., 0]) / 2, 0.05)
    gain = np.stack([sensitivity(channel, frequency, background) / background for channel in range(3)], axis=-1)
    first, second = ((a - b) * gain for a, b in zip(upper, lower, strict=True))
    mask = filtered(np.minimum(first**2, second**2), BINOMIAL)
    mask = mask + np.array([0, 0.1, 0.1]) * mask[..., :1]
    energy: Array = ((first - second) ** 4 / (1 + 50 * mask) ** 1.5).sum(axis=-1)
    return energy


def patches(shape: tuple[int, ...], size: int) -> list[tuple[int, int, slice, slice]]:
    rows, columns = (range(-(-side // size)) for side in shape[:2])
    inside = [[slice(i * size, min((i + 1) * size, side)) for i in count]
              for count, side in zip((rows, columns), shape[:2], strict=True)]  # fmt: skip
    return [(i, j, inside[0][i], inside[1][j]) for i in rows for j in columns]


def mean(plane: Array, rows: slice, columns: slice, start: float, step: float, size: int) -> float:
    """Mean of the plane's pixels in the patch; where they are few, the plane interpolated at the patch's centre."""
    if size / step < 5:
        lows, highs, shares = [], [], []
        for pixels, side in zip((rows, columns), plane.shape, strict=True):
            place = np.clip(((pixels.start + pixels.stop - 1) / 2 - start) / step, 0, side - 1)
            lows.append(int(place))
            highs.append(min(int(place) + 1, side - 1))
            shares.append(place - int(place))
        (y0, x0), (y1, x1), (v, u) = lows, highs, shares
        return float((plane[y0, x0] * (1 - u) + plane[y0, x1] * u) * (1 - v)
                     + (plane[y1, x0] * (1 - u) + plane[y1, x1] * u) * v)  # fmt: skip
    within = []
    for pixels, side in zip((rows, columns), plane.shape, strict=True):
        place = start + step * np.arange(side)
        chosen = np.flatnonzero((place >= pixels.start - 0.5) & (place < pixels.stop - 0.5))
        within.append(chosen if len(chosen) else [min(int(np.ceil((pixels.start - 0.5 - start) / step)), side - 1)])
    return float(plane[np.ix_(*within)].mean())


def contrast_energy(pair: list[Array], ppd: float, white: float, black: float, size: int) -> Array:
    fine = [opponent(image, white, black) for image in pair]
    places = patches(pair[0].shape, size)
    found = np.zeros((places[-1][0] + 1, places[-1][1] + 1))
    for level in range(6):
        if min(fine[0].shape[:2]) < 4:
            break
        reduced = [filtered(image, BINOMIAL)[::2, ::2] for image in fine]
        coarse = [expanded(small, image.shape) for small, image in zip(reduced, fine, strict=True)]
        if level == 0:
            smooth = [filtered(image, np.array([1, 2, 1]) / 4) for image in fine]
            plane = band_energy(fine, smooth, coarse, 0.34 * ppd) + band_energy(smooth, coarse, coarse, 0.18 * ppd)
        else:
            plane = band_energy(fine, coarse, coarse, 0.19 * ppd / 2**level)
        for i, j, rows, columns in places:
            area = (rows.stop - rows.start) * (columns.stop - columns.start)
            found[i, j] += area * mean(plane, rows, columns, 0, 2**level, size)
        fine = reduced
    return found / ppd**2


def lab(colour: Array) -> Array:
    share = RGB_TO_XYZ @ colour / RGB_TO_XYZ.sum(axis=1)
    f = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def colour_energy(pair: list[Array], ppd: float, size: int) -> Array:
    places = patches(pair[0].shape, size)
    found = np.zeros((places[-1][0] + 1, places[-1][1] + 1))
    for i, j, rows, columns in places:
        parts = [light(image[rows, columns]).reshape(-1, 3) for image in pair]
        difference = deltaE_ciede2000(*(lab(part.mean(axis=0)) for part in parts))  # type: ignore[no-untyped-call]
        found[i, j] = (difference / 2) ** 4 * len(parts[0])
    return found / ppd**2


def dissimilarity(pair: list[Array]) -> Array:
    gradients = []
    for image in pair:
        padded = np.pad(image, 1, mode="edge")
        rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
        columns = padded[:-2] + padded[1:-1] + padded[2:]
        down, across = rows[:-2] - rows[2:], columns[:, :-2] - columns[:, 2:]
        gradients.append(np.hypot(down, across) / 3)
    a, b = gradients
    found: Array = (a - b) ** 2 / (a**2 + b**2 + 140)
    return found


def structure(pair: list[Array], ppd: float, size: int) -> Array:
    halvings = np.clip(2.5 + np.log2(ppd / 37), 0, 6)
    planes = [image @ np.array([0.2989, 0.5870, 0.1140]) for image in pair]
    places = patches(pair[0].shape, size)
    found = np.zeros((places[-1][0] + 1, places[-1][1] + 1))
    for scale in range(int(np.ceil(halvings)) + 1):
        if scale > 0:
            if min(planes[0].shape) < 4:
                break
            planes = [p[: p.shape[0] // 2 * 2, : p.shape[1] // 2 * 2] for p in planes]
            planes = [(p[::2, ::2] + p[::2, 1::2] + p[1::2, ::2] + p[1::2, 1::2]) / 4 for p in planes]
        share = max(0, 1 - abs(halvings - scale))
        if min(planes[0].shape) < 4 and halvings > scale:
            share = 1
        plane = dissimilarity(planes)
        for i, j, rows, columns in places:
            found[i, j] += share * mean(plane, rows, columns, (2**scale - 1) / 2, 2**scale, size)
    return found


def visible_differences(
    reference: Array, distorted: Array, *, ppd: float, white: float, black: float, size: int = 20
) -> tuple[Array, Array, Array]:
    """Energy, colour and structure, (rows, columns) float64."""
    pair = [reference.astype(np.float64), distorted.astype(np.float64)]
    energy = contrast_energy(pair, ppd, white, black, size)
    return energy, colour_energy(pair, ppd, size), structure(pair, ppd, size)
