"""Progress on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pixq.errors import printable
from pixq.io.progress import ProgressCallback

__all__ = ["progress_bar"]

#: Seconds between two lines where stderr is not a terminal.
LINE_EVERY = 10.0


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[ProgressCallback]:
    """Show progress on stderr: a bar on a terminal, elsewhere one line every `LINE_EVERY` seconds.

    A stage that ends with a note, as an epoch ends with its loss, leaves a line behind in both cases.

    Parameters
    ----------
    quiet
        Show nothing.

    Yields
    ------
    ProgressCallback
        To pass on as `on_progress`.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task, current = bar.add_task("", total=None, note=""), ""
        began = last_line = time.monotonic()

        def on_progress(stage: str, done: int, total: int, note: str = "") -> None:
            nonlocal current, began, last_line
            now = time.monotonic()
            # A stage may be called after a file.
            stage, note = printable(stage), printable(note)
            if stage != current:
                current, began = stage, now
                bar.reset(task, description=stage, total=total, note=note)
            bar.update(task, completed=done, total=total, note=note)
            if quiet:
                return
            if note and done == total:
                line = f"pixq: {stage}: {note}"
                bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
                last_line = now
            elif not console.is_terminal and now - last_line >= LINE_EVERY:
                last_line = now
                left = f", {(now - began) / done * (total - done):.0f} s left" if done else ""
                line = f"pixq: {stage}: {done} of {total}{f', {note}' if note else ''}{left}"
                print(line, file=sys.stderr, flush=True)

        yield on_progress
