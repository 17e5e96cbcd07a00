"""CSIQ: 30 references, 866 images of six distortions, with DMOS."""

from __future__ import annotations

from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.labels import LabelContract
from pixq.datasets.scores import contract_of, csv_rows, number, safe_path, score
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError

__all__ = ["CSIQ"]

CONTRACT = LabelContract(
    name="DMOS",
    polarity="lower-is-better",
    minimum=0.0,
    maximum=1.0,
    unit="difference mean opinion score: 0 best",
    raters=35,
)

#: The table, saved as CSV.
SCORES = "csiq.DMOS.csv"

#: Folder and part of the file name, by what the table calls the type, in lower case.
TYPES = {
    "noise": ("awgn", "AWGN"),
    "awgn": ("awgn", "AWGN"),
    "jpeg": ("jpeg", "JPEG"),
    "jpeg 2000": ("jpeg2000", "jpeg2000"),
    "jpeg2000": ("jpeg2000", "jpeg2000"),
    "fnoise": ("fnoise", "fnoise"),
    "blur": ("blur", "BLUR"),
    "contrast": ("contrast", "contrast"),
}


def index_csiq(root: Path) -> DatasetIndex:
    """Index CSIQ.

    Raises
    ------
    PixqError
        If something is missing or malformed.
    """
    tree = Tree(root)
    references, distorted, scores = tree.require("src_imgs", "dst_imgs", SCORES)
    path = root / scores
    contract = contract_of(root, CONTRACT)
    lines = []
    for line, cells in csv_rows(path, ("image", "type", "level", "dmos")):
        kind = cells["type"].lower()
        if kind not in TYPES:
            raise PixqError(f"{path}, line {line}: unknown type {cells['type']!r}; choose {', '.join(TYPES)}")
        folder, part = TYPES[kind]
        image = safe_path(cells["image"], path, line)
        level = number(cells["level"], path, line, "level")
        if level != int(level) or level < 1:
            raise PixqError(f"{path}, line {line}: the level {cells['level']!r} is not a whole number from 1 on")
        name = f"{image}.{part}.{int(level)}"
        lines.append(
            ScoreLine(
                line=line,
                image_id=name,
                reference_id=image,
                group=image,
                reference=f"{references}/{image}.png",
                distorted=f"{distorted}/{folder}/{name}.png",
                distortion_type=part,
                level=level,
                score=score(cells["dmos"], path, line, contract),
            )
        )
    folders = (references, *sorted({line.distorted.rpartition("/")[0] for line in lines}))
    return assemble("csiq", tree, contract, scores, lines, folders=folders)


CSIQ = Adapter(
    name="csiq",
    title="CSIQ: 866 images, 6 types of distortion, rated by 35 people",
    needs="src_imgs/, dst_imgs/<type>/, csiq.DMOS.csv (the published table saved as CSV: image, type, level, dmos)",
    licence="no licence file; its page offers it for research; cite it",
    citation=(
        "E. C. Larson, D. M. Chandler. Most apparent distortion: full-reference image quality assessment and the role "
        "of strategy. Journal of Electronic Imaging 19, 011006, 2010. doi:10.1117/1.3267105"
    ),
    contract=CONTRACT,
    index=index_csiq,
)
