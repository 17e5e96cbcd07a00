"""Files that a folder of pixq's own must hold itself: a patch set or a run may come from somebody else.

Such a folder must not choose which other files are read, hang its reader, or be larger than it says.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import AfterValidator

from pixq.io.folders import SPECIAL
from pixq.io.text import read_bytes

__all__ = ["JSON_BYTES", "PlainPath", "check_enclosed", "is_plain_path", "read_enclosed"]

#: The most bytes of a JSON file whose size nothing announces.
JSON_BYTES = 1 << 28


def is_plain_path(name: str) -> bool:
    r"""Whether a name can only lead to something below a folder, on any system, as long as there are no links.

    Examples
    --------
    >>> [is_plain_path(name) for name in ("a.json", "images/a.png", "../a.json", "/etc/passwd", "C:a", "..\\a", "")]
    [True, True, False, False, False, False, False]
    """
    if not name or "\0" in name:
        return False
    kinds = (PurePosixPath(name), PureWindowsPath(name))
    return not any(path.anchor or ".." in path.parts for path in kinds)


def _plain(name: str) -> str:
    if not is_plain_path(name):
        raise ValueError(f"it is {name!r}; expected a path that stays below the folder")
    return name


#: A path in a file of pixq, relative to a folder and below it.
PlainPath = Annotated[str, AfterValidator(_plain)]


def check_enclosed(folder: Path, name: str, limit: int | None = None) -> Path:
    """Make sure that a file of a folder is the folder's own, and return its path.

    Parameters
    ----------
    folder
        The folder, which may be a link itself.
    name
        The path of the file in it.
    limit
        The most bytes that it may have.

    Raises
    ------
    OSError
        If it is missing, is a link that leads out of the folder, is not a regular file, or is too large. `filename` is
        set, and `strerror` says how to fix it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "run.json").symlink_to("/etc/hostname")
    >>> try:
    ...     check_enclosed(folder, "run.json")
    ... except OSError as error:
    ...     print(error.strerror)
    is a link that leads out of the folder; copy the file into it
    """
    path = folder / name

    def refusal(reason: str) -> OSError:
        return OSError(errno.EINVAL, reason, os.fspath(path))

    if not is_plain_path(name):
        raise refusal("lies outside the folder")
    try:
        status = path.stat()
    except ValueError:
        raise refusal("has a name that no file can have") from None
    if ("/" in name or path.is_symlink()) and not path.resolve().is_relative_to(folder.resolve()):
        raise refusal("is a link that leads out of the folder; copy the file into it")
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise refusal(SPECIAL)
    if limit is not None and status.st_size > limit:
        raise refusal(f"has {status.st_size} bytes, and may have at most {limit}")
    return path


def read_enclosed(folder: Path, name: str, limit: int = JSON_BYTES) -> bytes:
    """Read a file of a folder after `check_enclosed`.

    Raises
    ------
    OSError
        As `check_enclosed`, or if it can't be read.
    """
    return read_bytes(check_enclosed(folder, name, limit))
