"""Colours to sRGB: against the definition in float64, against LittleCMS, and against what a browser shows."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pixq import set_num_threads
from pixq._core import decode, probe
from support import icc
from support.decode_fixtures import bmp, chunk, photo, png, saved

P3 = icc.rgb_profile(icc.P3, 2.2, "P3 by hand")
#: A curve's exponent has 8 bits behind the point.
EXPONENT = round(2.2 * 256) / 256
PHOTO = photo(40, 60, 1)
SRGB_XY = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_XY = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def converted(samples: NDArray[Any], gamma: float = EXPONENT, primaries: Any = icc.P3) -> NDArray[np.float64]:
    most = np.iinfo(samples.dtype).max
    return icc.to_srgb(samples / most, gamma, primaries) * most


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(values: tuple[int, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


def cicp(*code_points: int) -> bytes:
    return chunk(b"cICP", bytes(code_points))


def of_png(*chunks: bytes) -> bytes:
    return png(np.asarray(PHOTO), 8, 2, before=b"".join(chunks))


FORMATS: dict[str, dict[str, Any]] = {
    "PNG": {}, "JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}, "TIFF": {},
}  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("primaries", "gamma"), [(icc.P3, 2.2), (icc.WIDE, 1.75), (icc.SRGB, 1.0)])
def test_a_profile_is_applied(format: str, primaries: Any, gamma: float) -> None:
    profile = icc.rgb_profile(primaries, gamma, "by hand")
    data = saved(PHOTO, format, icc_profile=profile, **FORMATS[format])
    raw, found = decode(data, colour_management=False), decode(data)
    assert np.array_equal(raw, decode(saved(PHOTO, format, **FORMATS[format])))
    # Half a level of rounding, and what 16-bit matrices of profiles leave.
    assert np.abs(found - converted(raw, round(gamma * 256) / 256, primaries)).max() < 0.8
    lcms = ImageCms.profileToProfile(
        Image.fromarray(raw), io.BytesIO(profile), ImageCms.createProfile("sRGB"), renderingIntent=1, outputMode="RGB"
    )
    assert np.abs(found.astype(int) - np.asarray(lcms)).max() <= 1
    info = probe(data)
    assert (info["icc_profile"], info["converted_from"]) == (True, "by hand")
    assert probe(data, colour_management=False)["converted_from"] is None


def test_a_profile_with_a_table_is_applied() -> None:
    profile = icc.lut_profile(icc.P3, 2.2)
    found = decode(saved(PHOTO, "PNG", icc_profile=profile))
    lcms = ImageCms.profileToProfile(
        PHOTO, io.BytesIO(profile), ImageCms.createProfile("sRGB"), renderingIntent=1, outputMode="RGB"
    )
    difference = np.abs(found.astype(int) - np.asarray(lcms))
    # The two interpolate in cubes and in tetrahedra.
    assert difference.max() <= 12
    assert difference.mean() < 0.2


def test_grey_palettes_and_sixteen_bits() -> None:
    grey = np.asarray(PHOTO.convert("L"))
    triple = np.repeat(grey[..., None], 3, axis=2)
    for profile, gamma, primaries in (
        (icc.grey_profile(1.0), 1.0, icc.SRGB),
        (P3, EXPONENT, icc.P3),
    ):
        found = decode(saved(Image.fromarray(grey), "PNG", icc_profile=profile))
        assert np.abs(found - converted(triple, gamma, primaries)).max() < 0.6
        deep = decode(png(grey[..., None].astype(int) * 257, 16, 0, before=iccp(profile)))
        assert deep.dtype == np.uint16
        assert np.array_equal((deep.astype(int) + 128) // 257, found), "8 and 16 bits agree"
    palette = PHOTO.convert("P", palette=Image.Palette.ADAPTIVE, colors=50)
    found = decode(saved(palette, "PNG", icc_profile=P3))
    assert np.abs(found - converted(np.asarray(palette.convert("RGB")))).max() < 0.8
    deep = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), dtype=np.uint16)
    found = decode(png(deep, 16, 2, before=iccp(P3)))
    assert np.abs(found - converted(deep)).max() < 60, "0.25 of 256 levels"


def test_srgb_is_left_alone_whoever_wrote_the_profile() -> None:
    lcms = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = [
        iccp(lcms),
        chunk(b"sRGB", b"\0"),
        gama(45455),
        gama(45455) + chrm(SRGB_XY),
        chrm(P3_XY),
    ]
    same += [cicp(1, 13, 0, 1), cicp(2, 2, 0, 1)]
    for chunks in same:
        assert np.array_equal(decode(of_png(chunks)), np.asarray(PHOTO))
        assert probe(of_png(chunks))["converted_from"] is None


def test_the_strongest_chunk_counts() -> None:
    """PNG 3rd edition, 4.3: cICP, iCCP, sRGB, gAMA with cHRM."""
    weakest = gama(100000) + chrm(P3_XY)
    names = []
    for stronger in (b"", chunk(b"sRGB", b"\0"), iccp(P3), cicp(12, 13, 0, 1)):
        weakest += stronger
        names.append(probe(of_png(weakest))["converted_from"])
    assert names == ["gAMA 1 and cHRM", None, "P3 by hand", "cICP 12/13"]


#: What Chromium 156 draws on an sRGB canvas of a grey ramp (see the test) and of one colour.
SHOWN = {
    "gAMA 1": (gama(100000), [13, 38, 56, 79, 122, 168, 188, 229, 255], [164, 189, 226]),
    "gAMA 1 and cHRM": (gama(100000) + chrm(P3_XY), [13, 38, 56, 79, 122, 168, 188, 229, 255], [158, 190, 230]),
    "gAMA 0.55555": (gama(55555), [0, 3, 10, 26, 65, 119, 146, 210, 254], [114, 148, 205]),
    "gAMA 0.45455 and cHRM": (gama(45455) + chrm(P3_XY), [0, 1, 3, 12, 46, 100, 129, 201, 254], [84, 132, 201]),
    "cICP 12/13": (cicp(12, 13, 0, 1), [1, 5, 10, 20, 50, 100, 128, 200, 254], [85, 131, 199]),
    "cICP 1/1": (cicp(1, 1, 0, 1), [0, 0, 1, 7, 39, 91, 121, 197, 254], [86, 123, 191]),
    "cICP 1/4": (cicp(1, 4, 0, 1), [0, 1, 3, 12, 46, 100, 129, 201, 254], [95, 131, 195]),
    "cICP 1/8": (cicp(1, 8, 0, 1), [13, 38, 56, 79, 122, 168, 188, 229, 255], [164, 189, 226]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_chunks_mean_what_a_browser_shows(name: str) -> None:
    chunks, ramp, colour = SHOWN[name]
    greys = np.repeat(np.array([[1, 5, 10, 20, 50, 100, 128, 200, 254]], np.uint8)[..., None], 3, axis=2)
    samples = np.concatenate([greys, np.array([[[95, 130, 194]]], np.uint8)], axis=1)
    data = png(samples, 8, 2, before=chunks)
    expected = np.concatenate([np.repeat(np.array([ramp])[..., None], 3, axis=2), [[colour]]], axis=1)
    assert np.abs(decode(data).astype(int) - expected).max() <= 1
    assert probe(data)["converted_from"] == name


def jpeg_part(number: int, of: int, part: bytes) -> bytes:
    return b"\xff\xe2" + struct.pack(">H", len(part) + 16) + b"ICC_PROFILE\0" + bytes([number, of]) + part


def test_a_profile_in_several_segments() -> None:
    plain = saved(PHOTO, "JPEG", quality=95)
    first, second = jpeg_part(1, 2, P3[:200]), jpeg_part(2, 2, P3[200:])
    expected = decode(saved(PHOTO, "JPEG", quality=95, icc_profile=P3))
    for parts in (first + second, second + first):
        assert np.array_equal(decode(plain[:2] + parts + plain[2:]), expected)
    with pytest.raises(ValueError, match="has an ICC profile of which parts are missing; save it as sRGB, or compare"):
        decode(plain[:2] + first + plain[2:])


def test_a_profile_in_a_bmp() -> None:
    """Version 5 of the header (124 bytes): MBED at byte 56, the profile's place and length at 112."""
    pixels = np.asarray(PHOTO)[::-1, :, ::-1].tobytes()
    data = bytearray(bmp(PHOTO.width, PHOTO.height, 24, pixels, header=124) + P3)
    data[14 + 56 : 14 + 60] = b"DEBM"
    data[14 + 112 : 14 + 120] = struct.pack("<II", len(data) - len(P3) - 14, len(P3))
    assert np.array_equal(decode(bytes(data)), decode(saved(PHOTO, "PNG", icc_profile=P3)))
    assert np.array_equal(decode(bytes(data), colour_management=False), np.asarray(PHOTO))
    with pytest.raises(ValueError, match="is a truncated BMP"):
        decode(bytes(data[:-1]))


