"""Models that score patch pairs, and the registry of them.

To add a model, write a module with its body and add an entry to `MODELS`.

Importing this package does not import PyTorch; `build` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from pixq.errors import PixqError
from pixq.io.optional import require

if TYPE_CHECKING:
    from torch import nn

    from pixq.models.base import PatchModel
    from pixq.models.spec import ModelSpec

__all__ = ["MODELS", "ModelEntry", "build", "parameters"]


@dataclass(frozen=True)
class ModelEntry:
    """A model of the registry.

    Parameters
    ----------
    body
        Module and class of its body: nine channels (n, 9, height, width) in, features (n, `features`) out.
    what
        One line that helps to choose.
    smallest
        Rows and columns of the smallest patch it takes.
    multiple
        Rows and columns must be multiples of this.
    options
        The keys of a recipe's `[model]` that only this model, or some models, use.
    """

    body: str
    what: str
    smallest: int
    multiple: int = 1
    options: tuple[str, ...] = ("norm",)


MODELS: dict[str, ModelEntry] = {
    "tiny": ModelEntry("pixq.models.tiny:Tiny", "TinyPatchRegressor of the Jianjin008 report", 5),
    "residual": ModelEntry("pixq.models.residual:Residual", "residual blocks at two scales", 4),
    "inception": ModelEntry("pixq.models.inception:Inception", "parallel 1x1, 3x3 and 5x5 convolutions", 4),
    "dual": ModelEntry("pixq.models.dual:Dual", "separate branches for reference, distorted and difference", 4),
    "monotone": ModelEntry(
        "pixq.models.monotone:Monotone", "scores that can only fall as a distance grows", 4, 4, ("members", "dropout")
    ),
    "visibility": ModelEntry(
        "pixq.models.monotone:Monotone",
        "visibility in JND, which is measured, not trained; quality as monotone, which is",
        4,
        4,
        ("members", "dropout"),
    ),
    "pretrained": ModelEntry(
        "pixq.models.pretrained:Pretrained", "features of a frozen backbone from timm", 8, 1, ("backbone", "weights")
    ),
}


def build(spec: ModelSpec) -> PatchModel:
    """The model that `spec` describes, with weights drawn from PyTorch's global generator.

    Raises
    ------
    PixqError
        If no model has that name, PyTorch is missing, or the weights of a backbone are missing.

    Examples
    --------
    >>> from pixq.runs.recipe import ModelSpec
    >>> model = build(ModelSpec(name="tiny", norm="none"))
    >>> parameters(model)
    4321
    """
    base = require("torch", "pixq.models.base")
    entry = MODELS.get(spec.name)
    if entry is None:
        raise PixqError(f"unknown model {spec.name!r}; choose {', '.join(MODELS)}")
    module, _, name = entry.body.partition(":")
    body = getattr(import_module(module), name)(spec)
    model: PatchModel = base.PatchModel(spec, body)
    return model


def parameters(module: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
