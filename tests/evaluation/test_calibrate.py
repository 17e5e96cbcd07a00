"""`pixq calibrate`: the data that cuts are chosen on, mistakes, and warnings."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixq import _core, load
from pixq.classes import NAMES, classify
from pixq.decisions.calibration_file import Calibration, add_calibration, get_calibration, read_calibrations
from pixq.decisions.conformal import divide_groups
from pixq.decisions.cuts import Objective, bootstrap_cuts, find_cuts
from pixq.errors import PixqError
from pixq.evaluation.calibrate import CalibrateSettings, calibrate, out_of_bag
from pixq.evaluation.labelled import model_scores, read_split
from pixq.patches.store import PatchSet
from pixq.runs.directory import RunDirectory
from pixq.scoring.engine import EngineScores
from pixq.statistics.bootstrap import resample_groups
from support import built

torch.set_num_threads(1)
QUICK = CalibrateSettings(resamples=100)


def scores(run: Path, target: PatchSet, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and true classes of a split, without pixq's own loop."""
    part = target.select(split=split)
    reference = np.stack([part.reference[row] for row in part.records.reference_row])
    score, _ = load(run).scores(reference, part.fused())
    return score, classify(part.records.quality)


def without_date(calibration: Calibration) -> dict[str, Any]:
    return {key: value for key, value in calibration.model_dump().items() if key != "created"}


@pytest.mark.slow
@pytest.mark.parametrize("split", ["validation", "train"])
def test_the_cuts_are_the_best_of_the_calibration_split(run: Path, target: PatchSet, split: str) -> None:
    found = calibrate(run, target, CalibrateSettings(split=split, resamples=100))
    score, truth = scores(run, target, split)
    assert found.cuts.values == find_cuts(score, truth).pair
    confusion = np.bincount(truth * 3 + classify(score, found.cuts.values), minlength=9).reshape(3, 3)
    assert found.achieved["balanced_accuracy"].value == pytest.approx(Objective().value(confusion))
    assert found.data.split == split
    assert found.data.patches == len(truth)
    assert found.data.by_class == dict(zip(NAMES, np.bincount(truth, minlength=3).tolist(), strict=True))
    assert found.model.blake3 == json.loads((run / "run.json").read_text())["files"]["model.safetensors"]["blake3"]
    for cut in (found.cuts.orange, found.cuts.green):
        assert cut.low is not None
        assert cut.high is not None
        assert cut.low <= cut.value <= cut.high


