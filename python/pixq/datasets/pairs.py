"""The user's own image pairs, listed in a CSV file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.labels import LabelContract, Polarity
from pixq.datasets.scores import contract_of, csv_rows, number, safe_path, score
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError, printable
from pixq.io.folders import explain_missing
from pixq.io.paths import nfc
from pixq.io.text import is_pipe

__all__ = ["PAIRS"]

SCALE = "give the ends of the scale with --score-range LOW,HIGH"
CONTRACT = LabelContract(
    name="score", polarity="higher-is-better", minimum=0.0, maximum=1.0, unit="as given by the user"
)


def index_pairs(
    root: Path,
    *,
    csv: str | Path | None = None,
    polarity: Polarity | None = None,
    score_range: tuple[float, float] | None = None,
    unit: str | None = None,
) -> DatasetIndex:
    """Index the pairs that a CSV file lists.

    Parameters
    ----------
    root
        The folder that the names in the CSV file are relative to.
    csv
        The CSV file, relative to `root` or absolute; `pairs.csv` by default. Its columns are `reference`, `distorted`
        and `score`, and optionally `distortion`, `level` and `group` (what must stay in one split; the reference by
        default). Names are relative to `root`, with forward slashes, and matched without regard to case but with
        their extension.
    polarity, score_range, unit
        Meaning of the scores; higher-is-better, (0, 1) and "as given by the user" by default.

    Raises
    ------
    PixqError
        If the CSV file is missing, one of its lines is wrong, or a reference is in two groups.
    """
    tree = Tree(root)
    path = root / (csv if csv is not None else "pairs.csv")
    if not path.is_file() and not is_pipe(path):
        raise PixqError(f"{path}: {explain_missing(path, 'no such file')}; name the CSV file of the pairs with --csv")
    low, high = score_range if score_range is not None else (CONTRACT.minimum, CONTRACT.maximum)
    contract = replace(CONTRACT, minimum=float(low), maximum=float(high), unit=unit or CONTRACT.unit)
    contract = contract_of(root, contract, polarity=polarity)
    lines: list[ScoreLine] = []
    for line, cells in csv_rows(path, ("reference", "distorted", "score")):
        reference, distorted = (
            _on_disk(tree, safe_path(cells[name], path, line, folders=True)) for name in ("reference", "distorted")
        )
        lines.append(
            ScoreLine(
                line=line,
                image_id=distorted,
                reference_id=reference,
                group=nfc(cells.get("group", "")),
                reference=reference,
                distorted=distorted,
                distortion_type=nfc(cells.get("distortion", "")) or "unspecified",
                level=number(level, path, line, "level") if (level := cells.get("level", "")) else None,
                score=score(
                    cells["score"], path, line, contract, "give the ends of the scale with --score-range LOW,HIGH"
                ),
            )
        )
    image_ids = _identifiers(line.distorted for line in lines)
    reference_ids = _identifiers(line.reference for line in lines)
    lines = [
        replace(
            line,
            image_id=image_ids[line.distorted],
            reference_id=reference_ids[line.reference],
            group=line.group or reference_ids[line.reference],
        )
        for line in lines
    ]
    _check_groups(lines, path)
    folders = sorted({name.rpartition("/")[0] for line in lines for name in (line.reference, line.distorted)})
    return assemble("pairs", tree, contract, printable(path.name), lines, folders=folders, by_stem=False)


def _on_disk(tree: Tree, name: str) -> str:
    """`name` as spelled on disk, so that two spellings mean the same file; unchanged if no file matches."""
    return tree.find(name, by_stem=False).path or name


def _identifiers(paths: Iterable[str]) -> dict[str, str]:
    """Name each path by itself without its extension, or with it if two paths would get the same name."""
    names: dict[str, str] = {}
    for path in paths:
        folder, slash, name = path.rpartition("/")
        names[path] = folder + slash + (name.rpartition(".")[0] or name)
    # A whole path can equal another one without its extension (a.jpg, a.jpg.png), so one pass is not enough. Each pass
    # restores the extensions of all names that are not unique; it ends because whole paths are unique.
    while len(taken := Counter(names.values())) < len(names):
        names = {path: path if taken[name] > 1 else name for path, name in names.items()}
    return names


def _check_groups(lines: list[ScoreLine], path: Path) -> None:
    seen: dict[str, ScoreLine] = {}
    for line in lines:
        first = seen.setdefault(line.reference, line)
        if first.group != line.group:
            raise PixqError(
                f"{path}, line {line.line}: reference {line.reference!r} is in group {line.group!r}, but in "
                f"{first.group!r} on line {first.line}; give it one group"
            )


PAIRS = Adapter(
    name="pairs",
    title="Image pairs of your own, named by a CSV file",
    needs=(
        "pairs.csv (columns reference, distorted, score; also distortion, level, group) and the images it names; "
        'labels.json ({"synthetic": true, "note": "..."}) where no person gave the scores'
    ),
    licence="that of your images",
    citation="none: the images are yours",
    contract=CONTRACT,
    index=index_pairs,
    options={
        "csv": "the CSV file, relative to the root or absolute (default pairs.csv)",
        "polarity": "higher-is-better (the default) or lower-is-better",
        "score_range": "the ends of the scale (default 0, 1)",
        "unit": "the scale in words",
    },
)
