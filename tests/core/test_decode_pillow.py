"""Formats and frames that Pillow decodes for the core: pixels, frames, profiles, limits and messages."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from pixq._core import decode, formats, probe
from support.decode_fixtures import chunk, photo, pillow, saved

PICTURE = photo(24, 33)
FRAMES = [photo(24, 33, seed) for seed in range(3)]
ZSTD = {"TIFF": {"compression": "zstd"}}
ANIMATED = {"save_all": True, "append_images": FRAMES[1:], "duration": 100}


def plugins() -> None:
    import pillow_heif
    import pillow_jxl  # noqa: F401

    pillow_heif.register_heif_opener()


def written(format: str, **options: object) -> bytes:
    if format in ("HEIF", "JXL"):
        plugins()
    return saved(PICTURE.convert("P") if format == "GIF" else PICTURE, format, **options)


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000", "GIF", "HEIF", "JXL"])
def test_pixels_are_those_of_pillow(format: str) -> None:
    data = written(format)
    assert np.array_equal(decode(data), pillow(data))
    info = probe(data)
    assert (info["height"], info["width"], info["bit_depth"]) == (24, 33, 8)
    assert info["format"] == {"JPEG2000": "jp2"}.get(format, format.lower())


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000", "GIF", "HEIF", "JXL", "PNG", "TIFF", "WEBP"])
def test_the_size_is_checked_before_pixels_are_decoded(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moving = format in ("PNG", "WEBP")
    data = saved(FRAMES[0], format, **ANIMATED) if moving else written(format, **ZSTD.get(format, {}))
    frame = 0 if moving else None

    def decoded(*_: object) -> None:
        raise AssertionError("was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    # A header is read without pixels, too.
    info = probe(data, frame=frame)
    assert (info["height"], info["width"]) == (24, 33)
    if format == "JXL":
        # Its plugin decodes when it opens a file.
        monkeypatch.setattr("pixq.io.pillow_decoder._opened", decoded)
    for call in (decode, probe):
        with pytest.raises(ValueError, match="is 33x24, more than the limit of 791 pixels; raise max_pixels"):
            call(data, max_pixels=791, frame=frame)


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000", "GIF", "HEIF", "JXL"])
def test_truncation_and_damage_are_one_line(format: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = written(format)
    for cut in (40, len(data) // 2, len(data) - 30):
        with pytest.raises(ValueError, match=r"^<bytes>: is a (truncated|corrupt) .*; get an intact copy") as error:
            decode(data[:cut])
        assert "\n" not in str(error.value)
    assert "Traceback" not in capfd.readouterr().err


def frame_of(data: bytes, index: int) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.seek(index)
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("format", "what"),
    [
        ("PNG", "an animated PNG"), ("WEBP", "an animated WebP"), ("TIFF", "a TIFF with several pages"),
        ("GIF", "an animated GIF"), ("AVIF", "an animated AVIF"),
    ],
)  # fmt: skip
def test_a_frame_is_chosen(format: str, what: str) -> None:
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = saved(FRAMES[0], format, **ANIMATED, **lossless)
    for call in (decode, probe):
        with pytest.raises(ValueError, match=f"is {what}; choose one of its frames, e.g. --frame 0"):
            call(data)
        with pytest.raises(ValueError, match="has no frame 3; frames are counted from 0"):
            call(data, frame=3)
    for index in range(3):
        found = decode(data, frame=index)
        assert np.array_equal(found, frame_of(data, index)), index
        if lossless or format in ("PNG", "TIFF"):
            assert np.array_equal(found, FRAMES[index])
        info = probe(data, frame=index)
        assert (info["height"], info["width"]) == found.shape[:2]


def test_a_file_of_one_image_ignores_the_frame() -> None:
    """So that a frame of an animation can be compared with a still image."""
    files = [
        written(format) for format in ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "AVIF", "JPEG2000", "HEIF", "JXL")
    ]
    for data in [*files, saved(PICTURE, "TIFF", compression="jpeg")]:
        for frame in (0, 3):
            assert np.array_equal(decode(data, frame=frame), decode(data))
            assert probe(data, frame=frame) == probe(data)


def test_pages_of_a_tiff_keep_16_bits() -> None:
    import tifffile

    pages = np.random.default_rng(0).integers(0, 65536, (3, 5, 6, 3), np.uint16)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page, photometric="rgb", metadata=None)
    for index, page in enumerate(pages):
        assert np.array_equal(decode(file.getvalue(), frame=index), page)


@pytest.mark.parametrize("compression", ["jpeg", "group3", "group4", "zstd", "webp", "lzma"])
def test_tiffs_of_other_compressions(compression: str) -> None:
    image = PICTURE.convert("1") if "group" in compression else PICTURE
    try:
        data = saved(image, "TIFF", compression=compression)
    except OSError:
        pytest.skip(f"this Pillow does not write {compression}")
    assert np.array_equal(decode(data), pillow(data))


def rotated_profile() -> bytes:
    """A profile in which red, green and blue have changed places, so that a conversion can't be overlooked."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tmp1").replace(b"bXYZ", b"rXYZ").replace(b"tmp1", b"bXYZ")


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_profiles_are_applied(format: str) -> None:
    data = written(format, icc_profile=rotated_profile(), quality=95)
    raw = decode(data, colour_management=False)
    assert np.array_equal(raw, pillow(data))
    assert probe(data)["icc_profile"] is True
    swapped = np.abs(decode(data)[..., ::-1].astype(int) - raw)
    assert swapped.mean() < 1


