"""`[model]` of a recipe: the network, its head, and how patch scores become an image's."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Cell", "ModelSpec", "RecipeTable", "Unit"]

#: What `balance` counts.
Cell = Literal["quality", "distortion"]

#: What one item of a batch is.
Unit = Literal["patches", "images"]


class RecipeTable(BaseModel):
    """A table of a recipe: every key has a default, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class ModelSpec(RecipeTable):
    """`[model]`: the network, its head, and how patch scores become an image's.

    Parameters
    ----------
    name
        A name of `pixq.models.MODELS`.
    norm
        `group` for GroupNorm, or `none`.
    head
        `regression` of quality, or `ordinal`: the order of Red, Orange and Green.
    link
        The function applied to a regression's output: `identity` or `sigmoid`.
    cuts
        For `ordinal`, the qualities from which a patch is Orange, and Green.
    pooling
        `mean`, `percentile`, or `learned`, which needs `train.unit = "images"`.
    percentile
        For `percentile`: 0 is the worst patch, 100 the best.
    members, dropout
        For `monotone` and `visibility`: the number of nets, and the share of an image's distances that training hides
        at a time.
    backbone, weights
        For `pretrained`: a timm backbone, and a safetensors file with its weights; if empty, timm downloads them.
    """

    name: str = "tiny"
    norm: Literal["group", "none"] = "group"
    head: Literal["regression", "ordinal"] = "regression"
    link: Literal["identity", "sigmoid"] = "identity"
    cuts: tuple[float, float] = Field(default=(0.33, 0.66), strict=False)
    pooling: Literal["mean", "percentile", "learned"] = "mean"
    percentile: float = Field(default=25.0, ge=0.0, le=100.0)
    members: int = Field(default=8, ge=1, le=1024)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    backbone: str = "mobilenetv3_small_100"
    weights: str = ""

    @property
    def scores_visibility(self) -> bool:
        """Whether the score of a patch is minus its JND, and not what the network was trained on."""
        return self.name == "visibility"
