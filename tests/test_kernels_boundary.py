"""What crosses the boundary: messages for bad input, no copies, samplers, documentation that runs."""

from __future__ import annotations

import doctest
import hashlib
import math
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles import Array
from pixq import _core

U8 = np.zeros((40, 50, 3), np.uint8)
BATCH = np.zeros((3, 20, 20, 3), np.uint8)
ROWS = np.array([0, 1], np.int64)
ORIGIN = np.zeros((1, 2), np.int64)


def misaligned(shape: tuple[int, ...]) -> Array:
    """A uint16 array that begins at an odd address."""
    memory = np.zeros(2 * math.prod(shape) + 2, np.uint8)
    odd = 1 - memory.ctypes.data % 2
    return memory[odd : odd + 2 * math.prod(shape)].view(np.uint16).reshape(shape)


def between_samples() -> Array:
    """float32 rows whose stride is not a whole number of samples."""
    rows = np.zeros(4, np.dtype([("row", np.float32, 3), ("byte", np.uint8)]))
    return np.asarray(rows["row"])


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "dtype": (
        lambda: _core.psnr(U8, U8.astype(np.int64)),
        TypeError,
        "'distorted' has dtype int64; expected uint8, uint16 or float32",
    ),
    "byte order": (
        lambda: _core.tile(np.zeros((20, 20), ">u2")),
        TypeError,
        "'image' has dtype >u2; expected uint8, uint16 or float32",
    ),
    "bool": (lambda: _core.tile(U8 > 0), TypeError, "'image' has dtype bool; expected uint8, uint16 or float32"),
    "two dtypes": (
        lambda: _core.fuse(U8, U8.astype(np.uint16), roi=(0, 0, 1, 1)),
        TypeError,
        "'distorted' has dtype uint16 but 'reference' has uint8; make them the same",
    ),
    "list": (lambda: _core.tile([[1]]), TypeError, "'image' is a list; expected a numpy array"),
    "shapes": (
        lambda: _core.psnr(U8, U8[1:]),
        ValueError,
        "'distorted' has shape (39, 50, 3) but 'reference' has (40, 50, 3); make them the same",
    ),
    "four channels": (
        lambda: _core.tile(np.zeros((20, 20, 4), np.uint8)),
        ValueError,
        "'image' has shape (20, 20, 4); expected (height, width) or (height, width, 1 or 3)",
    ),
    "a line": (
        lambda: _core.mse(np.zeros(3, np.uint8), np.zeros(3, np.uint8)),
        ValueError,
        "'reference' has shape (3,); expected (height, width) or (height, width, 1 or 3)",
    ),
    "not a batch": (
        lambda: _core.untile(np.zeros((2, 2), np.uint8), ORIGIN, 4, 4),
        ValueError,
        "'patches' has shape (2, 2); expected (n, height, width) or (n, height, width, 1 or 3)",
    ),
    "every other column": (
        lambda: _core.tile(U8[:, ::2]),
        ValueError,
        "'image' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray of it",
    ),
    "BGR": (
        lambda: _core.psnr(U8, U8[..., ::-1]),
        ValueError,
        "'distorted' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray of it",
    ),
    "planes first": (
        lambda: _core.tile(np.zeros((3, 20, 20), np.uint8).transpose(1, 2, 0)),
        ValueError,
        "'image' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray of it",
    ),
    "odd address": (
        lambda: _core.tile(misaligned((20, 20))),
        ValueError,
        "'image' is not aligned to its dtype in memory; pass a copy of it (numpy.array)",
    ),
    "odd stride": (
        lambda: _core.local_variance(between_samples(), size=1),
        ValueError,
        "'image' is not aligned to its dtype in memory; pass a copy of it (numpy.array)",
    ),
    "corner outside": (
        lambda: _core.tile(U8, coords=np.array([[0, 0], [21, 5]])),
        ValueError,
        "the patch (y=21, x=5, height=20, width=20) does not lie inside 40x50",
    ),
    "corner outside of two images": (
        lambda: _core.fuse_at(U8, U8, np.array([[0, 31]])),
        ValueError,
        "the patch (y=0, x=31, height=20, width=20) does not lie inside 40x50",
    ),
    "negative corner": (
        lambda: _core.tile(U8, coords=np.array([[0, -1]])),
        ValueError,
        "the patch at (y=0, x=-1) does not lie inside the image",
    ),
    "huge corner": (
        lambda: _core.tile(U8, coords=np.array([[2**63 - 1, 0]])),
        ValueError,
        "the patch (y=9223372036854775807, x=0, height=20, width=20) does not lie inside 40x50",
    ),
    "patch larger than image": (
        lambda: _core.tile(U8, size=41, coords=ORIGIN),
        ValueError,
        "the patch (y=0, x=0, height=41, width=41) does not lie inside 40x50",
    ),
    "corner dtype": (
        lambda: _core.tile(U8, coords=np.zeros((1, 2), np.int32)),
        TypeError,
        "'coords' has dtype int32 and shape (1, 2); expected an int64 array of shape (n, 2): y, x of each patch",
    ),
    "corner shape": (
        lambda: _core.tile(U8, coords=np.zeros((2, 3), np.int64)),
        ValueError,
        "'coords' has shape (2, 3); expected an int64 array of shape (n, 2): y, x of each patch",
    ),
    "corner list": (
        lambda: _core.tile(U8, coords=[[0, 0]]),
        TypeError,
        "'coords' is a list; expected a numpy array: an int64 array of shape (n, 2): y, x of each patch",
    ),
    "corners and patches": (
        lambda: _core.untile(BATCH, ORIGIN, 40, 40),
        ValueError,
        "coords has shape [1, 2]; expected [3, 2]",
    ),
    "size": (lambda: _core.grid(10, 10, size=0), ValueError, "'size' is 0x0; expected at least 1x1"),
    "stride": (
        lambda: _core.grid(10, 10, size=2, stride=(1, -1)),
        ValueError,
        "'stride' is 1x-1; expected at least 1x1",
    ),
    "side": (lambda: _core.grid(-1, 10), ValueError, "'height' is -1; expected at least 0"),
    "too many patches": (
        lambda: _core.grid(2**40, 2**40, size=1),
        ValueError,
        "that is more than 268435456 patches; cut fewer at a time",
    ),
    "too large an image": (
        lambda: _core.untile(BATCH[:0], ORIGIN[:0], 2**62, 2**62),
        ValueError,
        "array is too big; `arr.size * arr.dtype.itemsize` is larger than the maximum possible size.",
    ),
    "roi outside": (
        lambda: _core.fuse(BATCH, BATCH, roi=(9, 0, 12, 12)),
        ValueError,
        "roi (y=9, x=0, height=12, width=12) does not lie inside 20x20",
    ),
    "negative roi": (
        lambda: _core.mse(U8, U8, roi=(-1, 0, 12, 12)),
        ValueError,
        "roi (y=-1, x=0, height=12, width=12) does not lie inside 40x50",
    ),
    "empty roi": (
        lambda: _core.mse(U8, U8, roi=(0, 0, 0, 12)),
        ValueError,
        "roi (y=0, x=0, height=0, width=12) does not lie inside 40x50",
    ),
    "negative roi height": (
        lambda: _core.mse(U8, U8, roi=(0, 0, -2, 12)),
        ValueError,
        "the RoI is -2x12; expected at least 1x1",
    ),
    "no roi": (
        lambda: _core.fuse(U8, U8),
        ValueError,
        "'roi' is needed for patches of 40x50; give (y, x, height, width)",
    ),
    "alpha": (
        lambda: _core.fuse(BATCH, BATCH, fusion="blend", alpha=1.5),
        ValueError,
        "alpha is 1.5; expected a number from 0 to 1",
    ),
    "alpha NaN": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, fusions=[("blend", math.nan)]),
        ValueError,
        "alpha is NaN; expected a number from 0 to 1",
    ),
    "fusion": (
        lambda: _core.fuse(BATCH, BATCH, fusion="mix"),
        ValueError,
        '\'fusion\' is "mix"; expected "none", "copy", "blend" or "paste"',
    ),
    "mask shape": (
        lambda: _core.fuse(BATCH, BATCH, mask=np.zeros((20, 21))),
        ValueError,
        "'mask' has shape (20, 21); expected (20, 20), that of a patch",
    ),
    "mask dtype": (
        lambda: _core.fuse(BATCH, BATCH, mask=np.zeros((20, 20), np.float32)),
        TypeError,
        "'mask' has dtype float32 and shape (20, 20); expected a float64 array of shape (height, width): "
        "a weight for each pixel",
    ),
    "mask NaN": (
        lambda: _core.fuse(BATCH, BATCH, mask=np.full((20, 20), math.nan)),
        ValueError,
        "a weight of 'mask' is NaN; expected a number from 0 to 1",
    ),
    "row": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, np.array([0, 3])),
        IndexError,
        "'distorted_rows' has row 3, but there are 3",
    ),
    "negative row": (
        lambda: _core.fuse_rows(BATCH, BATCH, -ROWS, ROWS),
        IndexError,
        "'reference_rows' has row -1, but there are 3",
    ),
    "row dtype": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS.astype(np.int32), ROWS),
        TypeError,
        "'reference_rows' has dtype int32 and shape (2,); expected an int64 array of shape (n,)",
    ),
    "row counts": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS[:1]),
        ValueError,
        "distorted_rows has shape [1]; expected [2]",
    ),
    "which": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, which=np.array([0, 1], np.uint8)),
        ValueError,
        "an element of 'which' is 1; expected an index into 'fusions'",
    ),
    "no fusions": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, fusions=[]),
        ValueError,
        "fusions is empty; expected at least one",
    ),
    "two patch sizes": (
        lambda: _core.fuse_rows(BATCH, BATCH[:, 1:], ROWS, ROWS),
        ValueError,
        "'distorted' has shape (3, 19, 20, 3); expected patches like those of 'reference', (3, 20, 20, 3)",
    ),
    "data_range": (
        lambda: _core.psnr(U8, U8, data_range=0.0),
        ValueError,
        "data_range is 0; expected a finite number above 0",
    ),
    "infinite data_range": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, data_range=math.inf),
        ValueError,
        "data_range is inf; expected a finite number above 0",
    ),
    "no pixels": (
        lambda: _core.mse(U8[:0], U8[:0]),
        ValueError,
        "the shape of 'reference' is [0, 50, 3]; expected at least one sample",
    ),
    "box larger than image": (
        lambda: _core.local_variance(U8, size=41),
        ValueError,
        "the box (y=0, x=0, height=41, width=41) does not lie inside 40x50",
    ),
    "feather": (
        lambda: _core.feather_mask(20, 20, roi=(4, 4, 12, 12), feather=-1),
        ValueError,
        "'feather' is -1; expected at least 0",
    ),
    "feather weight": (
        lambda: _core.feather_mask(20, 20, roi=(4, 4, 12, 12), feather=1, inside=2.0),
        ValueError,
        "inside is 2; expected a number from 0 to 1",
    ),
    "n": (lambda: _core.sample_random(40, 40, -1, seed=0, key=""), ValueError, "'n' is -1; expected at least 0"),
    "threads": (lambda: _core.set_num_threads(0), ValueError, "the number of threads is 0; expected 1 to 1024"),
    "negative threads": (
        lambda: _core.set_num_threads(-3),
        ValueError,
        "the number of threads is -3; expected 1 to 1024",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    call, kind, message = BAD[case]
    with pytest.raises(kind) as caught:
        call()
    assert caught.type is kind
    assert str(caught.value) == message


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
    *("sample_random", "sample_texture", "set_num_threads", "num_threads"),
)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documentation_runs(name: str) -> None:
    test = doctest.DocTestParser().get_doctest(getattr(_core, name).__doc__, {}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
