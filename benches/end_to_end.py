"""`build-patches` end to end, against the notebooks' way and against decoding alone; opening a set; memory.

    python benches/end_to_end.py [speed] [open] [memory]

Everything is timed in this run, interleaved, the best of several; ratios are what counts. `memory` takes some minutes
and 9 GB of disk. Real data: ../shared/data, or PIXQ_TEST_DATA.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from pixq import BuildSettings, Fusion, PatchSet, _core, build

DATA = Path(os.environ.get("PIXQ_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TID = DATA / "tid2013"
SETTINGS = BuildSettings(fusions=(Fusion("copy"), Fusion("blend", 0.5)))
THREADS = 2


def best(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of the fastest of `rounds` calls of each, taken in turn so that noise falls on all alike."""
    seconds = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, call in work.items():
            started = time.perf_counter()
            call()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    return seconds


def notebooks_way(out: Path, images: int) -> int:
    """Pillow crops, NumPy fuses, one PNG a patch and a dictionary a record: as the notebooks had it."""
    records = []
    for folder in ("clean", "copy", "blend"):
        (out / folder).mkdir(parents=True)
    for name in sorted(path.name for path in (TID / "distorted_images").iterdir())[:images]:
        clean = Image.open(TID / "reference_images" / f"I{name[1:3]}.png").convert("RGB")
        noisy = Image.open(TID / "distorted_images" / name).convert("RGB")
        for y in range(0, clean.height - 19, 20):
            for x in range(0, clean.width - 19, 20):
                a = np.array(clean.crop((x, y, x + 20, y + 20)))
                b = np.array(noisy.crop((x, y, x + 20, y + 20)))
                for method in ("copy", "blend"):
                    fused = b.copy()
                    if method == "copy":
                        fused[4:16, 4:16] = a[4:16, 4:16]
                    else:
                        fused[4:16, 4:16] = np.floor(0.5 * a[4:16, 4:16] + 0.5 * b[4:16, 4:16] + 0.5).astype(np.uint8)
                    mse = np.mean((a.astype(np.float64) - fused.astype(np.float64)) ** 2)
                    psnr = None if mse == 0 else 10 * np.log10(255**2 / mse)
                    file = f"{method}_patch_{len(records):04}.png"
                    Image.fromarray(a).save(out / "clean" / file)
                    Image.fromarray(fused).save(out / method / file)
                    records.append({"unique_sample_id": file, "image": name, "roi": [x, y, 20, 20], "psnr": psnr})
    (out / "metadata.json").write_text(json.dumps(records))
    return len(records)


def speed(scratch: Path) -> None:
    """The main job on TID2013: 300 images, grid, copy and blend."""
    files = [*(TID / "reference_images").iterdir(), *(TID / "distorted_images").iterdir()]

    def decode_alone() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(_core.decode, files))

    def ours() -> None:
        shutil.rmtree(scratch / "ours", ignore_errors=True)
        build("tid2013", TID, scratch / "ours", settings=SETTINGS, threads=THREADS)

    def command() -> None:
        shutil.rmtree(scratch / "command", ignore_errors=True)
        arguments = ["build-patches", "--dataset", "tid2013", "--root", TID, "--out", scratch / "command"]
        arguments += ["--fusion", "copy", "blend", "--threads", THREADS]
        subprocess.run([sys.executable, "-m", "pixq", *map(str, arguments)], check=True, capture_output=True)

    def theirs() -> None:
        shutil.rmtree(scratch / "theirs", ignore_errors=True)
        notebooks_way(scratch / "theirs", 4)

    ours()
    records = len(PatchSet(scratch / "ours"))
    fast = best({"decode": decode_alone, "build": ours, "command": command}, 7)
    slow = best({"theirs": theirs}, 2)["theirs"]
    rate, their_rate = records / fast["build"], 4 * 2 * 475 / slow
    print(f"build-patches on TID2013: {len(files) - 10} images, {records} records, {THREADS} threads")
    print(f"  notebooks' way       {their_rate:12,.0f} records/s  (one thread, 4 images)")
    print(f"  decoding alone       {len(files) / fast['decode']:12,.0f} images/s   {fast['decode']:.3f} s")
    print(f"  build                {rate:12,.0f} records/s  {fast['build']:.3f} s")
    print(f"  pixq build-patches   {records / fast['command']:12,.0f} records/s  {fast['command']:.3f} s, as a command")
    print(f"  ratio to the notebooks' way  {rate / their_rate:8.0f}   target 200")
    print(f"  ratio to decoding alone      {fast['decode'] / fast['build']:8.2f}   target 0.6")


