"""`pixq pjnd`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.cli.ladders import given_ladder, said_of, warn
from pixq.cli.progress import staged

__all__ = ["pjnd"]


def pjnd(
    *paths: Annotated[Path, Parameter(name="paths", negative="")],
    level: str = "n",
    share: float | None = None,
    stride: int | None = None,
    calibration: str | None = None,
    csv: Path | None = None,
    picture: Path | None = None,
    safe_colors: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
) -> int:
    """Predict the level of a ladder at which a person begins to notice: its PJND.

    A level is noticed when a stated share of its patches is no longer Green. The interval is that of the Green cut:
    pixq calibrate --ladders has chosen it on ladders whose PJNDs people gave.

    Parameters
    ----------
    paths
        [RUN] REFERENCE LEVELS..., distorted images or folders of them; without a run, the model that comes with pixq.
    level
        How a level follows from n, the last number in a file's name: n, or 101-n where n is a JPEG's quality.
    share
        Of patches that are no longer Green, 0 to 1. Default: that of the cut, or 0.05.
    stride
        Pixels between neighbouring patches. Default: that of the cut, or 10.
    calibration
        Name of the calibration whose Green cut to take. Default: what calibrate --ladders chose, or the only one.
    csv
        A line a level (CSV).
    picture
        The curve, with the cut and the PJND (PNG).
    safe_colors
        Colours for colour-blind readers.
    device
        cpu, cuda, cuda:1, or auto.
    """
    from pixq.drawing.map_pictures import encode
    from pixq.io.atomic import save_bytes
    from pixq.io.csv import name_cell, table_of, word
    from pixq.ladders.pictures import curve, described
    from pixq.ladders.predict import predict_pjnd

    scorer, ladder = given_ladder(paths, level, device, calibration, {"csv": csv, "picture": picture})
    with staged() as watch:
        found = predict_pjnd(
            scorer, ladder, share=share, stride=stride, watch=lambda done, of: watch(ladder.name, done, of), note=warn
        )
    rule, rows, answer = found.rule, found.levels, found.pjnd
    if csv is not None:
        columns = ("reference", "distorted", "level", "edge", "quality", "worst", "share_green", "noticed")
        with table_of(csv, columns) as add:
            for row in rows:
                verdict = row.found.verdict
                add([(
                    name_cell(ladder.reference), name_cell(row.level.path), f"{row.level.level:g}",
                    "" if row.edge == float("inf") else row.edge, verdict.quality, verdict.worst,
                    verdict.shares["Green"], word(row.noticed),
                )])  # fmt: skip
    levels = [row.level.level for row in rows]
    if picture is not None:
        pixels = curve(ladder.name, levels, [row.edge for row in rows], rule.cut, answer, safe=safe_colors)
        save_bytes(picture, encode(pixels))
    print(f"{ladder.name}: {described(answer)}")
    print(
        f"{len(rows)} levels, {levels[0]:g} to {levels[-1]:g}; noticed: {rule.share:.1%} of patches below "
        f"{rule.cut.value:.3f}, {said_of(rule)}"
    )
    return 0
