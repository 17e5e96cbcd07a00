"""The PJND of a source from people's answers: known distributions, and how often its interval holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixq.errors import PixqError
from pixq.study.design.config import Study
from pixq.study.design.study_files import OpenedSource, OpenedStudy
from pixq.study.results.answers import Answer
from pixq.study.results.estimate import CONFIDENCE, FEWEST, SourceEstimate, estimate_source, estimates_of, interval
from support.studies import study

EVERY = range(1, 101)
STUDY: Study = study(sources=3)


def answer(level: int, *flags: str, source: str = "S0") -> Answer:
    return Answer(
        participant="p", session="s", session_number=1, place=1, source=source, codec="JPEG", kind="source", width=64,
        height=48, level=level, highest=100, points=(), environment={}, step="completed", flags=flags,
    )  # fmt: skip


def drawn(seed: int, count: int, centre: float = 40.0, deviation: float = 8.5) -> list[int]:
    draws = np.random.default_rng(seed).normal(centre, deviation, count)
    return [int(each) for each in np.clip(np.rint(draws), 1, 100)]


def of(levels: list[int]) -> SourceEstimate:
    return estimate_source(STUDY, "S0", EVERY, [answer(level) for level in levels])


def test_the_estimate_is_the_median_and_its_interval_lies_around_it() -> None:
    found = of([20, 22, 22, 22, 30, 90])
    assert (found.answers, found.median, found.step) == (6, 22, 1)
    assert found.mean == pytest.approx(206 / 6)
    assert found.low is not None
    assert found.high is not None
    assert 20 <= found.low <= 22 <= found.high <= 90
    assert found.width == found.high - found.low


@pytest.mark.slow
def test_about_95_percent_of_the_intervals_hold_the_truth() -> None:
    held = 0
    for seed in range(600):
        low, high = interval(drawn(seed, 30), seed)
        held += low <= 40 <= high
    # 600 intervals: a standard error of 0.9 %.
    assert 0.925 <= held / 600 <= 0.985


def test_an_interval_becomes_narrower_as_the_root_of_the_answers() -> None:
    def width(count: int) -> float:
        ends = [interval(drawn(seed, count), seed) for seed in range(100)]
        return float(np.mean([high - low for low, high in ends]))

    few, many = width(25), width(100)
    assert 1.7 < few / many < 2.3
    # What theory says of the median of a normal distribution.
    assert many == pytest.approx(2 * 1.96 * 8.5 * math.sqrt(math.pi / 2 / 100), rel=0.15)


def test_as_many_answers_as_are_needed_give_the_width() -> None:
    needed, widths = [], []
    for seed in range(60):
        count = of(drawn(seed, 30)).answers_needed(4.0)
        assert count is not None
        needed.append(count)
    for seed in range(60):
        low, high = interval(drawn(1000 + seed, round(float(np.mean(needed)))), seed)
        widths.append(high - low)
    assert float(np.mean(widths)) == pytest.approx(4.0, rel=0.2)


def test_the_same_answers_give_the_same_interval_in_any_order() -> None:
    levels = drawn(1, 30)
    assert of(levels) == of(levels[::-1])
    assert interval(levels, 1, "S0") == interval(sorted(levels), 1, "S0")
    assert len({interval(range(1, 100, 2), seed) for seed in range(20)}) > 1, "the seed draws"


@given(st.lists(st.integers(1, 100), min_size=FEWEST, max_size=40))
def test_an_interval_lies_among_the_answers_and_holds_their_median(levels: list[int]) -> None:
    low, high = interval(levels)
    assert min(levels) <= low <= float(np.median(levels)) <= high <= max(levels)


def test_many_answers_are_drawn_in_parts() -> None:
    low, high = interval(drawn(0, 3000), 0)
    assert 39 <= low <= 40 <= high <= 41


def test_answers_of_the_careless_and_the_unfinished_are_left_out_and_counted() -> None:
    answers = [*map(answer, [20, 21, 22]), answer(90, "failed_tests", "unfinished"), answer(95, "fast", "unfinished")]
    answers.append(answer(99, "unseen"))
    found = estimate_source(STUDY, "S0", EVERY, answers)
    assert (found.median, found.answers, found.collected) == (21, 3, 6)
    assert found.left_out == {"failed_tests": 1, "unfinished": 1, "unseen": 1}


def test_no_interval_is_narrower_than_the_levels_that_could_be_chosen() -> None:
    agreed = estimate_source(STUDY, "S0", (0, 10, 30, 60), [answer(30)] * 40)
    assert (agreed.low, agreed.high, agreed.width, agreed.step) == (20, 45, 25, 25)
    assert agreed.answers_needed(25) == 40
    assert agreed.answers_needed(24) is None, "more answers would not help"
    ends = [estimate_source(STUDY, "S0", (10, 30), [answer(level)] * 6) for level in (10, 30)]
    assert [(each.low, each.high) for each in ends] == [(5, 20), (20, 30)]
    split = estimate_source(STUDY, "S0", (10, 30, 60), [answer(10), answer(30)] * 20)
    assert (split.median, split.low, split.high) == (20, 10, 30)


def test_too_few_answers_have_no_interval() -> None:
    assert of([]) == SourceEstimate("S0", 0, {"failed_tests": 0, "unfinished": 0, "unseen": 0}, None, None, None, None)
    one = of([7])
    assert (one.median, one.low, one.high, one.width, one.answers_needed(5)) == (7, None, None, None, None)
    # The lowest and the highest of five hold the median in 15 of 16 cases, those of six in 31 of 32.
    assert 1 - 2 / 2 ** (FEWEST - 1) < CONFIDENCE <= 1 - 2 / 2**FEWEST
    five, six = of([10, 20, 30, 40, 50]), of([10, 20, 30, 40, 50, 60])
    assert (five.median, five.low, five.high, five.width, five.answers_needed(5)) == (30, None, None, None, None)
    assert None not in (six.low, six.high)
    with pytest.raises(ValueError, match="6 answers"):
        interval([7] * 5)


def test_intervals_of_the_fewest_answers_hold_the_truth_as_they_say() -> None:
    # The bootstrap's are a little short of so few: 93 %.
    found = [of(drawn(seed, FEWEST)) for seed in range(400)]
    held = sum(each.low is not None and each.high is not None and each.low <= 40 <= each.high for each in found)
    assert held / 400 >= 0.92


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan, math.inf])
def test_a_width_that_is_none_is_refused(width: float) -> None:
    with pytest.raises(PixqError, match="give a number above 0"):
        of(list(range(1, 7))).answers_needed(width)


def test_every_source_of_a_study_is_estimated_in_its_order() -> None:
    opened = OpenedStudy(
        STUDY, {each.id: OpenedSource(each, "source", 64, 48, dict.fromkeys(EVERY)) for each in STUDY.source}  # type: ignore[arg-type]
    )  # fmt: skip
    answers = [answer(9, source="S2"), answer(5), answer(11, source="S2"), answer(50, source="H0")]
    found = estimates_of(opened, answers)
    assert [(each.source, each.answers, each.median) for each in found] == [
        ("S0", 1, 5),
        ("S1", 0, None),
        ("S2", 2, 10),
    ]
    # Whatever else was answered.
    assert found[2] == estimates_of(opened, answers[:3:2])[2]
    assert found[2] == estimate_source(STUDY, "S2", EVERY, answers[0:3:2])
