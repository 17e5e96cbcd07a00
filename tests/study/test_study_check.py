"""`pixq study check`: each of its messages, and its estimate of time and cost."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from pixq.errors import PixqError
from pixq.io.images import ReadOptions, load_pixels
from pixq.study.design.check import LadderCheck, StudyCheck, check_study, effort_of, equal_runs
from pixq.study.design.image_metadata import metadata_kinds
from pixq.study.design.study_files import open_study
from pixq.study.session.allocation import allocate_images
from support.studies import TRUTH, entry, study, tables, write_study

#: The file of level 100 of the first source.
LEVEL_100 = "S0_JPEG_001.png"


def test_a_damaged_file_that_opens_is_found_by_the_check_alone(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    victim = tmp_path / "images" / LEVEL_100
    data = victim.read_bytes()
    victim.write_bytes(data[: len(data) // 2])
    open_study(path)
    (problem,) = check_study(path).problems
    assert problem.startswith(str(victim))


def full(tmp_path: Path, **more: object) -> StudyCheck:
    return check_study(write_study(tmp_path, tables(**more)))


def test_runs_of_equal_neighbours() -> None:
    assert equal_runs([0, 1, 2], "abc") == ()
    assert equal_runs([0, 1, 2, 5, 9], "aabba") == ((0, 1), (2, 5))
    assert equal_runs([3], "a") == equal_runs([], "") == ()


def test_equal_neighbours_are_named(tmp_path: Path) -> None:
    value = tables(source=[entry("S0")], training=[], test=[], quota={"tests": 0})
    path = write_study(tmp_path, value, levels=range(1, 101))
    assert not any("S0" in line for line in check_study(path).warnings)
    images = tmp_path / "images"
    for n in (2, 3):
        shutil.copy(images / "S0_JPEG_001.png", images / f"S0_JPEG_{n:03d}.png")
    # Saved otherwise, its pixels are the same.
    Image.open(images / "S0.png").save(images / "S0_JPEG_100.png", compress_level=0)
    report = check_study(path)
    assert report.ladders[0].equal == ((0, 1), (98, 99, 100))
    assert any("S0" in line and "(0 to 1; 98 to 100)" in line for line in report.warnings)


def test_missing_levels_are_named(tmp_path: Path) -> None:
    warnings = full(tmp_path).warnings
    (line,) = (each for each in warnings if each.startswith("S0: lacks"))
    assert "lacks 96 of the levels 0 to 100 (2-9, 11-49, 51-99)" in line


def test_what_nobody_could_pass_is_a_problem(tmp_path: Path) -> None:
    found = full(tmp_path, test=[entry("H0", **TRUTH | {"pjnd_range": [11, 20]})])
    assert found.problems == ("H0: has no level in its pjnd_range [11, 20], so nobody can pass it; add one",)


def test_nothing_to_see_is_a_problem(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    for level in (tmp_path / "images").glob("S1_*"):
        shutil.copy(tmp_path / "images" / "S1.png", level)
    (problem,) = check_study(path).problems
    assert problem == "S1: all its levels equal the reference, so there is nothing to see; replace them"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("T0", "H0"), "a training image is among the tests"),
        (("S0", "H0"), "are the same picture, so people answer about an image that they know"),
        (("S0", "S1"), "give both the same reference file"),
    ],
)
def test_one_picture_under_two_names_is_told(tmp_path: Path, names: tuple[str, str], said: str) -> None:
    path = write_study(tmp_path)
    before = " ".join(check_study(path).warnings)
    assert "are the same picture" not in before
    assert "is among the tests" not in before
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
        assert metadata_kinds(path) == ({said} if said else set()), (suffix, more)

    path = write_study(tmp_path / "study", tables())
    assert not any("participants receive" in line for line in check_study(path).warnings)
    # Behind the pixels, where a quick look misses it.
    for name in ("S0.png", LEVEL_100):
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
    path = write_study(tmp_path)
    images = tmp_path / "images"

    def told() -> list[str]:
        return [each for each in check_study(path).warnings if "gives it away as a test" in each]

    assert told() == []
    (images / "H0_JPEG_051.png").unlink()
    assert told() == [
        "H0: no source has the same number of levels (3), which gives it away as a test; make it like the sources"
    ]
    # What one of the sources has, too, tells nothing.
    (images / "S2_JPEG_051.png").unlink()
    assert told() == []
    for each in images.glob("H1*.png"):
        with Image.open(each) as small:
            small.resize((60, 72)).save(each, "WEBP")
    text = path.read_text("utf-8").replace("[40, 60]", "[40, 59]")
    path.write_text(text, "utf-8")
    assert told() == [
        "H1: no source has the same media types (image/webp, image/webp) or size (60x72), which gives it away as a "
        "test; make it like the sources"
    ]
    # Training images are no secret.
    with Image.open(images / "T0.png") as plain:
        plain.save(images / "T0.png", "WEBP")
    assert len(told()) == 1


def test_warnings_about_sessions(tmp_path: Path) -> None:
    value = tables(training=[], quota={"answers": 2, "images": 9, "tests": 0})
    said = " ".join(check_study(write_study(tmp_path, value)).warnings)
    for part in ("there is no training image", "no test image is hidden", "there are only 3 pictures"):
        assert part in said
    value = tables(quota={"answers": 2, "images": 1, "tests": 1})
    said = " ".join(check_study(write_study(tmp_path, value)).warnings)
    assert "somebody with all 3 sessions sees 3 test images, but there are 2" in said


def test_an_image_of_another_shape_is_told(tmp_path: Path) -> None:
    assert not any("stretches" in line for line in full(tmp_path).warnings)
    wide = check_study(write_study(tmp_path, tables(width_cm=20.0)))
    # 20 / 10.347 to 4 / 3.
    assert sum("stretches it by 45%" in line for line in wide.warnings) == 6
    assert not any("stretches" in line for line in full(tmp_path, width_cm=20.0, scaling="native").warnings)


def test_an_image_larger_than_the_window_is_a_problem(tmp_path: Path) -> None:
    for window, fits in (((64, 48), True), ((63, 48), False), ((64, 47), False)):
        found = full(tmp_path, scaling="native", min_window=window)
        assert bool(found.problems) is not fits
    assert found.problems[0] == (
        'S0: has 64x48 pixels and with scaling = "native" does not fit into min_window [64, 47]; raise min_window, or '
        "use smaller images"
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
    assert "assumed: 60 s per image" in told
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


def test_images_that_can_be_shown_in_several_ways_are_problems(tmp_path: Path) -> None:
    """The messages name no options, such as --background: the command has none."""
    path = write_study(tmp_path)
    victim = tmp_path / "images" / LEVEL_100
    with Image.open(victim) as opened:
        opaque = opened.convert("RGB")
    clear = opaque.convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    clear.save(victim)
    assert check_study(path).problems == (f"{victim}: has transparent pixels; save it without them",)
    with pytest.raises(PixqError, match="--background white"):
        load_pixels(victim, ReadOptions())
    opaque.save(victim, icc_profile=b"nothing")
    (problem,) = check_study(path).problems
    assert problem.startswith(f"{victim}: has an ICC profile that can't be read (")
    assert problem.endswith("); save it as sRGB")


def test_a_ladder_that_is_the_wrong_way_round_is_told(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    assert not [line for line in check_study(path).warnings if "wrong way round" in line]
    text = path.read_text("utf-8")
    first = text.index('"101-n"')
    path.write_text(text[:first] + '"n"' + text[first + len('"101-n"') :], "utf-8")
    [line] = [line for line in check_study(path).warnings if "wrong way round" in line]
    assert line.startswith("S0: ")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hertz": 30.0}, "hertz: is 30, and an image stays for at least 2 refreshes"),
        ({"hertz": 60.0}, "lower it to 29 or less"),
        ({"min_window": [3841, 700]}, "min_window: is [3841, 700] CSS pixels"),
        ({"min_window": [1000, 2161]}, "hardly any screen has more than 3840x2160"),
        ({"min_screen_cm": 55.0}, "min_screen_cm: is 55, and hardly any screen is higher than 54 cm"),
        ({"width_cm": 97.0, "height_cm": 50.0}, "images of 97 x 50 cm are larger than a screen"),
        (
            {"languages": ["en", "fr"], "consent": {"en": "a", "fr": "b"}},
            "the page has no texts in 'fr', only in en, de",
        ),
    ],
)
def test_what_nobody_can_take_is_a_problem(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    (problem,) = full(tmp_path, **settings).problems
    assert said in problem


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hertz": 25.0}, "hertz: is 25, and a screen of 60 Hz shows 30"),
        ({"min_window": [1921, 700]}, "most people have at most 1920x970"),
        ({"min_screen_cm": 35.0}, "most screens are at most 34 cm high"),
        ({"min_screen_cm": 10.0}, "height_cm: is 10.347, but screens of 10 cm are accepted"),
    ],
)
def test_what_many_cannot_take_is_a_warning(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    found = full(tmp_path, **settings)
    assert found.problems == ()
    assert [line for line in found.warnings if said in line]


@pytest.mark.parametrize(
    "fine",
    [{"hertz": 29.0}, {"hertz": 8.0}, {"hertz": 1.0}, {"min_window": [1920, 970]}, {"min_screen_cm": 0.0},
     {"languages": ["en", "de-AT"], "consent": {"en": "a", "de-AT": "b"}}],
)  # fmt: skip
def test_what_people_can_take_is_fine(tmp_path: Path, fine: dict[str, Any]) -> None:
    found = full(tmp_path, **fine)
    assert found.problems == ()
    assert not [line for line in found.warnings if line.startswith(("hertz", "min_", "height", "languages"))]
