"""`pixq show`."""

from __future__ import annotations

from pathlib import Path

from pixq.cli.options import save_picture
from pixq.patches.sheet import contact_sheet
from pixq.patches.store import PatchSet

__all__ = ["show"]


def show(
    patches: Path,
    /,
    *,
    out: Path = Path("sheet.png"),
    count: int = 48,
    columns: int = 4,
    scale: int = 4,
    seed: int = 0,
    split: str | None = None,
    fold: int | None = None,
    bucket: str | None = None,
    distortion: str | None = None,
    fusion: str | None = None,
) -> int:
    """Draw a contact sheet: reference, fused patch and their difference, from worst to best quality.

    Parameters
    ----------
    patches
        Directory of the patch set.
    out
        The picture to write.
    count
        Records to draw.
    columns
        Records side by side.
    scale
        Screen pixels a patch pixel.
    seed
        Seed of the choice.
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
    save_picture(contact_sheet(selected, count=count, columns=columns, scale=scale, seed=seed), out)
    print(f"{out}: {min(count, len(selected))} of {len(selected)} records")
    return 0
