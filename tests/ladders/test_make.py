"""`pixq ladder make`: what each codec's levels are, the files, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pixq import PixqError
from pixq._core import mse, psnr
from pixq.distort.kinds import DISTORTIONS, LEVELS
from pixq.io.images import load_pixels
from pixq.ladders import codecs as codecs_module
from pixq.ladders.codecs import CODECS, choose_codec
from pixq.ladders.ladder import open_ladder
from pixq.ladders.ladder_file import LADDER, read_ladder_file
from pixq.ladders.make import make_ladders, parse_levels
from pixq.study.design.new import find_ladders
from support import browser, built, trees

SHOWN = ("jpeg", "webp", "gaussian_blur")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number, size in enumerate(((48, 64), (60, 50))):
        Image.fromarray(np.ascontiguousarray(trees.photo(number, size))).save(folder / f"p{number}.png")
    return folder


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both photos with all codecs, at some levels."""
    out = tmp_path_factory.mktemp("made")
    make_ladders([photos], out, list(CODECS), (1, 10, 30, 51))
    return out


def pixels_of(path: Path) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = load_pixels(path)
    return found


@pytest.mark.parametrize("name", CODECS)
def test_a_level_holds_what_ladder_json_says(made: Path, photos: Path, name: str) -> None:
    codec = CODECS[name]
    for source in ("p0", "p1"):
        folder, reference = made / source, pixels_of(photos / f"{source}.png")
        assert np.array_equal(pixels_of(folder / f"{source}.png"), reference)
        (entry,) = [entry for entry in read_ladder_file(folder).codecs if entry.codec == name]
        assert [level.level for level in entry.levels] == [1, 10, 30, 51]
        errors = []
        for level in entry.levels:
            file = folder / level.file
            assert level.bytes == file.stat().st_size
            assert level.bits_per_pixel == pytest.approx(8 * level.bytes / reference[..., 0].size, abs=1e-6)
            assert level.parameter == codec.value(level.level)
            pixels = pixels_of(file)
            errors.append(float(mse(reference, pixels)))
            assert level.mse == pytest.approx(errors[-1], abs=1e-6)
            if level.psnr is not None:
                assert level.psnr == pytest.approx(psnr(reference, pixels), abs=1e-4)
            assert (level.shown is None) == codec.is_shown
            if level.shown is not None:
                assert np.array_equal(pixels_of(folder / level.shown), pixels)
        # The higher, the stronger; what is random need not be stronger in squared error.
        assert errors[-1] > 0
        if name not in DISTORTIONS or name in ("jpeg", "jpeg2000"):
            assert errors == sorted(errors)
            assert errors[-1] > errors[1] > 0
        expected = [
            level
            for level, error, below in zip((1, 10, 30, 51), errors, [0.0, *errors], strict=False)
            if error <= below
        ]
        assert entry.not_worse == expected
        assert entry.encoder == codec.encoder()


def test_the_parameters_are_those_that_are_documented() -> None:
    assert [CODECS["jpeg"].value(level) for level in (1, 50, 100)] == [100, 51, 1]
    assert [CODECS["hevc"].value(level) for level in (1, 51)] == [1, 51]
    assert CODECS["hevc"].levels == 51
    for name, distortion in DISTORTIONS.items():
        changes = [abs(value - distortion.unchanged) for value in distortion.values]
        # Those that go both ways are ordered by size.
        strengths = [abs(distortion.at(20 * level) - distortion.unchanged) for level in range(LEVELS + 1)]
        assert strengths == pytest.approx([0.0, *sorted(changes)]), name
        assert changes == sorted(changes) or name in ("brightness", "contrast", "mean_shift", "tone_curve")
        strengths = [abs(distortion.at(strength) - distortion.unchanged) for strength in range(101)]
        assert strengths == sorted(strengths), name


def test_jpeg_files_have_the_chroma_that_was_asked_for(photos: Path, tmp_path: Path) -> None:
    for chroma, sampling in (("4:4:4", (1, 1)), ("4:2:0", (2, 2))):
        out = tmp_path / chroma.replace(":", "")
        make_ladders([photos / "p0.png"], out, ["jpeg"], (20,), chroma=chroma)
        with Image.open(out / "p0" / "jpeg" / "p0_jpeg_020.jpg") as image:
            assert image.layer[0][1:3] == sampling  # type: ignore[attr-defined]
        assert read_ladder_file(out / "p0").codecs[0].chroma == chroma


def test_jpeg_2000_stores_brightness_and_colours_apart(photos: Path) -> None:
    """Without that, a few decibels are lost at the same size."""
    reference = pixels_of(photos / "p0.png")
    data = CODECS["jpeg2000"].encode(reference, 35.0, "4:4:4", "")
    # The multiple component transform of the COD marker.
    at = data.index(b"\xff\x52")
    assert data[at + 8] == 1


def test_others_read_the_levels(made: Path) -> None:
    for codec in ("jpeg", "jpeg2000"):
        ladder = open_ladder(made / "p0" / "p0.png", [made / "p0" / codec])
        assert [level.level for level in ladder.levels] == [1, 10, 30, 51]
    found = {(ladder.source, ladder.codec): ladder for ladder in find_ladders(made)}
    assert set(found) == {(source, codec) for source in ("p0", "p1") for codec in CODECS}
    assert all(len(ladder.files) == 4 for ladder in found.values())


def test_the_bytes_are_the_same_for_any_number_of_threads(made: Path, photos: Path, tmp_path: Path) -> None:
    make_ladders([photos], tmp_path / "out", list(CODECS), (1, 10, 30, 51), threads=3)
    assert built.digest(tmp_path / "out") == built.digest(made)


