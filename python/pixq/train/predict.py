"""Predictions of a model for the records of a pool, for validation and for the files of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pixq.models.base import CHUNK, PatchModel
from pixq.models.heads import PatchScores
from pixq.models.pooling import pool_by
from pixq.patches.joined import JoinedSets
from pixq.patches.store import PatchSet, image_spans
from pixq.runs.recipe import Recipe
from pixq.train.data import Pool
from pixq.train.metrics import agreement, finite, mean_agreement
from pixq.train.sampling import validation_rows
from pixq.train.set_scales import SetError, SetScales, people_weights, set_numbers
from pixq.train.step import Error, error_of

__all__ = ["Predictions", "predict", "validate"]


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for records, beside their quality.

    Parameters
    ----------
    row
        int64 (n,): numbers of the records in the patch set.
    image
        int64 (n,): numbers of their images in `PatchSet.images`.
    quality
        float64 (n,): their quality.
    predicted
        float32 (n,): their predicted quality, 0 to 1.
    raw
        float32 (n, k): as in `PatchScores`.
    weight
        float32 (n,): the weight of each patch in its image's score.
    images, image_quality, image_predicted
        Numbers of the images (m,), the mean quality of their records, and their predicted score.
    """

    row: NDArray[np.int64]
    image: NDArray[np.int64]
    quality: NDArray[np.float64]
    predicted: NDArray[np.float32]
    raw: NDArray[np.float32]
    weight: NDArray[np.float32]
    images: NDArray[np.int64]
    image_quality: NDArray[np.float64]
    image_predicted: NDArray[np.float32]


def predict(model: PatchModel, pool: Pool, patches: int = 0, *, rank: int = 0, world: int = 1) -> Predictions:
    """Score the records of a pool, or `patches` of each image, in fixed chunks.

    With several processes each scores its share of the chunks, and all get all of the results.
    """
    training = model.training
    model.eval()
    rows, raws, weights = [], [], []
    for number, span in enumerate(pool.pieces):
        chosen = validation_rows(pool, number, patches)
        piece = pool.load(number)
        raw = torch.zeros(len(chosen), model.head.outputs)
        weight = torch.zeros(len(chosen))
        for at in range(rank * CHUNK, len(chosen), world * CHUNK):
            here = slice(at, at + CHUNK)
            with torch.inference_mode():
                pairs = piece.pairs(torch.from_numpy(chosen[here]).to(pool.device))
                scores = model(pairs.reference, pairs.fused)
            raw[here], weight[here] = scores.raw.cpu(), scores.weight.mean(dim=1).cpu()
        rows.append(chosen + span.start)
        raws.append(raw)
        weights.append(weight)
    model.train(training)
    raw, weight = torch.cat(raws), torch.cat(weights)
    if world > 1:
        raw, weight = _joined(raw, pool.device), _joined(weight, pool.device)
    where = np.concatenate(rows)
    return _pooled(model, pool, where, raw, weight)


def _joined(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """All results: each process has zeros where the others have results, so their sum has them all."""
    joined = values.to(device)
    torch.distributed.all_reduce(joined)
    return joined.cpu()


def _pooled(
    model: PatchModel, pool: Pool, where: NDArray[np.int64], raw: torch.Tensor, weight: torch.Tensor
) -> Predictions:
    with torch.inference_mode():
        predicted = model.head.quality(raw.to(pool.device)).cpu()
        image = torch.from_numpy(pool.image[where])
        images, image_predicted = pool_by(model.spec, image, predicted, weight)
    quality = pool.quality[where]
    starts, counts = image_spans(pool.image[where])
    return Predictions(
        row=pool.row[where],
        image=pool.image[where],
        quality=quality,
        predicted=predicted.numpy(),
        raw=raw.numpy(),
        weight=weight.numpy(),
        images=images.numpy(),
        image_quality=np.add.reduceat(quality, starts) / counts,
        image_predicted=image_predicted.numpy(),
    )


def validate(
    model: PatchModel,
    recipe: Recipe,
    predictions: Predictions,
    patches: PatchSet | None = None,
    scales: SetScales | None = None,
) -> dict[str, Any]:
    """Loss, MSE, MAE, SRCC and PLCC of predictions; the same without the loss for image scores, as `image_*`.

    Of joined `patches`, each number is the mean over their sets, on the scale of each; the loss is weighted as
    `sets.weights` says.
    """
    joined = patches if isinstance(patches, JoinedSets) else None
    images = _agreement(predictions.image_predicted, predictions.image_quality, predictions.images, joined, scales)
    return {
        "loss": finite(_loss(model, recipe, predictions, patches, scales)),
        **_agreement(predictions.predicted, predictions.quality, predictions.image, joined, scales),
        **{f"image_{name}": value for name, value in images.items()},
    }


def _loss(
    model: PatchModel, recipe: Recipe, predictions: Predictions, patches: PatchSet | None, scales: SetScales | None
) -> float:
    device = model.channels.scale.device
    of_images = recipe.train.unit == "images"
    image = predictions.images if of_images else predictions.image
    sets = np.zeros(len(image), dtype=np.int64) if patches is None else set_numbers(patches)[image]
    error: nn.Module = Error(recipe.loss)
    if scales is not None:
        error = SetError(scales, error, torch.from_numpy(sets).to(device))
    with torch.inference_mode():
        if of_images:
            predicted = torch.from_numpy(predictions.image_predicted).to(device)
            losses = error(predicted, torch.from_numpy(predictions.image_quality.astype(np.float32)).to(device))
        else:
            scores = PatchScores(torch.from_numpy(predictions.raw).to(device), torch.empty(0))
            quality = torch.from_numpy(predictions.quality.astype(np.float32)).to(device)
            losses = error_of(model, recipe, scores, quality, 1, error)
    if patches is None or (scales is None and not isinstance(patches, JoinedSets)):
        return float(losses.mean())
    values, weights = losses.double().cpu().numpy(), people_weights(patches, recipe)[image]
    if isinstance(patches, JoinedSets) and recipe.sets.weights:
        totals = np.bincount(sets, weights=weights, minlength=len(patches.sets))
        shares = np.array(recipe.sets.weights)
        weights = weights * np.divide(shares, totals, out=np.zeros_like(shares), where=totals > 0.0)[sets]
    return float(values @ weights) / float(weights.sum()) if weights.sum() > 0.0 else math.nan


def _agreement(
    predicted: NDArray[np.float32],
    quality: NDArray[np.float64],
    image: NDArray[np.int64],
    joined: JoinedSets | None,
    scales: SetScales | None,
) -> dict[str, float | None]:
    if joined is None:
        return agreement(predicted, quality)
    sets = joined.set_of_image[image]
    values = predicted.astype(np.float64)
    if scales is not None:
        scale, shift = np.array(scales.values()).T
        values = values * scale[sets] + shift[sets]
    parts = [agreement(values[sets == number], quality[sets == number]) for number in np.unique(sets).tolist()]
    return mean_agreement(parts)
