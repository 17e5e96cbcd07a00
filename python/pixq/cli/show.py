"""`pixq show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pixq import ranges
from pixq.cli.messages import print_lines
from pixq.cli.number_options import number_in
from pixq.cli.options import EVERYTHING, Selection, save_picture
from pixq.patches.sheet import COLUMNS, RECORDS, SCALE, contact_sheet

__all__ = ["show"]


def show(
    patches: Path,
    /,
    *,
    out: Path = Path("sheet.png"),
    count: Annotated[int, number_in(RECORDS)] = 48,
    columns: Annotated[int, number_in(COLUMNS)] = 4,
    scale: Annotated[int, number_in(SCALE)] = 4,
    seed: Annotated[int, number_in(ranges.SEED)] = 0,
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
    print_lines(f"{out}: {min(count, len(selected))} of {len(selected)} records")
    return 0
