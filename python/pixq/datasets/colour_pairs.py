"""Pairs of plain colours with the difference that people reported, as `pixq draw` writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.label_table import index_label_table
from pixq.datasets.labels import LabelContract
from pixq.datasets.thresholds import needs_drawing
from pixq.errors import printable

__all__ = ["COLOUR_PAIRS"]

CONTRACT = LabelContract(
    name="visual difference",
    polarity="lower-is-better",
    minimum=0.0,
    maximum=10.0,
    unit="difference between two colours as people reported it; each set has its own scale",
)


def index_colour_pairs(root: Path) -> DatasetIndex:
    """Index the pairs that `pixq draw` drew. The unit of the scores names their sets, as each has its own scale.

    Raises
    ------
    PixqError
        If the files are not laid out as in `NEEDS`, or a line of `labels.csv` is wrong.
    """
    needs_drawing(root, "pairs.csv")
    index = index_label_table(
        "colour-pairs",
        CONTRACT,
        root,
        score_column="visual_difference",
        type_column="set",
        attributes=("line",),
    )
    sets = ", ".join(printable(name) for name in sorted({pair.distortion_type for pair in index.pairs}))
    return replace(index, contract=replace(index.contract, unit=f"{index.contract.unit}, here {sets}"))


COLOUR_PAIRS = Adapter(
    name="colour-pairs",
    title="Pairs of plain colours (COMBVD: BFD-P, Leeds, Witt), drawn by `pixq draw`",
    needs="refs/, images/, labels.csv (columns image, reference, set, visual_difference), which `pixq draw` writes",
    licence="that of the table; the collection of BFD-P, Leeds and Witt by A. Terekhin et al.: MIT",
    citation=(
        "M. R. Luo, G. Cui, B. Rigg. The development of the CIE 2000 colour-difference formula: CIEDE2000. Color "
        "Research and Application 26, 340-350, 2001. doi:10.1002/col.1049"
    ),
    contract=CONTRACT,
    index=index_colour_pairs,
)
