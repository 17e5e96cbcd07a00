"""Images, boxes and corners for hypothesis: tiny, ragged, strided, reversed, of every dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from support.oracles import Array

DTYPES = ("uint8", "uint16", "float32")


def pixels(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Random pixels with a share of the extremes, where roundings and overflows are."""
    if dtype == "float32":
        values = rng.random(shape).astype(np.float32)
        extremes = np.array([0, -0.0, 1, 1e-30, 1e30, -1], np.float32)
    else:
        top = np.iinfo(dtype).max
        values = rng.integers(0, top, shape, dtype, endpoint=True)
        extremes = np.array([0, 1, top // 2, top // 2 + 1, top - 1, top], dtype)
    return np.where(rng.random(shape) < 0.3, rng.choice(extremes, shape), values)


def strided(rng: np.random.Generator, array: Array, axes: int, kinds: tuple[str, ...]) -> Array:
    """The same pixels where the first `axes` axes have other strides; pixels within a row stay packed."""
    for axis, kind in zip(range(axes), kinds, strict=False):
        if kind == "packed":
            continue
        step = -1 if kind == "reversed" else 2 if kind == "every other" else -3
        shape = list(array.shape)
        shape[axis] = max((shape[axis] - 1) * abs(step) + 1, 0) if shape[axis] else 0
        if kind == "every other":
            shape[axis + 1] += 3  # and rows that are longer than what is looked at
        wide = pixels(rng, tuple(shape), str(array.dtype))
        index: list[Any] = [slice(None)] * array.ndim
        index[axis] = slice(None, None, step)
        if kind == "every other":
            index[axis + 1] = slice(1, 1 + array.shape[axis + 1])
        view = wide[tuple(index)]
        view[...] = array
        array = view
    return array


KINDS = st.sampled_from(["packed", "reversed", "every other", "reversed thirds"])


@st.composite
def image_pairs(
    draw: st.DrawFn, max_side: int = 48, min_side: int = 1, batch: bool | None = False
) -> tuple[Array, Array]:
    """Two images (or batches, or either where `batch` is None) of one shape and dtype and different strides."""
    dtype = draw(st.sampled_from(DTYPES))
    channels = draw(st.sampled_from([(), (1,), (3,)]))
    side = st.integers(min_side, max_side)
    shape = (draw(side), draw(side), *channels)
    batched = draw(st.booleans()) if batch is None else batch
    if batched:
        shape = (draw(st.integers(0, 5)), *shape[:2], *(channels or (3,)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    axes = 2 if batched else 1
    first, second = (strided(rng, pixels(rng, shape, dtype), axes, (draw(KINDS), draw(KINDS))) for _ in range(2))
    return first, second


@st.composite
def boxes(draw: st.DrawFn, height: int, width: int) -> tuple[int, int, int, int]:
    """A box (y, x, height, width) inside."""
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return y, x, draw(st.integers(1, height - y)), draw(st.integers(1, width - x))


def sizes(height: int, width: int) -> st.SearchStrategy[tuple[int, int]]:
    """A patch size that fits."""
    return st.tuples(st.integers(1, height), st.integers(1, width))


@st.composite
def corner_arrays(draw: st.DrawFn, height: int, width: int, size: tuple[int, int]) -> Array:
    """Corners at which a patch of `size` fits, in any order and with repetitions."""
    corner = st.tuples(st.integers(0, height - size[0]), st.integers(0, width - size[1]))
    return np.array(draw(st.lists(corner, max_size=7)), np.int64).reshape(-1, 2)


# 0 and 1 must be exact, 0.5 has a path of its own, and the others round.
ALPHAS = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0, 0.1, 1 / 3, 1e-300, 1 - 2**-53]), st.floats(0.0, 1.0))
