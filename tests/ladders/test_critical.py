"""JND-critical places: the smoothed map, and where it is lowest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq.classes import GREEN
from pixq.errors import PixqError
from pixq.ladders.critical import critical_map, critical_points
from pixq.scoring.grid import Grid
from support.ladders import (
    some_map,
)
from support.quality_maps import make_map


@pytest.mark.parametrize("grid", [Grid(95, 133, 20, 10), Grid(61, 20, 20, 3), Grid(20, 20)])
@pytest.mark.parametrize("degree", [0.5, 10.0, 24.0, 500.0])
def test_the_smoothed_map_is_that_of_a_plain_gaussian(grid: Grid, degree: float) -> None:
    found = some_map(1, grid)
    # Half of its height at half a degree from its middle: exp(-4 ln 2 (distance / degree)^2).
    values = np.where(found.identical, max(1.0, found.quality.max()), found.score)
    expected = np.empty(grid.shape)
    for row, y in enumerate(grid.ys):
        for column, x in enumerate(grid.xs):
            weight = np.zeros(grid.shape)
            for i, other_y in enumerate(grid.ys):
                for j, other_x in enumerate(grid.xs):
                    # Cut off where next to nothing is left, at 4 deviations along each axis.
                    if max(abs(int(y - other_y)), abs(int(x - other_x))) <= 4 * degree / 2.3548200450309493:
                        square = float((y - other_y) ** 2 + (x - other_x) ** 2)
                        weight[i, j] = math.exp(-4 * math.log(2) * square / degree**2)
            expected[row, column] = (weight * values).sum() / weight.sum()
    np.testing.assert_allclose(critical_map(found, degree=degree), expected, rtol=1e-12)


def test_a_map_of_one_value_stays_as_it_is() -> None:
    grid = Grid(123, 77, 20, 7)
    for degree in (0.0, 24.0, 60.0):
        np.testing.assert_allclose(critical_map(make_map(grid, np.full(grid.shape, 0.25)), degree=degree), 0.25)
    equal = make_map(grid, np.zeros(grid.shape), identical=np.ones(grid.shape, bool))
    np.testing.assert_allclose(critical_map(equal), 1.0)
    assert critical_points(equal) == []


def test_without_a_degree_the_map_is_not_smoothed() -> None:
    found = some_map(2)
    above = replace(found, score=np.where(found.identical, np.inf, found.score + 2.0))
    for each, best in ((found, 1.0), (above, above.score[~above.identical].max())):
        expected = np.where(each.identical, best, each.score)
        np.testing.assert_array_equal(critical_map(each, degree=0.0), expected)
    for degree in (-1.0, math.nan, math.inf):
        with pytest.raises(PixqError, match=r"--degree is .*; give a number from 0"):
            critical_map(found, degree=degree)


@settings(max_examples=60)
@given(st.integers(0, 999), st.integers(1, 12), st.sampled_from([0.0, 10.0, 24.0]), st.none() | st.floats(0, 90))
def test_places_are_the_lowest_apart_and_not_green(seed: int, most: int, degree: float, apart: float | None) -> None:
    found = some_map(seed)
    places, values = critical_points(found, points=most, degree=degree, apart=apart), critical_map(found, degree=degree)
    assert 1 <= len(places) <= most
    least = max(3 * degree, 20.0) if apart is None else apart
    ys, xs = found.grid.ys + 9.5, found.grid.xs + 9.5
    left = found.classes < GREEN
    for place in places:
        row, column = ys.tolist().index(place.y), xs.tolist().index(place.x)
        assert left[row, column]
        assert place.score == values[row, column] == values[left].min()
        assert place.class_ == found.classes[row, column] < GREEN
        near = np.hypot(ys[:, None] - place.y, xs[None, :] - place.x) < least
        near[row, column] = True
        left &= ~near
    # Fewer than asked for only where no place is left.
    assert len(places) == most or not left.any()


def test_a_place_has_the_class_of_its_patch() -> None:
    # The places' smoothed scores are all on a scale on which the cuts, of quality, say nothing.
    found = some_map(3)
    for shifted in (found.score + 5.0, found.score - 5.0):
        places = critical_points(replace(found, score=shifted), points=4, degree=10.0)
        assert len(places) == 4
        for place in places:
            at = np.argmin(np.abs(found.grid.ys + 9.5 - place.y)), np.argmin(np.abs(found.grid.xs + 9.5 - place.x))
            assert place.class_ == found.classes[at] < GREEN


def test_no_place_where_all_is_green() -> None:
    grid = Grid(60, 60)
    assert critical_points(make_map(grid, np.full(grid.shape, 0.7))) == []
    for points in (0, -1):
        with pytest.raises(PixqError, match=f"--points is {points}; give a whole number"):
            critical_points(some_map(0), points=points)
    for apart in (-1.0, math.nan):
        with pytest.raises(PixqError, match=r"places can't be .* pixels apart"):
            critical_points(some_map(0), apart=apart)


def test_places_that_may_be_neighbours_are_still_different_ones() -> None:
    places = critical_points(some_map(0), points=5, apart=0.0)
    assert len({(place.y, place.x) for place in places}) == 5
