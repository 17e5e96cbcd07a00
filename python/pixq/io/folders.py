"""Find files in folders. Whatever can't be read is named, so that nothing is left out without a word.

Links to files and to folders are followed, and each folder is read once, however many links lead to it. Names that
begin with a dot are hidden, and are not looked at.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath

from pixq.errors import PixqError
from pixq.io.paths import nfc

__all__ = [
    "SPECIAL",
    "Entry",
    "FolderFiles",
    "LeftOut",
    "check_folder",
    "explain_missing",
    "find_files",
    "find_path",
    "glob_files",
    "list_entries",
]

#: What a file is that `stat` finds to be neither a file nor a folder.
SPECIAL = "is a pipe, a socket or a device, not a file"
_DANGLING = "is a link that leads nowhere"
_LOOP = "is a link that leads back to itself"
_TWICE = "is the same folder as {}, which was read"


def check_folder(path: Path) -> None:
    """Check that a folder to write to is not a file.

    Raises
    ------
    PixqError
        If it is.
    """
    if path.exists() and not path.is_dir():
        raise PixqError(f"{path}: is a file; give the name of a folder")


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder.

    Parameters
    ----------
    name
        The name.
    is_folder
        Whether it is a folder, or a link to one.
    is_link
        Whether it is a link.
    fault
        Why it can't be read, if it is neither a file nor a folder.
    """

    name: str
    is_folder: bool = False
    is_link: bool = False
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that can't be read, and the reason."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; it was left out"


@dataclass(frozen=True)
class FolderFiles:
    """What a folder holds.

    Parameters
    ----------
    files
        The paths of the files relative to the folder, with `/`, sorted.
    left_out
        What can't be read.
    other
        How many files have other endings.
    """

    files: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    other: int = 0


def list_entries(folder: Path) -> list[Entry]:
    """The names in a folder, sorted; links are followed.

    Raises
    ------
    OSError
        If it can't be listed.
    """
    with os.scandir(folder) as entries:
        return sorted(map(_look_at, entries), key=lambda entry: entry.name)


def _look_at(entry: os.DirEntry[str]) -> Entry:
    link = entry.is_symlink()
    try:
        if entry.is_dir():
            return Entry(entry.name, is_folder=True, is_link=link)
        if entry.is_file():
            return Entry(entry.name, is_link=link)
        fault = _DANGLING if link and not os.path.exists(entry.path) else SPECIAL
    except OSError as error:
        fault = _LOOP if error.errno == errno.ELOOP else f"can't be read: {error.strerror or error}"
    return Entry(entry.name, is_link=link, fault=fault)


def explain_missing(path: Path, otherwise: str = "no such file or folder") -> str:
    """Say why there is no file at a path: it may be a link that leads nowhere, or something else, such as a pipe."""
    if not path.exists():
        return _DANGLING if path.is_symlink() else otherwise
    return otherwise if path.is_dir() else SPECIAL


def find_files(folder: Path, endings: Collection[str], *, recursive: bool = True) -> FolderFiles:
    """Find the files of a folder and its subfolders whose names have one of some endings.

    Parameters
    ----------
    folder
        The folder.
    endings
        Endings in lower case, such as `.png`.
    recursive
        Whether to look into subfolders.

    Raises
    ------
    PixqError
        If the folder itself can't be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.png").write_bytes(b""), (folder / "gone.png").symlink_to("nowhere")
    >>> found = find_files(folder, {".png"})
    >>> found.files, [(item.path.name, item.reason) for item in found.left_out]
    (('a.png',), [('gone.png', 'is a link that leads nowhere')])
    """
    files: list[str] = []
    left_out: list[LeftOut] = []
    other = 0
    for where, entries in _walk(folder, left_out, recursive=recursive):
        for entry in entries:
            wanted = PurePath(entry.name).suffix.lower() in endings
            if entry.fault is not None and (wanted or entry.fault != SPECIAL):
                left_out.append(LeftOut(folder / where / entry.name, entry.fault))
            elif wanted and entry.fault is None:
                files.append(f"{where}{entry.name}")
            else:
                other += 1
    return FolderFiles(tuple(sorted(files)), tuple(sorted(left_out, key=lambda item: item.path)), other)


