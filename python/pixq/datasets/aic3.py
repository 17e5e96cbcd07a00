"""JPEG AIC-3: crops of five sources, six codecs at ten levels, with scores in JND."""

from __future__ import annotations

from pathlib import Path

from pixq.datasets.base import Adapter, DatasetIndex
from pixq.datasets.label_table import stem
from pixq.datasets.labels import LabelContract
from pixq.datasets.scores import contract_of, csv_rows, number, safe_path, score
from pixq.datasets.tree import ScoreLine, Tree, assemble
from pixq.errors import PixqError

__all__ = ["AIC3"]

CONTRACT = LabelContract(
    name="distortion",
    polarity="lower-is-better",
    minimum=-1.0,
    maximum=6.0,
    unit="JND, reconstructed from triplet comparisons; about 0 where nobody tells the image from its source",
)

SCORES = "JPEG_AIC_reconstructed_jnd_scores.csv"


def index_aic3(root: Path) -> DatasetIndex:
    """Index the JPEG AIC-3 sample: the crops that people judged.

    Raises
    ------
    PixqError
        If something is missing or malformed.
    """
    tree = Tree(root)
    crops, scores = tree.require("PTC_images", SCORES)
    path = root / scores
    contract = contract_of(root, CONTRACT)
    lines = []
    columns = ("img_num", "codec", "dlevel", "img_source", "img_distorted", "distortion")
    for line, cells in csv_rows(path, columns):
        source, image = (safe_path(cells[key], path, line) for key in ("img_source", "img_distorted"))
        if source == image:
            # A source as its own level 0.
            continue
        if not cells["codec"]:
            raise PixqError(f"{path}, line {line}: the codec is empty; name it")
        lines.append(
            ScoreLine(
                line=line,
                image_id=stem(image),
                reference_id=stem(source),
                group=stem(source),
                reference=f"{crops}/{source}",
                distorted=f"{crops}/{image}",
                distortion_type=cells["codec"],
                level=number(cells["dlevel"], path, line, "dlevel"),
                score=score(cells["distortion"], path, line, contract),
            )
        )
    return assemble("aic3", tree, contract, scores, lines, folders=(crops,))


AIC3 = Adapter(
    name="aic3",
    title="JPEG AIC-3: crops of 5 sources, 6 codecs at 10 levels, on a scale of JND",
    needs=(
        "PTC_images/, JPEG_AIC_reconstructed_jnd_scores.csv (columns img_num, codec, dlevel, img_source, "
        "img_distorted, distortion)"
    ),
    licence="CC BY 4.0 is stated for the answers",
    citation=(
        "M. Testolina, M. Jenadeleh, S. Mohammadi, S. Su, J. Ascenso, T. Ebrahimi, J. Sneyers, D. Saupe. Fine-grained "
        "subjective visual quality assessment for high-fidelity compressed images. Data Compression Conference, 2025"
    ),
    contract=CONTRACT,
    index=index_aic3,
)