@pytest.mark.slow
def test_the_test_split_is_never_looked_at(run: Path, target: PatchSet, tmp_path: Path) -> None:
    """Neither by choice, nor in passing: what it holds changes nothing."""
    with pytest.raises(PixqError, match="never chosen on the test split"):
        CalibrateSettings(split="test")
    before = calibrate(run, target, QUICK)
    copy = Path(shutil.copytree(target.directory, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if shard["split"] == "test":
            path = copy / f"{shard['name']}.distorted.npy"
            data = bytearray(path.read_bytes())
            data[200:] = bytes(len(data) - 200)
            path.write_bytes(data)
    assert without_date(calibrate(run, copy, QUICK)) | {"data": 0} == without_date(before) | {"data": 0}


def test_the_same_on_any_number_of_threads(run: Path, target: PatchSet, restore_threads: None) -> None:
    found = []
    for threads in (1, 3):
        _core.set_num_threads(threads)
        found.append(without_date(calibrate(run, target, CalibrateSettings(resamples=100, coverage=0.8))))
    assert found[0] == found[1]
    other = without_date(calibrate(run, target, CalibrateSettings(resamples=100, seed=1)))
    assert other["cuts"]["green"]["value"] == found[0]["cuts"]["green"]["value"]
    assert other["cuts"] != found[0]["cuts"]


def test_what_unseen_groups_may_expect(run: Path, target: PatchSet) -> None:
    """Computed by hand, one resample at a time."""
    data = read_split(target, "validation")
    score = model_scores(load(run), data).patches
    resamples = resample_groups(data.group, 20)
    cuts = bootstrap_cuts(score, data.truth, data.group, resamples)
    found = out_of_bag(score, data, resamples, cuts)
    names = data.group_names[data.group]
    for times, pair, value in zip(resamples.multiplicity, cuts, found, strict=True):
        drawn = set(data.group_names[resamples.groups[times > 0]].tolist())
        left = np.array([name not in drawn for name in names])
        recalls = [
            (classify(score[left & (data.truth == each)], tuple(pair)) == each).mean()
            for each in range(3)
            if (left & (data.truth == each)).any()
        ]
        assert math.isnan(value) if len(recalls) < 3 else value == pytest.approx(np.mean(recalls))
    assert np.isfinite(found).any()


def test_sets_are_learned_from_groups_the_curves_have_not_seen(run: Path, target: PatchSet) -> None:
    settings = CalibrateSettings(resamples=100, coverage=0.8)
    found, plain = calibrate(run, target, settings), calibrate(run, target, QUICK)
    assert found.conformal is not None
    assert plain.conformal is None
    data = read_split(target, "validation")
    fitted = divide_groups(data.group_names[data.group])
    assert found.conformal.patches == np.count_nonzero(~fitted)
    assert found.conformal.groups == len(np.unique(data.group[~fitted]))
    assert found.cuts == plain.cuts
    assert found.mapping != plain.mapping
    with pytest.raises(PixqError, match=r"target: .*0\.999") as caught:
        calibrate(run, target, CalibrateSettings(resamples=100, coverage=0.999))
    assert "\n" not in str(caught.value)


def test_photos_that_were_trained_on_are_refused(trained: Path) -> None:
    """The run's own patch set: its validation split calibrates, its train split must not."""
    patches = trained.parent / "out"
    with pytest.raises(PixqError, match="its validation split is a single group"):
        calibrate(trained, patches, QUICK)
    with pytest.raises(PixqError, match=r"a leak: 3 photos of its train split, such as 'I\d+', are .* was trained on"):
        calibrate(trained, patches, CalibrateSettings(split="train", resamples=100))


def test_a_run_that_does_not_say_what_it_saw_is_told(run: Path, target: PatchSet) -> None:
    source = run_patches(run)
    known = json.loads((run / "run.json").read_text())["split"]["photos"]
    assert sorted(known) == ["train", "validation"]
    assert set(known["train"]) == source.select(split="train").photos()
    assert not set(known["train"]) & set(known["validation"])
    (run / "run.json").write_text((run / "run.json").read_text().replace('"photos"', '"pictures"'))
    found = calibrate(run, target, QUICK)
    assert any("a leak can't be ruled out; train it again" in warning for warning in found.warnings)


def run_patches(run: Path) -> PatchSet:
    return PatchSet(json.loads((run / "run.json").read_text())["patches"]["directory"])


def relabelled(target: PatchSet, out: Path, quality: Any) -> Path:
    """The same patches with other labels: `quality(number)` of each image."""
    copy = Path(shutil.copytree(target.directory, out))
    lines = [json.loads(line) for line in (copy / "images.jsonl").read_text().splitlines()]
    of = {}
    for number, line in enumerate(lines):
        line["quality"] = line["MOS"] = of[line["image_id"]] = quality(number)
    (copy / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = json.loads((copy / "manifest.json").read_text())
    entries = [(manifest["images"], copy / "images.jsonl")]
    for shard in manifest["shards"]:
        path = copy / f"{shard['name']}.jsonl"
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            record["quality"] = record["MOS"] = of[record["image_id"]]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        entries.append((shard["files"][path.name], path))
    for entry, path in entries:
        size, blake3 = _core.checksum(path)
        entry.update(bytes=size, blake3=blake3)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    return copy


def test_labels_that_scores_say_nothing_of_are_told(run: Path, target: PatchSet, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shuffled = relabelled(target, tmp_path / "shuffled", lambda _: float(random.integers(3)) / 2)
    warnings = " ".join(calibrate(run, shuffled, QUICK).warnings)
    assert "the scores don't separate the classes" in warnings
    assert "includes chance, 0.333" in warnings


def test_scores_that_separate_are_not_warned_of(run: Path, target: PatchSet, tmp_path: Path) -> None:
    """Labels made of the scores themselves."""
    score, _ = load(run).scores(
        np.stack([target.reference[row] for row in target.records.reference_row]), target.fused()
    )
    by_image = dict(zip(target.records.image.tolist(), score.tolist(), strict=True))
    low, high = np.quantile(score, [0.33, 0.66])
    labelled = relabelled(
        target, tmp_path / "own", lambda number: float((by_image[number] > low) + (by_image[number] > high)) / 2
    )
    found = calibrate(run, labelled, QUICK)
    assert found.achieved["balanced_accuracy"].value == 1.0
    assert found.out_of_bag.low is not None
    assert found.out_of_bag.low > 0.8
    assert not any("separate" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (lambda number: float(number % 2), "no patch of the validation split is Orange, so nothing is known"),
        (lambda number: 0.5 if number % 2 else 1.0, "no patch of the validation split is Red"),
        (lambda number: 1.0 if number % 9 else 0.0, "patches are Red; with fewer than 30, its cut is a guess"),
    ],
)
def test_a_class_that_is_missing_or_rare_is_told(
    run: Path, target: PatchSet, tmp_path: Path, quality: Any, expected: str
) -> None:
    found = calibrate(run, relabelled(target, tmp_path / "set", quality), QUICK)
    assert any(expected in warning for warning in found.warnings), found.warnings


def test_one_class_or_one_group_is_refused(run: Path, target: PatchSet, levels: PatchSet, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match="all 88 patches of its validation split are Green, so there are no classes to"):
        calibrate(run, relabelled(target, tmp_path / "green", lambda _: 1.0), QUICK)
    few = levels[levels.records.image < 10]
    split = levels.images[0]["split"]
    with pytest.raises(PixqError, match="is a single group"):
        calibrate(run, few, CalibrateSettings(split=split, resamples=100))


def test_few_groups_are_told(run: Path, levels: PatchSet) -> None:
    assert any("has 2 groups; intervals from fewer than 20" in each for each in calibrate(run, levels, QUICK).warnings)


def test_scores_against_the_labels_or_all_the_same_are_told(
    run: Path, target: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixq import Scorer

    quality = relabelled(target, tmp_path / "set", lambda number: float(number % 3) / 2)
    labels = PatchSet(quality).select(split="validation").records
    order = np.argsort(labels.image, kind="stable")
    falling = iter(np.array_split(-labels.quality[order], range(256, len(order), 256)))

    def outputs(score: np.ndarray) -> EngineScores:
        return EngineScores(score, *np.ones((2, len(score)), np.float32))

    monkeypatch.setattr(Scorer, "outputs", lambda self, reference, distorted: outputs(next(falling)))
    found = calibrate(run, quality, QUICK).warnings
    assert any("better patches get lower scores (SRCC -1.000)" in warning for warning in found)
    monkeypatch.setattr(Scorer, "outputs", lambda self, reference, distorted: outputs(np.full(len(reference), 0.5)))
    found = calibrate(run, quality, QUICK).warnings
    assert any("every patch gets the same score" in warning for warning in found)


def test_sets_that_say_nothing_are_told(run: Path, target: PatchSet) -> None:
    found = calibrate(run, target, CalibrateSettings(resamples=100, coverage=0.97))
    assert (found.achieved["unsure"].value or 0.0) > 0.9
    assert any("% of answers are unsure; use a lower --coverage" in warning for warning in found.warnings)


def test_one_run_holds_several_by_name(run: Path, target: PatchSet) -> None:
    first = calibrate(run, target, CalibrateSettings(name="one", resamples=100))
    # A negative cost is a gain.
    cost = ((-0.5, 1.0, 4.0), (1.0, 0.0, 1.0), (4.0, 1.0, 0.0))
    second = calibrate(
        run, target, CalibrateSettings(name="two", resamples=100, objective=Objective("cost", cost), coverage=0.8)
    )
    add_calibration(run, first)
    add_calibration(run, second)
    assert read_calibrations(run) == {"one": first, "two": second}
    assert get_calibration(run, "two").cost == cost
    assert first.value == first.achieved["balanced_accuracy"].value
    score, truth = scores(run, target, "validation")
    paid = np.array(cost)[truth, classify(score, second.cuts.values)]
    assert second.value == pytest.approx(paid.mean())
    with pytest.raises(PixqError, match="holds several calibrations; choose one of one, two"):
        get_calibration(run)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--split", "test"], "test"),
        (["--name", "a/b"], "--name is 'a/b'"),
        (["--cost", "1,2"], "--cost is '1,2'; give three rows"),
        (["--cost", "0,1,2/1,0,1/2,1,0"], "the objective cost needs a cost matrix"),
        (["--objective", "cost"], "the objective cost needs a cost matrix"),
        (["--coverage", "1.5"], "--coverage is 1.5"),
        (["--level", "0"], "--level is 0"),
        (["--resamples", "5"], "--resamples is 5"),
        (["--seed", "-1"], "--seed is -1"),
        (["--target", "nowhere"], "nowhere: is not a directory"),
    ],
)
def test_mistakes_of_the_command_line(run: Path, target: PatchSet, arguments: list[str], expected: str) -> None:
    given = [] if "--target" in arguments else ["--target", str(target.directory)]
    assert expected in built.mistake(built.pixq("calibrate", run, *given, *arguments))
    assert not (run / "calibration.json").exists()


def test_a_run_that_is_none_or_damaged(run: Path, target: PatchSet, tmp_path: Path) -> None:
    assert "holds no run.json" in built.mistake(built.pixq("calibrate", tmp_path / "x", "--target", target.directory))
    (run / "calibration.json").write_text("{")
    assert "calibration.json: is not JSON" in built.mistake(built.pixq("calibrate", run, "--target", target.directory))
    RunDirectory(run).model.write_bytes(b"")
    (run / "calibration.json").unlink()
    assert "model.safetensors" in built.mistake(built.pixq("calibrate", run, "--target", target.directory))


def test_a_class_that_is_never_given_is_said_in_words(run: Path, target: PatchSet, tmp_path: Path) -> None:
    few = relabelled(target, tmp_path / "few", lambda number: 0.0 if number % 20 else 1.0)
    done = built.pixq("calibrate", run, "--target", few, "--objective", "accuracy", "--resamples", 100)
    assert done.code == 0, done.err
    assert math.inf in get_calibration(run).cuts.values
    assert re.search(r"^Green +never", done.out, re.MULTILINE)
    assert "inf" not in done.out


def test_the_command_takes_a_tree_and_builds_its_patch_set_beside_it(
    run: Path, target: PatchSet, tmp_path: Path
) -> None:
    tree = Path(shutil.copytree(target.directory.parent / "tree", tmp_path / "tree"))
    done = built.pixq("calibrate", run, "--target", tree, "--resamples", 100)
    assert done.code == 0, done.err
    assert f"using its patch set {tmp_path / 'tree.patches'}" in done.err
    assert "balanced accuracy" in done.out
    kept = get_calibration(run)
    assert kept.name == "default"
    assert Path(kept.data.directory) == tmp_path / "tree.patches"
    for warning in kept.warnings:
        assert f"pixq: warning: {warning}" in done.err
    again = built.pixq("calibrate", run, "--target", tree, "--resamples", 100)
    assert "already holds a calibration called default; choose another --name, or add --force" in built.mistake(again)
    forced = built.pixq("calibrate", run, "--target", tree, "--resamples", 100, "--force")
    assert forced.code == 0, forced.err
    assert without_date(get_calibration(run)) == without_date(kept)
