"""One step of training: gather, fuse, forward, backward, optimiser; on CUDA captured as one graph."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional
from torch.optim.adam import adam

from pixq.models.base import PatchModel
from pixq.models.heads import PatchScores
from pixq.models.pooling import pool
from pixq.runs.recipe import LossSpec, OptimiserSpec, Recipe
from pixq.train.data import Piece
from pixq.train.sampling import Batch
from pixq.train.set_scales import SetError, SetScales

__all__ = [
    "CoreStep",
    "GraphedStep",
    "Step",
    "decorrelation",
    "error_of",
    "image_scores",
    "kind_of_step",
    "learning_rate",
    "make_optimiser",
]


class Error(nn.Module):
    """The error of each prediction, as the recipe's `[loss]` defines it."""

    def __init__(self, spec: LossSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, predicted: Tensor, quality: Tensor) -> Tensor:
        """(n,) twice to (n,)."""
        if self.spec.name == "smooth_l1":
            return functional.smooth_l1_loss(predicted, quality, beta=self.spec.beta, reduction="none")
        if self.spec.name == "mse":
            return functional.mse_loss(predicted, quality, reduction="none")
        return functional.l1_loss(predicted, quality, reduction="none")

    def slope(self, predicted: Tensor, quality: Tensor) -> Tensor:
        """The derivative of each error by its prediction: (n,) twice to (n,)."""
        apart = predicted - quality
        if self.spec.name == "smooth_l1":
            return apart.div_(self.spec.beta).clamp_(-1.0, 1.0) if self.spec.beta > 0.0 else apart.sign_()
        return apart.mul_(2.0) if self.spec.name == "mse" else apart.sign_()


def error_of(
    model: PatchModel, recipe: Recipe, scores: PatchScores, quality: Tensor, bag: int, error: nn.Module | None = None
) -> Tensor:
    """The loss of each item, float32 (items,): of each patch, or of each image from its `bag` patches.

    Parameters
    ----------
    scores
        What the model says of items * bag patches.
    quality
        float32 (items * bag,); an image's is the mean of its patches'.
    error
        The error of each prediction. Default: that of the recipe's `[loss]`.
    """
    error = Error(recipe.loss) if error is None else error
    if recipe.train.unit == "patches":
        return model.head.loss(scores.raw, quality, error)
    predicted = image_scores(model, scores, bag)
    each: Tensor = error(predicted, quality.view(-1, bag).mean(dim=1)[:, None].expand_as(predicted))
    return each.mean(dim=1)


def image_scores(model: PatchModel, scores: PatchScores, bag: int) -> Tensor:
    """The score of each image as each member of the model says, from its `bag` patches: (images, members).

    The gradient of a clamp is 0 outside of [0, 1], so an image is pooled from what its patches' scores are before it.
    """
    columns = zip(scores.raw.unbind(dim=1), scores.weight.unbind(dim=1), strict=True)
    return torch.stack([pool(model.spec, raw.view(-1, bag), weight.view(-1, bag)) for raw, weight in columns], dim=1)


def decorrelation(predicted: Tensor, quality: Tensor, weight: Tensor, world: int) -> Tensor:
    """1 - PLCC of image scores and qualities over the batch of all processes, the mean over members: ().

    Parameters
    ----------
    predicted
        float32 (images, members).
    quality
        float32 (images,).
    weight
        float32 (images,); an image of weight 0 is not counted.
    """
    counted = (weight > 0).double()[:, None]
    p, t = predicted.double(), quality.double()[:, None].expand_as(predicted)
    sums = torch.stack([(values * counted).sum(dim=0) for values in (torch.ones_like(p), p, t, p * p, t * t, p * t)])
    if world > 1:
        # Its gradient is summed over processes, too, so that each weighs by the whole batch.
        sums = all_reduce(sums)  # type: ignore[no-untyped-call]
    n, sp, st, spp, stt, spt = sums.unbind(dim=0)
    covariance = spt - sp * st / n
    variances = (spp - sp * sp / n).clamp(min=0.0) * (stt - st * st / n).clamp(min=0.0)
    return (1.0 - covariance / (variances + 1e-12).sqrt()).mean()


def make_optimiser(
    model: nn.Module, spec: OptimiserSpec, device: torch.device, scales: nn.Module | None = None
) -> torch.optim.Optimizer:
    """The optimiser; its fused kernels, whose learning rate is a tensor on CUDA so that a graph reads each new value.

    `scales` are those of sets, which don't decay.
    """
    cuda = device.type == "cuda"
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    groups: list[dict[str, Any]] = [{"params": [weight for weight in model.parameters() if weight.requires_grad]}]
    if scales is not None and (learned := [weight for weight in scales.parameters() if weight.requires_grad]):
        groups.append({"params": learned, "weight_decay": 0.0})
    return kind(
        groups,
        lr=torch.tensor(spec.lr, device=device) if cuda else spec.lr,
        weight_decay=spec.weight_decay,
        fused=True,
        capturable=cuda,
    )


