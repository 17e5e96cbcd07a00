"""`pixq evaluate`: numbers against scikit-learn, rivals with the same chances, leaks refused, one place for classes."""

from __future__ import annotations

import base64
import io
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics

from pixq import load
from pixq.classes import NAMES, QUALITY_CUTS, classify
from pixq.decisions.calibration_file import add_calibration
from pixq.decisions.cuts import find_cuts
from pixq.errors import PixqError
from pixq.evaluation import answers as module
from pixq.evaluation.calibrate import CalibrateSettings, calibrate
from pixq.evaluation.evaluate import EvaluateSettings, evaluate, plan
from pixq.evaluation.evaluation_file import EVALUATIONS, EvaluationFile, read_evaluations, write_evaluation
from pixq.evaluation.rivals import Boosting, patch_scores
from pixq.geometry import PatchGeometry
from pixq.io.json_file import check_name
from pixq.patches.build import build
from pixq.patches.plan import BuildSettings, Sampling
from pixq.patches.store import PatchSet
from support import built, judging
from support.trees import write_tid

torch.set_num_threads(1)
QUICK = EvaluateSettings(resamples=100, rivals=judging.QUICK_RIVALS)


@pytest.fixture(scope="session")
def calibrated(trained: Path, target: PatchSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a calibration, which tests must leave as it is."""
    run = Path(shutil.copytree(trained, tmp_path_factory.mktemp("calibrated") / "run"))
    add_calibration(run, calibrate(run, target, CalibrateSettings(resamples=100, coverage=0.8)))
    return run


@pytest.fixture
def own(calibrated: Path, tmp_path: Path) -> Path:
    """A copy of `calibrated`."""
    return Path(shutil.copytree(calibrated, tmp_path / "run"))


@pytest.fixture(scope="session")
def found(calibrated: Path, target: PatchSet) -> EvaluationFile:
    return evaluate(calibrated, target, QUICK)


def scored(run: Path, part: PatchSet) -> np.ndarray:
    reference = np.stack([part.reference[row] for row in part.records.reference_row])
    return load(run).scores(reference, part.fused())[0]


@pytest.mark.slow
def test_numbers_are_those_of_scikit_learn(calibrated: Path, target: PatchSet, found: EvaluationFile) -> None:
    test = target.select(split="test")
    truth = classify(test.records.quality)
    cuts = json.loads((calibrated / "calibration.json").read_text())["calibrations"]["default"]["cuts"]
    answer = classify(scored(calibrated, test), (cuts["orange"]["value"], cuts["green"]["value"]))
    own = found.model.patches
    assert own.n == len(test)
    assert [list(row) for row in own.confusion] == metrics.confusion_matrix(truth, answer, labels=[0, 1, 2]).tolist()
    expected = {
        "accuracy": metrics.accuracy_score(truth, answer),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, answer),
        "macro_f1": metrics.f1_score(truth, answer, average="macro"),
        "kappa": metrics.cohen_kappa_score(truth, answer, weights="quadratic"),
        **{f"recall_{name.lower()}": (answer[truth == each] == each).mean() for each, name in enumerate(NAMES)},
    }
    for name, value in expected.items():
        assert own.estimates[name].value == pytest.approx(value), name
    assert {"coverage", "unsure", "mse", "ece", "srcc", "plcc"} <= set(own.estimates)
    assert own.groups == len({test.images[i]["group"] for i in test.records.image.tolist()})


@pytest.mark.slow
def test_rivals_have_the_same_chances(target: PatchSet, found: EvaluationFile) -> None:
    """Cuts from the validation split, never from what is evaluated."""
    base, test = target.select(split="validation"), target.select(split="test")
    by_name = {method.name: method for method in found.methods}
    assert list(by_name) == ["model", *judging.QUICK_RIVALS]
    truth = classify(test.records.quality)
    for name in ("psnr", "roi_psnr"):
        cuts = find_cuts(patch_scores(base, [name])[name], classify(base.records.quality)).pair
        kept = by_name[name].cuts
        assert kept is not None
        assert (kept.orange, kept.green) == cuts
        answer = classify(patch_scores(test, [name])[name], cuts)
        value = by_name[name].patches.estimates["balanced_accuracy"].value
        assert value == pytest.approx(metrics.balanced_accuracy_score(truth, answer))
    most = np.bincount(classify(base.records.quality)).argmax()
    assert np.array(by_name["majority"].patches.confusion)[:, most].sum() == len(test)
    assert by_name["majority"].patches.estimates["srcc"].value is None
    assert by_name["majority"].cuts is None


@pytest.mark.slow
def test_boosting_is_fitted_to_the_train_split(own: Path, target: PatchSet) -> None:
    found = evaluate(own, target, EvaluateSettings(resamples=100, rivals=("boosting",)))
    answer, _ = Boosting().fit(target.select(split="train")).answer(target.select(split="test"))
    truth = classify(target.select(split="test").records.quality)
    expected = metrics.confusion_matrix(truth, answer, labels=[0, 1, 2]).tolist()
    assert [list(row) for row in found.methods[1].patches.confusion] == expected


@pytest.mark.slow
def test_rivals_never_learn_from_what_is_evaluated(own: Path, target: PatchSet) -> None:
    """Neither from the train split, when that is evaluated, nor from the validation split."""
    train, base = target.select(split="train"), target.select(split="validation")
    found = evaluate(own, target, EvaluateSettings(split="train", resamples=100, rivals=("boosting",)))
    answer, _ = Boosting().fit(base).answer(train)
    expected = metrics.confusion_matrix(classify(train.records.quality), answer, labels=[0, 1, 2]).tolist()
    assert [list(row) for row in found.methods[1].patches.confusion] == expected
    (own / "calibration.json").unlink()
    alone = evaluate(own, target, EvaluateSettings(split="validation", resamples=100, rivals=judging.QUICK_RIVALS))
    assert [method.name for method in alone.methods] == ["model"]
    assert any("the validation split, which is evaluated here" in warning for warning in alone.warnings)


def test_differences_are_paired(found: EvaluationFile) -> None:
    assert {each.name for each in found.against} == set(judging.QUICK_RIVALS)
    for each in found.against:
        rival = next(method for method in found.methods if method.name == each.name)
        ours, theirs = found.model.patches.estimates[each.metric], rival.patches.estimates[each.metric]
        if ours.value is None or theirs.value is None:
            assert each.value is None
            continue
        assert each.value == pytest.approx(ours.value - theirs.value)
        assert each.low is not None
        assert each.high is not None
        assert each.low <= each.value <= each.high


def test_tables_by_what_tells_patches_apart(target: PatchSet, found: EvaluationFile) -> None:
    test = target.select(split="test")
    by = found.model.by
    assert {"distortion_type", "bp_case"} <= set(by)
    assert "color" not in by  # it is the label
    assert "method" not in by  # it is the type of distortion
    assert set(by["distortion_type"]) == {"new", "ref"}
    for values in by.values():
        assert sum(each.n for each in values.values()) == len(test)
        total = sum(np.array(each.confusion) for each in values.values())
        assert np.array_equal(total, found.model.patches.confusion)


@pytest.mark.slow
def test_images_are_pooled_as_the_run_says(own: Path, levels: PatchSet) -> None:
    found = evaluate(own, levels, QUICK)
    test = levels.select(split="test")
    score, image = scored(own, test), test.records.image
    numbers = np.unique(image)
    pooled = np.array([score[image == each].mean() for each in numbers])
    quality = np.array([test.records.quality[image == each].mean() for each in numbers])
    calibration = json.loads((own / "calibration.json").read_text())["calibrations"]["default"]["cuts"]
    answer = classify(pooled, (calibration["orange"]["value"], calibration["green"]["value"]))
    images = found.model.images
    assert images is not None
    assert images.n == len(numbers)
    assert [list(row) for row in images.confusion] == metrics.confusion_matrix(
        classify(quality), answer, labels=[0, 1, 2]
    ).tolist()
    assert any("is missing or has changed, so their cuts" in each for each in found.warnings) is False
    assert list(found.model.by["level"]) == ["1", "2", "3", "4", "5"]
    # Its rivals' cuts are from the split that the model's are from, which is of the other set.
    assert [method.name for method in found.methods] == ["model", *judging.QUICK_RIVALS]


@pytest.mark.slow
def test_photos_of_training_and_of_calibration_are_refused(own: Path, target: PatchSet) -> None:
    patches = PatchSet(json.loads((own / "run.json").read_text())["patches"]["directory"])
    for split in ("train", "validation"):
        with pytest.raises(PixqError, match=rf"a leak: \d photos of its {split} split"):
            evaluate(own, patches, EvaluateSettings(split=split, resamples=100, rivals=()))
    with pytest.raises(PixqError, match="those the cuts of calibration default were chosen on"):
        evaluate(own, target, EvaluateSettings(split="validation", resamples=100, rivals=()))
    evaluate(own, target, EvaluateSettings(split="train", resamples=100, rivals=()))


def test_a_calibration_of_other_weights_is_refused(own: Path, target: PatchSet) -> None:
    path = own / "calibration.json"
    data = json.loads(path.read_text())
    data["calibrations"]["default"]["model"]["blake3"] = "0" * 64
    path.write_text(json.dumps(data))
    with pytest.raises(
        PixqError, match="calibration default was made for different weights; run `pixq calibrate` again"
    ):
        evaluate(own, target, QUICK)


@pytest.mark.slow
def test_without_a_calibration_it_says_so(run: Path, target: PatchSet) -> None:
    found = evaluate(run, target, QUICK)
    assert found.calibration is None
    assert "is not calibrated" in found.warnings[0]
    cuts = found.model.cuts
    assert cuts is not None
    assert (cuts.orange, cuts.green) == QUALITY_CUTS


@pytest.mark.slow
def test_groups_that_say_little_are_told(own: Path, target: PatchSet, levels: PatchSet) -> None:
    told = " ".join(evaluate(own, target, EvaluateSettings(resamples=100, rivals=())).warnings)
    groups = len({line["group"] for line in target.images if line["split"] == "test"})
    assert f"the test split has {groups} groups; intervals from fewer than 20 are too narrow" in told
    assert f"the {groups} groups of the test split are crops of 1 image: intervals hold for other crops" in told
    told = " ".join(evaluate(own, levels, EvaluateSettings(resamples=100, rivals=())).warnings)
    assert "the test split has 4 groups; intervals" in told
    assert "groups of the test split are crops" not in told
    absent = set(NAMES) - {NAMES[each] for each in classify(levels.select(split="test").records.quality)}
    assert {name for name in NAMES if f"no patch of the test split is {name}" in told} == absent


@pytest.mark.slow
def test_a_calibration_set_that_is_gone_leaves_no_rivals(own: Path, levels: PatchSet) -> None:
    path = own / "calibration.json"
    path.write_text(path.read_text().replace(str(Path("target")), "moved"))
    found = evaluate(own, levels, QUICK)
    assert [method.name for method in found.methods] == ["model"]
    assert any("is missing or has changed, so their cuts can't be chosen" in each for each in found.warnings)


@pytest.mark.slow
def test_the_same_command_gives_the_same_file(own: Path, target: PatchSet, found: EvaluationFile) -> None:
    again = evaluate(own, target, QUICK)
    different = {"created", "run", "command"}
    assert again.model_dump(exclude=different) == found.model_dump(exclude=different)
    other = evaluate(own, target, EvaluateSettings(resamples=100, rivals=judging.QUICK_RIVALS, seed=1))
    assert other.model.patches.confusion == found.model.patches.confusion
    assert other.model.patches.estimates != found.model.patches.estimates
    write_evaluation(own, again)
    assert list(read_evaluations(own)) == [again]


@pytest.mark.slow
def test_work_that_was_done_is_not_done_again(own: Path, target: PatchSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while it measures; then the metrics, which took the time, are there."""

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "measuring":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(own, target, QUICK, on_progress=stop)
    psnr = EvaluateSettings(resamples=100, rivals=("psnr",), name="x")
    expected = evaluate(own, target, psnr)
    asked: list[Any] = []
    monkeypatch.setattr(module, "patch_scores", lambda *given: asked.append(given))
    assert (
        evaluate(own, target, EvaluateSettings(resamples=100, rivals=("psnr",), name="x")).methods == expected.methods
    )
    assert asked == []
    for kept in (own / EVALUATIONS).glob(".*.npy"):
        kept.write_bytes(kept.read_bytes()[:100])
    monkeypatch.undo()
    assert (
        evaluate(own, target, EvaluateSettings(resamples=100, rivals=("psnr",), name="x")).methods == expected.methods
    )


def test_pictures_are_of_the_patches_they_name(target: PatchSet, found: EvaluationFile) -> None:
    examples = [*found.examples.best, *found.examples.worst]
    assert found.examples.best
    assert found.examples.worst
    for each in examples:
        one = target[np.array([each.row])]
        pictures = [each.reference_png, each.distorted_png]
        pixels = [one.reference[one.records.reference_row[0]], one.fused()[0]]
        for text, expected in zip(pictures, pixels, strict=True):
            with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
                assert np.array_equal(np.asarray(picture), expected)
        line = target.images[int(one.records.image[0])]
        assert (line["image_id"], line["split"]) == (each.image_id, "test")
        assert NAMES[classify(one.records.quality)[0]] == each.truth
    assert all(each.truth == each.answer for each in found.examples.best)
    assert all(each.truth != each.answer for each in found.examples.worst)
    apart = [abs(NAMES.index(each.truth) - NAMES.index(each.answer)) for each in found.examples.worst]
    assert apart == sorted(apart, reverse=True)


def test_the_histogram_counts_every_patch(target: PatchSet, found: EvaluationFile) -> None:
    by_class = {name: sum(counts) for name, counts in found.histogram.counts.items()}
    assert by_class == found.data.by_class
    assert sum(each.count for each in found.reliability) == found.model.patches.n


PERMUTED = """
import sys, dataclasses
import pixq.classes as classes
order = [2, 0, 1]
names = [classes.CLASSES[i].name for i in order]
classes.CLASSES = tuple(dataclasses.replace(each, name=name) for each, name in zip(classes.CLASSES, names))
classes.NAMES = tuple(names)
from pixq.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_permuted_names_are_noticed(target: PatchSet, tmp_path: Path) -> None:
    """Names come from one place: changed there, labels contradict their colours, and nothing is built."""
    tree = target.directory.parent / "tree"
    command = ["build-patches", "--dataset", "triplets", "--root", tree, "--out"]
    for code, out in ((PERMUTED, "permuted"), (PERMUTED.replace("[2, 0, 1]", "[0, 1, 2]"), "as-it-is")):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, tmp_path / out], capture_output=True, text=True, check=False
        )
        if out == "permuted":
            assert done.returncode == 2
            assert done.stderr.count("\n") == 1
            assert "color" in done.stderr.lower()
        else:
            assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_turned_scores_are_noticed(
    own: Path, target: PatchSet, found: EvaluationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The direction of scores comes from one place: turned there, agreement changes its sign."""
    from pixq.models.heads import Regression

    right = Regression.score
    monkeypatch.setattr(Regression, "score", lambda self, raw: -right(self, raw))
    turned = evaluate(own, target, QUICK)
    before, after = (each.model.patches.estimates["srcc"].value for each in (found, turned))
    assert before is not None
    assert after == pytest.approx(-before)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rivals", "psnr,vmaf"], "unknown rival 'vmaf'; "),
        (["--rivals", "psnr,PSNR"], "--rivals names psnr twice"),
        (["--calibration", "defualt"], "default"),
        (["--name", "../x"], "--name is '../x'"),
        (["--resamples", "5"], "--resamples is 5"),
        (["--level", "2"], "--level is 2"),
        (["--split", "all"], "all"),
        (["--on", "nowhere"], "nowhere: is not a directory"),
    ],
)
def test_mistakes_of_the_command_line(own: Path, target: PatchSet, arguments: list[str], expected: str) -> None:
    given = [] if "--on" in arguments else ["--on", str(target.directory)]
    assert expected in built.mistake(built.pixq("evaluate", own, *given, *arguments))
    assert not list((own / EVALUATIONS).glob("[!.]*"))


