"""An image pair, files of it, and what tests of predictions compare."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixq.decisions.pjnd_cuts import PjndCuts
from pixq.scoring.scorer import Scorer
from support import trees

Bytes = NDArray[np.uint8]
SIZE = (67, 91)
REFERENCE = trees.photo(3, SIZE)
DISTORTED = trees.distorted(REFERENCE, 1, 3)


def same(a: Any, b: Any) -> None:
    for name in ("score", "quality", "classes", "identical"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.grid, a.pooled, a.cuts, a.calibration) == (b.grid, b.pooled, b.cuts, b.calibration)


def names(folder: Path, *some: str) -> Path:
    for name in some:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def corrupt(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pjnd_cuts(scorer: Scorer, green: float) -> PjndCuts:
    return PjndCuts(
        pixq="1", blake3=scorer.blake3, share=0.05, stride=10, orange=green, green=green, low=green, high=green,
        within=1.0, sources={},
    )  # fmt: skip
