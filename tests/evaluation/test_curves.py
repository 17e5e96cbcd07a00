"""What scores mean: isotonic curves against scikit-learn's, order of the nested fits, and JSON to the bit."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.isotonic import IsotonicRegression

from pixq.classes import classify
from pixq.decisions.calibration_file import MappingFile
from pixq.decisions.curves import Curve, Mapping, fit_mapping
from pixq.errors import PixqError


def patches(seed: int, n: int, digits: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    quality = rng.random(n)
    score = np.round(3 * quality + rng.normal(0, rng.choice([0.1, 1.0, 10.0]), n), digits)
    return score, quality, classify(quality), rng.integers(0, 4, n) / rng.choice([1, 3]) + (np.arange(n) == 0)


@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([0, 1, 15]))
def test_curves_are_those_of_scikit_learn(seed: int, n: int, digits: int) -> None:
    score, quality, truth, weight = patches(seed, n, digits)
    mapping = fit_mapping(score, quality, truth, weight)
    at = np.concatenate((score, np.linspace(score.min() - 1, score.max() + 1, 97)))
    for curve, target in ((mapping.expected, quality), (mapping.orange, truth >= 1), (mapping.green, truth >= 2)):
        oracle = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, target, weight)
        np.testing.assert_allclose(curve(at), oracle.predict(at), atol=1e-9)


@given(st.integers(0, 2**32), st.integers(1, 80), st.sampled_from([0, 1, 15]))
def test_probabilities_are_probabilities(seed: int, n: int, digits: int) -> None:
    score, quality, truth, weight = patches(seed, n, digits)
    mapping = fit_mapping(score, quality, truth, weight)
    at = np.concatenate((score, np.linspace(score.min() - 1, score.max() + 1, 997), [-1e300, 1e300]))
    found = mapping.probabilities(at)
    assert found.shape == (len(at), 3)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-15)
    order = np.argsort(at, kind="stable")
    assert (np.diff(found[order, 0]) <= 0).all()
    assert (np.diff(found[order, 2]) >= 0).all()
    assert (np.diff(mapping.quality(at[order])) >= 0).all()


def test_roundings_make_no_negative_probability() -> None:
    """Rounding may put one of two lines through the same points above the other."""
    half, above = Curve((0.0,), (0.5,)), Curve((0.0,), (0.5 + 1e-13,))
    assert Mapping(half, half, above).probabilities([0.0]).tolist() == [[0.5, 0.0, 0.5]]


def test_each_class_has_its_column() -> None:
    truth = np.repeat([0, 1, 2], 5)
    found = fit_mapping(truth * 10.0, truth / 2, truth).probabilities([0.0, 10.0, 20.0])
    assert found.tolist() == np.eye(3).tolist()


def test_a_weight_is_a_repetition() -> None:
    score, quality, truth, _ = patches(3, 40, 1)
    weight = np.arange(40) % 3
    twice = [np.repeat(each, weight) for each in (score, quality, truth)]
    at = np.linspace(-3, 6, 200)
    one, other = fit_mapping(score, quality, truth, weight), fit_mapping(*twice)
    np.testing.assert_allclose(one.quality(at), other.quality(at), atol=1e-12)
    np.testing.assert_allclose(one.probabilities(at), other.probabilities(at), atol=1e-12)


@given(st.integers(0, 2**32), st.integers(1, 60))
def test_json_gives_back_the_same_bits(seed: int, n: int) -> None:
    score, quality, truth, _ = patches(seed, n)
    mapping = fit_mapping(score, quality, truth)
    again = MappingFile.model_validate_json(json.dumps(mapping.to_json(), allow_nan=False)).mapping
    assert again == mapping
    assert (again.probabilities(score) == mapping.probabilities(score)).all()


def broken(path: tuple[Any, ...], value: Any) -> Any:
    data = fit_mapping([0.0, 1.0, 2.0], [0.0, 0.5, 1.0], [0, 1, 2]).to_json()
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "should be a valid dictionary"),
        ([], "should be a valid dictionary"),
        ({}, r"kind\n  Field required"),
        (broken(("more",), 1), r"more\n  Extra inputs are not permitted"),
        (broken(("kind",), "steps"), r"kind\n  Input should be 'isotonic, linear between knots'"),
        (broken(("quality",), 3), r"quality\n  Input should be a valid dictionary"),
        (broken(("quality", "score"), "abc"), r"quality\.score\n  Input should be a valid tuple"),
        (broken(("quality", "score"), [0.0, True, 2.0]), r"quality\.score\.1\n  Input should be a valid number"),
        (broken(("quality", "score"), [0.0, 1.0]), "the same number of both"),
        (broken(("quality", "score"), [0.0, 1.0, 10**400]), r"quality\.score\.2\n"),
        (broken(("quality", "score"), [0.0, math.nan, 2.0]), r"quality\.score\.1\n  Input should be a finite number"),
        (broken(("quality", "score"), [0.0, 2.0, 2.0]), "do not increase"),
        (broken(("quality", "value"), [0.0, 0.6, 0.5]), "decrease"),
        (broken(("quality", "value"), [-0.1, 0.5, 0.5]), "not between 0 and 1"),
        (broken(("quality", "value"), [0.0, 0.5, 1.1]), "not between 0 and 1"),
        (broken(("orange_or_better",), {"score": [0.0], "value": [0.5]}), "Green is more probable"),
        (broken(("green",), {"score": [], "value": []}), "the same number of both"),
    ],
)
def test_nonsense_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MappingFile.model_validate(data)


@pytest.mark.parametrize(
    ("score", "value", "message"),
    [
        ((0.0, 1.0), (0.5,), "the same number of both"),
        ((0.0, math.nan), (0.0, 1.0), "not a finite"),
        ((0.0, 0.0), (0.0, 1.0), "do not increase"),
        ((0.0, 1.0), (0.6, 0.5), "decrease"),
        ((0.0, 1.0), (0.0, 1.1), "not between 0 and 1"),
    ],
)
def test_a_curve_that_is_not_one_is_refused(score: tuple[float, ...], value: tuple[float, ...], message: str) -> None:
    with pytest.raises(PixqError, match=message):
        Curve(score, value)


def test_what_can_not_be_fitted() -> None:
    with pytest.raises(PixqError, match="must all have shape"):
        fit_mapping([0.1, 0.2], [0.1], [0, 1])
    with pytest.raises(PixqError, match="infinite or not a number"):
        fit_mapping([0.1, math.inf], [0.1, 0.2], [0, 1])
    with pytest.raises(PixqError, match="quality has a value that is not between 0 and 1"):
        fit_mapping([0.1, 0.2], [0.1, math.nan], [0, 1])
    with pytest.raises(PixqError, match="from 0 to 2: Red"):
        fit_mapping([0.1, 0.2], [0.1, 0.2], [0, 3])
    with pytest.raises(PixqError, match="none of them negative"):
        fit_mapping([0.1, 0.2], [0.1, 0.2], [0, 1], [1, -1])
    with pytest.raises(PixqError, match="no patches"):
        fit_mapping([0.1, 0.2], [0.1, 0.2], [0, 1], [0, 0])


def test_these_modules_load_neither_torch_nor_scikit_learn() -> None:
    """And without scikit-learn one line says what to install."""
    code = """
import sys
import pixq.decisions.conformal, pixq.decisions.cuts, pixq.decisions.curves, pixq.statistics.metrics
from pydantic import ValidationError
assert not {"torch", "sklearn", "scipy"} & set(sys.modules)
sys.modules["sklearn"] = None
try:
    pixq.decisions.curves.fit_mapping([0.0, 1.0], [0.0, 1.0], [0, 2])
except pixq.PixqError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "scikit-learn is not installed; install it with: pip install 'pixq[train]'\n"


def test_a_curve_by_hand() -> None:
    curve = Curve((0.0, 1.0, 3.0), (0.0, 0.5, 0.75))
    assert curve([[-1.0, 0.5], [2.0, 9.0]]).tolist() == [[0.0, 0.25], [0.625, 0.75]]
    assert math.isnan(curve([math.nan])[0])