@pytest.mark.slow
def test_the_command(own: Path, target: PatchSet) -> None:
    arguments = ["evaluate", own, "--on", target.directory, "--resamples", 100, "--rivals", "majority,RoI-PSNR"]
    done = built.pixq(*arguments)
    assert done.code == 0, done.err
    assert "majority class" in done.out
    assert "RoI-PSNR" in done.out
    [kept] = read_evaluations(own)
    assert kept.name == "target-test-default"
    assert str(own / EVALUATIONS / "target-test-default.json") in done.out
    for name in ("coverage of the sets", "share of unsure answers"):
        assert f"{name}: 0." in done.out or f"{name}: 1." in done.out
    printed = built.pixq(*arguments, "--json")
    assert printed.code == 0, printed.err
    first = json.loads(printed.out)
    # The command in the file makes the file again.
    words = kept.command.split()
    assert words[:2] == ["pixq", "evaluate"]
    again = built.pixq(*words[1:], "--json")
    assert again.code == 0, again.err
    assert {**json.loads(again.out), "created": 0} == {**first, "created": 0}
    other = built.pixq(*arguments[:4], "--resamples", 100, "--rivals", "none")
    assert "target-test-default.json: already exists, made by `pixq evaluate" in built.mistake(other)
    assert [len(each.methods) for each in read_evaluations(own)] == [3]
    alone = built.pixq(*arguments[:4], "--resamples", 100, "--rivals", "none", "--name", "alone")
    assert alone.code == 0, alone.err
    # Both may be made in one second, so their order is not checked.
    methods = {"target-test-default": 3, "alone": 1}
    assert {evaluation.name: len(evaluation.methods) for evaluation in read_evaluations(own)} == methods
    forced = built.pixq(*arguments[:4], "--resamples", 100, "--rivals", "none", "--force")
    assert forced.code == 0, forced.err
    assert [len(each.methods) for each in read_evaluations(own)] == [1, 1]


