"""What a model must beat on patches: metrics against piq's own single calls, boosted trees, the majority."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import piq
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import convolve2d
from scipy.stats import spearmanr

from pixq import classes
from pixq.errors import PixqError
from pixq.evaluation import baselines, rivals
from pixq.evaluation.baselines import BASELINES, gradient_similarity
from pixq.evaluation.rivals import DEFAULT_RIVALS, RIVALS, Boosting, Majority, features, patch_scores, truth
from pixq.geometry import Fusion, PatchGeometry
from pixq.patches.plan import BuildSettings
from pixq.patches.store import PatchSet
from support import trees
from support.built import make, make_small

OF_PIQ = ("ssim", "mdsi", "vsi", "gmsd", "haarpsi")
METRICS = ("psnr", "roi_psnr", "ssim", "mdsi", "vsi", "gmsd", "haarpsi")
#: As the papers define them, not as pixq does.
FALLS = ("mdsi", "gmsd")


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    return make_small(tmp_path_factory.mktemp("rivals"))


@pytest.fixture(scope="module")
def few(patches: PatchSet) -> PatchSet:
    """Thirteen patches that lie apart: more than a batch of VSI, and no multiple of one."""
    return patches[np.linspace(0, len(patches) - 1, 13).astype(np.int64)]


def pixels(patches: PatchSet) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return patches.reference[patches.records.reference_row], patches.fused()


def planes(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).double() / 255


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_PIQ)
def test_a_score_is_piqs_own_of_each_patch_alone_in_float64(few: PatchSet, name: str) -> None:
    sign = -1 if name in FALLS else 1
    expected = [
        sign * float(getattr(piq, name)(planes(distorted), planes(reference), data_range=1.0))
        for reference, distorted in zip(*pixels(few), strict=True)
    ]
    np.testing.assert_allclose(patch_scores(few, [name])[name], expected, atol=1e-5)
    assert np.ptp(expected) > 1e-3, "all patches are alike: this set tests nothing"


@pytest.mark.parametrize("name", OF_PIQ)
def test_a_score_depends_on_no_other_patch(few: PatchSet, name: str) -> None:
    order = np.random.default_rng(0).permutation(len(few))
    together = patch_scores(few, [name])[name]
    np.testing.assert_allclose(patch_scores(few[order], [name])[name], together[order], atol=1e-5)
    np.testing.assert_allclose(patch_scores(few[[7]], [name])[name], together[[7]], atol=1e-5)


def test_more_patches_than_a_chunk(patches: PatchSet) -> None:
    every = np.arange(rivals._CHUNK + 3) % len(patches)
    seen: list[tuple[str, int, int]] = []
    many = patch_scores(patches[every], ["gmsd", "psnr"], on_progress=lambda *progress, note="": seen.append(progress))
    assert seen == [("GMSD, PSNR", done, len(every)) for done in (rivals._CHUNK, rivals._CHUNK + 3)]
    np.testing.assert_allclose(many["gmsd"], patch_scores(patches, ["gmsd"])["gmsd"][every], atol=1e-6)
    np.testing.assert_array_equal(many["psnr"], patch_scores(patches, ["psnr"])["psnr"][every])


def test_every_metric_is_higher_for_better_patches(patches: PatchSet) -> None:
    # Noise grows with the level, and quality falls with it.
    plain = patches.select(fusion="none")[::9]
    for name, scores in patch_scores(plain).items():
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
        assert float(spearmanr(scores, plain.records.quality).statistic) > 0.4, name


def test_which_rivals_there_are() -> None:
    assert tuple(RIVALS) == ("majority", *METRICS, "boosting")
    assert tuple(name for name, rival in RIVALS.items() if rival.baseline is not None) == METRICS
    assert DEFAULT_RIVALS == ("majority", "psnr", "roi_psnr", "ssim", "mdsi", "vsi", "boosting")


def test_direction_has_one_source(few: PatchSet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = patch_scores(few, ["mdsi"])["mdsi"]
    turned = replace(RIVALS["mdsi"], baseline=replace(BASELINES["mdsi"], higher_is_better=True))
    monkeypatch.setattr(rivals, "RIVALS", {"mdsi": turned})
    np.testing.assert_array_equal(patch_scores(few, ["mdsi"])["mdsi"], -before)


def test_psnr_is_of_the_patch_and_of_its_roi(few: PatchSet) -> None:
    scores = patch_scores(few, ["psnr", "roi-psnr"])
    reference, fused = (values.astype(float) for values in pixels(few))
    error = (reference - fused) ** 2
    np.testing.assert_allclose(scores["psnr"], 10 * np.log10(255**2 / error.mean(axis=(1, 2, 3))))
    inner = error[:, 4:16, 4:16].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(scores["roi_psnr"], 10 * np.log10(255**2 / inner))


def test_identical_patches_are_finite_and_above_all_others(tmp_path: Path) -> None:
    trees.write_tid(tmp_path / "tid", references=3, levels=2)
    settings = BuildSettings(fusions=(Fusion("copy"), Fusion("none")))
    make("tid2013", tmp_path / "tid", tmp_path / "out", settings)
    patches = PatchSet(tmp_path / "out")
    copied = patches.records.fusion == patches.fusions.index(Fusion("copy"))
    scores = patch_scores(patches, ["psnr", "roi_psnr"])
    # One sample of 20 * 20 * 3, or 12 * 12 * 3, that differs by 1 has the highest PSNR there is.
    highest = 10 * np.log10(255**2 * 432)
    np.testing.assert_allclose(scores["roi_psnr"][copied], highest + 10 * np.log10(2))
    assert scores["roi_psnr"][~copied].max() < highest
    whole = rivals.psnr_of(patches[[0]])
    np.testing.assert_array_equal(whole, patches[[0]].records.psnr)
    assert PatchGeometry(20, 12) == patches.geometry


def test_gradient_similarity_is_the_mean_of_what_gmsd_is_the_deviation_of(few: PatchSet) -> None:
    luma = np.array([0.299, 0.587, 0.114])
    prewitt = np.array([[-1, 0, 1]] * 3) / 3

    def gradients(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        plane = (image / 255) @ luma
        half = plane.reshape(10, 2, 10, 2).mean(axis=(1, 3))
        return np.hypot(*(convolve2d(half, kernel, mode="same") for kernel in (prewitt, prewitt.T)))

    for place, (reference, distorted) in enumerate(zip(*pixels(few), strict=True)):
        a, b = gradients(reference), gradients(distorted)
        similarity = (2 * a * b + 170 / 255**2) / (a * a + b * b + 170 / 255**2)
        assert gradient_similarity(reference[None], distorted[None])[0] == pytest.approx(similarity.mean(), abs=1e-5)
        assert features(few[[place]])[0, 2] == pytest.approx(similarity.mean(), abs=1e-5)
        assert patch_scores(few[[place]], ["gmsd"])["gmsd"][0] == pytest.approx(-similarity.std(), abs=1e-5)


def test_features_are_psnr_ssim_and_gradient_similarity(few: PatchSet) -> None:
    found = features(few)
    scores = patch_scores(few, ["psnr", "ssim"])
    np.testing.assert_array_equal(found[:, 0], scores["psnr"])
    np.testing.assert_array_equal(found[:, 1], scores["ssim"])
    assert found.shape == (13, 3)


def with_quality(patches: PatchSet, quality: NDArray[np.float64]) -> PatchSet:
    """The same patches with other labels."""
    changed = patches._with(patches.rows)
    everything = patches._all.quality.copy()
    everything[patches.rows] = quality
    changed._all = replace(patches._all, quality=everything)
    return changed


@pytest.fixture(scope="module")
def labelled(patches: PatchSet) -> PatchSet:
    """Patches whose class follows from their SSIM, which no metric sees."""
    some = patches[::3]
    ssim = patch_scores(some, ["ssim"])["ssim"]
    low, high = np.quantile(ssim, [0.3, 0.5])
    return with_quality(some, np.select([ssim < low, ssim < high], [0.1, 0.5], 0.9))


def test_boosted_trees_learn_what_their_features_tell(labelled: PatchSet) -> None:
    train, test = labelled[::2], labelled[1::2]
    answer, probability = Boosting().fit(train).answer(test)
    assert answer.dtype == np.int8
    assert np.mean(answer == truth(test)) > 0.9
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(probability.argmax(axis=1), answer)


def test_boosted_trees_are_the_same_each_time_and_answer_each_patch_alone(labelled: PatchSet) -> None:
    train, test = labelled[::2], labelled[1::2]
    probability = Boosting().fit(train).answer(test)[1]
    np.testing.assert_array_equal(Boosting().fit(train).answer(test)[1], probability)
    np.testing.assert_allclose(Boosting().fit(train).answer(test[[5]])[1], probability[[5]])


@pytest.mark.parametrize("missing", range(3))
def test_a_class_that_was_never_seen_has_probability_0(labelled: PatchSet, missing: int) -> None:
    train = labelled[truth(labelled) != missing]
    answer, probability = Boosting().fit(train).answer(labelled)
    assert (probability[:, missing] == 0).all()
    assert missing not in answer
    seen = truth(labelled) != missing
    # By position, the classes after the missing one would be one off.
    assert np.mean(answer[seen] == truth(labelled)[seen]) > 0.9
    np.testing.assert_allclose(probability.sum(axis=1), 1)


def test_one_class_alone_is_always_answered(labelled: PatchSet) -> None:
    train = labelled[truth(labelled) == classes.ORANGE]
    answer, probability = Boosting().fit(train).answer(labelled[:4])
    assert answer.tolist() == [classes.ORANGE] * 4
    assert probability.tolist() == [[0.0, 1.0, 0.0]] * 4


def test_the_majority_is_of_what_it_was_fitted_to(labelled: PatchSet) -> None:
    counts = np.bincount(truth(labelled), minlength=3)
    answer, probability = Majority().fit(labelled).answer(labelled[:2])
    assert answer.tolist() == [int(counts.argmax())] * 2
    np.testing.assert_allclose(probability, [counts / counts.sum()] * 2)
    red = labelled[truth(labelled) == classes.RED]
    assert Majority().fit(red).answer(labelled[:1])[0].tolist() == [classes.RED]


def test_no_patches_give_no_scores(patches: PatchSet, labelled: PatchSet) -> None:
    none = patches[:0]
    assert [len(values) for values in patch_scores(none).values()] == [0] * len(METRICS)
    assert features(none).shape == (0, 3)
    assert Boosting().fit(labelled).answer(none)[1].shape == (0, 3)
    for rival in (Boosting(), Majority()):
        with pytest.raises(PixqError, match="nothing is selected"):
            rival.fit(none)
        with pytest.raises(ValueError, match="first"):
            rival.answer(patches)


def test_mistakes_are_one_line(patches: PatchSet, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match="unknown patch metric 'ssmi'; did you mean ssim"):
        patch_scores(patches, ["ssmi"])
    with pytest.raises(PixqError, match="no metric is given"):
        patch_scores(patches, [])
    trees.write_tid(tmp_path / "tid", references=3, levels=2)
    make("tid2013", tmp_path / "tid", tmp_path / "out", BuildSettings(geometry=PatchGeometry(8, 4)))
    small = PatchSet(tmp_path / "out")
    with pytest.raises(
        PixqError, match="a patch: is 8x8 pixels, but SSIM needs at least 11 on each side; leave out ssim"
    ):
        patch_scores(small, ["ssim"])
    assert patch_scores(small, ["gmsd"])["gmsd"].shape == (len(small),)


def test_a_missing_library_is_one_line(few: PatchSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(PixqError, match=r"scikit-learn is not installed; .*pip install 'pixq\[train\]'"):
        Boosting().fit(few)
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(PixqError, match=r"piq is not installed; .*pip install 'pixq\[baselines\]'"):
        patch_scores(few, ["mdsi"])


def test_neither_torch_nor_sklearn_is_imported_before_it_is_needed() -> None:
    code = "import sys, pixq.evaluation.rivals; print({'torch', 'piq', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_many_are_scored_as_one_by_one_and_refused_as_one(few: PatchSet) -> None:
    reference, distorted = pixels(few)
    metric = baselines.BASELINES["ssim"]
    one = [metric.score(a, b) for a, b in zip(reference, distorted, strict=True)]
    np.testing.assert_allclose(metric.score_many(reference, distorted), one, atol=1e-6)
    assert metric.score_many(reference[:0], distorted[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"expected \(n, height, width, 3\)"):
        metric.score_many(reference[0], distorted[0])
    with pytest.raises(TypeError, match="'distorted' has dtype float64"):
        metric.score_many(reference, distorted.astype(float))  # type: ignore[arg-type]
