"""CSV files that are written atomically and hold nothing that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

from pixq.io.atomic import create_private, explain_os_errors, scratch_path
from pixq.io.paths import text_of

__all__ = ["FORMULA", "allow_long_cells", "bool_cell", "csv_writer", "name_cell"]


#: The characters that begin a formula in a spreadsheet; the page of the flicker study reads the same file.
FORMULA: tuple[str, ...] = tuple(json.loads((files("pixq.io") / "formula_characters.json").read_text("utf-8")))


def bool_cell(value: bool) -> str:
    """Write `true` or `false`, as JSON does."""
    return "true" if value else "false"


def name_cell(name: str | os.PathLike[str]) -> str:
    """Write a file's name so that no spreadsheet takes it for a formula: `./=1+1.png` is the same file as `=1+1.png`.

    Examples
    --------
    >>> name_cell("=1+1.png"), name_cell("a=b.png")
    ('./=1+1.png', 'a=b.png')
    """
    # A bare carriage return would end the line: the csv module does not quote it.
    text = text_of(name).replace("\r", "\\r")
    return f"./{text}" if text.startswith(FORMULA) else text


@contextmanager
def allow_long_cells(limit: int) -> Iterator[None]:
    """Let the csv module read cells of up to `limit` characters inside the block.

    Examples
    --------
    >>> with allow_long_cells(200_000):
    ...     [len(row[0]) for row in csv.reader(["x" * 150_000])]
    [150000]
    """
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@contextmanager
def csv_writer(
    path: Path, columns: Sequence[str], *, private: bool = False
) -> Iterator[Callable[[Iterable[Sequence[object]]], None]]:
    """Write a CSV file with these columns: yields a function that appends rows.

    The file appears at the end of the block, and only if the block does not raise. If `private`, only its owner can
    read it.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    scratch = scratch_path(path)
    with explain_os_errors(path, scratch=scratch):
        path.parent.mkdir(parents=True, exist_ok=True)
        if private:
            create_private(scratch)
        file = scratch.open("w", encoding="utf-8", newline="")
    try:
        table = csv.writer(file, lineterminator="\n")

        def write(rows: Iterable[Sequence[object]]) -> None:
            # Not around the whole block: an OSError of the caller may be about another file.
            with explain_os_errors(path, scratch=scratch):
                table.writerows(rows)

        write([columns])
        yield write
        with explain_os_errors(path, scratch=scratch):
            file.close()
            scratch.replace(path)
    finally:
        # If it could not be written, that has been reported already.
        with suppress(OSError):
            file.close()
        scratch.unlink(missing_ok=True)