def test_the_name_is_that_of_a_file(own: Path, target: PatchSet, tmp_path: Path) -> None:
    strange = PatchSet(shutil.copytree(target.directory, tmp_path / ("ünd so weiter" * 8)))
    name, command = plan(own, strange, QUICK)
    assert len(name) == 64
    assert name.endswith("-test-default")
    assert check_name(name) == name
    assert shlex.split(command)[4] == str(strange.directory)


def test_a_calibration_of_another_dataset_is_told(own: Path, levels: PatchSet) -> None:
    found = evaluate(own, levels, EvaluateSettings(resamples=100, rivals=()))
    assert any(
        "was made on triplets, but these patches come from jianjin008: other cuts may fit" in each
        for each in found.warnings
    )


def test_patches_of_another_size_are_refused(run: Path, tmp_path: Path) -> None:
    write_tid(tmp_path / "tid", references=5, types=(1,), levels=4)
    settings = BuildSettings(geometry=PatchGeometry(16, 8), sampling=Sampling("grid", 16))
    small = PatchSet(build("tid2013", tmp_path / "tid", tmp_path / "small", settings=settings).out)
    for judge in (calibrate, evaluate):
        with pytest.raises(
            PixqError,
            match=r"small: its patches are 16 pixels wide, but the model was trained on 20; build .* --patch-size 20",
        ):
            judge(run, small)  # type: ignore[operator]
