"""Image metrics by piq, their maps, and the torch devices that they are computed on.

Precision: float64. In float32, MDSI was off by 60 % for bright patches. VSI alone is computed in float32 on a CPU,
where it takes less than half the time and differs from float64 by at most 3e-5, and that only in patches of nearly one
colour. On CUDA it is float64 too, since float32 convolutions may be rounded to the 10 bits of TF32 there, depending on
the settings of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.evaluation.ssim import enlarged
from pixq.io.optional import require
from pixq.viewing import ViewingConditions

__all__ = ["gmsd_map", "gradient_similarity", "mdsi_map", "piq_metric", "torch_device"]

Image = NDArray[np.uint8]
Scores = NDArray[np.float64]
Measure = Callable[[Image, Image, str, ViewingConditions], Scores]


def piq_metric(function: str, *, single: bool = False, most: float = np.inf) -> Measure:
    """Wrap piq's function of this name for arrays of images: in float32 on a CPU if `single`, and at most `most`.

    If there is such a bound, identical images have it exactly, and so has a score that is 0/0, as that of two images
    without any structure.
    """

    def measure(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
        torch, piq = require("torch", extra="baselines"), require("piq")
        # piq takes the distorted image first, which matters because MDSI is not symmetric.
        pair = (_planes(torch, images, device, single) for images in (distorted, reference))
        with torch.inference_mode():
            scores = _array(getattr(piq, function)(*pair, data_range=1.0, reduction="none"))
        if np.isinf(most):
            return scores
        # Rounding may take a sum of shares above or below its bound.
        identical = (reference == distorted).all(axis=(1, 2, 3))
        return np.where(identical, most, np.fmin(scores, most))

    return measure


def gradient_similarity(reference: Image, distorted: Image, device: str = "cpu") -> Scores:
    """Compute the mean gradient magnitude similarity of images: float64 (n,), up to 1, higher for better images.

    GMSD is the standard deviation of the same similarity; its paper calls the mean GMSM. Like GMSD, it is computed on
    BT.601 luma at half the size.

    Parameters
    ----------
    reference, distorted
        uint8 RGB of shape (n, height, width, 3), sides even.
    device
        A torch device.

    Raises
    ------
    PixqError
        If piq or the device is not available.
    """
    torch = require("torch", extra="baselines")
    with torch.inference_mode():
        return np.minimum(_array(_gradient_similarities(reference, distorted, device).mean(dim=(1, 2, 3))), 1.0)


def _gradient_similarities(reference: Image, distorted: Image, device: str) -> Any:
    """The gradient magnitude similarity of images at half the size, (n, 1, height / 2, width / 2), odd sides padded."""
    torch, piq = require("torch", extra="baselines"), require("piq")

    def gradients(images: Image) -> Any:
        luma = piq.functional.rgb2yiq(_planes(torch, images, device))[:, :1]
        odd = max(luma.shape[2] % 2, luma.shape[3] % 2)
        luma = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(luma, [0, odd, 0, odd]), 2)
        return piq.functional.gradient_map(luma, _prewitt(torch, piq, luma))

    return piq.functional.similarity_map(gradients(reference), gradients(distorted), constant=170 / 255**2)


def _prewitt(torch: Any, piq: Any, planes: Any) -> Any:
    kernel = piq.functional.prewitt_filter(dtype=planes.dtype, device=planes.device)
    return torch.stack([kernel, kernel.transpose(-1, -2)])


def gmsd_map(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
    """Compute 1 minus the gradient similarity whose deviation is GMSD: float64 (height, width), 0 to 1.

    It is computed at half the size, so that 2 x 2 pixels share a value.
    """
    torch = require("torch", extra="baselines")
    with torch.inference_mode():
        similarity = _array(_gradient_similarities(reference[None], distorted[None], device))[0, 0]
    return np.maximum(1.0 - enlarged(similarity, 2, reference.shape[:2]), 0.0)


def mdsi_map(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
    """Compute 1 minus the similarity of gradients and chromaticity whose deviation MDSI is: float64 (height, width).

    Equations 3 to 9 of the paper. Where an image is larger than 384 pixels, f x f pixels share a value, f = the shorter
    side / 256, rounded.
    """
    torch, piq = require("torch", extra="baselines"), require("piq")
    factor = max(1, round(min(reference.shape[:2]) / 256))
    before, after = (factor - 1) // 2, factor // 2
    with torch.inference_mode():

        def planes(image: Image) -> Any:
            padded = torch.nn.functional.pad(255 * _planes(torch, image[None], device), [before, after] * 2)
            return piq.functional.rgb2lhm(torch.nn.functional.avg_pool2d(padded, factor))

        def gradients(lightness: Any) -> Any:
            return piq.functional.gradient_map(lightness, _prewitt(torch, piq, lightness))

        similarity, x, y = piq.functional.similarity_map, planes(reference), planes(distorted)
        of_x, of_y, of_both = (gradients(image[:, :1]) for image in (x, y, (x + y) / 2))
        # piq calls the distorted image x and the reference y, and so does the paper's middle term.
        edges = similarity(of_x, of_y, 140) + similarity(of_y, of_both, 55) - similarity(of_x, of_both, 55)
        product, squares = (x * y)[:, 1:].sum(dim=1), (x**2 + y**2)[:, 1:].sum(dim=1)
        chroma = (2 * product + 550) / (squares + 550)
        whole = _array(0.6 * edges[0, 0] + 0.4 * chroma[0])
    return 1.0 - enlarged(whole, factor, reference.shape[:2])


def _planes(torch: Any, images: Image, device: str, single: bool = False) -> Any:
    """Convert images to what piq takes: (n, 3, height, width), 0 to 1; float32 on a CPU if `single`, else float64."""
    place = torch_device(torch, device)
    kind = torch.float32 if single and place.type == "cpu" else torch.float64
    # Copied, because torch warns about read-only arrays.
    return torch.from_numpy(images.copy()).to(place).permute(0, 3, 1, 2).to(kind) / 255


def _array(tensor: Any) -> Scores:
    scores: Scores = tensor.double().cpu().numpy()
    return scores


def torch_device(torch: Any, name: str) -> Any:
    """Open a torch device.

    Raises
    ------
    PixqError
        If torch can't use it.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    # Torch raises AssertionError for a device that it was built without.
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or ["no reason is given"])[0].rstrip(".")
        raise PixqError(f"device {name}: torch can't use it here ({reason}); use cpu or another device") from None
    return device
