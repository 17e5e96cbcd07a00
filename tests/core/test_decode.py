"""Decoding against Pillow, against files made by hand, and against bad files."""

import doctest
import os
import random
import struct
import threading
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixq._core import decode, probe
from support import decode_fixtures as make
from support.decode_fixtures import bmp, chunk, photo, pillow, png, saved, tiff
from support.trees import data_dir

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
SEEDS = st.integers(0, 2**32 - 1)


def same(data: bytes) -> None:
    """`data` decodes to Pillow's pixels, and its header says what they are."""
    found, expected = decode(data), pillow(data)
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)
    info = probe(data)
    assert (info["height"], info["width"], info["bit_depth"]) == (*found.shape[:2], 8)


# Real images


@pytest.mark.parametrize("pattern", ["*.png", "*.jpg"])
def test_real_images_equal_pillow(pattern: str) -> None:
    files = sorted(data_dir().rglob(pattern))
    assert len(files) > 300
    for path in files[::25]:
        assert np.array_equal(decode(path), pillow(path)), path


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["*.png", "*.jpg"])
def test_all_real_images_equal_pillow(pattern: str) -> None:
    for path in data_dir().rglob(pattern):
        assert np.array_equal(decode(path), pillow(path)), path


# PNG


@given(SIZES, SEEDS, st.sampled_from(["1", "L", "P", "RGB"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_png_by_pillow(size: tuple[int, int], seed: int, mode: str, optimize: bool) -> None:
    same(saved(photo(*size, seed).convert(mode), "PNG", optimize=optimize))


LAYOUTS = [(d, 0) for d in (1, 2, 4, 8)] + [(d, 3) for d in (1, 2, 4, 8)] + [(8, 2)]


@given(SIZES, SEEDS, st.sampled_from(LAYOUTS), st.booleans(), st.lists(st.integers(0, 4), min_size=1, max_size=9))
@settings(max_examples=150, deadline=None)
def test_png_of_every_kind(
    size: tuple[int, int], seed: int, layout: tuple[int, int], interlaced: bool, filters: list[int]
) -> None:
    depth, colour = layout
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, 2**depth, (*size, 3 if colour == 2 else 1))
    # A short palette: samples beyond its end are black, as in Pillow.
    colours = rng.integers(0, 256, 3 * rng.integers(1, 2**depth + 1), np.uint8).tobytes()
    before = chunk(b"PLTE", colours) if colour == 3 else b""
    same(png(samples, depth, colour, interlaced=interlaced, filters=filters, before=before, pieces=3))


@pytest.mark.parametrize("width", [1, 2, 3, 4, 125, 126, 127, 128, 129, 130, 131, 132, 260])
def test_png_filters_over_wide_rows(width: int) -> None:
    samples = np.random.default_rng(width).integers(0, 256, (13, width, 3))
    for filters in ([4], [1, 2, 3, 4, 0], [4, 4, 4, 3]):
        data = png(samples, 8, 2, filters=filters)
        assert np.array_equal(decode(data), samples)
        same(data)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_16_bits_stays_16_bits(channels: int, interlaced: bool) -> None:
    samples = np.random.default_rng(3).integers(0, 65536, (11, 13, channels))
    data = png(samples, 16, 0 if channels == 1 else 2, interlaced=interlaced, filters=[0, 1, 2, 3, 4])
    found = decode(data)
    assert found.dtype == np.uint16
    assert np.array_equal(found, np.broadcast_to(samples, (11, 13, 3)))
    assert probe(data)["bit_depth"] == 16


# JPEG


@given(
    SIZES,
    SEEDS,
    st.sampled_from([1, 30, 75, 95, 100]),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    st.sampled_from(["RGB", "L"]),
    st.booleans(),
    st.sampled_from([0, 1, 3]),
)
@settings(max_examples=120, deadline=None)
def test_jpeg(
    size: tuple[int, int], seed: int, quality: int, subsampling: str, mode: str, progressive: bool, restart: int
) -> None:
    image = photo(*size, seed).convert(mode)
    options = {"subsampling": subsampling} if mode == "RGB" else {}
    same(saved(image, "JPEG", quality=quality, progressive=progressive, restart_marker_blocks=restart, **options))


def test_jpeg_of_rare_samplings() -> None:
    wide, square = (saved(photo(48, 80), "JPEG", subsampling=s) for s in ("4:2:2", "4:2:0"))
    same(make.resampled(wide, 0x12, 96, 40))
    same(make.resampled(square, 0x41, 24, 160))
    same(make.resampled(square, 0x14, 96, 40))


def test_jpeg_that_stores_rgb() -> None:
    same(saved(photo(19, 21), "JPEG", keep_rgb=True))


def test_jpeg_with_what_leaves_pixels_alone_passes() -> None:
    data = saved(photo(40, 56), "JPEG")
    rgb = saved(photo(40, 56), "JPEG", keep_rgb=True)
    adobe = rgb.index(b"Adobe") + 11
    for odd in [
        data + b"after the end",
        data[:20] + b"\xff\xff" + data[20:],
        data.replace(b"JFIF\0\1", b"JFIF\0\2"),
        rgb[:adobe] + b"\7" + rgb[adobe + 1 :],
    ]:
        same(odd)


# BMP


@given(SIZES, SEEDS, st.sampled_from(["1", "L", "P", "RGB", "RGBA"]))
@settings(max_examples=60, deadline=None)
def test_bmp_by_pillow(size: tuple[int, int], seed: int, mode: str) -> None:
    same(saved(photo(*size, seed).convert(mode), "BMP"))


@given(SIZES, SEEDS, st.sampled_from([1, 4, 8, 16, 24, 32]), st.booleans(), st.sampled_from([12, 40, 64, 108, 124]))
@settings(max_examples=120, deadline=None)
def test_bmp_of_every_depth(size: tuple[int, int], seed: int, bits: int, top_down: bool, header: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = size
    pixels = rng.bytes((width * bits + 31) // 32 * 4 * height)
    colours = rng.bytes((3 if header == 12 else 4) * 2**bits) if bits <= 8 else b""
    if header == 12:
        top_down = False
    same(bmp(width, -height if top_down else height, bits, pixels, colours=colours, header=header))


MASKS = [
    (16, (0xF800, 0x7E0, 0x1F)), (16, (0x7C00, 0x3E0, 0x1F)), (24, (0xFF0000, 0xFF00, 0xFF)),
    (32, (0xFF0000, 0xFF00, 0xFF)), (32, (0xFF000000, 0xFF0000, 0xFF00)), (32, (0xFF000000, 0xFF00, 0xFF)),
]  # fmt: skip


@pytest.mark.parametrize(("bits", "masks"), MASKS)
@pytest.mark.parametrize("header", [40, 108])
def test_bmp_with_masks(bits: int, masks: tuple[int, ...], header: int) -> None:
    pixels = np.random.default_rng(5).bytes((7 * bits + 31) // 32 * 4 * 5)
    same(bmp(7, 5, bits, pixels, compression=3, masks=masks, header=header))


@given(SEEDS, st.sampled_from([4, 8]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_bmp_by_run_lengths(seed: int, bits: int, top_down: bool) -> None:
    rng = random.Random(seed)
    stream = b""
    for _ in range(rng.randrange(1, 40)):
        count = rng.randrange(3, 20)
        literal = rng.randbytes((count * bits + 7) // 8)
        stream += rng.choice([
            bytes([rng.randrange(1, 30), rng.randrange(256)]),
            bytes([0, count]) + literal + b"\0" * (len(literal) % 2),
            b"\0\0",
            bytes([0, 2, rng.randrange(5), rng.randrange(2)]),
        ])  # fmt: skip
    # Enough to fill what is left.
    stream += b"".join(bytes([11, rng.randrange(256)]) + b"\0\0" for _ in range(10))
    data = bmp(
        11, -9 if top_down else 9, bits, stream, compression=1 if bits == 8 else 2, colours=rng.randbytes(4 * 2**bits)
    )
    try:
        pillow(data)
    except (OSError, ValueError):
        with pytest.raises(ValueError, match="truncated BMP"):
            decode(data)
    else:
        same(data)


# WebP and TIFF


@given(SIZES, SEEDS, st.booleans(), st.sampled_from([1, 60, 100]))
@settings(max_examples=40, deadline=None)
def test_webp(size: tuple[int, int], seed: int, lossless: bool, quality: int) -> None:
    same(saved(photo(*size, seed), "WEBP", lossless=lossless, quality=quality))


@given(
    SIZES,
    SEEDS,
    st.sampled_from(["1", "L", "P", "RGB"]),
    st.sampled_from([None, "tiff_lzw", "tiff_deflate", "packbits"]),
)
@settings(max_examples=80, deadline=None)
def test_tiff(size: tuple[int, int], seed: int, mode: str, compression: str | None) -> None:
    same(saved(photo(*size, seed).convert(mode), "TIFF", compression=compression))


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_by_hand(order: str) -> None:
    rng = np.random.default_rng(2)
    size = {256: (5,), 257: (3,)}
    rgb = rng.integers(0, 256, (3, 5, 3), np.uint8)
    tags = size | {277: (3,), 262: (2,), 258: (8, 8, 8)}
    assert np.array_equal(decode(tiff(tags, rgb.tobytes(), order=order)), rgb)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)).tobytes()
    assert np.array_equal(decode(tiff(tags | {284: (2,)}, planes, strips=3, order=order)), rgb)
    deep = rng.integers(0, 65536, (3, 5, 3)).astype(f"{order}u2")
    assert np.array_equal(decode(tiff(tags | {258: (16, 16, 16)}, deep.tobytes(), order=order)), deep)

    wide = rng.integers(0, 65536, (3, 5)).astype(f"{order}u2")
    for photometric, expected in [(1, wide), (0, 65535 - wide.astype(int))]:
        data = tiff(size | {262: (photometric,), 258: (16,)}, wide.tobytes(), order=order)
        found = decode(data)
        assert found.dtype == np.uint16
        assert np.array_equal(found, np.repeat(expected[..., None], 3, axis=-1))
    for bits in (1, 2, 4, 8):
        grey = rng.integers(0, 2**bits, (3, 5, 1))
        for photometric in (0, 1):
            data = tiff(size | {262: (photometric,), 258: (bits,)}, make.packed(grey, bits).tobytes(), order=order)
            level = grey if photometric else 2**bits - 1 - grey
            assert np.array_equal(decode(data), np.repeat(level * (255 // (2**bits - 1)), 3, axis=-1))


# Orientation and profiles


def with_orientation(format: str, value: int) -> bytes:
    image, exif = photo(7, 12), Image.Exif()
    exif[274] = value
    if format == "TIFF":
        return saved(image, format, tiffinfo={274: value})
    return saved(image, format, exif=exif.tobytes(), **({"lossless": True} if format == "WEBP" else {}))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(10))
def test_orientation_is_applied(format: str, value: int) -> None:
    data = with_orientation(format, value)
    same(data)
    assert probe(data)["orientation"] == (value if 1 <= value <= 8 else 1)
    assert decode(data).shape == ((12, 7, 3) if 5 <= value <= 8 else (7, 12, 3))


def exif_block(order: str, kind: int, value: int) -> bytes:
    field = struct.pack(f"{order}{'H' if kind == 3 else 'I'}", value).ljust(4, b"\0")
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return start + struct.pack(f"{order}HHHI", 1, 274, kind, 1) + field + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("late", [False, True])
def test_orientation_of_16_bits_and_either_byte_order(order: str, kind: int, late: bool) -> None:
    samples = np.random.default_rng(1).integers(0, 65536, (40, 70, 3))
    block = chunk(b"eXIf", exif_block(order, kind, 6))
    data = png(samples, 16, 2, before=b"" if late else block, after=block if late else b"")
    assert np.array_equal(decode(data), np.rot90(samples, -1))


def test_of_two_orientations_the_first_counts() -> None:
    entries = b"".join(struct.pack("<HHIHH", 274, 3, 1, value, 0) for value in (3, 6))
    block = b"II" + struct.pack("<HIH", 42, 8, 2) + entries + bytes(4)
    same(png(np.arange(18).reshape(2, 3, 3), 8, 2, before=chunk(b"eXIf", block)))


def test_a_senseless_exif_is_passed_over() -> None:
    image = np.zeros((2, 3, 3), int)
    for block in [
        b"",
        b"II",
        b"Exif\0\0",
        b"II*\0\xff\xff\xff\xff",
        exif_block("<", 3, 6)[:-10],
        b"MM\0*" + b"\xff" * 40,
    ]:
        assert decode(png(image, 8, 2, before=chunk(b"eXIf", block))).shape == (2, 3, 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_profile_is_noted_whatever_is_in_it(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    plain = saved(photo(8, 9), format, **options)
    profiled = saved(photo(8, 9), format, icc_profile=b"any profile" * 20, **options)
    raw = {"colour_management": False}
    assert [probe(data, **raw)["icc_profile"] for data in (plain, profiled)] == [False, True]
    assert np.array_equal(decode(plain), decode(profiled, **raw))


# The call


def test_paths_and_names(tmp_path: Path) -> None:
    data = saved(photo(4, 5), "PNG")
    names = [b"plain.jpg", b"no-suffix", b"line\nbreak.png", b"latin-\xe9.png", "日本.bmp".encode()]
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        Path(os.fsdecode(path)).write_bytes(data)
        for source in (os.fsdecode(path), Path(os.fsdecode(path))):
            assert np.array_equal(decode(source), pillow(data))
            assert probe(source)["format"] == "png"


def test_the_array_is_the_callers_own() -> None:
    found = decode(saved(photo(4, 5), "PNG"))
    assert found.flags.c_contiguous
    assert found.flags.writeable
    found[:] = 7
    assert int(found.sum()) == 7 * 60


def test_missing_files_are_os_errors(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.png"
    for call in (decode, probe):
        with pytest.raises(FileNotFoundError) as missing_error:
            call(missing)
        assert os.fspath(missing_error.value.filename) == str(missing)
        with pytest.raises(IsADirectoryError):
            call(tmp_path)
        with pytest.raises(TypeError, match="'source' has type int; expected a path"):
            call(cast(Any, 3))


def test_errors_name_the_file_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.png"
    path.write_bytes(b"8BPS")
    with pytest.raises(ValueError, match=r"lines\.png: is not a PNG, JPEG") as error:
        decode(path)
    assert "\n" not in str(error.value)


def test_docstrings_run() -> None:
    for function in (decode, probe):
        test = doctest.DocTestParser().get_doctest(
            function.__doc__ or "", {"decode": decode, "probe": probe}, function.__name__, None, None
        )
        results = doctest.DocTestRunner().run(test)
        assert results.attempted >= 4
        assert results.failed == 0


@pytest.mark.slow
def test_the_gil_is_released(tmp_path: Path) -> None:
    data = saved(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), np.uint8)), "PNG", compress_level=1
    )
    spans: list[float] = []

    def work() -> None:
        spans.append(time.perf_counter())
        decode(data)
        spans.append(time.perf_counter())

    thread = threading.Thread(target=work)
    ticks: list[float] = []
    thread.start()
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0)
    # With the GIL held nothing could tick between the two stamps but at their edges.
    start, end = spans
    middle = [t for t in ticks if start + (end - start) * 0.2 < t < start + (end - start) * 0.8]
    assert len(middle) > 3
