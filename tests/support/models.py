"""Models and patch pairs for tests of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pixq.models import build
from pixq.models.base import PatchModel
from pixq.models.spec import ModelSpec


def pairs(n: int = 6, size: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    both = torch.randint(0, 256, (2, n, size, size, 3), dtype=torch.uint8, generator=generator)
    return both[0], both[1]


def make(**spec: Any) -> PatchModel:
    torch.manual_seed(0)
    return build(ModelSpec(**spec))


def scores_and_weights(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator), torch.rand(shape, generator=generator) + 0.01