def test_the_colours_of_an_avifs_boxes_are_applied() -> None:
    """Without an ICC profile, an AVIF declares its colours in a box, which Pillow does not tell."""
    data = written("AVIF")
    at = data.index(b"nclx")
    assert probe(data)["converted_from"] is None
    p3 = data[: at + 4] + struct.pack(">HH", 12, 13) + data[at + 8 :]
    assert probe(p3)["converted_from"] == "cICP 12/13"
    assert np.array_equal(decode(p3, colour_management=False), decode(data))
    assert not np.array_equal(decode(p3), decode(data))
    hdr = data[: at + 4] + struct.pack(">HH", 9, 16) + data[at + 8 :]
    with pytest.raises(ValueError, match="is an HDR image"):
        decode(hdr)


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000", "GIF", "HEIF", "JXL", "WEBP"])
def test_transparent_pixels_of_other_formats(format: str) -> None:
    alpha = Image.new("L", PICTURE.size, 255)
    alpha.paste(0, (0, 0, 9, 24))
    image = PICTURE.copy()
    image.putalpha(alpha)
    if format in ("HEIF", "JXL"):
        plugins()
    data = saved(image, format, **({"lossless": True} if format == "WEBP" else {}))
    with pytest.raises(ValueError, match="has transparent pixels"):
        decode(data)
    assert decode(data, keep_alpha=True).shape == (24, 33, 4)
    white = decode(data, background="white")
    assert white[:, :8].min() >= 250
    opaque = saved(PICTURE.convert("RGBA"), format)
    assert decode(opaque).shape == (24, 33, 3)


TURN = Image.Exif()
TURN[0x0112] = 6


@pytest.mark.parametrize(
    ("format", "options", "turned"),
    [
        ("AVIF", {"quality": 95}, True),
        ("HEIF", {"quality": 95}, True),
        # In a JPEG XL the codestream has the orientation; that of the EXIF block is none (18181-2, 9.6).
        ("JXL", {"lossless": True}, False),
        ("PNG", ANIMATED, True),
        ("WEBP", {**ANIMATED, "lossless": True}, True),
        ("TIFF", {"compression": "zstd"}, True),
        ("TIFF", {"compression": "jpeg", "quality": 95}, True),
        ("TIFF", {"compression": "tiff_lzw"}, True),
    ],
)
def test_an_orientation_is_applied_once(format: str, options: dict[str, object], turned: bool) -> None:
    data = written(format, exif=TURN.tobytes(), **options)
    frame = 0 if "save_all" in options else None
    image, info = decode(data, frame=frame), probe(data, frame=frame)
    expected = np.rot90(np.asarray(PICTURE), -1) if turned else np.asarray(PICTURE)
    assert image.shape == expected.shape == (info["height"], info["width"], 3)
    lossy = options.get("quality") is not None
    assert np.abs(image.astype(int) - expected).mean() <= (12 if lossy else 0)


def test_a_jpeg_in_a_jpeg_xl_is_turned_like_the_jpeg(tmp_path: Path) -> None:
    plugins()
    jpeg, packed = tmp_path / "a.jpg", tmp_path / "a.jxl"
    PICTURE.save(jpeg, exif=TURN.tobytes())
    with Image.open(jpeg) as image:
        image.save(packed, lossless_jpeg=True)
    assert decode(jpeg).shape == (33, 24, 3)
    assert np.array_equal(decode(packed), decode(jpeg))


@pytest.mark.parametrize(("format", "options"), [("AVIF", {"quality": 95}), ("TIFF", {"compression": "zstd"})])
def test_the_orientation_in_the_xmp_is_not_applied(format: str, options: dict[str, object]) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    if format == "TIFF":
        options = {**options, "tiffinfo": {700: xmp}}
    data = written(format, xmp=xmp, **options)
    assert xmp in data
    image = decode(data)
    assert image.shape == (24, 33, 3)
    assert np.abs(image.astype(int) - np.asarray(PICTURE)).mean() <= (12 if format == "AVIF" else 0)


