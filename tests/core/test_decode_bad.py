"""What is refused, and that it is refused in words, before memory is taken, and never by a panic."""

import json
import random
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixq._core import decode, probe
from support import decode_fixtures as make
from support import icc
from support.decode_fixtures import SIGNATURE, bmp, chunk, forged, ihdr, photo, png, saved, tiff, webp

RGB = np.random.default_rng(0).integers(0, 256, (6, 7, 3))
GREY = RGB[..., :1]
PLAIN = png(RGB, 8, 2, filters=[4])
JPEG = saved(photo(24, 31), "JPEG")
PALETTE = chunk(b"PLTE", bytes(range(30)))
DATA = chunk(b"IDAT", zlib.compress(bytes(22 * 6)))
END = chunk(b"IEND", b"")
FRAMES = {"save_all": True, "append_images": [photo(8, 9, 1), photo(8, 9, 2)]}


def glass(mode: str) -> Image.Image:
    """A picture that is not opaque everywhere."""
    image = photo(8, 9).convert(mode)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def vp8(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(60)


def vp8l(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(60)


def vp8x(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def two_pages() -> bytes:
    return saved(photo(8, 9), "TIFF", **FRAMES)


# A file, and what its message says.
BAD = {
    "empty": (b"", r"is empty; get an intact copy"),
    "text": (b"hello, world", r"is not a PNG, JPEG, .* or JPEG XL image; convert it"),
    "photoshop": (b"8BPS\0\1" + bytes(99), r"is not a PNG, JPEG, .* or JPEG XL image; convert it"),
    "png rgba": (saved(glass("RGBA"), "PNG"), r"has transparent pixels; save it without them, or choose"),
    "png la": (saved(glass("LA"), "PNG"), r"has transparent pixels; save it without them, or choose"),
    "png trns rgb": (
        png(RGB, 8, 2, before=chunk(b"tRNS", RGB[0, 0].astype(">u2").tobytes())),
        r"has transparent pixels; save it without them, or choose",
    ),
    "png trns grey": (
        png(GREY, 8, 0, before=chunk(b"tRNS", GREY[0, 0].astype(">u2").tobytes())),
        r"has transparent pixels; save it without them, or choose",
    ),
    "png trns palette": (
        png(GREY % 10, 8, 3, before=PALETTE + chunk(b"tRNS", b"\0")),
        r"has transparent pixels; save it without them, or choose",
    ),
    "apng": (saved(photo(8, 9), "PNG", **FRAMES), r"is an animated PNG; choose one of its frames"),
    "png without palette": (png(GREY, 8, 3), r"is a corrupt PNG \(.*palette.*\); get an intact copy"),
    "png of 3 bits": (png(GREY % 8, 4, 0).replace(ihdr(7, 6, 4, 0), ihdr(7, 6, 3, 0)), r"colour type 0 with 3 bits"),
    "png of no width": (SIGNATURE + ihdr(0, 6) + DATA + END, r"has no pixels \(its header says 0x6\)"),
    "png without data": (SIGNATURE + ihdr(7, 6) + END, r"is a corrupt PNG \(its data ends after 0 of 6 rows\)"),
    "png with half its data": (
        SIGNATURE + ihdr(7, 6) + chunk(b"IDAT", zlib.compress(bytes(66))) + END,
        r"its data ends after 3 of 6 rows",
    ),
    "png of another filter": (
        SIGNATURE + ihdr(7, 6) + chunk(b"IDAT", zlib.compress(b"\5" * 132)) + END,
        r"a filter that PNG does not have",
    ),
    "png with a bad checksum": (
        SIGNATURE + ihdr(7, 6) + chunk(b"IDAT", zlib.compress(bytes(132)), crc=1) + END,
        r"the checksum of IDAT is wrong",
    ),
    "png with a bad small chunk": (
        png(RGB, 8, 2, before=chunk(b"gAMA", b"\0\0\xb1\x8f", crc=1)),
        r"the checksum of gAMA is",
    ),
    "grey png with a bad small chunk": (
        png(GREY, 8, 0, before=chunk(b"gAMA", b"\0\0\xb1\x8f", crc=1)),
        r"is a corrupt PNG \(CRC",
    ),
    "png with an unknown chunk": (png(RGB, 8, 2, before=chunk(b"ABCD", b"")), r"a chunk named ABCD"),
    "png of no deflate": (SIGNATURE + ihdr(7, 6) + chunk(b"IDAT", b"x" * 99) + END, r"its data can't be inflated"),
    "png with two headers": (png(GREY, 8, 0, before=ihdr(7, 6, 8, 0)), r"is a corrupt PNG"),
    "cmyk jpeg": (saved(photo(8, 9).convert("CMYK"), "JPEG"), r"is a CMYK JPEG; convert it to RGB first"),
    "jpeg with an early end": (JPEG[:-40] + JPEG[-2:], r"is a corrupt JPEG \(the data of a scan end early\)"),
    "jpeg without its last rows": (JPEG[:-40], r"is a truncated JPEG; get an intact copy"),
    "jpeg of no scan": (JPEG[:2] + b"\xff\xd9", r"is a corrupt JPEG \(it ends before its first scan\)"),
    "jpeg of no height": (forged(JPEG, 0, 31), r"has no pixels"),
    "jpeg of 12 bits": (
        JPEG[: make.frame(JPEG)] + b"\x0c" + JPEG[make.frame(JPEG) + 1 :],
        r"is a JPEG with 12 bits per channel; save it with 8",
    ),
    "jpeg with a wrong restart": (
        saved(photo(40, 56), "JPEG", restart_marker_blocks=1).replace(b"\xff\xd2", b"\xff\xd5", 1),
        r"is a corrupt JPEG \(found marker 0xd5 instead of RST2\)",
    ),
    "bmp with an alpha mask": (
        bmp(3, 2, 32, bytes(range(24)), compression=3, header=108, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
        r"has transparent pixels; save it without them, or choose",
    ),
    "bmp of 2 bits": (
        bmp(3, 2, 2, bytes(8), colours=bytes(16)),
        r"is a BMP with 2 bits per pixel and compression 0; save it",
    ),
    "bmp of odd masks": (
        bmp(3, 2, 32, bytes(24), compression=3, masks=(1, 2, 4)),
        r"colour masks 0x1, 0x2, 0x4; save it",
    ),
    "bmp with a jpeg": (bmp(3, 2, 0, bytes(24), compression=4), r"is a BMP with a JPEG or PNG inside"),
    "bmp of another header": (
        b"BM" + bytes(8) + struct.pack("<II", 54, 41) + bytes(99),
        r"corrupt BMP \(a header of 41",
    ),
    "bmp of no height": (bmp(3, 0, 24, bytes(24)), r"has no pixels \(its header says 3x0\)"),
    "animated webp": (saved(photo(8, 9), "WEBP", **FRAMES), r"is an animated WebP; choose one of its frames"),
    "webp with alpha": (
        saved(photo(8, 9).convert("RGBA").rotate(30), "WEBP"),
        r"has transparent pixels; save it without them, or choose",
    ),
    "lossless webp with alpha": (
        saved(photo(8, 9).convert("RGBA").rotate(30), "WEBP", lossless=True),
        r"has transparent pixels; save it without them, or choose",
    ),
    "webp with a larger frame": (webp(vp8x(1, 1), vp8(999, 999)), r"its frame differs in size from its canvas"),
    "tiff of two pages": (two_pages(), r"is a TIFF with several pages; choose one of its frames"),
    "tiff with alpha": (saved(glass("RGBA"), "TIFF"), r"has transparent pixels; save it without them, or choose"),
    "tiff of 32 bits": (
        saved(photo(8, 9).convert("I"), "TIFF"),
        r"holds signed, floating-point or 32-bit samples; convert it",
    ),
    "tiff of floats": (
        saved(photo(8, 9).convert("F"), "TIFF"),
        r"holds signed, floating-point or 32-bit samples; convert it",
    ),
    "cmyk tiff": (saved(photo(8, 9).convert("CMYK"), "TIFF"), r"is a CMYK TIFF; convert it to RGB first"),
    "lab tiff": (saved(photo(8, 9).convert("LAB"), "TIFF"), r"is a TIFF that is not grey, RGB or palette; convert it"),
    "tiff of an unknown compression": (
        tiff({256: (4,), 257: (1,), 262: (1,), 258: (8,), 259: (9999,)}, bytes(6)),
        r"is a TIFF with compression 9999; save it with LZW",
    ),
    "tiff of 12 bits": (
        tiff({256: (4,), 257: (1,), 262: (1,), 258: (12,)}, bytes(6)),
        r"12 bits per channel; convert it to 8 or 16",
    ),
    "tiff of no size": (tiff({262: (1,), 258: (8,)}, bytes(6)), r"has no pixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_words(name: str, tmp_path: Path) -> None:
    data, message = BAD[name]
    path = tmp_path / "picture.dat"
    path.write_bytes(data)
    for source, start in ((data, "<bytes>: "), (path, f"{path}: ")):
        with pytest.raises(ValueError, match=message) as error:
            decode(source)
        assert str(error.value).startswith(start)
        assert "\n" not in str(error.value)


def test_the_limit_is_a_number_of_pixels() -> None:
    for data in (
        PLAIN,
        png(GREY, 8, 0),
        saved(photo(6, 7), "JPEG"),
        saved(photo(6, 7), "BMP"),
        saved(photo(6, 7), "WEBP"),
        saved(photo(6, 7), "TIFF"),
    ):
        assert decode(data, max_pixels=42).shape == (6, 7, 3)
        for call in (decode, probe):
            with pytest.raises(
                ValueError, match="is 7x6, more than the limit of 41 pixels; raise max_pixels if you trust"
            ):
                call(data, max_pixels=41)


BIG = 60000
# Forged headers: a claim above the default limit, and one within it that the few bytes can't hold.
HUGE = {
    "png": SIGNATURE + ihdr(BIG, BIG) + DATA + END,
    "bmp": bmp(BIG, BIG, 24, bytes(99)),
    "bmp by run lengths": bmp(BIG, BIG, 8, b"\0\2\xff\xff" * 20, compression=1, colours=bytes(1024)),
    "jpeg": forged(JPEG, 65500, 65500),
    "progressive jpeg": forged(saved(photo(24, 31), "JPEG", progressive=True), 65500, 65500),
    "webp": webp(vp8x(BIG, BIG), vp8(16383, 16383)),
    "tiff": tiff({256: (BIG,), 257: (BIG,), 262: (2,), 277: (3,), 258: (8, 8, 8), 278: (BIG,)}, bytes(99)),
}
LARGE = {
    "png": SIGNATURE + ihdr(16000, 16000) + DATA + END,
    "grey png": SIGNATURE + ihdr(16000, 16000, 16, 0) + DATA + END,
    "bmp": bmp(16000, 16000, 24, bytes(99)),
    "bmp by run lengths": bmp(16000, 16000, 8, b"\1\1" * 20, compression=1, colours=bytes(1024)),
    "jpeg": forged(JPEG, 16000, 16000),
    "progressive jpeg": forged(saved(photo(24, 31), "JPEG", progressive=True), 16000, 16000),
    "lossy webp": webp(vp8(16000, 16000)),
    "lossless webp": webp(vp8l(16000, 16000)),
    "webp with a larger frame": webp(vp8x(2, 2), vp8(16000, 16000)),
    "tiff": tiff({256: (16000,), 257: (16000,), 262: (2,), 277: (3,), 258: (8, 8, 8), 278: (16000,)}, bytes(99)),
    "tiff by deflate": tiff(
        {256: (16000,), 257: (16000,), 262: (1,), 258: (16,), 278: (16000,), 259: (8,)}, zlib.compress(bytes(99))
    ),
}

CHILD = """
import json, resource, sys
from pixq._core import decode
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
said = []
for path in sys.argv[1:]:
    try:
        decode(path)
        said.append("decoded")
    except ValueError as error:
        said.append(str(error))
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start, said]))
"""


def in_child(files: dict[str, bytes], tmp_path: Path, limit_mib: int | None = None) -> tuple[int, list[str]]:
    """Decode in a process of its own: MiB by which its peak grew, and what it said."""
    paths = []
    for index, data in enumerate(files.values()):
        paths.append(tmp_path / f"{index}.bin")
        paths[-1].write_bytes(data)

    def limited() -> None:
        if limit_mib is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit_mib << 20, limit_mib << 20))

    child = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths)], check=True, capture_output=True, text=True, preexec_fn=limited,
        env={"PYTHONPATH": ":".join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.stderr == ""
    grown, said = json.loads(child.stdout)
    return grown >> 10, said


def test_forged_sizes_hit_the_limit_before_memory_is_taken(tmp_path: Path) -> None:
    assert all(len(data) < 2000 for data in HUGE.values())
    # 60000x60000 would be 10 GiB; the interpreter and NumPy fit into one.
    grown, said = in_child(HUGE, tmp_path, limit_mib=1024)
    assert grown < 20
    for name, line in zip(HUGE, said, strict=True):
        assert "more than the limit of 268435456 pixels; raise max_pixels" in line, name


def test_forged_sizes_within_the_limit_take_no_memory_either(tmp_path: Path) -> None:
    grown, said = in_child(LARGE, tmp_path)
    # The address space for 768 MiB of pixels may be asked for, but it is not written.
    assert grown < 60
    for name, line in zip(LARGE, said, strict=True):
        # A WebP of one colour may be as small as these; of the others the header alone tells.
        if "webp" in name:
            words = ("truncated", "differs in size", "more than the limit of 65536 pixels per byte")
            assert any(word in line for word in words), (name, line)
        else:
            assert "is truncated or forged (its header says 16000x16000 but it has" in line, (name, line)
            with pytest.raises(ValueError, match=r"forged \(its header says 16000x16000 but it has \d+ bytes\)"):
                probe(LARGE[name])


@pytest.mark.slow
def test_no_memory_is_an_error(tmp_path: Path) -> None:
    image = Image.new("L", (16000, 16000))
    files = {format: saved(image, format) for format in ("PNG", "JPEG")}
    files["BMP"] = bmp(16000, 16000, 8, b"\xff\1" * 16000 * 63, compression=1, colours=bytes(1024))
    _, said = in_child(files, tmp_path, limit_mib=700)
    for name, line in zip(files, said, strict=True):
        assert "MiB, more memory than this machine has free" in line, (name, line)


def samples() -> dict[str, bytes]:
    """A small sound file of each kind."""
    image = photo(24, 31)
    exif = Image.Exif()
    exif[274] = 6
    return {
        "png": png(np.asarray(image), 8, 2, filters=[4, 1, 3]),
        "grey png": png(np.asarray(image)[..., :1] % 16, 4, 0, interlaced=True),
        "palette png": saved(image.convert("P"), "PNG", exif=exif.tobytes()),
        "deep png": png(np.asarray(image).astype(int) * 257, 16, 2),
        "png with a profile": saved(image, "PNG", icc_profile=icc.rgb_profile(icc.P3, 2.2)),
        "opaque rgba png": saved(image.convert("RGBA"), "PNG"),
        "jpeg": saved(image, "JPEG", exif=exif.tobytes(), comment=bytes(50)),
        "progressive jpeg": saved(image, "JPEG", progressive=True),
        "bmp": saved(image, "BMP"),
        "palette bmp": saved(image.convert("P"), "BMP"),
        "bmp by run lengths": bmp(9, 4, 8, b"\4\1\0\3abc\0\0\2\1\0\1\5\0\0" * 4, compression=1, colours=bytes(1024)),
        "lossy webp": saved(image, "WEBP", exif=exif.tobytes()),
        "lossless webp": saved(image, "WEBP", lossless=True),
        "tiff": saved(image.convert("RGBA"), "TIFF", compression="tiff_lzw"),
        "palette tiff": saved(image.convert("P"), "TIFF", compression="tiff_deflate"),
        "packbits tiff": saved(image, "TIFF", compression="packbits"),
    }


SAMPLES = samples()


def test_a_bad_file_leaves_nothing_behind_for_the_next() -> None:
    # A segment that is too short for what it should hold: libjpeg stops in the middle of the header.
    broken = JPEG.replace(b"\xff\xdb\0\x43", b"\xff\xdb\0\x42", 1)
    for bad in (broken, JPEG[:-40], *(data for data, _ in BAD.values())):
        with pytest.raises(ValueError, match="<bytes>: "):
            decode(bad)
        assert np.array_equal(decode(JPEG), make.pillow(JPEG))


def message(data: bytes, max_pixels: int = 1 << 16) -> str | None:
    """What `decode` says against the bytes; None if it takes them."""
    try:
        assert decode(data, max_pixels=max_pixels).shape[2] == 3
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", SAMPLES)
def test_every_truncation_is_an_error(name: str) -> None:
    data = SAMPLES[name]
    assert message(data) is None
    # Padding at the end of the last row or chunk, and the directory's tail of a TIFF, hold nothing.
    spare = {"bmp": 3, "palette bmp": 1, "lossy webp": 1, "lossless webp": 1, "jpeg": 2, "progressive jpeg": 2}.get(
        name, 0
    )
    if name == "bmp by run lengths" or "tiff" in name:
        spare = len(data) // 2
    for length in range(len(data) - spare):
        said = message(data[:length])
        assert said is not None, f"{length} of {len(data)} bytes decoded"
        assert said.startswith("<bytes>: ")
        assert "\n" not in said


# A JPEG with stray bytes is read with a warning.
@pytest.mark.filterwarnings("ignore::pixq.errors.DamagedImageWarning")
@pytest.mark.parametrize("name", SAMPLES)
def test_damage_is_an_error_or_an_image_and_never_a_panic(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(name)
    refused = 0
    for _ in range(1500):
        data = bytearray(SAMPLES[name])
        # Mostly near the start, where headers are.
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = min(int(rng.expovariate(4 / len(data))), len(data) - 1)
            data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        said = message(bytes(data))
        refused += said is not None
        assert said is None or (said.startswith("<bytes>: ") and "\n" not in said)
    assert refused > 20
    assert "panicked" not in capfd.readouterr().err
