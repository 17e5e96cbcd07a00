"""`pixq show`."""

from __future__ import annotations

from pathlib import Path

from pixq.cli.options import EVERYTHING, Selection, save_picture
from pixq.patches.sheet import contact_sheet

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
    selection: Selection = EVERYTHING,
) -> int:
    """Draw a contact sheet: reference, fused patch and their difference, from worst to best quality.

    Parameters
    ----------
    patches
        Directory of the patch set.
    out
        The picture to write.
    count
        Number of records to draw.
    columns
        Number of records side by side.
    scale
        Screen pixels per patch pixel.
    seed
        Seed of the choice.
    """
    selected = selection.of(patches)
    save_picture(contact_sheet(selected, count=count, columns=columns, scale=scale, seed=seed), out)
    print(f"{out}: {min(count, len(selected))} of {len(selected)} records")
    return 0