@pytest.mark.slow
def test_a_killed_command_ends_with_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    options = ["--codec", "avif,jpeg", "--levels", "1-40"]
    whole = tmp_path / "whole"
    assert built.pixq("ladder", "make", photos, "--out", whole, *options).code == 0
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pixq", "ladder", "make", str(photos), "--out", str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(out.glob(".p1.partial-*/avif")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == ["p0"]
    before = (out / "p0" / LADDER).stat().st_mtime_ns
    again = built.pixq("ladder", "make", photos, "--out", out, *options)
    assert (again.code, again.out) == (0, f"{out}: 160 levels of 2 images, 1 of them done before\n")
    assert built.digest(out) == built.digest(whole)
    assert (out / "p0" / LADDER).stat().st_mtime_ns == before
    assert not list(out.glob(".*"))


def test_the_command_names_rungs_that_are_not_worse(photos: Path, tmp_path: Path) -> None:
    made = built.pixq(
        "ladder", "make", photos / "p0.png", "--codec", "brightness", "--levels", "1-4", "--out", tmp_path
    )
    assert made.code == 0
    assert made.out == f"{tmp_path}: 4 levels of 1 images\n"
    assert "pixq: p0: brightness level 2 is not worse than the level below it" in made.err


@pytest.mark.parametrize(
    ("text", "levels"), [("1-3", (1, 2, 3)), ("5,1", (1, 5)), (" 1 - 2 ,100", (1, 2, 100)), ("7", (7,))]
)
def test_levels_are_parsed(text: str, levels: tuple[int, ...]) -> None:
    assert parse_levels(text) == levels


@pytest.mark.parametrize("text", ["", "0", "101", "3-1", "1-", "a", "1,,2", "1-2-3"])
def test_levels_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(PixqError, match="--levels is"):
        parse_levels(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--codec", "jpg"], "unknown codec 'jpg'; did you mean jpeg?"),
        (["--codec", "hevc", "--levels", "1-60"], "--levels: HEVC has levels 1 to 51, and 60 was asked for"),
        (["--codec", "webp", "--chroma", "4:4:4"], "--chroma 4:4:4: WebP always has 4:2:0"),
        (["--chroma", "4:2:2"], "--chroma is '4:2:2'; give 4:4:4 or 4:2:0"),
        (["--levels", "0-5"], "--levels is '0-5'"),
    ],
)
def test_mistakes_are_one_line(photos: Path, tmp_path: Path, options: list[str], words: str) -> None:
    assert words in built.mistake(built.pixq("ladder", "make", photos, "--out", tmp_path / "out", *options))
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_overwritten(photos: Path, tmp_path: Path) -> None:
    def make(**changes: Any) -> None:
        make_ladders([photos / "p0.png"], tmp_path, **{"codecs": ["jpeg"], "levels": (5, 9), **changes})

    make()
    for changes in ({"levels": (5,)}, {"codecs": ["webp"]}, {"chroma": "4:4:4"}):
        with pytest.raises(PixqError, match="was made of another image, with other options"):
            make(**changes)
    level = tmp_path / "p0" / "jpeg" / "p0_jpeg_005.jpg"
    level.write_bytes(level.read_bytes() + b"\0")
    with pytest.raises(PixqError, match=r"p0_jpeg_005.jpg: has changed; remove .*p0"):
        make()
    level.unlink()
    with pytest.raises(PixqError, match=r"p0_jpeg_005.jpg: No such file"):
        make()
    (tmp_path / "p0" / LADDER).unlink()
    with pytest.raises(PixqError, match=r"is there, and has no ladder.json"):
        make()


def test_a_file_in_place_of_the_folder_is_named(photos: Path) -> None:
    with pytest.raises(PixqError, match=r"p1.png: is a file; give the name of a folder"):
        make_ladders([photos / "p0.png"], photos / "p1.png")


def test_two_photos_of_one_name_are_refused(photos: Path, tmp_path: Path) -> None:
    Image.open(photos / "p0.png").save(tmp_path / "p0.bmp")
    with pytest.raises(PixqError, match="would have the same folder p0"):
        make_ladders([photos / "p0.png", tmp_path / "p0.bmp"], tmp_path / "out")


def test_an_encoder_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    codecs_module._plugin.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PixqError, match=r"pillow.heif is not installed; install it with: pip install 'pixq\[heif\]'"):
        choose_codec("hevc")
    codecs_module._plugin.cache_clear()


@pytest.mark.slow
def test_a_browser_shows_the_pixels_that_were_measured(made: Path) -> None:
    with browser.opened() as chromium:
        page = chromium.new_page()
        page.goto("about:blank")
        for codec in SHOWN:
            level = next(entry for entry in read_ladder_file(made / "p0").codecs if entry.codec == codec).levels[2]
            file = made / "p0" / level.file
            code = """async ([bytes, type]) => {
              const image = await createImageBitmap(new Blob([new Uint8Array(bytes)], { type }));
              const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
              context.drawImage(image, 0, 0);
              return [...context.getImageData(0, 0, image.width, image.height).data];
            }"""
            kind = {"jpeg": "image/jpeg", "webp": "image/webp"}.get(codec, "image/png")
            shown = np.array(page.evaluate(code, [list(file.read_bytes()), kind])).reshape(48, 64, 4)[..., :3]
            difference = np.abs(shown - pixels_of(file).astype(int))
            # Decoders may round chroma in another way where it is subsampled.
            assert difference.max() <= (0 if codec == "gaussian_blur" else 2), codec


def test_there_is_no_time_and_no_path_in_it(made: Path) -> None:
    text = (made / "p0" / LADDER).read_text("utf-8")
    assert os.fspath(made) not in text
    assert json.loads(text)["source"]["file"] == "p0.png"
