"""From features to a score: regression of quality, or the order of Red, Orange and Green."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Members", "Ordinal", "PatchScores", "Regression"]


class PatchScores(NamedTuple):
    """The output of a model for patch pairs.

    Parameters
    ----------
    raw
        float32 (n, k): the head's output, which `PatchModel.quality` turns into quality.
    weight
        float32 (n, 1), or (n, members): the weight of each patch in an image's score, above 0.
        All 1 unless the pooling is learned.
    """

    raw: Tensor
    weight: Tensor


class Regression(nn.Module):
    """A head that predicts quality itself.

    Parameters
    ----------
    features
        The number of input features.
    link
        `identity`: the linear output is trained as it is, and clamped to [0, 1] when it is read; `sigmoid`: squeezed
        into (0, 1) in both.
    """

    def __init__(self, features: int, link: str = "identity") -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.link = link
        self.outputs = 1

    def forward(self, features: Tensor) -> Tensor:
        """(n, features) to (n, 1): before the clamp, after the sigmoid."""
        return self.linked(self.linear(features))

    def linked(self, linear: Tensor) -> Tensor:
        """The link of the linear layer's output."""
        return torch.sigmoid(linear.float()) if self.link == "sigmoid" else linear

    def score(self, raw: Tensor) -> Tensor:
        """(n, 1) to (n,): quality before it is clamped."""
        return raw[:, 0]

    def quality(self, raw: Tensor) -> Tensor:
        """(n, 1) to quality (n,), 0 to 1."""
        return self.score(raw).clamp(0.0, 1.0)

    def loss(self, raw: Tensor, quality: Tensor, error: nn.Module) -> Tensor:
        """The loss of each patch (n,): `error` between the prediction and `quality` (n,)."""
        each: Tensor = error(raw[:, 0], quality)
        return each


class Members(nn.Module):
    """The qualities of an ensemble, which its body computes: each member is trained alone, and their mean is the score.

    Parameters
    ----------
    members
        The number of members.
    """

    def __init__(self, members: int) -> None:
        super().__init__()
        self.outputs = members

    def score(self, raw: Tensor) -> Tensor:
        """(n, members) to (n,): quality before it is clamped."""
        return raw.mean(dim=1)

    def quality(self, raw: Tensor) -> Tensor:
        """(n, members) to quality (n,), 0 to 1."""
        return self.score(raw).clamp(0.0, 1.0)

    def loss(self, raw: Tensor, quality: Tensor, error: nn.Module) -> Tensor:
        """The loss of each patch (n,): the mean of the members' errors."""
        each: Tensor = error(raw, quality[:, None].expand_as(raw))
        return each.mean(dim=1)


class Ordinal(nn.Module):
    """Red < Orange < Green by a cumulative link (proportional odds, McCullagh 1980).

    One number is compared with two ordered cut points, so P(at least Orange) >= P(Green) always.

    Parameters
    ----------
    features
        The number of input features.
    cuts
        The qualities from which a patch is Orange, and Green.
    """

    cuts: Tensor

    def __init__(self, features: int, cuts: tuple[float, float]) -> None:
        super().__init__()
        self.outputs = 2
        self.linear = nn.Linear(features, 1, bias=False)
        self.first = nn.Parameter(torch.tensor([-1.0]))
        # softplus(gap) lies between the cut points, which keeps them in order.
        self.gap = nn.Parameter(torch.tensor([1.8546]))
        self.register_buffer("cuts", torch.tensor(cuts))

    def forward(self, features: Tensor) -> Tensor:
        """(n, features) to the logits (n, 2) of [at least Orange, Green]."""
        score = self.linear(features)
        second = self.first + functional.softplus(self.gap)
        return torch.cat([score - self.first, score - second], dim=1)

    def probabilities(self, raw: Tensor) -> Tensor:
        """(n, 2) to probabilities (n, 3) in the order of `pixq.classes.CLASSES`."""
        above = torch.sigmoid(raw)
        return torch.stack([1.0 - above[:, 0], above[:, 0] - above[:, 1], above[:, 1]], dim=1)

    def score(self, raw: Tensor) -> Tensor:
        """(n, 2) to (n,): the number that both cut points are compared with, up to a constant."""
        return raw.mean(dim=1)

    def quality(self, raw: Tensor) -> Tensor:
        """(n, 2) to (n,): the expected class, Red 0, Orange 0.5, Green 1."""
        return torch.sigmoid(raw).mean(dim=1)

    def loss(self, raw: Tensor, quality: Tensor, error: nn.Module) -> Tensor:
        """The loss of each patch (n,): the cross-entropy of both comparisons. `error` is not used."""
        above = (quality[:, None] >= self.cuts).to(raw.dtype)
        return functional.binary_cross_entropy_with_logits(raw, above, reduction="none").sum(dim=1)
