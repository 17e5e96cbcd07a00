"""`pixq ladder make` beside a bare loop, and `pixq smallest` beside exhaustive search.

    python benches/ladder_make.py [PHOTOS]

First, JPEG levels 1 to 100 of all photographs of CID22 (PHOTOS: of so many of them): the command, which also decodes
and measures each level and writes `ladder.json`, and two processes that only read the photographs and encode with
Pillow. Both write the files; the order changes from round to round, and times are of the fastest of three. Then, for
three codecs: the levels that `smallest` finds beside those before the first that is noticed when all are tried, and how
many it encodes. Some twenty minutes on two cores. Real data: ../shared/data, or PIXQ_TEST_DATA.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import pixq
from pixq.io.images import load_pixels
from pixq.ladders.codecs import CODECS, Codec
from pixq.ladders.smallest import Limit, _try, choose_limit, find_smallest

DATA = Path(os.environ.get("PIXQ_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
ROUNDS = 3
SEARCHED = ("jpeg", "webp", "avif")


def encode_all(photo: Path, out: Path) -> None:
    """What a script would do."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    folder = out / photo.stem
    folder.mkdir(parents=True)
    for level in range(1, 101):
        image.save(folder / f"{photo.stem}_{level:03}.jpg", quality=101 - level, subsampling="4:2:0")


def bare(photos: Sequence[Path], out: Path) -> float:
    begin = time.perf_counter()
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import ladder_make; ladder_make.bare_main()"
    )
    command = [sys.executable, "-c", code, str(out), *map(str, photos)]
    subprocess.run(command, check=True)
    return time.perf_counter() - begin


def bare_main() -> None:
    out, photos = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.starmap(encode_all, [(photo, out) for photo in photos], chunksize=1)


def command(photos: Sequence[Path], out: Path) -> float:
    begin = time.perf_counter()
    options = ["--codec", "jpeg", "--levels", "1-100", "--out", str(out), "--threads", "2"]
    subprocess.run(
        [sys.executable, "-m", "pixq", "ladder", "make", *map(str, photos), *options], check=True, capture_output=True
    )
    return time.perf_counter() - begin


def exhaustive(limit: Limit, pixels: NDArray[np.uint8], codec: Codec, chroma: str) -> int:
    """The level before the first that is noticed."""
    for level in range(1, codec.levels + 1):
        if _try(limit, pixels, codec, chroma, "", level).noticed:
            return level - 1
    return codec.levels


def main() -> None:
    photos = sorted((DATA / "cid22").glob("*.png"))
    photos = photos[: int(sys.argv[1]) if len(sys.argv) > 1 else len(photos)]
    ways = {"a bare Pillow loop, two processes": bare, "pixq ladder make, two threads": command}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            with tempfile.TemporaryDirectory() as scratch:
                times[name].append(ways[name](photos, Path(scratch) / "out"))
    baseline = min(next(iter(times.values())))
    print(f"{len(photos)} photographs, JPEG levels 1 to 100, fastest of {ROUNDS}")
    for name, spent in times.items():
        print(f"{name:36}{min(spent):8.2f} s{min(spent) / baseline:8.2f} times the loop")
    limit = choose_limit(pixq.load())
    print(f"\n{'smallest':10}{'photographs':>12}{'most tries':>12}{'same':>8}{'one below':>11}{'other':>8}{'above':>8}")
    for name in SEARCHED:
        codec = CODECS[name]
        chroma = codec.check_chroma(None)
        differences, tries = [], []
        for photo in photos:
            pixels: NDArray[np.uint8] = load_pixels(photo)
            found = find_smallest(limit, pixels, codec, chroma)
            tries.append(len(found.trials))
            level = 0 if found.trial is None else found.trial.level
            differences.append(level - exhaustive(limit, pixels, codec, chroma))
        counts = (differences.count(0), differences.count(-1), sum(d < -1 for d in differences))
        above = sum(d > 0 for d in differences)
        print(f"{name:10}{len(photos):12}{max(tries):12}{counts[0]:8}{counts[1]:11}{counts[2]:8}{above:8}", flush=True)


if __name__ == "__main__":
    main()
