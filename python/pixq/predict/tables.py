"""Predictions as CSV: a line a patch, or a line an image pair."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pixq.classes import NAMES
from pixq.io.csv import name_cell, table_of, word
from pixq.scoring.quality_map import QualityMap

__all__ = [
    "IMAGE_COLUMNS",
    "PATCH_COLUMNS",
    "Predicted",
    "image_table",
    "patch_table",
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
