"""Files that appear whole or not at all, and their checksums."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixq import _core
from pixq.errors import PixqError

__all__ = ["SCRATCH", "FileInfo", "checksum", "whole", "write_json", "write_picture", "write_text"]


#: Where an unfinished build keeps what it needs to go on, inside the patch set's directory.
SCRATCH = ".pixq-build"


@dataclass(frozen=True)
class FileInfo:
    """Size in bytes and BLAKE3 (hex) of a file."""

    bytes: int
    blake3: str


def checksum(path: Path) -> FileInfo:
    """Size and checksum of a file, read once.

    Raises
    ------
    OSError
        If it can't be read.
    """
    return FileInfo(*_core.checksum(path))


def write_text(scratch: Path, path: Path, parts: Iterable[str]) -> None:
    """Write `parts` to `scratch` and rename it to `path`, on the same file system: `path` is never half written.

    That holds for a process that is killed. Nothing is forced to the disk, which would cost as much as the rest of a
    build: after a power cut, `pixq verify` tells whether every byte arrived.
    """
    with scratch.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(parts)
    scratch.replace(path)


def write_json(scratch: Path, path: Path, value: Any) -> None:
    """The same for JSON, which is standard JSON: there is no `Infinity` or `NaN`."""
    write_text(scratch, path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), "\n"))


@contextmanager
def whole(path: Path, mend: str) -> Iterator[Path]:
    """Where to write what becomes `path` at the end of the block, unless that raises: it is whole, or not there.

    Raises
    ------
    PixqError
        If the file can't be written: it names `path`, and says what `mend` says.
    """
    scratch = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        try:
            yield scratch
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; {mend}") from None


def write_picture(path: Path, data: bytes | memoryview, mend: str) -> None:
    """Write a picture that is encoded already, whole or not at all.

    Raises
    ------
    PixqError
        If the file can't be written: it names `path`, and says what `mend` says.
    """
    with whole(path, mend) as scratch:
        scratch.write_bytes(data)
