"""The exception for mistakes that the user can fix."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

__all__ = ["DamagedImageWarning", "PixqError", "one_line", "printable", "unknown"]


class PixqError(Exception):
    """A mistake in the input that the user can fix.

    The message is one line: what is wrong, in which file or option, and how to fix it. The command line prints it
    without a traceback and exits with code 2.
    """


class DamagedImageWarning(UserWarning):
    """An image file is damaged, but its pixels are all there: browsers show it as well."""


def one_line(error: BaseException) -> str:
    r"""The message of another package's error on one line of at most 160 characters, or the name of its type.

    Examples
    --------
    >>> one_line(ValueError("two\n  lines"))
    'two lines'
    """
    return " ".join(str(error).split())[:160] or type(error).__name__


def printable(text: str) -> str:
    r"""Escape characters of a text that can't be printed: a file name may hold some, and they could steer a terminal.

    Examples
    --------
    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(letter if _is_harmless(letter) else repr(letter)[1:-1] for letter in text)


def _is_harmless(letter: str) -> bool:
    """Whether a character can be printed, or is a space or a joiner, which names in many languages need."""
    return letter.isprintable() or letter in "\u200c\u200d" or unicodedata.category(letter) == "Zs"


def unknown(kind: str, name: str, known: Iterable[str]) -> PixqError:
    """Make the error for an unknown name: it suggests the closest of the known names, and lists all of them.

    Examples
    --------
    >>> str(unknown("dataset", "tid203", ["tid2013", "pairs"]))
    "unknown dataset 'tid203'; did you mean tid2013? choose one of tid2013, pairs"
    """
    names = list(known)
    close = difflib.get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.4)
    meant = f"did you mean {close[0]}? " if close else ""
    return PixqError(f"unknown {kind} {name!r}; {meant}choose one of {', '.join(names)}")