def opening(scratch: Path) -> None:
    """A patch set of 1,000,000 records, into columns."""
    root = scratch / "pairs"
    root.mkdir()
    clean = Image.open(TID / "reference_images" / "I01.png")
    clean.resize((1000, 1000)).save(root / "r.png", compress_level=1)
    Image.open(TID / "distorted_images" / "i01_08_3.png").resize((1000, 1000)).save(root / "d.png", compress_level=1)
    rows = ["reference,distorted,score,group"]
    for n in range(50):
        for kind in "rd":
            (root / f"{kind}{n:02}.png").symlink_to(root / f"{kind}.png")
        rows.append(f"r{n:02}.png,d{n:02}.png,0.5,g{n:02}")
    (root / "pairs.csv").write_text("\n".join(rows))
    # 50 images of 2,500 patches and 8 fusions.
    fusions = tuple(Fusion("blend", alpha / 8) for alpha in range(1, 9))
    settings = BuildSettings(fusions=fusions, ratio=(1.0, 0.0, 0.0))
    build("pairs", root, scratch / "million", settings=settings)

    def line_by_line() -> None:
        for path in sorted((scratch / "million").glob("shard-*.jsonl")):
            with path.open() as lines:
                _ = [json.loads(line) for line in lines]

    seconds = best({"json": line_by_line, "open": lambda: PatchSet(scratch / "million")}, 3)
    print(f"opening a patch set of {len(PatchSet(scratch / 'million')):,} records")
    print(f"  json.loads, line by line  {seconds['json']:.2f} s")
    print(f"  PatchSet                  {seconds['open']:.2f} s, into columns")
    print(f"  ratio                     {seconds['json'] / seconds['open']:.1f}   target 5")


def memory(scratch: Path) -> None:
    """Peak memory of the command for 300 and for 10,000 images: the tree repeated with links."""
    peaks = {}
    for copies in (1, 34):
        root, out = scratch / f"tree{copies}", scratch / f"built{copies}"
        lines = (TID / "mos_with_names.txt").read_text().split()
        scores = dict(zip(lines[1::2], lines[::2], strict=True))
        rows = ["reference,distorted,score,distortion,level"]
        root.mkdir()
        for copy in range(copies):
            (root / str(copy)).symlink_to(TID)
            for name, score in scores.items():
                if len(rows) <= 10_000:
                    reference = f"{copy}/reference_images/I{name[1:3]}.png"
                    rows.append(f"{reference},{copy}/distorted_images/{name},{score},{name[4:6]},{name[7]}")
        (root / "pairs.csv").write_text("\n".join(rows))
        arguments = ["build-patches", "--dataset", "pairs", "--root", root, "--out", out, "--score-range", "0,9"]
        command = [
            sys.executable,
            "-m",
            "pixq",
            *map(str, arguments),
            "--fusion",
            "copy,blend",
            "--threads",
            str(THREADS),
        ]
        # The largest child so far; the smaller build runs first, so the larger one's peak is its own.
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - started
        peaks[copies] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"peak memory of pixq build-patches, {len(rows) - 1:6,} images: {peaks[copies]:.0f} MB, {seconds:.1f} s")
        shutil.rmtree(out)
    print(f"  ratio {peaks[34] / peaks[1]:.2f}   target: under 500 MB, and the same for both")


def main() -> None:
    """Run the benchmarks that were named, or speed and opening."""
    if _core.DEBUG_BUILD:
        sys.exit("benches/end_to_end.py: this is a debug build; make build makes a release one")
    if not TID.is_dir():
        sys.exit(f"benches/end_to_end.py: no {TID}; set PIXQ_TEST_DATA to the folder of real data")
    known = {"speed": speed, "open": opening, "memory": memory}
    chosen = sys.argv[1:] or ["speed", "open"]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, pixq {_core.__version__}")
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="pixq-bench-") as scratch:
            known[name](Path(scratch))


if __name__ == "__main__":
    main()
