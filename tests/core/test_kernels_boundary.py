"""What crosses the boundary: messages for bad input, no copies, samplers, documentation that runs."""

from __future__ import annotations

import doctest
import hashlib
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixq import _core
from support.oracles import Array

U8 = np.zeros((40, 50, 3), np.uint8)
BATCH = np.zeros((3, 20, 20, 3), np.uint8)
ROWS = np.array([0, 1], np.int64)
ORIGIN = np.zeros((1, 2), np.int64)
MASK = np.zeros((20, 20))
SIDES = "from 0 to 2147483647"
TO_SIDE = "from 1 to 2147483647"


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
    "size": (
        lambda: _core.grid(10, 10, size=0),
        ValueError,
        f"'size' is 0; expected a whole number, or (rows, columns), {TO_SIDE}",
    ),
    "half a size": (
        lambda: _core.tile(U8, size=1.5),
        TypeError,
        f"'size' is a float; expected a whole number, or (rows, columns), {TO_SIDE}",
    ),
    "half a size of two": (
        lambda: _core.tile(U8, size=(20, "20")),
        TypeError,
        f"'size' is a str; expected a whole number, or (rows, columns), {TO_SIDE}",
    ),
    "three sizes": (
        lambda: _core.local_variance(U8, size=(1, 2, 3)),
        TypeError,
        f"'size' is a tuple; expected a whole number, or (rows, columns), {TO_SIDE}",
    ),
    "stride": (
        lambda: _core.grid(10, 10, size=2, stride=(1, -1)),
        ValueError,
        f"'stride' is -1; expected a whole number, or (rows, columns), {TO_SIDE}",
    ),
    "stride and corners": (
        lambda: _core.tile(U8, stride=5, coords=ORIGIN),
        ValueError,
        "'coords' takes the place of 'stride'; give only one of them",
    ),
    "side": (lambda: _core.grid(-1, 10), ValueError, f"'height' is -1; expected a whole number {SIDES}"),
    "half a side": (lambda: _core.grid(10, 9.5), TypeError, f"'width' is a float; expected a whole number {SIDES}"),
    "endless side": (
        lambda: _core.grid(10, 10**400),
        ValueError,
        f"'width' is above 2^64; expected a whole number {SIDES}",
    ),
    "endless negative side": (
        lambda: _core.untile(BATCH, ORIGIN, -(10**400), 5),
        ValueError,
        f"'height' is below -2^63; expected a whole number {SIDES}",
    ),
    "too many patches": (
        lambda: _core.grid(2**31 - 1, 2**31 - 1, size=1),
        ValueError,
        "that is more than 67108864 patches; cut fewer at a time",
    ),
    "too many patches to choose": (
        lambda: _core.sample_random(2**30, 2**30, 2**62, seed=0, key=""),
        ValueError,
        "that is more than 67108864 patches; cut fewer at a time",
    ),
    "too many corners": (
        lambda: _core.tile(U8, coords=np.broadcast_to(ORIGIN, (2**40, 2))),
        ValueError,
        "that is more than 67108864 patches; cut fewer at a time",
    ),
    "too many rows": (
        lambda: _core.fuse_rows(BATCH, BATCH, np.broadcast_to(ROWS[:1], (2**40,)), ROWS),
        ValueError,
        "that is more than 67108864 patches; cut fewer at a time",
    ),
    "too large an image": (
        lambda: _core.untile(BATCH[:0], ORIGIN[:0], 2**62, 2**62),
        ValueError,
        f"'height' is {2**62}; expected a whole number {SIDES}",
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
    "half a roi": (
        lambda: _core.fuse(BATCH, BATCH, roi=(4.0, 4, 12, 12)),
        TypeError,
        "'roi' is a float; expected four whole numbers (y, x, height, width) from "
        "-9223372036854775808 to 9223372036854775807",
    ),
    "endless roi": (
        lambda: _core.psnr(U8, U8, roi=(0, 0, 10**400, 12)),
        ValueError,
        "'roi' is above 2^64; expected four whole numbers (y, x, height, width) from "
        "-9223372036854775808 to 9223372036854775807",
    ),
    "three quarters of a roi": (
        lambda: _core.feather_mask(20, 20, roi=(4, 4, 12), feather=1),
        TypeError,
        "'roi' is a tuple; expected four whole numbers (y, x, height, width)",
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
    "alpha of a copy": (
        lambda: _core.fuse(BATCH, BATCH, fusion="copy", alpha=7),
        ValueError,
        "alpha is 7; expected a number from 0 to 1",
    ),
    "alpha of a copy in a list": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, fusions=[("copy", -1.0)]),
        ValueError,
        "alpha is -1; expected a number from 0 to 1",
    ),
    "alpha of text": (
        lambda: _core.fuse(BATCH, BATCH, fusion="blend", alpha="half"),
        TypeError,
        "'alpha' is a str; expected a number",
    ),
    "endless alpha": (
        lambda: _core.fuse(BATCH, BATCH, alpha=10**400),
        ValueError,
        "'alpha' is beyond what a float holds; expected a smaller number",
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
    "fusion that is no text": (
        lambda: _core.fuse(BATCH, BATCH, fusion=3),
        TypeError,
        "'fusion' is a int; expected a str",
    ),
    "fusions that are no pairs": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, fusions=["copy"]),
        TypeError,
        "'fusions' is not a sequence of (name, alpha); give for example [(\"blend\", 0.5)]",
    ),
    "mask and fusion": (
        lambda: _core.fuse(BATCH, BATCH, mask=MASK, fusion="nonsense"),
        ValueError,
        "'mask' takes the place of 'fusion'; give only one of them",
    ),
    "mask and alpha": (
        lambda: _core.fuse(BATCH, BATCH, mask=MASK, alpha=0.5),
        ValueError,
        "'mask' takes the place of 'alpha'; give only one of them",
    ),
    "mask and roi": (
        lambda: _core.fuse(BATCH, BATCH, mask=MASK, roi=(4, 4, 12, 12)),
        ValueError,
        "'mask' takes the place of 'roi'; give only one of them",
    ),
    "masks shape": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, masks=[MASK, MASK[1:]]),
        ValueError,
        "'masks[1]' has shape (19, 20); expected (20, 20), that of a patch",
    ),
    "masks dtype": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, masks=[MASK.astype(np.float32)]),
        TypeError,
        "'masks[0]' has dtype float32 and shape (20, 20); expected a float64 array of shape (height, width): "
        "a weight for each pixel",
    ),
    "masks weight": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, masks=[MASK, MASK + 1.5]),
        ValueError,
        "a weight of 'masks[1]' is 1.5; expected a number from 0 to 1",
    ),
    "masks that are no sequence": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, masks=1.0),
        TypeError,
        "'masks' is a float; expected a sequence of float64 arrays of shape (height, width)",
    ),
    "one mask for masks": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, masks=MASK),
        TypeError,
        "'masks[0]' has dtype float64 and shape (20,); expected a float64 array of shape (height, width): "
        "a weight for each pixel",
    ),
    "which of masks": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, masks=[MASK], which=np.array([0, 1], np.uint8)),
        ValueError,
        "an element of 'which' is 1; expected an index into 'fusions' and 'masks'",
    ),
    "masks need a roi to measure": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, size=8, masks=[MASK[:8, :8]]),
        ValueError,
        "'roi' is needed for patches of 8x8; give (y, x, height, width)",
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
        "an element of 'which' is 1; expected an index into 'fusions' and 'masks'",
    ),
    "no fusions": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, fusions=[]),
        ValueError,
        "fusions is empty; expected at least one, or a mask",
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
        f"'feather' is -1; expected a whole number {SIDES}",
    ),
    "feather of nothing": (
        lambda: _core.feather_mask(0, 20, roi=(4, 4, 12, 12), feather=1),
        ValueError,
        f"'height' is 0; expected a whole number {TO_SIDE}",
    ),
    "feather weight of text": (
        lambda: _core.feather_mask(20, 20, roi=(4, 4, 12, 12), feather=1, outside="0"),
        TypeError,
        "'outside' is a str; expected a number",
    ),
    "feather weight": (
        lambda: _core.feather_mask(20, 20, roi=(4, 4, 12, 12), feather=1, inside=2.0),
        ValueError,
        "inside is 2; expected a number from 0 to 1",
    ),
    "data_range of text": (
        lambda: _core.psnr(U8, U8, data_range="1"),
        TypeError,
        "'data_range' is a str; expected a number",
    ),
    "n": (
        lambda: _core.sample_random(40, 40, -1, seed=0, key=""),
        ValueError,
        "'n' is -1; expected a whole number from 0 to 9223372036854775807",
    ),
    "negative seed": (
        lambda: _core.sample_random(40, 40, 1, seed=-1, key=""),
        ValueError,
        "'seed' is -1; expected a whole number from 0 to 18446744073709551615",
    ),
    "huge seed": (
        lambda: _core.sample_texture(U8, 1, seed=2**64, key=""),
        ValueError,
        "'seed' is above 2^64; expected a whole number from 0 to 18446744073709551615",
    ),
    "half a seed": (
        lambda: _core.sample_texture(U8, 1, seed=0.5, key=""),
        TypeError,
        "'seed' is a float; expected a whole number from 0 to 18446744073709551615",
    ),
    "key": (
        lambda: _core.sample_random(40, 40, 1, seed=0, key=7),
        TypeError,
        "'key' is a int; expected a str",
    ),
    "key of surrogates": (
        lambda: _core.sample_random(40, 40, 1, seed=0, key="\ud800"),
        ValueError,
        "'key' holds surrogates; expected text that is valid Unicode",
    ),
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
        "64000000 numbers of 64 bytes do not fit memory",
        "67108864 numbers of 64 bytes do not fit memory",
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
    *("tiny_score", "tiny_score_at", "equal_at", "monotone_score_at"),
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
    assert functions - set(DOCUMENTED) == {"build_shard", "read_records"}
    for name in ("build_shard", "read_records"):
        assert all(section in getattr(_core, name).__doc__ for section in ("Parameters", "Returns", "Raises"))
