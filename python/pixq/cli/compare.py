"""`pixq compare`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixq.cli.messages import note, print_json, print_lines
from pixq.report import compare as comparing

__all__ = ["compare"]


def compare(
    *runs: Path,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    palette: Literal["standard", "safe"] = "standard",
) -> int:
    """Compare runs: recipes, sizes, and metrics on patches that several of them were evaluated on.

    Parameters
    ----------
    runs
        Directories of two or more runs.
    out
        Also write the comparison to this HTML file.
    json
        Print the comparison as JSON.
    palette
        Colours of the page: standard, or safe for colour-blind readers.
    """
    comparison = comparing.compare(runs) if out is None else comparing.write_compare(runs, out, palette=palette)
    if json:
        print_json(json_module.dumps(comparison.to_json(), indent=2, allow_nan=False))
    else:
        print_lines(*comparison.text().split("\n"))
    if out is not None:
        note(f"{out}: written")
    return 0
