"""A study's images: which file is which level, and which files are refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pixq.errors import PixqError
from pixq.study.design.check import check_study
from pixq.study.design.config import Source, Study, read_study
from pixq.study.design.study_files import levels_of, open_study
from support.studies import LEVELS, TRUTH, entry, tables, write_ladder, write_study
from support.trees import photo, save


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


LEVEL_100 = "S0_JPEG_001.png"
SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "no reference": (lambda f: (f / "S0.png").unlink(), r"S0\.png: is missing; add the reference of S0"),
    "no levels": (lambda f: [e.unlink() for e in f.glob("S0_*")] and None, r"S0_JPEG_\*\.png: matches no file"),
    "level 0": (lambda f: image(f / "S0_JPEG_101.png"), "has level 0 by level = '101-n', but levels are 1, 2, ... 100"),
    "level of a fraction": (lambda f: image(f / "S0_JPEG_50.5.png"), "has level 50.5 by level = '101-n'"),
    "level -1": (lambda f: image(f / "S0_JPEG_102.png"), "has level -1 by"),
    "huge number": (lambda f: image(f / f"S0_JPEG_{'9' * 200}.png"), "has level -"),
    "one level twice": (lambda f: image(f / "S0_JPEG_1.png"), r"is level 100, and so is S0_JPEG_001\.png"),
    "another size": (lambda f: save(f / LEVEL_100, photo(0, (48, 60))), "has 60x48 pixels, but its reference"),
    "no image": (lambda f: (f / LEVEL_100).write_bytes(b"not an image") and None, "can't be read as an image"),
    "empty": (lambda f: (f / LEVEL_100).write_bytes(b"") and None, "can't be read as an image"),
    "a bitmap": (lambda f: image(f / LEVEL_100, format="BMP"), "is a BMP file, which not every browser shows"),
    "turned": (lambda f: turned(f / LEVEL_100), "EXIF orientation"),
    "moving": (lambda f: moving(f / LEVEL_100), "is animated; save a single frame"),
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


@pytest.mark.parametrize("which", ["S0.png", LEVEL_100])
def test_nothing_outside_the_folder_is_followed(tmp_path: Path, which: str) -> None:
    path = write_study(tmp_path / "study")
    outside = tmp_path / "secret.png"
    inside = tmp_path / "study" / "images" / which
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(PixqError, match="lies outside the study's folder"):
        open_study(path)


def test_a_link_inside_the_folder_is_fine(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    linked = tmp_path / "images" / LEVEL_100
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


def test_names_that_look_the_same_are_the_same_and_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    write_ladder(tmp_path / "images", apart, levels=(50, 60))
    source = Source(
        id="S", codec="JPEG", reference=f"images/{composed}.png", levels=f"images/{composed}_*.png", level="101-n"
    )
    study = Study(title="t", contact="c", consent={"en": "?"}, source=[source], quota={"tests": 0}, folder=tmp_path)
    assert list(levels_of(study, source)) == [0, 50, 60]
    copy = tmp_path / "images" / f"{apart}_JPEG_051 (1).png"
    copy.write_bytes(b"")
    with pytest.raises(PixqError, match=r"051 \(1\).png: looks like a copy of .*_051.png: both are level 50"):
        levels_of(study, source)
    copy.unlink()
    copy.symlink_to("nowhere")
    with pytest.raises(PixqError, match="is a link that leads nowhere, but is among the levels of S"):
        levels_of(study, source)
