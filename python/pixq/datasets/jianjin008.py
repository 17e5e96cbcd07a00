"""Jianjin008: just noticeable differences of TID and KADID images, found by a flicker test."""

from __future__ import annotations

import re
from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.labels import LabelContract, Polarity
from pixq.datasets.scores import contract_of, safe_path, score, text_lines
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError

__all__ = ["JIANJIN008"]

CONTRACT = LabelContract(
    name="MOS",
    polarity="higher-is-better",
    minimum=0.0,
    maximum=1.0,
    unit="mean opinion score of a flicker test",
    raters=30,
    note="polarity undocumented upstream; set with --polarity",
)

# Two digits are published for I01 to I99, three for I100 to I106.
_NAME = re.compile(r"(I\d{2,3})_(\d{2})_(\d{1,2})(\.png|\.bmp)?", re.IGNORECASE | re.ASCII)


def index_jianjin008(root: Path, *, polarity: Polarity | None = None) -> DatasetIndex:
    """Index a Jianjin008 dataset.

    `polarity` says whether a higher score is a better image; upstream doesn't. Distortion types are the two digits of
    the file name alone: the images come from datasets that number their types differently.

    Raises
    ------
    PixqError
        If the files are not laid out as in Jianjin008, or a line of `mos.txt` is wrong.
    """
    tree = Tree(root)
    references, distorted, scores = tree.require("ref_img", "jnd_img", "mos.txt")
    path = root / scores
    contract = contract_of(root, CONTRACT, path, polarity)
    lines = []
    for line, text in text_lines(path):
        parts = text.rsplit(maxsplit=1)
        if len(parts) != 2:
            raise PixqError(f"{path}, line {line}: {text!r} is not `<file name> <score>`; fix the line")
        file, value = safe_path(parts[0], path, line), score(parts[1], path, line, contract)
        match = _NAME.fullmatch(file)
        if match is None:
            raise PixqError(f"{path}, line {line}: {file!r} is not named I<nn>_<type>_<level>.png; fix the line")
        reference_id = match[1].upper()
        level = int(match[3])
        lines.append(
            ScoreLine(
                line=line,
                image_id=f"{reference_id}_{match[2]}_{level:02d}",
                reference_id=reference_id,
                group=reference_id,
                reference=f"{references}/{reference_id}",
                distorted=f"{distorted}/{file}",
                distortion_type=match[2],
                level=level,
                score=value,
            )
        )
    return assemble("jianjin008", tree, contract, scores, lines, folders=(references, distorted))


JIANJIN008 = Adapter(
    name="jianjin008",
    title="Jianjin008: 1,642 images at the edge of what people notice, 25 types of distortion",
    needs=(
        "ref_img/I<nn>.png or .bmp, jnd_img/I<nn>_<type>_<level>.png or .bmp, mos.txt (lines `<file name> <score>`); "
        'labels.json ({"synthetic": true, "note": "..."}) where no person gave the scores'
    ),
    licence="no licence file; offered for research, images from TID and KADID-10k under their terms; cite the paper",
    citation=(
        "Y. Liu, J. Jin, Y. Xue, W. Lin. The first comprehensive dataset with multiple distortion types for visual "
        "just-noticeable differences. ICIP 2023. arXiv:2303.02562"
    ),
    contract=CONTRACT,
    index=index_jianjin008,
    default_fusions=("copy", "blend"),
    bucketed=True,
    options={"polarity": "higher-is-better (the default) or lower-is-better"},
)