def learning_rate(spec: OptimiserSpec, step: int, steps_an_epoch: int, epochs: int) -> float:
    """The learning rate of step number `step`, from 0.

    Examples
    --------
    >>> spec = OptimiserSpec(lr=1.0, schedule="cosine", warmup=1.0)
    >>> [round(learning_rate(spec, step, 2, 3), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    warmup = spec.warmup * steps_an_epoch
    if step < warmup:
        return spec.lr * min((step + 1) / warmup, 1.0)
    if spec.schedule == "constant":
        return spec.lr
    left = max(steps_an_epoch * epochs - warmup, 1.0)
    return spec.lr * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / left))


class Step:
    """A training step, run eagerly.

    Parameters
    ----------
    model
        The model whose weights change.
    forward
        The module that scores patches: the model itself, or a wrapper that joins the gradients of several processes.
    scales
        The scale of each set, if labels are not the quality itself.
    world
        The number of processes; each sees its own items of a batch.
    """

    def __init__(
        self,
        model: PatchModel,
        forward: nn.Module,
        optimiser: torch.optim.Optimizer,
        recipe: Recipe,
        *,
        scales: SetScales | None = None,
        world: int = 1,
    ) -> None:
        self.model, self.forward, self.optimiser, self.recipe, self.world = model, forward, optimiser, recipe, world
        self.scales = scales
        self.scale_weights = [] if scales is None else list(scales.parameters())
        self.weights = list(model.parameters())

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate of the next steps."""
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def __call__(self, piece: Piece, batch: Batch, items: int) -> Tensor:
        """Change the weights, and return the weighted loss summed over this process's items, float32 ().

        `items` is the size of the whole batch, over all processes.
        """
        for weight in (*self.weights, *self.scale_weights):
            weight.grad = None
        total = self._loss(piece, batch, items)
        # Wrapped gradients are averaged over processes: times `world`, they are those of the whole batch.
        (total * (self.world / items)).backward()  # type: ignore[no-untyped-call]
        if self.world > 1:
            for weight in self.scale_weights:
                if weight.grad is not None:
                    torch.distributed.all_reduce(weight.grad)
                    weight.grad /= self.world
        if self.recipe.optimiser.clip > 0.0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimiser.clip)
        self.optimiser.step()
        return total.detach()

    def _precision(self) -> AbstractContextManager[Any]:
        # Entering autocast costs as much as an operation, also where it is off.
        return torch.autocast("cuda", torch.bfloat16) if self.recipe.train.precision == "bf16" else nullcontext()

    def _loss(self, piece: Piece, batch: Batch, items: int) -> Tensor:
        pairs = piece.pairs(batch.rows.reshape(-1), batch.draw)
        bag = batch.rows.shape[1]
        with self._precision():
            scores = self.forward(pairs.reference, pairs.fused, batch.draw.shown)
        error = None
        if self.scales is not None:
            sets = piece.set_number.index_select(0, batch.rows[:, 0])
            error = SetError(self.scales, Error(self.recipe.loss), sets)
        total = (error_of(self.model, self.recipe, scores, pairs.quality, bag, error) * batch.weight).sum()
        if self.recipe.loss.correlation > 0.0:
            images, quality = image_scores(self.model, scores, bag), pairs.quality.view(-1, bag).mean(dim=1)
            if self.scales is not None:
                images = self.scales.on_scale(images, sets)
            apart = decorrelation(images, quality, batch.weight, self.world)
            # The term is of the whole batch, of which each process counts its share.
            total = total + self.recipe.loss.correlation * (items / self.world) * apart.float()
        return total


