"""LIVE release 2: 29 references, 779 distorted images, DMOS; as published, or as a table of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.label_table import index_label_table, is_label_table, stem
from pixq.datasets.labels import LabelContract
from pixq.datasets.scores import contract_of, safe_path, text_lines
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError, one_line
from pixq.io.optional import require

__all__ = ["LIVE"]

CONTRACT = LabelContract(
    name="DMOS",
    polarity="lower-is-better",
    # 0 is a hidden reference. Realigned scores of release 2 lie between -2.64 and 111.77.
    minimum=-3.0,
    maximum=112.0,
    unit="difference mean opinion score, realigned over sessions",
    note="about 23 observers per image",
)

#: The folders of distorted images, in the order of the scores.
FOLDERS = ("jp2k", "jpeg", "wn", "gblur", "fastfading")

#: Score files and their variables; the first one that exists is read.
SCORES = {"dmos_realigned.mat": "dmos_new", "dmos.mat": "dmos"}

_LINE = re.compile(r"(\S+)\s+(img(\d{1,4})\.(?:bmp|png))\s+(\S+)", re.ASCII | re.IGNORECASE)


NEEDS = (
    "refimgs/, jp2k/, jpeg/, wn/, gblur/, fastfading/ (each with img<n>.bmp and info.txt), dmos_realigned.mat or "
    "dmos.mat, and refnames_all.mat to check against if it is there; or refs/, images/, labels.csv (columns "
    "image, reference, type, parameter, dmos)"
)


def index_live(root: Path) -> DatasetIndex:
    """Index LIVE release 2 as it was published, or, if the root holds `labels.csv`, as a table of labels.

    The copies of references among the distorted images have no score of their own, and are left out.

    Raises
    ------
    PixqError
        If the files are not laid out as in either, or a score file is wrong.
    """
    tree = Tree(root)
    if is_label_table(tree, "refimgs", NEEDS):
        return index_label_table(
            "live", CONTRACT, root, score_column="dmos", level_column="parameter", attributes=("origin", "kodak")
        )
    references, *folders = tree.require("refimgs", *FOLDERS)
    listed = [_listed(tree, folder) for folder in folders]
    scores, dmos, hidden, names = _scores(tree, sum(len(lines) for lines in listed))
    contract = contract_of(root, CONTRACT)
    if scores == "dmos.mat":
        contract = replace(contract, unit="difference mean opinion score, not realigned over sessions")
    lines, copies, start = [], [], 0
    for kind, folder, rows in zip(FOLDERS, folders, listed, strict=True):
        for line, reference, file, image, parameter in rows:
            position = start + image - 1
            if names and stem(names[position]).lower() != stem(reference).lower():
                raise PixqError(
                    f"{root / folder}/info.txt, line {line}: the reference of {file} is {reference}, but "
                    f"refnames_all.mat says {names[position]}; copy both files from the release again"
                )
            if hidden[position]:
                copies.append(f"{folder}/{file}")
                continue
            value = float(dmos[position])
            if not contract.minimum <= value <= contract.maximum:
                raise PixqError(
                    f"{root / scores}: the DMOS of {folder}/{file} is {value:g}, outside of {contract.minimum:g} to "
                    f"{contract.maximum:g}; copy the file from the release again"
                )
            lines.append(
                ScoreLine(
                    line=line,
                    image_id=f"{kind}_img{image}",
                    reference_id=stem(reference).lower(),
                    group=stem(reference).lower(),
                    reference=f"{references}/{reference}",
                    distorted=f"{folder}/{file}",
                    distortion_type=kind,
                    level=parameter,
                    score=value,
                    where=f"{folder}/info.txt, line {line}",
                )
            )
        start += len(rows)
    return assemble(
        "live", tree, contract, f"{FOLDERS[0]}/info.txt", lines, folders=(references, *folders), unscored=copies
    )


def _listed(tree: Tree, folder: str) -> list[tuple[int, str, str, int, float | None]]:
    """The lines of a folder's info.txt: line number, reference, file, number of the image, and parameter."""
    path = tree.find(f"{folder}/info.txt", by_stem=False).path
    if path is None:
        raise PixqError(f"{tree.root / folder}: no info.txt, which names the references; copy it from the release")
    return list(_parsed(tree.root / path))


