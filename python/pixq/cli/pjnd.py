"""`pixq pjnd`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.ladders import describe_rule, load_ladder
from pixq.cli.messages import print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import AS_SHOWN, AT_A_DESK, ImageOptions, ViewingOptions
from pixq.cli.progress import progress_bar
from pixq.drawing.map_pictures import encode
from pixq.io.atomic import save_bytes
from pixq.io.csv import bool_cell, csv_writer, name_cell
from pixq.ladders.pictures import describe_pjnd, draw_curve
from pixq.ladders.predict import predict_pjnd

__all__ = ["pjnd"]


def pjnd(
    *paths: Annotated[Path, Parameter(name="paths", negative="")],
    level: str = "n",
    share: Annotated[float | None, number_in(ranges.SHARE)] = None,
    stride: Annotated[int | None, number_in(ranges.STRIDE)] = None,
    calibration: str | None = None,
    csv: Path | None = None,
    picture: Path | None = None,
    safe_colors: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
    viewing: ViewingOptions = AT_A_DESK,
    images: ImageOptions = AS_SHOWN,
) -> int:
    """Predict the level of a ladder at which a person begins to notice: its PJND.

    A level counts as noticed when a given share of its patches is not Green. The interval of the PJND follows from
    that of the Green cut, which pixq calibrate --ladders chose on ladders whose PJNDs people gave.

    Parameters
    ----------
    paths
        [RUN] REFERENCE LEVELS..., where LEVELS are distorted images or folders of them. Without a run, the model that
        comes with pixq is used.
    level
        How a level follows from n, the last number in a file's name: n, or 101-n if n is a JPEG's quality.
    share
        The share of patches that must not be Green, 0 to 1. Default: the one that the cut was chosen with, or 0.05.
    stride
        Pixels between neighbouring patches. Default: those that the cut was chosen with, or 10.
    calibration
        Name of the calibration whose Green cut to use. Default: that of calibrate --ladders, or the only one.
    csv
        One row per level (CSV).
    picture
        Picture of the curve, the cut and the PJND (PNG).
    safe_colors
        Use colours for colour-blind readers.
    device
        cpu, cuda, cuda:1, or auto.
    """
    scorer, ladder = load_ladder(paths, level, device, calibration, {"csv": csv, "picture": picture}, images, viewing)
    with progress_bar() as on_progress:
        prediction = predict_pjnd(scorer, ladder, share=share, stride=stride, on_progress=on_progress, warn=warn)
    rule, rows = prediction.rule, prediction.levels
    if csv is not None:
        columns = ("reference", "distorted", "level", "edge", "quality", "worst", "share_green", "noticed")
        with csv_writer(csv, columns) as add:
            for row in rows:
                verdict = row.map.verdict
                add([(
                    name_cell(ladder.reference), name_cell(row.level.path), f"{row.level.level:g}",
                    "" if row.quantile == float("inf") else row.quantile, verdict.quality, verdict.worst,
                    verdict.shares["Green"], bool_cell(row.noticed),
                )])  # fmt: skip
    levels = [row.level.level for row in rows]
    if picture is not None:
        quantiles = [row.quantile for row in rows]
        pixels = draw_curve(ladder.name, levels, quantiles, rule.cut, prediction.pjnd, safe=safe_colors)
        save_bytes(picture, encode(pixels))
    print_lines(f"{ladder.name}: {describe_pjnd(prediction.pjnd)}")
    print_lines(
        f"{len(rows)} levels, {levels[0]:g} to {levels[-1]:g}; noticed: {rule.share:.1%} of patches below "
        f"{rule.cut.value:.3f}, {describe_rule(rule)}"
    )
    return 1 if ladder.left_out else 0
