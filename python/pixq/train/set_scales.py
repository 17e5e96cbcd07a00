"""Training on several patch sets: what each counts, and how its labels follow from a model's quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pixq.datasets.labels import Observers
from pixq.errors import PixqError
from pixq.io.paths import text_of
from pixq.patches.joined import JoinedSets
from pixq.patches.store import PatchSet, fingerprint
from pixq.runs.recipe import Recipe

__all__ = [
    "STEEPNESS",
    "SetError",
    "SetScales",
    "check_sets",
    "describe_sets",
    "item_weights",
    "people_weights",
    "set_numbers",
]

STEEPNESS = 8.0
"""P(notices) is 1 / (1 + exp(STEEPNESS * (quality - 0.5))), so 2 % of people notice at quality 1."""

#: Kinds of labels that count people who noticed.
_COUNTED = ("rate", "pjnd")


def _contracts(patches: PatchSet) -> list[dict[str, Any]]:
    sets = patches.sets if isinstance(patches, JoinedSets) else (patches,)
    return [dict(one.manifest["label_contract"]) for one in sets]


def set_numbers(patches: PatchSet) -> NDArray[np.int64]:
    """The number of each image's set, int64 (images,); 0 if there is one set."""
    return patches.set_of_image if isinstance(patches, JoinedSets) else np.zeros(len(patches.images), dtype=np.int64)


def _scale_of(contract: dict[str, Any]) -> tuple[Any, ...]:
    return (contract.get("kind", "rating"), *(contract[key] for key in ("unit", "polarity", "minimum", "maximum")))


def _binomial(contract: dict[str, Any], recipe: Recipe) -> bool:
    return recipe.sets.rates == "binomial" and contract.get("kind", "rating") in _COUNTED


def check_sets(patches: PatchSet, recipe: Recipe) -> None:
    """Check that the recipe's `[sets]` fits the sets.

    Raises
    ------
    PixqError
        If the scales of several sets differ and the recipe doesn't say how they belong together, or a key of `[sets]`
        doesn't fit.
    """
    spec = recipe.sets
    contracts = _contracts(patches)
    if spec.rates == "binomial" and not any(_binomial(contract, recipe) for contract in contracts):
        raise PixqError(
            f"{patches.directory}: no set counts people who noticed, so sets.rates has no effect; remove it"
        )
    if recipe.model.head == "ordinal" and (spec.scale == "affine" or spec.rates == "binomial"):
        raise PixqError("an ordinal head has no scale per set; set model.head=regression, or leave out sets")
    if not isinstance(patches, JoinedSets):
        if spec.scale != "strict" or spec.weights:
            raise PixqError(f"{patches.directory}: is one patch set; sets.scale and sets.weights are for several")
        return
    if spec.weights and len(spec.weights) != len(patches.sets):
        raise PixqError(f"sets.weights has {len(spec.weights)} numbers for {len(patches.sets)} sets; give one per set")
    if spec.scale == "strict":
        for name, contract in zip(patches.names[1:], contracts[1:], strict=True):
            if _scale_of(contract) != _scale_of(contracts[0]):
                first = contracts[0]
                raise PixqError(
                    f"{name}: its scores ({contract['name']}: {contract['unit']}) are on another scale than those of "
                    f"{patches.names[0]} ({first['name']}: {first['unit']}); say how they belong together with --set "
                    "sets.scale=affine (learns a scale and a shift per set) or --set sets.scale=same"
                )


class SetScales(nn.Module):
    """How the label of each set follows from a model's quality q: exp(a) * q + b, with an a and a b per set.

    The first set's are 0, so it decides the scale of the model's output. They are learned together with the weights
    of the model, unless `sets.scale` is `same`.

    Parameters
    ----------
    sets
        The number of sets.
    binomial
        Whether a set counts people who noticed.
    learned
        Whether scales and shifts are learned.
    anchor
        The number of the set whose scale and shift stay 0.
    """

    free: Tensor
    binomial: Tensor

    def __init__(self, sets: int, binomial: list[bool], learned: bool, anchor: int = 0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(sets), requires_grad=learned)
        self.shift = nn.Parameter(torch.zeros(sets), requires_grad=learned)
        free = torch.ones(sets)
        free[anchor] = 0.0
        self.register_buffer("free", free)
        self.register_buffer("binomial", torch.tensor(binomial))
        self.counts_people = any(binomial)

    @classmethod
    def of(cls, patches: PatchSet, training: PatchSet, recipe: Recipe) -> SetScales | None:
        """The scales that a recipe asks for; `None` where the labels of all sets are the model's quality itself.

        The first set with images in `training` is the one that decides.
        """
        binomial = [_binomial(contract, recipe) for contract in _contracts(patches)]
        learned = recipe.sets.scale == "affine"
        if not learned and not any(binomial):
            return None
        anchor = int(set_numbers(patches)[training.records.image].min())
        return cls(len(binomial), binomial, learned, anchor)

    def on_scale(self, quality: Tensor, sets: Tensor) -> Tensor:
        """Quality on the scale of each item's set; `sets` (n,) are the numbers of the sets, quality is (n, ...)."""
        scale = torch.exp(self.log_scale * self.free)[sets]
        shift = (self.shift * self.free)[sets]
        shape = (-1, *(1 for _ in quality.shape[1:]))
        return quality * scale.view(shape) + shift.view(shape)

    def values(self) -> list[tuple[float, float]]:
        """Scale and shift of each set."""
        scale, shift = torch.exp(self.log_scale * self.free), self.shift * self.free
        return list(zip(scale.tolist(), shift.tolist(), strict=True))


