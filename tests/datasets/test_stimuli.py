"""Targets at multiples of their contrast threshold, and pairs of plain colours, drawn from tables."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixq import datasets
from pixq.distort.stimuli import CannotDraw, Threshold, draw_target
from pixq.distort.stimulus_tables import draw_table, read_thresholds
from pixq.errors import PixqError
from pixq.viewing import ViewingConditions
from support import trees
from support.built import digest, pixq

#: D65 of 50 cd/m2, and the direction of its own colour: castleCSF's rows of Rovamo et al. (1993).
D65 = (36.7372648518233, 15.8141236515338, 1.04100192534928)
ROW = Threshold("rovamo", 2, "gabor", 4.0, 0.5, 0.785, 0.0, 0.0, D65, D65, 0.01)
DARK_ROOM = ViewingConditions.of(ppd=40, peak_luminance=100, ambient=0)

HEADER = (
    "dataset,stimulus,luminance,spatial_frequency_cpd,sigma_deg,area_deg2,eccentricity_deg,temporal_frequency_hz,"
    "background_L,background_M,background_S,delta_L,delta_M,delta_S,cone_contrast_threshold"
)
PAIRS = "set,r1,g1,b1_srgb,r2,g2,b2_srgb,visual_difference"


def luminance(levels: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB levels, by IEC 61966-2-1."""
    encoded = levels / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def table(path: Path, rows: list[Threshold]) -> Path:
    lines = [HEADER]
    for row in rows:
        numbers = [50, row.spatial_frequency, row.sigma, row.area, row.eccentricity, row.temporal_frequency]
        numbers += [*row.background, *row.direction, row.contrast]
        lines.append(",".join([row.study, row.stimulus, *(f"{number:.12g}" for number in numbers)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_background_is_grey_and_as_bright_as_the_table_says() -> None:
    target = draw_target(ROW, 8.0, DARK_ROOM)
    red, green, blue = target.reference[0, 0].tolist()
    assert (target.reference == target.reference[0, 0]).all()
    assert red == green == blue
    # 50 of 100 cd/m2, of which the display's black has 0.1.
    assert luminance(target.reference)[0, 0] * 99.9 + 0.1 == pytest.approx(50, rel=0.01)


def test_the_contrast_is_the_multiple_of_the_threshold() -> None:
    # The direction of D65 itself: all cones have the contrast of luminance.
    target = draw_target(replace(ROW, spatial_frequency=0.0, stimulus="disk"), 20.0, DARK_ROOM)
    before, after = luminance(target.reference)[0, 0], luminance(target.distorted)[30, 30]
    assert (after - before) * 99.9 / 50 == pytest.approx(0.2, abs=0.01)
    gabor = draw_target(ROW, 20.0, DARK_ROOM)
    waves = (luminance(gabor.distorted) - luminance(gabor.reference)) * 99.9 / 50
    assert waves.max() == pytest.approx(0.2, abs=0.02)
    assert waves.mean() == pytest.approx(0.0, abs=0.001)


def test_frequency_and_size_follow_from_pixels_per_degree() -> None:
    for ppd in (20.0, 40.0, 80.0):
        target = draw_target(ROW, 20.0, ViewingConditions.of(ppd=ppd, ambient=0))
        size = len(target.reference)
        assert size == max(60, 2 * math.ceil(2.5 * 0.5 * ppd))
        row = (luminance(target.distorted) - luminance(target.reference))[size // 2]
        spectrum = np.abs(np.fft.rfft(row))
        assert np.argmax(spectrum) / (size / ppd) == pytest.approx(4.0, abs=ppd / size)


def test_a_colour_direction_leaves_the_other_cones_alone() -> None:
    # The S cone alone: blue changes most, and luminance hardly.
    target = draw_target(replace(ROW, stimulus="disk", direction=(0, 0, 1), contrast=0.05), 4.0, DARK_ROOM)
    change = target.distorted[30, 30].astype(int) - target.reference[30, 30]
    assert abs(change[2]) > 3 * max(abs(change[0]), abs(change[1]))
    assert abs(luminance(target.distorted)[30, 30] / luminance(target.reference)[30, 30] - 1) < 0.03


@pytest.mark.parametrize(
    ("changes", "multiple", "reason"),
    [
        ({"temporal_frequency": 2.0}, 4, "not static"),
        ({"eccentricity": 10.0}, 4, "not at the fovea"),
        ({"spatial_frequency": 20.1}, 4, "above half of the pixels per degree"),
        ({"sigma": 9.3}, 4, "more than 1024 pixels"),
        ({"background": tuple(10 * cone for cone in D65)}, 4, "a background that the display can't show"),
        ({"background": (50.0, 0.1, 1.0)}, 4, "a background that the display can't show"),
        ({}, 150, "a contrast that the display can't show"),
        ({}, 0.1, "lost in 8 bits"),
        ({"stimulus": "letter"}, 4, "a stimulus called 'letter'"),
    ],
)
def test_what_a_display_cannot_show_is_left_out(changes: dict[str, object], multiple: float, reason: str) -> None:
    with pytest.raises(CannotDraw, match=reason):
        draw_target(replace(ROW, **changes), multiple, DARK_ROOM)  # type: ignore[arg-type]


def test_at_half_of_the_pixels_per_degree_pixels_alternate() -> None:
    target = draw_target(replace(ROW, spatial_frequency=20.0), 20.0, DARK_ROOM)
    change = target.distorted[50, 49:53, 0].astype(int) - target.reference[50, 49:53, 0]
    assert (np.sign(change) == [1, -1, 1, -1]).all() or (np.sign(change) == [-1, 1, -1, 1]).all()


def test_a_drawn_table_is_a_dataset(tmp_path: Path) -> None:
    rows = [
        replace(ROW, contrast=0.05),
        replace(ROW, stimulus="grating", contrast=0.03),
        replace(ROW, eccentricity=5.0),
    ]
    source = table(tmp_path / "thresholds.csv", rows)
    run = pixq("draw", source, "--out", tmp_path / "drawn", "--ppd", 30, "--multiples", "0,2,4", "--ambient", 0)
    assert (run.code, run.err) == (0, "pixq: left out 3: not at the fovea\n")
    assert "6 images of 2 of 3 rows, written; read it with --dataset thresholds" in run.out
    index = datasets.index("thresholds", tmp_path / "drawn")
    assert index.problems == ()
    assert sorted(pair.score for pair in index.pairs) == [0, 0, 2, 2, 4, 4]
    assert "30 pixels per degree" in index.contract.note
    assert not index.contract.synthetic
    nothing = next(pair for pair in index.pairs if pair.score == 0)
    pixels = [np.asarray(Image.open(tmp_path / "drawn" / name)) for name in (nothing.reference, nothing.distorted)]
    assert (pixels[0] == pixels[1]).all()
    conditions = ViewingConditions.of(ppd=30.0, ambient=0.0)
    again = draw_table(source, tmp_path / "drawn", conditions=conditions, multiples=(0, 2, 4), threads=1)
    assert not again.written
    draw_table(source, tmp_path / "alone", conditions=conditions, multiples=(0, 2, 4), threads=1)
    assert digest(tmp_path / "alone") == digest(tmp_path / "drawn")


def test_a_table_without_its_images_says_how_to_draw_them(tmp_path: Path) -> None:
    for name, dataset in (("thresholds.csv", "thresholds"), ("pairs.csv", "colour-pairs")):
        (tmp_path / name).write_text("x\n", encoding="utf-8")
        with pytest.raises(PixqError, match=rf"no images; draw them with `pixq draw .*{name} --out FOLDER`"):
            datasets.index(dataset, tmp_path)


def test_colour_pairs_are_drawn_set_by_set(tmp_path: Path) -> None:
    source = tmp_path / "pairs.csv"
    source.write_text(
        "set,r1,g1,b1_srgb,r2,g2,b2_srgb,visual_difference\n"
        "witt,10,20,30,11.6,20,30,0.5\nwitt,10,20,30,10.4,20,30,0.1\nleeds,10,20,30,10,25,30,1.5\n",
        encoding="utf-8",
    )
    drawn = draw_table(source, tmp_path / "drawn", only="witt")
    assert (drawn.images, drawn.rows, drawn.left_out) == (1, 2, {"lost in 8 bits": 1})
    (pair,) = datasets.index("colour-pairs", tmp_path / "drawn").pairs
    assert (pair.score, pair.distortion_type) == (0.5, "witt")
    assert np.asarray(Image.open(tmp_path / "drawn" / pair.distorted))[0, 0].tolist() == [12, 20, 30]
    with pytest.raises(PixqError, match="on which only --only has an effect"):
        draw_table(source, tmp_path / "other", multiples=(1, 2))
    assert "on which only --only has an effect" in pixq("draw", source, "--out", tmp_path / "other", "--ppd", 40).err
    with pytest.raises(PixqError, match="has no set 'bfd'; choose leeds, witt"):
        draw_table(source, tmp_path / "other", only="bfd")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", [], "has no column cone_contrast_threshold or visual_difference"),
        (
            f"{HEADER}\n" + "x,gabor," + "1," * 12 + "0\n",
            [],
            "line 2: the cone_contrast_threshold is 0; give a number from",
        ),
        (f"{HEADER}\n", [], "table.csv: has no rows; give a table with thresholds in it"),
        (f"{PAIRS}\n", [], "table.csv: has no rows; give a table with colour pairs in it"),
        (f"{PAIRS}\nwitt,1,2,3,4,5,6,50\n", [], "line 2: the visual_difference is 50; give a number from 0 to 10"),
        (f"{PAIRS}\nwitt,1,2,3,4,5,6,-1\n", [], "line 2: the visual_difference is -1; give a number from 0 to 10"),
        (f"{PAIRS}\n{'w' * 300},1,2,3,4,5,6,1\n", [], "line 2: the set has 300 bytes"),
        (f"{HEADER}\n{'x' * 300},gabor," + "1," * 12 + "1\n", [], "line 2: the dataset has 300 bytes"),
        (f"{HEADER}\n" + "x,gabor," + "1," * 12 + "half\n", [], "line 2: the cone_contrast_threshold 'half' is not"),
        (f"{HEADER}\n" + "../x,gabor," + "1," * 12 + "1\n", [], "line 2: the file name '../x'"),
        (f"{HEADER}\n" + "x,gabor," + "1," * 12 + "1\n", [], "nothing can be drawn: 4 not static"),
        (f"{HEADER}\n" + "x,gabor," + "1," * 12 + "1\n", ["--multiples", "1,x"], "give numbers separated by commas"),
        (f"{HEADER}\n" + "x,gabor," + "1," * 12 + "1\n", ["--only", "witt"], "has no sets; remove --only"),
    ],
)
def test_a_wrong_table_is_one_line(text: str, options: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    run = pixq("draw", tmp_path / "table.csv", "--out", tmp_path / "out", *options)
    assert run.code == 2
    assert message in run.err
    assert run.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sigma_deg", "1e308"),
        ("area_deg2", "1e308"),
        ("sigma_deg", "1e-320"),
        ("delta_L", "1e200"),
        ("background_S", "1e200"),
        ("eccentricity_deg", "-1"),
        ("temporal_frequency_hz", "-0.5"),
        ("spatial_frequency_cpd", "-1"),
    ],
)
def test_numbers_that_no_stimulus_has_are_refused(column: str, value: str, tmp_path: Path) -> None:
    cells = dict.fromkeys(HEADER.split(","), "1") | {column: value}
    path = tmp_path / "table.csv"
    path.write_text(f"{HEADER}\n{','.join(cells.values())}\n", encoding="utf-8")
    with pytest.raises(PixqError, match=rf"table\.csv, line 2: the {column} is .*; give a number from "):
        read_thresholds(path)


def test_a_table_with_semicolons_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(f"{PAIRS}\nwitt,1,2,3,4,5,6,1\n".replace(",", ";"), encoding="utf-8")
    assert draw_table(tmp_path / "pairs.csv", tmp_path / "out").images == 1


def test_the_real_table_of_thresholds_is_read() -> None:
    rows = read_thresholds(trees.data_dir("thresholds") / "thresholds.csv")
    static = [row for row in rows if row.temporal_frequency == 0 and row.eccentricity == 0]
    assert (len(rows), len(static)) == (2056, 1108)
    conditions = ViewingConditions.of(ppd=20)
    drawn = 0
    for row in static[::160]:
        try:
            drawn += draw_target(row, 8.0, conditions, max_size=400).error < 0.5
        except CannotDraw:
            continue
    assert drawn >= 2
