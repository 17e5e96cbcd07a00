"""KonJND-1k as published: 1,008 sources, each at all levels of one codec, with about 42 PJNDs of people per source."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex, Problem
from pixq.datasets.konjnd import CITATION, CONTRACT
from pixq.datasets.label_table import stem
from pixq.datasets.labels import Observers
from pixq.datasets.scores import contract_of, csv_rows, safe_path
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError, printable

__all__ = ["KONJND1K"]

RATINGS = "subjective_ratings.csv"

#: The folders of levels, by the codec's name in capitals.
FOLDERS = {"JPEG": "jpeg", "BPG": "bpg"}

_NAME = re.compile(r"(?:(.+?)(?:_[A-Za-z]+)?_)?(\d{1,3})\.[A-Za-z0-9]+", re.ASCII)


def index_konjnd1k(root: Path) -> DatasetIndex:
    """Index KonJND-1k.

    A level's score is the share of people whose PJND is at or below it, so that its quality is the satisfied user
    ratio (SUR). The last number in a file's name is the level or, for JPEG, may be the quality, 101 - level: whichever
    makes files smaller from level to level.

    Raises
    ------
    PixqError
        If something is missing or malformed.
    """
    tree = Tree(root)
    sources, ratings = tree.require("source_image", RATINGS)
    path = root / ratings
    files = {codec: _levels(tree, folder) for codec, folder in FOLDERS.items() if tree.has_folder(folder)}
    falling = {codec: _is_quality(root, found) for codec, found in files.items()}
    by_stem = {stem(file.rpartition("/")[2]): file for file in tree.images(sources)}
    lines: list[ScoreLine] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for line, cells in csv_rows(path, ("image_id", "compression type", "ratings")):
        source = stem(safe_path(cells["image_id"], path, line))
        codec = cells["compression type"].upper()
        if codec not in FOLDERS:
            raise PixqError(
                f"{path}, line {line}: unknown compression type {cells['compression type']!r}; "
                f"choose {', '.join(FOLDERS)}"
            )
        if (other := seen.setdefault(source, line)) != line:
            raise PixqError(f"{path}, line {line}: {source} has ratings in line {other} already; remove one of them")
        pjnds = _pjnds(cells["ratings"], path, line)
        levels = files.get(codec, {}).get(source, [])
        if not levels:
            detail = f"{ratings}, line {line}; {FOLDERS[codec]} has no level of it"
            problems.append(Problem("missing", printable(f"{FOLDERS[codec]}/{source}_*"), detail, left_out=True))
        for file, number in levels:
            level = 101 - number if falling[codec] else number
            observers = Observers(len(pjnds), sum(pjnd is not None and pjnd <= level for pjnd in pjnds))
            lines.append(
                ScoreLine(
                    line=line,
                    # Files in the folder of a source may be called by their numbers alone.
                    image_id=f"{source}_{codec}_{number:03d}",
                    reference_id=source,
                    group=source,
                    reference=by_stem.get(source, f"{sources}/{source}.png"),
                    distorted=file,
                    distortion_type=codec,
                    level=float(level),
                    score=(observers.noticed or 0) / len(pjnds),
                    observers=observers,
                )
            )
    index = assemble("konjnd1k", tree, contract_of(root, CONTRACT), ratings, lines, folders=(sources,))
    return replace(index, problems=(*problems, *index.problems))


def _levels(tree: Tree, folder: str) -> dict[str, list[tuple[str, int]]]:
    """Files and numbers by source: in the folder itself, or in a folder per source.

    A file is called SOURCE_CODEC_NUMBER, SOURCE_NUMBER, or, in the folder of its source, NUMBER.
    """
    (there,) = tree.require(folder)
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for inside in (there, *tree.folders(there)):
        for file in tree.images(inside):
            match = _NAME.fullmatch(file.rpartition("/")[2])
            source = None if match is None else match[1] or (inside.rpartition("/")[2] if inside != there else None)
            if match is not None and source is not None and 1 <= int(match[2]) <= 100:
                found[source].append((file, int(match[2])))
    return {source: sorted(levels, key=lambda item: item[1]) for source, levels in found.items()}


def _is_quality(root: Path, sources: dict[str, list[tuple[str, int]]]) -> bool:
    """Whether files grow with their numbers."""
    first = last = 0
    for levels in list(sources.values())[:20]:
        first += (root / levels[0][0]).stat().st_size
        last += (root / levels[-1][0]).stat().st_size
    return last > first


def _pjnds(text: str, path: Path, line: int) -> list[float | None]:
    """The levels at which people first noticed; `null` for who never did."""
    try:
        pjnds = json.loads(text)
    except (ValueError, RecursionError):
        pjnds = None
    if not isinstance(pjnds, list) or not pjnds or not all(_is_rating(value) for value in pjnds):
        raise PixqError(f"{path}, line {line}: ratings are not a list of levels; write them like [25, 31, null]")
    return [None if value is None else float(value) for value in pjnds]


def _is_rating(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1000)


KONJND1K = Adapter(
    name="konjnd1k",
    title="KonJND-1k: 1,008 sources at all levels of JPEG or BPG, about 42 PJNDs of people each",
    needs=(
        "source_image/, jpeg/ and bpg/ (levels, whose last number is the level or the quality), subjective_ratings.csv "
        "(columns image_id, Compression type, ratings: a JSON list of levels, null for never)"
    ),
    licence="that of its authors, for research; cite it",
    citation=CITATION,
    contract=CONTRACT,
    index=index_konjnd1k,
)
