"""`pixq`, which sends itself a signal at a given moment of a build: a program for `test_resume.py`.

`python stopped_build.py SIGNAL images N ARGUMENT...` does so once N images are cut, and
`python stopped_build.py SIGNAL files N ARGUMENT...` before a file in the current directory is opened for writing or
renamed from Python for the Nth time.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from pixq._core import Progress
from pixq.cli import main
from pixq.patches import build as building


def stop_at_file(number: int, sent: signal.Signals) -> None:
    here, count = os.getcwd() + os.sep, 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        written = event == "os.rename" or (event == "open" and "w" in str(arguments[1]))
        if written and str(arguments[0]).startswith(here):
            count += 1
            if count == number:
                os.kill(os.getpid(), sent)

    sys.addaudithook(hook)


def stop_at_image(number: int, sent: signal.Signals) -> None:
    progress, wait = Progress(), building.wait

    def wait_or_stop(*arguments: Any, **options: Any) -> Any:
        if progress.images >= number:
            os.kill(os.getpid(), sent)
        return wait(*arguments, **options)

    building.Progress = lambda: progress  # type: ignore[assignment, misc]
    building.wait = wait_or_stop
    building.POLL = 0.0


if __name__ == "__main__":
    name, kind, moment, *words = sys.argv[1:]
    (stop_at_file if kind == "files" else stop_at_image)(int(moment), signal.Signals[name])
    sys.exit(main(words))
