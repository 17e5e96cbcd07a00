"""Messages of the core for arrays of a wrong type, shape or layout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pixq import _core
from support.oracles import Array
from support.refusals import check_refusal

U8 = np.zeros((40, 50, 3), np.uint8)
BATCH = np.zeros((3, 20, 20, 3), np.uint8)
ROWS = np.array([0, 1], np.int64)
ORIGIN = np.zeros((1, 2), np.int64)
MASK = np.zeros((20, 20))
SIDES = "from 0 to 2147483647"


def misaligned(shape: tuple[int, ...]) -> Array:
    """A uint16 array that begins at an odd address."""
    memory = np.zeros(2 * math.prod(shape) + 2, np.uint8)
    odd = 1 - memory.ctypes.data % 2
    return memory[odd : odd + 2 * math.prod(shape)].view(np.uint16).reshape(shape)


def between_samples() -> Array:
    """float32 rows whose stride is not a whole number of samples."""
    rows = np.zeros(4, np.dtype([("row", np.float32, 3), ("byte", np.uint8)]))
    return np.asarray(rows["row"])


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
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
        "'image' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray(...)",
    ),
    "BGR": (
        lambda: _core.psnr(U8, U8[..., ::-1]),
        ValueError,
        "'distorted' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray(...)",
    ),
    "planes first": (
        lambda: _core.tile(np.zeros((3, 20, 20), np.uint8).transpose(1, 2, 0)),
        ValueError,
        "'image' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray(...)",
    ),
    "odd address": (
        lambda: _core.tile(misaligned((20, 20))),
        ValueError,
        "'image' is not aligned to its dtype in memory; pass a copy (numpy.array)",
    ),
    "odd stride": (
        lambda: _core.local_variance(between_samples(), size=1),
        ValueError,
        "'image' is not aligned to its dtype in memory; pass a copy (numpy.array)",
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
        "'coords' has dtype int32 and shape (1, 2); expected an int64 array of shape (n, 2), the y and x of each patch",
    ),
    "corner shape": (
        lambda: _core.tile(U8, coords=np.zeros((2, 3), np.int64)),
        ValueError,
        "'coords' has shape (2, 3); expected an int64 array of shape (n, 2), the y and x of each patch",
    ),
    "corner list": (
        lambda: _core.tile(U8, coords=[[0, 0]]),
        TypeError,
        "'coords' is a list; expected a numpy array, an int64 array of shape (n, 2), the y and x of each patch",
    ),
    "corners and patches": (
        lambda: _core.untile(BATCH, ORIGIN, 40, 40),
        ValueError,
        "coords has shape [1, 2]; expected [3, 2]",
    ),
    "too many corners": (
        lambda: _core.tile(U8, coords=np.broadcast_to(ORIGIN, (2**40, 2))),
        ValueError,
        "that is more than 67108864 patches; cut fewer patches per call",
    ),
    "too many rows": (
        lambda: _core.fuse_rows(BATCH, BATCH, np.broadcast_to(ROWS[:1], (2**40,)), ROWS),
        ValueError,
        "that is more than 67108864 patches; cut fewer patches per call",
    ),
    "too large an image": (
        lambda: _core.untile(BATCH[:0], ORIGIN[:0], 2**62, 2**62),
        ValueError,
        f"'height' is {2**62}; expected a whole number {SIDES}",
    ),
    "masks shape": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, masks=[MASK, MASK[1:]]),
        ValueError,
        "'masks[1]' has shape (19, 20); expected (20, 20), the size of a patch",
    ),
    "masks dtype": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, masks=[MASK.astype(np.float32)]),
        TypeError,
        "'masks[0]' has dtype float32 and shape (20, 20); expected a float64 array of shape (height, width), "
        "one weight per pixel",
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
        "'masks[0]' has dtype float64 and shape (20,); expected a float64 array of shape (height, width), "
        "one weight per pixel",
    ),
    "which of masks": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, masks=[MASK], which=np.array([0, 1], np.uint8)),
        ValueError,
        "an element of 'which' is 1; expected an index into 'fusions' and 'masks'",
    ),
    "masks need a roi to measure": (
        lambda: _core.fuse_at(U8, U8, ORIGIN, size=8, masks=[MASK[:8, :8]]),
        ValueError,
        "'roi' is required for patches of 8x8; pass (y, x, height, width)",
    ),
    "mask shape": (
        lambda: _core.fuse(BATCH, BATCH, mask=np.zeros((20, 21))),
        ValueError,
        "'mask' has shape (20, 21); expected (20, 20), the size of a patch",
    ),
    "mask dtype": (
        lambda: _core.fuse(BATCH, BATCH, mask=np.zeros((20, 20), np.float32)),
        TypeError,
        "'mask' has dtype float32 and shape (20, 20); expected a float64 array of shape (height, width), "
        "one weight per pixel",
    ),
    "mask NaN": (
        lambda: _core.fuse(BATCH, BATCH, mask=np.full((20, 20), math.nan)),
        ValueError,
        "a weight of 'mask' is NaN; expected a number from 0 to 1",
    ),
    "row": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, np.array([0, 3])),
        IndexError,
        "'distorted_rows' has row 3, but there are only 3 rows",
    ),
    "negative row": (
        lambda: _core.fuse_rows(BATCH, BATCH, -ROWS, ROWS),
        IndexError,
        "'reference_rows' has row -1, but there are only 3 rows",
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
    "two patch sizes": (
        lambda: _core.fuse_rows(BATCH, BATCH[:, 1:], ROWS, ROWS),
        ValueError,
        "'distorted' has shape (3, 19, 20, 3); expected patches like those of 'reference', (3, 20, 20, 3)",
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
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_named(case: str) -> None:
    check_refusal(*BAD[case])
