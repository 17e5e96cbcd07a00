"""The layout `refs/`, `images/` and `labels.csv`, with one line per distorted image, which several datasets share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pixq.datasets.base import DatasetIndex
from pixq.datasets.labels import LabelContract, Observers
from pixq.datasets.scores import contract_of, csv_rows, number, safe_path, score
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError
from pixq.io.paths import nfc

__all__ = ["LABELS", "index_label_table", "is_label_table", "people", "stem"]

LABELS = "labels.csv"

#: The people behind a line, from its cells, the file and the line's number.
Observe = Callable[[Mapping[str, str], Path, int], Observers | None]


def is_label_table(tree: Tree, published: str, needs: str) -> bool:
    """Whether a root holds `labels.csv` rather than the layout that the dataset was published in.

    Raises
    ------
    PixqError
        If it holds neither that nor the folder `published`.
    """
    if tree.find(LABELS, by_stem=False).path is not None:
        return True
    if not tree.has_folder(published):
        raise PixqError(f"{tree.root}: no {published} or {LABELS}; the root must hold {needs}")
    return False


def stem(name: str) -> str:
    """A file name without its ending."""
    return name.rpartition(".")[0] or name


def people(text: str, path: Path, line: int, what: str) -> int:
    """Parse a number of people, 0 or more."""
    value = number(text, path, line, what)
    if value < 0 or value != int(value):
        raise PixqError(f"{path}, line {line}: the {what} {text!r} is not a number of people; write a whole number")
    return int(value)


def index_label_table(
    name: str,
    contract: LabelContract,
    root: Path,
    *,
    score_column: str,
    type_column: str = "type",
    types: Mapping[str, str] | None = None,
    level_column: str | None = None,
    attributes: Sequence[str] = (),
    observe: Observe | None = None,
) -> DatasetIndex:
    """Index a dataset whose `labels.csv` names each image in `images`, its reference in `refs`, type and score.

    Parameters
    ----------
    name, contract
        Name of the adapter and meaning of its scores.
    root
        The dataset's folder.
    score_column, type_column, level_column
        Columns of the score, the type of distortion and its level; a level may be empty.
    types
        The names of the types, by what the column has. Default: what the column has.
    attributes
        Columns to keep as attributes of a pair, where they are not empty.
    observe
        Gives the people behind a line, if the dataset counts them.

    Raises
    ------
    PixqError
        If a file is missing, or a line is wrong.
    """
    tree = Tree(root)
    references, distorted, labels = tree.require("refs", "images", LABELS)
    path = root / labels
    contract = contract_of(root, contract)
    required = ("image", "reference", type_column, score_column)
    lines = []
    for line, cells in csv_rows(path, (*required, *((level_column,) if level_column else ()))):
        image, reference = (safe_path(cells[key], path, line) for key in ("image", "reference"))
        level = cells[level_column] if level_column else ""
        if not cells[type_column]:
            raise PixqError(f"{path}, line {line}: the {type_column} is empty; name the distortion")
        if types is not None and cells[type_column] not in types:
            raise PixqError(
                f"{path}, line {line}: unknown {type_column} {cells[type_column]!r}; choose {', '.join(types)}"
            )
        lines.append(
            ScoreLine(
                line=line,
                image_id=nfc(stem(image)),
                reference_id=nfc(stem(reference)),
                group=nfc(stem(reference)),
                reference=f"{references}/{reference}",
                distorted=f"{distorted}/{image}",
                distortion_type=nfc(cells[type_column] if types is None else types[cells[type_column]]),
                level=number(level, path, line, str(level_column)) if level else None,
                score=score(cells[score_column], path, line, contract),
                attributes={key: nfc(cells[key]) for key in attributes if cells.get(key)},
                observers=observe(cells, path, line) if observe else None,
            )
        )
    return assemble(name, tree, contract, labels, lines, folders=(references, distorted))
