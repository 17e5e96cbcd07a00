"""Where patches lie, and what becomes of their quality between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixq.classes import GREEN, NAMES, ORANGE, RED
from pixq.errors import PixqError
from pixq.scoring.grid import STRIDE, Grid
from support.oracles import Array
from support.quality_maps import grids, make_map, random_map


@given(grids())
def test_patches_cover_every_pixel_and_no_more(grid: Grid) -> None:
    covered = np.zeros((grid.height, grid.width), np.int64)
    for y, x in grid.corners:
        covered[y : y + grid.size, x : x + grid.size] += 1
    assert covered.min() >= 1
    # Nothing lay outside, or these would be fewer.
    assert covered.sum() == len(grid.corners) * grid.size**2
    assert len(np.unique(grid.corners, axis=0)) == len(grid.corners) == np.prod(grid.shape)


@given(grids())
def test_patches_stand_a_stride_apart_but_for_the_last(grid: Grid) -> None:
    for starts, length in ((grid.ys, grid.height), (grid.xs, grid.width)):
        assert (starts[0], starts[-1]) == (0, length - grid.size)
        steps = np.diff(starts)
        assert (steps[:-1] == grid.stride).all()
        assert ((steps[-1:] >= 1) & (steps[-1:] <= grid.stride)).all()
    rows = [(y, x) for y in grid.ys.tolist() for x in grid.xs.tolist()]
    assert [tuple(corner) for corner in grid.corners.tolist()] == rows


@given(grids())
def test_a_pixel_is_of_the_patch_whose_centre_is_nearest(grid: Grid) -> None:
    for found, starts, length in zip(grid.cells(), (grid.ys, grid.xs), (grid.height, grid.width), strict=True):
        # Twice the distance from the pixel's centre to the patch's; a tie is the later patch's.
        far = np.abs((2 * np.arange(length) + 1)[:, None] - (2 * starts + grid.size))
        nearest = len(starts) - 1 - np.argmin(far[:, ::-1], axis=1)
        assert found.tolist() == nearest.tolist()


def test_what_does_not_fit_is_refused() -> None:
    assert Grid(20, 20).shape == (1, 1)
    assert Grid(20, 20).stride == STRIDE
    for stride in (0, -1, 21):
        with pytest.raises(PixqError, match=f"the stride is {stride}; give a whole number from 1 to 20"):
            Grid(100, 100, stride=stride)
    for height, width in ((19, 50), (50, 19), (0, 0)):
        with pytest.raises(PixqError, match=f"has {width}x{height} pixels; a patch takes 20x20"):
            Grid(height, width)


def by_hand(grid: Grid, quality: Array, ys: Array, xs: Array) -> Array:
    """Linear interpolation between centres, along columns and then along rows."""
    middle = (grid.size - 1) / 2
    down = np.stack([np.interp(ys, grid.ys + middle, column) for column in quality.T.astype(np.float64)], axis=1)
    return np.stack([np.interp(xs, grid.xs + middle, row) for row in down])


@given(grids(), st.integers(0, 99))
def test_between_centres_quality_changes_on_straight_lines(grid: Grid, seed: int) -> None:
    found = random_map(grid, seed)
    pixels = found.per_pixel()
    assert (pixels.dtype, pixels.shape, pixels.flags.c_contiguous) == (np.float32, (grid.height, grid.width), True)
    ys, xs = np.arange(grid.height), np.arange(grid.width)
    np.testing.assert_allclose(pixels, by_hand(grid, found.quality, ys, xs), atol=1e-6)
    assert pixels.min() >= found.quality.min() - 1e-6
    assert pixels.max() <= found.quality.max() + 1e-6


@given(grids(), st.integers(0, 99))
def test_at_its_centre_a_patch_has_its_own_quality(grid: Grid, seed: int) -> None:
    found = random_map(grid, seed)
    middle = (grid.size - 1) / 2
    assert np.array_equal(found.at(grid.ys + middle, grid.xs + middle), found.quality)
    # Beyond the outermost centres it is theirs: the corners of the image have the quality of the corner patches.
    assert np.array_equal(found.at([0, grid.height - 1], [0, grid.width - 1]), found.quality[[0, -1]][:, [0, -1]])


@given(grids(), st.data())
def test_a_band_is_a_part_of_the_whole_bit_for_bit(grid: Grid, data: st.DataObject) -> None:
    found = random_map(grid)
    ys = data.draw(st.lists(st.integers(0, grid.height - 1), max_size=9))
    xs = data.draw(st.lists(st.integers(0, grid.width - 1), max_size=9))
    part = found.at(np.array(ys, int), np.array(xs, int))
    assert part.tobytes() == found.per_pixel()[np.ix_(ys, xs)].tobytes()


def test_what_is_said_of_the_whole_pair() -> None:
    grid = Grid(20, 60)
    quality = np.array([[0.0, 0.5, 1.0, 0.2, 0.9]])
    identical = np.array([[False, False, True, False, False]])
    found = make_map(grid, quality, identical=identical, unsure=quality == 0.5)
    assert found.classes.tolist() == [[RED, ORANGE, GREEN, RED, GREEN]]
    verdict = found.verdict
    assert verdict.shares == dict(zip(NAMES, (0.4, 0.2, 0.4), strict=True))
    assert (verdict.unsure, verdict.identical) == (0.2, 0.2)
    # The 5th percentile of five lies a fifth of the way from the least to the second.
    assert verdict.worst == pytest.approx(0.04)
    assert verdict.quality == pytest.approx(0.52)
    assert make_map(grid, quality).verdict.unsure is None
