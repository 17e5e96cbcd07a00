"""The exception that means: the user can mend this."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["PixqError", "one_line", "printable", "unknown"]


class PixqError(Exception):
    """A mistake in the input that its user can mend.

    The message is one line: what is wrong, in which file or option, and what mends it. The command line prints it
    and exits with code 2; it never shows a traceback for one.
    """


def one_line(error: Exception) -> str:
    r"""What another package's error says, on one line of at most 160 characters; its type's name if it says nothing.

    Examples
    --------
    >>> one_line(ValueError("two\n  lines"))
    'two lines'
    """
    return " ".join(str(error).split())[:160] or type(error).__name__


def printable(text: str) -> str:
    r"""`text` in one line, with characters that can't be seen escaped: a name may hold any, and steer a terminal.

    Examples
    --------
    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def unknown(kind: str, name: str, known: Iterable[str]) -> PixqError:
    """The error that `name` is no `kind`: it gives the closest of `known`, if one is close, and all of them.

    Examples
    --------
    >>> str(unknown("dataset", "tid203", ["tid2013", "pairs"]))
    "unknown dataset 'tid203'; did you mean tid2013? choose one of tid2013, pairs"
    """
    names = list(known)
    close = difflib.get_close_matches(name.lower().replace("-", "_"), names, n=1, cutoff=0.4)
    meant = f"did you mean {close[0]}? " if close else ""
    return PixqError(f"unknown {kind} {name!r}; {meant}choose one of {', '.join(names)}")
