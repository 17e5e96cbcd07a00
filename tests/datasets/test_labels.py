"""Scores to quality."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq.datasets.labels import LabelContract, parse_score_range
from pixq.errors import PixqError


def contract(polarity: str = "higher-is-better", low: float = 0.0, high: float = 9.0) -> LabelContract:
    return LabelContract("MOS", polarity, low, high, "mean opinion score")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("polarity", "score", "quality"),
    [
        ("higher-is-better", 0.0, 0.0),
        ("higher-is-better", 9.0, 1.0),
        ("higher-is-better", 2.25, 0.25),
        ("lower-is-better", 0.0, 1.0),
        ("lower-is-better", 9.0, 0.0),
        ("lower-is-better", 2.25, 0.75),
    ],
)
def test_quality_by_hand(polarity: str, score: float, quality: float) -> None:
    assert contract(polarity).quality(score) == quality


@settings(deadline=None)
@given(st.floats(1, 5), st.floats(1, 5))
def test_quality_keeps_order_and_polarity_turns_it(first: float, second: float) -> None:
    up, down = contract(low=1, high=5), contract("lower-is-better", low=1, high=5)
    assert 0.0 <= up.quality(first) <= 1.0
    assert up.quality(first) + down.quality(first) == pytest.approx(1.0, abs=1e-15)
    if first <= second:
        assert up.quality(first) <= up.quality(second)
        assert down.quality(first) >= down.quality(second)


@pytest.mark.parametrize("score", [-0.1, 9.1, math.nan, math.inf, -math.inf])
def test_a_score_off_the_scale_is_refused(score: float) -> None:
    with pytest.raises(PixqError, match="lies outside the scale 0 to 9"):
        contract().quality(score)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (math.nan, 1), (0, math.inf)])
def test_a_scale_must_be_a_range(low: float, high: float) -> None:
    with pytest.raises(PixqError, match="is not a range of finite numbers"):
        contract(low=low, high=high)


def test_a_polarity_must_be_one_of_two() -> None:
    with pytest.raises(PixqError, match="unknown polarity 'dmos'; choose higher-is-better or lower-is-better"):
        contract("dmos")


@pytest.mark.parametrize("field", ["name", "unit", "note"])
def test_text_that_is_not_unicode_is_refused(field: str) -> None:
    with pytest.raises(PixqError, match=rf"^the {field} of the scores is 'x\\udcff', which is not valid Unicode; .*8$"):
        replace(contract(), **{field: "x\udcff"})  # type: ignore[arg-type]


def test_a_score_range_is_two_numbers() -> None:
    assert parse_score_range("0,100") == (0.0, 100.0)
    assert parse_score_range(" -1.5 , 2 ") == (-1.5, 2.0)
    for text in ("", "1", "1,2,3", "a,b", "5,1", "nan,1"):
        with pytest.raises(PixqError, match=r"--score-range .*like 0,100"):
            parse_score_range(text)
