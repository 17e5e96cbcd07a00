"""Structural similarity, SSIM and MS-SSIM, in a form that keeps its precision where patches are flat.

The papers' formula takes a covariance and two variances, each the small difference of two large sums; in float32, that
gave 1.0005 for two flat patches. Here each factor is 1 less its loss, in float64:

- luminance: 1 - (mx - my)^2 / (mx^2 + my^2 + C1),
- contrast and structure: 1 - var(x - y) / (var x + var y + C2), which is the papers' since
  2 cov(x, y) = var x + var y - var(x - y).

So a score is never above 1, is 1 for identical images, and stays the same when the two images change places.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["enlarged", "ms_ssim", "ssim", "ssim_map"]

Images = NDArray[np.uint8]
Planes = NDArray[np.float64]
Scores = NDArray[np.float64]

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
#: Half of the symmetric window of 11 x 11 pixels: a Gaussian of sigma 1.5 from its edge to its middle.
_WINDOW = np.exp(-np.square(np.arange(-5.0, 1.0)) / (2 * 1.5**2))
_WINDOW /= 2 * _WINDOW.sum() - _WINDOW[-1]
#: How much each of the five scales counts, the finest first.
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim(reference: Images, distorted: Images) -> Scores:
    """Compute the SSIM of images, the mean over their channels.

    f x f pixels are averaged first, where f is the shorter side / 256, rounded, as the authors suggest.

    Parameters
    ----------
    reference, distorted
        uint8 (n, height, width, channels), at least 11 x 11 pixels.

    Returns
    -------
    ndarray
        float64 (n,), -1 to 1.

    Examples
    --------
    >>> white = np.full((1, 20, 20, 3), 255, np.uint8)
    >>> ssim(white, white).tolist(), ssim(white, white - np.uint8(1)).round(6).tolist()
    ([1.0], [0.999992])
    """
    return _mean([_means(maps)[0] for maps in _channels(reference, distorted)])


def ssim_map(reference: Images, distorted: Images) -> Planes:
    """Compute 1 minus the SSIM around each pixel, the mean over the channels.

    `ssim` is the mean over windows that lie inside the image; at the edges, the value of the nearest of them is
    repeated. If f x f pixels are averaged first, they share a value.

    Parameters
    ----------
    reference, distorted
        uint8 (height, width, channels), at least 11 x 11 pixels.

    Returns
    -------
    ndarray
        float64 (height, width), 0 to 2.
    """
    whole = np.mean([maps[0][0] for maps in _channels(reference[None], distorted[None])], axis=0)
    return 1.0 - enlarged(np.pad(whole, len(_WINDOW) - 1, mode="edge"), _factor(reference[None]), reference.shape[:2])


def enlarged(plane: Planes, factor: int, shape: tuple[int, ...]) -> Planes:
    """Repeat each value of a plane for `factor` x `factor` pixels, cut off or continued at the edge to fit `shape`."""
    rows, columns = (
        np.minimum(np.arange(side) // factor, most - 1) for side, most in zip(shape, plane.shape, strict=True)
    )
    return plane[np.ix_(rows, columns)]


def _factor(images: Images) -> int:
    return int(max(1, round(min(images.shape[1:3]) / 256)))


def _channels(reference: Images, distorted: Images) -> Iterator[tuple[Planes, Planes]]:
    """Yield the maps of `_similarities` of each channel, of averaged images."""
    factor = _factor(reference)
    for channel in range(reference.shape[-1]):
        yield _similarities(*(_averaged(images[..., channel], factor) for images in (reference, distorted)))


def ms_ssim(reference: Images, distorted: Images) -> Scores:
    """Compute the MS-SSIM of images, the mean over their channels.

    From scale to scale 2 x 2 pixels are averaged; where a side is odd, a row and a column are repeated first.

    Parameters
    ----------
    reference, distorted
        uint8 (n, height, width, channels), at least 161 x 161 pixels.

    Returns
    -------
    ndarray
        float64 (n,), 0 to 1.
    """
    scores = []
    for channel in range(reference.shape[-1]):
        x, y = (_averaged(images[..., channel], 1) for images in (reference, distorted))
        score = np.ones(len(reference))
        for scale, weight in enumerate(_SCALES):
            if scale:
                x, y = _halved(x), _halved(y)
            whole, contrast = _means(_similarities(x, y))
            score *= np.maximum(whole if scale == len(_SCALES) - 1 else contrast, 0.0) ** weight
        scores.append(score)
    return _mean(scores)


def _mean(scores: list[Scores]) -> Scores:
    """The mean over channels; exactly 1 where all are 1."""
    total: Scores = np.sum(scores, axis=0) / len(scores)
    return total


def _means(maps: tuple[Planes, Planes]) -> tuple[Scores, Scores]:
    """The mean of each map over the windows of each image."""
    whole, contrast = maps
    return whole.mean(axis=(1, 2)), contrast.mean(axis=(1, 2))


def _similarities(x: Planes, y: Planes) -> tuple[Planes, Planes]:
    """The SSIM of planes (n, height, width) in each window, and its factor for contrast and structure."""
    mean_x, mean_y = _windows(x), _windows(y)
    squares, product = mean_x**2 + mean_y**2, np.square(mean_x - mean_y)
    # The sum of both variances, and the variance of the difference. Rounding may make that of a flat one negative.
    variances = np.maximum(_windows(x**2 + y**2) - squares, 0.0)
    unlike = np.maximum(_windows(np.square(x - y)) - product, 0.0)
    contrast = 1.0 - unlike / (variances + _C2)
    return (1.0 - product / (squares + _C1)) * contrast, contrast


def _windows(planes: Planes) -> Planes:
    """Weighted means over all windows that lie inside the planes: (n, height - 10, width - 10)."""
    middle = len(_WINDOW) - 1
    for axis in (1, 2):
        count = planes.shape[axis] - 2 * middle
        total = planes[_part(axis, middle, count)] * _WINDOW[middle]
        for place, weight in enumerate(_WINDOW[:middle]):
            pair = planes[_part(axis, place, count)] + planes[_part(axis, 2 * middle - place, count)]
            pair *= weight
            total += pair
        planes = total
    return planes


def _part(axis: int, start: int, count: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, start + count),)


def _averaged(images: Images, factor: int) -> Planes:
    """Means of `factor` x `factor` pixels; what is left over at the right and bottom edge is dropped."""
    if factor == 1:
        return images.astype(np.float64)
    rows, columns = (side // factor for side in images.shape[1:])
    part = images[:, : rows * factor, : columns * factor]
    means: Planes = part.reshape(-1, rows, factor, columns, factor).mean(axis=(2, 4), dtype=np.float64)
    return means


def _halved(planes: Planes) -> Planes:
    """Means of 2 x 2 pixels, as piq takes them: if a side is odd, the first row and column are repeated."""
    if odd := max(side % 2 for side in planes.shape[1:]):
        planes = np.pad(planes, ((0, 0), (odd, 0), (odd, 0)), mode="edge")
    rows, columns = (side // 2 for side in planes.shape[1:])
    means: Planes = planes[:, : 2 * rows, : 2 * columns].reshape(-1, rows, 2, columns, 2).mean(axis=(2, 4))
    return means
