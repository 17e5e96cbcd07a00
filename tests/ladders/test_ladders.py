"""Ladders: which file is which level, the PJND and its cut, JND-critical places, pictures, files and verbs."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixq.classes import CLASSES, GREEN, NAMES, QUALITY_CUTS, RED, classify
from pixq.cli import main
from pixq.decisions.calibration_file import CALIBRATION, read_calibrations
from pixq.decisions.pjnd_cuts import PJND, GreenCut, PjndCuts, read_cuts, write_cuts
from pixq.drawing.map_pictures import overlay
from pixq.errors import PixqError
from pixq.io.images import pixels_of
from pixq.ladders.critical import CriticalPoint, critical_map, critical_points
from pixq.ladders.fit_green_cut import choose_cuts, fit, ranged
from pixq.ladders.ground_truth import read_truth
from pixq.ladders.ladder import Ladder, Level, maps, open_ladder
from pixq.ladders.pictures import curve, described, regions
from pixq.ladders.pjnd import Pjnd, SourceRange, choose, edge, leave_one_out, pjnd
from pixq.runs.recipe import read_recipe
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import DEFAULT, Scorer, load
from pixq.train.loop import train
from pixq.train.partition import by_split
from support import built, report_files, trees
from support.quality_maps import make_map

Image = NDArray[np.uint8]
SIZE = (100, 140)
#: Levels of the ladders here, and the noise of each: from what nobody sees to what anybody does.
LEVELS = {1: 0, 2: 4, 3: 8, 4: 14, 5: 25, 6: 45}
SOURCES = ("first", "second", "third")


def noisy(reference: Image, level: int, seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).normal(0, 1, reference.shape) * LEVELS[level]
    changed: Image = np.clip(reference + noise, 0, 255).astype(np.uint8)
    return changed


def write_ladder(folder: Path, name: str, seed: int, pattern: str = "{name}_{level}.png", *, least: int = 1) -> Path:
    """A reference beside its levels; gives the reference's path."""
    clean = trees.photo(seed, SIZE)
    trees.save(folder / f"{name}.png", clean)
    for level in LEVELS:
        if level >= least:
            trees.save(folder / pattern.format(name=name, level=level, number=101 - level), noisy(clean, level, seed))
    return folder / f"{name}.png"


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write_ladder(tmp_path, "photo", 3)


@pytest.fixture(scope="session")
def truths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources in the layout of LocJND, of which people notice levels 4 and 5; a fourth nobody was asked about."""
    folder = tmp_path_factory.mktemp("truths")
    said: dict[str, Any] = {}
    for seed, name in enumerate(SOURCES):
        write_ladder(folder / "images", name, 30 + seed, "{name}_NOISE_{number:03d}.png")
        said[name] = {"codec": "NOISE", "pjnd_range": [4, 5], "critical_points_yx": [[10, 20], [30.5, 40]]}
    write_ladder(folder / "images", "fourth", 40, "{name}_NOISE_{number:03d}.png")
    said["fourth"] = {"codec": "NOISE", "pjnd_range": None, "critical_points_yx": None}
    (folder / "ground_truth.json").write_text(json.dumps({"images": said}), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    return load()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The default model without any cuts."""
    shutil.copytree(DEFAULT, tmp_path / "bare", ignore=shutil.ignore_patterns(PJND))
    return tmp_path / "bare"


