"""Decoding against Pillow, over the real PNG and JPEG files of the test data.

Pillow's time is that of ``np.asarray(Image.open(file).convert("RGB"))``: what a caller writes to get the same
array. Both decoders are timed in turn on each file, in one thread, from bytes in memory and from the path; a
file's time is the least of its repeats, a group's the median of its files. Both take fresh pages from the system
for their arrays, as they do for a user; that is a large and unsteady part of Pillow's time, so `--keep-memory`
tells the allocator to keep them, and is the stricter comparison.

    python benches/decode.py [--files N] [--repeats N] [--keep-memory] [--json FILE]
"""

import argparse
import ctypes
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from pixq import _core

# Group, where its files are, the ratio that is wanted at least.
GROUPS = [
    ("PNG 512x384 (TID2013)", "tid2013/*/*.png", 3.0),
    ("PNG 512x512 (CID22)", "cid22/*.png", None),
    ("PNG 640x480 (LocJND)", "locjnd/images/*.png", None),
    ("JPEG 640x480 (LocJND)", "locjnd/images/*.jpg", 1.2),
    ("JPEG 640x480 (KonJND-1k)", "konjnd1k/images/*.jpg", None),
]


def keep_memory() -> None:
    """Have glibc neither give memory back nor fetch it anew for each array (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(-1, 1 << 30)
            libc.mallopt(-3, 1 << 25)


def pillow(source: Path | bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return np.asarray(image.convert("RGB"))


def least(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Time each call `repeats` times, taking turns, and give the least of each in seconds."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def spread(files: list[Path], count: int) -> list[Path]:
    """`count` of the files, evenly over their sorted names."""
    return files if len(files) <= count else [files[i * len(files) // count] for i in range(count)]


def bmp_files(files: Iterable[Path]) -> list[bytes]:
    """The same pictures as TID2013 publishes them: 24-bit BMP."""
    out = []
    for path in files:
        file = io.BytesIO()
        Image.open(path).save(file, "BMP")
        out.append(file.getvalue())
    return out


def measure(
    name: str, sources: list[tuple[bytes, Path | None]], wanted: float | None, repeats: int
) -> dict[str, object]:
    rows = []
    for data, path in sources:
        assert np.array_equal(_core.decode(data), pillow(data)), f"{path or name}: pixels differ"
        calls: list[Callable[[], object]] = [partial(_core.decode, data), partial(pillow, data)]
        if path is not None:
            calls += [partial(_core.decode, path), partial(pillow, path)]
        rows.append(least(calls, repeats))
    columns = [statistics.median(column) * 1e3 for column in zip(*rows, strict=True)]
    result: dict[str, object] = {"group": name, "files": len(sources), "wanted": wanted}
    result |= {"pixq_ms": columns[0], "pillow_ms": columns[1], "ratio": statistics.median(r[1] / r[0] for r in rows)}
    if len(columns) == 4:
        result |= {"pixq_path_ms": columns[2], "pillow_path_ms": columns[3]}
        result["ratio_path"] = statistics.median(r[3] / r[2] for r in rows)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=40, help="files of a group that are timed")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--keep-memory", action="store_true", help="do not time fresh pages")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    options = parser.parse_args()
    if _core.DEBUG_BUILD:
        print("this is a debug build of pixq._core; run `maturin develop --release` first", file=sys.stderr)
        return 2
    root = Path(os.environ.get("PIXQ_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        print(f"no test data in {root}; set PIXQ_TEST_DATA", file=sys.stderr)
        return 2
    if options.keep_memory:
        keep_memory()
    results = []
    print(
        f"Pillow {PIL.__version__}, {os.cpu_count()} cores; medians of per-file minima of {options.repeats}, one thread"
    )
    for name, pattern, wanted in GROUPS:
        files = spread(sorted(root.glob(pattern)), options.files)
        sources: list[tuple[bytes, Path | None]] = [(path.read_bytes(), path) for path in files]
        results.append(measure(name, sources, wanted, options.repeats))
    files = spread(sorted(root.glob("tid2013/*/*.png")), options.files)
    results.append(measure("BMP 512x384 (TID2013)", [(d, None) for d in bmp_files(files)], None, options.repeats))
    for r in results:
        line = f"{r['group']:26} {r['files']:3} files  pixq {r['pixq_ms']:6.3f} ms  Pillow {r['pillow_ms']:6.3f} ms"
        line += f"  ratio {r['ratio']:5.2f}"
        if "ratio_path" in r:
            line += f"  from the path {r['ratio_path']:5.2f}"
        if r["wanted"]:
            line += f"  (wanted {r['wanted']:.1f}: {'met' if r['ratio'] >= r['wanted'] else 'NOT MET'})"  # type: ignore[operator]
        print(line)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps({"pillow": PIL.__version__, "keep_memory": options.keep_memory, "results": results}, indent=1)
            + "\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
