"""The batches of an epoch and their augmentation, which depend only on seed, epoch and piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixq.geometry import Fusion
from pixq.patches.store import image_spans
from pixq.runs.recipe import BalanceSpec, Recipe
from pixq.train.data import Draw, Pool

__all__ = ["Batch", "balance", "batches_of", "steps_of", "validation_rows"]


@dataclass(frozen=True)
class Batch:
    """The items of one step.

    Parameters
    ----------
    rows
        int64 (items, patches per item): records, counted within the piece.
    weight
        float32 (items,): the weight of each item in the loss.
    draw
        The augmentation of each patch, flattened like `rows`, and the dropout of each item.
    """

    rows: Tensor
    weight: Tensor
    draw: Draw

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return self._map(lambda values: values.to(device, non_blocking=True))

    def clone(self) -> Batch:
        """A copy of the batch."""
        return self._map(lambda values: values.clone())

    def _map(self, change: Any) -> Batch:
        draw = Draw(*map(_mapper(change), _fields(self.draw)))
        return Batch(change(self.rows), change(self.weight), draw)

    def copy_(self, other: Batch) -> None:
        """Overwrite this batch by another of the same size."""
        mine = (self.rows, self.weight, *_fields(self.draw))
        for room, values in zip(mine, (other.rows, other.weight, *_fields(other.draw)), strict=True):
            if room is not None and values is not None:
                room.copy_(values)

    def part(self, rank: int, world: int) -> Batch:
        """The items that process `rank` of `world` takes; together they are this batch."""
        items = torch.arange(len(self.rows), device=self.rows.device)[rank::world]
        if len(items) == 0:
            # Every process takes part in every step; one without items takes one with weight 0.
            only = self.part(0, len(self.rows))
            return Batch(only.rows, torch.zeros_like(only.weight), only.draw)
        return self.take(items)

    def take(self, items: Tensor | slice) -> Batch:
        """Some of the items."""
        bag = self.rows.shape[1]
        keep = _mapper(lambda values: values.view(-1, bag)[items].reshape(-1))
        draw, shown = self.draw, self.draw.shown
        draw = Draw(keep(draw.turn), keep(draw.inside), keep(draw.outside), None if shown is None else shown[items])
        return Batch(self.rows[items], self.weight[items], draw)


def _fields(draw: Draw) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    return draw.turn, draw.inside, draw.outside, draw.shown


def _split(values: Tensor | None, size: int) -> tuple[Tensor, ...] | None:
    return None if values is None else torch.split(values, size)


def _mapper(change: Any) -> Any:
    return lambda values: None if values is None else change(values)


def generator(seed: int, *keys: int) -> np.random.Generator:
    """Random numbers that depend on the seed and `keys` alone: no state is carried, so nothing has to be saved."""
    return np.random.default_rng([seed, *keys])


def balance(pool: Pool, spec: BalanceSpec, by_image: bool) -> NDArray[np.float64]:
    """The weight of each record, or each image, that makes all cells count the same; their mean is 1.

    A cell is a bin of quality, a distortion type, or both at once. The result has shape (records,) or (images,), in
    the order of the pool.
    """
    starts, counts = image_spans(pool.image)
    image = pool.image[starts] if by_image else pool.image
    quality = np.add.reduceat(pool.quality, starts) / counts if by_image else pool.quality
    if spec.how == "none":
        return np.ones(len(image))
    cells = np.zeros(len(image), dtype=np.int64)
    if "quality" in spec.by:
        cells = np.minimum((quality * spec.bins).astype(np.int64), spec.bins - 1)
    if "distortion" in spec.by:
        kinds = np.unique([image["distortion_type"] for image in pool.patches.images], return_inverse=True)[1]
        cells = cells * (kinds.max() + 1) + kinds[image]
    _, cell, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    weights = 1.0 / sizes[cell]
    balanced: NDArray[np.float64] = weights * (len(weights) / weights.sum())
    return balanced


def steps_of(pool: Pool, recipe: Recipe) -> int:
    """Steps of one epoch over all pieces."""
    return sum(-(-_items(pool, piece, recipe) // recipe.train.batch) for piece in range(len(pool.pieces)))


def _bounds(pool: Pool, piece: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First record and number of records of each image of a piece, counted within it."""
    return image_spans(pool.image[pool.pieces[piece]])


def _items(pool: Pool, piece: int, recipe: Recipe) -> int:
    _, counts = _bounds(pool, piece)
    train = recipe.train
    if train.unit == "images":
        return len(counts) * train.visits
    return int(counts.sum() if train.patches == 0 else np.minimum(counts, train.patches).sum())


