"""File names: as text for JSON, CSV and messages, as people compare them, and as copies of one another."""

from __future__ import annotations

import os
import re
import unicodedata

__all__ = ["nfc", "original_of", "text_of"]

#: What browsers, Windows, macOS and GNOME add to the name of a copy, in English and in German.
_COPY = re.compile(
    r"(.+?)(?: ?\(\d{1,3}\)|(?: -)? (?:copy|kopie)(?: \d{1,3}| \(\d{1,3}\))?"
    r"| \((?:another |weitere |\d{1,3}(?:st|nd|rd|th|\.) )?(?:copy|kopie)\))",
    re.IGNORECASE,
)


def text_of(path: str | os.PathLike[str]) -> str:
    """A path as text that can be written to a file: bytes that are not valid text are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def nfc(name: str) -> str:
    r"""A name in the form in which names that look the same are equal: macOS, for one, writes `é` as two characters.

    Examples
    --------
    >>> nfc("cafe\u0301.png") == "caf\u00e9.png"
    True
    """
    return unicodedata.normalize("NFC", name)


def original_of(stem: str) -> str | None:
    """The name, without its ending, of which another looks like a copy; `None` if it doesn't look like one.

    Examples
    --------
    >>> [original_of(stem) for stem in ("photo_050 (1)", "photo - Copy (2)", "photo copy 3", "photo_050")]
    ['photo_050', 'photo', 'photo', None]
    """
    match = _COPY.fullmatch(stem)
    return None if match is None else match[1]
