"""Metrics against scikit-learn and SciPy, on the answers and on every resample of them; intervals in simulation."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn import metrics as oracle

from pixq.classes import classify
from pixq.decisions.conformal import fit_sets
from pixq.decisions.curves import fit_mapping
from pixq.decisions.cuts import find_cuts
from pixq.errors import PixqError
from pixq.statistics.bootstrap import interval, resample_groups
from pixq.statistics.correlation import LogisticFit, Ranks
from pixq.statistics.metrics import METRICS, Answers, difference, measure, reliability


def answers_of(seed: int, n: int, groups: int, digits: int = 15, classes: tuple[int, ...] = (0, 1, 2)) -> Answers:
    """Answers of a model that is somewhat right, with groups that differ."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, n)
    truth = rng.choice(classes, n).astype(np.int8)
    quality = np.round(np.clip((truth + rng.random(n)) / 3, 0, 1), min(digits, 3))
    score = np.round(5 * quality + rng.normal(0, 1, n) + rng.normal(0, 0.5, groups)[group], digits)
    answer = np.where(rng.random(n) < 0.3, rng.integers(0, 3, n), truth).astype(np.int8)
    probability = rng.dirichlet([0.5, 0.5, 0.5], n)
    probability = np.clip(np.round(probability, digits), 0, 1)
    return Answers(truth, answer, quality, score, group, rng.random(n), probability, rng.random((n, 3)) < 0.5)


def naive_ece(probability: np.ndarray, truth: np.ndarray) -> float:
    top, confidence = probability.argmax(axis=1), probability.max(axis=1)
    total = 0.0
    for k in range(15):
        inside = (np.ceil(confidence * 15) == k + 1) | ((k == 0) & (confidence == 0))
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - (top == truth)[inside].mean())
    return total


def expected(answers: Answers) -> dict[str, float | None]:
    """Metrics from libraries, or spelt out; `None` where undefined."""
    truth, answer = answers.truth, answers.answer
    here = np.unique(truth)
    found: dict[str, float | None] = dict.fromkeys(METRICS)
    with warnings.catch_warnings():
        # Answers that are no true class, and constants, which are undefined here.
        warnings.simplefilter("ignore")
        found["accuracy"] = oracle.accuracy_score(truth, answer)
        found["balanced_accuracy"] = oracle.balanced_accuracy_score(truth, answer)
        found["macro_f1"] = oracle.f1_score(truth, answer, labels=here, average="macro", zero_division=0)
        recalls = oracle.recall_score(truth, answer, labels=[0, 1, 2], average=None, zero_division=np.nan)
        kappa = oracle.cohen_kappa_score(truth, answer, labels=[0, 1, 2], weights="quadratic")
        srcc = stats.spearmanr(answers.score, answers.quality).statistic if len(truth) > 1 else math.nan
    for name, recall in zip(("recall_red", "recall_orange", "recall_green"), recalls, strict=True):
        found[name] = None if math.isnan(recall) else recall
    found["kappa"] = None if math.isnan(kappa) else kappa
    found["srcc"] = None if math.isnan(srcc) else srcc
    assert answers.mapped is not None
    assert answers.probability is not None
    assert answers.sets is not None
    found["mse"] = oracle.mean_squared_error(answers.quality, answers.mapped)
    found["ece"] = naive_ece(answers.probability, truth)
    found["coverage"] = float(np.mean([row[t] for row, t in zip(answers.sets, truth, strict=True)]))
    found["unsure"] = float(np.mean([row.sum() != 1 for row in answers.sets]))
    del found["plcc"]
    return found


CLASSES = st.sampled_from([(0, 1, 2), (0, 1, 2), (0, 2), (1,)])


