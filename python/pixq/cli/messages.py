"""What commands print. Text from outside, such as file names, is escaped: it can't steer a terminal or fake a line."""

from __future__ import annotations

import sys

from pixq.errors import printable

__all__ = ["note", "show", "warn"]


def show(*lines: str) -> None:
    """Print lines of data on stdout."""
    print(*map(printable, lines), sep="\n")


def note(line: str) -> None:
    """Print a message on stderr."""
    print(f"pixq: {printable(line)}", file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """Print a warning on stderr."""
    note(f"warning: {line}")
