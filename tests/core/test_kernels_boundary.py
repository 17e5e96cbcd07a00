"""What crosses the boundary: limits of size and memory, no copies, documentation that runs."""

from __future__ import annotations

import doctest
import hashlib
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixq import _core

U8 = np.zeros((40, 50, 3), np.uint8)
BATCH = np.zeros((3, 20, 20, 3), np.uint8)
ROWS = np.array([0, 1], np.int64)
ORIGIN = np.zeros((1, 2), np.int64)
MASK = np.zeros((20, 20))

HUGE = (2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**64, 10**400)


@pytest.mark.parametrize("height", [5, *HUGE])
@pytest.mark.parametrize("width", [5, *HUGE])
def test_huge_numbers_are_refused_before_memory_is_taken(height: int, width: int) -> None:
    if height == width == 5:
        return  # the one that is not huge
    refused = pytest.raises((ValueError, MemoryError))
    with refused:
        _core.grid(height, width, size=1)
    with refused:
        _core.sample_random(height, width, 2**62, seed=0, key="", size=1)
    for size in (height, (height, 5), (5, height), (height, width)):
        if size not in (5, (5, 5)):
            with refused:
                _core.tile(U8, size=size, coords=ORIGIN)
            with refused:
                _core.local_variance(U8, size=size)
    if height * width > 2**40:
        with refused:
            _core.untile(BATCH[:0], ORIGIN[:0], height, width)
        with refused:
            _core.feather_mask(height, width, roi=(0, 0, 1, 1), feather=0)
    if max(height, width) >= 2**31:
        with refused:
            _core.sample_random(height, width, 5, seed=0, key="", size=1)
    else:
        corners = _core.sample_random(height, width, 5, seed=0, key="", size=1)
        assert len({tuple(corner) for corner in corners.tolist()}) == 5
        assert np.all((corners >= 0) & (corners < (height, width)))


def test_images_larger_than_memory_are_refused() -> None:
    # One row, so often that the pixels fill the whole address space.
    size = (2**31 - 1, 2**16)
    image = np.broadcast_to(np.zeros((1, size[1]), np.uint8), size)
    mask = np.broadcast_to(MASK[:1, :1], image.shape)
    for call in (
        lambda: _core.fuse(image, image, mask=mask),
        lambda: _core.fuse_at(image, image, ORIGIN, size=size, roi=(0, 0, 1, 1), fusions=[]),
        lambda: _core.fuse_at(image, image, ORIGIN, size=size, roi=(0, 0, 1, 1)),
        lambda: _core.tile(image, size=size),
        lambda: _core.local_variance(image),
        lambda: _core.sample_texture(image, 5, seed=0, key=""),
    ):
        with pytest.raises(MemoryError):
            call()


LITTLE_MEMORY = """
import resource
from pixq import _core

resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for call in (
    lambda: _core.grid(8000, 8000, size=1),
    lambda: _core.sample_random(2**31 - 1, 8000, 2**26, seed=0, key="", size=1),
):
    try:
        call()
    except MemoryError as error:
        print(error)
"""


def test_too_little_memory_is_an_error() -> None:
    # Rust's own vectors would abort the process.
    done = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "64000000 items of 64 bytes do not fit in memory",
        "67108864 items of 64 bytes do not fit in memory",
    ]


def test_options_are_keywords() -> None:
    with pytest.raises(TypeError, match="positional"):
        _core.tile(U8, 20)


