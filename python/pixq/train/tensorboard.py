"""The TensorBoard files of a run."""

from __future__ import annotations

import shutil
from typing import Any

from pixq.io.optional import require
from pixq.runs.directory import RunDirectory
from pixq.train.parallel import World

__all__ = ["Board"]


class Board:
    """Writes metrics to TensorBoard, in the one process that writes the run's files."""

    def __init__(self, run: RunDirectory, world: World) -> None:
        self._writer = None
        if world.first:
            require("tensorboard")
            shutil.rmtree(run.tensorboard, ignore_errors=True)
            self._writer = require("tensorboard", "torch.utils.tensorboard").SummaryWriter(str(run.tensorboard))

    def add(self, line: dict[str, Any]) -> None:
        """Write the numbers of a line of `metrics.jsonl`."""
        if self._writer is None:
            return
        for part in ("train", "validation"):
            for name, value in (line[part] or {}).items():
                if value is not None:
                    self._writer.add_scalar(f"{name}/{part}", value, line["epoch"])
        self._writer.add_scalar("lr", line["lr"], line["epoch"])
        self._writer.flush()

    def fill(self, lines: list[dict[str, Any]]) -> None:
        """Write the lines from before an interruption again, so that no epoch shows twice."""
        for line in lines:
            self.add(line)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
