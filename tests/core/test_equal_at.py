"""Whether patches of two images are equal, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixq import _core
from support import oracles
from support.oracles import Array
from support.strategies import DTYPES, KINDS, corner_arrays, pixels, sizes, strided

IMAGE = np.zeros((40, 50, 3), np.uint8)
ORIGIN = np.zeros((1, 2), np.int64)


def expected(reference: Array, distorted: Array, coords: Array, size: tuple[int, int]) -> list[bool]:
    """What NumPy says: NaN equals nothing, and -0.0 equals 0.0."""
    pairs = zip(*(oracles.tile(image, size, coords) for image in (reference, distorted)), strict=True)
    return [bool((a == b).all()) for a, b in pairs]


@st.composite
def nearly_equal(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two images that differ in some pixels, by little, in how a zero is written, or by what is no number."""
    dtype = draw(st.sampled_from(DTYPES))
    channels = draw(st.sampled_from([(), (1,), (3,)]))
    shape = (draw(st.integers(1, 48)), draw(st.integers(1, 48)), *channels)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    first = pixels(rng, shape, dtype)
    second = first.copy()
    places = tuple(rng.integers(0, shape, (draw(st.integers(0, 6)), len(shape))).T)
    if dtype == "float32":
        first[places] = rng.choice(np.array([0.0, -0.0, np.nan, 1], np.float32), len(places[0]))
        second[places] = rng.choice(np.array([0.0, -0.0, np.nan, 1], np.float32), len(places[0]))
    else:
        second[places] ^= np.array(rng.integers(0, 2), dtype)
    kinds = draw(KINDS), draw(KINDS)
    return strided(rng, first, 1, kinds[:1]), strided(rng, second, 1, kinds[1:])


@given(nearly_equal(), st.data())
def test_equal_at(pair: tuple[Array, Array], data: st.DataObject) -> None:
    height, width = pair[0].shape[:2]
    size = data.draw(sizes(height, width))
    coords = data.draw(corner_arrays(height, width, size))
    found = _core.equal_at(*pair, coords, size=size)
    assert found.dtype == np.bool_
    assert found.shape == (len(coords),)
    assert found.tolist() == expected(*pair, coords, size)


def test_the_size_is_20_unless_given() -> None:
    other = IMAGE.copy()
    other[19, 19, 2] = 1
    coords = np.array([[0, 0], [0, 20], [20, 0], [19, 19], [20, 20], [0, 0]])
    assert _core.equal_at(IMAGE, other, coords).tolist() == [False, True, True, False, True, False]
    assert _core.equal_at(IMAGE, other, coords, size=19).tolist() == [True, True, True, False, True, True]
    assert _core.equal_at(IMAGE, other, coords[:0]).shape == (0,)


def test_every_sample_of_a_wide_patch_counts() -> None:
    # Rows are compared piece by piece: none may be left out, nor one beside the patch be looked at.
    image = np.zeros((3, 700, 3), np.float32)
    for x in (0, 1, 2, 340, 341, 342, 697, 698, 699):
        for y in range(3):
            other = image.copy()
            other[y, x, 1] = 1e-45
            seen = _core.equal_at(image, other, np.array([[0, 0], [1, 1], [0, 1]]), size=(2, 698)).tolist()
            assert seen == [not (y < 2 and x < 698), not (y > 0 and 1 <= x < 699), not (y < 2 and 1 <= x < 699)]


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_nothing(dtype: str) -> None:
    rng = np.random.default_rng(1)
    image = pixels(rng, (700, 401, 3), dtype)
    other = image.copy()
    other[tuple(rng.integers(0, image.shape, (200, 3)).T)] = 0
    coords = _core.grid(700, 401, stride=13)
    assert image.size > _core.PARALLEL_SAMPLES
    seen = []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        seen.append(_core.equal_at(image, other, coords).tolist())
    assert seen[0] == seen[1] == seen[2] == expected(image, other, coords, (20, 20))
    assert len(set(seen[0])) == 2


def test_inputs_are_read_where_they_are() -> None:
    # One row, so often that a copy would not fit memory.
    tall = np.broadcast_to(np.zeros((1, 60_000, 3), np.uint8), (2**31 - 1, 60_000, 3))
    assert _core.equal_at(tall, tall[::-1], np.array([[2**31 - 21, 59_980]])).tolist() == [True]


BAD: dict[str, tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = {
    "dtype": (
        (IMAGE / 1, IMAGE, ORIGIN),
        {},
        TypeError,
        "'reference' has dtype float64; expected uint8, uint16 or float32",
    ),
    "two dtypes": (
        (IMAGE, IMAGE.astype(np.uint16), ORIGIN),
        {},
        TypeError,
        "'distorted' has dtype uint16 but 'reference' has uint8; make them the same",
    ),
    "shapes": (
        (IMAGE, IMAGE[1:], ORIGIN),
        {},
        ValueError,
        "'distorted' has shape (39, 50, 3) but 'reference' has (40, 50, 3); make them the same",
    ),
    "patches": (
        (IMAGE[None], IMAGE[None], ORIGIN),
        {},
        ValueError,
        "'reference' has shape (1, 40, 50, 3); expected (height, width) or (height, width, 1 or 3)",
    ),
    "columns": (
        (IMAGE, IMAGE[:, ::-1], ORIGIN),
        {},
        ValueError,
        "'distorted' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray(...)",
    ),
    "outside": (
        (IMAGE, IMAGE, ORIGIN + 21),
        {},
        ValueError,
        "the patch (y=21, x=21, height=20, width=20) does not lie inside 40x50",
    ),
    "negative": (
        (IMAGE, IMAGE, ORIGIN - 1),
        {},
        ValueError,
        "the patch at (y=-1, x=-1) does not lie inside the image",
    ),
    "corners": (
        (IMAGE, IMAGE, [[0, 0]]),
        {},
        TypeError,
        "'coords' is a list; expected a numpy array, an int64 array of shape (n, 2), the y and x of each patch",
    ),
    "no size": (
        (IMAGE, IMAGE, ORIGIN),
        {"size": 0},
        ValueError,
        "'size' is 0; expected a whole number, or (rows, columns), from 1 to 2147483647",
    ),
    "too large": (
        (IMAGE, IMAGE, ORIGIN),
        {"size": (20, 51)},
        ValueError,
        "the patch (y=0, x=0, height=20, width=51) does not lie inside 40x50",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case: str) -> None:
    arguments, options, kind, message = BAD[case]
    with pytest.raises(kind) as error:
        _core.equal_at(*arguments, **options)
    assert str(error.value) == message
