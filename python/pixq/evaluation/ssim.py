"""Structural similarity, SSIM and MS-SSIM, in a form that keeps its precision where patches are flat.

The papers' formula takes a covariance and two variances, each the small difference of two large sums; in float32, that
gave 1.0005 for two flat patches. Here each factor is 1 less its loss, in float64:

- luminance: 1 - (mx - my)^2 / (mx^2 + my^2 + C1),
- contrast and structure: 1 - var(x - y) / (var x + var y + C2), which is the papers' since
  2 cov(x, y) = var x + var y - var(x - y).

So a score is never above 1, is 1 for identical images, and stays the same when the two images change places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ms_ssim", "ssim"]

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
    factor = max(1, round(min(reference.shape[1:3]) / 256))
    scores = [
        _similarities(_averaged(reference[..., channel], factor), _averaged(distorted[..., channel], factor))[0]
        for channel in range(reference.shape[-1])
    ]
    return _mean(scores)


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
            whole, contrast = _similarities(x, y)
            score *= np.maximum(whole if scale == len(_SCALES) - 1 else contrast, 0.0) ** weight
        scores.append(score)
    return _mean(scores)


def _mean(scores: list[Scores]) -> Scores:
    """The mean over channels; exactly 1 where all are 1."""
    total: Scores = np.sum(scores, axis=0) / len(scores)
    return total


def _similarities(x: Planes, y: Planes) -> tuple[Scores, Scores]:
    """The mean SSIM of planes (n, height, width), and the mean of its factor for contrast and structure."""
    mean_x, mean_y = _windows(x), _windows(y)
    squares, product = mean_x**2 + mean_y**2, np.square(mean_x - mean_y)
    # The sum of both variances, and the variance of the difference. Rounding may make that of a flat one negative.
    variances = np.maximum(_windows(x**2 + y**2) - squares, 0.0)
    unlike = np.maximum(_windows(np.square(x - y)) - product, 0.0)
    contrast = 1.0 - unlike / (variances + _C2)
    whole = (1.0 - product / (squares + _C1)) * contrast
    return whole.mean(axis=(1, 2)), contrast.mean(axis=(1, 2))


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
