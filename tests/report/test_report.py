"""Reports: what they say of a run, and what they refuse."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pixq
from pixq.classes import CLASSES
from pixq.errors import PixqError
from pixq.evaluation.evaluation_file import Difference
from pixq.io.atomic import checksum
from pixq.report import sentences
from pixq.report.colors import luminance, mix, text_on
from pixq.report.report import write_report
from pixq.viewing import ViewingConditions
from support import built
from support import report_files as files
from support.report_runs import Made, page, text

# What it says.


@pytest.mark.slow
def test_a_run_alone_says_what_to_do_next(run: Path) -> None:
    said = text(page(run))
    assert "tiny on jianjin008" in said
    assert "4,417 trained weights" in said
    assert "pixq calibrate" in said
    assert "pixq evaluate" in said
    assert "Its scores are not calibrated yet." in said
    assert "The labels that were trained on are synthetic: no person gave them." in said
    assert re.search(r"train 12 3 training validation 8 2 ", said)
    # Every group of the patch set, in its split.
    for image in pixq.PatchSet(json.loads((run / "run.json").read_text())["patches"]["directory"]).images:
        assert image["group"] in said


def test_the_commands_make_the_same_patch_set_and_run(made: Made, run: Path, tmp_path: Path) -> None:
    commands = re.findall(r"<pre>(pixq .*?)</pre>", page(run), flags=re.DOTALL)
    build, train = (shlex.split(each.replace("\\\n", " ").replace("&#34;", '"'))[1:] for each in commands[:2])
    build[build.index("DATASET")] = str(made.dataset)
    build[build.index(str(made.patches))] = str(tmp_path / "patches")
    assert built.pixq(*build).code == 0
    assert built.digest(tmp_path / "patches") == built.digest(made.patches)
    assert built.pixq(*train).code == 0
    for name in ("model.safetensors", "metrics.jsonl", "recipe.toml"):
        assert checksum(tmp_path / "run-again" / name) == checksum(run / name), name


def test_a_full_report_says_who_wins(run: Path) -> None:
    files.calibrate(run)
    files.evaluate(run)
    said = text(page(run))
    assert "beats PSNR: +0.190 (+0.120 to +0.250)" in said
    assert "loses to gradient boosting on PSNR, SSIM, gradients: −0.080 (−0.120 to −0.030)" in said
    assert "not distinguishable from SSIM: +0.010 (−0.020 to +0.050)" in said
    # A lower error is better.
    assert "beats PSNR: −0.0100" in said
    assert "0.710 0.680 to 0.740" in said
    assert "Orange from 0.412; Green from 0.703" in said
    assert "above chance (0.333)" in said
    assert "There are few groups (12)" in said
    assert "pixq evaluate runs/a --on target/patches --name tid2013-test" in said
    # Counts and row percent of the first matrix.
    assert "284 71 % 58 14 % 58 14 %" in said


def test_warnings_come_before_every_number(run: Path) -> None:
    files.calibrate(run, warnings=["Scores hardly separate."])
    files.evaluate(run, warnings=["calibration default: Scores hardly separate.", "Few groups."])
    markup = page(run)
    assert markup.count("Calibration default: Scores hardly separate.") == 1
    # Once is enough at the top; its own section has it too.
    assert markup.count("calibration default: Scores hardly separate.") == 1
    assert markup.count("Few groups.") == 2
    warnings = markup.index("read these first")
    assert warnings < markup.index("Scores hardly separate.") < markup.index("In short") < markup.index("<svg")


def test_figures_that_are_too_good_are_named(run: Path) -> None:
    fingerprint = json.loads((run / "run.json").read_text())["patches"]["fingerprint"]
    files.calibrate(run, model={"blake3": "0" * 64})
    files.evaluate(run, name="same", data=files.data(split="validation"))
    files.evaluate(run, name="own", data=files.data(split="train", fingerprint=fingerprint))
    said = text(page(run))
    assert "Calibration default was made for different weights of this run" in said
    assert "Evaluation same is on the same patches that its cuts were chosen on" in said
    assert "Evaluation own is on the train split, which was trained on" in said
    assert "Evaluation own is on the same patches" not in said


def test_names_are_text_whatever_they_hold(run: Path) -> None:
    info = json.loads((run / "run.json").read_text())
    info["patches"]["dataset"] = dict.fromkeys(info["patches"]["dataset"], files.HOSTILE)
    info["patches"]["label_contract"]["note"] = files.HOSTILE
    (run / "run.json").write_text(json.dumps(info))
    files.calibrate(run, warnings=[files.HOSTILE])
    evaluation = files.evaluation("x")
    evaluation["methods"][1]["title"] = evaluation["methods"][1]["name"] = files.HOSTILE
    evaluation["against"][0]["name"] = evaluation["against"][4]["name"] = files.HOSTILE
    files.evaluate(run, methods=evaluation["methods"], against=evaluation["against"], command=files.HOSTILE)
    markup = page(run)
    assert "<script" not in markup
    assert "alert(" in markup
    assert "<b>colour" not in markup
    assert "49" not in re.findall(r"&amp;(.{0,8}) ünï", markup)
    # What would turn the text that follows is shown as what it is.
    assert "\u202e" not in markup
    assert r"\u202e" in markup


@pytest.mark.parametrize(
    ("orange", "green", "words_of_it"),
    [
        ("always", "never", "Red is never given; Green is never given"),
        ("never", "never", "every answer is Red"),
        ("always", "always", "every answer is Green"),
        (0.5, 0.5, "Orange is never given; Green from 0.5"),
        (0.25, "never", "Orange from 0.25; Green is never given"),
        ("always", 0.75, "Red is never given; Green from 0.75"),
    ],
)
def test_a_class_that_is_never_given_is_said_so(run: Path, orange: Any, green: Any, words_of_it: str) -> None:
    cuts = {name: {"value": cut, "low": None, "high": None} for name, cut in (("orange", orange), ("green", green))}
    files.calibrate(run, cuts=cuts)
    methods = files.evaluation("x")["methods"]
    methods[0]["cuts"] = {"orange": orange, "green": green}
    files.evaluate(run, methods=methods)
    markup = page(run)
    assert f"default: {words_of_it}" in text(markup)
    assert "inf" not in re.findall(r'="(-?inf|nan)', markup)
    assert 'x1="nan' not in markup


def test_an_evaluation_of_nothing_has_a_page(run: Path) -> None:
    methods = files.evaluation("x")["methods"]
    for method in methods:
        method |= {"patches": files.nothing(), "images": None, "by": {}}
    files.evaluate(
        run,
        methods=methods,
        against=[{"name": "psnr", "metric": "accuracy", "value": None, "low": None, "high": None}],
        histogram={"edges": [0.0, 1.0], "counts": {each.name: [0] for each in CLASSES}},
        reliability=[],
        examples={"best": [], "worst": []},
        data=files.data(patches=0, images=0, groups=0, by_class={"Red": 0, "Orange": 0, "Green": 0}),
        calibration=None,
    )
    said = text(page(run))
    assert "There was no patch to evaluate on." in said
    assert "cannot be compared with PSNR: the metric is undefined for one of the two" in said
    assert "no calibration" in said


def test_a_class_without_patches_has_dashes(run: Path) -> None:
    methods = files.evaluation("x")["methods"]
    figures = methods[0]["patches"]
    figures["n"] -= sum(figures["confusion"][1])
    figures["confusion"][1] = [0, 0, 0]
    for name in ("recall_orange", "balanced_accuracy"):
        figures["estimates"][name] = files.estimate(None)
    files.evaluate(run, methods=methods)
    said = text(page(run))
    assert "0 – 0 – 0 –" in said
    assert "balanced accuracy is undefined" in said
    # Of two classes, a coin finds half.
    figures["estimates"]["balanced_accuracy"] = files.estimate(0.52)
    files.evaluate(run, methods=methods)
    assert "balanced accuracy 0.520 (0.490 to 0.550) on patches, not above chance (0.500)" in text(page(run))


def test_a_patch_set_that_is_gone_is_said_so(run: Path, tmp_path: Path) -> None:
    info = json.loads((run / "run.json").read_text())
    info["patches"]["directory"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(info))
    said = text(page(run))
    assert "The patch set can&#39;t be read, so its splits and groups are not shown" in said
    assert "so the command that cut it is unknown" in said


def test_another_patch_set_in_its_place_is_said_so(run: Path) -> None:
    info = json.loads((run / "run.json").read_text())
    info["patches"]["fingerprint"] = "0" * 64
    (run / "run.json").write_text(json.dumps(info))
    said = text(page(run))
    assert "The patch set is not the one that was trained on" in said
    assert "Groups of train" not in said


def test_a_run_without_an_epoch_has_a_page(run: Path) -> None:
    info = json.loads((run / "run.json").read_text())
    info |= {"status": "interrupted", "best": None, "timings": {}, "files": {}}
    (run / "run.json").write_text(json.dumps(info))
    (run / "metrics.jsonl").unlink()
    said = text(page(run))
    assert "The run is not finished: its status is interrupted." in said
    assert "The run has no finished epoch yet" in said


def test_where_a_run_began_is_said_and_repeated(run: Path) -> None:
    info = json.loads((run / "run.json").read_text())
    begun = {"directory": "runs/first", "model_blake3": "0" * 64}
    (run / "run.json").write_text(json.dumps({**info, "started_from": {**begun, "only": "head"}}))
    said = text(page(run)).replace(" \\ ", " ")
    assert "started from the best model of runs/first; only its head was trained" in said
    assert "--device cpu --from runs/first --only head" in said
    adapted = {"how": "norm", "from": begun, "to": {"directory": "target", "fingerprint": "0" * 64, "patches": 9}}
    (run / "run.json").write_text(json.dumps({**info, "best": None, "timings": {}, "adapted": adapted}))
    (run / "metrics.jsonl").unlink()
    said = text(page(run)).replace(" \\ ", " ")
    assert "adapted by norm from runs/first to target, without labels" in said
    assert "this run was adapted from another one without training" in said
    assert f"pixq adapt runs/first --to target --how norm --out {run}-again" in said


def test_a_calibration_is_told_with_its_command(run: Path) -> None:
    cost = [[0, 1, 4], [1, 0, 1], [4, 1, 0]]
    files.calibrate(run, objective="cost", cost=cost, conformal=None)
    said = text(page(run)).replace(" \\ ", " ")
    assert "chosen for the lowest cost" in said
    assert "expected quality: from 0.05 at 0.1 to 0.95 at 0.9" in said
    assert "expect a balanced accuracy of 0.690 (0.660 to 0.720)" in said
    assert f"pixq calibrate {run} --target target/patches --name default --split validation --objective cost" in said
    assert "--cost 0.0,1.0,4.0/1.0,0.0,1.0/4.0,1.0,0.0 --resamples 1000 --level 0.95 --seed 0 --force" in said


def test_a_run_of_visibility_speaks_of_jnd_first(run: Path) -> None:
    info = json.loads((run / "run.json").read_text())
    info["recipe"]["model"]["name"] = "visibility"
    (run / "run.json").write_text(json.dumps(info))
    (run / "metrics.jsonl").unlink()
    said = text(page(run))
    assert "In short The score of a patch is minus its JND" in said
    assert "not calibrated yet: Orange up to 1.291 JND (75 % notice); Green up to 0.5999 JND (10 % notice)." in said
    assert "the run has no metrics.jsonl" in said
    cuts = {"orange": {"value": -2.0, "low": -2.5, "high": -1.5}, "green": {"value": -0.25, "low": None, "high": None}}
    files.calibrate(run, cuts=cuts, viewing=asdict(ViewingConditions(60, task="flicker")))
    said = text(page(run))
    assert "Calibration default: Orange up to 2 JND (95 % notice); Green up to 0.25 JND (under 1 % notice)" in said
    assert "; for 60 pixels per degree, white 200 cd/m2, room 250 lux, alternating." in said
    assert "Orange 2.000 JND 1.500 JND to 2.500 JND" in said
    assert "score, minus the JND" in said


def test_the_page_is_made_of_the_files_alone(run: Path, tmp_path: Path) -> None:
    files.calibrate(run)
    files.evaluate(run)
    assert page(run) == write_report(run, tmp_path / "other.html").read_text("utf-8")


def test_the_safe_palette_is_that_of_classes(run: Path) -> None:
    files.evaluate(run)
    standard = page(run)
    safe = write_report(run, palette="safe").read_text("utf-8")
    for each in CLASSES:
        assert each.color in standard
        assert each.color not in safe
        assert each.safe_color in safe
        assert f"{each.mark} {each.name}" in safe


@pytest.mark.slow
def test_folds_have_a_page(folds_run: Path, tmp_path: Path) -> None:
    shutil.copytree(folds_run, tmp_path / "f")
    summary = json.loads((tmp_path / "f" / "folds.json").read_text())
    said = text(page(tmp_path / "f"))
    assert sentences.plain(summary["image"]["srcc"]) in said
    for name in summary["runs"]:
        assert f"{name} finished, all epochs" in said
    assert f"--out {tmp_path / 'f'}-again --device cpu --folds" in said.replace(" \\ ", " ")
    (tmp_path / "f" / "folds.json").write_text("{}")
    with pytest.raises(PixqError, match=r"folds\.json: is not a pixq folds file"):
        write_report(tmp_path / "f")


# Mistakes.


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", "{", r"run\.json: .*damaged"),
        ("calibration.json", "{", r"calibration\.json: is not JSON .*pixq calibrate"),
        ("calibration.json", "[]", r"calibration\.json: is not a pixq calibration file"),
        ("calibration.json", '{"format":"pixq calibration","schema_version":2}', "has schema version 2"),
        ("calibration.json", '{"format":"pixq calibration","schema_version":1}', r"calibrations: Field required"),
        (
            "evaluations/a.json",
            '{"format":"pixq evaluation","schema_version":1}',
            r"evaluations/a\.json: .*pixq evaluate",
        ),
        ("metrics.jsonl", '{"epoch": "one"}\n', r"metrics\.jsonl: line 1\.epoch: .*train again"),
    ],
)
def test_a_damaged_file_is_one_line(run: Path, name: str, content: str, says: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(content)
    with pytest.raises(PixqError, match=says) as caught:
        write_report(run)
    assert "\n" not in str(caught.value)


def test_no_run_is_a_mistake(tmp_path: Path) -> None:
    assert "holds no run.json" in built.mistake(built.pixq("report", tmp_path))


def test_a_page_is_called_html(run: Path) -> None:
    with pytest.raises(PixqError, match=r"ends in \.html"):
        write_report(run, run / "report.pdf")


def test_jinja2_that_is_missing_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(PixqError, match=r"pip install 'pixq\[report\]'"):
        write_report(run)


def test_the_command_line_writes_it(run: Path, tmp_path: Path) -> None:
    done = built.pixq("report", run, "--out", tmp_path / "page.html", "--palette", "safe")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert "palette" in built.mistake(built.pixq("report", run, "--palette", "loud")).lower()


# Words and colours.


def test_text_stands_out_from_every_fill() -> None:
    for each in CLASSES:
        for color in (each.color, each.safe_color):
            for share in np.linspace(0, 1, 101):
                fill = mix(color, float(share))
                light, dark = sorted((luminance(fill), luminance(text_on(fill))), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (color, share)


@pytest.mark.parametrize(
    ("metric", "low", "high", "kind"),
    [
        ("accuracy", 0.01, 0.2, "better"),
        ("accuracy", -0.2, -0.01, "worse"),
        ("accuracy", 0.0, 0.2, "same"),
        ("accuracy", -0.1, 0.2, "same"),
        ("mse", -0.2, -0.01, "better"),
        ("ece", 0.01, 0.2, "worse"),
        ("accuracy", None, None, "unknown"),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero(
    metric: str, low: float | None, high: float | None, kind: str
) -> None:
    difference = Difference(name="psnr", metric=metric, value=0.1, low=low, high=high)
    assert sentences.verdict(difference, "PSNR")[0] == kind
