"""`pixq smallest`: the strongest level that nobody notices, with few encodings, and never over the photograph."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import pixq
from pixq import PixqError
from pixq.io.images import load_pixels
from pixq.ladders import smallest as smallest_module
from pixq.ladders.codecs import CODECS
from pixq.ladders.smallest import ENCODES, Limit, Trial, choose_limit, find_smallest
from pixq.ladders.smallest_files import SMALLEST, SmallestFile, make_smallest
from support import built, judging, trees


@pytest.fixture(scope="module")
def limit() -> Limit:
    return choose_limit(pixq.load())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(2):
        Image.fromarray(np.ascontiguousarray(trees.photo(number, (60, 80)))).save(folder / f"p{number}.png")
    return folder


def made_up(noticed: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let levels be noticed as told; the list of the levels that are tried."""
    tried: list[int] = []

    def judge(limit: object, pixels: object, codec: object, chroma: str, name: str, level: int) -> Trial:
        tried.append(level)
        return Trial(level, 0.0, b"", 0.0, 0.0, noticed(level))

    monkeypatch.setattr(smallest_module, "_try", judge)
    return tried


@pytest.mark.parametrize("codec", ["jpeg", "hevc"])
def test_every_place_is_found_with_few_trials(codec: str, limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = np.zeros((20, 20, 3), np.uint8)
    for last in range(CODECS[codec].levels + 1):
        tried = made_up(lambda level, last=last: level > last, monkeypatch)  # type: ignore[misc]
        found = find_smallest(limit, nothing, CODECS[codec], "4:2:0")
        assert (0 if found.trial is None else found.trial.level) == last
        assert len(tried) == len(set(tried)) <= ENCODES, "no level is tried twice"
        assert [trial.level for trial in found.trials] == tried


def test_a_noticed_level_below_the_result_counts(limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(lambda level: level > 40 or level == 39, monkeypatch)
    found = find_smallest(limit, np.zeros((20, 20, 3), np.uint8), CODECS["jpeg"], "4:2:0")
    assert found.trial is not None
    assert found.trial.level < 39


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["jpeg", "webp", "gaussian_blur"])
def test_it_is_what_exhaustive_search_finds(codec: str, limit: Limit, photos: Path) -> None:
    for photo in sorted(photos.iterdir()):
        pixels: NDArray[np.uint8] = load_pixels(photo)
        chosen = CODECS[codec]
        chroma = chosen.check_chroma(None)
        found = find_smallest(limit, pixels, chosen, chroma, photo.stem)
        exhaustive = 0
        for level in range(1, chosen.levels + 1):
            decoded = chosen.decode(chosen.encode(pixels, chosen.value(level), chroma, photo.stem))
            if limit.scorer.map(pixels, decoded).verdict.jnd > 0.75:  # type: ignore[operator]
                break
            exhaustive = level
        level = 0 if found.trial is None else found.trial.level
        assert exhaustive - 1 <= level <= exhaustive


def test_the_limits_are_kept(photos: Path) -> None:
    scorer = pixq.load()
    pixels: NDArray[np.uint8] = load_pixels(photos / "p0.png")
    levels = []
    for options in ({"margin": 0.0}, {}, {"margin": 0.6}, {"margin": 0.0, "max_share": 0.0}):
        limit = choose_limit(scorer, **options)
        found = find_smallest(limit, pixels, CODECS["jpeg"], "4:4:4").trial
        assert found is not None
        assert found.jnd <= 1.0 - limit.margin
        if limit.max_share is not None:
            decoded = CODECS["jpeg"].decode(found.data)
            assert scorer.map(pixels, decoded).verdict.shares["Green"] == 1.0
        levels.append(found.level)
    assert levels[0] > levels[1] > levels[2]
    assert levels[3] < levels[0]


def test_files_and_lists(limit: Limit, photos: Path, tmp_path: Path) -> None:
    made = make_smallest(limit, [photos], tmp_path, ["webp", "jpeg"], chroma=None)
    assert [(entry.photo, entry.codec) for entry in made.entries] == [
        (f"p{number}.png", codec) for number in range(2) for codec in ("webp", "jpeg")
    ]
    listed = SmallestFile.model_validate_json((tmp_path / SMALLEST).read_text("utf-8"))
    assert tuple(listed.files) == made.entries
    for entry in made.entries:
        assert entry.file is not None
        assert entry.bytes == (tmp_path / entry.file).stat().st_size
        pixels = load_pixels(photos / entry.photo)
        found = limit.scorer.map(pixels, load_pixels(tmp_path / entry.file)).verdict
        assert (entry.jnd, entry.p_notice) == (found.jnd, found.p_notice)
    assert (tmp_path / "smallest.csv").read_text("utf-8").count("\n") == 5
    # What is done is not done again; what was changed is.
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert make_smallest(limit, [photos], tmp_path, ["webp", "jpeg"]).before == 4
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    data = (tmp_path / "p0.jpg").read_bytes()
    (tmp_path / "p0.jpg").write_bytes(b"damaged")
    again = make_smallest(limit, [photos], tmp_path, ["webp", "jpeg"])
    assert (again.before, again.entries) == (3, made.entries)
    assert (tmp_path / "p0.jpg").read_bytes() == data
    with pytest.raises(PixqError, match=r"smallest.json: was made with other options"):
        make_smallest(replace(limit, margin=0.5), [photos], tmp_path, ["webp", "jpeg"])


def test_nothing_is_overwritten(limit: Limit, photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    CODECS["jpeg"].encode(load_pixels(photos / "p0.png"), 95, "4:4:4", "")
    (folder / "p0.jpg").write_bytes(CODECS["jpeg"].encode(load_pixels(photos / "p0.png"), 95, "4:4:4", ""))
    with pytest.raises(PixqError, match=r"p0.jpg: is one of the photographs, which are never overwritten"):
        make_smallest(limit, [folder / "p0.jpg"], folder, ["jpeg"])
    with pytest.raises(PixqError, match=r"p0.jpg: is there already; choose another --out"):
        make_smallest(limit, [folder / "p0.png"], folder, ["jpeg"])
    with pytest.raises(PixqError, match=r"its file p0.jpg would also be that of"):
        make_smallest(limit, [folder / "p0.png", folder / "p0.jpg"], tmp_path / "out", ["jpeg"])
    with pytest.raises(PixqError, match=r"both would write p0.png"):
        make_smallest(limit, [folder / "p0.png"], tmp_path / "out", ["white_noise", "gaussian_blur"])


def test_photos_that_are_too_small_and_files_in_place_of_folders_are_named(limit: Limit, tmp_path: Path) -> None:
    Image.new("RGB", (30, 19)).save(tmp_path / "small.png")
    with pytest.raises(PixqError, match=r"small.png: has 30x19 pixels, and a patch takes 20x20"):
        make_smallest(limit, [tmp_path / "small.png"], tmp_path / "out")
    with pytest.raises(PixqError, match=r"small.png: is a file; give the name of a folder"):
        make_smallest(limit, [tmp_path / "small.png"], tmp_path / "small.png")


def test_a_run_of_scores_goes_by_its_cut(photos: Path, tmp_path: Path) -> None:
    scorer = pixq.load(judging.quality_run(tmp_path / "run"))
    limit = choose_limit(scorer, margin=0.5)
    assert limit.cut == pytest.approx((limit.rule.cut.value + 1.0) / 2)
    assert limit.rule.share is not None
    found = find_smallest(limit, load_pixels(photos / "p0.png"), CODECS["jpeg"], "4:4:4")
    assert found.trials


@pytest.mark.slow
def test_the_command(photos: Path, tmp_path: Path) -> None:
    done = built.pixq("smallest", photos, "--codec", "webp,jpeg", "--out", tmp_path / "out", "--ppd", "30")
    listed = json.loads((tmp_path / "out" / SMALLEST).read_text("utf-8"))
    missing = [entry for entry in listed["files"] if entry["file"] is None]
    assert done.code == (1 if missing else 0)
    assert listed["settings"]["viewing"]["pixels_per_degree"] == 30.0
    lines = done.out.splitlines()
    assert lines[0].startswith("seen 30 pixels per degree")
    assert lines[1].split() == ["codec", "level", "bytes", "JPEG", "90", "saving", "JND", "noticed", "by"]
    assert len(lines) == 7
    for entry in missing:
        assert f"{entry['photo']}: people would notice even the mildest level of {entry['codec']}" in done.err
    for options, words in (
        (["--codec", "gif"], "unknown codec 'gif'"),
        (["--margin", "1"], "--margin is 1; give a number"),
        (["--max-share", "2"], "--max-share is 2; give a number"),
        (["--chroma", "4:1:1"], "--chroma is '4:1:1'"),
    ):
        assert words in built.mistake(built.pixq("smallest", photos, "--out", tmp_path / "other", *options))
