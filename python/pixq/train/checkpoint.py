"""The checkpoint of a run: weights, the optimiser's state and where training stands, in one file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from pydantic import TypeAdapter
from torch import nn

from pixq.errors import PixqError, one_line
from pixq.models.base import PatchModel
from pixq.runs.directory import RunDirectory

__all__ = ["TrainingState", "load_checkpoint", "save_checkpoint"]


@dataclass
class TrainingState:
    """Where training stands.

    Parameters
    ----------
    epoch
        The epoch that is being trained, from 1; epoch 0 is the validation before the first step.
    step
        The number of its steps that are done.
    total
        The loss summed over the items of these steps.
    best_epoch, best_loss
        The epoch with the lowest validation loss so far, and that loss.
    mark, stale
        The validation loss that patience counts from, and the number of epochs since that did not fall below it by
        `min_delta`.
    best_sets
        Scale and shift of each set in the best epoch, if they are learned.
    """

    epoch: int = 1
    step: int = 0
    total: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf
    mark: float = math.inf
    stale: int = 0
    best_sets: list[tuple[float, float]] | None = None

    def note_validation(self, loss: float, min_delta: float) -> bool:
        """Count an epoch's validation loss; whether it is the lowest so far."""
        best = loss < self.best_loss
        if best:
            self.best_loss, self.best_epoch = loss, self.epoch
        self.stale = 0 if loss < self.mark - min_delta else self.stale + 1
        self.mark = min(self.mark, loss) if self.stale == 0 else self.mark
        return best


def save_checkpoint(
    run: RunDirectory,
    model: PatchModel,
    optimiser: torch.optim.Optimizer,
    state: TrainingState,
    scales: nn.Module | None = None,
) -> None:
    """Write one file, so that weights, optimiser and state always belong to the same step."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value).clone() for name, value in values.items()}
    if scales is not None:
        tensors |= {f"sets.{name}": value for name, value in scales.state_dict().items()}
    # JSON has no infinity: a loss that is not known yet is left out.
    known = {
        name: value
        for name, value in asdict(state).items()
        if value is not None and (isinstance(value, list) or math.isfinite(value))
    }
    run.write_tensors(run.last, tensors, known)


def load_checkpoint(
    run: RunDirectory, model: PatchModel, optimiser: torch.optim.Optimizer, scales: nn.Module | None = None
) -> TrainingState:
    """Restore model and optimiser, and return where training stands.

    Raises
    ------
    PixqError
        If the checkpoint is damaged or belongs to another model.
    """
    tensors, known = run.read_tensors(run.last)
    try:
        model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
        if scales is not None:
            scales.load_state_dict({name[5:]: value for name, value in tensors.items() if name.startswith("sets.")})
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        restored = optimiser.state_dict()
        restored["state"] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".")
                weight = weights[int(index)]
                # Fused kernels go through memory in order: moments must be laid out as their weight is, channels last.
                like = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
                restored["state"].setdefault(int(index), {})[key] = like
        optimiser.load_state_dict(restored)
        return TypeAdapter(TrainingState).validate_python(known)
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        raise PixqError(f"{run.last}: does not fit this run ({one_line(error)}); train again") from None