def _walk(
    root: Path, left_out: list[LeftOut], *, recursive: bool, name_repeated: bool = True
) -> Iterator[tuple[str, list[Entry]]]:
    """The prefix of each folder's relative paths, and what it holds besides folders and hidden names.

    What can't be read is added to `left_out`, with folders that were read under another name if `name_repeated`.
    """
    seen: dict[tuple[int, int], Path] = {}
    # Folders come before links to them, so that a folder goes by its own name.
    folders, links = [""], list[str]()
    while folders or links:
        where = folders.pop(0) if folders else links.pop(0)
        path = root / where
        try:
            status = path.stat()
            before = seen.setdefault((status.st_dev, status.st_ino), path)
            if before is not path:
                if name_repeated:
                    left_out.append(LeftOut(path, _TWICE.format(before)))
                continue
            entries = [entry for entry in list_entries(path) if not entry.name.startswith(".")]
        except OSError as error:
            reason = error.strerror or str(error)
            if not where:
                raise PixqError(f"{root}: {reason}; give a folder that can be read") from None
            left_out.append(LeftOut(path, f"can't be read: {reason}"))
            continue
        yield where, [entry for entry in entries if not entry.is_folder]
        if recursive:
            folders += [f"{where}{entry.name}/" for entry in entries if entry.is_folder and not entry.is_link]
            links += [f"{where}{entry.name}/" for entry in entries if entry.is_folder and entry.is_link]


def find_path(root: Path, name: str) -> Path:
    """The file or folder below `root` that is called `name`, a relative path with `/`.

    A name that looks the same is as good as the same one: on disk it may be composed of other characters. If there is
    none, the path is returned as it is.
    """
    path = root
    for part in PurePosixPath(name).parts:
        exact = path / part
        if not os.path.lexists(exact):
            try:
                alike = [entry.name for entry in list_entries(path) if nfc(entry.name) == nfc(part)]
            except OSError:
                alike = []
            exact = path / (alike[0] if len(alike) == 1 else part)
        path = exact
    return path


def glob_files(root: Path, pattern: str) -> tuple[list[Path], list[LeftOut]]:
    """Find the files below `root` that match a pattern with `*`, `?`, `[...]` and `**`.

    Names match if they look the same, even if they are composed of other characters. Hidden names are matched only by a
    pattern that begins with a dot.

    Returns
    -------
    tuple
        The files, sorted, and what matches but can't be read.

    Raises
    ------
    ValueError
        If the pattern is empty or absolute.
    """
    parts = PurePosixPath(pattern).parts
    if not parts or PurePosixPath(pattern).is_absolute():
        raise ValueError("is not a pattern of files below the folder")
    left_out: list[LeftOut] = []
    files = sorted(set(_glob(root, parts, left_out)))
    return files, sorted(set(left_out), key=lambda item: item.path)


def _glob(folder: Path, parts: tuple[str, ...], left_out: list[LeftOut]) -> Iterator[Path]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        for where, _ in _walk(folder, left_out, recursive=True, name_repeated=False):
            yield from _glob(folder / where, rest or ("*",), left_out)
        return
    try:
        entries = list_entries(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        left_out.append(LeftOut(folder, f"can't be read: {error.strerror or error}"))
        return
    exact = [entry for entry in entries if entry.name == part]
    for entry in exact or (entry for entry in entries if _fits(entry.name, part)):
        path = folder / entry.name
        if entry.fault is not None:
            left_out.append(LeftOut(path, entry.fault))
        elif rest and entry.is_folder:
            yield from _glob(path, rest, left_out)
        elif not rest and not entry.is_folder:
            yield path


def _fits(name: str, part: str) -> bool:
    return name.startswith(".") <= part.startswith(".") and fnmatchcase(nfc(name), nfc(part))
