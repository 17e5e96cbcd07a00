"""Checks of the arrays that calibration and evaluation work on: scores, classes, and values from 0 to 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.classes import CLASSES, NAMES
from pixq.errors import PixqError

__all__ = ["check_classes", "check_scores", "check_shares"]


def check_scores(scores: NDArray[np.floating]) -> None:
    """Raise a `PixqError` unless every score is finite."""
    if not np.isfinite(scores).all():
        raise PixqError("a score is infinite or not a number; give identical patches the best finite score")


def check_classes(classes: NDArray[Any], name: str = "truth") -> None:
    """Raise a `PixqError` that names the array unless it holds the numbers of classes; it may be empty."""
    last = len(CLASSES) - 1
    if len(classes) and (classes.dtype.kind not in "iu" or not ((classes >= 0) & (classes <= last)).all()):
        raise PixqError(f"{name} must hold classes from 0 to {last}: {', '.join(NAMES)}")


def check_shares(values: NDArray[np.floating], name: str) -> None:
    """Raise a `PixqError` that names the array unless all its values are from 0 to 1."""
    if not ((values >= 0.0) & (values <= 1.0)).all():
        raise PixqError(f"{name} has a value that is not between 0 and 1")
