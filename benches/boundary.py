"""What a call from Python costs more than the core's own work.

`python benches/boundary.py` times calls on one 20x20 patch, where the core's work is nearly nothing, and subtracts what
the core alone takes. That is given in nanoseconds as `--core fuse_at=NS`; it is criterion's `one patch` group of
`cargo bench -p pixq-core --bench kernels`. Without it nothing is subtracted, and the whole call has to meet the target.
"""

from __future__ import annotations

import argparse
import sys
import timeit
from collections.abc import Callable

import numpy as np

from pixq import _core

TARGET = 5.0  # microseconds


def main() -> int:
    """Print the microseconds of each call; 1 if one takes more than the target beyond the core."""
    parser = argparse.ArgumentParser(description="What a call from Python costs more than the core's own work.")
    parser.add_argument("--core", action="append", default=[], metavar="NAME=NS", help="the core's own time")
    core = {name: float(ns) / 1e3 for name, _, ns in (given.partition("=") for given in parser.parse_args().core)}
    if _core.DEBUG_BUILD:
        print("this is a debug build, whose times mean nothing; build with --release", file=sys.stderr)
        return 2
    rng = np.random.default_rng(0)
    reference, distorted = (rng.integers(0, 256, (20, 20, 3), np.uint8) for _ in range(2))
    batches = reference[None], distorted[None]
    corner, row = np.zeros((1, 2), np.int64), np.zeros(1, np.int64)
    calls: dict[str, Callable[[], object]] = {
        "grid": lambda: _core.grid(20, 20),
        "tile": lambda: _core.tile(reference, coords=corner),
        "untile": lambda: _core.untile(batches[0], corner, 20, 20),
        "fuse": lambda: _core.fuse(reference, distorted, fusion="blend"),
        "fuse_rows": lambda: _core.fuse_rows(*batches, row, row),
        "fuse_at": lambda: _core.fuse_at(reference, distorted, corner),
        "mse": lambda: _core.mse(reference, distorted),
        "psnr": lambda: _core.psnr(reference, distorted),
        "local_variance": lambda: _core.local_variance(reference),
    }
    missed = False
    for name, call in calls.items():
        microseconds = min(timeit.repeat(call, number=2000, repeat=20)) / 2000 * 1e6
        more = microseconds - core.get(name, 0.0)
        missed |= more > TARGET
        print(f"{name}: {microseconds:.2f} us a call, {more:.2f} beyond the core (target {TARGET:g})")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
