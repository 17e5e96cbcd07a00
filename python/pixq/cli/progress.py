"""Progress on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pixq.patches.build import BuildState

__all__ = ["BuildProgress", "counted"]

#: Seconds between two lines where stderr is not a terminal.
LINE_EVERY = 10.0


class BuildProgress:
    """Shows a `BuildState`: images done, patches a second, time left."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> BuildProgress:
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("building"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("images  {task.fields[speed]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("building", total=None, speed="")
        return self

    def update(self, state: BuildState) -> None:
        """Show how far the build is."""
        rate = state.patches / state.seconds if state.seconds > 0 else 0.0
        speed = f"{rate:,.0f} patches/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=state.images_done, total=state.images, speed=speed)
        elif time.monotonic() - self._last_line >= LINE_EVERY:
            self._last_line = time.monotonic()
            left = state.seconds / max(state.images_done, 1) * (state.images - state.images_done)
            print(
                f"pixq: {state.images_done} of {state.images} images, {speed}, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def counted(doing: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for work of `total` items; the function it gives is told how many are done."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda done: bar.update(task, completed=done)
