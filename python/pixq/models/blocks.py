"""Building blocks that several models share."""

from __future__ import annotations

from torch import Tensor, nn

from pixq.models.spec import ModelSpec

__all__ = ["ResidualBlock", "convolution"]


def convolution(spec: ModelSpec, inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size, normalisation if the recipe has one, ReLU; 8 groups in each norm."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)]
    if spec.norm == "group":
        layers.append(nn.GroupNorm(8, outputs))
    layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to the input (He et al. 2016)."""

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__()
        self.first = convolution(spec, channels, channels, 3)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(8, channels) if spec.norm == "group" else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, height, width) to the same."""
        return nn.functional.relu(features + self.norm(self.second(self.first(features))))
