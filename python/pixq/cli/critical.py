"""`pixq critical`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixq.cli.ladders import given_ladder, said_of, warn
from pixq.cli.progress import staged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["critical"]


def critical(
    *paths: Annotated[Path, Parameter(name="paths", negative="")],
    at: float | None = None,
    points: int = 3,
    degree: float = 24.0,
    level: str = "n",
    stride: int | None = None,
    calibration: str | None = None,
    csv: Path | None = None,
    map: Path | None = None,
    values: Path | None = None,
    safe_colors: Annotated[bool, Parameter(negative="")] = False,
    device: str = "cpu",
) -> int:
    """Say where in an image a person would see a ladder's distortion first: its JND-critical regions.

    They are looked for at the predicted PJND, or at a level that you name. The map is taken as the eye takes it, under
    a Gaussian one degree wide; where it is lowest, and not Green, is the first place.

    Parameters
    ----------
    paths
        [RUN] REFERENCE LEVELS..., as for pixq pjnd; one level is enough.
    at
        The level to look at. Default: the only one, or the predicted PJND.
    points
        How many places at most.
    degree
        Pixels of one degree of the field of view; 24 are 640 pixels on 13.8 cm, seen from 30 cm.
    level
        How a level follows from n, the last number in a file's name: n, or 101-n where n is a JPEG's quality.
    stride
        Pixels between neighbouring patches.
    calibration
        Name of the calibration whose cuts to take. Default: what calibrate --ladders chose, or the only one.
    csv
        A line a place: y, x, score, class (CSV).
    map
        Picture of the classes, with the places (PNG).
    values
        The smoothed scores, float32 (rows, columns) of the grid (NPY).
    safe_colors
        Colours for colour-blind readers.
    device
        cpu, cuda, cuda:1, or auto.
    """
    from pixq.classes import CLASSES
    from pixq.drawing.map_pictures import encode
    from pixq.io.atomic import save_bytes
    from pixq.io.csv import name_cell, table_of
    from pixq.io.images import pixels_of
    from pixq.ladders.critical import critical_map
    from pixq.ladders.pictures import regions
    from pixq.ladders.predict import predict_regions

    outputs = {"csv": csv, "map": map, "values": values}
    scorer, ladder = given_ladder(paths, level, device, calibration, outputs)
    with staged() as watch:
        answer = predict_regions(
            scorer, ladder, at=at, points=points, degree=degree, stride=stride,
            watch=lambda done, of: watch(ladder.name, done, of), note=warn,
        )  # fmt: skip
    looked, found, places = answer.level, answer.found, answer.places
    if looked is None or found is None:
        print(f"{ladder.name}: no level is noticed, up to {ladder.levels[-1].level:g}; --at looks at one all the same")
        return 0
    if csv is not None:
        with table_of(csv, ("reference", "distorted", "level", "rank", "y", "x", "score", "class")) as add:
            names = name_cell(ladder.reference), name_cell(looked.path), f"{looked.level:g}"
            add(
                (*names, rank, point.y, point.x, point.score, CLASSES[point.class_].name)
                for rank, point in enumerate(places, start=1)
            )
    if map is not None:
        image = pixels_of(looked.path)
        save_bytes(map, encode(regions(found, image, places, degree=degree, safe=safe_colors)))
    if values is not None:
        save_bytes(values, _npy(critical_map(found, degree=degree)))
    count = f"{len(places)} {'place' if len(places) == 1 else 'places'}"
    print(f"{ladder.name}: level {looked.level:g}, {count} (y, x), {said_of(answer.rule)}")
    for rank, point in enumerate(places, start=1):
        print(f"{rank}  {point.y:7.1f} {point.x:7.1f}  {point.score:.3f} {CLASSES[point.class_].name}")
    return 0


def _npy(values: NDArray[np.float64]) -> bytes:
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, values.astype(np.float32))
    return buffer.getvalue()
