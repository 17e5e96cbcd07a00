"""Ladders and runs of `visibility`: the JND of an image decides, 1 or the one that people's PJNDs chose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixq import PixqError, load
from pixq.decisions.pjnd_cuts import PJND, GreenCut, read_cuts, write_cuts
from pixq.io.images import load_pixels
from pixq.ladders.fit_green_cut import fit_green_cut, make_pjnd_cuts
from pixq.ladders.ladder import level_maps, open_ladder
from pixq.ladders.pictures import describe_pjnd, draw_curve
from pixq.ladders.pjnd import Pjnd, SourceRange, choose_green_cut, leave_one_out, pjnd
from pixq.ladders.predict import choose_rule, predict_pjnd
from pixq.scoring.scorer import Scorer
from pixq.viewing import ViewingConditions
from pixq.visibility import VISIBILITY_CUTS, notice_probability
from support import report_files
from support.ladders import FLICKER, LEVELS, Shell, fitted_jnd, rows_of


def jnds(scorer: Scorer, reference: Path) -> list[float]:
    """The JND of each level's image."""
    ladder = open_ladder(reference, [reference.parent])
    return [float(map_.verdict.jnd or 0.0) for _, map_ in level_maps(scorer, ladder)]


def first(levels: list[int], noticed: Callable[[float], bool], values: list[float]) -> float | None:
    return next((float(level) for level, jnd in zip(levels, values, strict=True) if noticed(jnd)), None)


def test_a_level_is_noticed_from_1_jnd_on(visible: Scorer, reference: Path) -> None:
    warnings: list[str] = []
    found = predict_pjnd(visible, open_ladder(reference, [reference.parent]), warn=warnings.append)
    assert warnings == []
    values, levels = jnds(visible, reference), list(LEVELS)
    assert [row.quantile for row in found.levels] == [-jnd for jnd in values]
    assert [row.noticed for row in found.levels] == [jnd >= 1.0 for jnd in values]
    assert [row.noticed for row in found.levels] == [float(notice_probability(jnd)) >= 0.5 for jnd in values]
    # The identical image is never noticed.
    assert (values[0], found.levels[0].noticed) == (0.0, False)
    # Its interval: where 25 and 75 % of people notice.
    quarter, half, most = (
        first(levels, lambda jnd, share=share: float(notice_probability(jnd)) >= share, values)  # type: ignore[misc]
        for share in (0.25, 0.5, 0.75)
    )
    assert quarter is not None
    assert found.pjnd == Pjnd(half, quarter - 1, most)
    assert (found.rule.cut.value, found.rule.share, found.rule.name) == (-1.0, None, None)
    # Patches are judged by who notices, and their number hardly matters.
    assert (found.rule.decision.scale, found.levels[5].map.cuts) == ("visibility", VISIBILITY_CUTS)
    other = predict_pjnd(visible, open_ladder(reference, [reference.parent]), stride=20)
    assert other.rule.stride == 20
    np.testing.assert_allclose([row.quantile for row in other.levels], -np.array(values), rtol=0.02)


def test_exactly_1_jnd_is_noticed() -> None:
    cut = GreenCut(-1.0, -1.5, -0.5, inclusive=True)
    assert pjnd([1, 2, 3, 4], [-0.4, -0.5, -1.0, -1.5], cut) == Pjnd(3, 1, 4)
    assert pjnd([1, 2, 3, 4], [-0.4, -0.5, -1.0, -1.5], GreenCut(-1.0, -1.5, -0.5)) == Pjnd(4, 2, 4)


