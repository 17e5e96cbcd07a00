"""`pixq pjnd`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from pixq.predict.tables import VIEWING_COLUMNS, viewing_cells

if TYPE_CHECKING:
    from pixq.ladders.ladder import Ladder
    from pixq.ladders.predict import LevelMap
    from pixq.scoring.scorer import Scorer

__all__ = ["pjnd"]

_COLUMNS = (
    *("reference", "distorted", "level", "jnd", "p_notice"),
    *("edge", "quality", "worst", "share_green", "noticed", *VIEWING_COLUMNS),
)


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
    threads: Annotated[int | None, number_in(ranges.THREADS)] = None,
    viewing: ViewingOptions = AT_A_DESK,
    images: ImageOptions = AS_SHOWN,
) -> int:
    """Predict the level of a ladder at which a person begins to notice: its PJND.

    A level counts as noticed when its image has 1 JND or more, so that half of the people notice when the images
    alternate; its interval is where 25 % and 75 % notice. If pixq calibrate --ladders has fitted another JND to PJNDs
    that people gave, that one counts.

    For runs of other models than visibility, and with --calibration, a level counts as noticed when a given share of
    its patches is not Green.

    Parameters
    ----------
    paths
        [RUN] REFERENCE LEVELS..., where LEVELS are distorted images or folders of them. Without a run, the model that
        comes with pixq is used.
    level
        How a level follows from n, the last number in a file's name: n, or 101-n if n is a JPEG's quality.
    share
        The share of patches that must not be Green, 0 to 1. Default: the one that the cut was chosen with, or 0.05.
        Refused where the JND of the image decides.
    stride
        Pixels between neighbouring patches. Default: those that the cut was chosen with, or 10.
    calibration
        Name of the calibration whose Green cut to use. Default: the cut of calibrate --ladders, or else 1 JND; for runs
        of other models, the only calibration.
    csv
        One row per level (CSV).
    picture
        Picture of the curve, the cut and the PJND (PNG).
    safe_colors
        Use colours for colour-blind readers.
    device
        cpu, cuda, cuda:1, or auto.
    threads
        Number of threads. Default: all cores.
    """
    outputs = {"csv": csv, "picture": picture}
    scorer, ladder = load_ladder(paths, level, device, calibration, outputs, images, viewing, threads)
    with progress_bar() as on_progress:
        prediction = predict_pjnd(scorer, ladder, share=share, stride=stride, on_progress=on_progress, warn=warn)
    rule, rows = prediction.rule, prediction.levels
    if csv is not None:
        _write_table(csv, ladder, rows, scorer)
    levels = [row.level.level for row in rows]
    if picture is not None:
        quantiles = [row.quantile for row in rows]
        pixels = draw_curve(
            ladder.name, levels, quantiles, rule.cut, prediction.pjnd, safe=safe_colors, jnd=rule.share is None
        )
        save_bytes(picture, encode(pixels))
    print_lines(f"{ladder.name}: {describe_pjnd(prediction.pjnd, people=rule.by_people)}")
    if scorer.scores_visibility:
        print_lines(f"seen {scorer.viewing}", f"{'level':>9}{'JND':>9}{'noticed by':>12}")
        for row in rows:
            jnd, noticed_by = _noticed(row)
            print_lines(f"{row.level.level:>9g}{jnd:>9.2f}{noticed_by:>12.0%}")
    noticed = describe_rule(rule)
    if rule.share is not None:
        noticed = f"noticed: {rule.share:.1%} of patches below {rule.cut.value:.3f}, {noticed}"
    print_lines(f"{len(rows)} levels, {levels[0]:g} to {levels[-1]:g}; {noticed}")
    return 1 if ladder.left_out else 0


def _write_table(path: Path, ladder: Ladder, rows: Sequence[LevelMap], scorer: Scorer) -> None:
    with csv_writer(path, _COLUMNS) as add:
        for row in rows:
            verdict = row.map.verdict
            visible = _noticed(row) if scorer.scores_visibility else ("", "")
            viewing = viewing_cells(row.map) if scorer.scores_visibility else [""] * len(VIEWING_COLUMNS)
            add([(
                name_cell(ladder.reference), name_cell(row.level.path), f"{row.level.level:g}", *visible,
                "" if row.quantile == float("inf") else row.quantile, verdict.quality, verdict.worst,
                verdict.shares["Green"], bool_cell(row.noticed), *viewing,
            )])  # fmt: skip


def _noticed(row: LevelMap) -> tuple[float, float]:
    """The JND of a level, and the share of people who notice it."""
    visibility = row.map.visibility
    assert visibility is not None
    return visibility.jnd, visibility.p_notice
