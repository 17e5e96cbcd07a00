"""KADID-10k: 81 references, 25 types of distortion, five levels each."""

from __future__ import annotations

import re
from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.labels import LabelContract
from pixq.datasets.scores import contract_of, csv_rows, safe_path, score
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError

__all__ = ["KADID10K"]

TYPES = (
    "Gaussian blur",
    "lens blur",
    "motion blur",
    "color diffusion",
    "color shift",
    "color quantization",
    "color saturation 1",
    "color saturation 2",
    "JPEG2000",
    "JPEG",
    "white noise",
    "white noise in color component",
    "impulse noise",
    "multiplicative noise",
    "denoise",
    "brighten",
    "darken",
    "mean shift",
    "jitter",
    "non-eccentricity patch",
    "pixelate",
    "quantization",
    "color block",
    "high sharpen",
    "contrast change",
)

CONTRACT = LabelContract(
    name="DMOS",
    polarity="higher-is-better",
    minimum=1.0,
    maximum=5.0,
    unit="mean degradation category rating: 5 imperceptible, 1 very annoying",
    raters=30,
    note="called DMOS by its authors, but higher is better",
)

_NAME = re.compile(r"(I\d{2,3})_(\d{2})_(\d{2})(\.png|\.bmp)?", re.IGNORECASE | re.ASCII)


def index_kadid10k(root: Path) -> DatasetIndex:
    """Index a KADID-10k dataset; the column `var` is not read.

    Raises
    ------
    PixqError
        If the files are not laid out as in KADID-10k, or a line of `dmos.csv` is wrong.
    """
    tree = Tree(root)
    images, scores = tree.require("images", "dmos.csv")
    path = root / scores
    contract = contract_of(root, CONTRACT)
    lines = []
    for line, cells in csv_rows(path, ("dist_img", "ref_img", "dmos")):
        file = safe_path(cells["dist_img"], path, line)
        reference = safe_path(cells["ref_img"], path, line)
        value = score(cells["dmos"], path, line, contract)
        match = _NAME.fullmatch(file)
        if match is None:
            raise PixqError(f"{path}, line {line}: {file!r} is not named I<nn>_<type>_<level>.png; fix the line")
        reference_id = match[1].upper()
        if reference.rsplit(".", 1)[0].upper() != reference_id:
            raise PixqError(
                f"{path}, line {line}: {file!r} is a version of {match[1]}, not of {reference!r}; fix the line"
            )
        kind = int(match[2])
        lines.append(
            ScoreLine(
                line=line,
                image_id=f"{reference_id}_{match[2]}_{match[3]}",
                reference_id=reference_id,
                group=reference_id,
                reference=f"{images}/{reference}",
                distorted=f"{images}/{file}",
                distortion_type=f"{match[2]} {TYPES[kind - 1]}" if 1 <= kind <= len(TYPES) else match[2],
                level=int(match[3]),
                score=value,
            )
        )
    return assemble("kadid10k", tree, contract, scores, lines, folders=(images,))


KADID10K = Adapter(
    name="kadid10k",
    title="KADID-10k: 10,125 images, 25 types of distortion, 5 levels",
    needs="images/I<nn>.png, images/I<nn>_<type>_<level>.png, dmos.csv (columns dist_img, ref_img, dmos, var)",
    licence="no licence file; offered for research, references from Pixabay under its licence; cite the paper",
    citation=(
        "H. Lin, V. Hosu, D. Saupe. KADID-10k: A large-scale artificially distorted IQA database. "
        "QoMEX 2019. doi:10.1109/QoMEX.2019.8743252"
    ),
    contract=CONTRACT,
    index=index_kadid10k,
)