def test_the_verb_pjnd_says_who_notices(shell: Shell, visible_run: Path, visible: Scorer, reference: Path) -> None:
    table, picture = reference.parent / "out" / "levels.csv", reference.parent / "out" / "curve.png"
    said = shell(
        "pjnd", visible_run, reference, reference.parent, "--csv", table, "--picture", picture, "--threads", "1"
    )
    assert shell.warnings == ""
    values = jnds(visible, reference)
    found = predict_pjnd(visible, open_ladder(reference, [reference.parent]))
    assert said.splitlines() == [
        f"photo: {describe_pjnd(found.pjnd, people=True)}",
        f"seen {FLICKER}",
        "    level      JND  noticed by",
        *(
            f"{level:>9}{jnd:>9.2f}{float(notice_probability(jnd)):>12.0%}"
            for level, jnd in zip(LEVELS, values, strict=True)
        ),
        "6 levels, 1 to 6; noticed from 1 JND on",
    ]
    rows = rows_of(table)
    assert [float(row["jnd"]) for row in rows] == values
    assert [float(row["edge"]) for row in rows] == [-jnd for jnd in values]
    assert [float(row["p_notice"]) for row in rows] == [float(notice_probability(jnd)) for jnd in values]
    assert [row["noticed"] for row in rows] == ["true" if jnd >= 1 else "false" for jnd in values]
    assert {row["task"] for row in rows} == {"flicker"}
    levels, quantiles = list(LEVELS), [-jnd for jnd in values]
    expected = draw_curve("photo", levels, quantiles, found.rule.cut, found.pjnd, jnd=True)
    np.testing.assert_array_equal(load_pixels(picture), expected)
    assert not np.array_equal(expected, draw_curve("photo", levels, quantiles, found.rule.cut, found.pjnd))
    # Another task has other thresholds.
    beside = shell("pjnd", visible_run, reference, reference.parent, "--task", "side-by-side", "--csv", table)
    assert "side by side" in beside
    ratios = [float(row["jnd"]) / jnd for row, jnd in zip(rows_of(table)[1:], values[1:], strict=True)]
    assert len({round(ratio, 6) for ratio in ratios}) == 1
    assert ratios[0] < 1


def test_a_share_is_refused_unless_a_calibration_is_named(
    shell: Shell, own: Path, reference: Path, truths: Path
) -> None:
    message = "--share has no effect with a run of the model visibility: the JND of the whole image decides; remove it"
    shell.mistake(message, "pjnd", own, reference, reference.parent, "--share", "0.1")
    shell.mistake(message, "calibrate", own, "--ladders", truths, "--share", "0.1")
    with pytest.raises(PixqError, match="--share has no effect"):
        choose_rule(load(own), share=0.1)
    # A calibration that nobody asked for changes nothing.
    before = shell("pjnd", own, reference, reference.parent)
    report_files.calibrate(own)
    assert shell("pjnd", own, reference, reference.parent) == before
    said = shell("pjnd", own, reference, reference.parent, "--calibration", "default", "--share", "0.1")
    assert said.splitlines()[-1].startswith("6 levels, 1 to 6; noticed: 10.0% of patches below ")
    assert said.splitlines()[-1].endswith(", calibration default")
    rule = choose_rule(load(own, calibration="default"))
    assert (rule.share, rule.name, rule.decision.scale) == (0.05, "default", "score")


