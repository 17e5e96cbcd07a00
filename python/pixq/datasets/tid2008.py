"""TID2008: 25 references, 17 types of distortion, four levels each."""

from __future__ import annotations

from functools import partial

from pixq.datasets.base import Adapter
from pixq.datasets.labels import LabelContract
from pixq.datasets.tid import NEEDS, index_tid
from pixq.datasets.tid2013 import TYPES

__all__ = ["TID2008"]

CONTRACT = LabelContract(
    name="MOS",
    polarity="higher-is-better",
    minimum=0.0,
    maximum=9.0,
    unit="mean opinion score: wins in nine comparisons",
    note="more than 800 observers in all, in three countries",
)

TID2008 = Adapter(
    name="tid2008",
    title="TID2008: 1,700 images, 17 types of distortion, 4 levels",
    needs=NEEDS,
    licence="its readme allows education and research only, with its copyright notice; cite the paper",
    citation=(
        "N. Ponomarenko, V. Lukin, A. Zelensky, K. Egiazarian, M. Carli, F. Battisti. TID2008 - A database for "
        "evaluation of full-reference visual quality assessment metrics. Advances of Modern Radioelectronics 10, "
        "30-45, 2009"
    ),
    contract=CONTRACT,
    # TID2013 kept the numbers of these 17 types and went on from 18.
    index=partial(index_tid, "tid2008", CONTRACT, TYPES[:17], 4),
)
