"""`pixq report`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pixq.cli.messages import print_lines
from pixq.report.report import write_report

__all__ = ["report"]


def report(run: Path, /, *, out: Path | None = None, palette: Literal["standard", "safe"] = "standard") -> int:
    """Write the report of a run: one HTML file that opens offline.

    Parameters
    ----------
    run
        Directory of a run, or of a cross-validation by pixq train --folds.
    out
        The HTML file to write. Default: report.html in the run's directory.
    palette
        Colours of Red, Orange and Green: standard, or safe for colour-blind readers. Both also use marks.
    """
    print_lines(f"{write_report(run, out, palette=palette)}: written")
    return 0
