"""The image formats that pixq knows, from the table that the compiled core keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pixq._core import formats

__all__ = ["DECODED", "ENDINGS", "FORMATS", "SHOWN", "ImageFormat", "endings_of", "titles_of"]


@dataclass(frozen=True)
class ImageFormat:
    """An image format.

    Parameters
    ----------
    name
        Its name in results, such as `jpeg`.
    title
        Its name in sentences, such as `JPEG`.
    endings
        How the names of its files end, in lower case; the usual ending comes first.
    media_type
        Its media (MIME) type.
    web
        Whether every current browser shows it and it is meant for web pages.
    decoded
        Whether pixq decodes it. Files of the other formats count as images, and are refused by name.
    extra
        The extra of pixq that decoding it needs.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    media_type: str
    web: bool
    decoded: bool
    extra: str | None = None


def endings_of(formats: Iterable[ImageFormat]) -> frozenset[str]:
    """The endings of all files of some formats.

    Examples
    --------
    >>> sorted(endings_of(FORMATS[:2]))
    ['.apng', '.jfif', '.jpe', '.jpeg', '.jpg', '.mpo', '.png']
    """
    return frozenset(ending for image_format in formats for ending in image_format.endings)


def titles_of(formats: Iterable[ImageFormat], word: str = "or") -> str:
    """The titles of some formats in a sentence, the last two joined by `word`.

    Examples
    --------
    >>> titles_of(FORMATS[:3]), titles_of(FORMATS[:2], "and")
    ('PNG, JPEG or BMP', 'PNG and JPEG')
    """
    *others, last = (image_format.title for image_format in formats)
    return f"{', '.join(others)} {word} {last}" if others else last


#: All formats, the most usual ones first.
FORMATS = tuple(ImageFormat(**{**row, "endings": tuple(row["endings"])}) for row in formats())
#: Those that pixq decodes.
DECODED = tuple(image_format for image_format in FORMATS if image_format.decoded)
#: Those that pixq decodes and every browser shows.
SHOWN = tuple(image_format for image_format in DECODED if image_format.web)
#: How a file's name ends if it counts as an image, decoded or not.
ENDINGS = endings_of(FORMATS)
