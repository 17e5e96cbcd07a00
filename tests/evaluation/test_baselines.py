"""Baselines: against other programs' and plain NumPy's, their direction, and on the images of a patch set."""

from __future__ import annotations

import dataclasses
import math
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from pixq import PixqError
from pixq.distort import write_tree
from pixq.distort.kinds import DISTORTIONS
from pixq.evaluation import baselines
from pixq.evaluation.baselines import BASELINES, Baseline, baseline, baseline_scores, oriented
from pixq.evaluation.display_metrics import BUTTERAUGLI
from pixq.evaluation.piq_metrics import piq_metric
from pixq.io.images import AS_SHOWN
from pixq.patches.plan import BuildSettings, Sampling
from pixq.patches.store import PatchSet
from pixq.viewing import ViewingConditions
from support import trees
from support.built import make, pixels
from support.metric_oracles import gmsd_oracle, haarpsi_oracle, halves, mdsi_oracle, ms_ssim_oracle, ssim_oracle

Image = NDArray[np.uint8]

FEW = BuildSettings(sampling=Sampling("random", None, 2))
SIDE = 176
BEST = {
    "psnr": math.inf,
    "ssim": 1.0,
    "ms_ssim": 1.0,
    "mdsi": 0.0,
    "vsi": 1.0,
    "gmsd": 0.0,
    "fsim": 1.0,
    "haarpsi": 1.0,
    "colorvideovdp": 10.0,
    "butteraugli": 0.0,
    "ssimulacra2": 100.0,
    "flip": 0.0,
    "visibility": 0.0,
}
# As the papers define them, not as pixq does.
FALLS = {"mdsi", "gmsd", "butteraugli", "flip", "visibility"}
#: The metrics that every installation for tests has.
INSTALLED = [name for name in BEST if name != "butteraugli"]
# The oracles are float64, and so are the metrics, but for VSI.
NEAR = 1e-9


def pair(seed: int, height: int, width: int, level: int = 3) -> tuple[Image, Image]:
    reference = trees.photo(seed, (height, width))
    return reference, trees.distorted(reference, seed + 100, level)