@pytest.mark.slow
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([0, 1, 15]), CLASSES)
def test_metrics_are_those_of_libraries(seed: int, n: int, digits: int, classes: tuple[int, ...]) -> None:
    answers = answers_of(seed, n, 4, digits, classes)
    measured = measure(answers, resample_groups(answers.group, 2))
    assert set(measured.estimates) == set(METRICS)
    for name, value in expected(answers).items():
        assert measured.estimates[name].value == pytest.approx(value, abs=1e-12), name
    confusion = oracle.confusion_matrix(answers.truth, answers.answer, labels=[0, 1, 2])
    assert (measured.confusion == confusion).all()
    assert (measured.n, measured.groups) == (n, len(set(answers.group.tolist())))


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(4, 60), st.sampled_from([0, 1, 15]), CLASSES)
def test_resamples_are_those_of_what_was_drawn(seed: int, n: int, digits: int, classes: tuple[int, ...]) -> None:
    answers = answers_of(seed, n, 5, digits, classes)
    resamples = resample_groups([*answers.group, 0, 1], 6, seed)
    measured = measure(answers, resamples)
    for row, times in enumerate(resamples.multiplicity):
        drawn = np.repeat(np.arange(n), times[resamples.rows(answers.group)])
        values = expected(answers.take(drawn)) if len(drawn) else dict.fromkeys(set(METRICS) - {"plcc"})
        if set(answers.truth[drawn]) < set(answers.truth):
            values["balanced_accuracy"] = values["macro_f1"] = None
        for name, value in values.items():
            found = float(measured.estimates[name].resampled[row])
            if measured.groups == 1:
                assert math.isnan(found)
            else:
                assert found == pytest.approx(math.nan if value is None else value, abs=1e-12, nan_ok=True), name


def logistic_by_scipy(score: np.ndarray, quality: np.ndarray) -> float:
    """The correlation after the logistic with four parameters, by least squares from many beginnings."""
    z = (score - score.mean()) / score.std()

    def curve(b: np.ndarray) -> np.ndarray:
        return b[0] + b[1] / (1 + np.exp(-(z - b[2]) / b[3]))

    low, high = quality.min(), quality.max()
    fits = [
        optimize.least_squares(
            lambda b: curve(b) - quality,
            [low, high - low, at, width],
            bounds=([-100, 1e-9, z.min(), 0.02], [100, 200, z.max(), 30]),
            x_scale=[1, 1, 1, 0.3],
        )
        for at in (-1.0, 0.0, 1.0)
        for width in (0.1, 0.5, 2.0)
    ]
    best = min(fits, key=lambda fit: fit.cost)
    return float(stats.pearsonr(curve(best.x), quality).statistic)


@pytest.mark.parametrize("shape", ["logistic", "line", "bent", "steep"])
@pytest.mark.parametrize("seed", range(6))
def test_plcc_is_that_of_scipys_least_squares(shape: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.normal(30, 5, 400)
    z = (score - 30) / 5
    clean = {"logistic": 1 / (1 + np.exp(-2 * (z - 0.3))), "line": 0.5 + z / 8, "bent": np.exp(z / 2) / 5}
    quality = np.clip(clean.get(shape, z > 0.5) + rng.normal(0, 0.1, 400), 0, 1)
    found = LogisticFit(score, quality).plcc(np.ones(400))
    assert found == pytest.approx(logistic_by_scipy(score, quality), abs=1e-3 if shape == "steep" else 2e-5)
    assert found >= stats.pearsonr(score, quality).statistic - 1e-12
    if shape == "logistic":
        assert found > stats.pearsonr(score, quality).statistic + 0.01


@pytest.mark.parametrize("seed", range(4))
def test_plcc_of_resamples_is_that_of_a_fresh_fit(seed: int) -> None:
    answers = answers_of(seed, 600, 30)
    resamples = resample_groups(answers.group, 25, seed)
    found = measure(answers, resamples).estimates["plcc"].resampled
    for row, times in enumerate(resamples.multiplicity):
        drawn = np.repeat(np.arange(600), times[resamples.rows(answers.group)])
        score, quality = answers.score[drawn], answers.quality[drawn]
        assert found[row] == pytest.approx(LogisticFit(score, quality).plcc(np.ones(len(drawn))), abs=2e-5)


def test_no_fit_turns_the_direction() -> None:
    """Scores the wrong way round stay wrong: the plain correlation, which is negative."""
    rng = np.random.default_rng(0)
    quality = rng.random(200)
    score = -quality + rng.normal(0, 0.1, 200)
    plain = stats.pearsonr(score, quality).statistic
    assert LogisticFit(score, quality).plcc(np.ones(200)) == pytest.approx(plain, abs=1e-12)
    answers = Answers(classify(quality), classify(score), quality, score, np.arange(200) % 9)
    estimate = measure(answers, resample_groups(answers.group, 50)).estimates["plcc"]
    assert estimate.high is not None
    assert estimate.high < -0.9


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(finite, st.floats(0, 1), st.integers(0, 2)), min_size=1, max_size=12))
@example([(1.7e308, 0.1, 1), (-1.7e308, 0.9, 1), (1.0, 0.5, 1)])
@example([(5e-324, 0.1, 1), (0.0, 0.0, 1), (1e-323, 0.5, 2)])
@example([(1.0, 0.1, 0), (2.0, 0.2, 0), (3.0, 0.7, 1)])
@example([(0.1, 0.1, 1)] * 3)
def test_correlations_of_any_floats_are_correlations_or_nothing(triples: list[tuple[float, float, int]]) -> None:
    score, quality, weight = (np.array(column, dtype=float) for column in zip(*triples, strict=True))
    for found in (Ranks(score, quality).srcc(weight), LogisticFit(score, quality).plcc(weight)):
        assert math.isnan(found) or -1 - 1e-9 <= found <= 1 + 1e-9


