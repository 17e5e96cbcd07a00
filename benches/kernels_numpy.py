"""One pass of the core against the same work in vectorised NumPy, one thread, timed in turns.

`python benches/kernels_numpy.py` cuts 20x20 patches on a grid, makes `copy` and `blend` (alpha 0.5) of each and
measures the PSNR of patch and RoI, at two image sizes. The best of alternating runs counts: another process can only
slow one down.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pixq import _core

Array = np.ndarray[Any, np.dtype[Any]]
TARGET = 8.0


def cut(image: Array) -> Array:
    """The patches of an image on a grid, by reshaping."""
    rows, columns = image.shape[0] // 20, image.shape[1] // 20
    blocks = image[: rows * 20, : columns * 20].reshape(rows, 20, columns, 20, 3)
    return np.ascontiguousarray(blocks.swapaxes(1, 2)).reshape(-1, 20, 20, 3)


def psnr(squares: Array) -> Array:
    """The PSNR of each patch from its squared errors."""
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255.0**2 / squares.mean(axis=(1, 2, 3))))


def by_numpy(reference: Array, distorted: Array) -> tuple[list[Array], Array, Array]:
    """Copy, blend and their PSNRs, with integers where they are faster and no loop over patches."""
    clean, copy = cut(reference), cut(distorted)
    blend = copy.copy()
    inside = np.s_[:, 4:16, 4:16]
    r, d = clean[inside], copy[inside]
    blend[inside] = (r.astype(np.uint16) + d + 1) >> 1
    copy[inside] = r
    errors = [np.square(np.subtract(clean, fused, dtype=np.int32)) for fused in (copy, blend)]
    return [copy, blend], np.stack([psnr(e) for e in errors]), np.stack([psnr(e[inside]) for e in errors])


def best(runs: list[Callable[[], object]], seconds: float) -> list[float]:
    """The best time of each run, taking turns for so many seconds."""
    times = [float("inf")] * len(runs)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            times[i] = min(times[i], time.perf_counter() - start)
    return times


def main() -> int:
    """Print the ratios."""
    if _core.DEBUG_BUILD:
        print("this is a debug build, whose times mean nothing; build with --release", file=sys.stderr)
        return 2
    _core.set_num_threads(1)
    rng = np.random.default_rng(0)
    for height, width, seconds in ((384, 512, 3.0), (3000, 4000, 20.0)):
        reference, distorted = (rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2))
        coords = _core.grid(height, width)
        found, expected = _core.fuse_at(reference, distorted, coords), by_numpy(reference, distorted)
        assert all(np.array_equal(a, b) for a, b in zip(found[0], expected[0], strict=True))
        assert np.allclose(found[1], expected[1], rtol=1e-12)
        assert np.allclose(found[2], expected[2], rtol=1e-12)
        del found, expected
        core, numpy = best(
            [lambda: _core.fuse_at(reference, distorted, coords), lambda: by_numpy(reference, distorted)],  # noqa: B023
            seconds,
        )
        ratio = numpy / core
        told = "met" if ratio >= TARGET else "NOT MET"
        print(
            f"{height}x{width}: pixq {core * 1e3:.3f} ms ({core / len(coords) * 1e9:.0f} ns a patch), "
            f"NumPy {numpy * 1e3:.2f} ms; ratio {ratio:.1f} (wanted {TARGET:g}: {told})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
