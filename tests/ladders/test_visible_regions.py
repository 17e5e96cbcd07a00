"""What a fitted JND does not change, and critical regions of runs of `visibility`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixq import PixqError, load
from pixq.decisions.decision import Decision
from pixq.decisions.pjnd_cuts import PJND, write_cuts
from pixq.io.images import load_pixels
from pixq.ladders.critical import critical_map, critical_points
from pixq.ladders.predict import choose_rule
from pixq.scoring.scorer import Scorer
from pixq.visibility import VISIBILITY_CUTS, notice_probability
from support import report_files, trees
from support.ladders import FLICKER, Shell, fitted_jnd, rows_of, some_cuts


def test_a_fitted_jnd_changes_no_class_of_patches(own: Path, visible: Scorer, reference: Path) -> None:
    pair = load_pixels(reference), load_pixels(reference.with_name("photo_5.png"))
    plain = visible.map(*pair)
    # Made for other conditions than predict's, and even damaged: predict doesn't look at it.
    for content in (fitted_jnd(visible, 3.0), None):
        if content is None:
            (own / PJND).write_text("{")
        else:
            write_cuts(own, content)
        found = load(own, viewing=FLICKER).map(*pair)
        assert (found.cut_scale, found.calibration, found.cuts) == ("visibility", None, VISIBILITY_CUTS)
        np.testing.assert_array_equal(found.classes, plain.classes)
        assert load(own).map(*pair).calibration is None
    cuts = fitted_jnd(visible, 3.0)
    assert Decision.choose(None, cuts, visibility=True) == Decision.choose(None, visibility=True)
    write_cuts(own, cuts)
    # Named, it is refused where it can't be used.
    for viewing in (None, FLICKER):
        with pytest.raises(PixqError, match=r"pjnd.json: says when an image is noticed, and nothing about its patches"):
            load(own, calibration="pjnd", viewing=viewing)
    rule = choose_rule(load(own, viewing=FLICKER))
    assert (rule.cut, rule.name) == (cuts.cut, "pjnd")
    with pytest.raises(PixqError, match="unknown calibration 'other'"):
        load(own, calibration="other", viewing=FLICKER)


def test_cuts_of_another_kind_are_refused(
    shell: Shell, own: Path, bare: Path, visible: Scorer, reference: Path
) -> None:
    write_cuts(own, some_cuts(visible.blake3))
    message = "pjnd.json: was made for the scores of patches, which is not what this run's model gives"
    shell.mistake(message, "pjnd", own, reference, reference.parent)
    write_cuts(bare, fitted_jnd(visible, 1.0))
    message = "pjnd.json: was made for visibility, which is not what this run's model gives"
    shell.mistake(message, "pjnd", bare, reference, reference.parent)
    assert load(own).map(*np.zeros((2, 20, 20, 3), np.uint8)).calibration is None


def spots(folder: Path, places: list[tuple[int, int]]) -> Path:
    """A ladder of a grey image whose spots grow with the level; nothing else changes."""
    grey = np.full((200, 300, 3), 128, np.uint8)
    trees.save(folder / "grey.png", grey)
    for level in range(1, 6):
        changed = grey.copy()
        for rank, (y, x) in enumerate(places):
            changed[y - 6 : y + 6, x - 6 : x + 6] += np.uint8(level * (4 - rank))
        trees.save(folder / f"grey_{level}.png", changed)
    return folder / "grey.png"


def test_critical_places_are_where_it_shows(shell: Shell, visible_run: Path, visible: Scorer, tmp_path: Path) -> None:
    places = [(50, 60), (140, 90), (70, 240)]
    reference, table, values = spots(tmp_path, places), tmp_path / "out" / "a.csv", tmp_path / "out" / "a.npy"
    said = shell("critical", visible_run, reference, tmp_path, "--csv", table, "--values", values)
    answer = shell("pjnd", visible_run, reference, tmp_path).split()[2]
    found = visible.map(load_pixels(reference), load_pixels(tmp_path / f"grey_{answer}.png"))
    assert found.visibility is not None
    assert found.visibility.jnd >= 1
    rows = rows_of(table)
    assert said.splitlines()[:3] == [
        f"grey: level {answer}, {len(rows)} places (y, x), noticed from 1 JND on",
        f"seen {FLICKER}",
        f"the image has {found.visibility}",
    ]
    # The strongest first.
    assert 1 <= len(rows) <= 3
    for row, (y, x) in zip(rows, places, strict=False):
        assert np.hypot(float(row["y"]) - y, float(row["x"]) - x) < 12
        assert float(row["p_notice"]) == pytest.approx(float(notice_probability(float(row["jnd"]))))
        assert row["task"] == "flicker"
    assert [float(row["jnd"]) for row in rows] == sorted((float(row["jnd"]) for row in rows), reverse=True)
    # At a level that everybody sees, all three are found.
    strong = visible.map(load_pixels(reference), load_pixels(tmp_path / "grey_5.png"))
    for point, (y, x) in zip(critical_points(strong), places, strict=True):
        assert np.hypot(point.y - y, point.x - x) < 12
        down, across = (
            int(np.argmin(np.abs(c + 9.5 - at))) for c, at in ((strong.grid.ys, point.y), (strong.grid.xs, point.x))
        )
        assert strong.jnd is not None
        assert point.jnd == strong.jnd[down, across]
    # Where nothing differs the map is that of 0 JND, not of a quality.
    smoothed = critical_map(strong)
    assert smoothed.max() == 0.0
    np.testing.assert_array_equal(critical_map(strong, degree=0.0), np.where(strong.identical, 0.0, strong.score))
    np.testing.assert_array_equal(np.load(values), critical_map(found).astype(np.float32))
    assert critical_points(visible.map(*[load_pixels(reference)] * 2)) == []
    assert not critical_map(visible.map(*[load_pixels(reference)] * 2)).any()


def test_critical_regions_by_a_named_calibration_begin_at_0_too(own: Path, tmp_path: Path) -> None:
    report_files.calibrate(own)
    reference = spots(tmp_path, [(50, 60)])
    pair = load_pixels(reference), load_pixels(tmp_path / "grey_5.png")
    found = load(own, calibration="default").map(*pair)
    assert (found.cut_scale, critical_map(found).max()) == ("score", 0.0)


def test_a_fitted_jnd_that_is_not_there_can_not_be_named(shell: Shell, own: Path, reference: Path) -> None:
    given = ("pjnd", own, reference, reference.parent, "--calibration", "pjnd")
    shell.mistake("has no calibration; create one with", *given)
