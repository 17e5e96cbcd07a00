"""`pixq inspect`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.cli.options import DatasetOptions
from pixq.datasets import index
from pixq.inspect import save_figure, summarise

__all__ = ["inspect"]


def inspect(
    *,
    dataset: str,
    root: Path,
    picture: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    max_levels: int = 3,
    options: DatasetOptions = DatasetOptions(),
) -> int:
    """Count what a dataset holds, and name what is missing, duplicated or extra on disk.

    Parameters
    ----------
    dataset
        Its name; `pixq datasets` lists them.
    root
        The folder that holds it.
    picture
        Also write a picture of samples, scores and levels to this file (.png, .svg or .pdf).
    json
        Print JSON, for a program, with every problem named.
    max_levels
        The most levels of a group that the buckets take.
    """
    found = index(dataset, root, **options.given())
    summary = summarise(found, max_levels=max_levels)
    print(json_module.dumps(summary.to_json(), indent=2, ensure_ascii=False) if json else summary.text())
    if picture is not None:
        save_figure(found, picture)
        print(f"wrote {picture}", file=sys.stderr)
    return 0
