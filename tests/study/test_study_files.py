"""A study's images: which file is which level, what is refused, and what a check finds."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from pixq.cli import main
from pixq.errors import PixqError
from pixq.study.design.check import LadderCheck, StudyCheck, check_study, effort_of, runs
from pixq.study.design.config import read_study
from pixq.study.design.image_metadata import notes_in
from pixq.study.design.new import find_ladders, new_study
from pixq.study.design.study_files import levels_of, open_study
from pixq.study.session.allocation import allocate_images
from support.studies import LEVELS, TRUTH, entry, study, tables, write_ladder, write_study
from support.trees import data_dir, distorted, photo, save


def test_every_file_has_its_level(tmp_path: Path) -> None:
    opened = open_study(write_study(tmp_path))
    assert list(opened.sources) == ["S0", "S1", "S2", "T0", "H0", "H1"]
    own = opened.sources["H1"]
    assert (own.kind, own.width, own.height) == ("test", 64, 48)
    assert tuple(own.levels) == (0, *LEVELS)
    assert own.levels[0].path == tmp_path / "images" / "H1.png"
    assert own.levels[100].path == tmp_path / "images" / "H1_JPEG_001.png"
    assert own.bytes == sum(path.stat().st_size for path in (tmp_path / "images").glob("H1*"))
    assert {image.media for image in own.levels.values()} == {"image/png"}


def image(path: Path, **more: object) -> None:
    Image.fromarray(photo(0)).save(path, **more)  # type: ignore[arg-type]


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image(path, exif=exif)


def moving(path: Path) -> None:
    frames = [Image.fromarray(photo(seed)) for seed in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


FIRST = "S0_JPEG_001.png"
SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "no reference": (lambda f: (f / "S0.png").unlink(), r"S0\.png: there is no such file; it is the reference of S0"),
    "no levels": (lambda f: [e.unlink() for e in f.glob("S0_*")] and None, r"S0_JPEG_\*\.png: no file is like that"),
    "level 0": (lambda f: image(f / "S0_JPEG_101.png"), "is level 0 by level = '101-n'; levels are 1, 2, ... 100"),
    "level of a fraction": (lambda f: image(f / "S0_JPEG_50.5.png"), "is level 50.5 by level = '101-n'"),
    "level -1": (lambda f: image(f / "S0_JPEG_102.png"), "is level -1"),
    "huge number": (lambda f: image(f / f"S0_JPEG_{'9' * 200}.png"), "is level -"),
    "one level twice": (lambda f: image(f / "S0_JPEG_1.png"), r"is level 100, as S0_JPEG_001\.png is"),
    "another size": (lambda f: save(f / FIRST, photo(0, (48, 60))), "has 60x48 pixels, and its reference 64x48"),
    "no image": (lambda f: (f / FIRST).write_bytes(b"not an image") and None, "is no image that can be read"),
    "empty": (lambda f: (f / FIRST).write_bytes(b"") and None, "is no image that can be read"),
    "a bitmap": (lambda f: image(f / FIRST, format="BMP"), "is BMP, which not every browser shows"),
    "turned": (lambda f: turned(f / FIRST), "EXIF orientation"),
    "moving": (lambda f: moving(f / FIRST), "moves; save one picture"),
    "too wide": (lambda f: Image.new("L", (8193, 1)).save(f / "S0.png"), "no side may have more than 8192"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_a_file_that_cannot_be_shown_is_named(tmp_path: Path, name: str) -> None:
    spoil, said = SPOILT[name]
    path = write_study(tmp_path)
    spoil(tmp_path / "images")
    with pytest.raises(PixqError, match=said) as caught:
        open_study(path)
    assert "\n" not in str(caught.value)
    found = check_study(path)
    assert len(found.problems) == 1
    assert found.effort is None


def test_a_damaged_file_that_opens_is_found_by_the_check_alone(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    victim = tmp_path / "images" / FIRST
    data = victim.read_bytes()
    victim.write_bytes(data[: len(data) // 2])
    open_study(path)
    (problem,) = check_study(path).problems
    assert problem.startswith(str(victim))


@pytest.mark.parametrize("which", ["S0.png", FIRST])
def test_nothing_outside_the_folder_is_followed(tmp_path: Path, which: str) -> None:
    path = write_study(tmp_path / "study")
    outside = tmp_path / "secret.png"
    inside = tmp_path / "study" / "images" / which
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(PixqError, match="leads out of the study's folder"):
        open_study(path)


def test_a_link_inside_the_folder_is_fine(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    linked = tmp_path / "images" / FIRST
    linked.rename(tmp_path / "elsewhere.png")
    linked.symlink_to("../elsewhere.png")
    assert open_study(path).sources["S0"].levels[100].path == linked


def test_a_point_outside_the_image_is_named(tmp_path: Path) -> None:
    value = tables(test=[entry("H0", **TRUTH | {"points_yx": [[5, 5], [48, 5]]})])
    with pytest.raises(PixqError, match=r"points_yx of H0: \[48, 5\] lies outside its image of 64x48"):
        open_study(write_study(tmp_path, value))


def test_a_level_without_a_number_is_named(tmp_path: Path) -> None:
    value = tables(source=[entry("S", levels="images/*x.png")])
    path = write_study(tmp_path, value)
    save(tmp_path / "images" / "x.png", photo(0))
    with pytest.raises(PixqError, match=r"x\.png: has no number in its name"):
        open_study(path)


def test_a_pattern_that_is_none(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    path.write_text(path.read_text().replace("images/S0_JPEG_*.png", "**S0"), encoding="utf-8")
    study = read_study(path)
    with pytest.raises(PixqError, match="levels of S0"):
        levels_of(study, study.source[0])


def full(tmp_path: Path, **more: object) -> StudyCheck:
    return check_study(write_study(tmp_path, tables(**more)))


def test_runs_of_equal_neighbours() -> None:
    assert runs([0, 1, 2], "abc") == ()
    assert runs([0, 1, 2, 5, 9], "aabba") == ((0, 1), (2, 5))
    assert runs([3], "a") == runs([], "") == ()


def test_equal_neighbours_are_named(tmp_path: Path) -> None:
    path = write_study(tmp_path, levels=range(1, 101))
    assert not any("S0" in line for line in check_study(path).warnings)
    images = tmp_path / "images"
    for n in (2, 3):
        shutil.copy(images / "S0_JPEG_001.png", images / f"S0_JPEG_{n:03d}.png")
    # Saved otherwise, its pixels are the same.
    Image.open(images / "S0.png").save(images / "S0_JPEG_100.png", compress_level=0)
    (ladder,) = (each for each in check_study(path).ladders if each.id == "S0")
    assert ladder.equal == ((0, 1), (98, 99, 100))
    assert any("S0" in line and "(0 to 1; 98 to 100)" in line for line in check_study(path).warnings)


def test_missing_levels_are_named(tmp_path: Path) -> None:
    warnings = full(tmp_path).warnings
    (line,) = (each for each in warnings if each.startswith("S0: lacks"))
    assert "lacks 96 of the levels 0 to 100 (2-9, 11-49, 51-99)" in line


def test_what_nobody_could_pass_is_a_problem(tmp_path: Path) -> None:
    found = full(tmp_path, test=[entry("H0", **TRUTH | {"pjnd_range": [11, 20]})])
    assert found.problems == ("H0: no level lies in its pjnd_range [11, 20], so nobody can pass it; add one",)


def test_nothing_to_see_is_a_problem(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    for level in (tmp_path / "images").glob("S1_*"):
        shutil.copy(tmp_path / "images" / "S1.png", level)
    assert check_study(path).problems == ("S1: all its levels are the reference itself; there is nothing to see",)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("T0", "H0"), "a training image is among the tests"),
        (("S0", "H0"), "are one picture; who has met it"),
        (("S0", "S1"), "give both the same reference file"),
    ],
)
def test_one_picture_under_two_names_is_told(tmp_path: Path, names: tuple[str, str], said: str) -> None:
    path = write_study(tmp_path)
    assert not any("one picture" in line or "is among the tests" in line for line in check_study(path).warnings)
    # Other bytes, the same pixels.
    Image.open(tmp_path / "images" / f"{names[0]}.png").save(tmp_path / "images" / f"{names[1]}.png", compress_level=0)
    (line,) = (each for each in check_study(path).warnings if said in each)
    assert names[0] in line
    assert names[1] in line


def test_words_within_files_are_told(tmp_path: Path) -> None:
    """Once a source, with the first file and the mend; what a colour profile or JFIF says is part of the picture."""
    info = PngInfo()
    info.add_text("Author", "Somebody")
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey = Image.new("RGB", (16, 12), (90, 90, 90))
    cases: tuple[tuple[str, dict[str, Any], str | None], ...] = (
        ("jpg", {"exif": exif}, "EXIF"),
        ("jpg", {"comment": b"seen at the lake"}, "a comment"),
        ("jpg", {"xmp": b"<x:xmpmeta/>"}, "XMP"),
        ("png", {"pnginfo": info}, "text"),
        ("png", {"exif": exif}, "EXIF"),
        ("webp", {"exif": exif}, "EXIF"),
        ("jpg", {"icc_profile": profile, "dpi": (72, 72)}, None),
        ("png", {"icc_profile": profile, "dpi": (72, 72)}, None),
    )
    for suffix, more, said in cases:
        path = tmp_path / f"file.{suffix}"
        grey.save(path, **more)
        assert notes_in(path) == ({said} if said else set()), (suffix, more)

    path = write_study(tmp_path / "study", tables())
    assert not any("participants receive" in line for line in check_study(path).warnings)
    # Behind the pixels, where a quick look misses it.
    for name in ("S0.png", FIRST):
        file = path.parent / "images" / name
        chunk = b"tEXtAuthor\0Somebody"
        end = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        data = file.read_bytes()
        file.write_bytes(data[:-12] + end + data[-12:])
    [warning] = [line for line in check_study(path).warnings if "participants receive" in line]
    assert warning.startswith("S0: ")
    assert "S0.png and 1 more carry text" in warning
    assert "exiftool" in warning


def test_a_test_image_that_can_be_told_from_the_sources_is_named(tmp_path: Path) -> None:
    path = write_study(tmp_path, levels=range(1, 101))
    images = tmp_path / "images"

    def told() -> list[str]:
        return [each for each in check_study(path).warnings if "tells that it is a test" in each]

    assert told() == []
    (images / "H0_JPEG_050.png").unlink()
    assert told() == ["H0: no source has its number of levels (99), which tells that it is a test; make it like them"]
    # What one of the sources has, too, tells nothing.
    (images / "S2_JPEG_007.png").unlink()
    assert told() == []
    for each in images.glob("H1*.png"):
        with Image.open(each) as small:
            small.resize((60, 72)).save(each, "WEBP")
    text = path.read_text("utf-8").replace("[40, 60]", "[40, 59]")
    path.write_text(text, "utf-8")
    assert told() == [
        "H1: no source has its media types (image/webp, image/webp), nor its size (60x72), which tells that it is a "
        "test; make it like them"
    ]
    # Training images are no secret.
    with Image.open(images / "T0.png") as plain:
        plain.save(images / "T0.png", "WEBP")
    assert len(told()) == 1


def test_warnings_about_sessions(tmp_path: Path) -> None:
    value = tables(training=[], quota={"answers": 2, "images": 9, "tests": 0})
    said = " ".join(check_study(write_study(tmp_path, value)).warnings)
    for part in ("there is no training image", "no test image is hidden", "there are 3 pictures"):
        assert part in said
    value = tables(quota={"answers": 2, "images": 1, "tests": 1})
    said = " ".join(check_study(write_study(tmp_path, value)).warnings)
    assert "who takes all 3 sessions meets 3 test images, and there are 2" in said


def test_an_image_of_another_shape_is_told(tmp_path: Path) -> None:
    assert not any("stretched" in line for line in full(tmp_path).warnings)
    wide = check_study(write_study(tmp_path, tables(width_cm=20.0)))
    # 20 / 10.347 to 4 / 3.
    assert sum("stretched by 45%" in line for line in wide.warnings) == 6
    assert not any("stretched" in line for line in full(tmp_path, width_cm=20.0, scaling="native").warnings)


def test_an_image_larger_than_the_window_is_a_problem(tmp_path: Path) -> None:
    for window, fits in (((64, 48), True), ((63, 48), False), ((64, 47), False)):
        found = full(tmp_path, scaling="native", min_window=window)
        assert bool(found.problems) is not fits
    assert found.problems[0] == (
        'S0: is 64x48, and by scaling = "native" does not fit into min_window [64, 47]; raise min_window, or give '
        "smaller images"
    )
    assert full(tmp_path, min_window=(63, 47)).problems == ()


def test_what_it_takes_is_reckoned_by_hand(tmp_path: Path) -> None:
    value = tables(
        quota={"answers": 4, "images": 2, "tests": 1},
        estimate={"seconds_per_image": 60, "minutes_before": 4, "per_hour": 12, "fee": 0.5, "megabits": 8},
    )
    found = check_study(write_study(tmp_path, value))
    size = {each.id: each.bytes for each in found.ladders}
    effort = found.effort
    assert effort is not None
    later = 2 * (size["S0"] + size["S1"] + size["S2"]) / 3 + (size["H0"] + size["H1"]) / 2
    assert effort.later_bytes == pytest.approx(later)
    assert effort.first_bytes == pytest.approx(later + size["T0"])
    assert effort.image_bytes == max(size.values())
    # Two sources and a test, a minute each; four minutes and a training image before.
    assert (effort.later_minutes, effort.first_minutes) == (3.0, 8.0)
    # 12 answers, two a session; four people can give them, each in two sessions at most.
    assert (effort.sessions, effort.people) == (6, (4, 6))
    # 0.2 a minute and half of it again: 6 * 3 + 4 * 5 and 6 * 3 + 6 * 5 minutes.
    assert effort.cost == pytest.approx((38 * 0.3, 48 * 0.3))
    told = "\n".join(found.lines())
    assert "cost: 11.40 to 14.40 EUR" in told
    assert "4 answers for each source: 6 sessions, 4 to 6 people" in told
    assert "assumed: 60 s an image" in told
    assert effort_of(found.study, found.ladders) == effort


def test_pictures_in_several_codecs_take_more_people() -> None:
    of = study(sources=50, hidden=0, answers=30, images=10, tests=0, max_sessions=20)
    codecs = tuple(
        each.model_copy(update={"reference": f"images/P{n % 10}.png", "codec": f"C{n // 10}"})
        for n, each in enumerate(of.source)
    )
    of = of.model_copy(update={"source": codecs})
    ladders = [LadderCheck(each.id, "source", 64, 48, (0, 1), (), 100) for each in codecs]
    effort = effort_of(of, ladders)
    # 1500 answers, ten a session; a person has seen all pictures after one.
    assert (effort.sessions, effort.people) == (150, (150, 150))
    answers: Counter[str] = Counter()
    people = 0
    while planned := allocate_images(of, f"p{people}", 1, answers):
        answers.update(each.source for each in planned)
        assert allocate_images(of, f"p{people}", 2, answers, [each.source for each in planned]) == ()
        people += 1
    assert set(answers.values()) == {30}
    assert people == effort.people[0]
    # One picture in five codecs among others in one: it alone needs 150 people.
    one = of.model_copy(update={"source": (*codecs[::10], *codecs[1:10])})
    assert effort_of(one, ladders).people == (150, 150)


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
    with pytest.raises(PixqError, match="stands for two"):
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
    assert "a_JPEG_050.png: is no image" in capsys.readouterr().err
    assert main(["study", "new", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"pixq: {tmp_path / 'study.toml'}: exists already")
    assert main(["study", "check", str(tmp_path / "absent")]) == 2
    assert main(["study", "nope"]) == 2


def test_a_transparent_image_is_a_problem(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    with Image.open(tmp_path / "images" / FIRST) as opaque:
        clear = opaque.convert("RGBA")
    clear.save(tmp_path / "images" / FIRST)
    (problem,) = check_study(path).problems
    assert "has an alpha channel; flatten it" in problem


def test_a_ladder_that_is_the_wrong_way_round_is_told(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    assert not [line for line in check_study(path).warnings if "wrong way round" in line]
    text = path.read_text("utf-8")
    first = text.index('"101-n"')
    path.write_text(text[:first] + '"n"' + text[first + len('"101-n"') :], "utf-8")
    [line] = [line for line in check_study(path).warnings if "wrong way round" in line]
    assert line.startswith("S0: ")


def test_images_of_which_no_source_is_made_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tmp_path / "photos"
    for seed, name in enumerate(("a", "b")):
        write_ladder(tree, name, seed=seed)
    assert main(["study", "new", str(tmp_path / "whole"), "--images", str(tree)]) == 0
    assert "left out" not in capsys.readouterr().err
    image(tree / "lonely.png")
    image(tree / "other_JPEG_005.png")
    assert main(["study", "new", str(tmp_path / "study"), "--images", str(tree)]) == 1
    told = capsys.readouterr().err
    assert "left out: lonely.png" in told
    assert "left out: other_JPEG_005.png" in told


def test_what_is_wrong_is_said_before_anything_is_copied(tmp_path: Path) -> None:
    write_ladder(tmp_path / "photos", "a")
    for wrong in ({"title": ""}, {"level": "foo"}):
        with pytest.raises(PixqError, match=r"--title|--level"):
            new_study(tmp_path / "study", tmp_path / "photos", **wrong)
        assert not (tmp_path / "study").exists()
