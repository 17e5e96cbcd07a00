"""Decoding costs no more than its file deserves, and can be interrupted."""

import os
import signal
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from PIL import Image

from pixq._core import decode, probe, stop_decoding
from support.decode_fixtures import bmp, saved, webp

SIDE = 16383


def hollow_webp() -> bytes:
    return webp((b"VP8L", b"\x2f" + struct.pack("<I", (SIDE - 1) | (SIDE - 1) << 14) + bytes(12)))


def hollow_bmp() -> bytes:
    # A code that skips 255 rows, again and again.
    stream = b"\0\2\0\xff" * 70
    return bmp(SIDE, SIDE, 8, stream, compression=1, colours=bytes(4 * 256))


@pytest.mark.parametrize("data", [hollow_webp(), hollow_bmp()], ids=["webp", "bmp"])
def test_a_few_bytes_do_not_take_gigabytes(data: bytes) -> None:
    for call in (decode, probe):
        with pytest.raises(
            ValueError, match=r"has 16383x16383 pixels in \d+ bytes, more than the limit of 65536 pixels"
        ):
            call(data)


def shared_tiles(side: int, data: bytes, compression: int) -> bytes:
    """A grey TIFF of tiles of one pixel which all have the same data, with the bits of each byte reversed."""
    count, at = side * side, 8 + 2 + 12 * 11 + 4
    head = b"II" + struct.pack("<HIH", 42, 8, 11)
    places, lengths = at + len(data), at + len(data) + 4 * count
    tags = [
        (256, 1, side), (257, 1, side), (258, 1, 8), (259, 1, compression), (262, 1, 1), (266, 1, 2), (277, 1, 1),
        (322, 1, 1), (323, 1, 1), (324, count, places), (325, count, lengths),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, values, value) for tag, values, value in tags)
    numbers = struct.pack(f"<{count}I", *[at] * count) + struct.pack(f"<{count}I", *[len(data)] * count)
    return head + entries + bytes(4) + data + numbers


@pytest.mark.parametrize("compression", [1, 32773], ids=["none", "packbits"])
def test_tiles_that_share_their_data_are_not_unpacked_again_and_again(compression: int) -> None:
    data = b"\x00\x80" + bytes(2_000_000)
    start = time.perf_counter()
    assert set(decode(shared_tiles(48, data, compression)).ravel()) == {0 if compression == 1 else 1}
    assert time.perf_counter() - start < 0.5
    for call in (decode, probe):
        with pytest.raises(ValueError, match=r"is a corrupt TIFF \(too many of its strips or tiles share"):
            call(shared_tiles(400, bytes(2000), compression))


@pytest.mark.parametrize("format", ["WEBP", "PNG", "GIF", "AVIF"])
def test_plain_pictures_are_small_and_are_read(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {"speed": 10} if format == "AVIF" else {}
    data = saved(Image.new("RGB", (3840, 2160), (10, 20, 30)), format, **options)
    assert decode(data).shape == (2160, 3840, 3)


@pytest.fixture(scope="module")
def slow() -> tuple[bytes, float]:
    """A file, and how long it takes to decode: several seconds on any machine of today."""
    data = saved(Image.effect_noise((6000, 6000), 40), "JPEG", progressive=True, quality=80)
    start = time.perf_counter()
    decode(data)
    return data, time.perf_counter() - start


@pytest.fixture
def usual_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("usual_interrupt")
def test_an_interrupt_need_not_wait_for_the_decoder(slow: tuple[bytes, float]) -> None:
    data, takes = slow
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(takes / 10, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        decode(data)
    assert time.perf_counter() - sent[0] < min(3, takes / 2)


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def long() -> bytes:
    return saved(Image.effect_noise((1600, 1600), 40), "JPEG", progressive=True, quality=80)


@pytest.mark.parametrize("error", [TimeoutError("out of time"), Stopped("enough")])
def test_what_a_handler_of_a_signal_raises_is_raised(long: bytes, error: Exception) -> None:

    def handler(number: int, frame: object) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(type(error), match=str(error)):
            decode(long)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_decoding_on_other_threads_can_be_stopped(slow: tuple[bytes, float]) -> None:
    data, takes = slow
    ended: list[BaseException] = []

    def work() -> None:
        try:
            decode(data)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(takes / 10)
    stop_decoding()
    stopped = time.perf_counter()
    thread.join()
    assert time.perf_counter() - stopped < min(3, takes / 2)
    assert isinstance(ended[0], KeyboardInterrupt)
