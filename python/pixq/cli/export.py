"""`pixq export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixq.cli.progress import counted
from pixq.patches import export as exporting
from pixq.patches.store import PatchSet

__all__ = ["export"]


def export(
    patches: Path,
    /,
    *,
    out: Path,
    format: Annotated[Literal["png", "parquet", "npy"], Parameter(name="--format")] = "png",
    split: str | None = None,
    fold: int | None = None,
    bucket: str | None = None,
    distortion: str | None = None,
    fusion: str | None = None,
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
    split
        Only train, validation or test.
    fold
        Only this fold.
    bucket
        Only this bucket.
    distortion
        Only this type of distortion.
    fusion
        Only this fusion.
    """
    selected = PatchSet(patches).select(split=split, fold=fold, bucket=bucket, distortion=distortion, fusion=fusion)
    with counted("exporting", len(selected)) as watch:
        exporting.export(selected, format, out, watch)
    print(f"{out}: {len(selected)} records as {format}")
    return 0
