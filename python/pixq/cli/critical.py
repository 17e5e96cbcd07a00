"""`pixq critical`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixq import ranges
from pixq.classes import CLASSES
from pixq.cli.ladders import describe_rule, load_ladder
from pixq.cli.messages import print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import AS_SHOWN, AT_A_DESK, ImageOptions, ViewingOptions
from pixq.cli.progress import progress_bar
from pixq.drawing.map_pictures import encode
from pixq.io.atomic import save_bytes
from pixq.io.csv import csv_writer, name_cell
from pixq.io.images import load_pixels
from pixq.ladders.critical import critical_map
from pixq.ladders.pictures import draw_regions
from pixq.ladders.predict import predict_regions
from pixq.predict.tables import VIEWING_COLUMNS, viewing_cells
from pixq.ranges import NumberRange
from pixq.visibility import notice_probability

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["critical"]

_COLUMNS = (
    *("reference", "distorted", "level", "rank", "y", "x", "jnd", "p_notice", "score", "class"),
    *VIEWING_COLUMNS,
)


def critical(
    *paths: Annotated[Path, Parameter(name="paths", negative="")],
    at: Annotated[float | None, number_in(NumberRange(-(10**9), 10**9))] = None,
    points: Annotated[int, number_in(ranges.COUNT)] = 3,
    degree: Annotated[float, number_in(ranges.PIXELS_PER_DEGREE)] = 24.0,
    level: str = "n",
    stride: Annotated[int | None, number_in(ranges.STRIDE)] = None,
    calibration: str | None = None,
    csv: Path | None = None,
    map: Path | None = None,
    values: Path | None = None,
    safe_colors: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
    threads: Annotated[int | None, number_in(ranges.THREADS)] = None,
    viewing: ViewingOptions = AT_A_DESK,
    images: ImageOptions = AS_SHOWN,
) -> int:
    """Say where in an image a person would see a ladder's distortion first: its JND-critical regions.

    Looks at the predicted PJND, or at the level that you give. The map, of minus the JND of each patch for runs of the
    model visibility, is smoothed as the eye does, by a Gaussian one degree wide; the first place is where it is lowest
    and not Green.

    Parameters
    ----------
    paths
        [RUN] REFERENCE LEVELS..., as for pixq pjnd; one level is enough.
    at
        The level to look at. Default: the only one, or the predicted PJND.
    points
        The most places to return.
    degree
        Pixels per degree of the field of view; 24 is 640 pixels on 13.8 cm, seen from 30 cm.
    level
        How a level follows from n, the last number in a file's name: n, or 101-n if n is a JPEG's quality.
    stride
        Pixels between neighbouring patches.
    calibration
        Name of the calibration whose cuts to use. Default: the cut of calibrate --ladders, or else 1 JND; for runs of
        other models, the only calibration.
    csv
        One row per place: y, x, JND, share of people who notice, score, class (CSV).
    map
        Picture of the classes with the places (PNG).
    values
        The smoothed scores, float32 (rows, columns) of the grid (NPY).
    safe_colors
        Use colours for colour-blind readers.
    device
        cpu, cuda, cuda:1, or auto.
    threads
        Number of threads. Default: all cores.
    """
    outputs = {"csv": csv, "map": map, "values": values}
    scorer, ladder = load_ladder(paths, level, device, calibration, outputs, images, viewing, threads)
    with progress_bar() as on_progress:
        found = predict_regions(
            scorer, ladder, at=at, points=points, degree=degree, stride=stride, on_progress=on_progress, warn=warn
        )
    seen, quality_map, places = found.level, found.map, found.points
    if seen is None or quality_map is None:
        print_lines(
            f"{ladder.name}: no level up to {ladder.levels[-1].level:g} is noticed; choose one with --at to see it"
        )
        return 1 if ladder.left_out else 0
    if csv is not None:
        with csv_writer(csv, _COLUMNS) as add:
            names = name_cell(ladder.reference), name_cell(seen.path), f"{seen.level:g}"
            viewing_of_map = viewing_cells(quality_map) if scorer.scores_visibility else [""] * len(VIEWING_COLUMNS)
            for rank, point in enumerate(places, start=1):
                noticed = ("", "")
                if scorer.scores_visibility and point.jnd is not None:
                    noticed = (str(point.jnd), str(float(notice_probability(point.jnd))))
                name = CLASSES[point.class_].name
                add([(*names, rank, point.y, point.x, *noticed, point.score, name, *viewing_of_map)])
    if map is not None:
        image = load_pixels(seen.path, ladder.reading)
        save_bytes(map, encode(draw_regions(quality_map, image, places, degree=degree, safe=safe_colors)))
    if values is not None:
        save_bytes(values, _npy(critical_map(quality_map, degree=degree)))
    count = f"{len(places)} {'place' if len(places) == 1 else 'places'}"
    print_lines(f"{ladder.name}: level {seen.level:g}, {count} (y, x), {describe_rule(found.rule)}")
    if scorer.scores_visibility:
        print_lines(f"seen {scorer.viewing}", f"the image has {quality_map.visibility}")
    for rank, point in enumerate(places, start=1):
        value = f"{point.score:.3f}"
        if scorer.scores_visibility and point.jnd is not None:
            value = f"{point.jnd:.2f} JND, noticed by {float(notice_probability(point.jnd)):.0%} of people,"
        print_lines(f"{rank}  {point.y:7.1f} {point.x:7.1f}  {value} {CLASSES[point.class_].name}")
    return 1 if ladder.left_out else 0


def _npy(values: NDArray[np.float64]) -> bytes:
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, values.astype(np.float32))
    return buffer.getvalue()
