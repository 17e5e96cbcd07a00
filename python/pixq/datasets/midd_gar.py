"""MIDD-GAR: grey images near the threshold, and how many of 30 people saw a difference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.label_table import index_label_table, people
from pixq.datasets.labels import LabelContract, Observers
from pixq.datasets.scores import number
from pixq.errors import PixqError

__all__ = ["MIDD_GAR"]

CONTRACT = LabelContract(
    name="p_different",
    polarity="lower-is-better",
    minimum=0.0,
    maximum=1.0,
    unit='share of people who said "different" when they saw the image beside its reference',
    raters=30,
    note="read from the published figure; pairs whose attribute confident is 0 may be swapped with a neighbour",
    kind="rate",
)


def index_midd_gar(root: Path) -> DatasetIndex:
    """Index MIDD-GAR as a table of labels.

    Raises
    ------
    PixqError
        If the files are not laid out as in `NEEDS`, or a line of `labels.csv` is wrong.
    """
    return index_label_table(
        "midd-gar",
        CONTRACT,
        root,
        score_column="p_different",
        type_column="codec",
        level_column="quality",
        attributes=("confident", "kodak"),
        observe=_observers,
    )


def _observers(cells: Mapping[str, str], path: Path, line: int) -> Observers:
    share = number(cells["p_different"], path, line, "p_different")
    raters = people(cells["n_raters"], path, line, "n_raters") if cells.get("n_raters") else CONTRACT.raters or 0
    if raters < 1:
        raise PixqError(f"{path}, line {line}: n_raters is 0; write the number of people who were asked")
    noticed = people(cells["n_different"], path, line, "n_different") if cells.get("n_different") else None
    if noticed is None:
        noticed = round(share * raters)
    # Shares are written with four digits.
    if noticed > raters or abs(noticed / raters - share) > 0.5 / raters:
        raise PixqError(
            f"{path}, line {line}: p_different is {share:g}, but {noticed} of {raters} people said so; fix whichever "
            "is wrong"
        )
    return Observers(raters, noticed)


MIDD_GAR = Adapter(
    name="midd-gar",
    title="MIDD-GAR: 200 grey images of 4 codecs, and whether 30 people saw a difference",
    needs=(
        "refs/, images/, labels.csv (columns image, reference, codec, quality, p_different; also n_different and "
        "n_raters, 30 by default)"
    ),
    licence="BSD-3-Clause (its repository); Kodak photographs without restrictions",
    citation=(
        "S. Honda, Y. Maeda, N. Fukushima. Dataset of subjective assessment for visually near-lossless image coding "
        "based on just noticeable difference. QoMEX 2023. doi:10.1109/QoMEX58391.2023.10178524"
    ),
    contract=CONTRACT,
    index=index_midd_gar,
)
