"""Pictures of a ladder: the curve with its PJND, and circles around critical places."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pixq.classes import CLASSES, GREEN, RED
from pixq.decisions.pjnd_cuts import GreenCut
from pixq.drawing.map_pictures import overlay
from pixq.errors import PixqError
from pixq.ladders.critical import CriticalPoint
from pixq.ladders.pictures import describe_pjnd, draw_curve, draw_regions
from pixq.ladders.pjnd import Pjnd, pjnd
from pixq.scoring.grid import Grid
from support import trees
from support.quality_maps import make_map


def test_a_curve_has_the_size_and_colours_that_are_said() -> None:
    levels, edges = [1, 2, 3, 4], [math.inf, 0.8, 0.5, 0.2]
    cut = GreenCut(0.6, 0.55, 0.7)
    found = pjnd(levels, edges, cut)
    pictures = [draw_curve("a", levels, edges, cut, found, safe=safe) for safe in (False, True)]
    for picture, each in zip(pictures, ("color", "safe_color"), strict=True):
        assert (picture.shape, picture.dtype) == ((440, 960, 3), np.uint8)
        for which in (GREEN, RED):
            value = getattr(CLASSES[which], each).lstrip("#")
            color = [int(value[at : at + 2], 16) for at in (0, 2, 4)]
            assert (picture == color).all(axis=-1).sum() > 20
    assert not np.array_equal(*pictures)
    np.testing.assert_array_equal(pictures[0], draw_curve("a", levels, edges, cut, found))
    assert not np.array_equal(
        pictures[0], draw_curve("a", levels, edges, GreenCut(0.6), pjnd(levels, edges, GreenCut(0.6)))
    )
    # One level, none that is noticed, and all that equal the reference.
    for some in ([0.9], [0.1], [math.inf]):
        assert draw_curve("b", [3], some, GreenCut(0.6), pjnd([3], some, GreenCut(0.6))).shape == (440, 960, 3)
    with pytest.raises(PixqError, match="there is no level to draw"):
        draw_curve("a", [], [], cut, found)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Pjnd(30, 20, 40), "PJND 30 (above 20, up to 40)"),
        (Pjnd(30, 20, None), "PJND 30 (above 20)"),
        (Pjnd(30, None, 30), "PJND 30 or lower: the ladder begins with a level that is noticed"),
        (Pjnd(30, None, 40), "PJND 30 or lower, up to 40: the ladder begins with a level that is noticed"),
        (Pjnd(None, 20, None), "PJND above 20: no level is noticed"),
        (Pjnd(None, None, None), "PJND unknown: no level is noticed"),
    ],
)
def test_a_pjnd_in_words(found: Pjnd, words: str) -> None:
    assert describe_pjnd(found) == words


def test_circles_are_round_the_places_and_change_nothing_else() -> None:
    grid = Grid(300, 520)
    found = make_map(grid, np.random.default_rng(0).random(grid.shape))
    image = trees.photo(0, (300, 520))
    before = overlay(found, image)
    np.testing.assert_array_equal(draw_regions(found, image, []), before)
    places = [CriticalPoint(80.5, 90.5, 0.1, 0), CriticalPoint(200.5, 400.5, 0.2, 1)]
    after = draw_regions(found, image, places)
    assert (after.shape, after.dtype) == (before.shape, np.uint8)
    changed = (after != before).any(axis=-1)
    ys, xs = np.mgrid[: before.shape[0], : before.shape[1]]
    distance = np.min([np.hypot(ys - place.y - 0.5, xs - place.x - 0.5) for place in places], axis=0)
    # The circles themselves, a degree in radius, and the numbers at their tops.
    assert changed[np.abs(distance - 22) < 1].mean() > 0.9
    assert not changed[distance > 24 + 24].any()
    assert not changed[distance < 8].any()
    # Of a picture that is enlarged, circles are too.
    small = make_map(Grid(100, 100), np.full((9, 9), 0.2))
    enlarged = draw_regions(small, image[:100, :100], [CriticalPoint(50, 50, 0.1, 0)])
    plain = overlay(small, image[:100, :100])
    factor = 5
    rows = np.flatnonzero((enlarged != plain).any(axis=(1, 2)))
    assert rows[-1] == pytest.approx(50.5 * factor + 24 * factor, abs=6)