def test_empty_and_odd_but_lawful_arrays() -> None:
    assert _core.tile(np.zeros((0, 50, 3), np.uint8)).shape == (0, 20, 20, 3)
    assert _core.tile(U8[:, :0]).shape == (0, 20, 20, 3)
    assert _core.tile(U8[::-1][:19]).shape == (0, 20, 20, 3)
    assert _core.fuse(BATCH[:0], BATCH[:0]).shape == (0, 20, 20, 3)
    assert _core.psnr(BATCH[:0], BATCH[:0]).shape == (0,)
    assert _core.untile(BATCH[:0], ORIGIN[:0], 0, 5).shape == (0, 5, 3)
    assert _core.fuse_rows(BATCH, BATCH, ROWS[:0], ROWS[:0]).shape == (0, 20, 20, 3)
    fused, psnr, psnr_roi = _core.fuse_at(U8, U8, ORIGIN, fusions=[])
    assert (fused, psnr.shape, psnr_roi.shape) == ([], (0, 1), (0, 1))
    # One row or one column: NumPy may give such axes any stride.
    assert _core.mse(U8[:1, ::7][:, :1], U8[5:6, 3:4]) == 0.0
    # A broadcast image has a row stride of 0.
    assert _core.mse(np.broadcast_to(U8[:1], U8.shape), U8) == 0.0


def test_inputs_are_read_where_they_are(tmp_path: Path) -> None:
    # A sparse file larger than memory, read-only: a copy of it would not fit, and reading it all would take minutes.
    side = 300_000
    path = tmp_path / "image.raw"
    with path.open("wb") as file:
        file.truncate(side * side)
        file.seek(side * side - 1)
        file.write(b"\x07")
    image = np.memmap(path, np.uint8, "r", shape=(side, side))
    corner = np.array([[side - 20, side - 20]])
    expected = np.zeros((1, 20, 20), np.uint8)
    expected[0, -1, -1] = 7
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert np.array_equal(_core.tile(image, coords=corner), expected)
    assert np.array_equal(_core.fuse_at(image, image[::-1], corner, fusions=[("paste", 0.0)])[0][0], expected)
    assert _core.mse(image, image[::-1], roi=(side - 1, side - 1, 1, 1)) == 49.0
    patches = np.memmap(path, np.uint8, "r", shape=(side * side // 1200, 20, 20, 3))
    last = np.array([len(patches) - 1])
    assert _core.fuse_rows(patches, patches[::-1], last, last).shape == (1, 20, 20, 3)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # kB


def test_read_only_inputs_are_taken_and_left_alone() -> None:
    rng = np.random.default_rng(0)
    pair = [rng.integers(0, 256, (40, 50, 3), np.uint8) for _ in range(2)]
    digests = [hashlib.sha256(image).digest() for image in pair]
    for image in pair:
        image.flags.writeable = False
    coords = _core.grid(40, 50)
    coords.flags.writeable = False
    fused, _, _ = _core.fuse_at(*pair, coords)
    assert all(array.flags.writeable and array.flags.owndata for array in fused)
    assert not any(np.shares_memory(array, image) for array in fused for image in pair)
    assert _core.fuse(pair[0], pair[0], fusion="none") is not pair[0]
    assert [hashlib.sha256(image).digest() for image in pair] == digests


DOCUMENTED = (
    *("grid", "tile", "untile", "fuse", "fuse_rows", "fuse_at", "feather_mask", "mse", "psnr", "local_variance"),
    *("sample_random", "sample_texture", "set_num_threads", "num_threads", "decode", "probe", "checksum"),
    "compose",
    *("formats", "fusions"),
    *("tiny_score", "score_at", "equal_at", "visible_differences"),
)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documentation_runs(name: str) -> None:
    function = getattr(_core, name)
    test = doctest.DocTestParser().get_doctest(function.__doc__, {name: function}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_every_function_is_documented() -> None:
    functions = {name for name in dir(_core) if callable(getattr(_core, name)) and name not in ("Progress", "TinyTape")}
    # Whole builds and their records, for which an example would need a dataset.
    assert functions - set(DOCUMENTED) == {"build_shard", "read_records", "decoding_stops", "stop_decoding"}
    for name in ("build_shard", "read_records"):
        assert all(section in getattr(_core, name).__doc__ for section in ("Parameters", "Returns", "Raises"))
