"""Run a study's server in a separate process, for rehearsals and benchmarks; run as a module, it is that process."""

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

from pixq.errors import PixqError, printable
from pixq.study.server.limits import Limits, RateLimit

__all__ = ["run_server"]

#: Seconds that the server has to stop.
_PATIENCE = 30
#: A page for participants who don't need one.
_BLANK = {"index.html": (b"<!doctype html>", "text/html; charset=utf-8")}


@contextmanager
def run_server(folder: Path, database: str, private: Path, *, page: bool = False) -> Iterator[int]:
    """Run a study's server on a free port of this machine, which is yielded, until the block ends.

    Requests are practically unlimited, as all participants share one address.

    Parameters
    ----------
    folder
        Folder of the study. Nothing is written there.
    database
        Database of the answers.
    private
        A folder for the key and the token.
    page
        Whether to serve the participants' page too; it must have been built.

    Raises
    ------
    PixqError
        If the server does not start, with its own message.
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
    # Ctrl-C interrupts this process only; the server stops when this process says so, or is gone.
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().rstrip("/\n")
            if not address:
                process.wait(_PATIENCE)
                raise PixqError(_last_error(errors))
            yield int(address.rpartition(":")[2])
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _last_error(errors: IO[str]) -> str:
    errors.seek(0)
    last = (errors.read().strip().splitlines() or ["without a message"])[-1]
    return last.removeprefix("pixq: ") if last.startswith("pixq: ") else f"the server stopped: {last}"


def _stop_with_parent() -> None:
    # Standard input ends when the parent closes it, or dies.
    os.read(0, 1)
    signal.raise_signal(signal.SIGINT)


def _main(folder: str, database: str, private: str, *page: str) -> int:
    from pixq.study.server import run

    threading.Thread(target=_stop_with_parent, daemon=True).start()
    unlimited = RateLimit(1e6, 1e6)
    limits = Limits(session=unlimited, address=unlimited, start=unlimited, address_connections=6_000)
    try:
        run.serve(
            Path(folder), database=database, private=Path(private), port=0, limits=limits,
            rehearsal=True, page=None if page else _BLANK,
        )  # fmt: skip
    except PixqError as error:
        print(f"pixq: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
