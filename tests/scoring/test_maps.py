"""`Scorer.map`: scores and classes of an image pair, with and without a calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq.classes import GREEN, classify
from pixq.decisions.calibration_file import add_calibration, get_calibration
from pixq.errors import PixqError
from pixq.patches.store import PatchSet
from pixq.schemas import schema
from pixq.scoring.grid import Grid
from pixq.scoring.scorer import Scorer, load
from support.built import pixq
from support.predictions import DISTORTED, REFERENCE, SIZE, same


def test_equal_images_are_green(scorer: Scorer) -> None:
    found = scorer.map(REFERENCE, REFERENCE.copy(), stride=7)
    assert (found.classes == GREEN).all()
    assert found.identical.all()
    assert (found.quality == 1).all()
    assert np.isposinf(found.score).all()
    verdict = found.verdict
    assert (verdict.quality, verdict.worst, verdict.shares, verdict.identical) == (
        1,
        1,
        {"Red": 0, "Orange": 0, "Green": 1},
        1,
    )
    assert scorer.score(REFERENCE, REFERENCE) == 1.0


@settings(max_examples=30)
@given(st.integers(0, SIZE[0] - 6), st.integers(0, SIZE[1] - 6), st.integers(1, 20), st.booleans())
def test_a_defect_changes_the_patches_that_cover_it_and_no_other(
    scorer: Scorer, y: int, x: int, stride: int, noisy: bool
) -> None:
    before = DISTORTED if noisy else REFERENCE
    after = before.copy()
    after[y : y + 6, x : x + 6] ^= 0x55
    first, second = (scorer.map(REFERENCE, image, stride=stride) for image in (before, after))
    covers = np.array([y - 20 < top < y + 6 and x - 20 < left < x + 6 for top, left in first.grid.corners.tolist()])
    assert covers.any()
    changed = (first.score != second.score).ravel()
    assert not changed[~covers].any()
    # A patch that has a pixel of it may get the very score that it had, and not many do.
    assert changed[covers].mean() > 0.5 or covers.sum() < 9
    if not noisy:
        np.testing.assert_array_equal(~second.identical.ravel(), covers)
        assert (second.classes.ravel()[~covers] == GREEN).all()


def test_a_score_and_classes_are_those_of_the_map(scorer: Scorer) -> None:
    found = scorer.map(REFERENCE, DISTORTED, stride=9)
    assert scorer.score(REFERENCE, DISTORTED, stride=9) == found.pooled
    np.testing.assert_array_equal(scorer.classify(REFERENCE, DISTORTED, stride=9), found.classes)
    np.testing.assert_array_equal(found.classes, classify(found.quality))
    assert found.grid == Grid(*SIZE, 20, 9)
    assert (found.unsure, found.calibration) == (None, None)
    assert found.pooled == pytest.approx(float(found.quality.mean()), abs=1e-6)
    told: list[tuple[int, int]] = []

    def tell(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "patches":
            told.append((done, total))

    half = DISTORTED.copy()
    half[:40] = REFERENCE[:40]
    again = scorer.map(REFERENCE, half, on_progress=tell)
    assert 0 < again.identical.mean() < 1
    assert told[0] == (0, again.score.size)
    assert told[-1] == (again.score.size, again.score.size)


def test_a_map_is_the_same_for_any_number_of_threads(scorer: Scorer, restore_threads: None) -> None:
    from pixq import set_num_threads

    large, other = (np.tile(image, (4, 4, 1)) for image in (REFERENCE, DISTORTED))
    maps = []
    for threads in (1, 2, 5):
        set_num_threads(threads)
        maps.append(scorer.map(large, other, stride=5))
    same(maps[0], maps[1])
    same(maps[0], maps[2])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_of_any_kind(scorer: Scorer, dtype: type[Any]) -> None:
    wide = 257 if dtype == np.uint16 else 1
    expected = scorer.map(REFERENCE, DISTORTED)
    r, d = (image.astype(dtype) * dtype(wide) for image in (REFERENCE, DISTORTED))
    frozen = d.copy()
    frozen.flags.writeable = False
    for other in (
        d, frozen, np.asfortranarray(d), np.repeat(d, 2, axis=1)[:, ::2], np.repeat(d, 3, axis=0)[::3],
        d[::-1].copy()[::-1], d[:, ::-1].copy()[:, ::-1], d[..., ::-1].copy()[..., ::-1],
    ):  # fmt: skip
        np.testing.assert_array_equal(other, d)
        same(scorer.map(r, other), expected)
    # One may be deeper than the other: both come to 8 bits.
    same(scorer.map(REFERENCE, d), expected)
    grey = [image[..., 0] for image in (r, d)]
    three = [np.repeat(image[..., :1], 3, axis=2) for image in (REFERENCE, DISTORTED)]
    same(scorer.map(*grey), scorer.map(*three))
    same(scorer.map(*(image[..., None] for image in grey)), scorer.map(*three))


def test_sixteen_bits_are_rounded(scorer: Scorer) -> None:
    noise = np.random.default_rng(0).integers(-128, 129, (*SIZE, 3))
    deep = np.clip(REFERENCE.astype(np.int64) * 257 + noise, 0, 65535).astype(np.uint16)
    found = scorer.map(deep, DISTORTED)
    same(found, scorer.map(REFERENCE, DISTORTED))
    # What differs in finer steps alone is identical, and whoever reads the JSON can know that.
    assert scorer.map(deep, REFERENCE).identical.all()
    prediction = schema("prediction")
    for part in ("image", "patches"):
        definition = prediction["properties"][part]["$ref"].rpartition("/")[2]
        assert "at 8 bits" in prediction["$defs"][definition]["properties"]["identical"]["description"]


def test_wrong_images(scorer: Scorer) -> None:
    for bad, error, expected in (
        (REFERENCE.astype(np.float32), TypeError, "'reference' has dtype float32; expected uint8 or uint16"),
        (REFERENCE.tolist(), TypeError, "'reference' has dtype list; expected uint8 or uint16"),
        (REFERENCE[None], ValueError, r"'reference' has shape \(1, 67, 91, 3\); expected \(height, width, 3\)"),
        (np.zeros((*SIZE, 4), np.uint8), ValueError, r"'reference' has shape \(67, 91, 4\); expected"),
        (
            REFERENCE[:60],
            ValueError,
            r"'reference' has shape \(60, 91, 3\), 'distorted' \(67, 91, 3\); make them equal",
        ),
        (
            REFERENCE[..., 0],
            ValueError,
            r"'reference' has shape \(67, 91\), 'distorted' \(67, 91, 3\); make them equal",
        ),
    ):
        with pytest.raises(error, match=expected):
            scorer.map(bad, DISTORTED)
    for empty in (np.zeros((0, 30, 3), np.uint8), np.zeros((30, 0, 3), np.uint8), REFERENCE[:19]):
        with pytest.raises(PixqError, match="a patch takes 20x20: give a larger image"):
            scorer.map(empty, empty)
    for stride in (0, 21, -3):
        with pytest.raises(PixqError, match=f"the stride is {stride}; give a whole number from 1 to 20"):
            scorer.map(REFERENCE, DISTORTED, stride=stride)


def test_a_calibration_makes_the_classes(run: Path, target: PatchSet) -> None:
    options = ("--resamples", "100", "--device", "cpu", "--coverage", "0.8")
    assert pixq("calibrate", run, "--target", target.directory, *options).code == 0
    calibration = get_calibration(run)
    half = DISTORTED.copy()
    half[:40] = REFERENCE[:40]
    found = load(run).map(REFERENCE, half)
    assert (found.calibration, found.cuts) == (calibration.name, calibration.cuts.values)
    np.testing.assert_array_equal(found.classes, classify(found.score, calibration.cuts.values))
    # As the calibration's author has it: a set that has not exactly one class, unless the patch is equal.
    assert calibration.conformal is not None
    sets = calibration.conformal.sets
    members = sets.of(calibration.mapping.mapping.probabilities(found.score.ravel()))
    unsure = (members.sum(axis=1) != 1).reshape(found.grid.shape) & ~found.identical
    assert found.unsure is not None
    np.testing.assert_array_equal(found.unsure, unsure)
    assert found.identical.any()
    assert (found.classes[found.identical] == GREEN).all()

    # A set without any class is no answer either.
    strict = calibration.conformal.model_copy(update={"threshold": (0.0, 0.0, 0.0)})
    add_calibration(run, calibration.model_copy(update={"conformal": strict}))
    empty = load(run).map(REFERENCE, half)
    chances = calibration.mapping.mapping.probabilities(found.score.ravel()).reshape(*found.grid.shape, 3)
    assert (chances.max(axis=2) < 1)[~found.identical].any()
    np.testing.assert_array_equal(empty.unsure, (chances.max(axis=2) < 1) & ~found.identical)

    add_calibration(run, calibration.model_copy(update={"name": "second", "conformal": None}))
    with pytest.raises(PixqError, match="holds several calibrations; choose one of"):
        load(run).map(REFERENCE, half)
    # Patches need none.
    assert load(run).quality(REFERENCE[None], half[None]).shape == (1,)
    second = load(run, calibration="second").map(REFERENCE, half)
    assert (second.calibration, second.unsure) == ("second", None)
    np.testing.assert_array_equal(second.classes, found.classes)
    with pytest.raises(PixqError, match="unknown calibration 'third'"):
        load(run, calibration="third")
    other = calibration.model.model_copy(update={"blake3": "0" * 64})
    add_calibration(run, calibration.model_copy(update={"name": "other", "model": other}))
    with pytest.raises(PixqError, match="calibration other was made for different weights; run `pixq calibrate` again"):
        load(run, calibration="other")
