"""What commands print. Text from outside, such as file names, is escaped: it can't steer a terminal or fake a line."""

from __future__ import annotations

import json
import sys

from pixq.errors import printable

__all__ = ["note", "print_json", "print_lines", "warn"]


def print_lines(*lines: object) -> None:
    """Print lines of data on stdout."""
    print(*(printable(str(line)) for line in lines), sep="\n")


def print_json(text: str) -> None:
    """Print JSON on stdout; what can't be printed is escaped as JSON escapes it."""
    print("\n".join(_escaped(line) for line in text.rstrip("\n").split("\n")))


def _escaped(line: str) -> str:
    return "".join(letter if printable(letter) == letter else json.dumps(letter)[1:-1] for letter in line)


def note(line: object) -> None:
    """Print a message on stderr."""
    print(f"pixq: {printable(str(line))}", file=sys.stderr, flush=True)


def warn(line: object) -> None:
    """Print a warning on stderr."""
    note(f"warning: {line}")
