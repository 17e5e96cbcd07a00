"""Maps as pictures: what is coloured, what stays as it was, and what the legend says."""

from __future__ import annotations

import io
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixq.classes import CLASSES, GREEN, ORANGE, RED
from pixq.drawing import image_scaling, legend, map_pictures
from pixq.drawing.image_scaling import ImageScale, cells, pixels, places, scale_of
from pixq.drawing.legend import BACKGROUND, Text, entries, facts, rgb, shares, text_size
from pixq.drawing.map_pictures import encode, heat, overlay, side_by_side
from pixq.errors import PixqError
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import QualityMap
from support import trees
from support.oracles import Array
from support.quality_maps import grids, make_map, random_map

#: No factor: it is neither enlarged nor shrunk.
PLAIN = Grid(300, 520)
#: The quality that stands for each class.
OF_CLASS = [each.quality for each in CLASSES]


def image_of(grid: Grid, seed: int = 0) -> Array:
    return trees.photo(seed, (grid.height, grid.width))


def box_of(grid: Grid, row: int, column: int) -> tuple[slice, slice]:
    """Rows and columns of the pixels of a cell."""
    ys, xs = (np.flatnonzero(own == at) for own, at in zip(grid.cells(), (row, column), strict=True))
    return slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)


@given(st.integers(0, PLAIN.shape[0] - 1), st.integers(0, PLAIN.shape[1] - 1), st.sampled_from([RED, ORANGE]))
@settings(max_examples=30)
def test_a_local_change_tints_its_cell_and_nothing_else(row: int, column: int, number: int) -> None:
    image = image_of(PLAIN)
    quality = np.ones(PLAIN.shape)
    before = overlay(make_map(PLAIN, quality), image, legend=False)
    quality[row, column] = OF_CLASS[number]
    after = overlay(make_map(PLAIN, quality), image, legend=False)
    changed = (before != after).any(axis=2)
    inside = np.zeros_like(changed)
    inside[box_of(PLAIN, row, column)] = True
    assert not (changed & ~inside).any()
    assert changed[inside].mean() > 0.99


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("number", [RED, ORANGE, GREEN])
def test_a_class_has_its_colour(number: int, safe: bool) -> None:
    image = image_of(PLAIN)
    colour = np.array(rgb(CLASSES[number].safe_color if safe else CLASSES[number].color))
    strength = {RED: 1.0, ORANGE: 0.85, GREEN: 0.2}[number]
    for opacity in (0.0, 0.45, 1.0):
        found = overlay(
            make_map(PLAIN, np.array(OF_CLASS[number])), image, safe=safe, opacity=opacity, legend=False
        ).astype(int)
        share = opacity * strength
        assert np.abs(found - (image * (1 - share) + colour * share)).max() <= 0.5 + 1e-9
    # The whole of Red at full opacity is the colour itself.
    assert number != RED or (found == colour).all()


def test_green_hardly_changes_the_picture_and_red_does() -> None:
    image = image_of(PLAIN).astype(int)
    changes = [
        np.abs(
            overlay(make_map(PLAIN, np.array(OF_CLASS[number])), image.astype(np.uint8), legend=False) - image
        ).mean()
        for number in (RED, ORANGE, GREEN)
    ]
    assert changes[RED] > 4 * changes[GREEN]
    assert changes[ORANGE] > 2 * changes[GREEN]
    assert changes[GREEN] < 12


def test_areas_of_worse_classes_are_outlined_on_their_inside() -> None:
    quality = np.ones(PLAIN.shape)
    quality[5:9, 10:20] = 0.0
    image = np.zeros((PLAIN.height, PLAIN.width, 3), np.uint8)
    picture = overlay(make_map(PLAIN, quality), image, legend=False)
    (top, left), (bottom, right) = (box_of(PLAIN, *at) for at in ((5, 10), (8, 19)))
    line, area, outside = (
        picture[at].astype(int)
        for at in ((top.start, left.start), (top.start + 1, left.start + 1), (top.start - 1, left.start))
    )
    red, green = np.array(rgb(CLASSES[RED].color)), np.array(rgb(CLASSES[GREEN].color))
    assert np.abs(line - 0.9 * red).max() < 1
    assert np.abs(area - 0.45 * red).max() < 1
    assert np.abs(outside - 0.09 * green).max() < 1
    box = picture[top.start : bottom.stop, left.start : right.stop]
    for edge in (box[0], box[-1], box[:, 0], box[:, -1]):
        assert (edge == line).all()
    assert (box[1:-1, 1:-1] == area).all()


