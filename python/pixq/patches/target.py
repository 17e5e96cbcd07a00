"""The target domain, as a patch set or as a tree of triplets that becomes one."""

from __future__ import annotations

import os
from pathlib import Path

from pixq.errors import PixqError
from pixq.patches.build import build
from pixq.patches.schema import MANIFEST
from pixq.patches.store import PatchSet

__all__ = ["SHARES", "open_target"]

#: Of train, validation and test in the patch set that is made of a tree.
SHARES = (0.5, 0.25, 0.25)


def open_target(path: str | os.PathLike[str]) -> tuple[PatchSet, Path | None]:
    """A patch set, or that of a tree of Samsung-style triplets.

    The patch set of a tree is built beside it, as `<tree>.patches`, once; where it is there and whole, it is opened.

    Parameters
    ----------
    path
        Directory of a patch set, or of a tree.

    Returns
    -------
    tuple
        The patch set, and its directory if it was made of a tree.

    Raises
    ------
    PixqError
        If it is neither, or the tree can't be built.
    """
    path = Path(path)
    if (path / MANIFEST).exists() or not (path / "clean").is_dir():
        if not path.is_dir():
            raise PixqError(f"{path}: is no directory; give a patch set, or a tree of triplets")
        return PatchSet(path), None
    from pixq.datasets import adapter
    from pixq.patches.plan import BuildSettings

    whole = path.resolve()
    out = whole.with_name(f"{whole.name}.patches")
    report = build("triplets", path, out, settings=BuildSettings.for_adapter(adapter("triplets"), ratio=SHARES))
    return PatchSet(report.out), report.out
