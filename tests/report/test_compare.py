"""`pixq compare`: what is compared, what is best, and what can't be known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pixq.report.compare import compare, write_compare
from support import built
from support import report_files as files


@pytest.mark.slow
def test_the_best_is_marked_where_intervals_are_apart(two: tuple[Path, Path]) -> None:
    files.evaluate(two[0], methods=files.model_alone(0.70), against=[])
    files.evaluate(two[1], methods=files.model_alone(0.80), against=[])
    found = compare(two)
    assert found.recipe == {"optimiser.lr": ["0.002", "0.0005"]}
    (common,) = found.common
    assert common.best["balanced_accuracy"] == "other"
    # Equal, and so not apart.
    assert "mse" not in common.best
    assert "0.800 (0.770 to 0.830) *" in found.text()
    files.evaluate(two[1], methods=files.model_alone(0.74), against=[])
    assert compare(two).common[0].best == {}


def test_a_lower_error_is_the_better_one(two: tuple[Path, Path]) -> None:
    for path, error in zip(two, (0.01, 0.05), strict=True):
        methods = files.model_alone(0.7)
        methods[0]["patches"]["estimates"]["mse"] = files.estimate(error, 0.001)
        files.evaluate(path, methods=methods, against=[])
    assert compare(two).common[0].best == {"mse": "run"}


def test_nothing_is_best_where_it_can_not_be_known(two: tuple[Path, Path]) -> None:
    """A recall alone, few groups, intervals of other levels, weights of before."""

    def best(**changes: Any) -> dict[str, str]:
        files.evaluate(two[0], methods=files.model_alone(0.70), against=[])
        files.evaluate(two[1], methods=files.model_alone(0.80), against=[], **changes)
        return dict(compare(two).common[0].best)

    told = best()
    assert "balanced_accuracy" in told
    assert not [name for name in told if name.startswith("recall_")]
    files.evaluate(two[0], methods=files.model_alone(0.70), against=[])
    few = files.model_alone(0.80)
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
    files.evaluate(two[1], methods=files.model_alone(0.9), against=[])
    done = built.pixq("compare", *two, "--out", tmp_path / "two.html", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert found["runs"] == ["run", "other"]
    assert found["common"][0]["best"]["accuracy"] == "other"
    assert "★" in (tmp_path / "two.html").read_text("utf-8")
    assert "give two or more" in built.mistake(built.pixq("compare", two[0]))
    assert "given twice" in built.mistake(built.pixq("compare", two[0], two[0]))
    assert "holds no run.json" in built.mistake(built.pixq("compare", two[0], tmp_path))
