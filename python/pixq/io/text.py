"""Read files that people write or pipe in: text with or without a byte order mark, and pipes, which are read once."""

from __future__ import annotations

import codecs
import errno
import os
import select
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixq.errors import PixqError
from pixq.io.atomic import explain_os_errors, save_bytes
from pixq.io.folders import SPECIAL

__all__ = ["PIPE_BYTES", "decode_text", "is_pipe", "pipes_as_files", "read_bytes", "read_text", "without_mark"]

#: The most bytes that are read from a pipe.
PIPE_BYTES = 1 << 30
#: How long a pipe may have nobody who writes to it, in seconds.
_WAIT = 5.0
_BLOCK = 1 << 20


def is_pipe(path: Path) -> bool:
    """Whether a path leads to a pipe, which can be read only once."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


@contextmanager
def pipes_as_files(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Save the content of those paths that are pipes in temporary files, which can be read more than once.

    Yields
    ------
    tuple
        The paths, with that of a temporary file in place of each pipe. Errors of the block name the pipe.

    Raises
    ------
    PixqError
        If a pipe can't be read, or there is no room for its content.
    """
    if not any(map(is_pipe, paths)):
        yield paths
        return
    with explain_os_errors(Path(tempfile.gettempdir()), "free some space there, or set TMPDIR to another folder"):
        folder = tempfile.TemporaryDirectory(prefix="pixq-")
    with folder:
        files: dict[Path, Path] = {}
        for number, path in enumerate(dict.fromkeys(filter(is_pipe, paths))):
            file = files[path] = Path(folder.name) / f"{number}" / path.name
            try:
                data = read_bytes(path)
            except OSError as error:
                raise PixqError(f"{path}: {error.strerror or error}") from None
            save_bytes(file, data, "free some space there, or set TMPDIR to another folder")
        try:
            yield tuple(files.get(path, path) for path in paths)
        except PixqError as error:
            message = str(error)
            for path, file in files.items():
                message = message.replace(str(file), str(path))
            raise PixqError(message) from None


def read_bytes(path: Path, *, limit: int = PIPE_BYTES) -> bytes:
    """Read a file, or a pipe until its writer closes it.

    Parameters
    ----------
    path
        The file or pipe, such as the `/dev/fd/63` of a shell's `<(...)`.
    limit
        The most bytes to read from a pipe.

    Raises
    ------
    OSError
        If it can't be read; if it is a socket or a device, which may have no end; or if nobody writes to the pipe, or
        it gives more than `limit` bytes. `filename` is set.
    """
    try:
        # Not blocking: to open a pipe would wait for a writer.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(file, "rb", buffering=0) as source:
            mode = os.fstat(file).st_mode
            if stat.S_ISFIFO(mode):
                return _read_pipe(file, limit)
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise OSError(errno.EINVAL, f"{SPECIAL}; save its content as a file")
            return source.read()
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def _read_pipe(file: int, limit: int) -> bytes:
    blocks: list[bytes] = []
    size, deadline = 0, time.monotonic() + _WAIT
    poll = select.poll()
    poll.register(file, select.POLLIN)
    while True:
        try:
            block = os.read(file, _BLOCK)
        except BlockingIOError:
            # Somebody has it open, and takes their time.
            deadline = float("inf")
            poll.poll(1000)
            continue
        if not block:
            if blocks or deadline == float("inf"):
                return b"".join(blocks)
            if time.monotonic() > deadline:
                raise OSError(errno.EINVAL, "is a pipe that nobody writes to; save the content as a file")
            time.sleep(0.02)
            continue
        blocks.append(block)
        size += len(block)
        if size > limit:
            raise OSError(errno.EFBIG, f"is a pipe that gives more than {limit >> 20} MiB; save its content as a file")


def without_mark(data: bytes) -> bytes:
    """The bytes of a file without the byte order mark that some editors put first."""
    return data.removeprefix(codecs.BOM_UTF8)


def read_text(path: Path, *, limit: int = PIPE_BYTES) -> str:
    """Read UTF-8 text, with or without a byte order mark, with all line ends as newlines.

    `limit` is the most bytes to read from a pipe.

    Raises
    ------
    OSError
        As `read_bytes`.
    PixqError
        If it is not UTF-8 text.
    """
    return decode_text(read_bytes(path, limit=limit), str(path))


def decode_text(data: bytes, name: str) -> str:
    r"""Decode a file's bytes as `read_text` does; `name` is its name in messages.

    Raises
    ------
    PixqError
        If it is not UTF-8 text.

    Examples
    --------
    >>> decode_text(b"\xef\xbb\xbfone\r\ntwo", "a.txt")
    'one\ntwo'
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise PixqError(f"{name}: is UTF-16 text; save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PixqError(
            f"{name}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
