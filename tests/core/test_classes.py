"""Classes: their order, names and colours come from one place, and scores become classes in one place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixq.classes import CLASSES, GREEN, NAMES, ORANGE, QUALITY_CUTS, RED, class_of_label, classify
from pixq.errors import PixqError


def test_a_class_grows_with_quality() -> None:
    assert NAMES == ("Red", "Orange", "Green")
    assert (RED, ORANGE, GREEN) == (0, 1, 2)
    qualities = [each.quality for each in CLASSES]
    assert qualities == [0.0, 0.5, 1.0]
    assert classify(qualities).tolist() == [RED, ORANGE, GREEN]
    assert [class_of_label(name) for name in ("RED", "orange", " Green ")] == [RED, ORANGE, GREEN]


def test_colors_are_those_of_their_names_and_differ() -> None:
    """Red has most red, green most green, and orange much of both."""
    red, orange, green = ([int(each.color[at : at + 2], 16) for at in (1, 3, 5)] for each in CLASSES)
    assert max(red) == red[0] > 2 * red[1]
    assert max(green) == green[1] > 1.5 * green[0]
    assert orange[0] > orange[1] > 2 * orange[2]
    for what in ("color", "safe_color", "mark", "meaning"):
        assert len({getattr(each, what) for each in CLASSES}) == 3


finite = st.floats(allow_nan=False, width=64)


@given(st.lists(finite, max_size=20), finite, finite)
def test_classes_are_those_of_the_cuts(scores: list[float], a: float, b: float) -> None:
    cuts = min(a, b), max(a, b)
    found = classify(scores, cuts)
    by_hand = [GREEN if score >= cuts[1] else ORANGE if score >= cuts[0] else RED for score in scores]
    assert found.tolist() == by_hand
    assert (np.diff(found[np.argsort(scores, kind="stable")]) >= 0).all()


def test_a_class_may_never_be_given() -> None:
    assert classify([0.2, 0.9], (0.5, math.inf)).tolist() == [RED, ORANGE]
    assert classify([0.2, 0.9], (-math.inf, 0.5)).tolist() == [ORANGE, GREEN]


def test_what_makes_no_classes() -> None:
    for cuts in ((0.6, 0.3), (math.nan, 0.5), (0.5, math.nan)):
        with pytest.raises(PixqError, match="not in order"):
            classify([0.5], cuts)
    with pytest.raises(ValueError, match="not a number"):
        classify([0.5, math.nan], QUALITY_CUTS)
    with pytest.raises(PixqError, match="no class 'Blue'; the classes are Red, Orange, Green"):
        class_of_label("Blue")
