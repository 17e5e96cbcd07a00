"""Predictions as CSV: a line a patch, or a line an image pair."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pixq.classes import NAMES
from pixq.errors import PixqError
from pixq.predict.quality_map import QualityMap
from pixq.train.run import text_of

__all__ = [
    "FORMULA",
    "IMAGE_COLUMNS",
    "PATCH_COLUMNS",
    "Predicted",
    "image_table",
    "long_cells",
    "name_cell",
    "patch_table",
    "table_of",
    "word",
    "write_image_table",
    "write_table",
]

PATCH_COLUMNS = ("reference", "distorted", "y", "x", "score", "quality", "class", "identical", "unsure")
IMAGE_COLUMNS = (
    "reference",
    "distorted",
    "height",
    "width",
    "patches",
    "quality",
    "worst",
    *(f"share_{name.lower()}" for name in NAMES),
    "unsure",
    "identical",
    "calibration",
)

#: What a spreadsheet takes for the start of a formula; the last four are wide forms of the first. The page of the
#: flicker study has the same list, in `web/src/offline/files.ts`.
FORMULA = tuple("=+-@\t\r＝＋－＠")


class Predicted(NamedTuple):
    """A pair's file names, as they were given, and its map."""

    reference: str | os.PathLike[str]
    distorted: str | os.PathLike[str]
    found: QualityMap


_Add = Callable[[Predicted], None]


def write_table(rows: Iterable[Predicted], path: str | os.PathLike[str]) -> None:
    """Write a line a patch, whole or not at all; maps are taken one by one.

    Parameters
    ----------
    rows
        The pairs.
    path
        Of the CSV file: UTF-8, `PATCH_COLUMNS`. The score is empty where a patch is identical to its reference, unsure
        where the calibration has no sets. File names that a spreadsheet would take for formulas have `./` before them.

    Raises
    ------
    PixqError
        If it can't be written.

    Examples
    --------
    >>> write_table([Predicted("a.png", "b.png", found)], "patches.csv")  # doctest: +SKIP
    """
    with patch_table(path) as add:
        for row in rows:
            add(row)


def write_image_table(rows: Iterable[Predicted], path: str | os.PathLike[str]) -> None:
    """Write a line an image pair, `IMAGE_COLUMNS`; otherwise as `write_table`.

    Raises
    ------
    PixqError
        If it can't be written.

    Examples
    --------
    >>> write_image_table([Predicted("a.png", "b.png", found)], "images.csv")  # doctest: +SKIP
    """
    with image_table(path) as add:
        for row in rows:
            add(row)


@contextmanager
def patch_table(path: str | os.PathLike[str]) -> Iterator[_Add]:
    """`write_table`, for pairs that come one by one: gives a function that adds a pair.

    The file appears at the end of the block, and not at all where that raises.

    Raises
    ------
    PixqError
        If it can't be written.

    Examples
    --------
    >>> with patch_table("patches.csv") as add:  # doctest: +SKIP
    ...     add(Predicted("a.png", "b.png", found))
    """
    with table_of(Path(path), PATCH_COLUMNS) as write:
        yield lambda row: write(_patch_lines(row))


@contextmanager
def image_table(path: str | os.PathLike[str]) -> Iterator[_Add]:
    """`write_image_table`, for pairs that come one by one; see `patch_table`."""
    with table_of(Path(path), IMAGE_COLUMNS) as write:
        yield lambda row: write([_image_line(row)])


def _patch_lines(row: Predicted) -> Iterator[Sequence[object]]:
    found, names = row.found, (name_cell(row.reference), name_cell(row.distorted))
    unsure: Sequence[object] = (
        [""] * found.classes.size if found.unsure is None else [word(each) for each in found.unsure.ravel().tolist()]
    )
    values = (
        found.grid.corners.tolist(),
        found.score.ravel().tolist(),
        found.decimals.tolist(),
        found.classes.ravel().tolist(),
        found.identical.ravel().tolist(),
        unsure,
    )
    for (y, x), score, quality, number, same, doubt in zip(*values, strict=True):
        yield (*names, y, x, "" if same else score, quality, NAMES[number], word(same), doubt)


def _image_line(row: Predicted) -> Sequence[object]:
    found, verdict = row.found, row.found.verdict
    return (
        name_cell(row.reference),
        name_cell(row.distorted),
        found.grid.height,
        found.grid.width,
        found.classes.size,
        float(verdict.quality),
        verdict.worst,
        *verdict.shares.values(),
        "" if verdict.unsure is None else verdict.unsure,
        verdict.identical,
        found.calibration or "",
    )


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
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; make room, or make it writable") from None


@contextmanager
def table_of(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Iterable[Sequence[object]]], None]]:
    """A CSV file of these columns, whole at the end of the block or not at all; it gives what takes the lines.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    scratch = path.with_name(f".{path.name}.partial-{os.getpid()}")
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = scratch.open("w", encoding="utf-8", newline="")
    try:
        table = csv.writer(file, lineterminator="\n")

        def write(lines: Iterable[Sequence[object]]) -> None:
            # Not round the whole block: an OSError of the caller's own is not this file's.
            with _told(path):
                table.writerows(lines)

        write([columns])
        yield write
        with _told(path):
            file.close()
            scratch.replace(path)
    finally:
        # What could not be written is told already.
        with suppress(OSError):
            file.close()
        scratch.unlink(missing_ok=True)
