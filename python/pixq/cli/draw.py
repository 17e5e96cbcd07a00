"""`pixq draw`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pixq import ranges
from pixq.cli.messages import note, print_lines
from pixq.cli.number_options import number_in
from pixq.cli.options import AT_A_DESK, ViewingOptions
from pixq.distort.stimulus_tables import draw_table
from pixq.errors import PixqError

__all__ = ["draw"]


def draw(
    table: Path,
    /,
    *,
    out: Path,
    multiples: str | None = None,
    only: str | None = None,
    max_size: Annotated[int | None, number_in(ranges.STIMULUS_SIZE)] = None,
    viewing: ViewingOptions = AT_A_DESK,
) -> int:
    """Draw a table of contrast thresholds or of colour pairs as images, for build-patches.

    Of a table of thresholds, it draws each static target in the fovea at multiples of its threshold, as people with
    the display would see it. Targets that the display can't show, and those that rounding to 8 bits loses, are left out
    and counted.

    Parameters
    ----------
    table
        CSV file with a column cone_contrast_threshold or visual_difference.
    out
        The folder to write.
    multiples
        For thresholds: factors of the threshold contrast, separated by commas. Default: 1,2,4,8.
    only
        For colour pairs: draw this set only. The scales of sets differ.
    max_size
        For thresholds: leave out targets that need a larger image, in pixels. Default: 1024.
    """
    drawn = draw_table(
        table,
        out,
        conditions=viewing.conditions if viewing.named else None,
        multiples=None if multiples is None else _multiples(multiples),
        only=only,
        max_size=max_size,
    )
    for reason, count in drawn.left_out.items():
        note(f"left out {count:,}: {reason}")
    print_lines(
        f"{out}: {drawn.images:,} images of {drawn.drawn:,} of {drawn.rows:,} rows, "
        f"{'written' if drawn.written else 'there already'}; read it with --dataset {drawn.dataset}"
    )
    return 0


def _multiples(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise PixqError(f"--multiples is {text!r}; give numbers separated by commas, like 1,2,4,8") from None
