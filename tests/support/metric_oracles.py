"""Image metrics again, from their papers, in plain NumPy and float64: what the baselines should give."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

Image = NDArray[np.uint8]


def grey(image: Image) -> NDArray[np.float64]:
    luma: NDArray[np.float64] = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return luma


def halves(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of every 2 x 2 pixels; sides are even."""
    height, width = planes.shape[:2]
    means: NDArray[np.float64] = planes.reshape(height // 2, 2, width // 2, 2, *planes.shape[2:]).mean(axis=(1, 3))
    return means


def gradient(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitude by the Prewitt operator / 3, with zeros around the image, as MATLAB's conv2(..., 'same')."""
    prewitt = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]]) / 3
    magnitude: NDArray[np.float64] = np.hypot(convolve2d(plane, prewitt, "same"), convolve2d(plane, prewitt.T, "same"))
    return magnitude


def similarity(a: NDArray[np.float64], b: NDArray[np.float64], c: float) -> NDArray[np.float64]:
    return (2 * a * b + c) / (a * a + b * b + c)


def ssim_oracle(reference: NDArray[np.float64], distorted: NDArray[np.float64], **settings: float) -> Any:
    """SSIM of every channel; scikit-image's window of sigma 1.5, cut at 3.5 sigma, is the paper's 11 x 11 pixels."""
    return [
        structural_similarity(
            reference[..., c],
            distorted[..., c],
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            **settings,
        )
        for c in range(3)
    ]


def gmsd_oracle(reference: Image, distorted: Image) -> float:
    """Xue et al. 2014: the standard deviation of the gradients' similarity, at half the size, c = 170."""
    maps = similarity(gradient(halves(grey(reference))), gradient(halves(grey(distorted))), 170)
    return float(maps.std())


def mdsi_oracle(reference: Image, distorted: Image) -> float:
    """Ziaei Nafchi et al. 2016, below 384 pixels, where nothing is averaged first."""
    weights = np.array([[0.2989, 0.5870, 0.1140], [0.30, 0.04, -0.35], [0.34, -0.60, 0.17]])
    (lr, hr, mr), (ld, hd, md) = (
        np.moveaxis(image.astype(np.float64) @ weights.T, -1, 0) for image in (reference, distorted)
    )
    r, d, f = gradient(lr), gradient(ld), gradient((lr + ld) / 2)
    gradients = similarity(r, d, 140) + similarity(d, f, 55) - similarity(r, f, 55)
    chroma = (2 * (hr * hd + mr * md) + 550) / (hr**2 + hd**2 + mr**2 + md**2 + 550)
    root = (0.6 * gradients + 0.4 * chroma).astype(complex) ** 0.25
    return float(np.abs(root - root.mean()).mean() ** 0.25)


def ms_ssim_oracle(reference: Image, distorted: Image) -> float:
    """Wang et al. 2003, of images whose sides are even down to the fourth scale."""
    planes = [image.astype(float) for image in (reference, distorted)]
    product = np.ones(3)
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        # Contrast and structure alone, but at the last scale: a very large K1 makes SSIM's luminance term 1.
        terms = ssim_oracle(*planes, K1=0.01 if scale == 4 else 1e9)
        product *= np.maximum(terms, 0) ** weight
        planes = planes if scale == 4 else [halves(plane) for plane in planes]
    return float(product.mean())


def gradient_similarity_oracle(reference: Image, distorted: Image) -> float:
    """The mean that Xue et al. 2014 call GMSM."""
    return float(similarity(gradient(halves(grey(reference))), gradient(halves(grey(distorted))), 170).mean())


def psnr_oracle(reference: Image, distorted: Image) -> float:
    """10 log10(255^2 / MSE); infinite without an error."""
    error = np.mean((reference.astype(np.float64) - distorted) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def haarpsi_oracle(reference: Image, distorted: Image) -> float:
    """Reisenhofer et al. 2018, for even sides: c = 30, alpha = 4.2, at half the size."""
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    pair = [np.moveaxis(halves(image.astype(np.float64)) @ to_yiq.T, -1, 0) for image in (reference, distorted)]

    def filtered(plane: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Like MATLAB's conv2(..., 'same'); SciPy's begins a pixel earlier where the kernel's sides are even."""
        first = len(kernel) // 2
        return np.abs(convolve2d(plane, kernel)[first : first + len(plane), first : first + plane.shape[1]])

    def wavelet(plane: NDArray[np.float64], scale: int, axis: int) -> NDArray[np.float64]:
        kernel = np.full((2**scale, 2**scale), 0.5**scale)
        kernel[: len(kernel) // 2] *= -1
        return filtered(plane, kernel if axis == 0 else kernel.T)

    likeness, weights = [], []
    for axis in (0, 1):
        scales = [[wavelet(image[0], scale, axis) for image in pair] for scale in (1, 2, 3)]
        likeness.append(np.mean([similarity(*scales[scale], 30) for scale in (0, 1)], axis=0))
        weights.append(np.maximum(*scales[2]))
    # The mean of 2 x 2 pixels, with zeros beyond the image.
    means = [[filtered(plane, np.full((2, 2), 0.25)) for plane in image[1:]] for image in pair]
    likeness.append(np.mean([similarity(a, b, 30) for a, b in zip(*means, strict=True)], axis=0))
    weights.append(np.mean(weights, axis=0))
    shares = 1 / (1 + np.exp(-4.2 * np.array(likeness)))
    whole = float((shares * weights).sum() / np.sum(weights)) if np.any(weights) else float(1 / (1 + np.exp(-4.2)))
    return float((np.log(whole / (1 - whole)) / 4.2) ** 2)
