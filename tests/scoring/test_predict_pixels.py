"""`pixq predict` on images with profiles and with transparent pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixq._core import compose
from pixq.cli import main
from pixq.errors import PixqError
from pixq.io.images import ReadOptions
from pixq.predict import decoding
from pixq.predict.decoding import MIB, open_pair, plan
from pixq.predict.json_file import read_prediction
from pixq.predict.outputs import Outputs
from pixq.predict.pairs import Pair
from pixq.predict.predict import predict
from pixq.scoring.scorer import Scorer, load
from support import icc, trees
from support.predictions import DISTORTED, REFERENCE, encoded, same

P3 = icc.rgb_profile(icc.P3, 2.2, "P3 by hand")


@pytest.fixture
def profiled(tmp_path: Path) -> tuple[Path, Path]:
    """A picture with a wide profile, and what it looks like in sRGB."""
    wide = tmp_path / "wide.png"
    Image.fromarray(REFERENCE).save(wide, icc_profile=P3)
    shown = icc.to_srgb(REFERENCE / 255, round(2.2 * 256) / 256, icc.P3) * 255
    trees.save(tmp_path / "srgb.png", np.floor(shown + 0.5).astype(np.uint8))
    return wide, tmp_path / "srgb.png"


def test_pictures_that_look_alike(profiled: tuple[Path, Path], tmp_path: Path) -> None:
    scorer = load()
    out = tmp_path / "alike.json"
    predict(scorer, *profiled, Outputs(json=out))
    made = read_prediction(out)
    assert made.pixels is not None
    assert made.pixels.model_dump() == {
        "colours": "sRGB", "intent": "relative colorimetric", "reference_profile": "P3 by hand",
        "distorted_profile": None, "backgrounds": [], "background": None,
        "frame": None, "reference_notes": [], "distorted_notes": [],
    }  # fmt: skip
    raw = tmp_path / "raw.json"
    predict(scorer, *profiled, Outputs(json=raw), colour_management=False)
    other = read_prediction(raw)
    assert other.pixels is not None
    assert (other.pixels.colours, other.pixels.intent, other.pixels.reference_profile) == ("raw", None, None)
    assert made.image.shares["Green"] == 1
    assert made.visibility is not None
    assert other.visibility is not None
    assert other.visibility.jnd > 2 * made.visibility.jnd


def glass(tmp_path: Path) -> tuple[Path, Path]:
    """Two pictures that differ where they are transparent: on white, one is lighter by far."""
    alpha = np.full(REFERENCE.shape[:2], 255, np.uint8)
    alpha[:, 40:] = 128
    thinner = alpha.copy()
    thinner[:, 40:] = 60
    white = np.full_like(REFERENCE, 255)
    names = tmp_path / "glass.png", tmp_path / "thin.png"
    for path, channel in zip(names, (alpha, thinner), strict=True):
        Image.fromarray(np.dstack([white, channel])).save(path)
    return names


def test_the_worst_background_counts(scorer: Scorer, tmp_path: Path) -> None:
    pair = glass(tmp_path)
    rgba = [np.asarray(Image.open(path)) for path in pair]
    maps = {name: scorer.map(*(compose(image, name) for image in rgba)) for name in ("black", "white", "checker")}
    # White glass can't be seen on white.
    assert maps["white"].verdict.identical == 1
    assert maps["black"].verdict.worst < maps["checker"].verdict.worst < 1
    for chosen, expected in ((("black", "white"), "black"), (("white", "checker"), "checker"), (("white",), "white")):
        out = tmp_path / "out.json"
        side = tmp_path / "side.png"
        predict(scorer, *pair, Outputs(json=out, side=side), backgrounds=chosen)
        made = read_prediction(out)
        same(made.map, maps[expected])
        assert made.pixels is not None
        assert (made.pixels.backgrounds, made.pixels.background) == (list(chosen), expected)
    shown = np.asarray(Image.open(side))
    # White on white: nothing of the black background, on which both would be darker to the right.
    assert (shown == 255).all(axis=2).mean() > 0.3
    # A pair of which one is opaque is compared on backgrounds too.
    trees.save(tmp_path / "opaque.png", REFERENCE)
    predict(scorer, tmp_path / "opaque.png", pair[1], Outputs(json=out))
    made = read_prediction(out)
    assert made.pixels is not None
    assert made.pixels.background in ("black", "white")


def test_the_table_says_which_pixels_were_compared(
    profiled: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def last_line(pair: tuple[Path, Path], *options: str) -> str:
        assert main(["predict", *map(str, pair), *options]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    assert last_line(profiled) == "reference converted from P3 by hand"
    assert last_line(glass(tmp_path)) == "on black, the worst of black, white"
    assert last_line(glass(tmp_path), "--background", "white") == "on white"
    assert last_line((profiled[1], profiled[1])).endswith("100.0%")


def test_opaque_alpha_is_no_alpha(scorer: Scorer, pair: tuple[Path, Path], tmp_path: Path) -> None:
    opaque = tmp_path / "opaque.png"
    Image.fromarray(DISTORTED).convert("RGBA").save(opaque)
    outs = []
    for distorted in (pair[1], opaque):
        out = tmp_path / f"{distorted.stem}.json"
        predict(scorer, pair[0], distorted, Outputs(json=out), stride=9)
        outs.append(json.loads(out.read_text()))
    assert outs[0] | {"distorted": ""} == outs[1] | {"distorted": ""}


def test_little_memory_gives_the_same_composition(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (300, 70, 4), dtype=np.uint8)).save(path)
    monkeypatch.setattr(decoding, "_WORK", MIB)
    planned = plan(Pair(*paths, "b"), 20, 10)
    mapped, held = open_pair(planned, planned.apart), open_pair(planned, planned.together)
    assert mapped.maps
    assert not held.maps
    for background in ("black", "checker"):
        for name in ("reference", "distorted"):
            np.testing.assert_array_equal(
                getattr(mapped.composed(background), name), getattr(held.composed(background), name)
            )


def test_folders_are_computed_again_with_other_pixels(scorer: Scorer, tmp_path: Path) -> None:
    for folder, path in zip(("clean", "noisy"), glass(tmp_path), strict=True):
        (tmp_path / folder).mkdir()
        path.rename(tmp_path / folder / "glass.png")
    folders = tmp_path / "clean", tmp_path / "noisy"
    outputs = Outputs(json=tmp_path / "out")
    before = [
        predict(scorer, *folders, outputs, **options).results[0].before  # type: ignore[arg-type]
        for options in ({}, {}, {"backgrounds": ("white",)}, {"backgrounds": ("white",), "colour_management": False})
    ]
    assert before == [False, True, False, False]


def test_the_command(profiled: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    for more, colours in (([], "sRGB"), (["--no-colour-management"], "raw")):
        assert main(["predict", *map(str, profiled), "--json", str(out), *more]) == 0
        assert json.loads(out.read_text())["pixels"]["colours"] == colours
    assert main(["predict", *map(str, glass(tmp_path)), "--background", "checker", "--json", str(out)]) == 0
    assert json.loads(out.read_text())["pixels"]["background"] == "checker"
    capsys.readouterr()
    assert main(["predict", *map(str, profiled), "--background", "pink"]) == 2
    assert "--background is 'pink'; choose from black, white, checker" in capsys.readouterr().err
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(encoded(Image.fromarray(REFERENCE), "PNG", icc_profile=P3[:140]))
    assert main(["predict", str(profiled[0]), str(damaged)]) == 2
    error = capsys.readouterr().err
    assert f"{damaged}: has an ICC profile that can't be read" in error
    assert "--no-colour-management" in error


def test_backgrounds_are_checked(scorer: Scorer, pair: tuple[Path, Path]) -> None:
    with pytest.raises(PixqError, match="--background is empty"):
        predict(scorer, *pair, backgrounds=())


@pytest.mark.parametrize(
    ("format", "options", "times"),
    [
        ("TIFF", {"compression": "zstd"}, 4),
        ("TIFF", {"compression": "tiff_lzw"}, 1),
        ("PNG", {"save_all": True, "append_images": [Image.new("RGB", (60, 40), "red")]}, 4),
        ("PNG", {}, 1),
    ],
)
def test_memory_for_what_pillow_decodes(format: str, options: dict[str, object], times: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    Image.new("RGB", (60, 40)).save(path, format, **options)
    # The core decodes the first frame of an animated PNG.
    planned = plan(Pair(path, path, "a"), 20, 10, reading=ReadOptions(frame=int("save_all" in options)))
    pixels = 60 * 40 * (7 if "save_all" in options else 3)
    assert planned.decoding[0] == times * pixels + path.stat().st_size
