"""The datasets that pixq reads.

To add one, write its adapter (an `Adapter`, as in `tid2013.py`) in a file of this package, and add it to `ADAPTERS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixq.datasets.aic3 import AIC3
from pixq.datasets.base import Adapter, DatasetIndex, ImagePair, Problem
from pixq.datasets.colour_pairs import COLOUR_PAIRS
from pixq.datasets.csiq import CSIQ
from pixq.datasets.jianjin008 import JIANJIN008
from pixq.datasets.kadid10k import KADID10K
from pixq.datasets.konjnd import KONJND
from pixq.datasets.konjnd1k import KONJND1K
from pixq.datasets.live import LIVE
from pixq.datasets.mict import MICT
from pixq.datasets.midd_gar import MIDD_GAR
from pixq.datasets.pairs import PAIRS
from pixq.datasets.thresholds import THRESHOLDS
from pixq.datasets.tid2008 import TID2008
from pixq.datasets.tid2013 import TID2013
from pixq.datasets.triplets import TRIPLETS
from pixq.errors import PixqError, unknown

__all__ = ["ADAPTERS", "Adapter", "DatasetIndex", "ImagePair", "Problem", "adapter", "index"]

ADAPTERS: dict[str, Adapter] = {
    "jianjin008": JIANJIN008,
    "tid2008": TID2008,
    "tid2013": TID2013,
    "kadid10k": KADID10K,
    "live": LIVE,
    "midd-gar": MIDD_GAR,
    "mict": MICT,
    "csiq": CSIQ,
    "konjnd": KONJND,
    "konjnd1k": KONJND1K,
    "aic3": AIC3,
    "thresholds": THRESHOLDS,
    "colour-pairs": COLOUR_PAIRS,
    "pairs": PAIRS,
    "triplets": TRIPLETS,
}


def adapter(name: str) -> Adapter:
    """Find the adapter of a dataset.

    Raises
    ------
    PixqError
        If there is no such dataset; the message lists all names and suggests the closest one.

    Examples
    --------
    >>> adapter("kadid10k").contract.polarity
    'higher-is-better'
    """
    if name.lower() in ADAPTERS:
        return ADAPTERS[name.lower()]
    raise unknown("dataset", name, ADAPTERS)


def index(name: str, root: str | Path, **options: Any) -> DatasetIndex:
    """List the image pairs of the dataset in `root`, with their scores and what is wrong with its files.

    Parameters
    ----------
    name
        Name of the dataset, a key of `ADAPTERS`.
    root
        The dataset's folder.
    **options
        Options listed in the adapter's `options`; those that are `None` are ignored.

    Raises
    ------
    PixqError
        If there is no such dataset or option, files are not laid out as the dataset's are, or scores are wrong.
    """
    chosen = adapter(name)
    chosen_options = {key: value for key, value in options.items() if value is not None}
    if unknown := sorted(set(chosen_options) - set(chosen.options)):
        flags = ", ".join(f"--{key.replace('_', '-')}" for key in unknown)
        takes = ", ".join(f"--{key.replace('_', '-')}" for key in chosen.options) or "no options"
        raise PixqError(f"dataset {name} doesn't take {flags}; it takes {takes}")
    return chosen.index(Path(root), **chosen_options)
