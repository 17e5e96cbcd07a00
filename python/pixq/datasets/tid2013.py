"""TID2013: 25 references, 24 types of distortion, five levels each."""

from __future__ import annotations

from functools import partial

from pixq.datasets.base import Adapter
from pixq.datasets.labels import LabelContract
from pixq.datasets.tid import NEEDS, index_tid

__all__ = ["TID2013"]

TYPES = (
    "additive Gaussian noise",
    "additive noise in color components",
    "spatially correlated noise",
    "masked noise",
    "high frequency noise",
    "impulse noise",
    "quantization noise",
    "Gaussian blur",
    "image denoising",
    "JPEG compression",
    "JPEG2000 compression",
    "JPEG transmission errors",
    "JPEG2000 transmission errors",
    "non eccentricity pattern noise",
    "local block-wise distortions of different intensity",
    "mean shift (intensity shift)",
    "contrast change",
    "change of color saturation",
    "multiplicative Gaussian noise",
    "comfort noise",
    "lossy compression of noisy images",
    "image color quantization with dither",
    "chromatic aberrations",
    "sparse sampling and reconstruction",
)

CONTRACT = LabelContract(
    name="MOS",
    polarity="higher-is-better",
    minimum=0.0,
    maximum=9.0,
    unit="mean opinion score: wins in nine comparisons",
    note="971 observers in all, in five countries",
)

TID2013 = Adapter(
    name="tid2013",
    title="TID2013: 3,000 images, 24 types of distortion, 5 levels",
    needs=NEEDS,
    licence="no licence file; its readme offers it for education and research; cite the paper",
    citation=(
        "N. Ponomarenko, L. Jin, O. Ieremeiev, V. Lukin, K. Egiazarian, J. Astola, B. Vozel, K. Chehdi, M. Carli, "
        "F. Battisti, C.-C. J. Kuo. Image database TID2013: Peculiarities, results and perspectives. "
        "Signal Processing: Image Communication 30, 57-77, 2015. doi:10.1016/j.image.2014.10.009"
    ),
    contract=CONTRACT,
    index=partial(index_tid, "tid2013", CONTRACT, TYPES, 5),
)
