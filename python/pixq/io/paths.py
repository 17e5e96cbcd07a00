"""File names as text, for JSON, CSV and messages."""

from __future__ import annotations

import os

__all__ = ["text_of"]


def text_of(path: str | os.PathLike[str]) -> str:
    """A path as text that can be written to a file: bytes that are not valid text are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
