"""`pixq inspect`."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.datasets import index
from pixq.inspect import save_figure, summarise
from pixq.labels import Polarity, parse_score_range

__all__ = ["inspect"]


def inspect(
    *,
    dataset: str,
    root: Path,
    picture: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    max_levels: int = 3,
    polarity: Polarity | None = None,
    csv: Path | None = None,
    # A scale may begin below zero: -1,1 is no flag.
    score_range: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    unit: str | None = None,
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
    polarity
        Whether a higher score is a better image (jianjin008, pairs).
    csv
        The CSV file, relative to the root (pairs).
    score_range
        The ends of the scale, as LOW,HIGH (pairs).
    unit
        The scale in words (pairs).
    """
    found = index(
        dataset,
        root,
        polarity=polarity,
        csv=csv,
        score_range=None if score_range is None else parse_score_range(score_range),
        unit=unit,
    )
    summary = summarise(found, max_levels=max_levels)
    print(json_module.dumps(summary.to_json(), indent=2, ensure_ascii=False) if json else summary.text())
    if picture is not None:
        save_figure(found, picture)
        print(f"wrote {picture}", file=sys.stderr)
    return 0
