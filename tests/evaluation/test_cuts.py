"""Cut points: the exact search against brute force and the notebooks' grid, ties, gaps, weights, and resamples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pixq.classes import classify
from pixq.decisions import macro_f1
from pixq.decisions.cuts import OBJECTIVES, BestCuts, Cost, Objective, bootstrap_cuts, find_cuts
from pixq.errors import PixqError
from pixq.statistics.bootstrap import interval, resample_groups

COST: Cost = ((0, 1, 4), (1, 0, 1), (3, 1, 0))


def objectives(cost: Cost = COST) -> list[Objective]:
    return [Objective(name, cost if name == "cost" else None) for name in OBJECTIVES]


def confusion(score: Any, truth: Any, cuts: tuple[float, float], weight: Any = None) -> np.ndarray:
    """The confusion matrix by the one function that turns scores into classes."""
    return np.bincount(np.asarray(truth) * 3 + classify(score, cuts), weight, 9).reshape(3, 3)


def naive(counts: np.ndarray, objective: Objective) -> float:
    """The objective, spelt out; as high as it is good."""
    here = [k for k in range(3) if counts[k].sum() > 0]
    if objective.name == "accuracy":
        return float(np.trace(counts) / counts.sum())
    if objective.name == "balanced_accuracy":
        return sum(counts[k, k] / counts[k].sum() for k in here) / len(here)
    if objective.name == "macro_f1":
        return sum(2 * counts[k, k] / (counts[k].sum() + counts[:, k].sum()) for k in here) / len(here)
    assert objective.cost is not None
    return -sum(counts[k, a] * objective.cost[k][a] for k in range(3) for a in range(3)) / float(counts.sum())


def every_pair(score: np.ndarray) -> list[tuple[float, float]]:
    places = np.unique(score)
    cuts = [-math.inf, *(places[1:] / 2 + places[:-1] / 2).tolist(), math.inf]
    return [(a, b) for at, a in enumerate(cuts) for b in cuts[at:]]


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Few scores with many ties, classes that may be missing, weights whole or not, some of them 0."""
    n = draw(st.integers(1, 12))
    each = st.lists
    score = draw(each(st.sampled_from([-1.0, -0.25, 0.0, 0.5, 0.75, 3.0, 9.0]), min_size=n, max_size=n))
    classes = draw(st.sampled_from([(0, 1, 2), (0, 1), (1, 2), (0, 2), (1,)]))
    truth = draw(each(st.sampled_from(classes), min_size=n, max_size=n))
    kind = draw(st.sampled_from([st.integers(0, 3), st.sampled_from([0.0, 0.1, 0.7, 1.3])]))
    weight = np.array(draw(each(kind, min_size=n, max_size=n)))
    weight[0] = 1
    return np.array(score), np.array(truth), weight


@given(cases(), st.lists(st.integers(-2, 5), min_size=9, max_size=9))
def test_the_exact_search_equals_brute_force(case: tuple[np.ndarray, ...], entries: list[int]) -> None:
    score, truth, weight = case
    cost: Any = tuple(tuple(float(each) for each in entries[row : row + 3]) for row in (0, 3, 6))
    for objective in objectives(cost):
        best = max(naive(confusion(score, truth, pair, weight), objective) for pair in every_pair(score[weight > 0]))
        found = find_cuts(score, truth, objective, weight)
        assert found.value * (1 if objective.higher_is_better else -1) == pytest.approx(best, abs=1e-12)
        assert found.value == objective.value(confusion(score, truth, found.pair, weight))


