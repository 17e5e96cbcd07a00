"""Progress on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pixq.io.progress import ProgressCallback

__all__ = ["counted", "progress_bar", "staged"]

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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task, current = bar.add_task("", total=None, note=""), ""
        began = last_line = time.monotonic()

        def on_progress(stage: str, done: int, total: int, note: str = "") -> None:
            nonlocal current, began, last_line
            now = time.monotonic()
            if stage != current:
                current, began = stage, now
                bar.reset(task, description=stage, total=total, note=note)
            bar.update(task, completed=done, total=total, note=note)
            if quiet:
                return
            if note and done == total:
                bar.console.print(f"pixq: {stage}: {note}", highlight=False, markup=False, soft_wrap=True)
                last_line = now
            elif not console.is_terminal and now - last_line >= LINE_EVERY:
                last_line = now
                left = f", {(now - began) / done * (total - done):.0f} s left" if done else ""
                line = f"pixq: {stage}: {done} of {total}{f', {note}' if note else ''}{left}"
                print(line, file=sys.stderr, flush=True)

        yield on_progress


@contextmanager
def counted(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for work of `total` items; the function it gives is told how many are done."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def staged() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for work in stages; the function it gives is told the stage, and how many are done of how many."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task, now, last = bar.add_task("", total=None), "", time.monotonic()

        def update(stage: str, done: int, total: int) -> None:
            nonlocal now, last
            if stage != now:
                now = stage
                bar.reset(task, description=stage, total=total)
            bar.update(task, completed=done, total=total)
            if not console.is_terminal and time.monotonic() - last >= LINE_EVERY:
                last = time.monotonic()
                print(f"pixq: {stage}: {done} of {total}", file=sys.stderr, flush=True)

        yield update
