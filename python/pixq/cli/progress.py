"""Progress on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pixq.io.progress import ProgressCallback

if TYPE_CHECKING:
    from pixq.train.loop import Progress as TrainState

__all__ = ["TrainProgress", "counted", "progress_bar", "staged"]

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


class TrainProgress:
    """Shows the state of training: a bar an epoch on a terminal, a line an epoch everywhere."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._drawn = 0.0
        self._last_line = time.monotonic()

    def __enter__(self) -> TrainProgress:
        self._console = Console(stderr=True)
        if self._console.is_terminal and not self._quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("training", total=None)
        return self

    def update(self, state: TrainState, name: str = "") -> None:
        """Show how far training is; `name` is that of one run among several."""
        if self._quiet:
            return
        now = time.monotonic()
        where = f"{name} " if name else ""
        if state.step == 0:
            self._say(f"{where}epoch {state.epoch - 1} of {state.epochs}: {_validation(state)}")
            self._last_line = now
        elif self._bar is not None and (now - self._drawn >= 0.1 or state.step == state.steps):
            self._drawn = now
            description = f"{where}epoch {state.epoch} of {state.epochs}"
            self._bar.update(self._task, description=description, completed=state.step, total=state.steps)
        elif self._bar is None and now - self._last_line >= LINE_EVERY:
            self._last_line = now
            self._say(f"{where}epoch {state.epoch} of {state.epochs}: step {state.step} of {state.steps}")

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(f"pixq: {line}", highlight=False, markup=False)
        else:
            print(f"pixq: {line}", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _validation(state: TrainState) -> str:
    def number(key: str) -> str:
        value = state.validation.get(key)
        return "-" if value is None else f"{value:.4f}"

    kept = ", kept" if state.best_epoch == state.epoch - 1 else ""
    return f"validation loss {number('loss')}, SRCC {number('srcc')} of patches, {number('image_srcc')} of images{kept}"