def test_undefined_is_none_and_never_a_warning() -> None:
    """Warnings are errors in these tests."""
    group = np.arange(6)
    constant = Answers(np.full(6, 1), np.full(6, 1), np.full(6, 0.5), np.full(6, 0.1), group)
    measured = measure(constant, resample_groups(group, 20))
    values = {name: each.value for name, each in measured.estimates.items()}
    nothing = dict.fromkeys(("recall_red", "recall_green", "kappa", "srcc", "plcc", "mse", "ece"))
    perfect = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "recall_orange"), 1.0)
    assert values == {**nothing, **perfect}
    assert json.loads(json.dumps(measured.to_json(), allow_nan=False)) == measured.to_json()
    assert measured.to_json()["estimates"]["srcc"] == {"value": None, "low": None, "high": None}
    assert measured.to_json()["estimates"]["accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert measured.to_json()["confusion"] == [[0, 0, 0], [0, 6, 0], [0, 0, 0]]


def test_one_group_has_values_but_no_interval() -> None:
    answers = answers_of(1, 30, 1)
    for resamples in (resample_groups(answers.group, 20), resample_groups([0, 1, 2, 3], 20)):
        measured = measure(answers, resamples)
        assert measured.groups == 1
        for each in measured.estimates.values():
            assert each.value is not None
            assert (each.low, each.high) == (None, None)


def test_a_class_of_one_group_has_no_interval() -> None:
    """A third of the resamples has no patch of it."""
    answers = Answers(
        np.array([0, 1, 1, 2, 2, 2]), np.array([0, 1, 2, 2, 2, 1]), np.linspace(0, 1, 6), np.arange(6.0), np.arange(6)
    )
    found = measure(answers, resample_groups(answers.group, 300)).estimates
    red = found["recall_red"]
    assert (red.value, red.low, red.high) == (1.0, None, None)
    # A mean of the other two recalls is no draw of a mean of three.
    for name in ("balanced_accuracy", "macro_f1"):
        assert np.isnan(found[name].resampled[np.isnan(red.resampled)]).all()
        assert (found[name].low, found[name].high) == (None, None)
    assert 0.25 < np.isnan(red.resampled).mean() < 0.42


def test_a_difference_is_paired() -> None:
    """Two methods that err on the same patches differ for sure, though each is unsure by itself."""
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(40), 10)
    truth = rng.integers(0, 3, 400)
    hard = rng.random(40)[group] < 0.4
    good = np.where(hard, (truth + 1) % 3, truth)
    worse = np.where(np.arange(400) % 10 == 0, (truth + 1) % 3, good)
    resamples = resample_groups(group, 400)
    one, other = (
        measure(Answers(truth, answer, truth / 2, truth * 1.0, group), resamples).estimates["accuracy"]
        for answer in (good, worse)
    )
    both = difference(one, other)
    assert both.value == pytest.approx((good == truth).mean() - (worse == truth).mean())
    assert both.low is not None
    assert both.high is not None
    assert 0.02 < both.low < both.value < both.high < 0.1
    assert one.low is not None
    assert other.high is not None
    assert one.low < other.high
    assert difference(one, one).to_json() == {"value": 0.0, "low": 0.0, "high": 0.0}
    with pytest.raises(PixqError, match="different resamples"):
        difference(
            one,
            measure(Answers(truth, good, truth / 2, truth * 1.0, group), resample_groups(group, 9)).estimates["kappa"],
        )


