"""TinyPatchRegressor, the model of the Jianjin008 report."""

from __future__ import annotations

from torch import Tensor, nn

from pixq.train.recipe import ModelSpec

__all__ = ["Tiny"]


class Tiny(nn.Module):
    """3x3 convolution to 32, 1x1 to 16, 3x3 to 8, global average.

    With the head's linear layer these are 4,417 weights, 4,321 without normalisation, as in the notebooks.
    Nothing is padded: every feature is of real pixels.
    """

    features = 8

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()

        def norm(channels: int, groups: int) -> nn.Module:
            return nn.GroupNorm(groups, channels) if spec.norm == "group" else nn.Identity()

        self.layers = nn.Sequential(
            nn.Conv2d(9, 32, 3),
            norm(32, 8),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 16, 1),
            norm(16, 4),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 8, 3),
            nn.ReLU(inplace=True),
        )

    def forward(self, channels: Tensor) -> Tensor:
        """(n, 9, height, width), at least 5x5, to features (n, 8)."""
        features: Tensor = self.layers(channels).mean(dim=(2, 3))
        return features
