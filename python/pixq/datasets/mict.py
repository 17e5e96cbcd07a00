"""MICT (Toyama): 14 references, 168 images of JPEG and JPEG 2000 with MOS."""

from __future__ import annotations

import re
from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.label_table import index_label_table, is_label_table
from pixq.datasets.labels import LabelContract
from pixq.datasets.scores import contract_of, csv_rows, safe_path, score
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError

__all__ = ["MICT"]

CONTRACT = LabelContract(
    name="MOS",
    polarity="higher-is-better",
    minimum=1.0,
    maximum=5.0,
    unit="mean opinion score: 5 excellent, 1 bad",
    raters=16,
)

#: The list of images with scores in which the dataset is passed on.
LIST = "Toyama.txt"

_NAME = re.compile(r"(kp\d{2})_(\d{1,3})_(jpg|jp2)\.(?:bmp|png)", re.ASCII | re.IGNORECASE)
_TYPES = {"jpg": "JPEG", "jp2": "JPEG 2000"}


NEEDS = (
    "ref_imgs/kp<nn>.bmp, jpeg/, jpeg2000/, Toyama.txt (columns dis_img_path, dis_type, ref_img_path, score); or "
    "refs/, images/, labels.csv (columns image, reference, type, parameter, mos)"
)


def index_mict(root: Path) -> DatasetIndex:
    """Index MICT with its list of images, or, if the root holds `labels.csv`, as a table of labels.

    Images that the list calls `Reference` are copies of references, and are left out.

    Raises
    ------
    PixqError
        If the files are not laid out as in either, or a line is wrong.
    """
    tree = Tree(root)
    if is_label_table(tree, "ref_imgs", NEEDS):
        return index_label_table(
            "mict", CONTRACT, root, score_column="mos", level_column="parameter", attributes=("kodak",)
        )
    *folders, scores = tree.require("ref_imgs", "jpeg", "jpeg2000", LIST)
    path = root / scores
    contract = contract_of(root, CONTRACT)
    lines, copies = [], []
    for line, cells in csv_rows(path, ("dis_img_path", "dis_type", "ref_img_path", "score")):
        # The list names files from the folder above.
        distorted, reference = (
            safe_path(cells[key].removeprefix("Toyama/"), path, line, folders=True)
            for key in ("dis_img_path", "ref_img_path")
        )
        value = score(cells["score"], path, line, contract)
        if cells["dis_type"].lower() == "reference":
            copies.append(distorted)
            continue
        match = _NAME.fullmatch(distorted.rpartition("/")[2])
        if match is None:
            raise PixqError(
                f"{path}, line {line}: {distorted!r} is not named kp<nn>_<level>_jpg.bmp or _jp2.bmp; fix the line"
            )
        if reference.rpartition("/")[2].rpartition(".")[0].lower() != match[1].lower():
            raise PixqError(f"{path}, line {line}: {distorted!r} is a version of {match[1]}, not of {reference!r}")
        kind = match[3].lower()
        lines.append(
            ScoreLine(
                line=line,
                image_id=f"{match[1].lower()}_{match[2]}_{kind}",
                reference_id=match[1].lower(),
                group=match[1].lower(),
                reference=reference,
                distorted=distorted,
                distortion_type=_TYPES[kind],
                level=float(match[2]),
                score=value,
            )
        )
    return assemble("mict", tree, contract, scores, lines, folders=folders, unscored=copies)


MICT = Adapter(
    name="mict",
    title="MICT (Toyama): 168 images, JPEG and JPEG 2000, rated by 16 people",
    needs=NEEDS,
    licence="no licence file; its page offers it for research; cite it",
    citation=(
        "Y. Horita, K. Shibata, Y. Kawayoke, Z. M. Parvez Sazzad. MICT image quality evaluation database. "
        "University of Toyama, 2008"
    ),
    contract=CONTRACT,
    index=index_mict,
)
