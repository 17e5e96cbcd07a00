"""Tables of contrast thresholds and of colour pairs, drawn as datasets that `pixq build-patches` reads."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixq import ranges
from pixq.datasets.colour_pairs import COLOUR_PAIRS
from pixq.datasets.scores import csv_rows, number, read_text, safe_path
from pixq.distort.stimuli import CannotDraw, Target, Threshold, draw_colour, draw_target
from pixq.distort.whole import MAKER, save_png, write_whole
from pixq.errors import PixqError
from pixq.io.csv import read_csv
from pixq.ranges import NumberRange
from pixq.viewing import ViewingConditions

__all__ = ["MAX_SIZE", "MULTIPLES", "ColourPair", "DrawnTable", "draw_table", "read_colour_pairs", "read_thresholds"]

#: The factors of the threshold contrast, and the largest side of an image in pixels, unless a user says otherwise.
MULTIPLES = (1.0, 2.0, 4.0, 8.0)
MAX_SIZE = 1024

#: Increase it when the pixels or the layout change, so that existing trees are drawn again.
_VERSION = 1

_COLOURS = ("r1", "g1", "b1_srgb", "r2", "g2", "b2_srgb")
_CONES = ("background_L", "background_M", "background_S", "delta_L", "delta_M", "delta_S")
_SIZES = ("spatial_frequency_cpd", "sigma_deg", "area_deg2", "eccentricity_deg", "temporal_frequency_hz")
_THRESHOLD = "cone_contrast_threshold"
_DIFFERENCE = "visual_difference"

#: What a column may hold, far beyond what a display can show and people can see.
_POSITIVE = NumberRange(1e-6, 10_000)
_NOT_NEGATIVE = NumberRange(0, 10_000)
_CONE = NumberRange(-1_000_000, 1_000_000)
_RANGES = {
    "spatial_frequency_cpd": _NOT_NEGATIVE,
    "sigma_deg": _POSITIVE,
    "area_deg2": NumberRange(1e-6, 100_000),
    "eccentricity_deg": _NOT_NEGATIVE,
    "temporal_frequency_hz": _NOT_NEGATIVE,
    **dict.fromkeys(_CONES, _CONE),
    _THRESHOLD: _POSITIVE,
}
_DIFFERENCES = NumberRange(COLOUR_PAIRS.contract.minimum, COLOUR_PAIRS.contract.maximum)
#: Bytes of a name that becomes part of a file's name.
_LONGEST_NAME = 100


@dataclass(frozen=True)
class ColourPair:
    """A row of a table of colour pairs: its set and line, both colours in sRGB (0 to 255), and how different they are.

    The visual difference is on the scale of its set.
    """

    set: str
    line: int
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    difference: float


@dataclass(frozen=True)
class DrawnTable:
    """What became of a table.

    Parameters
    ----------
    dataset
        The name of the adapter that reads the tree.
    images
        The number of distorted images.
    rows, drawn
        The number of rows in the table, and of those that at least one image was drawn of.
    left_out
        Stimuli (a row at one multiple) that were not drawn, by reason.
    written
        False if the tree was there already.
    """

    dataset: str
    images: int
    rows: int
    drawn: int
    left_out: dict[str, int]
    written: bool


def read_thresholds(path: Path) -> list[Threshold]:
    """Read a table of thresholds; `thresholds.csv` of castleCSF's studies has its columns.

    Raises
    ------
    PixqError
        If the file can't be read, a column is missing, or a number is wrong.
    """
    rows = []
    for line, cells in csv_rows(path, ("dataset", "stimulus", *_SIZES, *(map(str.lower, _CONES)), _THRESHOLD)):
        values = {
            name: allowed.check(number(cells[name.lower()], path, line, name), f"{path}, line {line}: the {name}")
            for name, allowed in _RANGES.items()
        }
        frequency, sigma, area, eccentricity, flicker = (values[name] for name in _SIZES)
        cones = [values[name] for name in _CONES]
        rows.append(
            Threshold(
                study=_name(cells["dataset"], "dataset", path, line),
                line=line,
                stimulus=cells["stimulus"].lower(),
                spatial_frequency=frequency,
                sigma=sigma,
                area=area,
                eccentricity=eccentricity,
                temporal_frequency=flicker,
                background=(cones[0], cones[1], cones[2]),
                direction=(cones[3], cones[4], cones[5]),
                contrast=values[_THRESHOLD],
            )
        )
    return rows


def read_colour_pairs(path: Path, only: str | None = None) -> list[ColourPair]:
    """Read a table of colour pairs, or one `set` of it.

    Raises
    ------
    PixqError
        If the file can't be read, a column is missing, a number is wrong, or there is no such set.
    """
    rows = []
    for line, cells in csv_rows(path, ("set", *_COLOURS, _DIFFERENCE)):
        levels = [number(cells[name], path, line, name) for name in _COLOURS]
        if not all(0.0 <= level <= 255.0 for level in levels):
            raise PixqError(f"{path}, line {line}: a colour lies outside of 0 to 255; fix the line")
        difference = _DIFFERENCES.check(
            number(cells[_DIFFERENCE], path, line, _DIFFERENCE), f"{path}, line {line}: the {_DIFFERENCE}"
        )
        first, second = (levels[0], levels[1], levels[2]), (levels[3], levels[4], levels[5])
        rows.append(ColourPair(_name(cells["set"], "set", path, line), line, first, second, difference))
    known = sorted({row.set for row in rows})
    if only is not None and only not in known:
        raise PixqError(f"{path}: has no set {only!r}; choose {', '.join(known) or 'another table'}")
    return [row for row in rows if only in (None, row.set)]


def _name(text: str, column: str, path: Path, line: int) -> str:
    """A name that images are called by."""
    if len(text.encode()) > _LONGEST_NAME:
        raise PixqError(
            f"{path}, line {line}: the {column} has {len(text.encode())} bytes; "
            f"images are called by it, so shorten it to {_LONGEST_NAME}"
        )
    return safe_path(text, path, line)


def draw_table(
    table: Path,
    out: str | os.PathLike[str],
    *,
    conditions: ViewingConditions | None = None,
    multiples: Sequence[float] | None = None,
    only: str | None = None,
    max_size: int | None = None,
    threads: int | None = None,
) -> DrawnTable:
    """Draw a table of thresholds or of colour pairs as `refs/`, `images/` and `labels.csv`.

    Parameters
    ----------
    table
        A CSV file with a column `cone_contrast_threshold` or `visual_difference`.
    out
        The folder to write. One that pixq drew is kept if it has the same content, and replaced if not.
    conditions
        For thresholds: how the images will be seen. Default: `ViewingConditions()`.
    multiples
        For thresholds: the factors of the threshold contrast. Default: `MULTIPLES`.
    only
        For colour pairs: one set of the table. The scales of sets differ.
    max_size
        For thresholds: the largest side of an image, in pixels. Default: `MAX_SIZE`.
    threads
        Number of threads; the number of processors by default. The result doesn't depend on it.

    Raises
    ------
    PixqError
        If the table is neither, an argument has no effect on it, a line is wrong, nothing can be drawn, or `out` holds
        something else.
    """
    columns = _columns(table)
    if _THRESHOLD in columns:
        if only is not None:
            raise PixqError(f"{table}: is a table of thresholds, which has no sets; remove --only")
        return _draw_thresholds(
            table,
            Path(out),
            conditions or ViewingConditions(),
            tuple(dict.fromkeys(map(float, MULTIPLES if multiples is None else multiples))),
            MAX_SIZE if max_size is None else max_size,
            threads,
        )
    if _DIFFERENCE in columns:
        if any(option is not None for option in (conditions, multiples, max_size)):
            raise PixqError(
                f"{table}: is a table of colour pairs, on which only --only has an effect; remove the other options"
            )
        return _draw_colours(table, Path(out), only)
    raise PixqError(
        f"{table}: has no column {_THRESHOLD} or {_DIFFERENCE}; give a table of contrast thresholds or of colour pairs"
    )


def _columns(table: Path) -> set[str]:
    """The names in the header, in small letters; none if the file is empty."""
    try:
        header = next(read_csv(read_text(table), (_THRESHOLD, _DIFFERENCE)), None)
    except csv.Error as error:
        raise PixqError(f"{table}, {error}; fix the quoting") from None
    return {cell.strip().lower() for cell in header.cells} if header else set()


def _draw_thresholds(
    table: Path,
    out: Path,
    conditions: ViewingConditions,
    multiples: tuple[float, ...],
    max_size: int,
    threads: int | None,
) -> DrawnTable:
    for multiple in multiples:
        ranges.MULTIPLE.check(multiple, "--multiples")
    ranges.STIMULUS_SIZE.check(max_size, "--max-size")
    if not multiples:
        raise PixqError("--multiples is empty; give at least one, like 1,2,4,8")
    rows = read_thresholds(table)
    if not rows:
        raise PixqError(f"{table}: has no rows; give a table with thresholds in it")
    left_out: Counter[str] = Counter()
    references: dict[tuple[bytes, int], str] = {}
    labels: list[list[object]] = [
        ["image", "reference", "stimulus", "multiple", "study", "line", "spatial_frequency_cpd", "rounding_error"]
    ]
    drawn: set[int] = set()

    def draw(job: tuple[Threshold, float]) -> Target | str:
        try:
            return draw_target(*job, conditions, max_size)
        except CannotDraw as reason:
            return str(reason)

    jobs = [(row, multiple) for row in rows for multiple in multiples]
    targets: list[tuple[tuple[Threshold, float], str, str]] = []
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        # Drawn once to learn what can be drawn, and again when it is written: all images together are gigabytes.
        for job, target in zip(jobs, _in_order(pool, draw, jobs), strict=True):
            row, multiple = job
            if isinstance(target, str):
                left_out[target] += 1
                continue
            key = (target.reference[0, 0].tobytes(), len(target.reference))
            reference = references.setdefault(key, f"{target.reference[0, 0].tobytes().hex()}-{key[1]}.png")
            image = f"{row.study}-{row.line:05d}-x{multiple:.12g}.png"
            targets.append((job, reference, image))
            drawn.add(row.line)
            row_cells = (row.study, row.line, f"{row.spatial_frequency:g}", f"{target.error:.3f}")
            labels.append([image, reference, row.stimulus, f"{multiple:.12g}", *row_cells])
        if not targets:
            counts = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
            raise PixqError(f"{table}: nothing can be drawn: {counts}")
        reasons = dict(left_out.most_common())
        note = f"contrast thresholds of people, drawn for {conditions}"
        settings = {"conditions": asdict(conditions), "multiples": list(multiples), "max_size": max_size}

        def fill(folder: Path) -> None:
            chosen = [job for job, _, _ in targets]
            written: set[str] = set()
            for (_, reference, image), target in zip(targets, _in_order(pool, draw, chosen), strict=True):
                assert isinstance(target, Target)
                save_png(target.distorted, folder / "images" / image)
                if reference not in written:
                    save_png(target.reference, folder / "refs" / reference)
                    written.add(reference)

        written = _write(out, table, note, {**settings, "left_out": reasons}, labels, fill)
    return DrawnTable("thresholds", len(targets), len(rows), len(drawn), reasons, written)


def _in_order(
    pool: ThreadPoolExecutor,
    draw: Callable[[tuple[Threshold, float]], Target | str],
    jobs: Sequence[tuple[Threshold, float]],
) -> Iterator[Target | str]:
    """The results of `draw` in the order of `jobs`, with only a few of them in memory."""
    for start in range(0, len(jobs), 64):
        yield from pool.map(draw, jobs[start : start + 64])


def _draw_colours(table: Path, out: Path, only: str | None) -> DrawnTable:
    rows = read_colour_pairs(table, only)
    if not rows:
        raise PixqError(f"{table}: has no rows; give a table with colour pairs in it")
    labels: list[list[object]] = [["image", "reference", "set", "visual_difference", "line"]]
    pictures: dict[str, NDArray[np.uint8]] = {}
    left_out: Counter[str] = Counter()
    for row in rows:
        first, second = draw_colour(row.first), draw_colour(row.second)
        if (first == second).all():
            left_out["lost in 8 bits"] += 1
            continue
        reference, image = f"{first[0, 0].tobytes().hex()}.png", f"{row.set}-{row.line:05d}.png"
        pictures[f"refs/{reference}"], pictures[f"images/{image}"] = first, second
        labels.append([image, reference, row.set, f"{row.difference:g}", row.line])

    def fill(folder: Path) -> None:
        for name, picture in pictures.items():
            save_png(picture, folder / name)

    note = "differences between plain colours as people reported them; each set has its own scale"
    written = _write(out, table, note, {"only": only, "left_out": dict(left_out)}, labels, fill)
    return DrawnTable("colour-pairs", len(labels) - 1, len(rows), len(labels) - 1, dict(left_out), written)


def _write(
    out: Path,
    table: Path,
    note: str,
    settings: Mapping[str, object],
    labels: Sequence[Sequence[object]],
    fill: Callable[[Path], None],
) -> bool:
    """Write the tree, whole or not at all; whether anything had to be written."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(labels)
    content = {
        "synthetic": False,
        "note": note,
        "made_by": MAKER,
        "version": _VERSION,
        "table": table.name,
        # It decides every image, together with the settings.
        "table_sha256": hashlib.sha256(read_text(table).encode()).hexdigest(),
        **settings,
    }

    def fill_all(folder: Path) -> None:
        for name in ("refs", "images"):
            (folder / name).mkdir()
        fill(folder)
        (folder / "labels.csv").write_text(text.getvalue(), encoding="utf-8")

    wanted = {"labels.json", "labels.csv"}
    wanted |= {f"{folder}/{row[index]}" for row in labels[1:] for folder, index in (("images", 0), ("refs", 1))}
    return write_whole(out, json.dumps(content, indent=2, ensure_ascii=False) + "\n", wanted, fill_all)
