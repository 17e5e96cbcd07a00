"""The datasets that pixq reads: one adapter a file, one line each in `ADAPTERS`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixq.datasets.base import Adapter, DatasetIndex, ImagePair, Problem
from pixq.datasets.jianjin008 import JIANJIN008
from pixq.datasets.kadid10k import KADID10K
from pixq.datasets.pairs import PAIRS
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
    "pairs": PAIRS,
    "triplets": TRIPLETS,
}


def adapter(name: str) -> Adapter:
    """The adapter called `name`.

    Raises
    ------
    PixqError
        If there is none; the message gives the closest name and all of them.

    Examples
    --------
    >>> adapter("kadid10k").contract.polarity
    'higher-is-better'
    """
    if name.lower() in ADAPTERS:
        return ADAPTERS[name.lower()]
    raise unknown("dataset", name, ADAPTERS)


def index(name: str, root: str | Path, **options: Any) -> DatasetIndex:
    """What the tree at `root` holds, read as the dataset called `name`.

    Parameters
    ----------
    name
        A name of `ADAPTERS`.
    root
        The dataset's folder.
    **options
        Those that the adapter's `options` names; one that is `None` counts as not given.

    Raises
    ------
    PixqError
        If there is no such dataset or option, the tree isn't laid out as the dataset's is, or its scores are wrong.
    """
    chosen = adapter(name)
    given = {key: value for key, value in options.items() if value is not None}
    if unknown := sorted(set(given) - set(chosen.options)):
        flags = ", ".join(f"--{key.replace('_', '-')}" for key in unknown)
        takes = ", ".join(f"--{key.replace('_', '-')}" for key in chosen.options) or "no options"
        raise PixqError(f"dataset {name} doesn't take {flags}; it takes {takes}")
    return chosen.index(Path(root), **given)
