"""Separate branches for reference, distorted and difference."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixq.models.blocks import ResidualBlock, convolution
from pixq.models.spec import ModelSpec

__all__ = ["Dual"]


class Dual(nn.Module):
    """A branch that reference and distorted share, one for their difference, and both joined.

    The shared branch gives features of the two in the same terms, so what was lost is their difference.
    """

    features = 64

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.image = nn.Sequential(convolution(spec, 3, 32, 3), convolution(spec, 32, 32, 3))
        self.difference = nn.Sequential(convolution(spec, 3, 32, 3), convolution(spec, 32, 32, 3))
        self.joined = nn.Sequential(
            convolution(spec, 96, 64, 3, stride=2), ResidualBlock(spec, 64), ResidualBlock(spec, 64)
        )

    def forward(self, channels: Tensor) -> Tensor:
        """(n, 9, height, width) to features (n, 64)."""
        reference = self.image(channels[:, 0:3])
        distorted = self.image(channels[:, 3:6])
        difference = self.difference(channels[:, 6:9])
        joined = torch.cat([reference, reference - distorted, difference], dim=1)
        features: Tensor = self.joined(joined).mean(dim=(2, 3))
        return features
