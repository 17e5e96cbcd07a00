"""`pixq export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixq.cli.options import Selection
from pixq.cli.progress import counted
from pixq.patches import export as exporting

__all__ = ["export"]


def export(
    patches: Path,
    /,
    *,
    out: Path,
    format: Annotated[Literal["png", "parquet", "npy"], Parameter(name="--format")] = "png",
    selection: Selection = Selection(),
) -> int:
    """Write fused patches for other programs.

    Parameters
    ----------
    patches
        Directory of the patch set.
    out
        What to write: a directory for png and npy, a file for parquet. It must not exist.
    format
        png: the notebooks' folders with metadata.json; parquet: one table with pixels; npy: plain arrays.
    """
    selected = selection.of(patches)
    with counted("exporting", len(selected)) as watch:
        exporting.export(selected, format, out, watch)
    print(f"{out}: {len(selected)} records as {format}")
    return 0
