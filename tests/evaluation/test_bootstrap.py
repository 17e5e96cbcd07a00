"""Resamples of groups: what they depend on, and intervals of what was measured on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixq.errors import PixqError
from pixq.statistics.bootstrap import interval, resample_groups


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.integers(1, 30), st.integers(0, 2**63))
def test_as_many_groups_as_there_are(groups: list[int], count: int, seed: int) -> None:
    resamples = resample_groups(groups, count, seed)
    distinct = sorted(set(groups))
    assert resamples.groups.tolist() == distinct
    assert resamples.multiplicity.shape == (count, len(distinct))
    assert (resamples.multiplicity.sum(axis=1) == len(distinct)).all()
    assert (resamples.multiplicity >= 0).all()
    assert resamples.count == count
    assert resamples.groups[resamples.rows(groups)].tolist() == groups


def test_resamples_depend_on_groups_and_seed_alone() -> None:
    names = ["I03", "I01", "I02", "I01"]
    one, other = resample_groups(names, 200, 5), resample_groups(sorted(set(names)), 200, 5)
    assert (one.multiplicity == other.multiplicity).all()
    assert (resample_groups(names, 50, 5).multiplicity == one.multiplicity[:50]).all()
    assert (resample_groups(names, 200, 6).multiplicity != one.multiplicity).any()


def test_every_group_is_as_likely() -> None:
    """A group is there once on average, with the variance of a binomial: (1 - 1 / G)."""
    times = resample_groups(range(20), 20000, 1).multiplicity
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=5 * math.sqrt(0.95 / 20000))
    np.testing.assert_allclose(times.var(axis=0), 0.95, atol=0.06)


def test_groups_of_others_are_refused() -> None:
    resamples = resample_groups(["a", "c"])
    assert resamples.count == 1000
    assert resamples.rows(["c", "a"]).tolist() == [1, 0]
    for others in (["b"], ["d"], ["A"], [["a"]]):
        with pytest.raises(PixqError, match="drawn from different groups"):
            resamples.rows(others)
    with pytest.raises(PixqError, match="no groups"):
        resample_groups([])
    with pytest.raises(PixqError, match="the number of resamples is 0"):
        resample_groups(["a"], 0)


def test_interval_by_hand() -> None:
    """The ends of 95 % of 41 values are the second from either end: rank 0.025 * 40 = 1."""
    values = np.random.default_rng(0).permutation(41).astype(float)
    assert interval(values) == (1.0, 39.0)
    assert interval(values, 0.5) == (10.0, 30.0)
    # Ranks between two values give the outer ones: 0.025 * 10 = 0.25.
    assert interval(range(11)) == (0.0, 10.0)
    assert interval([0.5]) == (0.5, 0.5)


def test_undefined_resamples_are_left_out_until_they_are_too_many() -> None:
    values = np.arange(100.0)
    values[:10] = np.nan
    assert interval(values, 0.9) == (14.0, 95.0)
    values[10] = np.nan
    assert interval(values) is None
    assert interval([math.nan]) is None
    assert interval([]) is None


def test_infinite_cuts_have_an_interval() -> None:
    assert interval([-math.inf] * 50 + [0.5] * 50) == (-math.inf, 0.5)
    assert interval([math.inf] * 100) == (math.inf, math.inf)


def test_a_level_is_between_0_and_1() -> None:
    for level in (0.0, 1.0, 95.0, math.nan):
        with pytest.raises(PixqError, match="a number above 0 and below 1"):
            interval([0.5], level)
