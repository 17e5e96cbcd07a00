"""Convolutions of several sizes side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pixq.models.blocks import convolution
from pixq.models.spec import ModelSpec

__all__ = ["Inception"]


class Mixed(nn.Module):
    """1x1, 3x3, two 3x3 (which see 5x5) and a pooled 1x1, a quarter of the channels each (Szegedy et al. 2016)."""

    def __init__(self, spec: ModelSpec, inputs: int, outputs: int) -> None:
        super().__init__()
        each = outputs // 4
        self.one = convolution(spec, inputs, each, 1)
        self.three = nn.Sequential(convolution(spec, inputs, each, 1), convolution(spec, each, each, 3))
        self.five = nn.Sequential(
            convolution(spec, inputs, each, 1), convolution(spec, each, each, 3), convolution(spec, each, each, 3)
        )
        self.pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), convolution(spec, inputs, each, 1))

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([branch(features) for branch in (self.one, self.three, self.five, self.pooled)], dim=1)


class Inception(nn.Module):
    """Two mixed blocks at the patch's scale, one at half of it; mean and maximum of each feature."""

    features = 192

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(spec, 9, 32, 3),
            Mixed(spec, 32, 64),
            Mixed(spec, 64, 64),
            nn.AvgPool2d(2),
            Mixed(spec, 64, 96),
        )

    def forward(self, channels: Tensor) -> Tensor:
        """(n, 9, height, width) to features (n, 192)."""
        maps = self.layers(channels)
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
