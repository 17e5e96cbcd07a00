"""Pool the scores of patches into an image's score, without PyTorch but as `pixq.models.pooling` does in training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixq.models.spec import ModelSpec

__all__ = ["pool", "pool_by"]


def pool(spec: ModelSpec, score: NDArray[np.floating], weight: NDArray[np.floating]) -> float:
    """The score of one image from its patches' scores and weights, (n,) each; computed in float64.

    Raises
    ------
    ValueError
        If there is no patch.

    Examples
    --------
    >>> pool(ModelSpec(pooling="learned"), np.array([0.5, 1.0]), np.array([3.0, 1.0]))
    0.625
    """
    if not len(score):
        raise ValueError("there is no patch to pool into an image's score")
    values = score.astype(np.float64)
    if spec.pooling == "percentile":
        return float(np.percentile(values, spec.percentile))
    if spec.pooling == "learned":
        return float(np.average(values, weights=weight.astype(np.float64)))
    return float(values.mean())


def pool_by(
    spec: ModelSpec, image: NDArray[np.int64], score: NDArray[np.floating], weight: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The score of each image, float64 (m,), by rising image number; `image` (n,) gives the number of each patch."""
    order = np.argsort(image, kind="stable")
    starts = np.unique(image[order], return_index=True)[1][1:]
    parts = zip(np.split(score[order], starts), np.split(weight[order], starts), strict=True)
    return np.array([pool(spec, scores, weights) for scores, weights in parts if len(scores)])
