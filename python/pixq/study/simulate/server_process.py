"""`pixq study serve` as a process of its own, for rehearsals and benches; run as a module, it is that process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pixq.errors import PixqError

__all__ = ["served"]

#: Seconds that the server has to end.
_PATIENCE = 30
#: A page for those who need none.
_BLANK = {"index.html": (b"<!doctype html>", "text/html; charset=utf-8")}


@contextmanager
def served(folder: Path, database: str, private: Path, *, page: bool = False) -> Iterator[int]:
    """A study's server on a free port of this machine, which is given; it ends with the block.

    Nobody has to wait for its limits of requests, as all participants have one address.

    Parameters
    ----------
    folder
        Of the study. Nothing is written there.
    database
        Of the answers.
    private
        A folder for the key and the token.
    page
        Whether the participants' page is served too; it must have been built.

    Raises
    ------
    PixqError
        If the server does not begin: its own line.
    """
    command = [
        sys.executable,
        "-m",
        "pixq.study.simulate.server_process",
        str(folder),
        database,
        str(private),
        *(["page"] * page),
    ]
    # Ctrl-C is for us alone: the server ends when we say so, or are gone.
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline().rstrip("/\n")
            if not first:
                process.wait(_PATIENCE)
                raise PixqError(_last(said))
            yield int(first.rpartition(":")[2])
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _last(said: IO[str]) -> str:
    said.seek(0)
    lines = said.read().strip().splitlines() or ["it said nothing"]
    return lines[-1].removeprefix("pixq: ") if lines[-1].startswith("pixq: ") else f"the server ended: {lines[-1]}"


def _end_with_parent() -> None:
    # Whoever holds the other end closes it, or dies.
    os.read(0, 1)
    signal.raise_signal(signal.SIGINT)


def _main(folder: str, database: str, private: str, *page: str) -> int:
    from pixq.study.server import run
    from pixq.study.server.limits import Limits, RateLimit

    threading.Thread(target=_end_with_parent, daemon=True).start()
    wide = RateLimit(1e6, 1e6)
    limits = Limits(session=wide, address=wide, start=wide)
    try:
        run.serve(
            Path(folder), database=database, private=Path(private), port=0, limits=limits,
            page=None if page else _BLANK,
        )  # fmt: skip
    except PixqError as error:
        print(f"pixq: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