class CoreStep(Step):
    """A training step for a model whose score the core computes, in half the time.

    With small batches, PyTorch's bookkeeping of a graph and of many weights takes as long as the network. Here the
    weights are views of one vector, which the core reads and PyTorch's Adam changes at once; the moments in `optimiser`
    are views too, so a checkpoint is the same as that of a `Step`. The loss is a function of one number per patch, so
    its derivative is written out.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not self.serves(self.model, self.recipe) or self.scales is not None:
            raise ValueError(f"{self.model.spec.name} with this recipe needs a Step")
        assert self.model.kernel is not None
        self._tape = self.model.kernel.tape()
        self._error = Error(self.recipe.loss)
        self._flat: nn.Parameter | None = None

    @staticmethod
    def serves(model: PatchModel, recipe: Recipe) -> bool:
        """Whether the loss is a sum of errors of single patches that the core scores, and all weights are trained."""
        plain = recipe.train.unit == "patches" and recipe.loss.correlation == 0.0 and recipe.model.link == "identity"
        return plain and model.kernel is not None and all(weight.requires_grad for weight in model.parameters())

    def __call__(self, piece: Piece, batch: Batch, items: int) -> Tensor:
        """See `Step`."""
        if self._flat is None:
            self._flat = self._join()
        pairs = piece.pairs(batch.rows.reshape(-1), batch.draw)
        scale, shift = self.model.channels.scale.numpy(), self.model.channels.shift.numpy()
        score, gradient = torch.empty(len(pairs.quality)), self._flat.grad
        assert gradient is not None
        with torch.no_grad():
            self._tape.forward(
                self._flat.numpy(),
                pairs.reference.numpy(),
                pairs.fused.numpy(),
                scale=scale,
                shift=shift,
                out=score.numpy(),
            )
            total = torch.dot(self._error(score, pairs.quality), batch.weight)
            slope = self._error.slope(score, pairs.quality).mul_(batch.weight).div_(items)
            self._tape.backward(slope.numpy(), gradient.numpy())
            if self.recipe.optimiser.clip > 0.0:
                nn.utils.clip_grad_norm_(self._flat, self.recipe.optimiser.clip)
            group = self.optimiser.param_groups[0]
            adam(
                [self._flat],
                [gradient],
                [self._moments[0]],
                [self._moments[1]],
                [],
                [self._step],
                fused=True,
                amsgrad=False,
                decoupled_weight_decay=group["decoupled_weight_decay"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
        return total

    def _join(self) -> nn.Parameter:
        """All weights as one, with its gradient; made by the first step, as a checkpoint may be read before it."""
        known = self.optimiser.state
        begun = all(weight in known for weight in self.weights)

        def joined(values: Iterable[Tensor]) -> Tensor:
            return torch.cat([value.detach().reshape(-1) for value in values])

        flat = nn.Parameter(joined(self.weights))
        flat.grad = torch.zeros_like(flat)
        names = ("exp_avg", "exp_avg_sq")
        self._moments = [
            joined(known[weight][name] for weight in self.weights) if begun else torch.zeros(len(flat))
            for name in names
        ]
        self._step = known[self.weights[0]]["step"] if begun else torch.zeros(())
        sizes = [weight.numel() for weight in self.weights]
        parts = zip(*(torch.split(values.detach(), sizes) for values in (flat, *self._moments)), strict=True)
        for weight, (value, *moments) in zip(self.weights, parts, strict=True):
            weight.data = value.view(weight.shape)
            views = {name: moment.view(weight.shape) for name, moment in zip(names, moments, strict=True)}
            known[weight] = {"step": self._step, **views}
        return flat


class GraphedStep(Step):
    """A training step on CUDA, captured once and replayed: no Python and one launch per step.

    The first full batches run eagerly on a side stream, as capturing requires; they are training steps like any other.
    A batch of another size, such as the last one of an epoch, runs eagerly too. A piece keeps its addresses when it is
    refilled, so the graph works for all pieces.
    """

    #: Eager steps before the capture.
    WARM = 3

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seen = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch | None = None
        self._total: Tensor | None = None
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, piece: Piece, batch: Batch, items: int) -> Tensor:
        """See `Step`; the next call overwrites the result."""
        if len(batch.rows) != self.recipe.train.batch:
            return super().__call__(piece, batch, items)
        if self._seen < self.WARM:
            self._seen += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                total = super().__call__(piece, batch, items)
            torch.cuda.current_stream().wait_stream(self._stream)
            return total
        if self._graph is None:
            self._batch = batch.clone()
            self._graph = torch.cuda.CUDAGraph()
            self.optimiser.zero_grad(set_to_none=True)
            with torch.cuda.graph(self._graph):
                self._total = super().__call__(piece, self._batch, items)
        assert self._batch is not None and self._total is not None  # noqa: PT018 - both are set with the graph
        self._batch.copy_(batch)
        self._graph.replay()
        return self._total


def kind_of_step(
    model: PatchModel, recipe: Recipe, device: torch.device, world: int, scales: SetScales | None = None
) -> type[Step]:
    """The fastest kind of step with the results of `Step`."""
    if world > 1:
        return Step
    if device.type == "cuda":
        return GraphedStep
    return CoreStep if CoreStep.serves(model, recipe) and scales is None else Step
