"""How patch scores become an image's score, as the run's recipe says."""

from __future__ import annotations

import torch
from torch import Tensor

from pixq.models.spec import ModelSpec

__all__ = ["pool", "pool_by"]


def pool(spec: ModelSpec, quality: Tensor, weight: Tensor) -> Tensor:
    """The score of each image from its patches.

    Parameters
    ----------
    spec
        `spec.pooling`: `mean`; `percentile`, the `spec.percentile`-th of the patches, between the two nearest;
        `learned`, the mean weighted by the model's weight of each patch.
    quality, weight
        (images, patches), as a model's `quality` and the mean of `PatchScores.weight`.

    Examples
    --------
    >>> quality = torch.tensor([[0.2, 0.4, 0.9]])
    >>> round(pool(ModelSpec(pooling="percentile", percentile=50), quality, torch.ones(1, 3)).item(), 3)
    0.4
    """
    if spec.pooling == "percentile":
        return torch.quantile(quality, spec.percentile / 100.0, dim=1)
    if spec.pooling == "learned":
        return (quality * weight).sum(dim=1) / weight.sum(dim=1)
    return quality.mean(dim=1)


def pool_by(spec: ModelSpec, image: Tensor, quality: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The images' numbers in `image` (n,), in order, and the score of each from its patches (n,).

    Images may have different numbers of patches.
    """
    order = torch.argsort(image, stable=True)
    images, counts = torch.unique_consecutive(image[order], return_counts=True)
    sizes = counts.tolist()
    parts = zip(torch.split(quality[order], sizes), torch.split(weight[order], sizes), strict=True)
    return images, torch.cat([pool(spec, scores[None], weights[None]) for scores, weights in parts])