def windows(values: Array, thick: int) -> Array:
    """The best class within `thick` rows and columns of each pixel, pixel by pixel."""
    best = np.empty_like(values)
    for y, x in np.ndindex(*values.shape):
        best[y, x] = values[max(y - thick, 0) : y + thick + 1, max(x - thick, 0) : x + thick + 1].max()
    return best


@given(st.integers(0, 3), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=40)
def test_outlines_are_the_same_in_bands(thick: int, rows: int, columns: int, seed: int) -> None:
    classes = np.random.default_rng(seed).integers(0, 3, (rows, columns)).astype(np.int8)
    wanted = classes < windows(classes, thick)
    for step in (1, 2, 5, rows):
        parts = [
            map_pictures._outline(classes, slice(top, min(top + step, rows)), thick) for top in range(0, rows, step)
        ]
        assert np.array_equal(np.concatenate(parts), wanted)


@pytest.mark.parametrize("grid", [Grid(20, 20), Grid(47, 30, 16, 3), PLAIN, Grid(300, 1100)])
def test_pictures_do_not_depend_on_bands(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    found, image = random_map(grid), image_of(grid)
    whole = [overlay(found, image, longest=512), heat(found, image, longest=512)]
    monkeypatch.setattr(image_scaling, "_BAND", 5000)
    bands = [overlay(found, image, longest=512), heat(found, image, longest=512)]
    assert all(np.array_equal(one, other) for one, other in zip(whole, bands, strict=True))


@pytest.mark.slow
@given(st.integers(0, 99), st.sampled_from([PLAIN, Grid(60, 45), Grid(100, 90, 20, 20)]))
@settings(max_examples=20)
def test_hatching_is_where_patches_are_unsure_and_only_there(seed: int, grid: Grid) -> None:
    found, image = random_map(grid, seed), image_of(grid, seed)
    assert found.unsure is not None
    plain = QualityMap(**{**vars(found), "unsure": None})
    changed = (overlay(found, image, legend=False) != overlay(plain, image, legend=False)).any(axis=2)
    factor = scale_of(grid, 4096).enlarge
    for row, column in np.ndindex(*grid.shape):
        ys, xs = box_of(grid, row, column)
        cell = changed[ys.start * factor : ys.stop * factor, xs.start * factor : xs.stop * factor]
        if not found.unsure[row, column]:
            assert not cell.any()
        elif min(cell.shape) >= 8:
            assert 0.02 < cell.mean() < 0.6


def test_no_cell_of_red_goes_unseen_where_the_image_is_shrunk() -> None:
    grid = Grid(1500, 60, 20, 2)
    image = np.full((grid.height, grid.width), 128, np.uint8)
    quality = np.ones(grid.shape)
    before = overlay(make_map(grid, quality), image, legend=False, longest=256)
    assert before.shape == (250, 10, 3)
    for row in (0, 7, 333, 740):
        quality[:] = 1.0
        quality[row, 11] = 0.0
        after = overlay(make_map(grid, quality), image, legend=False, longest=256)
        tinted = after[(after != before).any(axis=2)]
        assert len(tinted)
        # Such small cells are tinted half as much again.
        wanted = 128 + 1.5 * 0.45 * (np.array(rgb(CLASSES[RED].color)) - 128.0)
        assert np.abs(tinted - wanted).max() < 1


@given(grids(), st.integers(1, 9), st.integers(1, 3), st.integers(0, 9))
def test_of_the_cells_in_a_box_the_least_shows(grid: Grid, shrink: int, enlarge: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 6, grid.shape).astype(np.int8)
    rows, columns = grid.cells()
    full = values[rows][:, columns]
    tops, lefts = (range(0, side, shrink) for side in full.shape)
    wanted = np.array([[full[y : y + shrink, x : x + shrink].min() for x in lefts] for y in tops])
    found = cells(values, grid, ImageScale(grid.height, grid.width, 1, shrink))
    assert found.dtype == np.int8
    assert np.array_equal(found, wanted)
    larger = cells(values, grid, ImageScale(grid.height, grid.width, enlarge))
    assert np.array_equal(larger, np.kron(full, np.ones((enlarge, enlarge), np.int8)))


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 7),
    st.sampled_from([(), (1,), (3,)]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([slice(None), slice(None, None, -1), slice(None, None, 2)]),
)
def test_a_box_of_pixels_is_shown_as_its_mean(
    height: int, width: int, shrink: int, channels: tuple[int, ...], kind: type, rows: slice
) -> None:
    top = np.iinfo(kind).max
    image = np.random.default_rng(height).integers(0, top, (height, width, *channels), kind, endpoint=True)[rows]
    eight = image.astype(np.int64) if kind is np.uint8 else (image.astype(np.int64) + 128) // 257
    colour = np.broadcast_to(eight.reshape(*image.shape[:2], -1), (*image.shape[:2], 3))
    tops, lefts = (range(0, side, shrink) for side in image.shape[:2])
    means = np.array([[colour[y : y + shrink, x : x + shrink].mean(axis=(0, 1)) for x in lefts] for y in tops])
    found = pixels(image, ImageScale(*image.shape[:2], 1, shrink))
    assert found.dtype == np.uint8
    assert np.abs(found - means).max() <= 0.5 + 1e-9
    large = pixels(image, ImageScale(*image.shape[:2], 3))
    assert np.array_equal(large, np.kron(colour, np.ones((3, 3, 1), np.int64)))


