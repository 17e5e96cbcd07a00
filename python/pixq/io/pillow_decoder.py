"""What the compiled core does not decode: Pillow reads it, and the core treats it like what it decodes itself.

The core calls `read`. Size and number of frames are checked before pixels are decoded. What is wrong with a file is a
`ValueError` whose text follows the file's name in one line.
"""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pixq._core import decoding_stops
from pixq.errors import PixqError
from pixq.io.optional import require

__all__ = ["Found", "read"]

#: Packages that add a format to Pillow.
_PLUGINS = {"heif": "pillow_heif", "jxl": "pillow_jxl"}
#: Pillow's names.
_CODECS = {
    "avif": "AVIF", "gif": "GIF", "heif": "HEIF", "jp2": "JPEG2000", "jxl": "JXL", "png": "PNG", "tiff": "TIFF",
    "webp": "WEBP",
}  # fmt: skip
_TITLES = {"avif": "AVIF", "heif": "HEIF", "jp2": "JPEG 2000", "jxl": "JPEG XL", "webp": "WebP"}
#: Decoders that turn the image by themselves.
_TURNED = ("heif", "jxl")
#: To reach a frame, those before it are decoded; so many pixels in all take a minute at most.
_MOST_WORK = 1 << 32
#: The JPEG 2000 decoder can't be interrupted, so that larger images are decoded by a process that can be stopped.
_QUICK = 1 << 18
#: Seconds between two looks for an interrupt.
_PATIENCE = 0.05
_WHOLE = "get an intact copy of the file"


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
    title = _TITLES.get(format, format.upper())
    try:
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
            return _in_process(found, data, max_pixels)
        return Found(**{**vars(found), "pixels": _interruptible(lambda: _pixels(image, found))})
    except (KeyboardInterrupt, MemoryError, _Refused):
        raise
    except (EOFError, OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, RuntimeError) as error:
        raise ValueError(_reason(title, error)) from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"is refused by Pillow ({error})") from None


class _Refused(ValueError):
    """The text is complete."""


def _reason(title: str, error: Exception) -> str:
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
    orientation = 1 if format in _TURNED else image.getexif().get(0x0112, 1)
    return Found(
        image.height,
        image.width,
        16 if deep else 8,
        # Frames may turn out to have transparent pixels when they are decoded; if they are all opaque, nothing is lost.
        not deep and (mode == "RGBA" or format == "gif" or several or image.has_transparency_data),
        grey,
        orientation if orientation in range(1, 9) else 1,
        image.info.get("icc_profile") or None,
        several,
    )


def _pixels(image: Image.Image, found: Found) -> NDArray[Any]:
    image.load()
    if found.bit_depth == 16:
        return np.repeat(np.asarray(image).astype(np.uint16)[..., None], 3, axis=-1)
    return np.ascontiguousarray(np.asarray(image.convert("RGBA" if found.alpha else "RGB")))


def _interruptible(work: Any) -> Any:
    """What `work` returns; it runs on a thread of its own, so that an interrupt need not wait for it."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((work(), None))
        except Exception as error:
            outcome.append((None, error))

    stops = decoding_stops()
    thread = threading.Thread(target=run, name="pixq-decode", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_PATIENCE)
        if decoding_stops() != stops:
            raise KeyboardInterrupt
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def _in_process(found: Found, data: bytes, max_pixels: int) -> Found:
    """Decode in another process, which can be stopped at any time."""
    command = [sys.executable, "-c", f"from {__name__} import _serve; _serve({max_pixels})"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        out, _ = _interruptible(lambda: child.communicate(data))
    finally:
        child.kill()
        child.wait()
    channels = 4 if found.alpha else 3
    dtype = np.dtype(np.uint16 if found.bit_depth == 16 else np.uint8)
    if len(out) != found.height * found.width * channels * dtype.itemsize:
        raise _Refused(out.decode(errors="replace") if 0 < len(out) < 1000 else f"is a corrupt JPEG 2000; {_WHOLE}")
    pixels = np.frombuffer(out, dtype).reshape(found.height, found.width, channels)
    return Found(**{**vars(found), "pixels": pixels})


def _serve(max_pixels: int) -> None:
    """Decode the JPEG 2000 on stdin to stdout, samples or the reason why not."""
    try:
        image = _opened("jp2", sys.stdin.buffer.read())
        _check_size(image.height, image.width, max_pixels)
        sys.stdout.buffer.write(_pixels(image, _header("jp2", image, False)).data)
    except Exception as error:
        sys.stdout.write(str(error) if isinstance(error, _Refused) else _reason("JPEG 2000", error))


def _jxl_size(data: bytes) -> tuple[int, int]:
    """Height and width from a JPEG XL's header (ISO/IEC 18181-1, D.2 and 18181-2, 9)."""
    stream = data if data[:2] == b"\xff\x0a" else _jxl_codestream(data)
    bits, at = int.from_bytes(stream[2:16], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return bits >> (at - count) & (1 << count) - 1

    def side(small: int) -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = take(1)
    height = side(small)
    ratio = take(3)
    shares = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return height, side(small) if shares is None else height * shares[0] // shares[1]


def _jxl_codestream(data: bytes) -> bytes:
    """The start of the codestream in a container's boxes."""
    at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if kind == b"jxlc":
            return data[at + head : at + head + 64]
        if kind == b"jxlp":
            # The first part; its number comes before it.
            return data[at + head + 4 : at + head + 68]
        if size < head:
            break
        at += size
    raise ValueError("it has no codestream")
