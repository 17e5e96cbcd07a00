"""`pixq compare`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixq.report import compare as comparing

__all__ = ["compare"]


def compare(
    *runs: Path,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    palette: Literal["standard", "safe"] = "standard",
) -> int:
    """Put runs side by side: recipes, sizes, and figures on the patches that they were all evaluated on.

    Parameters
    ----------
    runs
        Directories of two or more runs.
    out
        Write it as an HTML file too.
    json
        Print it as JSON.
    palette
        Colours of the page: standard, or safe for colour-blind readers.
    """
    found = comparing.compare(runs) if out is None else comparing.write_compare(runs, out, palette=palette)
    print(json_module.dumps(found.to_json(), indent=2, allow_nan=False) if json else found.text())
    if out is not None:
        print(f"{out}: written", file=sys.stderr)
    return 0
