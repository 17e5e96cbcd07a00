"""Messages of the core for numbers, regions, fusions and names that it does not take."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pixq import _core
from support.refusals import check_refusal

U8 = np.zeros((40, 50, 3), np.uint8)
BATCH = np.zeros((3, 20, 20, 3), np.uint8)
ROWS = np.array([0, 1], np.int64)
ORIGIN = np.zeros((1, 2), np.int64)
MASK = np.zeros((20, 20))
SIDES = "from 0 to 2147483647"
TO_SIDE = "from 1 to 2147483647"


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
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
        "'coords' replaces 'stride'; pass only one of them",
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
        "that is more than 67108864 patches; cut fewer patches per call",
    ),
    "too many patches to choose": (
        lambda: _core.sample_random(2**30, 2**30, 2**62, seed=0, key=""),
        ValueError,
        "that is more than 67108864 patches; cut fewer patches per call",
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
        "'roi' is -2x12; expected at least 1x1",
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
        "'roi' is required for patches of 40x50; pass (y, x, height, width)",
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
        "'alpha' is too large for a float; expected a smaller number",
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
        "'fusions' is not a sequence of (name, alpha); pass, for example, [(\"blend\", 0.5)]",
    ),
    "mask and fusion": (
        lambda: _core.fuse(BATCH, BATCH, mask=MASK, fusion="nonsense"),
        ValueError,
        "'mask' replaces 'fusion'; pass only one of them",
    ),
    "mask and alpha": (
        lambda: _core.fuse(BATCH, BATCH, mask=MASK, alpha=0.5),
        ValueError,
        "'mask' replaces 'alpha'; pass only one of them",
    ),
    "mask and roi": (
        lambda: _core.fuse(BATCH, BATCH, mask=MASK, roi=(4, 4, 12, 12)),
        ValueError,
        "'mask' replaces 'roi'; pass only one of them",
    ),
    "which": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, which=np.array([0, 1], np.uint8)),
        ValueError,
        "an element of 'which' is 1; expected an index into 'fusions' and 'masks'",
    ),
    "no fusions": (
        lambda: _core.fuse_rows(BATCH, BATCH, ROWS, ROWS, fusions=[]),
        ValueError,
        "fusions is empty; expected at least one fusion or mask",
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
        "'key' contains surrogates; expected valid Unicode text",
    ),
    "threads": (lambda: _core.set_num_threads(0), ValueError, "the number of threads is 0; expected 1 to 1024"),
    "negative threads": (
        lambda: _core.set_num_threads(-3),
        ValueError,
        "the number of threads is -3; expected 1 to 1024",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options_are_named(case: str) -> None:
    check_refusal(*BAD[case])