def test_the_jnd_is_fitted_to_what_people_said(
    shell: Shell, own: Path, truths: Path, visible: Scorer, tmp_path: Path
) -> None:
    said = shell("calibrate", own, "--ladders", truths).splitlines()
    found = read_cuts(own)
    assert found is not None
    assert (found.share, found.orange, found.stride, found.viewing) == (None, None, 10, FLICKER)
    assert said[:2] == [
        f"noticed from {-found.green:.4f} JND on  ({-found.high:.4f} to {-found.low:.4f})",
        f"seen {FLICKER}",
    ]
    assert said[-1] == f"{own / PJND}: 100% of 3 sources within their ranges"
    assert found.within == 1.0
    images, ranges = truths / "images", []
    for name in found.sources:
        levels = [images / f"{name}_NOISE_{101 - level:03d}.png" for level in LEVELS]
        maps = level_maps(visible, open_ladder(images / f"{name}.png", levels, "101-n"))
        values = np.array([0.0 - (map_.verdict.jnd or 0.0) for _, map_ in maps])
        ranges.append(SourceRange(name, np.array(list(LEVELS), float), values, (4, 5)))
    assert found.cut == choose_green_cut(ranges)
    predicted = {name: prediction.level for name, prediction in leave_one_out(ranges).items()}
    assert {name: source.predicted for name, source in found.sources.items()} == predicted
    # It is what pjnd goes by from now on, ...
    told = shell("pjnd", own, images / "first.png", *_levels(images, "first"), "--level", "101-n")
    assert told.split()[2] in ("4", "5")
    assert told.splitlines()[-1] == f"6 levels, 1 to 6; noticed from {-found.green:.3g} JND on, calibration pjnd"
    for option in ([], ["--calibration", "pjnd"]):
        assert shell("pjnd", own, images / "first.png", *_levels(images, "first"), "--level", "101-n", *option) == told
    # ... for the same viewing conditions.
    shell.mistake(
        "pjnd.json: was made for 37.8",
        *("pjnd", own, images / "first.png", *_levels(images, "first"), "--level", "101-n", "--task", "side-by-side"),
    )


def _levels(images: Path, name: str) -> list[Path]:
    return [images / f"{name}_NOISE_{101 - level:03d}.png" for level in LEVELS]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.05}, "share and orange belong together"),
        ({"orange": -2.0}, "share and orange belong together"),
        ({"green": 0.0, "high": 0.1}, "green is minus a JND, which is above 0"),
        ({"green": -2.0}, "the cuts are not in order"),
    ],
)
def test_a_damaged_file_of_a_fitted_jnd(
    change: dict[str, float], message: str, visible: Scorer, tmp_path: Path
) -> None:
    path = write_cuts(tmp_path, fitted_jnd(visible, 1.0))
    assert read_cuts(tmp_path) == fitted_jnd(visible, 1.0)
    content = json.loads(path.read_text("utf-8"))
    assert (content["share"], content["orange"]) == (None, None)
    path.write_text(json.dumps(content | change))
    with pytest.raises(PixqError, match=message):
        read_cuts(tmp_path)


def test_a_level_that_equals_the_reference_takes_no_part_in_a_fit() -> None:
    # Only levels that differ are noticed, however sensitive people are.
    levels = np.arange(1.0, 4.0)
    ranges = [SourceRange(name, levels, np.array([0.0, -0.1, -2.0]), (2, 2)) for name in "ab"]
    found = make_pjnd_cuts(ranges, blake3="", share=None, stride=10)
    assert (found.low, found.high, found.within) == (-0.1, 0.0, 1.0)
    assert found.green < 0.0


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Pjnd(30, 20, 40), "PJND 30 (fewer than 25 % of people notice up to level 20, 75 % at level 40)"),
        (Pjnd(30, 20, None), "PJND 30 (fewer than 25 % of people notice up to level 20, 75 % no level)"),
        (Pjnd(30, None, 40), "PJND 30 (25 % of people notice every level, 75 % at level 40)"),
        (
            Pjnd(None, 20, None),
            "no level is noticed by half of the people (fewer than 25 % of people notice up to level 20)",
        ),
        (Pjnd(None, None, None), "no level is noticed by half of the people (25 % of people notice every level)"),
    ],
)
def test_who_notices_in_words(found: Pjnd, words: str) -> None:
    assert describe_pjnd(found, people=True) == words


def test_fitting_takes_the_viewing_conditions_of_the_scorer(visible_run: Path, truths: Path) -> None:
    beside, alternating = (
        fit_green_cut(load(visible_run, viewing=viewing), [truths], stride=20) for viewing in (None, FLICKER)
    )
    assert (beside.viewing, alternating.viewing) == (ViewingConditions.of(), FLICKER)
    # The same differences, in other units.
    assert beside.green > alternating.green
    assert beside.within == alternating.within