def test_a_difference_to_what_is_undefined_is_undefined() -> None:
    answers = answers_of(2, 40, 5)
    estimates = measure(answers, resample_groups(answers.group, 20)).estimates
    bare = Answers(answers.truth, answers.answer, answers.quality, answers.score, answers.group)
    nothing = measure(bare, resample_groups(answers.group, 20)).estimates["mse"]
    assert difference(estimates["mse"], nothing).to_json() == {"value": None, "low": None, "high": None}


def test_reliability_has_the_gaps_of_the_ece() -> None:
    answers = answers_of(3, 500, 5)
    assert answers.probability is not None
    bins = reliability(answers.probability, answers.truth)
    assert [(each.low, each.high) for each in bins] == [(k / 15, (k + 1) / 15) for k in range(15)]
    assert sum(each.count for each in bins) == 500
    # The most probable of three has at least a third.
    assert all(each.count == 0 and each.confidence is None and each.accuracy is None for each in bins[:5])
    gaps = sum(each.count / 500 * abs(each.confidence - each.accuracy) for each in bins if each.count)  # type: ignore[operator]
    found = measure(answers, resample_groups(answers.group, 2)).estimates["ece"].value
    assert found == pytest.approx(gaps, abs=1e-12)


def test_ece_by_hand() -> None:
    """Four patches of one bin, said 0.75, half of them right: a gap of 0.25; one said 1 and right: none."""
    probability = np.array([[0.75, 0.25, 0]] * 4 + [[0, 0, 1.0]])
    truth = np.array([0, 0, 1, 2, 2])
    answers = Answers(truth, truth, truth / 2, truth * 1.0, np.arange(5), probability=probability)
    assert measure(answers, resample_groups(range(5), 2)).estimates["ece"].value == pytest.approx(0.8 * 0.25)


def change(**values: Any) -> dict[str, Any]:
    truth = np.array([0, 1, 2])
    return {"truth": truth, "answer": truth, "quality": truth / 2, "score": truth * 1.0, "group": truth, **values}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (change(truth=np.array([], int)), "no answers"),
        (change(truth=np.array([0, 1, 3])), "truth must hold classes from 0 to 2: Red, Orange, Green"),
        (change(answer=np.array([0, 1, -1])), "answer must hold classes"),
        (change(answer=np.array([0.0, 1.0, 2.0])), "answer must hold classes"),
        (change(score=np.array([0.1, 0.2])), r"score has shape \(2,\); expected \(3,\)"),
        (change(score=np.array([0.1, 0.2, math.inf])), "infinite or not a number"),
        (change(quality=np.array([0.1, 0.2, math.nan])), "quality has a value"),
        (change(mapped=np.array([0.1, 0.2, 1.1])), "mapped has a value"),
        (change(probability=np.array([0.1, 0.2, 0.7])), r"expected \(3, 3\)"),
        (change(sets=np.ones((3, 2), bool)), r"expected \(3, 3\)"),
        (change(group=np.array([0, 1])), "group has shape"),
    ],
)
def test_what_can_not_be_measured(values: dict[str, Any], message: str) -> None:
    with pytest.raises(PixqError, match=message):
        Answers(**values)


def test_groups_of_others_are_refused() -> None:
    answers = answers_of(1, 20, 4)
    with pytest.raises(PixqError, match="drawn from different groups"):
        measure(answers, resample_groups(["a", "b"]))


