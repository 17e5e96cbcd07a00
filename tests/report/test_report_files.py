"""The files of calibrations and evaluations: what they hold, and what they refuse."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pixq.classes import NAMES, classify
from pixq.decisions.calibration_file import Calibration, add_calibration, get_calibration, read_calibrations
from pixq.errors import PixqError
from pixq.evaluation.evaluation_file import EvaluationFile, read_evaluation, read_evaluations, write_evaluation
from pixq.io.json_file import check_name
from pixq.statistics.estimates import Cut
from pixq.statistics.metrics import METRICS
from support import report_files as files

MAPPING = files.calibration("ab" * 32)["mapping"]


def calibration(**changes: Any) -> Calibration:
    return Calibration.model_validate_json(json.dumps(files.calibration("ab" * 32, **changes)))


def evaluation(**changes: Any) -> EvaluationFile:
    return EvaluationFile.model_validate_json(json.dumps(files.evaluation("ab" * 32, **changes)))


def test_a_calibration_comes_back_as_it_was(tmp_path: Path) -> None:
    path = add_calibration(tmp_path, calibration())
    add_calibration(tmp_path, calibration(name="second"))
    assert path == tmp_path / "calibration.json"
    assert read_calibrations(tmp_path) == {"default": calibration(), "second": calibration(name="second")}
    assert get_calibration(tmp_path, "second") == calibration(name="second")
    assert [each.name for each in tmp_path.iterdir()] == ["calibration.json"]
    written = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert (written["format"], written["schema_version"]) == ("pixq calibration", 1)


def test_one_of_the_same_name_gives_way_or_not(tmp_path: Path) -> None:
    add_calibration(tmp_path, calibration())
    add_calibration(tmp_path, calibration(warnings=["new"]))
    assert get_calibration(tmp_path).warnings == ["new"]
    with pytest.raises(PixqError, match="already holds a calibration called default"):
        add_calibration(tmp_path, calibration(), replace=False)
    assert get_calibration(tmp_path).warnings == ["new"]


def test_which_calibration_must_be_clear(tmp_path: Path) -> None:
    assert read_calibrations(tmp_path) == {}
    with pytest.raises(PixqError, match="has no calibration; create one with `pixq calibrate`"):
        get_calibration(tmp_path)
    add_calibration(tmp_path, calibration())
    assert get_calibration(tmp_path).name == "default"
    with pytest.raises(PixqError, match="did you mean default"):
        get_calibration(tmp_path, "defalt")
    add_calibration(tmp_path, calibration(name="second"))
    with pytest.raises(PixqError, match="choose one of default, second"):
        get_calibration(tmp_path)


@pytest.mark.parametrize(
    ("orange", "green", "answers"),
    [
        (-math.inf, math.inf, [1, 1, 1]),
        (math.inf, math.inf, [0, 0, 0]),
        (-math.inf, -math.inf, [2, 2, 2]),
        (0.5, math.inf, [0, 1, 1]),
        (-math.inf, 0.5, [1, 2, 2]),
    ],
)
def test_infinite_cuts_come_back_with_their_sign(
    tmp_path: Path, orange: float, green: float, answers: list[int]
) -> None:
    cuts = {"orange": Cut(value=orange, low=None, high=None), "green": Cut(value=green, low=None, high=green)}
    made = calibration()
    made = made.model_copy(update={"cuts": type(made.cuts)(**cuts)})
    text = add_calibration(tmp_path, made).read_text()
    assert "Infinity" not in text
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    found = get_calibration(tmp_path)
    assert found == made
    assert classify([0.0, 0.5, 1.0], found.cuts.values).tolist() == answers


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cuts": {"orange": {"value": None, "low": None, "high": None}}}, "cuts.orange.value"),
        (
            {
                "cuts": {
                    name: {"value": cut, "low": None, "high": None} for name, cut in (("orange", 2.0), ("green", 1.0))
                }
            },
            "above",
        ),
        (
            {"cuts": {name: {"value": 0.5, "low": 0.7, "high": 0.6} for name in ("orange", "green")}},
            "low is above high",
        ),
        ({"objective": "luck"}, "objective"),
        ({"objective": "cost"}, "cost matrix"),
        ({"cost": [[0, 1, 2], [1, 0, 1], [2, 1, 0]]}, "cost matrix"),
        ({"surprise": 1}, "surprise"),
        ({"mapping": {"kind": "steps"}}, r"mapping\.kind\n  Input should be 'isotonic"),
        (
            {"mapping": MAPPING | {"green": {"score": [0.2, 0.8], "value": [0.0]}}},
            r"mapping\n  Value error, a curve has 2",
        ),
        (
            {"mapping": MAPPING | {"green": {"score": [0.2], "value": ["a"]}}},
            r"mapping\.green\.value\.0\n  Input should be a valid number",
        ),
        ({"data": files.data(by_class={"Red": 1})}, "by_class must hold Red, Orange, Green"),
        ({"bootstrap": {"resamples": 1000, "level": 95, "seed": 0}}, "level"),
    ],
)
def test_a_calibration_that_is_none_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        calibration(**changes)


def test_brackets_without_end_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text("[" * 100_000)
    with pytest.raises(PixqError, match=r"calibration\.json: is not JSON") as caught:
        read_calibrations(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_evaluation_comes_back_as_it_was(tmp_path: Path) -> None:
    path = write_evaluation(tmp_path, evaluation())
    assert path == tmp_path / "evaluations" / "tid2013-test.json"
    assert read_evaluation(path) == evaluation()
    assert json.loads(path.read_text())["methods"][0]["cuts"] == {"orange": 0.412, "green": 0.703}
    write_evaluation(tmp_path, evaluation(name="earlier", created="2026-01-01T00:00:00Z"))
    (tmp_path / "evaluations" / ".tid2013-test.json.partial-1").write_text("{")
    assert [each.name for each in read_evaluations(tmp_path)] == ["earlier", "tid2013-test"]
    assert list(read_evaluations(tmp_path / "nowhere")) == []


def changed(**changes: Any) -> list[dict[str, Any]]:
    methods: list[dict[str, Any]] = files.evaluation("x")["methods"]
    methods[0] |= changes
    return methods


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"methods": []}, "methods"),
        ({"methods": changed(kind="metric")}, "must be the model"),
        ({"methods": changed(name="psnr")}, "same name"),
        ({"methods": changed(patches=files.metrics(0.5) | {"n": 1})}, "confusion matrix counts 1200, but n is 1"),
        (
            {"methods": changed(patches=files.metrics(0.5) | {"estimates": {"luck": files.estimate(1.0)}})},
            "luck is not",
        ),
        ({"methods": changed(cuts={"orange": 0.7, "green": 0.4})}, "cut of Orange is above"),
        ({"against": [{"name": "me", "metric": "srcc", "value": 0, "low": 0, "high": 0}]}, "no such method"),
        ({"histogram": {"edges": [0.0, 1.0], "counts": {name: [1, 2] for name in NAMES}}}, "one more edge"),
        ({"histogram": {"edges": [1.0, 0.0], "counts": {name: [1] for name in NAMES}}}, "do not increase"),
        ({"created": None}, "created"),
    ],
)
def test_an_evaluation_that_is_none_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        evaluation(**changes)


@pytest.mark.parametrize("what", ["javascript:alert(1)", 'iVBORw0KGgo" onload="alert(1)', "R0lGODlh"])
def test_a_picture_is_a_png_and_nothing_else(what: str) -> None:
    example = files.evaluation("x")["examples"]["best"][0]
    with pytest.raises(ValidationError, match="reference_png"):
        evaluation(examples={"best": [{**example, "reference_png": what}], "worst": []})


def test_no_number_is_infinite_or_none_at_all() -> None:
    for value in (math.nan, math.inf):
        methods = changed(patches=files.metrics(0.5) | {"estimates": {"srcc": files.estimate(value)}})
        with pytest.raises(ValidationError):
            EvaluationFile.model_validate(files.evaluation("x", methods=methods), strict=False)


@pytest.mark.parametrize("name", ["", ".", "../up", "a/b", ".hidden", "a b", "x" * 65, "ünï"])
def test_a_name_is_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(PixqError, match="--name is"):
        check_name(name)
    with pytest.raises(PixqError, match="--name is"):
        write_evaluation(tmp_path, evaluation(name=name))
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(PixqError, match="free some disk space, or make it writable"):
        add_calibration(tmp_path / "run", calibration())


def test_every_metric_has_a_title_of_its_own() -> None:
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)
    assert [name for name, metric in METRICS.items() if metric.higher_is_better is False] == ["mse", "ece"]
