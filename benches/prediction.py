"""A map of a 12-megapixel pair, files to scores: against a plain loop in PyTorch; and what `import pixq` takes.

    python benches/prediction.py [cpu] [batches] [start] [cuda]

Each way is timed in processes of its own, in turn, the best of several; ratios are what counts. The plain loop is given
the number of threads that suits it best. `batches` is ONNX Runtime by the size of its batches. Real data:
../shared/data, or PIXQ_TEST_DATA.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import pixq
from pixq.predict.decoding import MEMORY, MIB, open_pair, plan
from pixq.predict.pairs import Pair
from pixq.scoring.grid import Grid
from pixq.scoring.scorer import Scorer, load

DATA = Path(os.environ.get("PIXQ_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
#: 12 megapixels.
HEIGHT, WIDTH = 3000, 4000
PATCHES = int(np.prod(Grid(HEIGHT, WIDTH).shape))
ROUNDS = 3
STARTS = 10


def make_pair(folder: Path) -> None:
    """Photos beside each other as PNG, and the same as JPEG at quality 60."""
    from PIL import Image

    photos = []
    for path in sorted((DATA / "cid22").glob("*.png")):
        with Image.open(path) as image:
            photos.append(np.asarray(image.convert("RGB")))
    side = min(min(photo.shape[:2]) for photo in photos)
    rows, columns = -(-HEIGHT // side), -(-WIDTH // side)
    chosen = [photos[number % len(photos)][:side, :side] for number in range(rows * columns)]
    whole = np.concatenate([np.concatenate(chosen[row * columns : (row + 1) * columns], axis=1) for row in range(rows)])
    picture = Image.fromarray(np.ascontiguousarray(whole[:HEIGHT, :WIDTH]))
    picture.save(folder / "reference.png")
    picture.save(folder / "distorted.jpg", quality=60)


def make_run(folder: Path) -> Path:
    """A tiny model with random weights, which take as long as others, and its ONNX file."""
    from pixq.runs.onnx_export import export_onnx
    from pixq.runs.recipe import read_recipe
    from pixq.train.loop import train
    from pixq.train.partition import by_split

    settings = pixq.BuildSettings(sampling=pixq.Sampling("random", None, 1))
    patches = pixq.PatchSet(pixq.build("tid2013", DATA / "tid2013", folder / "patches", settings=settings).out)
    train(by_split(patches), folder / "run", read_recipe("seed", ["train.epochs=0"]), device="cpu")
    export_onnx(folder / "run", folder / "run" / "model.onnx")
    return folder / "run"


# One way, in a process of its own.


def plain(folder: Path, threads: int) -> Callable[[int, int], object]:
    """As one would write it: Pillow decodes, PyTorch unfolds, and its layers score batches of 256."""
    import torch
    from PIL import Image

    from pixq.runs.load import load_model

    torch.set_num_threads(threads)
    model = load_model(folder / "run")[0].eval()
    # Its layers, and not the core's kernel for them.
    model.kernel = None

    def patches(name: str, height: int, width: int) -> torch.Tensor:
        with Image.open(folder / name) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))[:height, :width])
        return pixels.unfold(0, 20, 10).unfold(1, 20, 10).permute(0, 1, 3, 4, 2).reshape(-1, 20, 20, 3)

    def score(height: int, width: int) -> object:
        both = [patches(name, height, width) for name in ("reference.png", "distorted.jpg")]
        with torch.inference_mode():
            pairs = zip(*(each.split(256) for each in both), strict=True)
            return torch.cat([model.quality(model(*pair)) for pair in pairs])

    return score


def by_pixq(folder: Path, device: str, engine: str) -> Callable[[int, int], object]:
    scorer: Scorer = load(None) if engine == "default" else load(folder / "run", device, engine=engine)  # type: ignore[arg-type]
    pair = Pair(folder / "reference.png", folder / "distorted.jpg", "distorted")

    def score(height: int, width: int) -> object:
        opened = open_pair(plan(pair, scorer.size, 10), MEMORY * MIB)
        return scorer.map(opened.reference[:height, :width], opened.distorted[:height, :width])

    return score


def one(way: str, folder: Path) -> None:
    """Time a way after a first map of a corner, and print seconds and peak memory."""
    kind, _, detail = way.partition(":")
    call = plain(folder, int(detail)) if kind == "plain" else by_pixq(folder, kind, detail)
    started = time.perf_counter()
    call(200, 200)
    first = time.perf_counter() - started
    started = time.perf_counter()
    call(HEIGHT, WIDTH)
    print(json.dumps({"first": first, "seconds": time.perf_counter() - started, "MiB": peak()}))


def peak() -> float:
    """MiB that this process had in memory at most. Not ru_maxrss, which begins with what its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def measure(ways: dict[str, str], folder: Path) -> dict[str, dict[str, float]]:
    """The best of each way, taken in turn."""
    found: dict[str, dict[str, float]] = {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            command = [sys.executable, __file__, "--one", way, str(folder)]
            now = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            if name not in found or now["seconds"] < found[name]["seconds"]:
                found[name] = now
    return found


# What is printed.


def show(name: str, each: dict[str, float], rest: str = "") -> None:
    rate = PATCHES / each["seconds"]
    print(f"  {name:34} {each['seconds']:7.2f} s {rate:10,.0f} patches/s {each['MiB']:7,.0f} MiB{rest}")


def cpu(folder: Path) -> None:
    ways = {f"plain loop, {threads} threads": f"plain:{threads}" for threads in (1, 2)}
    ways |= {"pixq, core": "cpu:core", "pixq, ONNX Runtime": "cpu:onnx", "pixq, PyTorch": "cpu:torch"}
    ways["pixq, its default model, core"] = "cpu:default"
    found = measure(ways, folder)
    base = min(each["seconds"] for name, each in found.items() if name.startswith("plain"))
    for name, each in found.items():
        ratio = f"   ratio {base / each['seconds']:5.1f}" if name.startswith("pixq") else ""
        show(name, each, ratio + ("   target 4, under 1,500 MiB" if name == "pixq, core" else ""))


def batches(folder: Path) -> None:
    from pixq import _core
    from pixq.scoring import engines

    scorer = load(folder / "run", engine="onnx")
    opened = open_pair(plan(Pair(folder / "reference.png", folder / "distorted.jpg", "one"), 20, 10), MEMORY * MIB)
    corners = Grid(HEIGHT, WIDTH).corners[::8]
    reference, distorted = (_core.tile(image, coords=corners) for image in (opened.reference, opened.distorted))
    seconds: dict[int, float] = {}
    for _ in range(ROUNDS):
        for size in (16, 64, 256, 1024):
            engines.ONNX_BATCH = size
            started = time.perf_counter()
            scorer.scores(reference, distorted)
            seconds[size] = min(seconds.get(size, np.inf), time.perf_counter() - started)
    for size, taken in seconds.items():
        print(f"  ONNX Runtime in batches of {size:5} {len(corners) / taken:10,.0f} patches/s")


def start(_: Path) -> None:
    for name, arguments, target in (
        ("import pixq", ["-c", "import pixq"], 0.15),
        ("pixq --help", ["-m", "pixq", "--help"], 0.3),
        ("python itself", ["-c", "pass"], None),
    ):
        seconds = []
        for _ in range(STARTS):
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
            seconds.append(time.perf_counter() - started)
        rest = "" if target is None else f"   target {target} s"
        print(f"  {name:34} {statistics.median(seconds):7.3f} s, the median of {STARTS}{rest}")


def cuda(folder: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        print("  cuda: there is no GPU here")
        return
    print(f"  {torch.cuda.get_device_name(0)}")
    for name, each in measure({"pixq, PyTorch on CUDA": "cuda:torch"}, folder).items():
        show(name, each, f"   target 1 s; a first, small map {each['first']:.2f} s")


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]))
        return
    chosen = sys.argv[1:] or ["cpu", "batches", "start", "cuda"]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, pixq {pixq.__version__}"
    )
    print(f"a pair of {WIDTH}x{HEIGHT} pixels, PNG and JPEG, tiny model, stride 10: {PATCHES:,} patches")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if {"cpu", "batches", "cuda"} & set(chosen):
            if not (DATA / "cid22").is_dir():
                raise SystemExit(f"no {DATA / 'cid22'}; set PIXQ_TEST_DATA to the folder of real data")
            make_pair(folder)
            make_run(folder)
        for part, call in (("cpu", cpu), ("batches", batches), ("start", start), ("cuda", cuda)):
            if part in chosen:
                call(folder)


if __name__ == "__main__":
    main()
