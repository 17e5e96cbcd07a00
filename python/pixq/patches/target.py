"""Opens the target domain: a patch set, or a dataset of triplets to build one from."""

from __future__ import annotations

import os
from pathlib import Path

from pixq.datasets import adapter
from pixq.errors import PixqError
from pixq.patches.build import build
from pixq.patches.plan import BuildSettings
from pixq.patches.schema import MANIFEST
from pixq.patches.store import PatchSet

__all__ = ["SHARES", "open_target"]

#: Shares of train, validation and test when a dataset is built into a patch set.
SHARES = (0.5, 0.25, 0.25)


def open_target(path: str | os.PathLike[str]) -> tuple[PatchSet, Path | None]:
    """Open a patch set, or build one from a dataset of Samsung-style triplets.

    The patch set of a dataset is built once, beside it, as `<dataset>.patches`. Later calls open it.

    Parameters
    ----------
    path
        Directory of a patch set, or of a dataset of triplets.

    Returns
    -------
    tuple
        The patch set, and its directory if it was built from a dataset.

    Raises
    ------
    PixqError
        If it is neither, or the dataset can't be built.
    """
    path = Path(path)
    if (path / MANIFEST).exists() or not (path / "clean").is_dir():
        if not path.is_dir():
            raise PixqError(f"{path}: is not a directory; give a patch set, or a dataset of triplets")
        return PatchSet(path), None
    full_path = path.resolve()
    out = full_path.with_name(f"{full_path.name}.patches")
    report = build("triplets", path, out, settings=BuildSettings.for_adapter(adapter("triplets"), ratio=SHARES))
    return PatchSet(report.out), report.out
