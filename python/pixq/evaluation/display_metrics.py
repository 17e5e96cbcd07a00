"""Image metrics by others' programs and packages, with their maps: ColorVideoVDP, FLIP, butteraugli and SSIMULACRA2.

The first two see an image as a person does under `ViewingConditions`. They need the extra `rivals`; butteraugli needs
`butteraugli_main`, which comes with libjxl. All functions take contiguous uint8 RGB images (height, width, 3).
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pixq.errors import PixqError
from pixq.evaluation.piq_metrics import torch_device
from pixq.io.optional import require
from pixq.viewing import CONTRAST, REFLECTANCE, ViewingConditions

__all__ = [
    "BUTTERAUGLI",
    "butteraugli",
    "butteraugli_map",
    "colorvideovdp",
    "colorvideovdp_map",
    "find_butteraugli",
    "flip",
    "flip_map",
    "single",
    "ssimulacra2",
]

Image = NDArray[np.uint8]
Scores = NDArray[np.float64]

#: The program that computes butteraugli.
BUTTERAUGLI = "butteraugli_main"


def single(
    score: Callable[[Image, Image, str, ViewingConditions], float],
) -> Callable[[Image, Image, str, ViewingConditions], Scores]:
    """Turn a score of one pair of images into the scores (n,) of arrays of them."""

    def measure(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
        return np.array([score(*pair, device, viewing) for pair in zip(reference, distorted, strict=True)], np.float64)

    return measure


@lru_cache(maxsize=4)
def _metric(device: str, viewing: ViewingConditions, heatmap: str | None) -> Any:
    torch, pycvvdp = require("torch", extra="rivals"), require("pycvvdp")
    light = pycvvdp.vvdp_display_photo_eotf(
        viewing.peak_luminance, contrast=CONTRAST, E_ambient=viewing.ambient, k_refl=REFLECTANCE
    )
    # With pixels per degree given, the resolution of the display does not count.
    geometry = pycvvdp.vvdp_display_geometry([1920, 1080], ppd=viewing.pixels_per_degree)
    place = torch_device(torch, device)
    return pycvvdp.cvvdp(display_photometry=light, display_geometry=geometry, heatmap=heatmap, quiet=True, device=place)


def colorvideovdp(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> float:
    """Compute ColorVideoVDP's quality of an image, in JOD: 10 if nobody sees a difference."""
    metric = _metric(device, viewing, None)
    with require("torch", extra="rivals").inference_mode():
        return float(metric.predict(distorted, reference, dim_order="HWC")[0])


def colorvideovdp_map(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
    """Compute ColorVideoVDP's raw heat map, 0 to 1, in tenths of JOD below 10: float64 (height, width)."""
    metric = _metric(device, viewing, "raw")
    with require("torch", extra="rivals").inference_mode():
        heatmap = metric.predict(distorted, reference, dim_order="HWC")[1]["heatmap"]
    values: Scores = heatmap[0, 0, 0].double().numpy()
    return values


def flip_map(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
    """Compute FLIP's error map, 0 to 1: float64 (height, width)."""
    evaluate = require("flip_evaluator").evaluate
    pair = (image.astype(np.float32) / 255 for image in (reference, distorted))
    parameters = {"ppd": float(viewing.pixels_per_degree)}
    errors, _, _ = evaluate(*pair, "LDR", applyMagma=False, computeMeanError=False, parameters=parameters)
    values: Scores = errors[..., 0].astype(np.float64)
    return values


def flip(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> float:
    """Compute the mean of FLIP's error map, 0 to 1."""
    return float(flip_map(reference, distorted, device, viewing).mean())


def find_butteraugli() -> str:
    """Find the program that computes butteraugli.

    Raises
    ------
    PixqError
        If it is not on the PATH.
    """
    program = shutil.which(BUTTERAUGLI)
    if program is None:
        raise PixqError(
            f"{BUTTERAUGLI} is not on the PATH; install libjxl with its development tools (on Debian and Ubuntu: "
            "apt-get install libjxl-devtools)"
        )
    return program


def _run_butteraugli(reference: Image, distorted: Image, viewing: ViewingConditions, *options: str, folder: str) -> str:
    files = []
    for name, image in (("reference", reference), ("distorted", distorted)):
        # Files without a profile are read as sRGB.
        files.append(str(Path(folder) / f"{name}.ppm"))
        PillowImage.fromarray(image).save(files[-1])
    light = ("--intensity_target", f"{viewing.peak_luminance:g}")
    done = subprocess.run(
        [find_butteraugli(), *files, "--pnorm", "3", *light, *options], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it gives no reason"])[-1]
        raise PixqError(f"{BUTTERAUGLI} failed: {reason}")
    return done.stdout


def butteraugli(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> float:
    """Compute the 3-norm of butteraugli's distance; 0 for identical images."""
    with tempfile.TemporaryDirectory() as folder:
        output = _run_butteraugli(reference, distorted, viewing, folder=folder)
    try:
        return float(output.split("3-norm:")[1])
    except (IndexError, ValueError):
        raise PixqError(f"{BUTTERAUGLI} printed no 3-norm; install libjxl 0.7 or newer") from None


def butteraugli_map(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> Scores:
    """Compute butteraugli's distance around each pixel, which needs libjxl 0.9 or newer: float64 (height, width)."""
    usage = subprocess.run([find_butteraugli()], capture_output=True, text=True, check=False)
    if "--rawdistmap" not in usage.stdout + usage.stderr:
        raise PixqError(f"this {BUTTERAUGLI} can't write its map; install libjxl 0.9 or newer")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "map.pfm"
        # The one is only written with the other.
        options = ("--distmap", str(Path(folder) / "map.png"), "--rawdistmap", str(raw))
        _run_butteraugli(reference, distorted, viewing, *options, folder=folder)
        with PillowImage.open(raw) as picture:
            return np.asarray(picture, dtype=np.float64)


def ssimulacra2(reference: Image, distorted: Image, device: str, viewing: ViewingConditions) -> float:
    """Compute SSIMULACRA2: 100 for identical images, below 0 for very bad ones."""
    files = []
    for image in (reference, distorted):
        # The package takes what Pillow opens.
        files.append(io.BytesIO())
        PillowImage.fromarray(image).save(files[-1], format="BMP")
    return float(require("ssimulacra2").compute_ssimulacra2(*files))
