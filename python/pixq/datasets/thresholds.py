"""Targets at multiples of their contrast threshold, as `pixq draw` writes them."""

from __future__ import annotations

from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.label_table import LABELS, index_label_table
from pixq.datasets.labels import LabelContract
from pixq.datasets.tree import Tree
from pixq.errors import PixqError

__all__ = ["THRESHOLDS", "needs_drawing"]

CONTRACT = LabelContract(
    name="multiple",
    polarity="lower-is-better",
    minimum=0.0,
    maximum=1000.0,
    unit="multiple of the contrast threshold: 1 is just noticeable",
    kind="threshold",
)


def needs_drawing(root: Path, table: str) -> None:
    """Refuse a folder that holds a table but none of its images.

    Raises
    ------
    PixqError
        If it does; the message says how to draw them.
    """
    tree = Tree(root)
    if tree.find(LABELS, by_stem=False).path is None and tree.find(table, by_stem=False).path is not None:
        raise PixqError(
            f"{root}: holds {table}, but no images; draw them with `pixq draw {root / table} --out FOLDER`, and give "
            "that folder with --root"
        )


def index_thresholds(root: Path) -> DatasetIndex:
    """Index the targets that `pixq draw` drew.

    Raises
    ------
    PixqError
        If the files are not laid out as in `NEEDS`, or a line of `labels.csv` is wrong.
    """
    needs_drawing(root, "thresholds.csv")
    return index_label_table(
        "thresholds",
        CONTRACT,
        root,
        score_column="multiple",
        type_column="stimulus",
        level_column="multiple",
        attributes=("study", "line", "spatial_frequency_cpd"),
    )


THRESHOLDS = Adapter(
    name="thresholds",
    title="Contrast thresholds of people: gratings, Gabor patches and discs, drawn by `pixq draw`",
    needs="refs/, images/, labels.csv (columns image, reference, stimulus, multiple), which `pixq draw` writes",
    licence="that of the table; castleCSF's collection of 17 studies: MIT",
    citation=(
        "M. Ashraf, R. K. Mantiuk, A. Chapiro, S. Wuerger. castleCSF: A contrast sensitivity function of color, area, "
        "spatiotemporal frequency, luminance and eccentricity. Journal of Vision 24(4):5, 2024. doi:10.1167/jov.24.4.5"
    ),
    contract=CONTRACT,
    index=index_thresholds,
)
