"""The default model beside the metrics that people use today: seconds per pair of images, in one run.

    python benches/metrics.py [NAME...]

The pair is made of photographs that come with scikit-image, so nothing else is needed. Rivals that are not installed
are named and left out: `pip install 'pixq[rivals]'` installs all but butteraugli, which is libjxl's `butteraugli_main`
on PATH (Debian: libjxl-devtools). They take turns, and the best of several rounds counts; ratios are to the default
model. Seconds of CPU are those of all threads together, and depend less on what else the machine does. Images are
decoded before the clock starts, except for butteraugli and SSIMULACRA2, which read two uncompressed files.
"""

from __future__ import annotations

import io
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import pixq
from pixq.distort.demo import demo_references
from pixq.evaluation.baselines import BASELINES

Pixels = NDArray[np.uint8]
Measure = Callable[[], float]

#: Rows and columns of a tile, and tiles of the pair: 1200 x 1800 pixels.
TILE, TILES = (300, 450), (4, 4)
QUALITY = 50
ROUNDS = 5
BASELINE = "default model"
RIVALS = ("psnr", "ssim", "mdsi", "butteraugli", "ssimulacra2", "colorvideovdp")


def make_pair() -> tuple[Pixels, Pixels]:
    """Photographs side by side, and the same after JPEG compression."""
    photographs = [pixels[: TILE[0], : TILE[1]] for pixels in demo_references().values()]
    photographs = [pixels for pixels in photographs if pixels.shape[:2] == TILE]
    numbers = np.arange(TILES[0] * TILES[1]).reshape(TILES) % len(photographs)
    reference = np.concatenate([np.concatenate([photographs[n] for n in row], axis=1) for row in numbers])
    data = io.BytesIO()
    Image.fromarray(reference).save(data, format="JPEG", quality=QUALITY)
    return np.ascontiguousarray(reference), np.array(Image.open(data))


def measures(reference: Pixels, distorted: Pixels, names: list[str]) -> tuple[dict[str, Measure], list[str]]:
    """The default model's map (21,301 patches with scores and classes) and the rivals' scores; and what is missing."""
    scorer = pixq.load()
    found: dict[str, Measure] = {BASELINE: lambda: scorer.map(reference, distorted).verdict.quality}
    missing = []
    for metric in (BASELINES[name] for name in RIVALS):
        if names and metric.title not in names:
            continue
        try:
            metric.check_available()
        except pixq.PixqError as error:
            missing.append(f"{metric.title:14} not measured: {error}")
        else:
            found[metric.title] = partial(metric.score, reference, distorted)
    return found, missing


def cpu_seconds() -> float:
    """Seconds of CPU that this process and its finished children have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Time all rivals in turn, and print seconds and ratios."""
    warnings.simplefilter("ignore")
    reference, distorted = make_pair()
    timed, missing = measures(reference, distorted, sys.argv[1:])
    # A first call is not timed: it compiles, caches and opens what later ones use.
    scores = {name: measure() for name, measure in timed.items()}
    wall, cpu = dict.fromkeys(timed, np.inf), dict.fromkeys(timed, np.inf)
    for _ in range(ROUNDS):
        for name, measure in timed.items():
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
    for line in missing:
        print(f"  {line}")


if __name__ == "__main__":
    main()
