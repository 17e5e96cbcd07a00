"""KonJND-1k and LocJND: ladders of a codec, and the levels at which people begin to notice."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixq.datasets.base import Adapter, DatasetIndex, Problem
from pixq.datasets.label_table import stem
from pixq.datasets.labels import LabelContract, Observers
from pixq.datasets.scores import contract_of, read_text, safe_path
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError, printable

__all__ = ["KONJND"]

TRUTH = "ground_truth.json"

CONTRACT = LabelContract(
    name="share of PJNDs",
    polarity="lower-is-better",
    minimum=0.0,
    maximum=1.0,
    unit="share of people whose PJND is at or below the level; inside a range, a straight line from 0 to 1",
    note="flicker: the image alternates with its reference",
    kind="pjnd",
)

CITATION = (
    "H. Lin, G. Chen, M. Jenadeleh, V. Hosu, U.-D. Reips, R. Hamzaoui, D. Saupe. Large-scale crowdsourced "
    "subjective assessment of picturewise just noticeable difference. IEEE Transactions on Circuits and Systems "
    "for Video Technology 32, 5859-5873, 2022. doi:10.1109/TCSVT.2022.3163860"
)

_NAME = re.compile(r"(.+)_([A-Za-z0-9]+)_(\d{1,3})\.[A-Za-z0-9]+", re.ASCII)


def index_konjnd(root: Path) -> DatasetIndex:
    """Index the ladders of a folder in the layout of LocJND and KonJND.

    Level v of a source is the file of number 101 - v. Sources without a PJND are not part of the index; their images
    are listed as extra, and so are numbers outside of 1 to 100. A source with a PJND but no images is missing.

    Raises
    ------
    PixqError
        If something is missing or malformed.
    """
    tree = Tree(root)
    images, truth = tree.require("images", TRUTH)
    path = root / truth
    files = [file.rpartition("/")[2] for file in tree.images(images)]
    by_name = {stem(file): file for file in files}
    ladders = _ladders(files)
    lines: list[ScoreLine] = []
    problems: list[Problem] = []
    for source, entry in _sources(path).items():
        pjnds, accepted = _answers(path, source, entry)
        if pjnds is None and accepted is None:
            continue
        codec = str(entry["codec"]).upper()
        ladder = ladders.get((source, codec), ())
        if not ladder:
            detail = f"{truth}, {source}; no file of this name has a number from 1 to 100"
            problems.append(Problem("missing", printable(f"{images}/{source}_{codec}_*"), detail, left_out=True))
        for file, level in ladder:
            if pjnds is not None:
                observers = Observers(len(pjnds), sum(pjnd <= level for pjnd in pjnds))
                share = (observers.noticed or 0) / len(pjnds)
            else:
                assert accepted is not None
                observers = Observers(pjnd_range=accepted)
                share = _share(level, *accepted)
            lines.append(
                ScoreLine(
                    line=0,
                    image_id=stem(file),
                    reference_id=source,
                    group=source,
                    reference=f"{images}/{by_name.get(source, source + '.png')}",
                    distorted=f"{images}/{file}",
                    distortion_type=codec,
                    level=level,
                    score=share,
                    where=f"{truth}, {source}",
                    observers=observers,
                )
            )
    index = assemble("konjnd", tree, contract_of(root, CONTRACT), truth, lines, folders=(images,))
    return replace(index, problems=(*problems, *index.problems))


def _ladders(files: list[str]) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """The files of each source and codec (in capitals), with their levels."""
    ladders: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for file in files:
        match = _NAME.fullmatch(file)
        if match is not None and 1 <= int(match[3]) <= 100:
            ladders[match[1], match[2].upper()].append((file, 101 - int(match[3])))
    return ladders


def _share(level: float, low: float, high: float) -> float:
    """The share of a range that lies at or below a level; a range of one level counts as whole from that level on."""
    return min(max((level - low) / (high - low), 0.0), 1.0) if high > low else float(level >= low)


def _sources(path: Path) -> dict[str, dict[str, Any]]:
    try:
        images = json.loads(read_text(path))["images"]
        sources = dict(sorted(images.items()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PixqError(f'{path}: write it like {{"images": {{SOURCE: {{"codec": "JPEG", ...}}}}}}') from None
    for source, entry in sources.items():
        safe_path(source, path, 1)
        if not isinstance(entry, dict) or not isinstance(entry.get("codec"), str):
            raise PixqError(f"{path}: {source} has no codec; give it one, as in the names of its files")
    return sources


def _answers(path: Path, source: str, entry: dict[str, Any]) -> tuple[list[float] | None, tuple[float, float] | None]:
    """The PJNDs of individual people, or the range of levels that are accepted as the PJND, if either is known."""
    pjnds, accepted = entry.get("pjnds"), entry.get("pjnd_range")
    for key, value in (("pjnds", pjnds), ("pjnd_range", accepted)):
        if value is not None and not (isinstance(value, list) and value and all(map(_is_level, value))):
            raise PixqError(f"{path}: {key} of {source} is not a list of levels; write it like [25, 64]")
    if accepted is not None and (len(accepted) != 2 or accepted[0] > accepted[1]):
        raise PixqError(f"{path}: pjnd_range of {source} is not a range; write it like [25, 64]")
    return pjnds, None if accepted is None else (float(accepted[0]), float(accepted[1]))


def _is_level(value: object) -> bool:
    # Of the comparisons with NaN none is true, and whole numbers of any length can be compared.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1000 <= value <= 1000


KONJND = Adapter(
    name="konjnd",
    title="KonJND-1k and LocJND: ladders of a codec, with the level at which people begin to notice",
    needs=(
        "images/<source>.png, images/<source>_<codec>_<n>.jpg (level 101 - n), ground_truth.json (images: codec, and "
        "pjnd_range [low, high] or pjnds, one level per person)"
    ),
    licence="that of its authors; the demos of KonJND-1k and LocJND: MIT",
    citation=CITATION,
    contract=CONTRACT,
    index=index_konjnd,
)
