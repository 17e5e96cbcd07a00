"""JPEGs that browsers show although something is wrong with them, and those that are made to waste time."""

import io
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from pixq._core import decode, probe
from pixq.errors import DamagedImageWarning
from support.decode_fixtures import photo, pillow, saved

BASELINE = saved(photo(40, 56), "JPEG")
PROGRESSIVE = saved(photo(40, 56), "JPEG", progressive=True)
STRAY = "stray bytes between its segments"


def markers(data: bytes, code: int) -> list[int]:
    """Where a marker stands outside the header's segments and coded data."""
    return [found.start() for found in re.finditer(b"\xff" + bytes([code]), data)]


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE])
def test_what_every_browser_shows_is_read_with_a_warning(data: bytes) -> None:
    expected = decode(data)
    last_scan = markers(data, 0xDA)[-1]
    for odd, note in [
        (data[:20] + b"junk" + data[20:], STRAY),
        (data[:20] + b"\xff\x00" + data[20:], STRAY),
        (data[:-2], "without its end marker"),
        (data[:-1], "without its end marker"),
        (data[:-2] + b"junk" + data[-2:], "stray bytes after a scan"),
        (data[:last_scan] + b"\0\0\0" + data[last_scan:], STRAY),
    ]:
        with pytest.warns(DamagedImageWarning, match=f"<bytes>: is a JPEG .*{note}"):
            assert np.array_equal(decode(odd), expected)
        if "after a scan" not in note:
            assert note in probe(odd)["notes"][0]


def test_stray_bytes_between_scans() -> None:
    """Libjpeg passes over them before the next marker, here a Huffman table or a scan."""
    expected = decode(PROGRESSIVE)
    starts = [at for code in (0xC4, 0xDA) for at in markers(PROGRESSIVE, code) if at > markers(PROGRESSIVE, 0xDA)[0]]
    assert len(starts) >= 5
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for at in starts:
            assert np.array_equal(decode(PROGRESSIVE[:at] + b"\1\2\3" + PROGRESSIVE[at:]), expected)
    # Of some bytes libjpeg says nothing, since it had read them ahead.
    assert len(caught) > len(starts) / 2
    assert all("stray bytes" in str(warning.message) for warning in caught)


def test_what_follows_the_end_is_nobodys_business() -> None:
    for data in (BASELINE, PROGRESSIVE):
        assert np.array_equal(decode(data + b"\0" * 100), decode(data))
        assert np.array_equal(decode(data + data), decode(data))
    webp = saved(photo(9, 9), "WEBP")
    png = saved(photo(9, 9), "PNG")
    for data in (webp, png):
        assert np.array_equal(decode(data + b"trailing bytes"), decode(data))


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE])
def test_a_cut_before_the_pixels_end_is_a_truncation(data: bytes) -> None:
    for length in [*range(len(data) - 60, len(data) - 2), *markers(data, 0xDA), *markers(data, 0xC4)]:
        with pytest.raises(ValueError, match="is a truncated JPEG"):
            decode(data[:length])


def test_damage_inside_is_not_called_a_truncation() -> None:
    at = markers(BASELINE, 0xDA)[-1] + 60
    with pytest.raises(ValueError, match="is a corrupt JPEG"):
        decode(BASELINE[:at] + b"\xff\xd9")


def test_a_cameras_mpo_is_a_jpeg() -> None:
    file = io.BytesIO()
    photo(40, 56).save(file, "MPO", save_all=True, append_images=[photo(40, 56, 1)])
    data = file.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    assert np.array_equal(decode(data), pillow(data))
    assert probe(data)["format"] == "jpeg"


def test_scans_are_counted_before_they_are_decoded() -> None:
    grey = saved(Image.new("L", (4096, 4096), 128), "JPEG", progressive=True)
    last = markers(grey, 0xDA)[-1]
    scans = len(markers(grey, 0xDA))
    bomb = grey[:-2] + 494 * grey[last:-2] + grey[-2:]
    for call in (decode, probe):
        with pytest.raises(
            ValueError, match=rf"is a JPEG with {scans + 494} scans of 4096x4096 pixels .* more than the limit"
        ):
            call(bomb)
    assert decode(grey).shape == (4096, 4096, 3)


@pytest.mark.parametrize("quality", [5, 75, 95])
def test_photographs_are_far_from_the_limit(quality: int) -> None:
    data = saved(photo(700, 900), "JPEG", progressive=True, quality=quality)
    pixels, scans = 700 * 900, len(markers(data, 0xDA))
    assert pixels * scans < 2048 * len(data) / 2
    assert decode(data).shape == (700, 900, 3)
