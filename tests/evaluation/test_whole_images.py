"""`pixq evaluate --dataset`: whole images against SciPy, paired comparisons, `all`, and what can't be compared."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from pixq import PixqError
from pixq.evaluation import display_metrics, whole_images
from pixq.evaluation.baselines import BASELINES
from pixq.evaluation.evaluate import EvaluateSettings, _choose_rivals, evaluate
from pixq.evaluation.evaluation_file import (
    EvaluationFile,
    WholeImages,
    read_evaluation,
    read_evaluations,
    write_evaluation,
)
from pixq.evaluation.labelled import read_split
from pixq.evaluation.rivals import RIVALS
from pixq.evaluation.whole_images import compare_images
from pixq.patches.store import PatchSet
from pixq.report.report import write_report
from pixq.statistics.bootstrap import resample_groups
from pixq.statistics.paired import better_share, correlate
from pixq.viewing import ViewingConditions
from support import built

#: One that is infinite for identical images, and one that falls with quality and depends on viewing conditions.
NAMES = ("psnr", "flip")
VIEWING = ViewingConditions(60.0)


@pytest.fixture(scope="module")
def dataset(levels: PatchSet) -> Path:
    return levels.directory.parent / "levels"


@pytest.fixture(scope="module")
def own(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("whole") / "run"))


@pytest.fixture(scope="module")
def settings(dataset: Path) -> EvaluateSettings:
    return EvaluateSettings(rivals=NAMES, resamples=100, dataset=dataset, viewing=VIEWING)


@pytest.fixture(scope="module")
def found(own: Path, levels: PatchSet, settings: EvaluateSettings) -> EvaluationFile:
    return evaluate(own, levels, settings)


def test_numbers_are_those_of_scipy_for_the_files(levels: PatchSet, dataset: Path, found: EvaluationFile) -> None:
    whole = found.whole_images
    assert whole is not None
    images = [image for image in levels.images if image["split"] == "test"]
    assert (whole.images, whole.groups) == (len(images), len({image["group"] for image in images}))
    assert whole.viewing == VIEWING
    assert [method.name for method in whole.methods] == ["model", *NAMES]
    quality = [image["quality"] for image in images]
    for method in whole.methods[1:]:
        metric = BASELINES[method.name]
        scores = [
            metric.score(
                *(built.pixels(dataset / image[side]) for side in ("reference", "distorted")),  # type: ignore[literal-required]
                viewing=VIEWING,
            )
            for image in images
        ]
        sign = 1 if metric.higher_is_better else -1
        assert method.estimates["srcc"].value == pytest.approx(sign * spearmanr(scores, quality).statistic)
    assert found.model.images is not None
    assert whole.model.estimates["srcc"] == found.model.images.estimates["srcc"]
    assert whole.model.estimates["plcc"].value == pytest.approx(found.model.images.estimates["plcc"].value)


def test_every_difference_says_in_how_many_resamples_the_model_is_better(found: EvaluationFile) -> None:
    assert found.whole_images is not None
    assert [row.name for row in found.whole_images.against] == list(NAMES)
    # Patches are compared with those metrics only that can measure patches.
    assert {row.name for row in found.against} == {"psnr"}
    for row in (*found.against, *found.whole_images.against):
        assert row.better is not None
        assert row.low is not None
        assert row.high is not None
        if row.low > 0:
            assert row.better >= 0.975
        if row.high < 0:
            assert row.better <= 0.025


def test_the_share_of_resamples_is_that_of_counting() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(8), 5)
    quality = rng.normal(size=40)
    one, other = quality + rng.normal(size=40), np.round(quality + rng.normal(size=40))
    resamples = resample_groups(groups, 200, seed=1)
    estimates = [correlate(scores, quality, groups, resamples) for scores in (one, other)]
    wins = 0.0
    for times in resamples.multiplicity:
        rows = np.repeat(np.arange(40), times[groups])
        a, b = (spearmanr(scores[rows], quality[rows]).statistic for scores in (one, other))
        wins += 1.0 if a > b + 1e-12 else 0.5 if abs(a - b) <= 1e-12 else 0.0
    assert better_share(*estimates) == pytest.approx(wins / 200)
    assert better_share(estimates[0], estimates[0]) == 0.5
    assert better_share(*estimates, higher_is_better=False) == pytest.approx(1 - wins / 200)
    flat = correlate(np.ones(40), quality, groups, resamples)
    assert flat.value is None
    assert better_share(estimates[0], flat) is None


def test_the_file_is_read_again_and_files_without_the_new_fields_too(own: Path, found: EvaluationFile) -> None:
    path = write_evaluation(own, found)
    assert read_evaluation(path) == found
    old = json.loads(path.read_text("utf-8"))
    del old["whole_images"]
    for row in old["against"]:
        del row["better"]
    path.write_text(json.dumps(old), "utf-8")
    earlier = read_evaluation(path)
    assert earlier.whole_images is None
    assert {row.better for row in earlier.against} == {None}
    path.unlink()


def test_all_are_those_that_can_measure_and_the_others_are_named_with_the_reason(
    levels: PatchSet, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display_metrics, "BUTTERAUGLI", "no-such-program")
    for module in ("pycvvdp", "ssimulacra2"):
        monkeypatch.setitem(sys.modules, module, None)
    data = read_split(levels, "test")
    everyone = EvaluateSettings(rivals=("all",), dataset=dataset)
    on_patches, on_images, reasons = _choose_rivals(everyone, data)
    assert on_patches == list(RIVALS)
    missing = {"ms_ssim", "colorvideovdp", "ssimulacra2", "butteraugli"}
    assert on_images == [name for name in BASELINES if name not in missing]
    assert len(reasons) == len(missing)
    for reason in (
        "MS-SSIM is left out: ",
        "but MS-SSIM needs at least 161 on each side",
        "ColorVideoVDP is left out: cvvdp is not installed; install it with: pip install 'pixq[rivals]'",
        "SSIMULACRA2 is left out: ssimulacra2 is not installed",
        "butteraugli is left out: no-such-program is not on the PATH",
    ):
        assert reason in "\n".join(reasons)
    _, on_images, [reason] = _choose_rivals(EvaluateSettings(rivals=("all",)), data)
    assert on_images == []
    assert reason == "metrics of whole images are left out; add --dataset with the folder of the dataset"
    monkeypatch.setitem(sys.modules, "piq", None)
    on_patches, _, reasons = _choose_rivals(EvaluateSettings(rivals=("all",)), data)
    assert on_patches == ["majority", "psnr", "roi_psnr", "ssim", "boosting"]
    assert "MDSI is left out: piq is not installed; install it with: pip install 'pixq[baselines]'" in reasons


@pytest.mark.slow
def test_the_command_its_repetition_and_its_report(own: Path, levels: PatchSet, dataset: Path) -> None:
    arguments = ["evaluate", own, "--on", levels.directory, "--resamples", 100, "--rivals", "psnr,flip"]
    done = built.pixq(*arguments, "--dataset", dataset, "--display", "27in-1440p", "--distance", "60cm")
    assert done.code == 0, done.err
    assert "whole images in 4 groups; 44.9 pixels per degree (27in-1440p at 60 cm), white 200 cd/m2" in done.out
    assert "SRCC of images: better than FLIP in " in done.out
    assert "balanced accuracy: better than PSNR in " in done.out
    [kept] = read_evaluations(own)
    again = built.pixq(*kept.command.split()[1:], "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["whole_images"] == kept.model_dump(mode="json")["whole_images"]
    page = write_report(own, own / "report.html").read_text("utf-8")
    assert "On whole images" in page
    assert "% of resamples" in page
    assert "44.9 pixels per degree" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rivals", "psnr,colorvideovdp"], "ColorVideoVDP compares whole images; add --dataset with the folder"),
        (["--ppd", "60"], "--ppd only has an effect with the model visibility, or with --dataset and rivals"),
        (
            ["--dataset", ".", "--rivals", "flip", "--ambient", "10"],
            "--ambient only has an effect with the model visibility, or with --dataset and",
        ),
        (["--dataset", ".", "--rivals", "flip", "--ppd", "60", "--display", "27in-1440p"], "remove one of them"),
        (["--rivals", "butteraugly"], "unknown rival 'butteraugly'; did you mean butteraugli?"),
        (["--rivals", "all,psnr"], "unknown rival 'all'"),
    ],
)
def test_mistakes_are_one_line(own: Path, levels: PatchSet, options: list[str], message: str) -> None:
    assert message in built.mistake(built.pixq("evaluate", own, "--on", levels.directory, *options))


def test_a_folder_that_is_not_the_datasets_is_named(run: Path, levels: PatchSet, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match=rf"^{tmp_path}.*use the folder of the dataset that .* was built from$"):
        compare(run, levels, tmp_path, VIEWING)


def compare(run: Path, levels: PatchSet, dataset: Path, viewing: ViewingConditions) -> WholeImages:
    data = read_split(levels, "test")
    model = [("model", "a model", data.by_image(data.quality))]
    resamples = resample_groups(data.group, 100)
    return compare_images(model, data, dataset, NAMES, resamples, 0.95, run=run, viewing=viewing)


def test_scores_of_images_are_computed_once_and_again_for_other_viewing_conditions(
    run: Path, levels: PatchSet, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    real = whole_images.baseline_scores

    def count(patches: PatchSet, root: Path, names: list[str], *rest: object, **more: object) -> object:
        computed.extend(names)
        return real(patches, root, names, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(whole_images, "baseline_scores", count)
    first = compare(run, levels, dataset, VIEWING)
    assert first.model.estimates["srcc"].value == 1.0
    # The labels are synthetic: PSNR agrees with them as well as they do with themselves.
    assert [row.better for row in first.against] == [0.5, 1.0]
    assert compare(run, levels, dataset, VIEWING) == first
    assert computed == [*NAMES]
    assert compare(run, levels, dataset, ViewingConditions(30.0, 100.0)) != first
    assert computed == [*NAMES, "flip"]
