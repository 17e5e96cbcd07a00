"""The cuts of a run: written, read, fitted to people's PJNDs, and used by the scorer."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixq.classes import QUALITY_CUTS, classify
from pixq.decisions.calibration_file import CALIBRATION, read_calibrations
from pixq.decisions.pjnd_cuts import PJND, GreenCut, read_cuts, write_cuts
from pixq.errors import PixqError
from pixq.io.images import ReadOptions, load_pixels
from pixq.ladders.fit_green_cut import fit_green_cut, make_pjnd_cuts, source_range
from pixq.ladders.ground_truth import read_ground_truth
from pixq.ladders.pjnd import SourceRange, choose_green_cut
from pixq.scoring.scorer import load
from support import report_files, trees
from support.ladders import (
    LEVELS,
    SOURCES,
    Shell,
    some_cuts,
)


def test_cuts_are_written_and_read(tmp_path: Path) -> None:
    cuts = some_cuts()
    assert (cuts.share, cuts.stride, cuts.orange) == (0.1, 5, QUALITY_CUTS[0])
    assert cuts.within == 0.75
    assert (cuts.sources["a"].range, cuts.sources["d"].predicted) == ((2, 3), None)
    assert cuts.cut == GreenCut(cuts.green, cuts.low, cuts.high)
    assert read_cuts(tmp_path) is None
    path = write_cuts(tmp_path / "run", cuts)
    assert path == tmp_path / "run" / PJND
    assert read_cuts(tmp_path / "run") == cuts
    assert [each.name for each in path.parent.iterdir()] == [PJND]
    low = [SourceRange(name, np.arange(3.0), np.array([0.2, 0.1, 0.0]), (1, 1)) for name in "ab"]
    below = make_pjnd_cuts(low, blake3="", share=0.05, stride=10)
    assert below.orange == below.green == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pixq run"}, "is not a pixq pjnd file"),
        ({"schema_version": 2}, "has schema version 2, but this pixq reads 1"),
        ({"green": 0.1}, "the cuts are not in order"),
        ({"high": 0.5}, "the cuts are not in order"),
        ({"green": None}, "green: "),
        ({"share": 0}, "share: "),
        ({"share": 1.5}, "share: "),
        ({"stride": 0}, "stride: "),
        ({"within": 1.5}, "within: "),
        ({"more": 1}, "more: "),
        ({"sources": {"a": {"range": [1], "predicted": 2.0}}}, "sources.a.range"),
        ({"sources": {"a": {"range": [1, 2]}}}, "sources.a.predicted"),
    ],
)
def test_a_damaged_file_of_cuts(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_cuts(tmp_path, some_cuts())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PixqError) as error:
        read_cuts(tmp_path)
    assert message in str(error.value)
    assert str(error.value).endswith("; delete it, and run pixq calibrate --ladders again")
    path.write_text(path.read_text()[:50])
    with pytest.raises(PixqError, match=r"pjnd.json: is not JSON"):
        read_cuts(tmp_path)


def test_a_scorer_decides_by_the_cuts_of_its_run(bare: Path, reference: Path) -> None:
    pair = load_pixels(reference), load_pixels(reference.with_name("photo_3.png"))
    plain = load(bare)
    assert plain.pjnd_cuts is None
    first = plain.map(*pair)
    assert (first.calibration, first.cuts) == (None, QUALITY_CUTS)
    middle = float(np.median(first.score))
    cuts = some_cuts(plain.blake3).model_copy(update={"green": middle, "low": middle, "high": middle})
    write_cuts(bare, cuts)
    for name in (None, "pjnd"):
        scorer = load(bare, calibration=name)
        assert (scorer.calibration, scorer.pjnd_cuts) == (None, cuts)
        found = scorer.map(*pair)
        assert (found.calibration, found.cuts) == ("pjnd", (cuts.orange, cuts.green))
        np.testing.assert_array_equal(found.score, first.score)
        np.testing.assert_array_equal(found.classes, classify(found.score, (cuts.orange, cuts.green)))
        assert not np.array_equal(found.classes, first.classes)
        assert found.unsure is None
    write_cuts(bare, some_cuts("cd" * 32))
    with pytest.raises(
        PixqError, match=r"pjnd.json: was made for different weights; run pixq calibrate --ladders again"
    ):
        load(bare).map(*pair)
    (bare / PJND).unlink()
    with pytest.raises(PixqError):
        load(bare, calibration="pjnd")
    assert read_calibrations(bare) == {}
    assert not (bare / CALIBRATION).exists()


def test_animated_references_are_fitted_by_the_chosen_frame(bare: Path, truths: Path, tmp_path: Path) -> None:
    shutil.copytree(truths, tmp_path / "moves")
    for name in SOURCES:
        path = tmp_path / "moves" / "images" / f"{name}.png"
        with Image.open(path) as still:
            still.load()
        still.save(path, save_all=True, append_images=[Image.new("RGB", still.size)])
    scorer = load(bare)
    fitted = fit_green_cut(scorer, [tmp_path / "moves"], stride=20, reading=ReadOptions(frame=0))
    assert fitted == fit_green_cut(scorer, [truths], stride=20)


def test_cuts_are_fitted_to_what_people_said(bare: Path, truths: Path) -> None:
    scorer, told = load(bare), set()
    found = fit_green_cut(
        scorer,
        [truths],
        share=0.1,
        stride=20,
        on_progress=lambda name, done, total, note="": told.add((name, done, total)),
    )
    assert told == {(name, done, 6) for name in SOURCES for done in range(7)}
    assert (found.share, found.stride, found.blake3) == (0.1, 20, scorer.blake3)
    assert list(found.sources) == list(SOURCES)
    assert found.within == 1
    by_hand = [
        source_range(scorer, truth, share=0.1, stride=20)
        for truth in read_ground_truth(truths)
        if truth.range is not None
    ]
    assert found.cut == choose_green_cut(by_hand)
    for ladder in by_hand:
        assert ladder.levels.tolist() == list(LEVELS)
        assert ladder.quantiles[0] == math.inf
        assert found.sources[ladder.name].predicted in (4, 5)
    with pytest.raises(PixqError, match="fourth: has no range of PJNDs"):
        source_range(scorer, next(truth for truth in read_ground_truth(truths) if truth.range is None))


def test_cuts_are_chosen_anew_whatever_the_run_holds(shell: Shell, bare: Path, truths: Path) -> None:
    given = ("calibrate", bare, "--ladders", truths, "--stride", "20", "--force")
    shell(*given)
    right = (bare / PJND).read_bytes()
    write_cuts(bare, some_cuts("cd" * 32))
    shell(*given)
    assert (bare / PJND).read_bytes() == right
    (bare / PJND).write_text("{")
    for name in ("one", "two"):
        report_files.calibrate(bare, name=name)
    with pytest.raises(PixqError, match="holds several calibrations"):
        load(bare).map(*np.zeros((2, 20, 20, 3), np.uint8))
    shell(*given)
    assert (bare / PJND).read_bytes() == right


def test_ladders_that_cuts_can_not_be_fitted_to(
    bare: Path, truths: Path, tmp_path: Path, trained: Path, ordinal: Path
) -> None:
    with pytest.raises(PixqError, match="first is also in another folder; give each source once"):
        fit_green_cut(load(bare), [truths, truths])
    said = json.loads((truths / "ground_truth.json").read_text())
    shutil.copytree(truths, tmp_path / "few")
    for name in SOURCES[1:]:
        said["images"][name]["pjnd_range"] = None
    (tmp_path / "few" / "ground_truth.json").write_text(json.dumps(said))
    with pytest.raises(PixqError, match="1 sources have a range of PJNDs; give at least two"):
        fit_green_cut(load(bare), [tmp_path / "few"])
    with pytest.raises(PixqError, match=r"--share is 2; give a number above 0 and up to 1"):
        fit_green_cut(load(bare), [truths], share=2)
    with pytest.raises(PixqError, match=r"--stride is 21; give a whole number from 1 to 20"):
        fit_green_cut(load(bare), [truths], stride=21)
    with pytest.raises(
        PixqError, match=r"run: its head is ordinal, whose scale does not say where .*; give a run whose head is regr"
    ):
        fit_green_cut(load(ordinal), [truths])
    # A model that has learned from one of the photos.
    photo = trained.parent / "tid" / "reference_images" / "I01.BMP"
    shutil.copytree(truths, tmp_path / "leak")
    learned = load_pixels(photo)
    trees.save(tmp_path / "leak" / "images" / "second.png", np.ascontiguousarray(learned))
    with pytest.raises(
        PixqError, match=r"second.png: a leak: the model has seen this photo in its \w+ split; leave the"
    ):
        fit_green_cut(load(trained), [tmp_path / "leak"])
