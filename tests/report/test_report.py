"""Reports and comparisons: what they say, and that a real browser shows them as they should be."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pixq
from pixq.classes import CLASSES
from pixq.distort import write_tree
from pixq.errors import PixqError
from pixq.evaluation.evaluation_file import Difference
from pixq.io.atomic import checksum
from pixq.patches.plan import BuildSettings, Sampling
from pixq.report import sentences
from pixq.report.colors import luminance, mix, text_on
from pixq.report.compare import compare, write_compare
from pixq.report.report import write_report
from pixq.runs.recipe import Recipe, read_recipe
from pixq.train import folds, loop
from pixq.train.partition import by_split
from support import browser, built, trees
from support import report_files as files


def recipe(*overrides: str) -> Recipe:
    return read_recipe("seed", ["train.epochs=3", "train.batch=8", "train.threads=1", *overrides])


@dataclass(frozen=True)
class Made:
    """A small dataset, its patch set, and a run on it."""

    dataset: Path
    patches: Path
    run: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("report")
    photos = {f"photo{number}": trees.photo(number) for number in range(6)}
    write_tree(photos, root / "dataset", ["jpeg", "white_noise"], [2, 5])
    settings = BuildSettings(
        fusions=(pixq.Fusion("none"), pixq.Fusion("blend", 0.25)),
        sampling=Sampling("random", None, 6),
        ratio=(0.5, 0.25, 0.25),
        seed=3,
        min_difference=1,
    )
    built.make("jianjin008", root / "dataset", root / "patches", settings)
    loop.train(by_split(pixq.PatchSet(root / "patches")), root / "run", recipe(), device="cpu")
    return Made(root / "dataset", root / "patches", root / "run")


@pytest.fixture
def run(made: Made, tmp_path: Path) -> Path:
    """The run alone, to be given calibrations and evaluations."""
    shutil.copytree(made.run, tmp_path / "run", ignore=shutil.ignore_patterns("tensorboard"))
    return tmp_path / "run"


def page(run: Path) -> str:
    return write_report(run).read_text("utf-8")


def text(markup: str) -> str:
    """What a reader sees, roughly."""
    body = re.sub(r"<style>.*?</style>", " ", markup, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


# What it says.


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


def test_folds_have_a_page(made: Made, tmp_path: Path) -> None:
    summary = folds.train_folds(pixq.PatchSet(made.patches), tmp_path / "f", recipe("train.epochs=1"), device="cpu")
    said = text(page(tmp_path / "f"))
    assert sentences.plain(summary["image"]["srcc"]) in said
    for name in summary["runs"]:
        assert f"{name} finished, all epochs" in said
    assert f"--out {tmp_path / 'f'}-again --device cpu --folds" in said.replace(" \\ ", " ")
    (tmp_path / "f" / "folds.json").write_text("{}")
    with pytest.raises(PixqError, match=r"folds\.json: is no pixq folds"):
        write_report(tmp_path / "f")


# Mistakes.


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", "{", r"run\.json: .*damaged"),
        ("calibration.json", "{", r"calibration\.json: is not JSON .*pixq calibrate"),
        ("calibration.json", "[]", r"calibration\.json: is no pixq calibration"),
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


# Side by side.


@pytest.fixture
def two(made: Made, run: Path, tmp_path: Path) -> tuple[Path, Path]:
    other = tmp_path / "other"
    loop.train(by_split(pixq.PatchSet(made.patches)), other, recipe("optimiser.lr=0.0005"), device="cpu")
    return run, other


def better(share: float, half: float = 0.03) -> list[dict[str, Any]]:
    return [{**files.evaluation("x")["methods"][0], "patches": files.metrics(share, half=half)}]


def test_the_best_is_marked_where_intervals_are_apart(two: tuple[Path, Path]) -> None:
    files.evaluate(two[0], methods=better(0.70), against=[])
    files.evaluate(two[1], methods=better(0.80), against=[])
    found = compare(two)
    assert found.recipe == {"optimiser.lr": ["0.002", "0.0005"]}
    (common,) = found.common
    assert common.best["balanced_accuracy"] == "other"
    # Equal, and so not apart.
    assert "mse" not in common.best
    assert "0.800 (0.770 to 0.830) *" in found.text()
    files.evaluate(two[1], methods=better(0.74), against=[])
    assert compare(two).common[0].best == {}


def test_a_lower_error_is_the_better_one(two: tuple[Path, Path]) -> None:
    for path, error in zip(two, (0.01, 0.05), strict=True):
        methods = better(0.7)
        methods[0]["patches"]["estimates"]["mse"] = files.estimate(error, 0.001)
        files.evaluate(path, methods=methods, against=[])
    assert compare(two).common[0].best == {"mse": "run"}


def test_nothing_is_best_where_it_can_not_be_known(two: tuple[Path, Path]) -> None:
    """A recall alone, few groups, intervals of other levels, weights of before."""

    def best(**changes: Any) -> dict[str, str]:
        files.evaluate(two[0], methods=better(0.70), against=[])
        files.evaluate(two[1], methods=better(0.80), against=[], **changes)
        return dict(compare(two).common[0].best)

    told = best()
    assert "balanced_accuracy" in told
    assert not [name for name in told if name.startswith("recall_")]
    files.evaluate(two[0], methods=better(0.70), against=[])
    few = better(0.80)
    few[0]["patches"]["groups"] = 19
    files.evaluate(two[1], methods=few, against=[])
    assert compare(two).common[0].best == {}
    assert best(bootstrap={"resamples": 1000, "level": 0.5, "seed": 0}) == {}
    assert best() == told
    (path,) = (two[1] / "evaluations").glob("*.json")
    data = json.loads(path.read_text())
    data["run"]["model_blake3"] = "00" * 32
    path.write_text(json.dumps(data))
    found = compare(two)
    assert list(found.common) == []
    assert "was made with different weights; run `pixq evaluate` again" in " ".join(found.alone)


def test_calibrations_are_named_where_they_differ_and_warnings_told(two: tuple[Path, Path], tmp_path: Path) -> None:
    files.evaluate(two[0], calibration="one", warnings=["few groups"])
    files.evaluate(two[1], calibration="two", warnings=["few groups"])
    found = compare(two)
    assert [each.label for each in found.common[0].entries] == ["run (one)", "other (two)"]
    assert "warning: run (one), other (two): few groups" in found.text()
    write_compare(two, tmp_path / "two.html")
    assert "few groups" in (tmp_path / "two.html").read_text("utf-8")


def test_only_the_same_patches_are_compared(two: tuple[Path, Path]) -> None:
    files.evaluate(two[0])
    files.evaluate(two[1], data=files.data(fingerprint="cd" * 32))
    found = compare(two)
    assert list(found.common) == []
    assert [each.split(" ")[1] for each in found.alone] == ["run", "other"]
    files.evaluate(two[1], name="validation", data=files.data(split="validation"))
    assert list(compare(two).common) == []


def test_compare_on_the_command_line(two: tuple[Path, Path], tmp_path: Path) -> None:
    files.evaluate(two[0])
    files.evaluate(two[1], methods=better(0.9), against=[])
    done = built.pixq("compare", *two, "--out", tmp_path / "two.html", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert found["runs"] == ["run", "other"]
    assert found["common"][0]["best"]["accuracy"] == "other"
    assert "★" in (tmp_path / "two.html").read_text("utf-8")
    assert "give two or more" in built.mistake(built.pixq("compare", two[0]))
    assert "given twice" in built.mistake(built.pixq("compare", two[0], two[0]))
    assert "holds no run.json" in built.mistake(built.pixq("compare", two[0], tmp_path))


# In a browser.


@dataclass
class Shown:
    """A page in a browser, and all that it asked for or complained of."""

    page: Any
    noise: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.opened() as opened:
        yield opened


def show(chromium: Any, path: Path, width: int = 1280, scheme: str = "light") -> Shown:
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    shown = Shown(context.new_page())

    def asked(route: Any) -> None:
        if route.request.url == path.as_uri():
            route.continue_()
        else:
            shown.noise.append(route.request.url)
            route.abort()

    context.route("**/*", asked)
    shown.page.on("console", lambda message: shown.noise.append(message.text))
    shown.page.on("pageerror", lambda error: shown.noise.append(str(error)))
    shown.page.on("dialog", lambda dialog: shown.noise.append(dialog.message))
    shown.page.goto(path.as_uri())
    return shown


@pytest.fixture(scope="module")
def full(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with all there is, and with names that try to break it."""
    run = tmp_path_factory.mktemp("full") / "run"
    shutil.copytree(made.run, run)
    files.calibrate(run)
    files.calibrate(run, name="second", warnings=[files.HOSTILE], conformal=None)
    files.evaluate(run)
    files.evaluate(run, name="images", calibration=None, created="2026-11-22T22:00:00Z")
    return write_report(run)


