"""`pixq study new`: ladders that it finds in a folder tree, and the file that it writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pixq.cli import main
from pixq.errors import PixqError
from pixq.study.design.check import check_study
from pixq.study.design.config import read_study
from pixq.study.design.new import find_ladders, new_study
from pixq.study.design.study_files import levels_of, open_study
from support.studies import LEVELS, write_ladder
from support.trees import data_dir, distorted, photo, save


@pytest.mark.slow
def test_new_reads_the_layout_of_locjnd(tmp_path: Path) -> None:
    path = new_study(tmp_path / "study", data_dir("locjnd"), title='Was "siehst" du?')
    opened = open_study(path)
    assert opened.study.title == 'Was "siehst" du?'
    assert [each.id for each in opened.study.source] == ["Study_SRC0013", "Study_SRC0768"]
    assert [each.id for each in opened.study.training] == ["Test_SRC0027"]
    assert [each.id for each in opened.study.test] == ["Test_SRC0045", "Test_SRC0058"]
    assert opened.study.test[1].pjnd_range == (13, 22)
    assert opened.study.test[1].points_yx == ((433.0, 49.0), (59.0, 6.0), (396.0, 495.0))
    assert len(opened.sources["Study_SRC0013"].levels) == 101
    assert not list((tmp_path / "study" / "images").glob("*HEAT*"))
    found = check_study(path)
    assert found.problems == ()
    # data/README.md says so of this one: files 1 to 73 are one and the same.
    (ladder,) = (each for each in found.ladders if each.id == "Test_SRC0058")
    assert ladder.equal[-1][0] == 101 - 73
    assert ladder.equal[-1][-1] == 100


def test_new_finds_ladders_by_name_and_by_folder(tmp_path: Path) -> None:
    write_ladder(tmp_path / "flat", "a_1")
    write_ladder(tmp_path / "flat", "a_1", codec="BPG", levels=(5, 70))
    save(tmp_path / "references" / "b.png", photo(1))
    for n in (3, 30, 60):
        save(tmp_path / "levels" / "b" / f"q{n}.jpg", distorted(photo(1), 1, 1 + n // 10))
    save(tmp_path / "c" / "c.png", photo(2))
    for n in (3, 30):
        save(tmp_path / "c" / "noise" / f"{n}.png", distorted(photo(2), 1, 1 + n // 10))
    save(tmp_path / ".hidden" / "c_JPEG_001.png", photo(2))
    save(tmp_path / "alone.png", photo(3))
    found = {(each.source, each.codec): each for each in find_ladders(tmp_path)}
    assert set(found) == {("a_1", "JPEG"), ("a_1", "BPG"), ("b", "JPEG"), ("c", "noise")}
    assert found["b", "JPEG"].pattern == "levels/b/*.jpg"
    path = new_study(tmp_path)
    study = read_study(path)
    rules = {each.id: each.level for each in study.source}
    # By looking: a lower number is worse with a, better elsewhere.
    assert rules == {"a_1_JPEG": "101-n", "a_1_BPG": "101-n", "b": "n", "c": "n"}
    assert tuple(levels_of(study, study.source[1])) == (0, *LEVELS)
    assert {each.id: tuple(levels_of(study, each)) for each in study.source}["b"] == (0, 3, 30, 60)
    assert study.quota.tests == 0


def test_new_escapes_what_a_pattern_would_take_for_its_own(tmp_path: Path) -> None:
    save(tmp_path / "x[1]" / "a.png", photo(1))
    save(tmp_path / "x[1]" / "a_J_001.png", photo(2))
    save(tmp_path / "x1" / "a_J_002.png", photo(2))
    with pytest.raises(PixqError, match="is used twice"):
        new_study(tmp_path)
    shutil.rmtree(tmp_path / "x1")
    study = read_study(new_study(tmp_path))
    assert tuple(levels_of(study, study.source[0]))[1:] in ((1,), (100,))


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    write_ladder(tmp_path / "from", "a")
    folder = tmp_path / "study"
    path = new_study(folder, tmp_path / "from")
    before = path.read_bytes()
    with pytest.raises(PixqError, match="exists already"):
        new_study(folder, tmp_path / "from")
    path.unlink()
    (folder / "images" / "a.png").write_bytes(b"mine")
    with pytest.raises(PixqError, match=r"images/a\.png: exists already"):
        new_study(folder, tmp_path / "from")
    assert (folder / "images" / "a.png").read_bytes() == b"mine"
    assert not path.exists()
    assert before.startswith(b"# A flicker study")
    path.symlink_to("nowhere")
    with pytest.raises(PixqError, match=r"study\.toml: exists already"):
        new_study(folder, tmp_path / "from")


def test_new_that_fails_leaves_no_file(tmp_path: Path) -> None:
    for nothing in (tmp_path, tmp_path / "absent"):
        with pytest.raises(PixqError):
            new_study(tmp_path / "study", nothing)
    write_ladder(tmp_path / "from", "ü")
    with pytest.raises(PixqError, match="letters, digits"):
        new_study(tmp_path / "from")
    assert not list((tmp_path / "from").glob("*study.toml*"))
    assert not (tmp_path / "study" / "study.toml").exists()


def test_new_that_fails_takes_its_copies_back(tmp_path: Path) -> None:
    write_ladder(tmp_path / "from", "a", levels=range(1, 11))
    folder = tmp_path / "study"
    folder.mkdir()
    # JPEG quality 100 would be level 0, which is the reference's.
    with pytest.raises(PixqError, match="level 0"):
        new_study(folder, tmp_path / "from", level="100-n")
    assert list(folder.iterdir()) == []
    assert new_study(folder, tmp_path / "from", level="101-n").exists()


def test_the_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ladder(tmp_path, "a", levels=range(1, 101))
    assert main(["study", "new", str(tmp_path), "--title", "T"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'study.toml'}\n"
    assert main(["study", "check", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("T, version 1\n1 sources, 0 training and 0 test images: 101 files")
    assert "pixq: warning: training: there is no training image" in said.err
    (tmp_path / "a_JPEG_050.png").write_bytes(b"")
    assert main(["study", "check", str(tmp_path / "study.toml")]) == 2
    assert "a_JPEG_050.png: can't be read as an image" in capsys.readouterr().err
    assert main(["study", "new", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"pixq: {tmp_path / 'study.toml'}: exists already")
    assert main(["study", "check", str(tmp_path / "absent")]) == 2
    assert main(["study", "nope"]) == 2


def test_images_of_which_no_source_is_made_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tmp_path / "photos"
    for seed, name in enumerate(("a", "b")):
        write_ladder(tree, name, seed=seed)
    assert main(["study", "new", str(tmp_path / "whole"), "--images", str(tree)]) == 0
    assert "left out" not in capsys.readouterr().err
    save(tree / "lonely.png", photo(0))
    save(tree / "other_JPEG_005.png", photo(0))
    save(tree / "a_JPEG_051 (1).png", photo(0))
    save(tree / "b_JPEG\n_050.png", photo(0))
    save(tree / "b_JPEG_048.bmp", photo(0))
    (tree / "b_JPEG_049.png").symlink_to("nowhere.png")
    (tree / "more").symlink_to(".")
    assert main(["study", "new", str(tmp_path / "study"), "--images", str(tree)]) == 1
    told = capsys.readouterr().err
    for line in (
        "lonely.png: has no levels, or no reference",
        "other_JPEG_005.png: has no levels, or no reference",
        "a_JPEG_051 (1).png: looks like a copy of a_JPEG_051",
        "b_JPEG\\n_050.png: has a name with control characters; rename it",
        "b_JPEG_049.png: is a link that leads nowhere",
        "b_JPEG_048.bmp: is not PNG, JPEG, WebP, GIF or AVIF, which every browser shows",
    ):
        assert f"{tree}/{line}; it was left out\n" in told
    assert told.count("it was left out") == 7


def test_what_is_wrong_is_said_before_anything_is_copied(tmp_path: Path) -> None:
    write_ladder(tmp_path / "photos", "a")
    for wrong in ({"title": ""}, {"level": "foo"}):
        with pytest.raises(PixqError, match=r"--title|--level"):
            new_study(tmp_path / "study", tmp_path / "photos", **wrong)
        assert not (tmp_path / "study").exists()
