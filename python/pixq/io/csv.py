"""CSV files that are written atomically and hold nothing that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from pixq.errors import printable
from pixq.io.atomic import create_private, explain_os_errors, scratch_path
from pixq.io.paths import text_of

__all__ = ["DELIMITERS", "FORMULA", "CsvRow", "allow_long_cells", "bool_cell", "csv_writer", "name_cell", "read_csv"]

#: What may separate the cells of a file that is read, and its name.
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
#: The first line that tells Excel the delimiter.
_SEP = re.compile(r"\s*\"?sep=([,;\t])\"?\s*", re.IGNORECASE)

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
    text = printable(text_of(name))
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


class CsvRow(NamedTuple):
    """A row of a CSV file: the number of its last line, its cells, and what separates them."""

    line: int
    cells: list[str]
    delimiter: str


def read_csv(text: str, columns: Sequence[str], *, strict: bool = True) -> Iterator[CsvRow]:
    r"""Read the rows of a CSV file, without blank ones; the header comes first.

    Parameters
    ----------
    text
        The file's text, with newlines as line ends.
    columns
        Names that the header should hold, in any case. Cells are separated by what separates these: commas, semicolons
        or tabs, or what a first line `sep=;` names.
    strict
        Whether broken quoting is an error.

    Raises
    ------
    csv.Error
        If the quoting is broken; it names the line.

    Examples
    --------
    >>> [row.cells for row in read_csv("name;score\na.png;0.5\n", ("score",))]
    [['name', 'score'], ['a.png', '0.5']]
    """
    first, _, rest = text.partition("\n")
    if told := _SEP.fullmatch(first):
        delimiter, text = told[1], f"\n{rest}"
    else:
        header = next((line for line in text.split("\n") if line.strip()), "")
        delimiter = max(DELIMITERS, key=lambda one: len(_names(header, one).intersection(map(str.lower, columns))))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield CsvRow(reader.line_num, cells, delimiter)
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num}: {error}") from None


def _names(header: str, delimiter: str) -> set[str]:
    try:
        return {cell.strip().lower() for cell in next(csv.reader([header], delimiter=delimiter), [])}
    except csv.Error:
        return set()


def _escaped(row: Sequence[object]) -> list[object]:
    return [printable(cell) if isinstance(cell, str) and not cell.isprintable() else cell for cell in row]


@contextmanager
def csv_writer(
    path: Path, columns: Sequence[str], *, private: bool = False
) -> Iterator[Callable[[Iterable[Sequence[object]]], None]]:
    """Write a CSV file with these columns: yields a function that appends rows. Texts are escaped as in messages.

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
                table.writerows(map(_escaped, rows))

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
