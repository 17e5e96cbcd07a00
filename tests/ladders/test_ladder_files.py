"""Ladders as files: which file is which level, their maps, and the answers of people."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pixq.errors import PixqError
from pixq.io.images import load_pixels
from pixq.ladders.ground_truth import read_ground_truth
from pixq.ladders.ladder import Ladder, Level, level_maps, open_ladder
from pixq.ladders.pjnd import score_quantile
from pixq.scoring.scorer import Scorer
from support import trees
from support.ladders import (
    LEVELS,
    names,
    touch,
)


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

    mistake(r"b_01.png: is level 1, and so is a_1.png; keep one of them", [folder])
    (alone,) = open_ladder(reference, [tmp_path / "plain.png"]).levels
    assert (alone.level, alone.path.name) == (1.0, "plain.png")
    mistake(r"plain.png: has no number in its name", [tmp_path / "plain.png", *sorted(folder.iterdir())[:1]])
    mistake(r"a_2.png: no such file or folder", [tmp_path / "a_2.png"])
    mistake(r"ref.png: is the reference itself; leave it out", [reference])
    mistake(r"ref.png: has no levels; give distorted images", [touch(tmp_path / "empty", ".a_1.png", "a.txt")])
    mistake(r"other.png: no such file; give the reference", [folder], of=tmp_path / "other.png")
    mistake(r"levels: no such file; give the reference", [folder], of=folder)
    for rule in ("", "m", "n-1", "-n", "101+n", "1e2-n"):
        mistake(r"--level is .*; give n, or a number minus n, like 101-n", [folder], rule)


def test_maps_are_those_of_each_level(reference: Path, scorer: Scorer) -> None:
    ladder, told = open_ladder(reference, [reference.parent]), []
    found = list(
        level_maps(
            scorer, ladder, stride=20, on_progress=lambda stage, done, total, note="": told.append((stage, done, total))
        )
    )
    assert [level for level, _ in found] == list(ladder.levels)
    assert told == [("photo", done, 6) for done in range(7)]
    for level, map_ in found:
        alone = scorer.map(load_pixels(reference), load_pixels(level.path), stride=20)
        np.testing.assert_array_equal(map_.score, alone.score)
    assert found[0][1].identical.all()
    edges = [score_quantile(map_.score) for _, map_ in found]
    assert edges == sorted(edges, reverse=True)


def test_levels_that_can_not_be_scored(reference: Path, scorer: Scorer) -> None:
    trees.save(reference.parent / "photo_7.png", trees.photo(1, (100, 141)))
    with pytest.raises(
        PixqError, match=r"photo_7.png: has 141x100 pixels, and .*photo.png 140x100; give images of the same size"
    ):
        list(level_maps(scorer, open_ladder(reference, [reference.parent])))
    (reference.parent / "photo_7.png").write_bytes(b"\x89PNG")
    with pytest.raises(PixqError, match=r"photo_7.png: ") as error:
        list(level_maps(scorer, open_ladder(reference, [reference.parent])))
    assert "\n" not in str(error.value)
    with pytest.raises(PixqError, match=r"gone_1.png: "):
        list(level_maps(scorer, Ladder("a", reference, (Level(1, reference.with_name("gone_1.png")),))))


def test_truths_are_read(truths: Path) -> None:
    found = {truth.ladder.name: truth for truth in read_ground_truth(truths)}
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
    (found,) = read_ground_truth(tmp_path)
    assert names(found.ladder) == [(1, "a[1]*_N[O]_100.jpg"), (11, "a[1]*_N[O]_90.jpg")]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("no JSON", "must give the codec of each of its images"),
        ("[]", "must give the codec of each of its images"),
        ("{}", "must give the codec of each of its images"),
        ('{"images": ["first"]}', "must give the codec of each of its images"),
        ('{"images": {"first": "NOISE"}}', "must give the codec of each of its images"),
        ('{"images": {"first": {}}}', "must give the codec of each of its images"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": [4]}}}', "must give the codec"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": [4, 5, 6]}}}', "must give the codec"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": [5, 4]}}}', "must give the codec"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": [NaN, 4]}}}', "must give the codec"),
        ('{"images": {"first": {"codec": "NOISE", "pjnd_range": ["low", "high"]}}}', "must give the codec"),
        ('{"images": {"first": {"codec": "NOISE", "critical_points_yx": [[1]]}}}', "must give the codec"),
        ('{"images": {"first": {"codec": "NOISE", "critical_points_yx": 3}}}', "must give the codec"),
        ('{"images": {}}', "lists no images; add at least one"),
        ('{"images": {"first": {"codec": "BPG"}}}', "first.png: has no levels"),
        ('{"images": {"fifth": {"codec": "NOISE"}}}', "fifth.png: no such file"),
        (None, "No such file or directory; give a folder that has one"),
    ],
)
def test_truths_that_are_none(said: str | None, message: str, truths: Path, tmp_path: Path) -> None:
    shutil.copytree(truths / "images", tmp_path / "images")
    if said is not None:
        (tmp_path / "ground_truth.json").write_text(said)
    with pytest.raises(PixqError, match=message) as error:
        read_ground_truth(tmp_path)
    assert "\n" not in str(error.value)