def _rows_of_epoch(
    pool: Pool, piece: int, recipe: Recipe, weights: NDArray[np.float64], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows (items, patches per item) and item weights of one epoch over a piece, in order."""
    train, how = recipe.train, recipe.balance.how
    span = pool.pieces[piece]
    starts, counts = _bounds(pool, piece)
    total = _items(pool, piece, recipe)
    if train.unit == "images":
        first = len(image_spans(pool.image[: span.start])[0])
        of_piece = weights[first : first + len(counts)]
        if how == "sampler":
            images = random.choice(len(counts), total, p=of_piece / of_piece.sum())
        else:
            images = np.concatenate([random.permutation(len(counts)) for _ in range(train.visits)])
        # With replacement where an image has fewer patches than the bag; without, otherwise.
        keys = [_some(random, int(counts[image]), train.bag) for image in images]
        rows = starts[images][:, None] + np.stack(keys)
        return rows, of_piece[images] if how == "weights" else np.ones(total)
    of_piece = weights[span]
    if how == "sampler":
        rows = random.choice(len(of_piece), total, p=of_piece / of_piece.sum())
    elif train.patches == 0:
        rows = random.permutation(len(of_piece))
    else:
        picked = [
            start + random.permutation(count)[: train.patches] for start, count in zip(starts, counts, strict=True)
        ]
        rows = random.permutation(np.concatenate(picked))
    return rows[:, None], of_piece[rows] if how == "weights" else np.ones(total)


def _some(random: np.random.Generator, count: int, wanted: int) -> NDArray[np.int64]:
    return random.choice(count, wanted, replace=count < wanted)


def batches_of(
    pool: Pool,
    piece: int,
    recipe: Recipe,
    weights: NDArray[np.float64],
    *,
    epoch: int,
    hidden: int = 0,
    item_weights: NDArray[np.float64] | None = None,
) -> Iterator[Batch]:
    """The batches of one epoch over one piece, on the pool's device.

    Parameters
    ----------
    weights
        The result of `balance`.
    epoch
        The epoch, on which the draws depend together with the seed and the piece.
    hidden
        The number of inputs per item that dropout can hide; see `PatchModel.hidden`.
    item_weights
        float64 (images,): what else an item of each image of the patch set counts in the loss.
    """
    train = recipe.train
    random = generator(train.seed, epoch, piece)
    rows, weight = _rows_of_epoch(pool, piece, recipe, weights, random)
    if item_weights is not None:
        weight = weight * item_weights[pool.image[pool.pieces[piece]][rows[:, 0]]]
    weight32 = torch.from_numpy(weight.astype(np.float32))
    # Moved at once, because on a GPU one copy per step would cost more than the step.
    whole = Batch(torch.from_numpy(rows), weight32, _draws(recipe, len(rows), rows.shape[1], hidden, random)).to(
        pool.device
    )
    bag = rows.shape[1]
    # Split at once: slicing a batch at a time would take as long as the rest of a small step.
    splits = [_split(whole.rows, train.batch), _split(whole.weight, train.batch)]
    *patches, shown = _fields(whole.draw)
    splits += [*(_split(values, train.batch * bag) for values in patches), _split(shown, train.batch)]
    for number in range(-(-len(rows) // train.batch)):
        fields = [parts[number] if parts is not None else None for parts in splits]
        yield Batch(fields[0], fields[1], Draw(*fields[2:]))  # type: ignore[arg-type]  # the first two are always there


def _draws(recipe: Recipe, items: int, bag: int, hidden: int, random: np.random.Generator) -> Draw:
    """Turns and fusions of items * bag patches, and the dropout of the items."""
    augment, count = recipe.augment, items * bag
    turn = inside = outside = shown = None
    if augment.flip or augment.turn:
        quarter = random.integers(0, 4 if augment.turn else 1, count)
        mirrored = random.integers(0, 2 if augment.flip else 1, count)
        # Mirrored about either axis, or both: upside down is left-right after half a turn, and both are half a turn.
        half = random.integers(0, 2, count) * (0 if augment.turn else 2)
        turn = torch.from_numpy(4 * mirrored + (quarter + half) % 4)
    if augment.fusions:
        fusions = [Fusion.parse(text) for text in augment.fusions]
        which = random.integers(0, len(fusions), count)
        weights = np.array([fusion.weights for fusion in fusions])
        drawn = random.uniform(*augment.alpha, count)
        free = np.array([augment.draws_alpha(text) for text in augment.fusions])[which]
        inside = torch.from_numpy(np.where(free, drawn, weights[which, 0]))
        outside = torch.from_numpy(weights[which, 1])
    if hidden:
        left = 1.0 - recipe.model.dropout
        # What is shown is raised, so that sums are on average as without dropout.
        shown = torch.from_numpy((random.random((items, hidden)) < left).astype(np.float32) / np.float32(left))
    return Draw(turn, inside, outside, shown)


def validation_rows(pool: Pool, piece: int, patches: int) -> NDArray[np.int64]:
    """Records of a piece that validation scores: `patches` of each image spread evenly over it, or all for 0."""
    starts, counts = _bounds(pool, piece)
    if patches == 0:
        return np.arange(int(counts.sum()))
    some = [
        start + np.unique(np.linspace(0, count - 1, min(patches, count)).round().astype(np.int64))
        for start, count in zip(starts, counts, strict=True)
    ]
    return np.concatenate([np.empty(0, np.int64), *some])
