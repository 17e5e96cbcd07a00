"""`pixq inspect`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.messages import note, print_json, print_lines
from pixq.cli.number_options import number_in
from pixq.cli.options import AS_DECLARED, AS_SHOWN, DatasetOptions, ImageOptions
from pixq.datasets import index
from pixq.datasets.inspect import NoPicture, save_figure, summarise
from pixq.errors import PixqError

__all__ = ["inspect"]

_PICTURE = Path("inspect.png")


def inspect(
    *,
    dataset: str,
    root: Path,
    picture: Path | None = None,
    no_picture: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    max_levels: Annotated[int, number_in(ranges.MAX_LEVELS)] = 3,
    options: DatasetOptions = AS_DECLARED,
    images: ImageOptions = AS_SHOWN,
) -> int:
    """Count the contents of a dataset, list missing, duplicate and extra files, and draw a picture.

    Parameters
    ----------
    dataset
        Kind of dataset; `pixq datasets` lists them.
    root
        The dataset's directory.
    picture
        File for the picture of samples, scores and levels (.png, .svg or .pdf). Default: inspect.png.
    no_picture
        Don't draw a picture.
    json
        Print JSON, for programs, with every problem.
    max_levels
        Largest number of levels in a group for the buckets.
    """
    if no_picture and picture is not None:
        raise PixqError("--picture and --no-picture contradict each other; leave one of them out")
    contents = index(dataset, root, **options.given())
    summary = summarise(contents, max_levels=max_levels)
    if json:
        print_json(json_module.dumps(summary.to_json(), indent=2, ensure_ascii=False))
    else:
        print_lines(*summary.text().split("\n"))
    if no_picture:
        return 0
    try:
        save_figure(contents, picture or _PICTURE, images.reading)
    except NoPicture as error:
        if picture is not None:
            raise
        note(f"no picture: {error}")
    else:
        note(f"wrote {picture or _PICTURE}")
    return 0