@pytest.mark.parametrize(
    ("grid", "longest", "shape"),
    [
        (Grid(20, 20), 4096, (500, 500)),
        (Grid(20, 20), 256, (240, 240)),
        (Grid(48, 64), 4096, (384, 512)),
        (Grid(480, 640), 4096, (480, 640)),
        (Grid(30, 640), 4096, (30, 640)),
        (Grid(4096, 4096), 4096, (4096, 4096)),
        (Grid(4097, 100), 4096, (2049, 50)),
        (Grid(10_000, 10_000), 4096, (3334, 3334)),
    ],
)
def test_a_picture_has_a_size_that_can_be_looked_at(grid: Grid, longest: int, shape: tuple[int, int]) -> None:
    scale = scale_of(grid, longest)
    assert scale.shape == shape
    ys, xs = places(scale)
    assert (len(ys), len(xs)) == shape
    # As far from one end of the image as from the other, unless a box at the end has fewer pixels.
    step = scale.shrink / scale.enlarge
    assert ys[0] == pytest.approx(step / 2 - 0.5)
    assert grid.height - 1 - ys[-1] == pytest.approx(((grid.height - 1) % scale.shrink + 1) / scale.enlarge / 2 - 0.5)
    assert np.allclose(np.diff(xs)[:-1], step)


@pytest.mark.parametrize("grid", [Grid(20, 20), Grid(30, 640), Grid(640, 30), Grid(48, 64), PLAIN])
@pytest.mark.parametrize("safe", [False, True])
def test_the_legend_stands_below_the_pixels_and_has_the_colours(grid: Grid, safe: bool) -> None:
    found, image = random_map(grid), image_of(grid)
    bare, whole = (overlay(found, image, safe=safe, legend=legend) for legend in (False, True))
    assert np.array_equal(whole[: len(bare), : bare.shape[1]], bare)
    assert (whole[: len(bare), bare.shape[1] :] == BACKGROUND).all()
    strip = whole[len(bare) :]
    assert len(strip) >= 3 * text_size(whole.shape[1])
    present = {tuple(colour) for colour in np.unique(strip.reshape(-1, 3), axis=0).tolist()}
    own, other = ({rgb(each.safe_color if kind else each.color) for each in CLASSES} for kind in (safe, not safe))
    assert own <= present
    assert not (other - own) & present
    # Words do not run out of the strip: background is on all of its edges.
    for edge in (strip[0], strip[-1], strip[:, 0], strip[:, -1]):
        assert (edge == BACKGROUND).all()


@given(st.tuples(*[st.integers(0, 3) | st.integers(0, 10**6)] * 3).filter(any))
def test_shares_add_up(counts: tuple[int, int, int]) -> None:
    total = 0.0
    for count, words in zip(counts, legend._tenths(counts), strict=True):
        share = count / sum(counts)
        matched = re.fullmatch(r"([<>]?)(\d+\.\d) %", words)
        assert matched
        sign, value = matched[1], float(matched[2])
        if sign:
            assert (0 < share < 0.001) if sign == "<" else (0.999 < share < 1)
            value = 0.0 if sign == "<" else 100.0
        assert abs(value - 100 * share) < 0.1
        # No class that is there has no share, and none that is not alone has all.
        assert (share == 0) == (words == "0.0 %")
        assert (share == 1) == (words == "100.0 %")
        total += value
    assert total == pytest.approx(100.0)


def test_shares_are_of_the_patches() -> None:
    found = random_map(PLAIN)
    counts = [int((found.classes == number).sum()) for number in range(3)]
    assert shares(found) == legend._tenths(counts)


