"""What the compiled core does not decode: Pillow reads it, and the core treats it like what it decodes itself.

The core calls `read`. Size and number of frames are checked before pixels are decoded. What is wrong with a file is a
`ValueError` whose text follows the file's name in one line.
"""

from __future__ import annotations

import io
import signal
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pixq._core import decoding_stops
from pixq.errors import PixqError
from pixq.io.optional import require

__all__ = ["Found", "read"]

T = TypeVar("T")

#: Packages that add a format to Pillow.
_PLUGINS = {"heif": "pillow_heif", "jxl": "pillow_jxl"}
#: Pillow's names.
_CODECS = {
    "avif": "AVIF", "gif": "GIF", "heif": "HEIF", "jp2": "JPEG2000", "jxl": "JXL", "png": "PNG", "tiff": "TIFF",
    "webp": "WEBP",
}  # fmt: skip
_TITLES = {"avif": "AVIF", "heif": "HEIF", "jp2": "JPEG 2000", "jxl": "JPEG XL", "webp": "WebP"}
#: Decoders that turn the image by themselves.
_TURNED = ("heif", "jxl", "tiff")
#: To reach a frame, those before it are decoded; so many pixels in all take a minute at most.
_MOST_WORK = 1 << 32
#: The JPEG 2000 decoder can't be interrupted, so that larger images are decoded by a process that can be stopped.
_QUICK = 1 << 18
#: Seconds between two looks for an interrupt.
_PATIENCE = 0.05
_WHOLE = "get an intact copy of the file"
#: What Pillow's plugins raise on damaged files.
_DAMAGE = (
    EOFError, OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, RuntimeError, ArithmeticError,
    struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A header, and pixels if they were wanted.

    Parameters
    ----------
    height, width
        Before the orientation.
    bit_depth
        8 or 16.
    alpha
        Whether pixels have a fourth channel.
    grey
        Whether red, green and blue are equal because the file is grey.
    orientation
        Of the EXIF block; 1 where it is applied already.
    icc_profile
        The profile, if there is one.
    several
        Whether there are several frames or pages.
    pixels
        (height, width, 3 or 4), uint8 or uint16, C-contiguous.
    """

    height: int
    width: int
    bit_depth: int
    alpha: bool
    grey: bool
    orientation: int
    icc_profile: bytes | None
    several: bool
    pixels: NDArray[Any] | None = None


def read(format: str, data: bytes, max_pixels: int, frame: int | None, pixels: bool) -> Found:
    """Read the header of an image, and its pixels if they are wanted.

    Raises
    ------
    ValueError
        If it can't be read, is larger than `max_pixels`, or has no such frame.
    KeyboardInterrupt
        If decoding was interrupted.
    """
    try:
        found = _interruptible(lambda: _found(format, data, max_pixels, frame, pixels))
        if pixels and found.pixels is None and (not found.several or frame is not None):
            return _in_process(found, data, max_pixels)
        return found
    except _Refused:
        raise
    except _DAMAGE as error:
        raise ValueError(_reason(format, error)) from None
    except BaseException as error:
        # A panic of a plugin that is written in Rust is not an `Exception`.
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(_reason(format, error)) from None


def _found(format: str, data: bytes, max_pixels: int, frame: int | None, pixels: bool) -> Found:
    """The header, and the pixels if they are wanted and need no other process."""
    with _limited(max_pixels):
        if format == "jxl":
            # Its plugin decodes everything when it opens a file.
            _check_size(*_jxl_size(data), max_pixels)
        image = _opened(format, data)
        # GIFs and others would be read to their end for the number of frames.
        several = bool(image.is_animated) if hasattr(image, "is_animated") else getattr(image, "n_frames", 1) > 1
        _check_size(image.height, image.width, max_pixels)
        if frame:
            _seek(image, frame)
            _check_size(image.height, image.width, max_pixels)
        found = _header(format, image, several)
        if not pixels or (several and frame is None):
            return found
        if format == "jp2" and image.height * image.width > _QUICK and sys.executable:
            return found
        return replace(found, pixels=_pixels(image, found))


class _Refused(ValueError):
    """The text is complete."""


def _reason(format: str, error: BaseException) -> str:
    title = _TITLES.get(format, format.upper())
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return f"is a truncated {title}; {_WHOLE}"
    return f"is a corrupt {title} ({text}); {_WHOLE}"


def _opened(format: str, data: bytes) -> ImageFile.ImageFile:
    """Open the file by the one plugin; `Image.open` would refuse large images, whatever the caller allows."""
    Image.init()
    if format in _PLUGINS:
        _add_plugin(format)
    codec = _CODECS[format]
    if codec not in Image.OPEN:
        title = _TITLES.get(format, codec)
        raise _Refused(f"is {title}, which this installation of Pillow can't read; install Pillow from PyPI")
    factory, _ = Image.OPEN[codec]
    # As when a file is opened: no pixels yet.
    image = factory(io.BytesIO(data), "")
    assert isinstance(image, ImageFile.ImageFile)
    return image


def _add_plugin(format: str) -> None:
    try:
        plugin = require(_PLUGINS[format])
    except PixqError as error:
        raise _Refused(f"is {_TITLES[format]}, and {error}") from None
    if format == "heif":
        plugin.register_heif_opener()


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise _Refused(
            f"is {width}x{height}, more than the limit of {max_pixels} pixels; raise max_pixels if you trust the file"
        )


#: The `max_pixels` of the file that this thread decodes.
_LIMIT = threading.local()
_pillows_check = Image._decompression_bomb_check


def _bomb_check(size: tuple[int, int], **options: Any) -> None:
    max_pixels = getattr(_LIMIT, "max_pixels", None)
    if max_pixels is None:
        _pillows_check(size, **options)
    else:
        _check_size(size[1], size[0], max_pixels)


# Pillow's limit is one for the whole program, lower than ours, and partly a warning.
# Where this module decodes, ours takes its place; everywhere else nothing changes.
Image._decompression_bomb_check = _bomb_check


@contextmanager
def _limited(max_pixels: int) -> Iterator[None]:
    """On this thread, Pillow refuses what has more than `max_pixels`, and nothing else."""
    _LIMIT.max_pixels = max_pixels
    try:
        yield
    finally:
        del _LIMIT.max_pixels


def _seek(image: Image.Image, frame: int) -> None:
    if (frame + 1) * image.height * image.width > _MOST_WORK:
        raise _Refused(f"takes too long to decode up to frame {frame}; save that frame as a plain image")
    try:
        image.seek(frame)
    except EOFError:
        raise _Refused(f"has no frame {frame}; frames are counted from 0") from None


#: Whether modes of Pillow are grey, and what their samples become.
_MODES = {
    "1": (True, "RGB"), "L": (True, "RGB"), "LA": (True, "RGBA"), "La": (True, "RGBA"), "P": (False, "RGB"),
    "PA": (False, "RGBA"), "RGB": (False, "RGB"), "RGBA": (False, "RGBA"), "RGBX": (False, "RGB"),
    "RGBa": (False, "RGBA"), "YCbCr": (False, "RGB"),
}  # fmt: skip


def _header(format: str, image: Image.Image, several: bool) -> Found:
    deep = image.mode.startswith("I;16")
    if not deep and image.mode not in _MODES:
        kind = {"CMYK": "is CMYK; convert it to RGB first", "LAB": "is in CIELAB; convert it to RGB first"}
        raise _Refused(kind.get(image.mode, "holds floating-point or 32-bit samples; convert it to 8 or 16 bits"))
    grey, mode = (True, "RGB") if deep else _MODES[image.mode]
    return Found(
        image.height,
        image.width,
        16 if deep else 8,
        # Frames may turn out to have transparent pixels when they are decoded; if they are all opaque, nothing is lost.
        not deep and (mode == "RGBA" or format == "gif" or several or image.has_transparency_data),
        grey,
        # A JPEG that was packed into a JPEG XL comes out as it went in.
        1 if format in _TURNED and not getattr(image, "jpeg", False) else _orientation(image),
        image.info.get("icc_profile") or None,
        several,
    )


def _orientation(image: Image.Image) -> int:
    """From the EXIF block alone: `getexif` would decode PNGs, and read the XMP too."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
    except _DAMAGE:
        return 1
    orientation = exif.get(0x0112, 1)
    return orientation if orientation in range(1, 9) else 1


def _pixels(image: Image.Image, found: Found) -> NDArray[Any]:
    # Where there is no orientation in a TIFF, Pillow would turn the image by that in the XMP.
    image.info.pop("xmp", None)
    image.load()
    if found.bit_depth == 16:
        return np.repeat(np.asarray(image).astype(np.uint16)[..., None], 3, axis=-1)
    return np.ascontiguousarray(np.asarray(image.convert("RGBA" if found.alpha else "RGB")))


def _interruptible(work: Callable[[], T]) -> T:
    """What `work` returns; it runs on its own thread, so that an interrupt need not wait for it."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    stops = decoding_stops()
    thread = threading.Thread(target=run, name="pixq-decode", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_PATIENCE)
        if decoding_stops() != stops:
            raise KeyboardInterrupt
    if errors:
        raise errors[0]
    return results[0]


def _in_process(found: Found, data: bytes, max_pixels: int) -> Found:
    """Decode in another process, which can be stopped at any time."""
    # Without -P, modules would be looked for in the current folder first.
    command = [sys.executable, "-P", "-c", f"from {__name__} import _serve; _serve({max_pixels})"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = _interruptible(lambda: child.communicate(data))
    finally:
        child.kill()
        child.wait()
    if child.returncode == -signal.SIGINT:
        # Ctrl-C reaches all processes of a terminal; this one was quicker.
        raise KeyboardInterrupt
    if child.returncode:
        last = err.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {child.returncode}"
        raise _Refused(
            f"could not be decoded, because the process that decodes JPEG 2000 failed ({last}); "
            "free memory, or save the image as PNG"
        )
    channels = 4 if found.alpha else 3
    dtype = np.dtype(np.uint16 if found.bit_depth == 16 else np.uint8)
    if len(out) != found.height * found.width * channels * dtype.itemsize:
        raise _Refused(out.decode(errors="replace") if 0 < len(out) < 1000 else f"is a corrupt JPEG 2000; {_WHOLE}")
    pixels = np.frombuffer(out, dtype).reshape(found.height, found.width, channels)
    return replace(found, pixels=pixels)


def _serve(max_pixels: int) -> None:
    """Decode the JPEG 2000 on stdin to stdout, samples or the reason why not."""
    try:
        with _limited(max_pixels):
            image = _opened("jp2", sys.stdin.buffer.read())
            _check_size(image.height, image.width, max_pixels)
            pixels = _pixels(image, _header("jp2", image, False))
    except _Refused as error:
        sys.stdout.write(str(error))
    except _DAMAGE as error:
        sys.stdout.write(_reason("jp2", error))
    else:
        sys.stdout.buffer.write(pixels.data)


def _jxl_size(data: bytes) -> tuple[int, int]:
    """Height and width from a JPEG XL's header (ISO/IEC 18181-1, D.2 and 18181-2, 9)."""
    stream = data if data[:2] == b"\xff\x0a" else _jxl_codestream(data)
    stream = stream[2:16]
    bits, at = int.from_bytes(stream, "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        if at > 8 * len(stream):
            raise EOFError
        return bits >> (at - count) & (1 << count) - 1

    def side(small: int) -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = take(1)
    height = side(small)
    ratio = take(3)
    shares = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return height, side(small) if shares is None else height * shares[0] // shares[1]


def _jxl_codestream(data: bytes) -> bytes:
    """The start of the codestream in a container's boxes, where it may be in several parts."""
    at, stream = 0, b""
    while at + 8 <= len(data) and len(stream) < 16:
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        # 0 is to the end of the file.
        end = at + size if size else len(data)
        if end < at + head:
            break
        if kind in (b"jxlc", b"jxlp"):
            # The number of a part comes before it.
            start = at + head + (4 if kind == b"jxlp" else 0)
            stream += data[start : min(end, start + 16)]
        at = end
    if not stream:
        raise ValueError("it has no codestream")
    return stream