def test_deep_jpeg_2000_stays_deep() -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (20, 30), np.uint16)
    data = saved(Image.fromarray(samples), "JPEG2000")
    found = decode(data)
    assert found.dtype == np.uint16
    assert np.array_equal(found, np.repeat(samples[..., None], 3, axis=-1))


@pytest.mark.slow
def test_a_large_jpeg_2000_is_decoded_by_another_process() -> None:
    data = saved(photo(600, 700), "JPEG2000")
    assert np.array_equal(decode(data), pillow(data))
    with pytest.raises(ValueError, match=r"is a (truncated|corrupt) JPEG 2000"):
        decode(data[:5000])


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for format, package, extra in [("HEIF", "pillow_heif", "heif"), ("JXL", "pillow_jxl", "jxl")]:
        data = written(format)
        path = tmp_path / f"picture.{extra}"
        path.write_bytes(data)
        with monkeypatch.context() as context:
            context.setitem(__import__("sys").modules, package, None)
            with pytest.raises(ValueError, match=rf"picture\.{extra}: .*pip install 'pixq\[{extra}\]'"):
                decode(path)


def test_formats_say_what_they_need() -> None:
    rows = {row["name"]: row for row in formats()}
    assert {name for name, row in rows.items() if row["extra"]} == {"heif", "jxl"}
    assert all(rows[name]["decoded"] for name in ("avif", "jp2", "gif", "heif", "jxl"))


def frame_control(number: int, width: int = 33) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, 24, 0, 0, 1, 10, 0, 0))


def inserted(data: bytes, chunks: bytes, before: bytes = b"IDAT") -> bytes:
    at = data.index(before) - 4
    return data[:at] + chunks + data[at:]


def test_an_apng_of_one_frame_is_an_image() -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 65536, (24, 33), np.uint16))
    for picture in (PICTURE, grey):
        data = saved(picture, "PNG")
        control = chunk(b"acTL", struct.pack(">II", 1, 0))
        for chunks in (control + frame_control(0), control):
            assert np.array_equal(decode(inserted(data, chunks)), decode(data))
        # Only before the picture does it mean anything.
        assert np.array_equal(decode(inserted(data, chunk(b"acTL", struct.pack(">II", 2, 0)), b"IEND")), decode(data))
        with pytest.raises(ValueError, match=r"is a corrupt PNG \(its first frame differs in size from the picture"):
            decode(inserted(data, control + frame_control(0, 32)))


def animated(ihdr: bytes, *frames: bytes, declared: bytes = b"") -> bytes:
    """An APNG of 24 rows whose frames are these filtered rows."""
    packed = [zlib.compress(rows) for rows in frames]
    first, *rest = packed
    body = frame_control(0) + chunk(b"IDAT", first)
    for index, data in enumerate(rest):
        body += frame_control(1 + 2 * index) + chunk(b"fdAT", struct.pack(">I", 2 + 2 * index) + data)
    control = chunk(b"acTL", struct.pack(">II", len(frames), 0))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", ihdr) + declared + control + body + chunk(b"IEND", b"")


def test_frames_of_an_apng_have_the_colours_it_declares() -> None:
    ihdr = struct.pack(">IIBBBBB", 33, 24, 8, 2, 0, 0, 0)
    rows = [(b"\0" + bytes(colour) * 33) * 24 for colour in ((100, 150, 200), (200, 100, 150))]
    linear = animated(ihdr, *rows, declared=chunk(b"gAMA", struct.pack(">I", 100000)))
    expected = [168, 202, 229]
    assert decode(linear, frame=0)[0, 0].tolist() == expected
    assert decode(linear, frame=1)[0, 0].tolist() == [expected[2], expected[0], expected[1]]
    assert probe(linear, frame=1)["converted_from"] == probe(linear, frame=0)["converted_from"] is not None
    assert decode(linear, frame=1, colour_management=False)[0, 0].tolist() == [200, 100, 150]
    hdr = animated(ihdr, *rows, declared=chunk(b"cICP", bytes([9, 16, 0, 1])))
    for frame in (0, 1):
        with pytest.raises(ValueError, match="is an HDR image"):
            decode(hdr, frame=frame)


def test_the_first_frame_of_a_deep_apng_stays_deep() -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (24, 33, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    data = animated(struct.pack(">IIBBBBB", 33, 24, 16, 2, 0, 0, 0), rows, rows)
    assert np.array_equal(decode(data, frame=0), samples)
    assert decode(data, frame=1).dtype == np.uint8


def test_brands_are_those_of_the_first_box() -> None:
    data = written("HEIF")
    # What a file of the most general brand is the other brands in its first box say, and none of the later bytes.
    data = data[:8] + b"mif1" + data[12:]
    data += struct.pack(">I4s", 48, b"free") + b"avif\0" * 8
    assert probe(data)["format"] == "heif"