def test_the_legend_says_what_there_is() -> None:
    grid = Grid(20, 100)
    quality = np.array([[0.0, 0.5, 0.5, 1, 1, 1, 1, 1, 1]])
    unsure = quality == 0.5
    plain = entries(make_map(grid, quality))
    assert [(each.mark, each.name, each.meaning, each.share) for each in plain] == [
        ("▲", "Red", "obvious", "11.1 %"),
        ("◆", "Orange", "some people notice", "22.2 %"),
        ("●", "Green", "nobody notices", "66.7 %"),
    ]
    with_sets = make_map(grid, quality, unsure=unsure, calibration="tid2013-test")
    assert entries(with_sets)[:3] == plain
    last = entries(with_sets)[3]
    assert (last.mark, last.name, last.share) == (None, "Unsure", "22.2 %")
    assert facts(with_sets).replace("\u00a0", " ") == (
        "image quality 0.78; worst 5 % of patches: 0.20 or less; calibration tid2013-test"
    )
    assert facts(make_map(grid, quality)).endswith("cuts of quality, no calibration")
    # More to say takes more room.
    image = image_of(PLAIN)
    assert len(overlay(random_map(PLAIN), image)) > len(overlay(random_map(PLAIN, sets=False), image))


def test_words_are_wrapped_and_grow_with_the_picture() -> None:
    assert [text_size(width) for width in (20, 640, 1040, 4160, 100_000)] == [13, 13, 20, 80, 160]
    text = Text(13)
    lines = text.wrap("one two three four five\u00a0six", 60)
    assert " ".join(lines) == "one two three four five six"
    assert len(lines) > 2
    assert "five six" in lines[-1]
    assert all(text.length(line, small=True) <= 60 for line in lines)


def test_a_heat_map_shows_quality() -> None:
    found = random_map(PLAIN)
    plain = heat(found, legend=False)
    colours = map_pictures._colours()
    assert np.array_equal(plain, colours[np.rint(found.per_pixel() * np.float32(255)).astype(int)])
    image = image_of(PLAIN)
    assert np.array_equal(heat(found, image, opacity=1.0, legend=False), plain)
    grey = heat(found, image, opacity=0.0, legend=False).astype(int)
    assert (grey == grey[..., :1]).all()
    assert np.abs(grey[..., 0] - image @ [0.299, 0.587, 0.114]).max() <= 0.51
    whole = heat(found)
    assert np.array_equal(whole[: PLAIN.height], plain)
    present = {tuple(colour) for colour in whole[PLAIN.height :].reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in colours.tolist()} <= present