@pytest.fixture(scope="module")
def pages(full: Path, made: Made, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every kind of page."""
    root = tmp_path_factory.mktemp("pages")
    other = root / "other"
    shutil.copytree(made.run, other)
    files.evaluate(other, methods=better(0.9), against=[])
    bare = write_report(other, root / "short.html", palette="safe")
    write_compare([full.parent, other], root / "two.html")
    folds.train_folds(pixq.PatchSet(made.patches), root / "folds", recipe("train.epochs=1"), device="cpu")
    return [full, bare, root / "two.html", write_report(root / "folds")]


WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [1280, 640, 375])
def test_pages_ask_for_nothing_and_fit(chromium: Any, pages: list[Path], width: int) -> None:
    for path in pages:
        shown = show(chromium, path, width)
        assert shown.page.evaluate(WIDER) <= 0, path
        images = shown.page.evaluate("[...document.images].map(each => each.complete && each.naturalWidth)")
        assert all(size == 20 for size in images)
        assert shown.page.evaluate("document.querySelectorAll('script, iframe, object').length") == 0
        assert shown.noise == []
        shown.page.context.close()
    shown = show(chromium, pages[0])
    # Six of the worst and three of the best answers of each of two evaluations, two pictures each.
    assert shown.page.evaluate("document.images.length") == 36
    shown.page.context.close()


@pytest.mark.parametrize("width", [1280, 375])
def test_text_of_twice_the_size_fits(chromium: Any, pages: list[Path], width: int) -> None:
    for path in pages:
        shown = show(chromium, path, width)
        shown.page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert shown.page.evaluate(WIDER) <= 0, path
        shown.page.context.close()


def test_a_listener_hears_a_whole_page(chromium: Any, pages: list[Path]) -> None:
    for path in pages:
        shown = show(chromium, path)
        levels = shown.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(each => +each.tagName[1])")
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
        ids = shown.page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
        assert len(ids) == len(set(ids))
        silent = """[
          ...[...document.querySelectorAll('svg')].filter(each => each.getAttribute('role') != 'img'
            || !each.querySelector('title')?.textContent || !each.querySelector('desc')?.textContent
            || !each.getAttribute('aria-labelledby').split(' ').every(id => document.getElementById(id))),
          ...[...document.images].filter(each => !each.alt),
          ...[...document.querySelectorAll('table')].filter(each => !each.caption),
          ...[...document.querySelectorAll('th')].filter(each => !each.scope),
          ...[...document.querySelectorAll('a[href^="#"]')].filter(each => !document.querySelector(each.hash)),
        ].map(each => each.outerHTML.slice(0, 200))"""
        assert shown.page.evaluate(silent) == []
        assert shown.page.evaluate("document.documentElement.lang") == "en"
        shown.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_legible(chromium: Any, pages: list[Path], scheme: str) -> None:
    for path in pages:
        shown = show(chromium, path, scheme=scheme)
        assert shown.page.evaluate(browser.FAINT) == []
        paper = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 150) == (scheme == "dark")
        shown.page.context.close()


def test_it_prints_on_white_in_colour(chromium: Any, full: Path) -> None:
    shown = show(chromium, full, scheme="dark")
    pdf = shown.page.pdf(format="A4")
    assert pdf.startswith(b"%PDF-")
    shown.page.emulate_media(media="print")
    assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.page.evaluate(browser.FAINT) == []
    style = "getComputedStyle(document.querySelector('.confusion td')).printColorAdjust"
    assert shown.page.evaluate(style) == "exact"
    assert shown.page.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
    shown.page.set_viewport_size({"width": 690, "height": 1000})  # A4 without its margins
    assert shown.page.evaluate(WIDER) <= 0
    shown.page.context.close()


def test_classes_are_told_apart_without_colour(chromium: Any, full: Path) -> None:
    """In grey, each chip still has a mark and a name of its own."""
    shown = show(chromium, full)
    session = shown.page.context.new_cdp_session(shown.page)
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": "achromatopsia"})
    chips = shown.page.locator(".confusion thead .chip").all()[:3]
    seen = set()
    for chip, each in zip(chips, CLASSES, strict=True):
        assert chip.inner_text() == f"{each.mark} {each.name}"
        seen.add(chip.screenshot())
    assert len(seen) == 3
    shown.page.context.close()


def test_patches_are_drawn_with_hard_edges(chromium: Any, full: Path) -> None:
    shown = show(chromium, full)
    picture = shown.page.locator(".patches img").first
    assert picture.evaluate("each => getComputedStyle(each).imageRendering") == "pixelated"
    assert picture.bounding_box()["width"] >= 100
    shown.page.context.close()


# Finding a browser.


def test_a_browser_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    monkeypatch.delenv("PIXQ_BROWSER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "own"))
    assert browser.find() is None
    own = put(tmp_path / "own" / "chromium_headless_shell-1200" / "chrome-linux" / "headless_shell")
    assert browser.find() == own
    installed = put(tmp_path / "bin" / "google-chrome")
    assert browser.find() == installed
    monkeypatch.setenv("PIXQ_BROWSER", "/opt/mine")
    assert browser.find() == Path("/opt/mine")


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("0", pytest.skip.Exception)])
def test_no_browser_is_a_skip_or_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.delenv("PIXQ_BROWSER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setenv("PIXQ_REQUIRE_BROWSER", required)
    with pytest.raises(outcome, match="no browser: install Chromium"), browser.opened():
        pass


def test_pictures_of_patches_are_png() -> None:
    """What the tests feed is what an evaluation holds."""
    import base64
    import io

    with Image.open(io.BytesIO(base64.b64decode(files.png(0)))) as picture:
        assert (picture.format, picture.size) == ("PNG", (20, 20))
