"""How Pillow is run for the core: limits, interrupts, panics, and the process for large JPEG 2000 files."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixq._core import decode, probe, stop_decoding
from pixq.io import pillow_decoder
from support.decode_fixtures import photo, pillow, saved

PICTURE = photo(24, 33)
MOVING = {"save_all": True, "append_images": [photo(24, 33, 1)], "duration": 100}


@pytest.fixture(scope="module")
def large_jp2() -> bytes:
    return saved(photo(600, 700), "JPEG2000")


@pytest.mark.slow
def test_no_module_is_imported_from_the_current_folder(
    large_jp2: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("numpy", "pixq", "PIL"):
        Path(f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\nraise SystemExit(1)\n")
    assert np.array_equal(decode(large_jp2), pillow(large_jp2))
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.stderr.write('Traceback:\\n  x\\nMemoryError\\n'); sys.exit(1)", r"failed \(MemoryError\)"),
        ("import os; os._exit(3)", r"failed \(exit code 3\)"),
    ],
)
def test_a_failed_process_is_not_a_corrupt_file(
    program: str, words: str, large_jp2: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: popen([sys.executable, "-c", program], **options))
    with pytest.raises(ValueError, match=f"could not be decoded, because .* {words}; free memory") as error:
        decode(large_jp2)
    assert "corrupt" not in str(error.value)


class PanicException(BaseException):
    """As plugins in Rust raise it."""


def test_a_panic_of_a_plugin_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def panicked(*_: object) -> None:
        raise PanicException("called `unwrap()` on an `Err` value")

    data = saved(PICTURE.convert("P"), "GIF")
    for name in ("_opened", "_pixels"):
        with monkeypatch.context() as context:
            context.setattr(pillow_decoder, name, panicked)
            with pytest.raises(ValueError, match=r"is a corrupt GIF \(called .*; get an intact copy"):
                decode(data)


@pytest.mark.parametrize("where", ["_opened", "_seek", "_pixels"])
def test_opening_and_seeking_can_be_stopped(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def stuck(*_: object) -> None:
        begun.set()
        go_on.wait(60)

    monkeypatch.setattr(pillow_decoder, where, stuck)
    data = saved(PICTURE, "PNG", **MOVING)

    def stop() -> None:
        begun.wait(60)
        stop_decoding()

    stopper = threading.Thread(target=stop)
    stopper.start()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        decode(data, frame=1)
    assert time.perf_counter() - started < 30
    go_on.set()
    stopper.join()


@pytest.mark.parametrize("format", ["TIFF", "PNG", "GIF"])
def test_pillows_limit_does_not_count(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if format == "TIFF":
        data, frame = saved(PICTURE, format, compression="zstd"), None
    else:
        data, frame = saved(PICTURE, format, **MOVING, disposal=2), 1
    expected = decode(data, frame=frame)
    for limit in (500, 100):
        # Pillow would warn, and fail.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.array_equal(decode(data, frame=frame), expected)
    # Others keep their limit.
    with pytest.raises(Image.DecompressionBombError):
        pillow(data)


def test_a_gif_whose_frame_is_larger_than_it_says() -> None:
    data = bytearray(saved(PICTURE.convert("P"), "GIF"))
    data[6:10] = struct.pack("<HH", 5, 5)
    with pytest.raises(ValueError, match="is 33x24, more than the limit of 100 pixels"):
        decode(bytes(data), max_pixels=100)


def jxl_container(*parts: bytes, rest: bytes = b"") -> bytes:
    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    boxes = [box(b"jxlp", struct.pack(">I", index) + part) for index, part in enumerate(parts)]
    return b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + b"".join(boxes) + rest


def test_the_size_of_a_jpeg_xl_in_parts() -> None:
    pytest.importorskip("pillow_jxl")
    stream = saved(PICTURE, "JXL", lossless=True)
    for at in (1, 2, 3, 5, 40):
        data = jxl_container(stream[:at], b"", stream[at:])
        assert np.array_equal(decode(data), np.asarray(PICTURE))
        with pytest.raises(ValueError, match="is 33x24, more than the limit"):
            probe(data, max_pixels=791)
    # What follows a short part is not its content.
    with pytest.raises(ValueError, match="is a truncated JPEG XL"):
        probe(jxl_container(stream[:3], rest=b"\xff" * 64))


@pytest.mark.parametrize(
    ("format", "options", "expected"),
    [
        ("PNG", {}, False),
        ("PNG", MOVING, True),
        ("WEBP", {"lossless": True}, False),
        ("WEBP", {**MOVING, "lossless": True}, True),
        ("TIFF", {"compression": "zstd"}, True),
        ("TIFF", {"compression": "jpeg"}, True),
        ("TIFF", {"compression": "tiff_lzw"}, False),
        ("AVIF", {}, True),
        ("JPEG", {}, False),
    ],
)
def test_which_files_pillow_reads(format: str, options: dict[str, object], expected: bool, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(saved(PICTURE, format, **options))
    read = pillow_decoder.read
    for frame in (0, 3) if "save_all" not in options else (0, 1):
        used: list[str] = []
        with pytest.MonkeyPatch.context() as context:

            def noted(format: str, *request: Any, used: list[str] = used) -> pillow_decoder.Found:
                used.append(format)
                return read(format, *request)

            context.setattr(pillow_decoder, "read", noted)
            header = probe(path, frame=frame)
        # The core reads the first frame of an animated PNG.
        own = format == "PNG" and frame == 0
        assert header["pillow"] is bool(used) is (expected and not own), frame