# What dichromats see of linear RGB: Viénot, Brettel and Mollon 1999 for protanopes and deuteranopes; for tritanopes the
# matrix of Machado, Oliveira and Fernandes 2009 at severity 1.
_SEEN_BY = {
    "all": np.eye(3),
    "protanopes": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "deuteranopes": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
    "tritanopes": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


@pytest.mark.parametrize("who", list(_SEEN_BY))
def test_the_colours_of_quality_darken_all_the_way(who: str) -> None:
    values = map_pictures._colours() / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    light = np.clip(linear @ _SEEN_BY[who].T, 0, 1) @ [0.2126, 0.7152, 0.0722]
    # CIE 1976 lightness.
    lightness = np.where(light > 0.008856, 116 * np.cbrt(light) - 16, 903.3 * light)
    assert (np.diff(lightness) < 0.05).all()
    # An eighth of the scale is told from the next.
    assert (np.diff(lightness[::32]) < -4).all()
    assert lightness[0] > 90
    assert lightness[-1] < 8


def test_only_what_is_shown_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(2000, 3000)
    found = random_map(grid)
    image = np.zeros((grid.height, grid.width, 3), np.uint16)
    quality = heat(found, longest=512, legend=False)
    assert quality.shape == (334, 500, 3)

    def never(self: QualityMap) -> Array:
        raise AssertionError("the whole map was made")

    monkeypatch.setattr(QualityMap, "per_pixel", never)
    tracemalloc.start()
    try:
        for draw in (lambda: overlay(found, image, longest=512), lambda: heat(found, image, longest=512)):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            draw()
            # A float copy of the image would have 72 MB.
            assert tracemalloc.get_traced_memory()[1] - before < 40e6
    finally:
        tracemalloc.stop()


def place_of(panel: Array, whole: Array) -> tuple[int, int]:
    """Where `panel` is in `whole`, pixel for pixel."""
    height, width = panel.shape[:2]
    for y, x in np.argwhere((whole == panel[0, 0]).all(axis=2)).tolist():
        if np.array_equal(whole[y : y + height, x : x + width], panel):
            return y, x
    raise AssertionError("it is not there")


@pytest.mark.parametrize(("grid", "stacked"), [(PLAIN, False), (Grid(40, 700), True), (Grid(200, 400), False)])
def test_side_by_side_has_both_images_and_the_map(grid: Grid, stacked: bool) -> None:
    found, reference = random_map(grid), image_of(grid)
    distorted = trees.distorted(reference, 1, 3)
    whole = side_by_side(found, reference, distorted)
    height, width = grid.height, grid.width
    panels = (reference, distorted, overlay(found, distorted, legend=False))
    (y0, x0), (y1, x1), (y2, x2) = (place_of(panel, whole) for panel in panels)
    if stacked:
        assert (x0, x1, x2) == (0, 0, 0)
        assert y1 - y0 == y2 - y1 > height
    else:
        assert y0 == y1 == y2 > 0
        assert x1 - x0 == x2 - x1 > width
    assert len(whole) > y2 + height
    assert not np.array_equal(whole, side_by_side(found, reference, distorted, safe=True))


def test_titles_of_narrow_panels_are_whole() -> None:
    grid = Grid(600, 30)
    image = np.zeros((600, 30), np.uint8)
    whole = side_by_side(random_map(grid), image, image)
    text = Text(text_size(54))
    assert whole.shape[1] > sum(text.length(name) for name in ("Reference", "Distorted", "Map"))
    strip = whole[: text.line]
    left, right = (np.flatnonzero((strip != BACKGROUND).any(axis=(0, 2)))[at] for at in (0, -1))
    assert 0 < left < right < whole.shape[1] - 1
    # As much ink in each title as in one above a broad panel.
    dark = (strip != BACKGROUND).any(axis=2).sum()
    broad = sum(
        (map_pictures._title(name, 500, text) != BACKGROUND).any(axis=2).sum()
        for name in ("Reference", "Distorted", "Map")
    )
    assert dark == broad


def test_three_panels_are_within_what_was_asked_for() -> None:
    grid = Grid(300, 400)
    image = image_of(grid)
    found = random_map(grid)
    assert side_by_side(found, image, image, longest=600).shape[1] < 700
    assert side_by_side(found, image, image).shape[1] > 1200


def test_grey_and_16_bit_images_are_shown_as_the_models_see_them() -> None:
    grey = image_of(PLAIN)[..., 0]
    found = random_map(PLAIN)
    wanted = overlay(found, np.repeat(grey[..., None], 3, axis=2))
    deep = grey.astype(np.uint16) * 257
    # As far from a grey level as rounds to it.
    near = deep + np.uint16(128) * (deep < 65535)
    backwards = grey[::-1].copy()[::-1]
    for image in (grey, grey[..., None], deep, near, deep[..., None], backwards):
        assert np.array_equal(overlay(found, image), wanted)


def test_a_png_holds_the_pixels_and_is_the_same_each_time() -> None:
    found, image = random_map(PLAIN), image_of(PLAIN)
    before = image.copy()
    picture = overlay(found, image)
    data = encode(picture)
    opened = Image.open(io.BytesIO(data))
    assert (opened.format, opened.mode) == ("PNG", "RGB")
    assert np.array_equal(np.asarray(opened), picture)
    assert encode(overlay(found, image)) == data
    assert encode(picture[::-1][::-1]) == data
    # What was given is left as it was.
    assert np.array_equal(image, before)


def test_mistakes_are_named() -> None:
    found, image = random_map(PLAIN), image_of(PLAIN)
    for opacity in (-0.1, 1.5, float("nan")):
        for draw in (overlay, heat):
            with pytest.raises(PixqError, match=f"opacity is {opacity:g}; give a number from 0 to 1"):
                draw(found, image, opacity=opacity)
    with pytest.raises(PixqError, match="longest is 255; give at least 256"):
        heat(found, longest=255)
    with pytest.raises(TypeError, match="'image' has dtype float32; expected uint8 or uint16"):
        overlay(found, image.astype(np.float32))
    with pytest.raises(TypeError, match="'image' has dtype list"):
        heat(found, image.tolist())
    for wrong in (image[1:], image[:, :-1], image[..., :2], image[0, :, 0], image[None]):
        with pytest.raises(ValueError, match=r"expected \(300, 520\), grey or with 3 channels"):
            overlay(found, wrong)
    with pytest.raises(ValueError, match="'reference' has shape"):
        side_by_side(found, image[1:], image)
    with pytest.raises(ValueError, match="'distorted' has shape"):
        side_by_side(found, image, image[1:])
