"""The files of an SQLite database: who can read them, and whether they are still those that are open.

SQLite keeps writing to a file that was deleted or renamed, as the system keeps it until it is closed. Everything that
is stored then is lost, although each commit succeeds.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from pixq.errors import PixqError, printable
from pixq.study.store.records import DatabaseUnavailable

__all__ = ["DatabaseFiles", "ensure_private"]

_File = tuple[int, int] | None
_PRIVATE = 0o600
#: What SQLite adds to the name of a database for the files beside it.
_BESIDE = ("", "-wal", "-shm")


def ensure_private(path: Path) -> None:
    """Create the file if it is missing, readable only by its owner; SQLite reports what is wrong with the path."""
    with suppress(OSError):
        if path.parent.is_dir() and not path.exists():
            # SQLite copies the mode to the files beside it.
            path.touch(mode=_PRIVATE)


class DatabaseFiles:
    """The files that the connections of this process have open. Several threads may call all methods.

    Parameters
    ----------
    path
        Path of the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = Path(f"{path}-wal")
        self._open = 0
        self._database: _File = None
        self._open_log: _File = None
        self._lock = threading.Lock()

    def make_private(self) -> None:
        """Make the files readable only by their owner, and say so if they were not.

        Raises
        ------
        PixqError
            If others can read them, and this can't be changed.
        """
        if os.name != "posix":
            return
        for file in (Path(f"{self._path}{suffix}") for suffix in _BESIDE):
            try:
                if not file.exists() or not file.stat().st_mode & 0o077:
                    continue
                file.chmod(_PRIVATE)
            except OSError:
                raise PixqError(f"{file}: other users can read the answers; let its owner run `chmod 600`") from None
            line = f"{file}: other users could read the answers; its mode is now 600"
            print(f"pixq: warning: {printable(line)}", file=sys.stderr)

    def connected(self, connection: Any, record: Any) -> None:
        """Note the files of a new connection, which has read from them; a listener of SQLAlchemy."""
        with self._lock:
            if self._database is None:
                self._database = _identify(self._path)
            if self._open == 0:
                # The log is deleted with the last connection of any process, but not before.
                self._open_log = _identify(self._log)
            self._open += 1

    def closed(self, connection: Any, record: Any) -> None:
        """Note that a connection is closed; a listener of SQLAlchemy."""
        with self._lock:
            self._open -= 1

    def check(self) -> None:
        """Check that the open files are those that the path names.

        Raises
        ------
        DatabaseUnavailable
            If one was deleted, renamed or replaced.
        """
        for path, opened in ((self._path, self._database), (self._log, self._open_log)):
            if opened is not None and _identify(path) != opened:
                raise DatabaseUnavailable(f"{path.name} was deleted or replaced; restore the file, and restart pixq")


def _identify(path: Path) -> _File:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