def test_a_part_of_the_answers() -> None:
    answers = answers_of(1, 50, 4)
    part = answers.take(answers.truth == 2)
    assert len(part) == (answers.truth == 2).sum()
    assert set(part.truth.tolist()) == {2}
    assert part.sets is not None
    bare = Answers(answers.truth, answers.answer, answers.quality, answers.score, answers.group).take([3, 1])
    assert bare.score.tolist() == answers.score[[3, 1]].tolist()
    assert bare.sets is None


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_threads() -> None:
    """More patches than libraries of linear algebra leave to one thread; compared to the bit."""
    code = """
import numpy as np
from test_metrics import answers_of
from pixq.statistics.bootstrap import resample_groups
from pixq.statistics.metrics import measure
answers = answers_of(9, 40000, 300)
measured = measure(answers, resample_groups(answers.group, 3))
for name, each in measured.estimates.items():
    print(name, each.value.hex(), *(value.hex() for value in each.resampled.tolist()))
"""
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    printed = set()
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, "PYTHONPATH": paths, **dict.fromkeys(names, threads)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        printed.add(done.stdout)
    assert len(printed) == 1
    assert len(printed.pop().splitlines()) == len(METRICS)


@pytest.mark.slow
def test_intervals_cover_the_truth_at_the_nominal_rate() -> None:
    """Balanced accuracy and SRCC of a known world: what 4,000 groups give is taken as true, to 0.002 or better."""

    def world(rng: np.random.Generator, groups: int) -> Answers:
        group = np.repeat(np.arange(groups), 12)
        truth = rng.integers(0, 3, len(group))
        quality = (truth + rng.random(len(group))) / 3
        score = quality + rng.normal(0, 0.2, len(group)) + rng.normal(0, 0.15, groups)[group]
        return Answers(truth, classify(score), quality, score, group)

    large = world(np.random.default_rng(12345), 4000)
    once = measure(large, resample_groups(large.group, 1)).estimates
    simulations, inside = 200, {"balanced_accuracy": 0, "srcc": 0, "plcc": 0}
    for seed in range(simulations):
        answers = world(np.random.default_rng(seed), 60)
        estimates = measure(answers, resample_groups(answers.group, 200, seed), level=0.9).estimates
        for name in inside:
            found, true = estimates[name], once[name].value
            assert found.low is not None
            assert found.high is not None
            assert true is not None
            inside[name] += found.low <= true <= found.high
    # Three standard deviations of a binomial: 3 * sqrt(0.9 * 0.1 / 200).
    for name, count in inside.items():
        assert abs(count / simulations - 0.9) <= 0.064, (name, count)


def test_calibrated_and_measured_together() -> None:
    """The whole of it on one small world: cuts, mapping and sets from one half, measured on the other."""
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(80), 20)
    quality = rng.random(1600)
    truth = classify(quality)
    score = 10 * quality + rng.normal(0, 1, 1600)
    fit, sets_of, test = (group % 4 == k for k in (0, 1, 2))
    cuts = find_cuts(score[fit], truth[fit])
    mapping = fit_mapping(score[fit], quality[fit], truth[fit])
    sets = fit_sets(mapping.probabilities(score[sets_of]), truth[sets_of], 0.9)
    probability = mapping.probabilities(score)
    answers = Answers(
        truth,
        classify(score, cuts.pair),
        quality,
        score,
        group,
        mapping.quality(score),
        probability,
        sets.of(probability),
    ).take(test)
    found = measure(answers, resample_groups(answers.group, 200)).estimates
    values = {name: each.value for name, each in found.items()}
    assert all(value is not None for value in values.values())
    assert values["balanced_accuracy"] > 0.75
    assert values["kappa"] > 0.8
    assert values["mse"] < 0.015
    assert values["ece"] < 0.1
    assert values["coverage"] > 0.84
    assert found["srcc"].low > 0.9
    assert interval(found["srcc"].resampled) == (found["srcc"].low, found["srcc"].high)


@pytest.mark.slow
def test_the_interval_of_the_ece_is_not_above_it() -> None:
    """Answers whose probabilities are right: of resamples alone, each would look miscalibrated."""
    random = np.random.default_rng(5)
    probability = random.dirichlet([1.0, 1.0, 1.0], 400)
    held = 0
    for _ in range(20):
        truth = (random.random((400, 1)) > probability.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        group = np.arange(400)
        answers = Answers(truth, probability.argmax(axis=1), truth / 2, probability[:, 2], group, None, probability)
        found = measure(answers, resample_groups(group, 200)).estimates["ece"]
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert 0.0 <= found.low <= found.high
        held += found.low <= found.value <= found.high
    assert held == 20
