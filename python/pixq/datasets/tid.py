"""The layout that TID2008 and TID2013 share."""

from __future__ import annotations

import re
from pathlib import Path

from pixq.datasets.base import DatasetIndex
from pixq.datasets.label_table import LABELS, index_label_table
from pixq.datasets.labels import LabelContract
from pixq.datasets.scores import contract_of, safe_path, score, text_lines
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError

__all__ = ["NEEDS", "index_tid"]

NEEDS = (
    "reference_images/I<nn>.BMP, distorted_images/i<nn>_<type>_<level>.bmp (any case; BMP or PNG), "
    "mos_with_names.txt (lines `<MOS> <file name>`); or refs/, images/, labels.csv (columns image, reference, "
    "type as a number, level, mos)"
)

_NAME = re.compile(r"(i(\d{2}))_(\d{2})_(\d)(\.bmp|\.png)?", re.IGNORECASE | re.ASCII)


def index_tid(name: str, contract: LabelContract, types: tuple[str, ...], levels: int, root: Path) -> DatasetIndex:
    """Index a TID dataset with the distortion types called `types` at `levels` levels each.

    Raises
    ------
    PixqError
        If the files are not laid out as in `NEEDS`, or a line of the score file is wrong.
    """
    tree = Tree(root)
    if tree.find(LABELS, by_stem=False).path is not None:
        named = {str(kind): f"{kind:02} {title}" for kind, title in enumerate(types, start=1)}
        return index_label_table(
            name, contract, root, score_column="mos", types=named, level_column="level", attributes=("parameter",)
        )
    references, distorted, scores = tree.require("reference_images", "distorted_images", "mos_with_names.txt")
    path = root / scores
    contract = contract_of(root, contract, path)
    lines = []
    for line, text in text_lines(path):
        parts = text.split(maxsplit=1)
        if len(parts) != 2:
            raise PixqError(f"{path}, line {line}: {text!r} is not `<MOS> <file name>`; fix the line")
        value, file = score(parts[0], path, line, contract), safe_path(parts[1], path, line)
        match = _NAME.fullmatch(file)
        if match is None:
            raise PixqError(f"{path}, line {line}: {file!r} is not named i<nn>_<type>_<level>.bmp; fix the line")
        kind, level = int(match[3]), int(match[4])
        if not (1 <= kind <= len(types) and 1 <= level <= levels):
            raise PixqError(
                f"{path}, line {line}: {file!r} is type {kind}, level {level}; {name} has types 1 to {len(types)} and "
                f"levels 1 to {levels}: choose the dataset that the file belongs to"
            )
        lines.append(
            ScoreLine(
                line=line,
                image_id=f"i{match[2]}_{match[3]}_{match[4]}",
                reference_id=f"I{match[2]}",
                group=f"I{match[2]}",
                reference=f"{references}/I{match[2]}",
                distorted=f"{distorted}/{file}",
                distortion_type=f"{match[3]} {types[kind - 1]}",
                level=level,
                score=value,
            )
        )
    return assemble(name, tree, contract, scores, lines, folders=(references, distorted))
