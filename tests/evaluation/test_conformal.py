"""Conformal sets: coverage on exchangeable data, MAPIE as the oracle, and halves of groups."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin

from pixq.decisions.calibration_file import Conformal
from pixq.decisions.conformal import Sets, divide_groups, fit_sets, needed
from pixq.errors import PixqError


def drawn(rng: np.random.Generator, n: int, digits: int = 15) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are wrong on purpose: the truth is drawn from others."""
    real = rng.dirichlet([0.6, 0.8, 0.5], n)
    truth = (rng.random(n)[:, None] > real.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    said = real**2 + 0.05
    return np.round(said / said.sum(axis=1, keepdims=True), digits), truth


class Said(ClassifierMixin, BaseEstimator):
    """A classifier whose features are its probabilities, for MAPIE."""

    def __init__(self) -> None:
        self.classes_ = np.arange(3)

    def fit(self, x: Any, y: Any) -> Said:
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(axis=1)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x


@pytest.mark.slow
@given(st.integers(0, 2**32), st.integers(20, 120), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_sets_are_those_of_mapie(seed: int, n: int, coverage: float) -> None:
    classification = pytest.importorskip("mapie.classification", reason="mapie is not installed")
    rng = np.random.default_rng(seed)
    probability, truth = drawn(rng, n)
    truth[:3] = [0, 1, 2]
    fresh, _ = drawn(rng, 200)
    oracle = classification.SplitConformalClassifier(
        Said(), confidence_level=coverage, conformity_score="lac", prefit=True
    )
    _, expected = oracle.conformalize(probability, truth).predict_set(fresh)
    assert (fit_sets(probability, truth, coverage).of(fresh) == expected[:, :, 0]).all()


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("coverage", [0.7, 0.9])
def test_coverage_holds_on_exchangeable_data(coverage: float, by_class: bool) -> None:
    """The mean over many draws of calibration and test patches; without ties it is k / (n + 1) exactly."""
    rng = np.random.default_rng(7)
    n, repetitions, fresh = 60, 2000, 20
    inside = []
    for _ in range(repetitions):
        probability, truth = drawn(rng, 3 * n + fresh)
        if by_class and np.bincount(truth[: 3 * n], minlength=3).min() < needed(coverage):
            continue
        sets = fit_sets(probability[: 3 * n], truth[: 3 * n], coverage, by_class=by_class)
        inside.append(sets.of(probability[3 * n :])[np.arange(fresh), truth[3 * n :]].mean())
    # By patches of one repetition the covered share is beta-binomial; four standard errors of its mean.
    error = 4 * np.std(inside) / math.sqrt(len(inside))
    rank = math.ceil((3 * n + 1) * coverage - 1e-9)
    assert np.mean(inside) >= coverage - error
    if not by_class:
        assert abs(np.mean(inside) - rank / (3 * n + 1)) < error


def test_coverage_holds_within_each_class() -> None:
    rng = np.random.default_rng(11)
    inside: list[list[float]] = [[], [], []]
    for _ in range(300):
        probability, truth = drawn(rng, 600)
        sets = fit_sets(probability[:300], truth[:300], 0.8, by_class=True)
        covered = sets.of(probability[300:])[np.arange(300), truth[300:]]
        for each in range(3):
            inside[each].append(covered[truth[300:] == each].mean())
    for each in inside:
        assert np.mean(each) >= 0.8 - 4 * np.std(each) / math.sqrt(len(each))
        assert np.mean(each) < 0.85


@given(st.integers(0, 2**32), st.integers(9, 60))
def test_what_it_was_learned_from_is_covered_ties_and_all(seed: int, n: int) -> None:
    probability, truth = drawn(np.random.default_rng(seed), n, digits=1)
    inside = fit_sets(probability.clip(0, 1), truth, 0.9).of(probability.clip(0, 1))[np.arange(n), truth]
    assert inside.sum() >= math.ceil(round((n + 1) * 0.9, 9))


def test_the_quantile_by_hand() -> None:
    """Nine patches and nine tenths: the largest of nine; eight are too few."""
    probability = np.array([[p, 1 - p, 0] for p in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)])
    truth = np.zeros(9, int)
    assert fit_sets(probability, truth, 0.9).threshold == (0.9, 0.9, 0.9)
    assert fit_sets(probability, truth, 0.8).threshold[0] == 0.8
    with pytest.raises(PixqError, match=r"8 patches are too few .* need 9"):
        fit_sets(probability[1:], truth[1:], 0.9)
    with pytest.raises(PixqError, match="0 Orange patches are too few"):
        fit_sets(probability, truth, 0.9, by_class=True)


@given(st.integers(1, 999))
def test_needed_is_just_enough(thousandths: int) -> None:
    coverage = thousandths / 1000
    n = needed(coverage)
    fit_sets(np.tile([0.2, 0.3, 0.5], (n, 1)), np.zeros(n, int), coverage)
    with pytest.raises(PixqError, match=f"which need {n};"):
        fit_sets(np.tile([0.2, 0.3, 0.5], (n - 1, 1)), np.zeros(n - 1, int), coverage)


def test_json_gives_back_the_same_bits() -> None:
    probability, truth = drawn(np.random.default_rng(1), 200)
    for by_class in (False, True):
        sets = fit_sets(probability, truth, 0.9, by_class=by_class)
        assert Conformal.model_validate_json(json.dumps({**sets.to_json(), "groups": 3})).sets == sets


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": [0.5, 0.5]}, r"threshold\.2\n  Field required"),
        ({"threshold": [0.5, 0.5, math.nan]}, r"threshold\.2\n"),
        ({"threshold": [0.5, 0.5, 1.5]}, r"threshold\.2\n  Input should be less than or equal to 1"),
        ({"threshold": 0.5}, r"threshold\n  Input should be a valid tuple"),
        ({"threshold": ["a", "b", "c"]}, r"threshold\.0\n  Input should be a valid number"),
        ({"coverage": 1.0}, r"coverage\n  Input should be less than 1"),
        ({"coverage": None}, r"coverage\n  Input should be a valid number"),
        ({"patches": 0}, r"patches\n  Input should be greater than or equal to 1"),
        ({"patches": 2.5}, r"patches\n  Input should be a valid integer"),
        ({"by_class": 1}, r"by_class\n  Input should be a valid boolean"),
    ],
)
def test_nonsense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Conformal.model_validate({**Sets((0.5, 0.5, 0.5), 0.9, 10).to_json(), "groups": 3, **change})
    with pytest.raises(ValidationError, match="should be a valid dictionary"):
        Conformal.model_validate([1])


