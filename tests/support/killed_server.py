"""Restarts a study's server whenever it is killed: a program for `test_study_killed.py`, separate so that it can fork.

`python killed_server.py FOLDER DATABASE PORT` prints the process number of each server, and its address when it
listens. It ends when a server ends in another way than by SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from pixq.study.server import run
from support.studying import PAGE, PATIENT


def main(folder: str, database: str, port: str) -> None:
    while True:
        child = os.fork()
        if child == 0:
            try:
                run.serve(Path(folder), database=database, port=int(port), page=PAGE, limits=PATIENT)
            except KeyboardInterrupt:
                os._exit(0)
            except BaseException as error:
                print(f"ended: {error!r}", flush=True)
                raise
            os._exit(1)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(*sys.argv[1:])