@given(st.integers(0, 2**32), st.sampled_from([30, 300, 2000]))
def test_no_worse_than_the_notebooks_grid(seed: int, n: int) -> None:
    """Steps of 0.002 over [0, 1], balanced accuracy of each pair by two histograms of the same cuts."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    score = np.clip(truth / 2 * rng.random() + rng.normal(0, rng.choice([0.02, 0.2, 0.5]), n) + 0.2, 0, 1)
    if seed % 2:
        score = score.astype(np.float32)
    grid = np.arange(0, 1.0001, 0.002)
    totals = np.bincount(truth, minlength=3)
    here = totals > 0
    below = np.stack([(score[truth == k][:, None] < grid).sum(axis=0) for k in np.flatnonzero(here)])
    shares = below / totals[here][:, None]
    parts = np.zeros((3, len(grid)))
    parts[here] = shares
    value = parts[0][:, None] - parts[1][:, None] + (parts[1] - parts[2])[None, :] + (1.0 if here[2] else 0.0)
    best = value[np.triu_indices(len(grid))].max() / here.sum()
    assert find_cuts(score, truth).value >= best - 1e-12


@pytest.mark.slow
@given(st.integers(0, 2**32))
def test_macro_f1_is_exact_where_blocks_are_many(seed: int) -> None:
    """Enough places that blocks are cut in four several times; all pairs at once as the oracle."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(300, 700))
    truth = rng.choice(3, n, p=rng.dirichlet([1, 1, 1]))
    score = np.round(truth * rng.choice([0.0, 0.3, 2.0]) + rng.normal(size=n), int(rng.choice([1, 2, 6])))
    weight = rng.integers(1, 4, n)
    places = np.append(np.unique(score), np.inf)
    below = np.stack([[weight[(truth == k) & (score < at)].sum() for at in places] for k in range(3)]).astype(float)
    below = np.concatenate((below, below[:, -1:]), axis=1)[:, :-1]
    totals, everything = below[:, -1], below.sum(axis=0)
    p, q = np.triu_indices(len(places))
    parts = [
        (below[0][p], everything[p]),
        (below[1][q] - below[1][p], everything[q] - everything[p]),
        (totals[2] - below[2][q], everything[-1] - everything[q]),
    ]
    total = sum(2 * right / (totals[k] + answers) for k, (right, answers) in enumerate(parts) if totals[k] > 0)
    found = macro_f1.search(below)
    assert find_cuts(score, truth, Objective("macro_f1"), weight).value * (totals > 0).sum() == pytest.approx(
        total.max(), abs=1e-12
    )
    pairs = {
        (int(a), int(b)) for a, b in zip(p[total >= total.max() - 1e-14], q[total >= total.max() - 1e-14], strict=True)
    }
    assert {(int(a), int(b)) for a, b in zip(*found, strict=True)} <= pairs


def test_equal_scores_are_never_divided() -> None:
    score, truth = [0.5] * 6, [0, 0, 0, 0, 1, 2]
    assert find_cuts(score, truth, Objective("accuracy")) == BestCuts(math.inf, math.inf, 4 / 6)


def test_a_cut_is_midway_and_in_the_widest_gap() -> None:
    assert find_cuts([0.0, 1.0, 3.0, 4.0], [0, 0, 1, 2]).pair == (2.0, 3.5)
    # The score of 6 costs as much on either side of either cut: of the gaps round it the wider one is taken.
    score, truth = [0, 5, 6, 9, 20], [0, 0, 2, 1, 2]
    assert find_cuts(score, truth, Objective("accuracy")).pair == (7.5, 14.5)
    # The wrong way round, an orange cut of 0.5 is as good as one of 2.5, and no green one is any good.
    assert find_cuts([0, 1, 2, 3], [0, 1, 0, 1], Objective("accuracy")).pair == (0.5, math.inf)
    # All of one class: an infinite cut is never worse here, and is not avoidable.
    assert find_cuts([0, 1], [0, 0], Objective("accuracy")).pair == (math.inf, math.inf)
    assert find_cuts([0, 1], [2, 2], Objective("accuracy")).pair == (-math.inf, -math.inf)
    assert find_cuts([0, 1], [1, 1], Objective("accuracy")).pair == (-math.inf, math.inf)


def test_of_equally_good_cuts_the_widest_gap_then_the_middle_one() -> None:
    """Where nothing costs anything all cuts are as good."""
    free = Objective("cost", ((0, 0, 0), (0, 0, 0), (0, 0, 0)))
    truth = [0, 1, 2, 0, 1, 2, 0]
    # Six finite green cuts, of which the lower middle one is the third; below it two orange ones.
    assert find_cuts([0, 1, 2, 3, 4, 5, 6], truth, free).pair == (0.5, 2.5)
    # The gap from 5 to 7 is the widest; below it five orange ones.
    assert find_cuts([0, 1, 2, 3, 4, 5, 7], truth, free).pair == (2.5, 6.0)


@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=False, allow_infinity=False, width=64),
            st.floats(allow_nan=False, allow_infinity=False, width=32).map(np.float32).map(float),
            st.integers(0, 3).map(lambda steps: 0.3 + steps * math.ulp(0.3)),
        ),
        min_size=1,
        max_size=10,
    ),
    st.data(),
)
@example([0.3, math.nextafter(0.3, 1), math.nextafter(math.nextafter(0.3, 1), 1)], None)
@example([5e-324, 0.0, 1e-323], None)
@example([1.7e308, -1.7e308, 1.6e308], None)
def test_cuts_do_what_they_promise_for_any_floats(score: list[float], data: Any) -> None:
    """Adjacent floats have no midpoint between them: the value must be met all the same."""
    truth = [at % 3 for at in range(len(score))]
    if data is not None:
        truth = data.draw(st.lists(st.integers(0, 2), min_size=len(score), max_size=len(score)))
    for objective in objectives():
        found = find_cuts(score, truth, objective)
        assert found.orange <= found.green
        assert found.value == objective.value(confusion(score, truth, found.pair))
        separable = len({(s, t) for s, t in zip(score, truth, strict=True)}) == len(set(score)) and all(
            t <= u for s, t in zip(score, truth, strict=True) for r, u in zip(score, truth, strict=True) if s < r
        )
        if separable:
            assert found.value == (1.0 if objective.higher_is_better else 0.0)