class SetError(nn.Module):
    """The error of each prediction on the scale of its set: as `[loss]` says, or the cross-entropy of people's answers.

    The cross-entropy is that of noticing with the probability 1 / (1 + exp(8 (quality - 0.5))), quality on the scale of
    the set; how many people answered is part of the item's weight.
    """

    def __init__(self, scales: SetScales, error: nn.Module, sets: Tensor) -> None:
        super().__init__()
        self.scales, self.error, self.sets = scales, error, sets

    def forward(self, predicted: Tensor, quality: Tensor) -> Tensor:
        """(n, ...) twice to (n, ...)."""
        on_scale = self.scales.on_scale(predicted, self.sets)
        plain: Tensor = self.error(on_scale, quality)
        if not self.scales.counts_people:
            return plain
        noticed = functional.binary_cross_entropy_with_logits(
            STEEPNESS * (on_scale - 0.5), quality.clamp(0.0, 1.0), reduction="none"
        )
        binomial = self.scales.binomial[self.sets].view(-1, *(1 for _ in predicted.shape[1:]))
        return torch.where(binomial, noticed, plain)


def people_weights(patches: PatchSet, recipe: Recipe) -> NDArray[np.float64]:
    """The weight of each image by its number of people, float64 (images,); 1 where they don't count."""
    sets = set_numbers(patches)
    people = np.ones(len(patches.images))
    for number, contract in enumerate(_contracts(patches)):
        if not _binomial(contract, recipe):
            continue
        images = np.flatnonzero(sets == number)
        for image in images.tolist():
            line = patches.images[image]
            known = line.get("observers")
            if known is not None:
                ends = known.get("pjnd_range")
                observers = Observers(
                    known.get("raters"), known.get("noticed"), None if ends is None else (ends[0], ends[1])
                )
                people[image] = observers.counts(line["level"])[0]
        mean = people[images].mean() if len(images) else 0.0
        people[images] = people[images] / mean if mean > 0.0 else 0.0
    return people


def item_weights(part: PatchSet, recipe: Recipe) -> NDArray[np.float64] | None:
    """The weight in the loss of an item of each image, float64 (images,); `None` where all are 1.

    Their mean over the items of an epoch is 1. With `sets.weights`, all items of a set together count what its weight
    says.
    """
    weights: NDArray[np.float64] = people_weights(part, recipe)
    if isinstance(part, JoinedSets) and recipe.sets.weights:
        items = _items_of_epoch(part, recipe) * weights
        totals = np.bincount(part.set_of_image, weights=items, minlength=len(part.sets))
        shares = np.array(recipe.sets.weights)
        factor: NDArray[np.float64] = np.divide(shares, totals, out=np.zeros(len(shares)), where=totals > 0.0)
        weights = weights * factor[part.set_of_image]
    if np.ptp(weights) == 0.0 and len(weights) and weights[0] == 1.0:
        return None
    items = _items_of_epoch(part, recipe)
    total = float((items * weights).sum())
    if total <= 0.0:
        raise PixqError(f"{part.directory}: nothing that training could use has a weight above 0; change sets.weights")
    return weights * (float(items.sum()) / total)


def _items_of_epoch(part: PatchSet, recipe: Recipe) -> NDArray[np.float64]:
    """How many items an epoch has of each image, float64 (images,)."""
    counts: NDArray[np.float64] = np.bincount(part.records.image, minlength=len(part.images)).astype(np.float64)
    if recipe.train.unit == "images":
        counts = np.where(counts > 0, float(recipe.train.visits), 0.0)
    elif recipe.train.patches:
        counts = np.minimum(counts, float(recipe.train.patches))
    return counts


def describe_sets(patches: JoinedSets, recipe: Recipe) -> list[dict[str, Any]]:
    """The sets for `run.json`: each with its name, directory, fingerprint, source, label, weight and loss."""
    weights: Sequence[float | None] = recipe.sets.weights or [None] * len(patches.sets)
    return [
        {
            "name": name,
            "directory": text_of(one.directory),
            "fingerprint": fingerprint(one),
            "dataset": one.manifest["dataset"],
            "label_contract": one.manifest["label_contract"],
            "weight": weight,
            "loss": "binomial" if _binomial(contract, recipe) else "error",
        }
        for name, one, contract, weight in zip(patches.names, patches.sets, _contracts(patches), weights, strict=True)
    ]
