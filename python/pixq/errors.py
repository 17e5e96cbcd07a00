"""The exception that means: the user can mend this."""

from __future__ import annotations

__all__ = ["PixqError"]


class PixqError(Exception):
    """A mistake in the input that its user can mend.

    The message is one line: what is wrong, in which file or option, and what mends it. The command line prints it
    and exits with code 2; it never shows a traceback for one.
    """
