"""What a call from Python costs more than the core's own work.

`pytest benches` times calls on one 20x20 patch, where the core's work is nearly nothing, and the same calls on 65 of
them; pytest-benchmark's table has both. The report ends with the call's cost beyond the bare core, whose time for one
patch is what each of the 64 others adds. `grid` and `local_variance` do not work by patches: the whole call
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pixq import _core

Array = np.ndarray[Any, np.dtype[Any]]

# 65 patches and their outputs of 78 kB: no larger, as the system gives larger ones fresh pages, which take longer than
# the core.
MANY = 65

WHOLE: dict[str, Callable[[], object]] = {
    "grid": lambda: _core.grid(20, 20),
    "local_variance": lambda: _core.local_variance(REFERENCE[0]),
}
BY_PATCHES: dict[str, Callable[[int], object]] = {
    "tile": lambda n: _core.tile(REFERENCE[0], coords=CORNERS[:n]),
    "untile": lambda n: _core.untile(REFERENCE[:n], CORNERS[:n], 20, 20),
    "fuse": lambda n: _core.fuse(REFERENCE[:n], DISTORTED[:n], fusion="blend"),
    "fuse, mask": lambda n: _core.fuse(REFERENCE[:n], DISTORTED[:n], mask=MASK),
    "fuse_rows": lambda n: _core.fuse_rows(REFERENCE, DISTORTED, ROWS[:n], ROWS[:n]),
    "fuse_at": lambda n: _core.fuse_at(REFERENCE[0], DISTORTED[0], CORNERS[:n]),
    "mse": lambda n: _core.mse(REFERENCE[:n], DISTORTED[:n]),
    "psnr": lambda n: _core.psnr(REFERENCE[:n], DISTORTED[:n]),
}

RNG = np.random.default_rng(0)
REFERENCE, DISTORTED = (RNG.integers(0, 256, (MANY, 20, 20, 3), np.uint8) for _ in range(2))
CORNERS, ROWS = np.zeros((MANY, 2), np.int64), np.zeros(MANY, np.int64)
MASK = _core.feather_mask(20, 20, roi=(4, 4, 12, 12), feather=3)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Calls on one thread, in a release build."""
    if _core.DEBUG_BUILD:
        pytest.fail("this is a debug build, whose times mean nothing; build with --release")
    before = _core.num_threads()
    _core.set_num_threads(1)
    yield
    _core.set_num_threads(before)


@pytest.mark.parametrize("patches", [1, MANY])
@pytest.mark.parametrize("name", BY_PATCHES)
def test_call_on_patches(benchmark: Any, name: str, patches: int) -> None:
    benchmark.group = name
    benchmark.extra_info.update(name=name, patches=patches)
    benchmark(BY_PATCHES[name], patches)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_call(benchmark: Any, name: str) -> None:
    benchmark.group = name
    benchmark.extra_info.update(name=name, patches=1)
    benchmark(WHOLE[name])
