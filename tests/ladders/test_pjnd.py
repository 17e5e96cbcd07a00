"""The PJND of a ladder, and the Green cut that puts most predictions into their ranges."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq.decisions.pjnd_cuts import GreenCut
from pixq.errors import PixqError
from pixq.ladders.fit_green_cut import make_pjnd_cuts
from pixq.ladders.pjnd import Pjnd, SourceRange, choose_green_cut, leave_one_out, pjnd, score_quantile

scores = st.lists(st.floats(-1, 2) | st.just(math.inf), min_size=1, max_size=60)


@given(scores, st.floats(0, 1, exclude_min=True))
def test_at_least_the_share_of_patches_is_below_every_cut_above_the_edge_and_no_other(
    score: list[float], share: float
) -> None:
    found, n = score_quantile(score, share), len(score)
    assert found in score
    assert np.count_nonzero(np.array(score) <= found) >= share * n - 1e-9
    # Below a cut at the edge are fewer; none at all, where so few are asked for that it is one patch.
    assert np.count_nonzero(np.array(score) < found) < max(share * n, 1)


@pytest.mark.parametrize(("share", "expected"), [(1e-12, 1), (0.05, 1), (0.051, 2), (0.07, 2), (0.35, 7), (1.0, 20)])
def test_the_edge_of_twenty_patches(share: float, expected: int) -> None:
    # 0.35 * 20 and 0.07 * 100 are not whole in binary.
    assert score_quantile(np.random.default_rng(0).permutation(20).reshape(4, 5) + 1, share) == expected
    assert score_quantile(np.arange(100) + 1, 0.07) == 7


@pytest.mark.parametrize("share", [0.0, -0.1, 1.0001, math.nan])
def test_no_share(share: float) -> None:
    with pytest.raises(PixqError, match="give a number above 0 and up to 1"):
        score_quantile([1.0], share)


@st.composite
def ladders(draw: st.DrawFn) -> SourceRange:
    """A ladder of few different edges, so that levels tie, some above it or equal to the reference."""
    levels = sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=8)))
    edges = draw(st.lists(st.integers(0, 10) | st.just(math.inf), min_size=len(levels), max_size=len(levels)))
    low = draw(st.integers(0, 13))
    high = draw(st.integers(low, 13))
    name = f"source{draw(st.integers(0, 10**6))}"
    return SourceRange(name, np.array(levels, float), np.array(edges, float), (float(low), float(high)))


@given(ladders(), st.integers(-1, 22), st.none() | st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_the_pjnd_is_the_first_level_below_the_cut(
    ladder: SourceRange, twice: int, ends: tuple[int, int] | None
) -> None:
    value = twice / 2
    cut = GreenCut(value) if ends is None else GreenCut(value, value - ends[0] / 2, value + ends[1] / 2)

    def first(value: float) -> float | None:
        pairs = zip(ladder.levels.tolist(), ladder.quantiles.tolist(), strict=True)
        return next((level for level, at in pairs if at < value), None)

    found = pjnd(ladder.levels, ladder.quantiles, cut)
    # Edges are whole, so these are all cuts in the interval that could differ; it is open below.
    by = [first(value)]
    if ends is not None:
        by += [first(value + step / 4) for step in range(1 - 2 * ends[0], 2 * ends[1] + 1)]
    lowest = min((level for level in by if level is not None), default=math.inf)
    above = max((level for level in ladder.levels.tolist() if level < lowest), default=None)
    up_to = None if None in by else max(level for level in by if level is not None)
    assert found == Pjnd(first(value), above, up_to)
    assert ladder.contains(found) == (found.level is not None and ladder.range[0] <= found.level <= ladder.range[1])
    # Of a ladder, the span of cuts that predict within its range is the one that counting finds.
    start, stop = ladder.cuts
    assert ladder.contains(found) == (start < cut.value <= stop)


def test_the_interval_holds_the_pjnds_of_the_cuts_that_do_as_well_and_no_other() -> None:
    # Every cut above 0.5, up to 0.9, gives level 20.
    chosen = SourceRange("a", np.array([10.0, 20, 30]), np.array([0.9, 0.5, 0.3]), (20, 20))
    assert choose_green_cut([chosen]) == GreenCut(0.7, 0.5, 0.9)
    assert pjnd(chosen.levels, chosen.quantiles, choose_green_cut([chosen])) == Pjnd(20, 10, 20)


def right(chosen: list[SourceRange], cut: float) -> int:
    """How many predictions lie in their ranges."""
    return sum(ladder.contains(pjnd(ladder.levels, ladder.quantiles, GreenCut(cut))) for ladder in chosen)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(ladders(), max_size=5))
def test_no_cut_puts_more_predictions_into_their_ranges(chosen: list[SourceRange]) -> None:
    edges = [each for ladder in chosen for each in ladder.quantiles.tolist() if math.isfinite(each)]
    # All cuts that could differ: edges, and what lies between two; up to the highest, above which all is noticed.
    grid = [cut / 4 for cut in range(-4, 45) if edges and cut / 4 <= max(edges)]
    most = max((right(chosen, cut) for cut in grid), default=0)
    if most == 0:
        with pytest.raises(PixqError, match=r"no cut puts any|no level of any ladder"):
            choose_green_cut(chosen)
        return
    found = choose_green_cut(chosen)
    assert found.low is not None
    assert found.high is not None
    assert right(chosen, found.value) == most
    assert found.low < found.value < found.high
    assert found.value == (found.low + found.high) / 2
    # All between the ends do as well, and the ends are as far apart as can be.
    inside = [cut for cut in grid if found.low < cut <= found.high]
    assert {right(chosen, cut) for cut in inside} == {most}
    runs, run = [0], 0
    for cut in grid:
        run = run + 1 if right(chosen, cut) == most else 0
        runs.append(run)
    assert len(inside) == max(runs)


def test_a_range_that_begins_below_the_ladder() -> None:
    # Any cut above 0.2 is right for the one, above 0.5 for both.
    one = SourceRange("one", np.array([1.0, 2]), np.array([0.8, 0.2]), (1, 2))
    two = SourceRange("two", np.array([1.0, 2]), np.array([0.5, 0.1]), (1, 1))
    found = choose_green_cut([one, two])
    assert (found.low, found.high) == (0.5, 0.8)
    assert right([one, two], found.value) == 2


def test_the_widest_span_and_then_the_lowest() -> None:
    def within(*edges: float) -> SourceRange:
        return SourceRange("a", np.arange(3.0), np.array(edges, float), (1, 1))

    assert choose_green_cut([within(3, 2, 0), within(9, 6, 0)]) == GreenCut(7.5, 6, 9)
    assert choose_green_cut([within(3, 2, 0), within(9, 8, 0)]) == GreenCut(2.5, 2, 3)
    # Two that overlap are one span of 2 right; where one ends and the next begins, 1 is right all along.
    assert choose_green_cut([within(5, 2, 0), within(9, 4, 0)]) == GreenCut(4.5, 4, 5)
    assert choose_green_cut([within(5, 2, 0), within(9, 5, 0)]) == GreenCut(5.5, 2, 9)


def test_nothing_to_choose_by() -> None:
    equal = SourceRange("a", np.arange(2.0), np.full(2, np.inf), (0, 1))
    for none in ([], [equal]):
        with pytest.raises(PixqError, match="no level of any ladder could be noticed"):
            choose_green_cut(none)
    # It is worse at the lower level, so the higher one is never first.
    with pytest.raises(PixqError, match="no cut puts any predicted PJND into its range"):
        choose_green_cut([SourceRange("a", np.arange(2.0), np.array([0.1, 0.5]), (1, 1))])
    with pytest.raises(PixqError, match="leaving one out takes at least two sources; give more ladders"):
        leave_one_out([equal])


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(0, 2))
def test_a_ladders_own_edges_do_not_choose_its_cut(own: list[float], which: int) -> None:
    levels = np.arange(4.0)
    chosen = [
        SourceRange(name, levels, np.array(edges), (1, 2))
        for name, edges in (("a", [0.9, 0.6, 0.5, 0.1]), ("b", [0.8, 0.5, 0.4, 0]), ("c", [0.95, 0.55, 0.3, 0.2]))
    ]
    others = choose_green_cut(chosen[:which] + chosen[which + 1 :])
    changed = list(chosen)
    changed[which] = replace(chosen[which], quantiles=np.array(own))
    found = leave_one_out(changed)
    assert list(found) == ["a", "b", "c"]
    assert found[changed[which].name] == pjnd(levels, own, others)


def test_a_source_that_no_cut_can_hit_takes_nothing_from_the_others() -> None:
    levels = np.arange(3.0)
    good = SourceRange("good", levels, np.array([0.9, 0.6, 0.2]), (1, 1))
    # It is worse at the lower level, so the higher one is never first.
    bad = SourceRange("bad", levels, np.array([0.9, 0.1, 0.5]), (2, 2))
    assert leave_one_out([good, bad]) == {"good": Pjnd(None, 2, None), "bad": Pjnd(1, 0, 1)}
    found = make_pjnd_cuts([good, bad], blake3="", share=0.05, stride=10)
    assert (found.low, found.high, found.within) == (0.6, 0.9, 0)
    assert {name: source.predicted for name, source in found.sources.items()} == {"good": None, "bad": 1}
