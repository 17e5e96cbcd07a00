"""Predictions as CSV: one row per patch, or one row per image pair."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pixq.classes import NAMES
from pixq.io.csv import bool_cell, csv_writer, name_cell
from pixq.scoring.quality_map import QualityMap
from pixq.visibility import notice_probability

__all__ = [
    "IMAGE_COLUMNS",
    "PATCH_COLUMNS",
    "VIEWING_COLUMNS",
    "Predicted",
    "image_table",
    "patch_table",
    "viewing_cells",
    "write_image_table",
    "write_table",
]

#: Under which viewing conditions a JND holds.
VIEWING_COLUMNS = ("task", "pixels_per_degree", "peak_luminance", "ambient")
PATCH_COLUMNS = (
    *("reference", "distorted", "y", "x", "score", "quality", "class", "identical", "unsure"),
    *("jnd", "p_notice", *VIEWING_COLUMNS),
)
IMAGE_COLUMNS = (
    "reference",
    "distorted",
    "jnd",
    "p_notice",
    "height",
    "width",
    "patches",
    "quality",
    "worst",
    *(f"share_{name.lower()}" for name in NAMES),
    "unsure",
    "identical",
    "calibration",
    *VIEWING_COLUMNS,
)


class Predicted(NamedTuple):
    """A pair's file names, as the user gave them, and its map."""

    reference: str | os.PathLike[str]
    distorted: str | os.PathLike[str]
    map: QualityMap


_Add = Callable[[Predicted], None]


def write_table(rows: Iterable[Predicted], path: str | os.PathLike[str]) -> None:
    """Write one row per patch; maps are taken one by one.

    Parameters
    ----------
    rows
        The pairs.
    path
        The CSV file, in UTF-8, with `PATCH_COLUMNS`. The score is empty where a patch is identical to its reference;
        unsure is empty where the calibration has no sets; the JND and its viewing conditions are empty where a map of
        an earlier version has none. File names that a spreadsheet would take for formulas begin with `./`.

    Raises
    ------
    PixqError
        If it can't be written.

    Examples
    --------
    >>> write_table([Predicted("a.png", "b.png", quality_map)], "patches.csv")  # doctest: +SKIP
    """
    with patch_table(path) as add:
        for row in rows:
            add(row)


def write_image_table(rows: Iterable[Predicted], path: str | os.PathLike[str]) -> None:
    """Write one row per image pair, with `IMAGE_COLUMNS`; otherwise like `write_table`.

    Raises
    ------
    PixqError
        If it can't be written.

    Examples
    --------
    >>> write_image_table([Predicted("a.png", "b.png", quality_map)], "images.csv")  # doctest: +SKIP
    """
    with image_table(path) as add:
        for row in rows:
            add(row)


@contextmanager
def patch_table(path: str | os.PathLike[str]) -> Iterator[_Add]:
    """Like `write_table`, for pairs that come one by one: yields a function that adds a pair.

    The file appears at the end of the block, and only if the block does not raise.

    Raises
    ------
    PixqError
        If it can't be written.

    Examples
    --------
    >>> with patch_table("patches.csv") as add:  # doctest: +SKIP
    ...     add(Predicted("a.png", "b.png", quality_map))
    """
    with csv_writer(Path(path), PATCH_COLUMNS) as write:
        yield lambda row: write(_patch_lines(row))


@contextmanager
def image_table(path: str | os.PathLike[str]) -> Iterator[_Add]:
    """Like `write_image_table`, for pairs that come one by one; see `patch_table`."""
    with csv_writer(Path(path), IMAGE_COLUMNS) as write:
        yield lambda row: write([_image_line(row)])


def _patch_lines(row: Predicted) -> Iterator[Sequence[object]]:
    quality_map, names = row.map, (name_cell(row.reference), name_cell(row.distorted))
    unsure: Sequence[object] = (
        [""] * quality_map.classes.size
        if quality_map.unsure is None
        else [bool_cell(unsure) for unsure in quality_map.unsure.ravel().tolist()]
    )
    jnd, viewing = quality_map.jnd, viewing_cells(quality_map)
    noticed: Iterable[tuple[object, object]] = [("", "")] * quality_map.classes.size
    if jnd is not None:
        # Not as lists, which would take as much memory as everything else.
        noticed = zip(map(float, jnd.ravel()), map(float, notice_probability(jnd.ravel())), strict=True)
    values = (
        quality_map.grid.corners.tolist(),
        noticed,
        quality_map.score.ravel().tolist(),
        quality_map.decimals.tolist(),
        quality_map.classes.ravel().tolist(),
        quality_map.identical.ravel().tolist(),
        unsure,
    )
    for (y, x), seen, score, quality, number, same, doubt in zip(*values, strict=True):
        answer = ("" if same else score, quality, NAMES[number], bool_cell(same), doubt)
        yield (*names, y, x, *answer, *seen, *viewing)


def viewing_cells(quality_map: QualityMap) -> Sequence[object]:
    """The cells of `VIEWING_COLUMNS`, empty if no JND was measured."""
    if quality_map.visibility is None:
        return [""] * len(VIEWING_COLUMNS)
    return [getattr(quality_map.visibility.viewing, column) for column in VIEWING_COLUMNS]


def _image_line(row: Predicted) -> Sequence[object]:
    quality_map, verdict = row.map, row.map.verdict
    return (
        name_cell(row.reference),
        name_cell(row.distorted),
        "" if verdict.jnd is None else verdict.jnd,
        "" if verdict.p_notice is None else verdict.p_notice,
        quality_map.grid.height,
        quality_map.grid.width,
        quality_map.classes.size,
        float(verdict.quality),
        verdict.worst,
        *verdict.shares.values(),
        "" if verdict.unsure is None else verdict.unsure,
        verdict.identical,
        quality_map.calibration or "",
        *viewing_cells(quality_map),
    )
