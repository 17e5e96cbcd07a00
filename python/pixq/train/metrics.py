"""How well predictions agree with people, in the usual numbers of the field."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pixq.io.optional import require

__all__ = ["agreement", "finite", "mean_agreement", "plcc", "srcc"]


def srcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where either is constant or has under two values.

    Examples
    --------
    >>> srcc([0.1, 0.2, 0.9], [1, 2, 3])
    1.0
    """
    stats = require("scipy", "scipy.stats")
    return plcc(stats.rankdata(predicted), stats.rankdata(truth))


def plcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Pearson's correlation; NaN where either is constant or has under two values."""
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    # A constant less its mean need not be 0: the mean is rounded.
    if len(x) < 2 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0.0 else math.nan


def agreement(predicted: ArrayLike, truth: ArrayLike) -> dict[str, float | None]:
    """MSE, MAE, SRCC and PLCC of predicted against true quality, both (n,); `None` for what is not a number."""
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    error = x - y
    return {
        "mse": finite(float(np.mean(error**2))),
        "mae": finite(float(np.mean(np.abs(error)))),
        "srcc": finite(srcc(x, y)),
        "plcc": finite(plcc(x, y)),
    }


def mean_agreement(parts: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """The mean of each number over several sets, whose scales may differ; sets without the number don't count.

    Examples
    --------
    >>> mean_agreement([{"srcc": 0.5}, {"srcc": 1.0}, {"srcc": None}])
    {'srcc': 0.75}
    """
    names = parts[0].keys() if parts else ()
    known = {name: [part[name] for part in parts if part[name] is not None] for name in names}
    return {name: float(np.mean(np.array(values))) if values else None for name, values in known.items()}


def finite(value: float) -> float | None:
    """The value, or `None` for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None
