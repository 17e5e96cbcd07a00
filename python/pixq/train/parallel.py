"""Training one batch on several processes, which torchrun starts and torch.distributed joins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["World", "join"]


@dataclass(frozen=True)
class World:
    """One process among those of a run: `rank` counts from 0 to `size` - 1."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over all processes."""
        if self.size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process, because all must stop at the same step."""
        if self.size == 1:
            return flag
        votes = torch.tensor([float(flag)], device=self.device)
        torch.distributed.all_reduce(votes)
        return bool(votes.item() > 0)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """`values` summed over all processes."""
        if self.size == 1:
            return values
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            torch.distributed.barrier()


@contextmanager
def join(device: torch.device) -> Iterator[World]:
    """Join the other processes that torchrun started; without torchrun, there is only one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield World(0, 1, device)
        return
    # What torchrun's store knows of a group outlives it: they meet once, and the runs of all folds share that.
    met = torch.distributed.is_initialized()
    if not met:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(torch.distributed.get_rank(), size, device)
    finally:
        if not met:
            torch.distributed.destroy_process_group()
