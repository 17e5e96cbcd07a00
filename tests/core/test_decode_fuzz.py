"""Damaged files of the formats that Pillow decodes: an image, or one line that says what is wrong.

The core's own decoders are fuzzed in rust/core/src/decode/fuzz.rs. `make fuzz` runs as many cases as you like of both.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixq._core import decode
from support.decode_fixtures import photo, saved

CASES = int(os.environ.get("PIXQ_FUZZ_CASES", "60"))
FRAMES = {"save_all": True, "append_images": [photo(9, 12, 1)]}


def seed(format: str) -> bytes:
    if format in ("HEIF", "JXL"):
        import pillow_heif
        import pillow_jxl  # noqa: F401

        pillow_heif.register_heif_opener()
    image = photo(9, 12)
    if format == "G4":
        return saved(image.convert("1"), "TIFF", compression="group4")
    options = FRAMES if format in ("GIF", "PNG", "WEBP") else {}
    return saved(image.quantize(16) if format == "GIF" else image, format, **options)


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000", "GIF", "HEIF", "JXL", "PNG", "WEBP", "G4"])
def test_damaged_files_are_images_or_one_line(format: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = seed(format)
    assert decode(data, frame=0).shape == (9, 12, 3)
    bytes_ = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=5)

    @given(bytes_, st.integers(0, len(data)), st.binary(max_size=8), st.none() | st.integers(0, 2))
    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
    def damaged(changes: list[tuple[int, int]], keep: int, tail: bytes, frame: int | None) -> None:
        changed = bytearray(data)
        for at, value in changes:
            changed[at] = value
        if keep < len(data) // 2:
            changed = changed[:-keep] if keep else changed
        try:
            found = decode(bytes(changed) + tail, frame=frame, keep_alpha=True, max_pixels=1 << 16)
        except ValueError as error:
            message = str(error)
        else:
            message = "<bytes>: is fine"
            assert found.shape[2] in (3, 4)
        assert message.startswith("<bytes>: ")
        assert "\n" not in message

    damaged()
    assert "Traceback" not in capfd.readouterr().err