UNREADABLE = "has an ICC profile that can't be read"
REFUSED = {
    "damaged": (of_png(iccp(P3[:150])), UNREADABLE),
    "no deflate": (of_png(chunk(b"iCCP", b"x\0\0nothing")), UNREADABLE),
    "no method": (of_png(chunk(b"iCCP", b"x\0\1" + zlib.compress(P3))), UNREADABLE),
    "a bomb": (of_png(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 25)))), UNREADABLE),
    "grey profile": (of_png(iccp(icc.grey_profile(2.2))), "is RGB, but its ICC profile .* is for grey images"),
    "PQ": (of_png(cicp(12, 16, 0, 1)), "is an HDR image"),
    "HLG": (of_png(cicp(9, 18, 0, 1)), "is an HDR image"),
    "PQ in a profile": (of_png(iccp(icc.rgb_profile(icc.P3, 2.2, cicp=bytes([9, 16, 0, 1])))), "is an HDR image"),
    "primaries on a line": (
        of_png(gama(100000) + chrm((31270, 32900, 30000, 30000, 30000, 31000, 30000, 32000))),
        "has a cHRM chunk of colours that can't be",
    ),
    "unknown primaries": (of_png(cicp(3, 13, 0, 1)), "has a cICP chunk that pixq can't convert"),
    "narrow range": (of_png(cicp(1, 13, 0, 0)), "has a cICP chunk that pixq can't convert"),
    "YCbCr": (of_png(cicp(1, 13, 1, 1)), "has a cICP chunk that pixq can't convert"),
    "tiff": (saved(PHOTO, "TIFF", icc_profile=b"nothing" * 9), UNREADABLE),
    "webp": (saved(PHOTO, "WEBP", lossless=True, icc_profile=b"nothing" * 9), UNREADABLE),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_colours_that_can_not_be_converted(name: str) -> None:
    data, expected = REFUSED[name]
    for call in (decode, probe):
        with pytest.raises(ValueError, match=expected) as caught:
            call(data)
        assert "compare raw samples with --no-colour-management" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert np.array_equal(decode(data, colour_management=False), np.asarray(PHOTO))


def test_the_same_bytes_on_any_number_of_threads() -> None:
    image = photo(400, 500, 3)
    data = saved(image, "PNG", icc_profile=P3)
    found = []
    for threads in (1, 4):
        set_num_threads(threads)
        found.append(decode(data))
    assert np.array_equal(*found)
    assert np.abs(found[0] - converted(np.asarray(image))).max() < 0.8


def test_the_orientation_and_the_conversion() -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = saved(PHOTO, "PNG", icc_profile=P3, exif=exif.tobytes())
    assert np.array_equal(decode(data), np.rot90(decode(saved(PHOTO, "PNG", icc_profile=P3)), -1))


def test_pixels_of_another_reader() -> None:
    data = saved(PHOTO, "TIFF", compression="zstd", icc_profile=P3)
    header = probe(data)
    assert (header["pillow"], header["converted_from"]) == (True, "P3 by hand")
    assert np.array_equal(decode(data), decode(saved(PHOTO, "PNG", icc_profile=P3)))
    with pytest.raises(ValueError, match=r"is for grey images"):
        decode(saved(PHOTO, "TIFF", compression="zstd", icc_profile=icc.grey_profile(2.2)))
