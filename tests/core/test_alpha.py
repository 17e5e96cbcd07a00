"""Transparent pixels: found, kept, refused, and put on a background."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pixq._core import compose, decode, probe
from support import icc
from support.decode_fixtures import bmp, chunk, photo, png, saved

BACKGROUNDS = ("black", "white", "checker")
RGBA = np.dstack([np.asarray(photo(19, 27, 2)), np.random.default_rng(0).integers(0, 256, (19, 27), dtype=np.uint8)])


def background_of(name: str, height: int, width: int, dtype: Any = np.uint8) -> NDArray[np.integer]:
    y, x = np.mgrid[:height, :width] // 8
    grey = {"black": 0 * y, "white": 0 * y + 255, "checker": np.where((x + y) % 2, 153, 102)}[name]
    return grey * (257 if dtype == np.uint16 else 1)


def on(rgba: NDArray[Any], name: str) -> NDArray[Any]:
    """The definition: colour * alpha + background * (1 - alpha), rounded."""
    most = np.iinfo(rgba.dtype).max
    alpha = rgba[..., 3:].astype(np.float64) / most
    under = background_of(name, *rgba.shape[:2], rgba.dtype)[..., None]
    return np.floor(rgba[..., :3] * alpha + under * (1 - alpha) + 0.5).astype(rgba.dtype)


def tiff_with_alpha(rgba: NDArray[np.uint8], kind: int) -> bytes:
    """Pillow's TIFF, with the value of ExtraSamples replaced: 1 is alpha that colours are multiplied with."""
    data = saved(Image.fromarray(rgba), "TIFF")
    entry = struct.pack("<HHI", 338, 3, 1)
    assert data.count(entry) == 1
    at = data.index(entry) + 8
    return data[:at] + struct.pack("<H", kind) + data[at + 2 :]


def bgra_bmp(rgba: NDArray[np.uint8]) -> bytes:
    rows = rgba[::-1, :, [2, 1, 0, 3]].tobytes()
    height, width = rgba.shape[:2]
    return bmp(width, height, 32, rows, compression=3, header=108, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))


WRITERS: dict[str, Any] = {
    "png": lambda rgba: saved(Image.fromarray(rgba), "PNG"),
    "interlaced png": lambda rgba: png(rgba, 8, 6, interlaced=True),
    "webp": lambda rgba: saved(Image.fromarray(rgba), "WEBP", lossless=True, exact=True),
    "tiff": lambda rgba: tiff_with_alpha(rgba, 2),
    "bmp": bgra_bmp,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format(name: str) -> None:
    data = WRITERS[name](RGBA)
    assert np.array_equal(decode(data, keep_alpha=True), RGBA)
    for background in BACKGROUNDS:
        assert np.array_equal(decode(data, background=background), on(RGBA, background))
        assert np.array_equal(compose(RGBA, background), on(RGBA, background))
    assert probe(data)["alpha"]
    with pytest.raises(ValueError, match=r"has transparent pixels; save it without them, or choose"):
        decode(data)
    opaque = RGBA.copy()
    opaque[..., 3] = 255
    for options in ({}, {"keep_alpha": True}, {"background": "black"}):
        assert np.array_equal(decode(WRITERS[name](opaque), **options), RGBA[..., :3]), "opaque RGBA is RGB"


def test_grey_palettes_and_colours_that_stand_for_transparent() -> None:
    grey, alpha = RGBA[..., :1], RGBA[..., 3:]
    kept = decode(png(np.dstack([grey, alpha]), 8, 4), keep_alpha=True)
    assert np.array_equal(kept, np.dstack([grey, grey, grey, alpha]))
    palette = np.random.default_rng(1).integers(0, 256, (7, 3), dtype=np.uint8)
    samples = np.random.default_rng(2).integers(0, 7, (9, 11, 1))
    data = png(samples, 4, 3, before=chunk(b"PLTE", palette.tobytes()) + chunk(b"tRNS", bytes([0, 90, 255])))
    kept = decode(data, keep_alpha=True)
    assert np.array_equal(kept[..., :3], palette[samples[..., 0]])
    assert np.array_equal(kept[..., 3], np.array([0, 90, 255, 255, 255, 255, 255])[samples[..., 0]])
    key = np.zeros((4, 5, 3), np.uint8)
    key[1, 2] = (1, 2, 3)
    data = png(key, 8, 2, before=chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))
    expected = np.full((4, 5, 3), 0, np.uint8)
    expected[1, 2] = 255
    assert np.array_equal(decode(data, background="white"), expected)
    # A colour that does not occur makes nothing transparent.
    assert decode(png(key, 8, 2, before=chunk(b"tRNS", struct.pack(">HHH", 9, 9, 9)))).shape == (4, 5, 3)


def test_sixteen_bits() -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (17, 20, 4), dtype=np.uint16)
    data = png(deep, 16, 6)
    assert np.array_equal(decode(data, keep_alpha=True), deep)
    for background in BACKGROUNDS:
        assert np.array_equal(decode(data, background=background), on(deep, background))
    kept = decode(png(deep[..., [0, 3]], 16, 4), keep_alpha=True)
    assert np.array_equal(kept, deep[..., [0, 0, 0, 3]])


def test_colours_that_were_multiplied_with_alpha() -> None:
    alpha = RGBA[..., 3:].astype(np.float64) / 255
    multiplied = np.dstack([np.floor(RGBA[..., :3] * alpha + 0.5).astype(np.uint8), RGBA[..., 3:]])
    data = tiff_with_alpha(multiplied, 1)
    # On black they are what is stored, but for the rounding of dividing and multiplying again.
    assert np.abs(decode(data, background="black").astype(int) - multiplied[..., :3]).max() <= 1


def test_a_bmp_whose_fourth_byte_means_nothing() -> None:
    rgba = RGBA.copy()
    rgba[..., 3] = 0
    assert np.array_equal(decode(bgra_bmp(rgba)), RGBA[..., :3])


def test_colours_are_converted_before_they_are_composed() -> None:
    profile = icc.rgb_profile(icc.P3, 1.75)
    image = Image.fromarray(RGBA)
    colours = decode(saved(image.convert("RGB"), "PNG", icc_profile=profile))
    expected = on(np.dstack([colours, RGBA[..., 3:]]), "white")
    assert np.array_equal(decode(saved(image, "PNG", icc_profile=profile), background="white"), expected)


def test_the_checker_lies_under_the_turned_image() -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = saved(Image.fromarray(RGBA), "PNG", exif=exif.tobytes())
    assert np.array_equal(decode(data, background="checker"), on(np.ascontiguousarray(np.rot90(RGBA, -1)), "checker"))


def test_arguments() -> None:
    data = WRITERS["png"](RGBA)
    with pytest.raises(ValueError, match="'background' is \"pink\"; choose one of black, white, checker"):
        decode(data, background="pink")
    with pytest.raises(ValueError, match="give 'background' or 'keep_alpha', not both"):
        decode(data, background="white", keep_alpha=True)
    with pytest.raises(ValueError, match="'pixels' has 3 channels; expected 4"):
        compose(RGBA[..., :3].copy(), "white")
    with pytest.raises(ValueError, match="not C-contiguous"):
        compose(RGBA[::2], "white")
    with pytest.raises(TypeError, match="of uint8 or uint16"):
        compose(np.zeros((2, 2, 4), np.float32), "white")
    assert np.array_equal(compose(RGBA, "white"), on(RGBA, "white"))
