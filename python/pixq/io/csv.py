"""CSV files, written whole or not at all, that no spreadsheet mistakes for formulas."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pixq.io.atomic import explain_os_errors, scratch_path
from pixq.io.paths import text_of

__all__ = ["FORMULA", "long_cells", "name_cell", "table_of", "word"]


#: What a spreadsheet takes for the start of a formula; the last four are wide forms of the first. The page of the
#: flicker study has the same list, in `web/src/offline/files.ts`.
FORMULA = tuple("=+-@\t\r＝＋－＠")


def word(value: bool) -> str:
    """`true` or `false`, as JSON has it."""
    return "true" if value else "false"


def name_cell(name: str | os.PathLike[str]) -> str:
    """A file's name, such that no spreadsheet computes it: `./=1+1.png` is the same file as `=1+1.png`.

    Examples
    --------
    >>> name_cell("=1+1.png"), name_cell("a=b.png")
    ('./=1+1.png', 'a=b.png')
    """
    # A bare carriage return would end the line: csv does not quote for it.
    text = text_of(name).replace("\r", "\\r")
    return f"./{text}" if text.startswith(FORMULA) else text


@contextmanager
def long_cells(most: int) -> Iterator[None]:
    """Inside the block `csv` reads cells of up to `most` characters; after it, as many as before.

    Examples
    --------
    >>> with long_cells(200_000):
    ...     [len(row[0]) for row in csv.reader(["x" * 150_000])]
    [150000]
    """
    before = csv.field_size_limit(most)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@contextmanager
def table_of(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Iterable[Sequence[object]]], None]]:
    """A CSV file of these columns, whole at the end of the block or not at all; it gives what takes the lines.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    scratch = scratch_path(path)
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = scratch.open("w", encoding="utf-8", newline="")
    try:
        table = csv.writer(file, lineterminator="\n")

        def write(lines: Iterable[Sequence[object]]) -> None:
            # Not round the whole block: an OSError of the caller's own is not this file's.
            with explain_os_errors(path):
                table.writerows(lines)

        write([columns])
        yield write
        with explain_os_errors(path):
            file.close()
            scratch.replace(path)
    finally:
        # What could not be written is told already.
        with suppress(OSError):
            file.close()
        scratch.unlink(missing_ok=True)