@pytest.mark.slow
@given(cases(), st.integers(0, 2**32))
def test_resamples_equal_cuts_of_what_was_drawn(case: tuple[np.ndarray, ...], seed: int) -> None:
    score, truth, _ = case
    group = np.random.default_rng(seed).integers(0, 4, len(score))
    resamples = resample_groups(group, 5, seed)
    for objective in objectives():
        found = bootstrap_cuts(score, truth, group, resamples, objective)
        for row, times in enumerate(resamples.multiplicity):
            drawn = np.repeat(np.arange(len(score)), times[resamples.rows(group)])
            assert tuple(found[row]) == find_cuts(score[drawn], truth[drawn], objective).pair


def test_a_resample_without_patches_has_no_cuts() -> None:
    resamples = resample_groups(["a", "b"], 50)
    found = bootstrap_cuts([0.1, 0.9], [0, 2], ["a", "a"], resamples)
    assert np.isnan(found).all(axis=1).tolist() == (resamples.multiplicity[:, 0] == 0).tolist()


def test_weights_that_are_not_whole_count_too() -> None:
    score, truth = [1, 2, 3], [2, 1, 0]
    heavy = find_cuts(score, truth, Objective("accuracy"), [0.1, 0.2, 0.3])
    assert heavy.pair == (math.inf, math.inf)
    assert heavy.value == pytest.approx(0.5)


def test_what_can_not_be_searched() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(PixqError, match="infinite or not a number"):
            find_cuts([bad, 0.1], [0, 1])
    with pytest.raises(PixqError, match="from 0 to 2: Red, Orange, Green"):
        find_cuts([0.1, 0.2], [0, 3])
    with pytest.raises(PixqError, match="both must have shape"):
        find_cuts([0.1, 0.2], [0])
    for empty in ([], [0.0]):
        with pytest.raises(PixqError, match="no patches"):
            find_cuts([0.5] * len(empty), np.zeros(len(empty), int), None, empty)
    for weight in ([1.0], [-1.0, 1.0], [math.nan, 1.0]):
        with pytest.raises(PixqError, match="weights must be 2"):
            find_cuts([0.1, 0.2], [0, 1], None, weight)
    with pytest.raises(PixqError, match="drawn from different groups"):
        bootstrap_cuts([0.1, 0.2], [0, 1], [0, 5], resample_groups([0, 1], 2))
    with pytest.raises(PixqError, match="2 scores and 1 groups"):
        bootstrap_cuts([0.1, 0.2], [0, 1], [0], resample_groups([0, 1], 2))


def test_what_is_no_objective() -> None:
    with pytest.raises(PixqError, match="choose one of balanced_accuracy, accuracy, macro_f1, cost"):
        Objective("kappa")
    with pytest.raises(PixqError, match="the objective cost needs a cost matrix, and no other"):
        Objective("cost")
    with pytest.raises(PixqError, match="the objective cost needs a cost matrix, and no other"):
        Objective("accuracy", COST)
    with pytest.raises(PixqError, match="3 x 3"):
        Objective("cost", ((0, 1), (1, 0)))  # type: ignore[arg-type]
    with pytest.raises(PixqError, match="an entry of the cost matrix is"):
        Objective("cost", ((0, 1, math.nan), (1, 0, 1), (1, 1, 0)))


@pytest.mark.slow
def test_intervals_cover_the_best_cuts_at_the_nominal_rate() -> None:
    """The best cuts of three normals, one apart with equal spread, are where neighbours cross: 0.5 and 1.5.

    Cuts converge as the cube root of n, where the bootstrap is known to be rough; groups shift all their scores.
    """
    simulations, inside = 200, np.zeros(2)
    for seed in range(simulations):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 20)
        truth = rng.integers(0, 3, len(group))
        score = truth + rng.normal(0, 0.3, len(group)) + rng.normal(0, 0.2, 60)[group]
        found = bootstrap_cuts(score, truth, group, resample_groups(group, 200, seed))
        for at, best in enumerate((0.5, 1.5)):
            ends = interval(found[:, at], 0.9)
            assert ends is not None
            inside[at] += ends[0] <= best <= ends[1]
    # Three standard deviations of a binomial below nominal: 0.9 - 3 * sqrt(0.9 * 0.1 / 200).
    assert (inside / simulations >= 0.836).all(), inside
    assert (inside / simulations < 1.0).all(), inside
