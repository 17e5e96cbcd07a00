"""The training loop, from top to bottom."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import Any

import torch

from pixq.errors import PixqError
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.models.base import CHUNK
from pixq.models.device import choose_device
from pixq.runs.directory import FINISHED, RunDirectory, RunInfo
from pixq.runs.recipe import Recipe
from pixq.train import curves
from pixq.train.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from pixq.train.data import Piece, Pool
from pixq.train.init_from_run import InitialRun
from pixq.train.parallel import World, join
from pixq.train.partition import Partition
from pixq.train.predict import predict, validate
from pixq.train.sampling import Batch, balance, batches_of, generator, steps_of
from pixq.train.set_scales import SetScales, item_weights
from pixq.train.setup import check_before, check_same_run, describe_run, initial_model, prepare_torch
from pixq.train.signals import interruptible
from pixq.train.step import kind_of_step, learning_rate, make_optimiser
from pixq.train.tensorboard import Board

__all__ = ["Trainer", "train"]

#: Seconds between two checkpoints inside a long epoch.
SAVE_EVERY = 60.0


def train(
    partition: Partition,
    out: str | os.PathLike[str],
    recipe: Recipe,
    *,
    device: str = "auto",
    resume: bool = False,
    start: InitialRun | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> RunInfo:
    """Train a model on a patch set, and write a run directory.

    Parameters
    ----------
    partition
        What to train and validate on: `by_split(patches)` or `by_fold(patches, fold)`.
    out
        The run's directory.
    recipe
        The recipe to follow.
    device
        `auto`, `cpu`, `cuda` or `cuda:0`.
    resume
        Continue a run that was interrupted; on a CPU it ends with the same bytes as an uninterrupted one. A finished
        run is left as it is.
    start
        The model to start from instead of random weights; a resumed run remembers its own.
    on_progress
        Called after each step with stage `epoch 3 of 40`, and after each epoch with the validation numbers as its note.

    Returns
    -------
    RunInfo
        What `run.json` holds.

    Raises
    ------
    PixqError
        If a checksum of the patch set is wrong, the loss stops being a number, `out` holds something else, or a run
        can't be resumed.
    KeyboardInterrupt
        After Ctrl-C: the checkpoint is written, and `resume` continues from it.
    """
    with join(choose_device(device)) as world, interruptible() as interrupted:
        run = RunDirectory(out)
        check_before(partition, recipe, world)
        begun = run.exists()
        if begun and not resume:
            raise PixqError(f"{run.path}: holds a run already; continue it with --resume, or choose another --out")
        # Every process has looked before the first one creates the run.
        world.wait()
        before = check_same_run(run, partition, recipe, start) if begun else None
        if world.first:
            run.delete_scratch()
        if before is not None and before.status in FINISHED:
            return before
        return Trainer(run, partition, recipe, world, interrupted, start, before, on_progress).run()


class Trainer:
    """Trains one model, and keeps its run directory up to date.

    Parameters
    ----------
    directory
        The run's directory.
    partition, recipe, start, on_progress
        As in `train`.
    world
        The processes that train together.
    interrupted
        Becomes true when training has to stop after the current step.
    before
        What `run.json` holds of the run that is resumed.
    """

    def __init__(
        self,
        directory: RunDirectory,
        partition: Partition,
        recipe: Recipe,
        world: World,
        interrupted: list[int],
        start: InitialRun | None = None,
        before: RunInfo | None = None,
        on_progress: ProgressCallback = ignore_progress,
    ) -> None:
        self.directory, self.partition, self.recipe, self.world = directory, partition, recipe, world
        self.interrupted, self.on_progress = interrupted, on_progress
        self.restored = before is not None and directory.last.exists()
        if before is not None:
            start = None if before.started_from is None else InitialRun.described(before.started_from)
            if before.best is not None and not self.restored:
                raise PixqError(
                    f"{directory.last}: is missing, so the run can't continue; choose another --out and train again"
                )
        # One seed gives the same weights, whatever was drawn before.
        torch.manual_seed(recipe.train.seed)
        self.model = initial_model(recipe, start, self.restored).to(world.device)
        prepare_torch(self.model, recipe, world)
        self.scales = SetScales.of(partition.patches, partition.train, recipe)
        if self.scales is not None:
            self.scales.to(world.device)
        self.optimiser = make_optimiser(self.model, recipe.optimiser, world.device, self.scales)
        self.training = Pool(partition.train, world.device, recipe.train.memory)
        self.validation = Pool(partition.validation, world.device, recipe.train.memory)
        self.weights = balance(self.training, recipe.balance, recipe.train.unit == "images")
        self.item_weights = item_weights(partition.train, recipe)
        self.steps, self.epochs = steps_of(self.training, recipe), recipe.train.epochs
        self.state = TrainingState()
        self.info = describe_run(partition, recipe, self.model, world, start)
        if world.first and not self.restored:
            # Only after everything that can be refused was checked: a directory that exists can be resumed.
            directory.create()
            directory.write_info(self.info)
            directory.write_recipe(recipe)
        step = kind_of_step(self.model, recipe, world.device, world.size, self.scales)
        wrapped = world.wrap(self.model)
        self.step = step(self.model, wrapped, self.optimiser, recipe, scales=self.scales, world=world.size)
        self.total = torch.zeros((), dtype=torch.float64, device=world.device)
        self.lr, self.items, self.saved = 0.0, 0, 0.0
        self.spent = float(before.timings.get("seconds", 0.0)) if before is not None and self.restored else 0.0
        self.began = time.perf_counter()
        self.board = Board(directory, world)

    def run(self) -> RunInfo:
        """Train from where the run stands to its end."""
        if self.restored:
            self.restore()
        else:
            self.begin()
        while self.state.epoch <= self.epochs and not self.patience_is_over():
            self.model.train()
            for piece, batch in self.batches():
                self.step.set_learning_rate(self.lr)
                self.total += self.step(piece, self.share(batch), len(batch.rows))
                self.state.step += 1
                self.checkpoint_if_due()
                self.on_progress(self.stage(), self.state.step, self.steps)
            self.finish_epoch(self.training_loss(), self.lr)
        self.finish()
        return self.directory.read_info()

    def restore(self) -> None:
        """Continue from the checkpoint."""
        self.state = load_checkpoint(self.directory, self.model, self.optimiser, self.scales)
        lines = self.directory.read_metrics()[: self.state.epoch]
        if len(lines) < self.state.epoch:
            raise PixqError(
                f"{self.directory.metrics}: is cut short: it has {len(lines)} lines instead of {self.state.epoch}; "
                "train again"
            )
        self.board.fill(lines)

    def begin(self) -> None:
        """Calibrate a model with random weights, and validate it before the first step, as epoch 0."""
        if self.info.started_from is None:
            self.model.calibrate(self.training_patches())
        self.state.epoch = 0
        self.finish_epoch(None, 0.0)

    def patience_is_over(self) -> bool:
        """Whether the validation loss has not fallen for as many epochs as the recipe waits."""
        return 0 < self.recipe.stopping.patience <= self.state.stale

    def stage(self) -> str:
        """What progress is reported as."""
        return f"epoch {self.state.epoch} of {self.epochs}"

    def batches(self) -> Iterator[tuple[Piece, Batch]]:
        """The batches of the epoch that are still to do, each with the piece of the data that it is from.

        Nothing random is carried from one epoch to the next, so resuming needs the epoch's number alone.
        """
        epoch, done = self.state.epoch, self.state.step
        # What was summed before an interruption is counted by one process alone.
        self.total.fill_(self.state.total if self.world.first else 0.0)
        self.lr, self.items, self.saved = 0.0, 0, time.monotonic()
        number = 0
        order: list[int] = generator(self.recipe.train.seed, epoch).permutation(len(self.training.pieces)).tolist()
        for piece_number in order:
            piece = None
            for batch in batches_of(
                self.training,
                piece_number,
                self.recipe,
                self.weights,
                epoch=epoch,
                hidden=self.model.hidden,
                item_weights=self.item_weights,
            ):
                self.items += len(batch.rows)
                position = (epoch - 1) * self.steps + number
                self.lr = learning_rate(self.recipe.optimiser, position, self.steps, self.epochs)
                number += 1
                if number > done:
                    piece = self.training.load(piece_number) if piece is None else piece
                    yield piece, batch

    def share(self, batch: Batch) -> Batch:
        """The part of a batch that this process takes."""
        return batch if self.world.size == 1 else batch.part(self.world.rank, self.world.size)

    def checkpoint_if_due(self) -> None:
        """Write a checkpoint once a minute, and when training has to stop."""
        stop = self.world.any(bool(self.interrupted))
        if stop or self.world.any(time.monotonic() - self.saved > SAVE_EVERY):
            self.state.total, self.saved = float(self.world.sum(self.total)), time.monotonic()
            self.total.fill_(self.state.total if self.world.first else 0.0)
            self.check_loss("training", self.state.total)
            self.save("interrupted" if stop else "running")
            if stop:
                raise KeyboardInterrupt("continue with --resume")

    def training_loss(self) -> float:
        """The mean loss of the epoch's items."""
        loss = float(self.world.sum(self.total)) / self.items
        self.check_loss("training", loss)
        return loss

    def check_loss(self, which: str, loss: float | None) -> None:
        """An error unless a loss is a finite number."""
        if loss is None or not math.isfinite(loss):
            raise PixqError(
                f"{self.directory.path}: the {which} loss is not a number in epoch {self.state.epoch}; lower "
                "optimiser.lr and choose another --out. model.safetensors holds the best weights before that"
            )

    def finish_epoch(self, training_loss: float | None, lr: float) -> None:
        """Validate, keep the best weights, and write the metrics and a checkpoint."""
        state, world, stage, steps = self.state, self.world, self.stage(), self.state.step
        patches = self.recipe.train.validation_patches
        scores = predict(self.model, self.validation, patches, rank=world.rank, world=world.size)
        metrics = validate(self.model, self.recipe, scores, self.partition.validation, self.scales)
        self.check_loss("validation", metrics["loss"])
        best = state.note_validation(metrics["loss"], self.recipe.stopping.min_delta)
        if best and self.scales is not None:
            state.best_sets = self.scales.values()
        line = {
            "epoch": state.epoch,
            "lr": lr,
            "train": None if training_loss is None else {"loss": training_loss},
            "validation": metrics,
        }
        if world.first:
            if best:
                kept = {"epoch": state.epoch, "loss": metrics["loss"]}
                self.directory.write_tensors(self.directory.model, self.model.state_dict(), kept)
            self.directory.keep_metrics(state.epoch)
            self.directory.append_metrics(line)
            self.board.add(line)
        state.epoch, state.step, state.total = state.epoch + 1, 0, 0.0
        stop = world.any(bool(self.interrupted))
        self.save("interrupted" if stop else "running")
        self.on_progress(stage, steps, steps, _summary(metrics, best))
        if stop:
            raise KeyboardInterrupt("continue with --resume")

    def finish(self) -> None:
        """Write the predictions of the best weights and the curves, and mark the run as finished."""
        self.write_predictions()
        if self.world.first:
            self.board.close()
            metrics = self.directory.read_metrics()
            self.directory.write_curves(curves.png(curves.draw(metrics, self.state.best_epoch)))
        # Last of all: a run that is marked as finished has all of its files.
        self.save("patience" if self.patience_is_over() else "epochs")
        if self.world.any(bool(self.interrupted)):
            # This run is done, but the next fold is not begun.
            raise KeyboardInterrupt("continue with --resume")
        self.world.wait()

    def save(self, status: str) -> None:
        """Write the checkpoint and `run.json`."""
        seconds = self.spent + time.perf_counter() - self.began
        best: dict[str, Any] = {"epoch": self.state.best_epoch, "loss": self.state.best_loss}
        if self.state.best_sets is not None:
            best["sets"] = [{"scale": scale, "shift": shift} for scale, shift in self.state.best_sets]
        update: dict[str, Any] = {
            "status": status,
            "best": best if math.isfinite(self.state.best_loss) else None,
            "timings": {"seconds": round(seconds, 3), "steps_an_epoch": self.steps},
        }
        self.info = self.info.model_copy(update=update)
        if self.world.first:
            save_checkpoint(self.directory, self.model, self.optimiser, self.state, self.scales)
            files = self.directory.checksums() if status in FINISHED else {}
            self.directory.write_info(self.info.model_copy(update={"files": files}))

    def write_predictions(self) -> None:
        """Predict with the best weights: the held-out fold, or the validation images."""
        self.world.wait()
        tensors, _ = self.directory.read_tensors(self.directory.model)
        last = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(tensors)
        held_out = self.partition.held_out
        pool = self.validation
        if held_out is not None:
            pool = Pool(held_out, self.world.device, self.recipe.train.memory)
        predictions = predict(self.model, pool, rank=self.world.rank, world=self.world.size)
        if self.world.first:
            self.directory.write_predictions(predictions, self.partition.patches)
        self.model.load_state_dict(last)

    def training_patches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All patch pairs that are trained on, once."""
        for number, span in enumerate(self.training.pieces):
            piece = self.training.load(number)
            for rows in torch.split(torch.arange(span.stop - span.start, device=self.training.device), CHUNK):
                pairs = piece.pairs(rows)
                yield pairs.reference, pairs.fused


def _summary(metrics: dict[str, Any], best: bool) -> str:
    """The validation numbers of an epoch, in a line."""

    def number(key: str) -> str:
        value = metrics.get(key)
        return "-" if value is None else f"{value:.4f}"

    kept = ", kept" if best else ""
    return f"validation loss {number('loss')}, SRCC {number('srcc')} of patches, {number('image_srcc')} of images{kept}"