def _parsed(path: Path) -> Iterator[tuple[int, str, str, int, float | None]]:
    rows = list(text_lines(path))
    seen: dict[int, int] = {}
    for line, text in rows:
        match = _LINE.fullmatch(text)
        if match is None:
            raise PixqError(f"{path}, line {line}: {text!r} is not `<reference> img<n>.bmp <parameter>`; fix the line")
        image = int(match[3])
        if not 1 <= image <= len(rows) or image in seen:
            reason = f"line {seen[image]} names it, too" if image in seen else f"there are {len(rows)} lines"
            raise PixqError(f"{path}, line {line}: image {match[2]} can't be ({reason}); copy the file again")
        seen[image] = line
        try:
            parameter = float(match[4])
        except ValueError:
            raise PixqError(f"{path}, line {line}: the parameter {match[4]!r} is not a number; fix the line") from None
        # A reference's copy has a parameter of 0.
        finite = parameter if np.isfinite(parameter) else None
        yield line, safe_path(match[1], path, line), match[2], image, finite


def _scores(tree: Tree, count: int) -> tuple[str, NDArray[np.float64], NDArray[np.bool_], list[str]]:
    """The score file, the scores, which images are copies of references, and the references' names if known."""
    there = [name for name in SCORES if tree.find(name, by_stem=False).path is not None]
    if not there:
        raise PixqError(f"{tree.root}: no {' or '.join(SCORES)}; copy the scores from the release")
    path = tree.root / str(tree.find(there[0], by_stem=False).path)
    content = _read_mat(path)
    dmos, hidden = _vector(path, content, SCORES[there[0]], count), _vector(path, content, "orgs", count)
    if not np.isfinite(dmos).all():
        raise PixqError(f"{path}: {SCORES[there[0]]} holds a number that is not finite; copy the file again")
    names: list[str] = []
    listed = tree.find("refnames_all.mat", by_stem=False).path
    if listed is not None:
        path = tree.root / listed
        names = [str(np.squeeze(cell)) for cell in _vector(path, _read_mat(path), "refnames_all", count)]
    return there[0], dmos.astype(np.float64), hidden.astype(bool), names


def _read_mat(path: Path) -> dict[str, Any]:
    loadmat = require("scipy", "scipy.io").loadmat
    try:
        content: dict[str, Any] = loadmat(path)
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or one_line(error)}; copy the file from the release again") from None
    except Exception as error:
        # SciPy raises errors of many types for a damaged file.
        raise PixqError(f"{path}: is not a MATLAB file ({one_line(error)}); copy it from the release again") from None
    return content


def _vector(path: Path, content: dict[str, Any], name: str, count: int) -> NDArray[Any]:
    if name not in content:
        raise PixqError(f"{path}: holds no variable {name}; copy the file from the release again")
    values = np.asarray(content[name]).reshape(-1)
    if len(values) != count:
        raise PixqError(
            f"{path}: {name} has {len(values)} entries, but the info.txt files list {count} images; copy the release "
            "again, with all of its folders"
        )
    if name != "refnames_all" and values.dtype.kind not in "fiub":
        raise PixqError(f"{path}: {name} does not hold numbers; copy the file from the release again")
    return values


LIVE = Adapter(
    name="live",
    title="LIVE release 2: 779 images, 5 types of distortion, DMOS",
    needs=NEEDS,
    licence="free use with copyright notice and acknowledgement of LIVE and CPS, University of Texas at Austin",
    citation=(
        "H. R. Sheikh, M. F. Sabir, A. C. Bovik. A statistical evaluation of recent full reference image quality "
        "assessment algorithms. IEEE Transactions on Image Processing 15, 3440-3451, 2006. "
        "doi:10.1109/TIP.2006.881959"
    ),
    contract=CONTRACT,
    index=index_live,
)
