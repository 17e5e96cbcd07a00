"""Runs of the model `visibility`: two answers, viewing conditions that travel with calibrations, and fine-tuning."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession

from pixq import PixqError, load
from pixq.classes import GREEN
from pixq.decisions.calibration_file import add_calibration, read_calibrations
from pixq.decisions.pjnd_cuts import PJND
from pixq.evaluation.calibrate import CalibrateSettings, calibrate
from pixq.evaluation.evaluate import EvaluateSettings, evaluate
from pixq.patches.store import PatchSet
from pixq.runs.onnx_export import TOLERANCE, export_onnx
from pixq.scoring.scorer import DEFAULT
from pixq.train.init_from_run import finetuning_recipe
from pixq.viewing import ViewingConditions
from pixq.visibility import NOTICED, measure_patches, notice_probability
from support import built

GREY = np.full((60, 80, 3), 128, np.uint8)
BRIGHTER = GREY + np.uint8(3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nets that come with pixq, as a run of `visibility`."""
    run = Path(shutil.copytree(DEFAULT, tmp_path_factory.mktemp("visibility") / "run"))
    (run / PJND).unlink(missing_ok=True)
    info = json.loads((run / "run.json").read_text("utf-8"))
    info["recipe"]["model"]["name"] = "visibility"
    (run / "run.json").write_text(json.dumps(info), "utf-8")
    return run


def test_classes_follow_from_who_notices_and_quality_is_that_of_the_nets(run: Path) -> None:
    spot = GREY.copy()
    spot[20:40, 20:40] += 4
    found = load(run).map(GREY, spot)
    assert found.visibility is not None
    assert (found.cut_scale, found.calibration) == ("visibility", None)
    noticed = notice_probability(found.visibility.map)
    np.testing.assert_array_equal(found.classes == GREEN, noticed <= NOTICED[0] + 1e-12)
    assert not found.visibility.map[found.identical].any()
    np.testing.assert_array_equal(-found.score[~found.identical], found.visibility.map[~found.identical])
    np.testing.assert_array_equal(found.quality, load(DEFAULT).map(GREY, spot).quality)


def test_an_even_change_that_flickers_is_green_nowhere(run: Path) -> None:
    large = [np.tile(image, (5, 5, 1)) for image in (GREY, BRIGHTER)]
    flicker = load(run, viewing=ViewingConditions(task="flicker")).map(*large)
    assert (flicker.classes < GREEN).all()


@pytest.mark.slow
def test_both_answers_are_evaluated_and_a_calibration_holds_for_its_conditions(
    run: Path, target: PatchSet, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(run, tmp_path / "own"))
    far = ViewingConditions(60.0, task="flicker")
    made = calibrate(own, target, CalibrateSettings(resamples=100), viewing=far)
    assert made.viewing == far
    add_calibration(own, made)
    with pytest.raises(PixqError, match=r"calibration default: was made for 60 .*; give --ppd 60\.0 .*--task flicker"):
        load(own).map(GREY, BRIGHTER)
    # The cuts are of patches that are seen alone, and so are the scores that they are applied to.
    found = load(own, viewing=far).map(GREY, BRIGHTER)
    alone = measure_patches(GREY[None, :20, :20], BRIGHTER[None, :20, :20], far)[0]
    assert (found.cut_scale, found.score[0, 0]) == ("score", -alone)
    measured = evaluate(own, target, EvaluateSettings(rivals=(), resamples=100))
    assert [method.name for method in measured.methods] == ["model", "quality"]
    score, quality = (method.patches.estimates["srcc"].value for method in measured.methods)
    assert score is not None
    assert quality is not None
    assert score != quality


@pytest.mark.slow
def test_the_command_says_up_to_which_jnd(run: Path, target: PatchSet, tmp_path: Path) -> None:
    own = Path(shutil.copytree(run, tmp_path / "own"))
    command = ["calibrate", own, "--target", target.directory, "--resamples", "100", "--ppd", "60"]
    lines = built.pixq(*command).out.splitlines()
    made = read_calibrations(own)["default"]
    assert re.fullmatch(rf"Orange  up to {-made.cuts.orange.value:.4f} JND  \(.*\)", lines[0])
    assert re.fullmatch(rf"Green   up to {-made.cuts.green.value:.4f} JND  \(.*\)", lines[1])
    assert lines[2] == "seen 60 pixels per degree, white 200 cd/m2, room 250 lux, side by side"


@pytest.mark.slow
def test_an_onnx_file_has_the_quality_and_no_score(run: Path, target: PatchSet, tmp_path: Path) -> None:
    own = Path(shutil.copytree(run, tmp_path / "own"))
    report = export_onnx(own, own / "model.onnx", target)
    assert report.difference <= TOLERANCE
    session = InferenceSession(own / "model.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["quality", "weight"]
    # Visibility is measured by the core, whatever computes the quality.
    core, onnx = (load(own, engine=engine).map(GREY, BRIGHTER) for engine in ("core", "onnx"))
    np.testing.assert_array_equal(onnx.score, core.score)
    np.testing.assert_allclose(onnx.quality, core.quality, rtol=0, atol=TOLERANCE)
    assert onnx.verdict.jnd == core.verdict.jnd
    np.testing.assert_array_equal(onnx.classes, core.classes)


def test_a_run_that_starts_from_it_trains_the_scores(run: Path) -> None:
    assert finetuning_recipe(run).model.name == "monotone"
