"""Residual blocks at two scales."""

from __future__ import annotations

from torch import Tensor, nn

from pixq.models.blocks import ResidualBlock, convolution
from pixq.models.spec import ModelSpec

__all__ = ["Residual"]


class Residual(nn.Module):
    """32 channels at the patch's scale, 64 at half of it, two residual blocks each; 206,849 weights with a head."""

    features = 64

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            convolution(spec, 9, 32, 3),
            ResidualBlock(spec, 32),
            ResidualBlock(spec, 32),
            convolution(spec, 32, 64, 3, stride=2),
            ResidualBlock(spec, 64),
            ResidualBlock(spec, 64),
        )

    def forward(self, channels: Tensor) -> Tensor:
        """(n, 9, height, width) to features (n, 64)."""
        features: Tensor = self.layers(channels).mean(dim=(2, 3))
        return features