@pytest.mark.parametrize(
    ("threshold", "coverage", "patches", "message"),
    [
        ((0.5, 0.5), 0.9, 10, "3 thresholds between 0 and 1"),
        ((0.5, 0.5, math.nan), 0.9, 10, "3 thresholds between 0 and 1"),
        ((0.5, 0.5, 0.5), 1.0, 10, "the coverage is 1; give a number above 0"),
        ((0.5, 0.5, 0.5), 0.9, 0, "at least one patch"),
    ],
)
def test_sets_that_are_none_are_refused(threshold: Any, coverage: float, patches: int, message: str) -> None:
    with pytest.raises(PixqError, match=message):
        Sets(threshold, coverage, patches)


def test_what_are_no_probabilities() -> None:
    sets = Sets((0.5, 0.5, 0.5), 0.9, 10)
    with pytest.raises(PixqError, match=r"expected \(n, 3\)"):
        sets.of([0.1, 0.2, 0.7])
    with pytest.raises(PixqError, match="probability has a value that is not between 0 and 1"):
        sets.of([[0.1, math.nan, 0.7]])
    with pytest.raises(PixqError, match="1 rows of probabilities"):
        fit_sets([[0.1, 0.2, 0.7]], [0, 1])
    with pytest.raises(PixqError, match="from 0 to 2"):
        fit_sets([[0.1, 0.2, 0.7]], [3])
    with pytest.raises(PixqError, match="a number above 0 and below 1"):
        fit_sets([[0.1, 0.2, 0.7]], [0], 1.0)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(0, 99), st.floats(0.05, 0.95))
def test_halves_are_of_whole_groups(groups: list[int], seed: int, share: float) -> None:
    if len(set(groups)) < 2:
        with pytest.raises(PixqError, match="at least 2"):
            divide_groups(groups)
        return
    fitting = divide_groups(groups, share=share, seed=seed)
    first = {group for group, chosen in zip(groups, fitting, strict=True) if chosen}
    second = {group for group, chosen in zip(groups, fitting, strict=True) if not chosen}
    assert first
    assert second
    assert not first & second
    assert abs(len(first) - share * len(set(groups))) <= 1
    # By name and seed, not by order or by how many patches a group has.
    again = divide_groups(sorted(set(groups)), share=share, seed=seed)
    assert {group for group, chosen in zip(sorted(set(groups)), again, strict=True) if chosen} == first


def test_another_seed_gives_other_halves() -> None:
    names = [f"I{each:02}" for each in range(25)]
    assert len({tuple(divide_groups(names, seed=seed)) for seed in range(20)}) > 15
    with pytest.raises(PixqError, match="share of groups"):
        divide_groups(names, share=1.0)
