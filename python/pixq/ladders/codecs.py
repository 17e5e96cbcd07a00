"""What makes the levels of a ladder: image codecs, and the distortions of `pixq.distort`.

A level means the same in each: the higher, the stronger the distortion. To add a codec, write how it encodes an image
here, and add an entry to `CODECS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixq._core import decode
from pixq._version import __version__
from pixq.distort.apply import generator
from pixq.distort.kinds import DISTORTIONS, Distortion
from pixq.drawing.map_pictures import encode as encode_png
from pixq.errors import PixqError, unknown
from pixq.io.image_formats import SHOWN, endings_of
from pixq.io.images import to_8_bits
from pixq.io.optional import require

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CHROMA", "CODECS", "LEVELS", "Codec", "choose_codec"]

Pixels = NDArray[np.uint8]

#: The levels of most codecs: 1 to this.
LEVELS = 100

#: Kinds of distortion of the same name as a codec.
_ENCODED = ("jpeg", "jpeg2000")

#: How colours are stored: as finely as brightness, or with half of the rows and columns.
CHROMA = ("4:4:4", "4:2:0")


@dataclass(frozen=True)
class Codec:
    """What makes the levels of a ladder.

    Parameters
    ----------
    name
        Its name in commands and files.
    title
        Its name in sentences.
    ending
        How the names of its files end.
    parameter
        The meaning and range of its parameter.
    value
        `value(level)` is the parameter of a level.
    encode
        `encode(pixels, value, chroma, name)` gives the bytes of a file. `pixels` are uint8 (height, width, 3), `chroma`
        is one of the codec's own, and `name` is that of the image, by which random kinds draw other numbers.
    encoder
        Name and version of the software that encodes.
    chroma
        The chroma subsamplings that it offers, the usual one first; empty if it has no such choice.
    levels
        Its highest level.
    package
        The Python package that it needs besides Pillow.
    """

    name: str
    title: str
    ending: str
    parameter: str
    value: Callable[[int], float]
    encode: Callable[[Pixels, float, str, str], bytes] = field(repr=False)
    encoder: Callable[[], str] = field(repr=False)
    chroma: tuple[str, ...] = ()
    levels: int = LEVELS
    package: str | None = None

    @property
    def is_shown(self) -> bool:
        """Whether every browser shows its files; for others, a PNG file holds the pixels."""
        return self.ending in endings_of(SHOWN)

    def require(self) -> None:
        """Import what it needs.

        Raises
        ------
        PixqError
            If a package is missing; the message says what to install.
        """
        if self.package is not None:
            _plugin(self.package)

    def check_chroma(self, chroma: str | None) -> str:
        """The chroma subsampling to use, given what a user asked for; empty where there is no choice.

        Raises
        ------
        PixqError
            If the codec doesn't have it.
        """
        if chroma is None:
            return self.chroma[0] if self.chroma else ""
        if chroma not in CHROMA:
            raise PixqError(f"--chroma is {chroma!r}; give {' or '.join(CHROMA)}")
        if self.chroma and chroma not in self.chroma:
            raise PixqError(f"--chroma {chroma}: {self.title} always has {self.chroma[0]}; leave it out, or the codec")
        return chroma if self.chroma else ""

    def decode(self, data: bytes) -> Pixels:
        """The pixels of an encoded file, as every command of pixq sees them."""
        return to_8_bits(decode(data))


def _pillow(image_format: str, **options: Any) -> Callable[[Pixels], bytes]:
    def encode(pixels: Pixels) -> bytes:
        data = io.BytesIO()
        _image(pixels).save(data, image_format, **options)
        return data.getvalue()

    return encode


def _image(pixels: Pixels) -> Image:
    from PIL import Image

    return Image.fromarray(pixels)


@cache
def _plugin(package: str) -> Any:
    module = require(package)
    if package == "pillow_heif":
        module.register_heif_opener()
    return module


def _jpeg(pixels: Pixels, value: float, chroma: str, name: str) -> bytes:
    # Into a file: only then does Pillow let other threads run.
    with TemporaryFile() as file:
        _image(pixels).save(file, "JPEG", quality=int(value), subsampling=chroma)
        file.seek(0)
        return file.read()


def _webp(pixels: Pixels, value: float, chroma: str, name: str) -> bytes:
    return _pillow("WEBP", quality=int(value))(pixels)


def _avif(pixels: Pixels, value: float, chroma: str, name: str) -> bytes:
    # One thread, since the bytes depend on their number.
    return _pillow("AVIF", quality=int(value), subsampling=chroma, speed=6, max_threads=1)(pixels)


def _jpeg2000(pixels: Pixels, value: float, chroma: str, name: str) -> bytes:
    # Without mct, Pillow doesn't decorrelate colours, and loses up to 7 dB.
    options = {"quality_mode": "dB", "quality_layers": [value], "irreversible": True, "mct": 1}
    return _pillow("JPEG2000", **options)(pixels)


def _jxl(pixels: Pixels, value: float, chroma: str, name: str) -> bytes:
    _plugin("pillow_jxl")
    return _pillow("JXL", quality=int(value))(pixels)


def _hevc(pixels: Pixels, value: float, chroma: str, name: str) -> bytes:
    _plugin("pillow_heif")
    # One thread and one frame: intra coding at a constant quantisation parameter.
    options = {"x265:qp": str(int(value)), "x265:pools": "1", "x265:frame-threads": "1"}
    return _pillow("HEIF", quality=50, chroma=chroma.replace(":", ""), enc_params=options)(pixels)


def _pillow_version(feature: str, title: str) -> str:
    from PIL import __version__ as pillow
    from PIL import features

    return f"{title} {features.version(feature)} (Pillow {pillow})"


def _hevc_version() -> str:
    heif = _plugin("pillow_heif")
    return f"{heif.libheif_info()['HEIF']} (pillow-heif {heif.__version__})"


def _jxl_version() -> str:
    return f"libjxl of pillow-jxl-plugin {version('pillow-jxl-plugin')}"


def _by_distortion(distortion: Distortion) -> Codec:
    def encode(pixels: Pixels, value: float, chroma: str, name: str) -> bytes:
        # The same noise at each level, only stronger.
        return encode_png(distortion.apply(pixels, value, generator(0, name, distortion.name, 1)))

    return Codec(
        distortion.name,
        distortion.name.replace("_", " "),
        ".png",
        distortion.unit,
        distortion.at,
        encode,
        lambda: f"pixq {__version__}",
    )


#: All codecs by name.
CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec(
            "jpeg", "JPEG", ".jpg", "quality of libjpeg, 100 to 1", lambda level: 101 - level, _jpeg,
            lambda: _pillow_version("libjpeg_turbo", "libjpeg-turbo"), chroma=("4:2:0", "4:4:4"),
        ),
        Codec(
            "webp", "WebP", ".webp", "quality of libwebp, 100 to 1", lambda level: 101 - level, _webp,
            lambda: _pillow_version("webp", "libwebp"), chroma=("4:2:0",),
        ),
        Codec(
            "avif", "AVIF", ".avif", "quality of libavif, 100 to 1, at speed 6", lambda level: 101 - level, _avif,
            lambda: _pillow_version("avif", "libavif"), chroma=("4:2:0", "4:4:4"),
        ),
        Codec(
            "jpeg2000", "JPEG 2000", ".jp2", "PSNR that OpenJPEG aims at, 50 to 25.25 dB",
            lambda level: 50.25 - level / 4, _jpeg2000, lambda: _pillow_version("jpg_2000", "OpenJPEG"),
            chroma=("4:4:4",),
        ),
        Codec(
            "jxl", "JPEG XL", ".jxl", "quality of libjxl, 99 to 0", lambda level: 100 - level, _jxl,
            _jxl_version, chroma=("4:4:4",), package="pillow_jxl",
        ),
        Codec(
            "hevc", "HEVC", ".heic", "quantisation parameter of intra coding, 1 to 51", float, _hevc, _hevc_version,
            chroma=("4:2:0", "4:4:4"), levels=51, package="pillow_heif",
        ),
        *(_by_distortion(distortion) for name, distortion in DISTORTIONS.items() if name not in _ENCODED),
    )
}  # fmt: skip


def choose_codec(name: str) -> Codec:
    """The codec of a name.

    Raises
    ------
    PixqError
        If there is none, or a package that it needs is missing.
    """
    if name not in CODECS:
        raise unknown("codec", name, CODECS)
    CODECS[name].require()
    return CODECS[name]
