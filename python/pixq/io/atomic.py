"""Files and folders that appear whole or not at all, and their checksums.

Everything that pixq writes goes through `atomic_write` or `atomic_directory`: the content is written to a scratch path
beside the target, and one rename puts it in place. A process that is killed leaves the old file or none. Nothing is
forced to the disk, which would cost as much as the rest of a build: after a power cut, `pixq verify` finds out whether
every byte arrived.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixq._core import checksum as core_checksum
from pixq.errors import PixqError

__all__ = [
    "NAME_BYTES",
    "WRITABLE",
    "FileInfo",
    "atomic_directory",
    "atomic_write",
    "checksum",
    "create_private",
    "explain_os_errors",
    "replace_text",
    "save_bytes",
    "save_json",
    "save_text",
    "scratch_path",
]

#: The most bytes of a file's name, on every system that is in use.
NAME_BYTES = 255

#: The usual way to fix a failed write, for the end of a message.
WRITABLE = "free some disk space, or make it writable"


@dataclass(frozen=True)
class FileInfo:
    """Size in bytes and BLAKE3 (hex) of a file."""

    bytes: int
    blake3: str


def checksum(path: Path) -> FileInfo:
    """Size and checksum of a file, which is read once.

    Raises
    ------
    OSError
        If it can't be read.
    """
    return FileInfo(*core_checksum(path))


@contextmanager
def explain_os_errors(path: Path, fix: str = WRITABLE, *, scratch: Path | None = None) -> Iterator[None]:
    """Turn an `OSError` of the block into a `PixqError` that names the file and says how to fix it.

    Parameters
    ----------
    path
        The file to name where the error names none.
    fix
        What the user can do about it.
    scratch
        What is written in place of `path`, which is named for both. An error about any other file is then the
        caller's own, and is passed on as it is.

    Raises
    ------
    PixqError
        In place of the `OSError`; a broken pipe is passed on, since nobody reads on.

    Examples
    --------
    >>> with explain_os_errors(Path("gone/a.txt"), "create the folder"):
    ...     Path("gone/a.txt").write_text("")
    Traceback (most recent call last):
    pixq.errors.PixqError: gone/a.txt: No such file or directory; create the folder
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        if named.name.startswith(f".{path.name}.") or named == scratch_path(path):
            # The user knows nothing of scratch files.
            named = path
        if scratch is not None:
            if not named.is_relative_to(scratch) and not path.is_relative_to(named):
                raise
            named = path
        raise PixqError(f"{named}: {error.strerror or error}; {fix}") from None


@contextmanager
def atomic_write(path: Path, fix: str = WRITABLE, *, private: bool = False) -> Iterator[Path]:
    """Give a scratch path to write to; it becomes `path` at the end of the block, and vanishes if the block raises.

    Folders on the way to `path` are created. If `private`, only the file's owner can read it, from the beginning.

    Raises
    ------
    PixqError
        If writing fails, in the block too: it names `path`, and ends with `fix`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new" / "a.txt"
    >>> with atomic_write(path) as scratch:
    ...     _ = scratch.write_text("whole")
    >>> path.read_text(), [file.name for file in path.parent.iterdir()]
    ('whole', ['a.txt'])
    """
    scratch = scratch_path(path)
    with explain_os_errors(path, fix, scratch=scratch):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if private:
                create_private(scratch)
            yield scratch
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path, fix: str = WRITABLE) -> Iterator[Path]:
    """Give a new scratch folder to fill; it becomes `path`, which must not exist, at the end of the block.

    If the block raises, the scratch folder and its contents are deleted.

    Raises
    ------
    PixqError
        If writing fails, in the block too: it names `path`, and ends with `fix`.
    """
    scratch = scratch_path(path)
    with explain_os_errors(path, fix, scratch=scratch):
        try:
            scratch.mkdir(parents=True)
            yield scratch
            scratch.rename(path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def save_bytes(path: Path, data: bytes | memoryview, fix: str = WRITABLE) -> None:
    """Write bytes, whole or not at all; see `atomic_write`."""
    with atomic_write(path, fix) as scratch:
        scratch.write_bytes(data)


def save_text(path: Path, parts: Iterable[str], fix: str = WRITABLE) -> None:
    """Write the joined `parts` as UTF-8 with Unix line ends, whole or not at all; see `atomic_write`."""
    with atomic_write(path, fix) as scratch:
        _write_parts(scratch, parts)


def save_json(path: Path, value: Any, fix: str = WRITABLE, *, private: bool = False) -> None:
    """Write standard JSON, which has no `Infinity` and no `NaN`, whole or not at all; see `atomic_write`."""
    with atomic_write(path, fix, private=private) as scratch:
        _write_parts(scratch, (json_text(value),))


def replace_text(scratch: Path, path: Path, parts: Iterable[str]) -> None:
    """Write `parts` to `scratch` and rename it to `path`, for callers that own a scratch folder.

    Raises
    ------
    OSError
        If it can't be written; `scratch` is left behind.
    """
    _write_parts(scratch, parts)
    scratch.replace(path)


def json_text(value: Any) -> str:
    """`value` as the JSON text that pixq writes: indented by 2, not escaped, a line end at the end."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write_parts(scratch: Path, parts: Iterable[str]) -> None:
    with scratch.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(parts)


def create_private(scratch: Path) -> None:
    """Create an empty file that only its owner can read, in place of one that a killed process left.

    Raises
    ------
    OSError
        If it can't be created.
    """
    scratch.unlink(missing_ok=True)
    os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def scratch_path(path: Path) -> Path:
    """Where `path` is written before it is complete: a hidden name beside it, which no other process uses."""
    end = f".partial-{os.getpid()}"
    name = f".{path.name}{end}"
    if len(os.fsencode(name)) > NAME_BYTES:
        # The name of the file just fits; this one would not.
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}{end}"
    return path.with_name(name)