def blurred(image: Image) -> list[Image]:
    """The five levels of blur, mildest first."""
    blur = DISTORTIONS["gaussian_blur"]
    return [blur.apply(image, value, np.random.default_rng(0)) for value in blur.values]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos at three levels of blur, large enough for every metric."""
    root = tmp_path_factory.mktemp("tree")
    photos = {name: trees.photo(seed, (SIDE, SIDE + 8)) for seed, name in enumerate("dbca")}
    write_tree(photos, root, ["gaussian_blur"], [1, 3, 5])
    return root


@pytest.fixture(scope="module")
def patches(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    return PatchSet(make("jianjin008", tree, tmp_path_factory.mktemp("built") / "patches", FEW).out)


# --- what each metric is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(20, 20), (33, 57), (176, 211)])
def test_psnr_is_that_of_numpy(height: int, width: int) -> None:
    reference, distorted = pair(1, height, width)
    error = np.mean((reference.astype(float) - distorted) ** 2)
    assert BASELINES["psnr"].score(reference, distorted) == pytest.approx(10 * math.log10(255**2 / error), rel=1e-12)


# From 384 pixels on, two by two pixels are averaged first.
@pytest.mark.parametrize(("height", "width", "halve"), [(11, 11, False), (64, 83, False), (384, 390, True)])
def test_ssim_is_that_of_scikit_image(height: int, width: int, halve: bool) -> None:
    reference, distorted = pair(2, height, width)
    planes = [halves(image.astype(float)) if halve else image.astype(float) for image in (reference, distorted)]
    assert BASELINES["ssim"].score(reference, distorted) == pytest.approx(np.mean(ssim_oracle(*planes)), abs=NEAR)


def test_ms_ssim_is_made_of_scikit_images_ssim() -> None:
    reference, distorted = pair(3, 176, 208)
    assert BASELINES["ms_ssim"].score(reference, distorted) == pytest.approx(
        ms_ssim_oracle(reference, distorted), abs=NEAR
    )


@pytest.mark.parametrize("size", [(6, 6), (64, 82), (176, 208)])
def test_gmsd_is_that_of_its_paper(size: tuple[int, int]) -> None:
    reference, distorted = pair(4, *size)
    assert BASELINES["gmsd"].score(reference, distorted) == pytest.approx(gmsd_oracle(reference, distorted), abs=NEAR)


@pytest.mark.parametrize("size", [(3, 5), (64, 83), (176, 211)])
def test_mdsi_is_that_of_its_paper(size: tuple[int, int]) -> None:
    reference, distorted = pair(5, *size)
    assert BASELINES["mdsi"].score(reference, distorted) == pytest.approx(mdsi_oracle(reference, distorted), abs=NEAR)


@pytest.mark.parametrize("size", [(16, 20), (64, 82)])
def test_haarpsi_is_that_of_its_paper(size: tuple[int, int]) -> None:
    reference, distorted = pair(4, *size)
    assert BASELINES["haarpsi"].score(reference, distorted) == pytest.approx(
        haarpsi_oracle(reference, distorted), abs=NEAR
    )


def test_mdsi_knows_the_reference_from_the_distorted_image() -> None:
    reference, distorted = pair(6, 96, 96)
    forth, back = mdsi_oracle(reference, distorted), mdsi_oracle(distorted, reference)
    assert abs(forth - back) > 100 * NEAR
    assert BASELINES["mdsi"].score(distorted, reference) == pytest.approx(back, abs=NEAR)


# --- what holds for all -------------------------------------------------------------------------------------------

every = pytest.mark.parametrize(
    "metric",
    [
        pytest.param(
            metric,
            marks=pytest.mark.skipif(
                metric.needs == BUTTERAUGLI and shutil.which(BUTTERAUGLI) is None,
                reason="there is no butteraugli_main here; install libjxl-devtools",
            ),
        )
        for metric in BASELINES.values()
    ],
    ids=BASELINES,
)


def test_the_registry_is_frozen() -> None:
    with pytest.raises(TypeError):
        BASELINES["psnr"] = BASELINES["ssim"]  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASELINES["psnr"].higher_is_better = False  # type: ignore[misc]
    assert list(BASELINES) == list(BEST)


@every
def test_identical_images_get_the_best_score(metric: Baseline) -> None:
    image = trees.photo(7, (SIDE, SIDE))
    assert metric.score(image, image.copy()) == BEST[metric.name]


@every
def test_scores_turned_fall_from_level_to_level_of_blur(metric: Baseline) -> None:
    image = trees.photo(8, (SIDE, SIDE))
    scores = np.array([metric.score(image, level) for level in [image, *blurred(image)]])
    assert np.all(np.diff(oriented({metric.name: scores})[metric.name]) < 0)
    assert np.all((scores[1:] < scores[0]) == metric.higher_is_better)


@every
def test_views_are_read_as_they_are(metric: Baseline) -> None:
    reference, distorted = (image[::-1, ::2] for image in pair(9, SIDE, 2 * SIDE))
    plain = metric.score(reference.copy(), distorted.copy())
    assert metric.score(reference, distorted) == plain
    read_only = [image.copy() for image in (reference, distorted)]
    for image in read_only:
        image.flags.writeable = False
    assert metric.score(*read_only) == plain


@every
def test_the_smallest_image_is_taken_and_a_smaller_one_named(metric: Baseline) -> None:
    size = metric.min_size
    assert math.isfinite(metric.score(*pair(10, size, size)))
    for shape in ((size - 1, size + 9), (size + 9, size - 1)):
        small = [image[: shape[0], : shape[1]] for image in pair(10, size + 9, size + 9)]
        with pytest.raises(
            PixqError, match=rf"the image: is {shape[1]}x{shape[0]} pixels, but {metric.title} needs at least {size} "
        ):
            metric.score(*small)


@pytest.mark.parametrize(("name", "function"), [("ssim", "ssim"), ("ms_ssim", "multi_scale_ssim")])
def test_ssim_is_that_of_piq_in_float64_down_to_its_smallest_image(name: str, function: str) -> None:
    metric, size = BASELINES[name], BASELINES[name].min_size
    measure = piq_metric(function)
    for height, width in ((size, size), (size + 3, size + 8)):
        reference, distorted = pair(11, height, width)
        expected = measure(reference[None], distorted[None], "cpu", ViewingConditions())[0]
        assert metric.score(reference, distorted) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match=r"[Ii]nput"):
        measure(*(image[None] for image in pair(11, size - 1, size)), "cpu", ViewingConditions())


@every
def test_what_is_no_pair_of_rgb_images_is_refused(metric: Baseline) -> None:
    image = trees.photo(12, (SIDE, SIDE))
    with pytest.raises(TypeError, match="'distorted' has dtype float64; expected uint8"):
        metric.score(image, image.astype(float))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'reference' has shape \(176, 176\)"):
        metric.score(image[..., 0], image[..., 0])
    with pytest.raises(ValueError, match=r"\(176, 176, 3\) and 'distorted' \(176, 175, 3\)"):
        metric.score(image, image[:, 1:])


@every
def test_cuda_gives_what_the_cpu_gives(metric: Baseline) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
    reference, distorted = pair(13, 400, 400)
    # VSI is float64 there and float32 here.
    assert metric.score(reference, distorted, device="cuda") == pytest.approx(
        metric.score(reference, distorted), abs=1e-4
    )


# --- on a patch set -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_scores_are_those_of_the_files_in_the_order_of_the_images(patches: PatchSet, tree: Path) -> None:
    names = ["psnr", "mdsi", "gmsd", "flip"]
    scores = baseline_scores(patches, tree, names)
    assert list(scores) == names
    for name, metric in ((name, BASELINES[name]) for name in names):
        direct = [metric.score(pixels(tree / i["reference"]), pixels(tree / i["distorted"])) for i in patches.images]
        assert scores[name].dtype == np.float64
        np.testing.assert_array_equal(scores[name], direct)
    # Else any order would do.
    files = [image["reference"] for image in patches.images]
    assert files != sorted(files)
    assert len(set(scores["mdsi"])) == len(files) == 12


def test_every_file_is_decoded_once_and_the_work_is_told(
    patches: PatchSet, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: Counter[Path] = Counter()
    real = baselines.read_pixels

    def count(path: Path, **options: Any) -> Any:
        decoded[path] += 1
        assert options == {"max_pixels": SIDE * (SIDE + 8), "options": AS_SHOWN}
        return real(path, **options)

    monkeypatch.setattr(baselines, "read_pixels", count)
    seen: list[tuple[str, int, int]] = []
    baseline_scores(patches, tree, ["psnr", "gmsd"], on_progress=lambda *progress, note="": seen.append(progress))
    assert set(decoded.values()) == {1}
    assert len(decoded) == 4 + 12
    assert seen == [("scoring images", done, 12) for done in range(1, 13)]


def test_psnr_is_that_which_the_build_wrote_where_two_files_make_an_image_too(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path / "tree")
    settings = dataclasses.replace(FEW, buckets=("same_score", "slight_flicker"))
    patches = PatchSet(make("jianjin008", tmp_path / "tree", tmp_path / "patches", settings).out)
    assert any(image["blend_with"] for image in patches.images)
    written = [image["PSNR_image"] for image in patches.images]
    np.testing.assert_array_equal(baseline_scores(patches, tmp_path / "tree", ["psnr"])["psnr"], written)


def test_the_psnr_of_identical_images_is_infinite(tmp_path: Path) -> None:
    scores = trees.write_pairs(tmp_path / "tree")
    first = next(iter(scores))
    trees.save(tmp_path / "tree" / first, pixels(tmp_path / "tree" / "clean" / "scene1.png"))
    patches = PatchSet(make("pairs", tmp_path / "tree", tmp_path / "patches", FEW).out)
    result = baseline_scores(patches, tmp_path / "tree", ["psnr", "gmsd"])
    same = np.array([image["distorted"] == first for image in patches.images])
    assert same.sum() == 1
    np.testing.assert_array_equal(np.isposinf(result["psnr"]), same)
    np.testing.assert_array_equal(np.isposinf(oriented(result)["psnr"]), same)
    np.testing.assert_array_equal(result["gmsd"] == 0, same)


def test_the_images_are_those_of_the_whole_set_for_a_selection_too(patches: PatchSet, tree: Path) -> None:
    selection = patches.select(split="test")
    assert 0 < len(selection) < len(patches)
    whole, part = (baseline_scores(each, tree, ["psnr"])["psnr"] for each in (patches, selection))
    np.testing.assert_array_equal(whole, part)


def test_oriented_negates_what_falls_with_quality_and_nothing_else() -> None:
    scores = {name: np.array([0.25, 0.5]) for name in BASELINES}
    turned = oriented(scores)
    assert {name for name in turned if turned[name][0] < 0} == FALLS
    for name in BASELINES:
        np.testing.assert_array_equal(np.abs(turned[name]), scores[name])
    with pytest.raises(PixqError, match="unknown baseline 'niqe'"):
        oriented({"niqe": np.zeros(1)})


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> tuple[PatchSet, Path]:
    """Pairs of 64 x 48 pixels, and their root."""
    trees.write_pairs(tmp_path / "tree")
    return PatchSet(make("pairs", tmp_path / "tree", tmp_path / "patches", FEW).out), tmp_path / "tree"


def told(error: pytest.ExceptionInfo[PixqError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("file", ["clean/scene2.png", "noisy/scene2/1.png"])
def test_a_missing_file_is_named(small: tuple[PatchSet, Path], file: str) -> None:
    patches, root = small
    (root / file).unlink()
    with pytest.raises(PixqError) as error:
        baseline_scores(patches, root, ["psnr"])
    assert told(error) == (
        f"{root / file}: No such file or directory; "
        f"use the folder of the dataset that {patches.directory} was built from"
    )


@pytest.mark.parametrize("file", ["clean/scene2.png", "noisy/scene2/1.png"])
def test_a_changed_file_is_named(small: tuple[PatchSet, Path], file: str) -> None:
    patches, root = small
    image = pixels(root / file).copy()
    image[0, 0, 0] ^= 1
    trees.save(root / file, image)
    with pytest.raises(PixqError) as error:
        baseline_scores(patches, root, ["psnr"])
    assert told(error) == (
        f"{root / file}: changed since {patches.directory} was built; use the dataset it was built from, "
        "or build the patch set again"
    )


def test_a_changed_half_of_a_blend_is_named(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    trees.write_jianjin008(root)
    settings = dataclasses.replace(FEW, buckets=("same_score",), ratio=(1.0, 0.0, 0.0))
    patches = PatchSet(make("jianjin008", root, tmp_path / "patches", settings).out)
    other = next(image["blend_with"] for image in patches.images if image["blend_with"])
    trees.save(root / other, 255 - pixels(root / other))
    with pytest.raises(PixqError, match=rf"{other}: changed since"):
        baseline_scores(patches, root, ["psnr"])


def test_images_too_small_for_a_metric_are_told_before_any_is_read(small: tuple[PatchSet, Path]) -> None:
    patches, root = small
    with pytest.raises(PixqError) as error:
        baseline_scores(patches, root / "nowhere")
    assert "1.png: is 64x48 pixels, but MS-SSIM needs at least 161 on each side; leave out ms_ssim" in told(error)
    names = [name for name in INSTALLED if BASELINES[name].min_size <= 48]
    assert set(INSTALLED) - set(baseline_scores(patches, root, names)) == {"ms_ssim"}


def test_an_unknown_name_is_told_with_the_closest(small: tuple[PatchSet, Path]) -> None:
    patches, root = small
    with pytest.raises(PixqError) as error:
        baseline_scores(patches, root, ["psnr", "msdi"])
    assert told(error) == f"unknown baseline 'msdi'; did you mean mdsi? choose one of {', '.join(BASELINES)}"
    with pytest.raises(PixqError, match="no baseline is given"):
        baseline_scores(patches, root, [])
    assert baseline("MS-SSIM") is BASELINES["ms_ssim"]


@pytest.mark.parametrize("missing", ["piq", "torch"])
def test_without_piq_the_mend_is_told_and_psnr_works(
    small: tuple[PatchSet, Path], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    patches, root = small
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(PixqError) as error:
        baseline_scores(patches, root / "nowhere", ["psnr", "vsi"])
    assert told(error) == f"{missing} is not installed; install it with: pip install 'pixq[baselines]'"
    assert np.all(np.isfinite(baseline_scores(patches, root, ["psnr"])["psnr"]))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_named(small: tuple[PatchSet, Path], device: str) -> None:
    patches, root = small
    with pytest.raises(PixqError, match=rf"device {device}: torch can't use it here \(.+\); use cpu"):
        baseline_scores(patches, root / "nowhere", ["gmsd"], device=device)


@pytest.mark.slow
def test_importing_it_imports_neither_torch_nor_piq() -> None:
    code = (
        "import sys, pixq.evaluation.baselines; "
        "print(*sorted({'torch', 'torchvision', 'piq', 'pycvvdp', 'scipy', 'ssimulacra2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- real scores --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mdsi_and_vsi_rank_tid2013_as_they_are_known_to(tmp_path: Path) -> None:
    """The two to beat on these 300 images, about .85 and .84 pooled over references and distortion types."""
    root = trees.data_dir("tid2013")
    patches = PatchSet(make("tid2013", root, tmp_path / "patches", FEW).out)
    assert len(patches.images) == 300
    mos = np.array([image["MOS"] for image in patches.images])
    scores = oriented(baseline_scores(patches, root, ["psnr", "mdsi", "vsi"]))
    srcc = {name: spearmanr(values, mos).statistic for name, values in scores.items()}
    assert srcc["mdsi"] == pytest.approx(0.85, abs=0.02)
    assert srcc["vsi"] == pytest.approx(0.84, abs=0.02)
    assert srcc["psnr"] < 0.6