@pytest.fixture(scope="session")
def ordinal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose head is ordinal: its scores are logits, and its qualities are not."""
    folder = tmp_path_factory.mktemp("ordinal")
    recipe = read_recipe("seed", ["train.epochs=0", "train.threads=1", "model.head=ordinal"])
    train(by_split(built.make_small(folder)), folder / "run", recipe, device="cpu")
    return folder / "run"


# The edge of a map, and the PJND.

scores = st.lists(st.floats(-1, 2) | st.just(math.inf), min_size=1, max_size=60)


@given(scores, st.floats(0, 1, exclude_min=True))
def test_at_least_the_share_of_patches_is_below_every_cut_above_the_edge_and_no_other(
    score: list[float], share: float
) -> None:
    found, n = edge(score, share), len(score)
    assert found in score
    assert np.count_nonzero(np.array(score) <= found) >= share * n - 1e-9
    # Below a cut at the edge are fewer; none at all, where so few are asked for that it is one patch.
    assert np.count_nonzero(np.array(score) < found) < max(share * n, 1)


@pytest.mark.parametrize(("share", "expected"), [(1e-12, 1), (0.05, 1), (0.051, 2), (0.07, 2), (0.35, 7), (1.0, 20)])
def test_the_edge_of_twenty_patches(share: float, expected: int) -> None:
    # 0.35 * 20 and 0.07 * 100 are not whole in binary.
    assert edge(np.random.default_rng(0).permutation(20).reshape(4, 5) + 1, share) == expected
    assert edge(np.arange(100) + 1, 0.07) == 7


@pytest.mark.parametrize("share", [0.0, -0.1, 1.0001, math.nan])
def test_no_share(share: float) -> None:
    with pytest.raises(PixqError, match="is not above 0 and up to 1"):
        edge([1.0], share)


@st.composite
def ladders(draw: st.DrawFn) -> SourceRange:
    """A ladder of few different edges, so that levels tie, some above it or equal to the reference."""
    levels = sorted(draw(st.sets(st.integers(1, 12), min_size=1, max_size=8)))
    edges = draw(st.lists(st.integers(0, 10) | st.just(math.inf), min_size=len(levels), max_size=len(levels)))
    low = draw(st.integers(0, 13))
    high = draw(st.integers(low, 13))
    name = f"source{draw(st.integers(0, 10**6))}"
    return SourceRange(name, np.array(levels, float), np.array(edges, float), (float(low), float(high)))


@given(ladders(), st.integers(-1, 22), st.none() | st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_the_pjnd_is_the_first_level_below_the_cut(
    ladder: SourceRange, twice: int, ends: tuple[int, int] | None
) -> None:
    value = twice / 2
    cut = GreenCut(value) if ends is None else GreenCut(value, value - ends[0] / 2, value + ends[1] / 2)

    def first(value: float) -> float | None:
        pairs = zip(ladder.levels.tolist(), ladder.edges.tolist(), strict=True)
        return next((level for level, at in pairs if at < value), None)

    found = pjnd(ladder.levels, ladder.edges, cut)
    # Edges are whole, so these are all cuts in the interval that could differ; it is open below.
    by = [first(value)]
    if ends is not None:
        by += [first(value + step / 4) for step in range(1 - 2 * ends[0], 2 * ends[1] + 1)]
    lowest = min((level for level in by if level is not None), default=math.inf)
    above = max((level for level in ladder.levels.tolist() if level < lowest), default=None)
    up_to = None if None in by else max(level for level in by if level is not None)
    assert found == Pjnd(first(value), above, up_to)
    assert ladder.holds(found) == (found.level is not None and ladder.range[0] <= found.level <= ladder.range[1])
    # Of a ladder, the span of cuts that predict within its range is the one that counting finds.
    start, stop = ladder.cuts
    assert ladder.holds(found) == (start < cut.value <= stop)


def test_the_interval_holds_the_pjnds_of_the_cuts_that_do_as_well_and_no_other() -> None:
    # Every cut above 0.5, up to 0.9, gives level 20.
    chosen = SourceRange("a", np.array([10.0, 20, 30]), np.array([0.9, 0.5, 0.3]), (20, 20))
    assert choose([chosen]) == GreenCut(0.7, 0.5, 0.9)
    assert pjnd(chosen.levels, chosen.edges, choose([chosen])) == Pjnd(20, 10, 20)


def right(chosen: list[SourceRange], cut: float) -> int:
    """How many predictions lie in their ranges."""
    return sum(ladder.holds(pjnd(ladder.levels, ladder.edges, GreenCut(cut))) for ladder in chosen)


@settings(max_examples=300)
@given(st.lists(ladders(), max_size=5))
def test_no_cut_puts_more_predictions_into_their_ranges(chosen: list[SourceRange]) -> None:
    edges = [each for ladder in chosen for each in ladder.edges.tolist() if math.isfinite(each)]
    # All cuts that could differ: edges, and what lies between two; up to the highest, above which all is noticed.
    grid = [cut / 4 for cut in range(-4, 45) if edges and cut / 4 <= max(edges)]
    most = max((right(chosen, cut) for cut in grid), default=0)
    if most == 0:
        with pytest.raises(PixqError, match=r"no cut puts any|no ladder has a level"):
            choose(chosen)
        return
    found = choose(chosen)
    assert found.low is not None
    assert found.high is not None
    assert right(chosen, found.value) == most
    assert found.low < found.value < found.high
    assert found.value == (found.low + found.high) / 2
    # All between the ends do as well, and the ends are as far apart as can be.
    inside = [cut for cut in grid if found.low < cut <= found.high]
    assert {right(chosen, cut) for cut in inside} == {most}
    runs, run = [0], 0
    for cut in grid:
        run = run + 1 if right(chosen, cut) == most else 0
        runs.append(run)
    assert len(inside) == max(runs)


def test_a_range_that_begins_below_the_ladder() -> None:
    # Any cut above 0.2 is right for the one, above 0.5 for both.
    one = SourceRange("one", np.array([1.0, 2]), np.array([0.8, 0.2]), (1, 2))
    two = SourceRange("two", np.array([1.0, 2]), np.array([0.5, 0.1]), (1, 1))
    found = choose([one, two])
    assert (found.low, found.high) == (0.5, 0.8)
    assert right([one, two], found.value) == 2


def test_the_widest_span_and_then_the_lowest() -> None:
    def within(*edges: float) -> SourceRange:
        return SourceRange("a", np.arange(3.0), np.array(edges, float), (1, 1))

    assert choose([within(3, 2, 0), within(9, 6, 0)]) == GreenCut(7.5, 6, 9)
    assert choose([within(3, 2, 0), within(9, 8, 0)]) == GreenCut(2.5, 2, 3)
    # Two that overlap are one span of 2 right; where one ends and the next begins, 1 is right all along.
    assert choose([within(5, 2, 0), within(9, 4, 0)]) == GreenCut(4.5, 4, 5)
    assert choose([within(5, 2, 0), within(9, 5, 0)]) == GreenCut(5.5, 2, 9)


def test_nothing_to_choose_by() -> None:
    equal = SourceRange("a", np.arange(2.0), np.full(2, np.inf), (0, 1))
    for none in ([], [equal]):
        with pytest.raises(PixqError, match="no ladder has a level that could be noticed"):
            choose(none)
    # It is worse at the lower level, so the higher one is never first.
    with pytest.raises(PixqError, match="no cut puts any predicted PJND into its range"):
        choose([SourceRange("a", np.arange(2.0), np.array([0.1, 0.5]), (1, 1))])
    with pytest.raises(PixqError, match="two ladders or more"):
        leave_one_out([equal])


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(0, 2))
def test_a_ladders_own_edges_do_not_choose_its_cut(own: list[float], which: int) -> None:
    levels = np.arange(4.0)
    chosen = [
        SourceRange(name, levels, np.array(edges), (1, 2))
        for name, edges in (("a", [0.9, 0.6, 0.5, 0.1]), ("b", [0.8, 0.5, 0.4, 0]), ("c", [0.95, 0.55, 0.3, 0.2]))
    ]
    others = choose(chosen[:which] + chosen[which + 1 :])
    changed = list(chosen)
    changed[which] = replace(chosen[which], edges=np.array(own))
    found = leave_one_out(changed)
    assert list(found) == ["a", "b", "c"]
    assert found[changed[which].name] == pjnd(levels, own, others)


def test_a_source_that_no_cut_can_hit_takes_nothing_from_the_others() -> None:
    levels = np.arange(3.0)
    good = SourceRange("good", levels, np.array([0.9, 0.6, 0.2]), (1, 1))
    # It is worse at the lower level, so the higher one is never first.
    bad = SourceRange("bad", levels, np.array([0.9, 0.1, 0.5]), (2, 2))
    assert leave_one_out([good, bad]) == {"good": Pjnd(None, 2, None), "bad": Pjnd(1, 0, 1)}
    found = choose_cuts([good, bad], blake3="", share=0.05, stride=10)
    assert (found.low, found.high, found.within) == (0.6, 0.9, 0)
    assert {name: source.predicted for name, source in found.sources.items()} == {"good": None, "bad": 1}


# Files of a ladder.


def names(ladder: Ladder) -> list[tuple[float, str]]:
    return [(each.level, each.path.name) for each in ladder.levels]


def touch(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_bytes(b"")
    return folder


def test_levels_by_the_last_number_of_a_name(tmp_path: Path) -> None:
    folder = touch(tmp_path, "ref7.png", "a2_010.jpg", "a2_9.5.JPG", "x100y.bmp", ".a2_3.jpg", "notes_4.txt")
    touch(tmp_path / "deep_5.png")
    reference = folder / "ref7.png"
    found = open_ladder(reference, [folder])
    assert (found.name, found.reference) == ("ref7", reference)
    assert names(found) == [(9.5, "a2_9.5.JPG"), (10, "a2_010.jpg"), (100, "x100y.bmp")]
    turned = [(1, "x100y.bmp"), (91, "a2_010.jpg"), (91.5, "a2_9.5.JPG")]
    assert names(open_ladder(reference, [folder], "101-n")) == turned
    assert names(open_ladder(reference, [folder], " 101 - n ")) == turned
    # A file that was named is taken whatever it is called, and given twice it is still one.
    some = [folder / "x100y.bmp", folder / "notes_4.txt", folder / "x100y.bmp"]
    assert names(open_ladder(reference, some)) == [(4, "notes_4.txt"), (100, "x100y.bmp")]
    assert names(open_ladder(reference, [folder, touch(tmp_path / "more", "a_2.png")]))[0] == (2, "a_2.png")


def test_ladders_that_are_none(tmp_path: Path) -> None:
    folder = touch(tmp_path / "levels", "a_1.png", "b_01.png")
    reference = touch(tmp_path, "ref.png", "plain.png") / "ref.png"

    def mistake(message: str, paths: list[Path], rule: str = "n", of: Path = reference) -> None:
        with pytest.raises(PixqError, match=message) as error:
            open_ladder(of, paths, rule)
        assert "\n" not in str(error.value)

    mistake(r"b_01.png: is level 1, as a_1.png is; keep one of them", [folder])
    (alone,) = open_ladder(reference, [tmp_path / "plain.png"]).levels
    assert (alone.level, alone.path.name) == (1.0, "plain.png")
    mistake(r"plain.png: has no number in its name", [tmp_path / "plain.png", *sorted(folder.iterdir())[:1]])
    mistake(r"a_2.png: there is no such file or folder", [tmp_path / "a_2.png"])
    mistake(r"ref.png: is the reference itself; leave it out", [reference])
    mistake(r"ref.png: no level of it was given", [touch(tmp_path / "empty", ".a_1.png", "a.txt")])
    mistake(r"other.png: there is no such file; give the reference", [folder], of=tmp_path / "other.png")
    mistake(r"levels: there is no such file; give the reference", [folder], of=folder)
    for rule in ("", "m", "n-1", "-n", "101+n", "1e2-n"):
        mistake(r"--level is .*; give n, or a number minus n, like 101-n", [folder], rule)


def test_maps_are_those_of_each_level(reference: Path, scorer: Scorer) -> None:
    ladder, told = open_ladder(reference, [reference.parent]), []
    found = list(maps(scorer, ladder, stride=20, watch=lambda done, of: told.append((done, of))))
    assert [level for level, _ in found] == list(ladder.levels)
    assert told == [(done, 6) for done in range(7)]
    for level, map_ in found:
        alone = scorer.map(pixels_of(reference), pixels_of(level.path), stride=20)
        np.testing.assert_array_equal(map_.score, alone.score)
    assert found[0][1].identical.all()
    edges = [edge(map_.score) for _, map_ in found]
    assert edges == sorted(edges, reverse=True)


def test_levels_that_can_not_be_scored(reference: Path, scorer: Scorer) -> None:
    trees.save(reference.parent / "photo_7.png", trees.photo(1, (100, 141)))
    with pytest.raises(
        PixqError, match=r"photo_7.png: has 141x100 pixels, and .*photo.png 140x100; give images of one"
    ):
        list(maps(scorer, open_ladder(reference, [reference.parent])))
    (reference.parent / "photo_7.png").write_bytes(b"\x89PNG")
    with pytest.raises(PixqError, match=r"photo_7.png: ") as error:
        list(maps(scorer, open_ladder(reference, [reference.parent])))
    assert "\n" not in str(error.value)
    with pytest.raises(PixqError, match=r"gone_1.png: "):
        list(maps(scorer, Ladder("a", reference, (Level(1, reference.with_name("gone_1.png")),))))


# What people said.


def test_truths_are_read(truths: Path) -> None:
    found = {truth.ladder.name: truth for truth in read_truth(truths)}
    assert list(found) == ["first", "fourth", "second", "third"]
    assert (found["fourth"].range, found["fourth"].points) == (None, None)
    first = found["first"]
    assert (first.codec, first.range, first.points) == ("NOISE", (4, 5), ((10, 20), (30.5, 40)))
    expected = [(level, f"first_NOISE_{101 - level:03d}.png") for level in LEVELS]
    assert names(first.ladder) == expected


def test_a_sources_name_is_taken_to_the_letter(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a[1]*.png", "a[1]*_N[O]_100.jpg", "a[1]*_N[O]_90.jpg", "a1x_NO_80.jpg", "a1_NO_70.jpg")
    said = {"images": {"a[1]*": {"codec": "N[O]"}}}
    (tmp_path / "ground_truth.json").write_text(json.dumps(said))
    (found,) = read_truth(tmp_path)
    assert names(found.ladder) == [(1, "a[1]*_N[O]_100.jpg"), (11, "a[1]*_N[O]_90.jpg")]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("no JSON", "must say of each of its images the codec"),
        ("[]", "must say of each of its images the codec"),
        ("{}", "must say of each of its images the codec"),
        ('{"images": ["first"]}', "must say of each of its images the codec"),
        ('{"images": {"first": "NOISE"}}', "must say of each of its images the codec"),
        ('{"images": {"first": {}}}', "must say of each of its images the codec"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": [4]}}}', "must say"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": [4, 5, 6]}}}', "must say"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": [5, 4]}}}', "must say"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": [NaN, 4]}}}', "must say"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": ["low", "high"]}}}', "must say"),
        ('{"images": {"first": {"codec": "NOISE", "critical_points_yx": [[1]]}}}', "must say"),
        ('{"images": {"first": {"codec": "NOISE", "critical_points_yx": 3}}}', "must say"),
        ('{"images": {}}', "names no image"),
        ('{"images": {"first": {"codec": "BPG"}}}', "first.png: no level of it was given"),
        ('{"images": {"fifth": {"codec": "NOISE"}}}', "fifth.png: there is no such file"),
        (None, "No such file or directory; give a folder that has one"),
    ],
)
def test_truths_that_are_none(said: str | None, message: str, truths: Path, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(truths / "images")
    if said is not None:
        (tmp_path / "ground_truth.json").write_text(said)
    with pytest.raises(PixqError, match=message) as error:
        read_truth(tmp_path)
    assert "\n" not in str(error.value)


# JND-critical places.


def some_map(seed: int, grid: Grid | None = None) -> QualityMap:
    grid = grid or Grid(95, 133, 20, 10)
    rng = np.random.default_rng(seed)
    return make_map(grid, rng.random(grid.shape), identical=rng.random(grid.shape) < 0.15)


@pytest.mark.parametrize("grid", [Grid(95, 133, 20, 10), Grid(61, 20, 20, 3), Grid(20, 20)])
@pytest.mark.parametrize("degree", [0.5, 10.0, 24.0, 500.0])
def test_the_smoothed_map_is_that_of_a_plain_gaussian(grid: Grid, degree: float) -> None:
    found = some_map(1, grid)
    # Half of its height at half a degree from its middle: exp(-4 ln 2 (distance / degree)^2).
    values = np.where(found.identical, max(1.0, found.quality.max()), found.score)
    expected = np.empty(grid.shape)
    for row, y in enumerate(grid.ys):
        for column, x in enumerate(grid.xs):
            weight = np.zeros(grid.shape)
            for i, other_y in enumerate(grid.ys):
                for j, other_x in enumerate(grid.xs):
                    # Cut off where next to nothing is left, at 4 deviations along each axis.
                    if max(abs(int(y - other_y)), abs(int(x - other_x))) <= 4 * degree / 2.3548200450309493:
                        square = float((y - other_y) ** 2 + (x - other_x) ** 2)
                        weight[i, j] = math.exp(-4 * math.log(2) * square / degree**2)
            expected[row, column] = (weight * values).sum() / weight.sum()
    np.testing.assert_allclose(critical_map(found, degree=degree), expected, rtol=1e-12)


def test_a_map_of_one_value_stays_as_it_is() -> None:
    grid = Grid(123, 77, 20, 7)
    for degree in (0.0, 24.0, 60.0):
        np.testing.assert_allclose(critical_map(make_map(grid, np.full(grid.shape, 0.25)), degree=degree), 0.25)
    equal = make_map(grid, np.zeros(grid.shape), identical=np.ones(grid.shape, bool))
    np.testing.assert_allclose(critical_map(equal), 1.0)
    assert critical_points(equal) == []


def test_without_a_degree_the_map_is_not_smoothed() -> None:
    found = some_map(2)
    above = replace(found, score=np.where(found.identical, np.inf, found.score + 2.0))
    for each, best in ((found, 1.0), (above, above.score[~above.identical].max())):
        expected = np.where(each.identical, best, each.score)
        np.testing.assert_array_equal(critical_map(each, degree=0.0), expected)
    for degree in (-1.0, math.nan, math.inf):
        with pytest.raises(PixqError, match=r"--degree is .*; give the pixels of one degree"):
            critical_map(found, degree=degree)


@settings(max_examples=60)
@given(st.integers(0, 999), st.integers(1, 12), st.sampled_from([0.0, 10.0, 24.0]), st.none() | st.floats(0, 90))
def test_places_are_the_lowest_apart_and_not_green(seed: int, most: int, degree: float, apart: float | None) -> None:
    found = some_map(seed)
    places, values = critical_points(found, points=most, degree=degree, apart=apart), critical_map(found, degree=degree)
    assert 1 <= len(places) <= most
    least = max(3 * degree, 20.0) if apart is None else apart
    ys, xs = found.grid.ys + 9.5, found.grid.xs + 9.5
    left = found.classes < GREEN
    for place in places:
        row, column = ys.tolist().index(place.y), xs.tolist().index(place.x)
        assert left[row, column]
        assert place.score == values[row, column] == values[left].min()
        assert place.class_ == found.classes[row, column] < GREEN
        near = np.hypot(ys[:, None] - place.y, xs[None, :] - place.x) < least
        near[row, column] = True
        left &= ~near
    # Fewer than asked for only where no place is left.
    assert len(places) == most or not left.any()


def test_a_place_has_the_class_of_its_patch() -> None:
    # The places' smoothed scores are all on a scale on which the cuts, of quality, say nothing.
    found = some_map(3)
    for shifted in (found.score + 5.0, found.score - 5.0):
        places = critical_points(replace(found, score=shifted), points=4, degree=10.0)
        assert len(places) == 4
        for place in places:
            at = np.argmin(np.abs(found.grid.ys + 9.5 - place.y)), np.argmin(np.abs(found.grid.xs + 9.5 - place.x))
            assert place.class_ == found.classes[at] < GREEN


def test_no_place_where_all_is_green() -> None:
    grid = Grid(60, 60)
    assert critical_points(make_map(grid, np.full(grid.shape, 0.7))) == []
    for points in (0, -1):
        with pytest.raises(PixqError, match=f"--points is {points}; give 1 or more"):
            critical_points(some_map(0), points=points)
    for apart in (-1.0, math.nan):
        with pytest.raises(PixqError, match=r"places can't be .* pixels apart"):
            critical_points(some_map(0), apart=apart)


def test_places_that_may_be_neighbours_are_still_different_ones() -> None:
    places = critical_points(some_map(0), points=5, apart=0.0)
    assert len({(place.y, place.x) for place in places}) == 5


# Pictures.


def test_a_curve_has_the_size_and_colours_that_are_said() -> None:
    levels, edges = [1, 2, 3, 4], [math.inf, 0.8, 0.5, 0.2]
    cut = GreenCut(0.6, 0.55, 0.7)
    found = pjnd(levels, edges, cut)
    pictures = [curve("a", levels, edges, cut, found, safe=safe) for safe in (False, True)]
    for picture, each in zip(pictures, ("color", "safe_color"), strict=True):
        assert (picture.shape, picture.dtype) == ((440, 960, 3), np.uint8)
        for which in (GREEN, RED):
            value = getattr(CLASSES[which], each).lstrip("#")
            color = [int(value[at : at + 2], 16) for at in (0, 2, 4)]
            assert (picture == color).all(axis=-1).sum() > 20
    assert not np.array_equal(*pictures)
    np.testing.assert_array_equal(pictures[0], curve("a", levels, edges, cut, found))
    assert not np.array_equal(pictures[0], curve("a", levels, edges, GreenCut(0.6), pjnd(levels, edges, GreenCut(0.6))))
    # One level, none that is noticed, and all that equal the reference.
    for some in ([0.9], [0.1], [math.inf]):
        assert curve("b", [3], some, GreenCut(0.6), pjnd([3], some, GreenCut(0.6))).shape == (440, 960, 3)
    with pytest.raises(PixqError, match="there is no level to draw"):
        curve("a", [], [], cut, found)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Pjnd(30, 20, 40), "PJND 30 (above 20, up to 40)"),
        (Pjnd(30, 20, None), "PJND 30 (above 20)"),
        (Pjnd(30, None, 30), "PJND 30 or lower: the ladder begins with a level that is noticed"),
        (Pjnd(30, None, 40), "PJND 30 or lower, up to 40: the ladder begins with a level that is noticed"),
        (Pjnd(None, 20, None), "PJND above 20: no level is noticed"),
        (Pjnd(None, None, None), "PJND unknown: no level is noticed"),
    ],
)
def test_a_pjnd_in_words(found: Pjnd, words: str) -> None:
    assert described(found) == words


def test_circles_are_round_the_places_and_change_nothing_else() -> None:
    grid = Grid(300, 520)
    found = make_map(grid, np.random.default_rng(0).random(grid.shape))
    image = trees.photo(0, (300, 520))
    before = overlay(found, image)
    np.testing.assert_array_equal(regions(found, image, []), before)
    places = [CriticalPoint(80.5, 90.5, 0.1, 0), CriticalPoint(200.5, 400.5, 0.2, 1)]
    after = regions(found, image, places)
    assert (after.shape, after.dtype) == (before.shape, np.uint8)
    changed = (after != before).any(axis=-1)
    ys, xs = np.mgrid[: before.shape[0], : before.shape[1]]
    distance = np.min([np.hypot(ys - place.y - 0.5, xs - place.x - 0.5) for place in places], axis=0)
    # The circles themselves, a degree in radius, and the numbers at their tops.
    assert changed[np.abs(distance - 22) < 1].mean() > 0.9
    assert not changed[distance > 24 + 24].any()
    assert not changed[distance < 8].any()
    # Of a picture that is enlarged, circles are too.
    small = make_map(Grid(100, 100), np.full((9, 9), 0.2))
    enlarged = regions(small, image[:100, :100], [CriticalPoint(50, 50, 0.1, 0)])
    plain = overlay(small, image[:100, :100])
    factor = 5
    rows = np.flatnonzero((enlarged != plain).any(axis=(1, 2)))
    assert rows[-1] == pytest.approx(50.5 * factor + 24 * factor, abs=6)


# The cuts of a run.


def some_cuts(blake3: str = "ab" * 32) -> PjndCuts:
    levels = np.arange(1.0, 5.0)
    chosen = [
        SourceRange(name, levels, np.array([0.9, 0.7, 0.5, 0.3]) + i / 50, (2, 3)) for i, name in enumerate("abc")
    ]
    chosen.append(SourceRange("d", levels, np.full(4, math.inf), (2, 3)))
    return choose_cuts(chosen, blake3=blake3, share=0.1, stride=5)


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
    below = choose_cuts(low, blake3="", share=0.05, stride=10)
    assert below.orange == below.green == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "pixq run"}, "is no pixq pjnd"),
        ({"schema_version": 2}, "has schema version 2, this pixq reads 1"),
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
    assert str(error.value).endswith("; delete it, and run pixq calibrate --ladders anew")
    path.write_text(path.read_text()[:50])
    with pytest.raises(PixqError, match=r"pjnd.json: is not JSON"):
        read_cuts(tmp_path)


def test_a_scorer_decides_by_the_cuts_of_its_run(bare: Path, reference: Path) -> None:
    pair = pixels_of(reference), pixels_of(reference.with_name("photo_3.png"))
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
    with pytest.raises(PixqError, match=r"pjnd.json: is of other weights; run pixq calibrate --ladders anew"):
        load(bare).map(*pair)
    (bare / PJND).unlink()
    with pytest.raises(PixqError):
        load(bare, calibration="pjnd")
    assert read_calibrations(bare) == {}
    assert not (bare / CALIBRATION).exists()


# Fitting.


def test_cuts_are_fitted_to_what_people_said(bare: Path, truths: Path) -> None:
    scorer, told = load(bare), set()
    found = fit(scorer, [truths], share=0.1, stride=20, watch=lambda name, done, of: told.add((name, done, of)))
    assert told == {(name, done, 6) for name in SOURCES for done in range(7)}
    assert (found.share, found.stride, found.blake3) == (0.1, 20, scorer.blake3)
    assert list(found.sources) == list(SOURCES)
    assert found.within == 1
    by_hand = [ranged(scorer, truth, share=0.1, stride=20) for truth in read_truth(truths) if truth.range is not None]
    assert found.cut == choose(by_hand)
    for ladder in by_hand:
        assert ladder.levels.tolist() == list(LEVELS)
        assert ladder.edges[0] == math.inf
        assert found.sources[ladder.name].predicted in (4, 5)
    with pytest.raises(PixqError, match="fourth: has no range of PJNDs"):
        ranged(scorer, next(truth for truth in read_truth(truths) if truth.range is None))


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
    with pytest.raises(PixqError, match="first was given already; give every source once"):
        fit(load(bare), [truths, truths])
    said = json.loads((truths / "ground_truth.json").read_text())
    shutil.copytree(truths, tmp_path / "few")
    for name in SOURCES[1:]:
        said["images"][name]["pjnd_range"] = None
    (tmp_path / "few" / "ground_truth.json").write_text(json.dumps(said))
    with pytest.raises(PixqError, match="1 sources have a range of PJNDs; give two or more"):
        fit(load(bare), [tmp_path / "few"])
    with pytest.raises(PixqError, match=r"--share is 2; give a share of the patches"):
        fit(load(bare), [truths], share=2)
    with pytest.raises(PixqError, match=r"--stride is 21; give 1 to 20 pixels"):
        fit(load(bare), [truths], stride=21)
    with pytest.raises(PixqError, match=r"run: its head is ordinal, on whose scale .*; give a run whose head is regr"):
        fit(load(ordinal), [truths])
    # A model that has learned from one of the photos.
    photo = trained.parent / "tid" / "reference_images" / "I01.BMP"
    shutil.copytree(truths, tmp_path / "leak")
    learned = pixels_of(photo)
    trees.save(tmp_path / "leak" / "images" / "second.png", np.ascontiguousarray(learned))
    with pytest.raises(PixqError, match=r"second.png: a leak: the model has this photo in its \w+ split; leave the"):
        fit(load(trained), [tmp_path / "leak"])


# The command line.


class Shell:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> str:
        """What it says, which must work."""
        code = main([str(each) for each in arguments])
        said = self.capsys.readouterr()
        assert code == 0, said.err
        self.warnings = said.err
        return said.out

    def mistake(self, message: str, *arguments: object) -> None:
        """One line and exit code 2."""
        code = main([str(each) for each in arguments])
        said = self.capsys.readouterr()
        assert code == 2
        assert message in said.err
        assert (said.err.count("\n"), said.out) == (1, "")


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_verb_pjnd(shell: Shell, reference: Path, scorer: Scorer) -> None:
    folder = reference.parent
    table, picture = folder / "out" / "levels.csv", folder / "out" / "curve.png"
    said = shell("pjnd", reference, folder, "--csv", table, "--picture", picture)
    found = [(level, map_) for level, map_ in maps(scorer, open_ladder(reference, [folder]))]
    edges = [edge(map_.score, 0.05) for _, map_ in found]
    assert scorer.pjnd_cuts is not None
    cut = scorer.pjnd_cuts.cut
    expected = pjnd(list(LEVELS), edges, cut)
    assert expected.level in (3, 4, 5)
    assert said.splitlines() == [
        f"photo: {described(expected)}",
        f"6 levels, 1 to 6; noticed: 5.0% of patches below {cut.value:.3f}, calibration pjnd",
    ]
    rows = rows_of(table)
    assert list(rows[0]) == [*("reference", "distorted", "level", "edge", "quality", "worst", "share_green", "noticed")]
    assert [row["level"] for row in rows] == [str(level) for level in LEVELS]
    assert [row["edge"] for row in rows] == ["", *map(str, edges[1:])]
    assert [row["noticed"] for row in rows] == ["true" if each < cut.value else "false" for each in edges]
    for row, (level, map_) in zip(rows, found, strict=True):
        assert (row["reference"], row["distorted"]) == (str(reference), str(level.path))
        verdict = map_.verdict
        values = [float(row[name]) for name in ("quality", "worst", "share_green")]
        assert values == pytest.approx([verdict.quality, verdict.worst, verdict.shares["Green"]])
    assert pixels_of(picture).shape == (440, 960, 3)
    # Levels may be named one by one, of another rule, share and stride.
    some = [folder / f"photo_{level}.png" for level in (2, 6)]
    told = shell("pjnd", reference, *some, "--share", "0.5", "--stride", "20")
    assert "2 levels, 2 to 6; noticed: 50.0% of patches" in told
    assert shell.warnings.splitlines() == [
        "pixq: warning: the Green cut was chosen with --share 0.05, not 0.5",
        "pixq: warning: the Green cut was chosen with --stride 10, not 20",
    ]
    assert told.startswith("photo: PJND 6 (above 2, up to 6)")
    assert "PJND above the highest level" in shell("pjnd", reference, some[0]) or "no level" in shell(
        "pjnd", reference, some[0]
    )


def test_the_verb_pjnd_warns_of_a_ladder_that_is_upside_down(shell: Shell, reference: Path) -> None:
    shell("pjnd", reference, reference.parent, "--level", "101-n")
    assert "the highest level looks better than the lowest; if n is a quality, give --level 101-n" in shell.warnings
    shell("pjnd", reference, reference.parent)
    assert shell.warnings == ""


def test_the_verb_pjnd_of_a_run_without_cuts(shell: Shell, reference: Path, bare: Path) -> None:
    said = shell("pjnd", bare, reference, reference.parent)
    assert f"below {QUALITY_CUTS[1]:.3f}, no calibration" in said
    assert "warning: no cut was chosen for this run, so Green is by quality alone; pixq calibrate" in shell.warnings


def test_without_a_cut_edges_are_of_what_makes_classes(shell: Shell, reference: Path, ordinal: Path) -> None:
    table, scorer = reference.parent / "out.csv", load(ordinal)
    said = shell("pjnd", ordinal, reference, reference.parent, "--csv", table)
    assert f"below {QUALITY_CUTS[1]:.3f}, no calibration" in said
    for row, (_, found) in zip(rows_of(table), maps(scorer, open_ladder(reference, [reference.parent])), strict=True):
        at = edge(np.where(found.identical, np.inf, found.quality))
        assert row["edge"] == ("" if at == math.inf else str(at))
        assert row["noticed"] == ("true" if np.mean(found.classes < GREEN) >= 0.05 else "false")
    assert not np.allclose(found.score, found.quality)


def test_ladders_go_by_peoples_pjnds_unless_a_calibration_is_named(
    shell: Shell, reference: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(DEFAULT, tmp_path / "both")
    for name in ("default", "other"):
        report_files.calibrate(run, name=name)
        by_people = shell("pjnd", run, reference, reference.parent)
        assert by_people == shell("pjnd", reference, reference.parent)
        assert by_people.endswith(", calibration pjnd\n")
        assert shell("critical", run, reference, reference.parent) == shell("critical", reference, reference.parent)
    table = tmp_path / "out.csv"
    said = shell("pjnd", run, reference, reference.parent, "--calibration", "other", "--csv", table)
    assert "of patches below 0.703, calibration other" in said
    scorer = load(run, calibration="other")
    answer = pjnd(list(LEVELS), [float(row["edge"] or "inf") for row in rows_of(table)], GreenCut(0.703, 0.66, 0.741))
    assert said.startswith(f"photo: {described(answer)}\n")
    assert answer.level is not None
    said = shell("critical", run, reference, reference.parent, "--calibration", "other")
    assert said.startswith(f"photo: level {answer.level:g}, ")
    assert said.splitlines()[0].endswith("(y, x), calibration other")
    found = scorer.map(pixels_of(reference), pixels_of(reference.with_name(f"photo_{answer.level:g}.png")))
    expected = [f"{place.y:7.1f} {place.x:7.1f}" for place in critical_points(found)]
    assert [line[3:18] for line in said.splitlines()[1:]] == expected


def test_a_level_whose_edge_is_the_cut_is_not_noticed(shell: Shell, reference: Path, bare: Path) -> None:
    found = load(bare).map(pixels_of(reference), pixels_of(reference.with_name("photo_4.png")))
    cut = edge(found.score)
    ends = {"green": cut, "low": cut, "high": cut, "share": 0.05, "stride": 10, "orange": -9.0}
    write_cuts(bare, some_cuts(load(bare).blake3).model_copy(update=ends))
    table = reference.parent / "out.csv"
    assert shell("pjnd", bare, reference, reference.parent, "--csv", table).startswith("photo: PJND 5 ")
    assert [row["noticed"] for row in rows_of(table)] == ["false"] * 4 + ["true"] * 2


def test_mistakes_of_pjnd(shell: Shell, reference: Path, tmp_path: Path) -> None:
    folder = reference.parent
    shell.mistake("too few paths; give REFERENCE LEVELS..., or RUN REFERENCE LEVELS...", "pjnd")
    shell.mistake("too few paths", "pjnd", reference)
    shell.mistake("too few paths", "pjnd", DEFAULT, reference)
    shell.mistake("photo_9.png: there is no such file or folder", "pjnd", reference, folder / "photo_9.png")
    shell.mistake("--level is 'x'", "pjnd", reference, folder, "--level", "x")
    shell.mistake("give a name that ends in .png", "pjnd", reference, folder, "--picture", "a.jpg")
    shell.mistake(
        "--share is 2; give a share of the patches, above 0 and up to 1", "pjnd", reference, folder, "--share", "2"
    )
    shell.mistake("--share is 0; give a share of the patches", "pjnd", reference, folder, "--share", "0")
    shell.mistake("--stride is 0; give 1 to 20 pixels", "pjnd", reference, folder, "--stride", "0")
    shell.mistake("--stride is 21; give 1 to 20 pixels", "pjnd", reference, folder, "--stride", "21")
    shell.mistake("unknown calibration 'other'", "pjnd", reference, folder, "--calibration", "other")
    trees.save(folder / "plain.png", trees.photo(0, SIZE))
    shell.mistake("plain.png: has no number in its name", "pjnd", reference, folder)
    (folder / "plain.png").unlink()
    trees.save(folder / "photo_8.png", trees.photo(0, (50, 50)))
    shell.mistake("give images of one size", "pjnd", reference, folder)


def test_outputs_are_refused_before_anything_is_scored(shell: Shell, reference: Path, tmp_path: Path) -> None:
    folder = reference.parent
    # Nothing of this can be scored: whatever is said was said before.
    (folder / "photo_1.png").write_bytes(b"\x89PNG")
    linked = tmp_path / "linked.png"
    linked.symlink_to(folder / "photo_6.png")
    (tmp_path / "folder.csv").mkdir()
    before = {path: path.read_bytes() for path in folder.glob("*.png")}
    for verb, option in (("pjnd", "--picture"), ("critical", "--map")):
        given = (verb, reference, folder / "photo_1.png", folder / "photo_6.png")
        for path in (reference, folder / "photo_6.png", linked):
            shell.mistake(f"{option} {path}: is one of the images; give another name", *given, option, path)
        shell.mistake("folder.csv: is a folder", *given, "--csv", tmp_path / "folder.csv")
        shell.mistake("--csv a.txt: give a name that ends in .csv", *given, "--csv", "a.txt")
    both = tmp_path / "a.csv"
    both.symlink_to(tmp_path / "a.png")
    shell.mistake("is what --csv writes", *given, "--csv", both, "--map", tmp_path / "a.png")
    assert {path: path.read_bytes() for path in folder.glob("*.png")} == before


def test_places_are_asked_for_before_anything_is_scored(shell: Shell, reference: Path) -> None:
    (reference.parent / "photo_1.png").write_bytes(b"\x89PNG")
    for option, value, message in (
        ("--points", "0", "--points is 0; give 1 or more"),
        ("--degree", "-1", "--degree is -1; give the pixels"),
        ("--degree", "nan", "--degree is nan; give the pixels"),
        ("--at", "7", "--at 7: the ladder has no such level"),
        ("--stride", "21", "--stride is 21; give 1 to 20 pixels"),
    ):
        shell.mistake(message, "critical", reference, reference.parent, option, value)


def test_the_verb_critical(shell: Shell, reference: Path, scorer: Scorer) -> None:
    folder = reference.parent
    table, picture, values = (folder / "out" / name for name in ("places.csv", "places.png", "map.npy"))
    written = ("--csv", table, "--map", picture, "--values", values)
    said = shell("critical", reference, folder, "--at", "5", "--points", "2", "--degree", "12", *written)
    found = scorer.map(pixels_of(reference), pixels_of(folder / "photo_5.png"))
    places = critical_points(found, points=2, degree=12)
    assert len(places) == 2
    assert said.splitlines()[0] == "photo: level 5, 2 places (y, x), calibration pjnd"
    assert len(said.splitlines()) == 3
    rows = rows_of(table)
    assert list(rows[0]) == ["reference", "distorted", "level", "rank", "y", "x", "score", "class"]
    for rank, (row, place) in enumerate(zip(rows, places, strict=True), start=1):
        assert (row["reference"], row["distorted"]) == (str(reference), str(folder / "photo_5.png"))
        assert (row["level"], row["rank"], row["class"]) == ("5", str(rank), NAMES[place.class_])
        assert [float(row[name]) for name in ("y", "x", "score")] == [place.y, place.x, place.score]
    smoothed = np.load(values)
    assert smoothed.dtype == np.float32
    np.testing.assert_array_equal(smoothed, critical_map(found, degree=12).astype(np.float32))
    image = pixels_of(folder / "photo_5.png")
    np.testing.assert_array_equal(pixels_of(picture), regions(found, image, places, degree=12))
    shell(
        "critical", reference, folder, "--at", "5", "--points", "2", "--degree", "12", "--map", picture, "--safe-colors"
    )
    np.testing.assert_array_equal(pixels_of(picture), regions(found, image, places, degree=12, safe=True))


def test_the_verb_critical_looks_at_the_pjnd_or_the_only_level(shell: Shell, reference: Path, scorer: Scorer) -> None:
    folder = reference.parent
    answer = shell("pjnd", reference, folder).split()[2]
    assert shell("critical", reference, folder).startswith(f"photo: level {answer}, ")
    assert shell("critical", reference, folder / "photo_6.png").startswith("photo: level 6, ")
    assert shell("critical", DEFAULT, reference, folder, "--at", "6").startswith("photo: level 6, ")
    # Nothing differs in the first, and nobody sees the second.
    assert shell("critical", reference, folder / "photo_1.png") == "photo: level 1, 0 places (y, x), calibration pjnd\n"
    faint = [folder / f"photo_{level}.png" for level in (1, 2)]
    cut = scorer.pjnd_cuts
    assert cut is not None
    assert edge(scorer.map(pixels_of(reference), pixels_of(faint[1])).score) >= cut.green
    said = shell("critical", reference, *faint)
    assert said == "photo: no level is noticed, up to 2; --at looks at one all the same\n"


def test_mistakes_of_critical(shell: Shell, reference: Path) -> None:
    folder = reference.parent
    shell.mistake(
        "--at 7: the ladder has no such level; it has 1, 2, 3, 4, 5, 6", "critical", reference, folder, "--at", "7"
    )
    shell.mistake("--points is 0; give 1 or more", "critical", reference, folder, "--at", "5", "--points", "0")
    shell.mistake("--degree is -1; give the pixels", "critical", reference, folder, "--at", "5", "--degree", "-1")
    shell.mistake("--map a.jpg: give a name that ends in .png", "critical", reference, folder, "--map", "a.jpg")
    shell.mistake("--values a.tif: give a name that ends in .npy", "critical", reference, folder, "--values", "a.tif")
    shell.mistake("too few paths", "critical", reference)
    for level in range(7, 20):
        shutil.copy(folder / "photo_6.png", folder / f"photo_{level}.png")
    shell.mistake("it has 1, 2, 3, 4, 5, 6, ..., 15, 16, 17, 18, 19", "critical", reference, folder, "--at", "0")


def test_the_verb_calibrate_by_ladders(shell: Shell, bare: Path, truths: Path, tmp_path: Path) -> None:
    said = shell("calibrate", bare, "--ladders", truths).splitlines()
    found = read_cuts(bare)
    assert found is not None
    assert (found.share, found.stride, found.blake3) == (0.05, 10, load(bare).blake3)
    assert said[:2] == [
        "Orange  from 0.3300",
        f"Green   from {found.green:.4f}  ({found.low:.4f} to {found.high:.4f})",
    ]
    assert said[2:-1] == [
        f"{name}: PJND {source.predicted:g} by the cut of the others, 4 to 5 by people"
        for name, source in found.sources.items()
        if source.predicted is not None
    ]
    assert said[-1] == f"{bare / PJND}: 100% of 3 sources within their ranges"
    # What was chosen is what is predicted by.
    images = truths / "images"
    levels = [images / f"first_NOISE_{101 - level:03d}.png" for level in LEVELS]
    told = shell("pjnd", bare, images / "first.png", *levels, "--level", "101-n")
    assert told.split()[2] in ("4", "5")
    assert f"below {found.green:.3f}" in told
    shell.mistake(f"{bare / PJND}: already exists; add --force to replace it", "calibrate", bare, "--ladders", truths)
    before = (bare / PJND).read_bytes()
    assert shell("calibrate", bare, "--ladders", truths, "--force").splitlines() == said
    assert (bare / PJND).read_bytes() == before
    shell.mistake(
        "--target and --ladders can't be combined", "calibrate", bare, "--ladders", truths, "--target", tmp_path
    )
    shell.mistake("there is no data to choose cuts on; give --target or --ladders", "calibrate", bare)
    shell.mistake("ground_truth.json: No such file", "calibrate", bare, "--ladders", tmp_path, "--force")
    assert (bare / PJND).read_bytes() == before


def test_calibrate_refuses_what_is_given_in_vain(shell: Shell, bare: Path, truths: Path, tmp_path: Path) -> None:
    by_ladders, by_target = ("calibrate", bare, "--ladders", truths), ("calibrate", bare, "--target", tmp_path)
    for option, value in (
        ("--name", "default"),
        ("--split", "validation"),
        ("--objective", "accuracy"),
        ("--cost", "0,1,4/1,0,1/4,1,0"),
        ("--coverage", "0.9"),
        ("--resamples", "1000"),
        ("--level", "0.95"),
        ("--seed", "0"),
    ):
        shell.mistake(f"{option}: only has an effect together with --target; remove it", *by_ladders, option, value)
    for option, value in (("--share", "0.05"), ("--stride", "10")):
        shell.mistake(f"{option}: only has an effect together with --ladders; remove it", *by_target, option, value)
    shell.mistake("--name, --seed: only have an effect together", *by_ladders, "--seed", "0", "--name", "a")
    shell.mistake("--name is pjnd, which is reserved for the cuts of --ladders", *by_target, "--name", "pjnd")
    shell.mistake("--share is 0; give a share of the patches", *by_ladders, "--share", "0")
    shell.mistake("--stride is 21; give 1 to 20 pixels", *by_ladders, "--stride", "21")
    assert not (bare / PJND).exists()
    shell(*by_ladders, "--share", "0.2", "--stride", "20")
    found = read_cuts(bare)
    assert found == fit(load(bare), [truths], share=0.2, stride=20)
    assert (found.share, found.stride) == (0.2, 20)
