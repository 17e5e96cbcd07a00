"""The default model beside the metrics that people use today: seconds per pair of images, in one run.

    python benches/metrics.py [NAME...]

The pair is made of photographs that come with scikit-image, so nothing else is needed. Rivals that are not installed
are named and left out: SSIM comes with `pip install piq`, SSIMULACRA2 with `pip install ssimulacra2`, ColorVideoVDP
with `pip install cvvdp`, and butteraugli is libjxl's `butteraugli_main` on PATH (Debian: libjxl-devtools). They take
turns, and the best of several rounds counts; ratios are to the default model. Seconds of CPU are those of all
threads together, and depend less on what else the machine does. Images are decoded before the clock starts, except for
butteraugli and SSIMULACRA2, which read two files.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import pixq
from pixq.distort.demo import demo_references

Pixels = NDArray[np.uint8]
Measure = Callable[[], float]

#: Rows and columns of a tile, and tiles of the pair: 1200 x 1800 pixels.
TILE, TILES = (300, 450), (4, 4)
QUALITY = 50
ROUNDS = 5
BASELINE = "default model"


class Missing(Exception):
    """A rival is not installed; says what to install."""


def make_pair() -> tuple[Pixels, Pixels]:
    """Photographs side by side, and the same after JPEG compression."""
    photographs = [pixels[: TILE[0], : TILE[1]] for pixels in demo_references().values()]
    photographs = [pixels for pixels in photographs if pixels.shape[:2] == TILE]
    numbers = np.arange(TILES[0] * TILES[1]).reshape(TILES) % len(photographs)
    reference = np.concatenate([np.concatenate([photographs[n] for n in row], axis=1) for row in numbers])
    data = io.BytesIO()
    Image.fromarray(reference).save(data, format="JPEG", quality=QUALITY)
    return np.ascontiguousarray(reference), np.array(Image.open(data))


def default_model(reference: Pixels, distorted: Pixels, folder: Path) -> Measure:
    """The map of the model that comes with pixq: 21,301 patches with scores and classes."""
    scorer = pixq.load()
    return lambda: scorer.map(reference, distorted).verdict.quality


def psnr(reference: Pixels, distorted: Pixels, folder: Path) -> Measure:
    """PSNR of the whole image, by pixq's core."""
    return lambda: float(pixq.psnr(reference, distorted))


def ssim(reference: Pixels, distorted: Pixels, folder: Path) -> Measure:
    """SSIM of the whole image, by piq."""
    from pixq.evaluation.baselines import BASELINES

    try:
        import piq  # noqa: F401
    except ImportError:
        raise Missing("pip install 'pixq[baselines]'") from None
    return lambda: BASELINES["ssim"].score(reference, distorted)


def butteraugli(reference: Pixels, distorted: Pixels, folder: Path) -> Measure:
    """The distance of libjxl's tool, with its start and the decoding of two PNG files."""
    program = shutil.which("butteraugli_main")
    if program is None:
        raise Missing("apt-get install libjxl-devtools")
    files = [str(folder / name) for name in ("reference.png", "distorted.png")]
    for file, pixels in zip(files, (reference, distorted), strict=True):
        Image.fromarray(pixels).save(file)
    command = [program, *files]
    return lambda: float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])


def ssimulacra2(reference: Pixels, distorted: Pixels, folder: Path) -> Measure:
    """SSIMULACRA2 by the Python package of that name, which reads two files."""
    try:
        from ssimulacra2 import compute_ssimulacra2
    except ImportError:
        raise Missing("pip install ssimulacra2") from None
    files = [str(folder / name) for name in ("s-reference.png", "s-distorted.png")]
    for file, pixels in zip(files, (reference, distorted), strict=True):
        Image.fromarray(pixels).save(file)
    return lambda: float(compute_ssimulacra2(*files))


def colorvideovdp(reference: Pixels, distorted: Pixels, folder: Path) -> Measure:
    """ColorVideoVDP on a CPU, as an image on the display `standard_4k`. It is made for GPUs, where it is faster."""
    try:
        import pycvvdp
        import torch
    except ImportError:
        raise Missing("pip install cvvdp") from None
    metric = pycvvdp.cvvdp(display_name="standard_4k", device=torch.device("cpu"), quiet=True)
    return lambda: float(metric.predict(distorted, reference, dim_order="HWC")[0])


RIVALS: dict[str, Callable[[Pixels, Pixels, Path], Measure]] = {
    BASELINE: default_model,
    "PSNR": psnr,
    "SSIM": ssim,
    "butteraugli": butteraugli,
    "SSIMULACRA2": ssimulacra2,
    "ColorVideoVDP": colorvideovdp,
}


def cpu_seconds() -> float:
    """Seconds of CPU that this process and its finished children have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Time all rivals in turn, and print seconds and ratios."""
    warnings.simplefilter("ignore")
    names = [name for name in RIVALS if name == BASELINE or not sys.argv[1:] or name in sys.argv[1:]]
    reference, distorted = make_pair()
    with tempfile.TemporaryDirectory() as folder:
        measures: dict[str, Measure] = {}
        absent: dict[str, str] = {}
        for name in names:
            try:
                measures[name] = RIVALS[name](reference, distorted, Path(folder))
            except Missing as error:
                absent[name] = str(error)
        # A first call is not timed: it compiles, caches and opens what later ones use.
        scores = {name: measure() for name, measure in measures.items()}
        wall, cpu = dict.fromkeys(measures, np.inf), dict.fromkeys(measures, np.inf)
        for _ in range(ROUNDS):
            for name, measure in measures.items():
                started, used = time.perf_counter(), cpu_seconds()
                measure()
                wall[name] = min(wall[name], time.perf_counter() - started)
                cpu[name] = min(cpu[name], cpu_seconds() - used)
    height, width = reference.shape[:2]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, pixq {pixq.__version__}")
    print(f"a pair of {width}x{height} pixels, JPEG at quality {QUALITY}; best of {ROUNDS} rounds, in turn")
    print(f"{'':16}{'wall':>10}{'ratio':>10}{'CPU':>10}{'ratio':>10}{'score':>10}")
    for name, score in scores.items():
        times = "".join(f"{each[name]:8.3f} s{each[name] / each[BASELINE]:10.3f}" for each in (wall, cpu))
        print(f"  {name:14}{times}{score:10.4g}")
    for name, what in absent.items():
        print(f"  {name:14} not measured: it is not installed ({what})")


if __name__ == "__main__":
    main()
