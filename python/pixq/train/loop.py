"""The training loop, from top to bottom."""

from __future__ import annotations

import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from pixq.errors import PixqError, one_line
from pixq.io.optional import require
from pixq.io.paths import text_of
from pixq.models import MODELS, build, parameters
from pixq.models.base import CHUNK, PatchModel
from pixq.models.device import choose_device
from pixq.patches.store import fingerprint
from pixq.runs.directory import FINISHED, FORMAT, RunDirectory, RunInfo, describe_hardware, versions
from pixq.runs.recipe import Recipe
from pixq.train import curves
from pixq.train.data import Pool
from pixq.train.init_from_run import Start
from pixq.train.parallel import World, join
from pixq.train.partition import Parts
from pixq.train.predict import predict, validate
from pixq.train.sampling import balance, batches_of, generator, steps_of
from pixq.train.step import kind_of_step, learning_rate, make_optimiser

__all__ = ["Progress", "train"]

#: Seconds between two checkpoints inside a long epoch.
SAVE_EVERY = 60.0


@dataclass
class Progress:
    """Where training stands; with the weights and the optimiser's state, all that a checkpoint holds.

    Parameters
    ----------
    epoch
        The epoch that is being trained, from 1; epoch 0 is validation before the first step.
    step
        Steps of it that are done.
    total
        The loss summed over the items of these steps.
    best_epoch, best_loss
        The lowest validation loss yet. A loss that is not finite is no loss.
    mark, stale
        The validation loss that patience counts from, and the epochs since that did not fall below it by
        `min_delta`.
    """

    epoch: int = 1
    step: int = 0
    total: float = 0.0
    best_epoch: int = 0
    best_loss: float = math.inf
    mark: float = math.inf
    stale: int = 0
    #: For whoever watches; not part of a checkpoint's meaning.
    steps: int = field(default=0, compare=False)
    epochs: int = field(default=0, compare=False)
    validation: dict[str, Any] = field(default_factory=dict, compare=False)


def train(
    parts: Parts,
    out: str | os.PathLike[str],
    recipe: Recipe,
    *,
    device: str = "auto",
    resume: bool = False,
    start: Start | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> RunInfo:
    """Train a model on a patch set, and leave a run directory.

    Parameters
    ----------
    parts
        What to train and validate on: `by_split(patches)` or `by_fold(patches, fold)`.
    out
        The run's directory.
    recipe
        What to do.
    device
        `auto`, `cpu`, `cuda` or `cuda:0`.
    resume
        Go on with a run that was interrupted; on a CPU it ends with the bytes of an unbroken one. A finished run is
        left as it is.
    start
        The model to start from, instead of random weights; a run that is resumed knows its own.
    watch
        Told after each step and each epoch how far it is.

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
        After Ctrl-C: the checkpoint is written, `resume` goes on.
    """
    with join(choose_device(device)) as world, _interruptible() as interrupted:
        run = RunDirectory(out)
        _check(parts, recipe, world)
        begun = resume and run.exists()
        restored = begun and run.last.exists()
        if run.exists() and not resume:
            raise PixqError(f"{run.path}: holds a run already; go on with --resume, or choose another --out")
        world.wait()
        if begun:
            before = _same_run(run, parts, recipe, start)
            start = None if before.started_from is None else Start.described(before.started_from)
            if before.status in FINISHED:
                return before
            if before.best is not None and not restored:
                raise PixqError(f"{run.last}: is missing, so the run can't go on; choose another --out and train anew")

        # The same weights for one seed, whatever was drawn before.
        torch.manual_seed(recipe.train.seed)
        model = _begin(recipe, start, restored).to(world.device)
        _prepare(model, recipe, world)
        optimiser = make_optimiser(model, recipe.optimiser, world.device)
        training = Pool(parts.train, world.device, recipe.train.memory)
        validation = Pool(parts.validation, world.device, recipe.train.memory)
        weights = balance(training, recipe.balance, recipe.train.unit == "images")
        steps = steps_of(training, recipe)
        progress = Progress(steps=steps, epochs=recipe.train.epochs)
        info = _describe(parts, recipe, model, world, start)
        if world.first and not restored:
            # Not before all that can be refused was: what is here from now on can be resumed.
            run.create()
            run.write_info(info)
            run.write_recipe(recipe)
        kind = kind_of_step(model, recipe, world.device, world.size)
        step = kind(model, world.wrap(model), optimiser, recipe, world=world.size)
        spent, clock = 0.0, time.perf_counter()

        def note(status: str) -> None:
            nonlocal info
            seconds = spent + time.perf_counter() - clock
            best = {"epoch": progress.best_epoch, "loss": progress.best_loss}
            timings = {"seconds": round(seconds, 3), "steps_an_epoch": steps}
            known = math.isfinite(progress.best_loss)
            info = info.model_copy(update={"status": status, "best": best if known else None, "timings": timings})
            if world.first:
                _save(run, model, optimiser, progress)
                files = run.checksums() if status in FINISHED else {}
                run.write_info(info.model_copy(update={"files": files}))

        def finish_epoch(train_loss: float | None, lr: float) -> None:
            """Validate, write the metrics, keep the best weights."""
            scores = predict(model, validation, recipe.train.validation_patches, rank=world.rank, world=world.size)
            progress.validation = validate(model, recipe, scores)
            loss = progress.validation["loss"]
            if loss is None:
                raise PixqError(_not_a_number(run, "validation", progress.epoch))
            if loss < progress.best_loss:
                progress.best_loss, progress.best_epoch = loss, progress.epoch
                if world.first:
                    run.write_tensors(run.model, model.state_dict(), {"epoch": progress.epoch, "loss": loss})
            progress.stale = 0 if loss < progress.mark - recipe.stopping.min_delta else progress.stale + 1
            progress.mark = min(progress.mark, loss) if progress.stale == 0 else progress.mark
            line = {
                "epoch": progress.epoch,
                "lr": lr,
                "train": None if train_loss is None else {"loss": train_loss},
                "validation": progress.validation,
            }
            if world.first:
                run.keep_metrics(progress.epoch)
                run.append_metrics(line)
                board.add(line)
            progress.epoch, progress.step, progress.total = progress.epoch + 1, 0, 0.0
            stop = world.any(bool(interrupted))
            note("interrupted" if stop else "running")
            if watch is not None:
                watch(progress)
            if stop:
                raise KeyboardInterrupt("go on with --resume")

        board = _Board(run, world)
        if restored:
            _load(run, model, optimiser, progress)
            spent = float(before.timings.get("seconds", 0.0))
            lines = run.read_metrics()[: progress.epoch]
            if len(lines) < progress.epoch:
                raise PixqError(
                    f"{run.metrics}: is cut short: it has {len(lines)} lines of {progress.epoch}; train anew"
                )
            board.fill(lines)
        else:
            if start is None:
                model.calibrate(_training_patches(training))
            progress.epoch = 0
            finish_epoch(None, 0.0)

        total = torch.zeros((), dtype=torch.float64, device=world.device)
        while progress.epoch <= recipe.train.epochs and not _patience_is_over(progress, recipe):
            model.train()
            lr, seen, saved = 0.0, 0, time.monotonic()
            # What was summed before an interruption is counted by one process alone.
            total.fill_(progress.total if world.first else 0.0)
            # Nothing random is carried from one epoch to the next, so resuming needs the epoch's number alone.
            number = 0
            for piece_number in _piece_order(training, recipe, progress.epoch):
                batches = batches_of(training, piece_number, recipe, weights, epoch=progress.epoch, hidden=model.hidden)
                piece = None
                for batch in batches:
                    number += 1
                    seen += len(batch.rows)
                    at = (progress.epoch - 1) * steps + number - 1
                    lr = learning_rate(recipe.optimiser, at, steps, recipe.train.epochs)
                    if number <= progress.step:
                        continue
                    if piece is None:
                        piece = training.load(piece_number)
                    step.set_learning_rate(lr)
                    own = batch if world.size == 1 else batch.part(world.rank, world.size)
                    total += step(piece, own, len(batch.rows))
                    progress.step = number
                    stop = world.any(bool(interrupted))
                    if stop or world.any(time.monotonic() - saved > SAVE_EVERY):
                        progress.total, saved = float(world.sum(total)), time.monotonic()
                        total.fill_(progress.total if world.first else 0.0)
                        _finite(run, progress.total, progress.epoch)
                        note("interrupted" if stop else "running")
                        if stop:
                            raise KeyboardInterrupt("go on with --resume")
                    if watch is not None:
                        watch(progress)
            loss = float(world.sum(total)) / seen
            _finite(run, loss, progress.epoch)
            finish_epoch(loss, lr)

        _finish(run, parts, recipe, model, validation, world)
        if world.first:
            board.close()
            run.write_curves(curves.png(curves.draw(run.read_metrics(), progress.best_epoch)))
        # Last of all: a run that says it is finished has all of its files.
        note("patience" if _patience_is_over(progress, recipe) else "epochs")
        if world.any(bool(interrupted)):
            # This run is done; of several folds the next one is not begun.
            raise KeyboardInterrupt("go on with --resume")
        world.wait()
        return run.read_info()


def _training_patches(pool: Pool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """All patch pairs that are trained on, once."""
    for number, span in enumerate(pool.pieces):
        piece = pool.load(number)
        for rows in torch.split(torch.arange(span.stop - span.start, device=pool.device), CHUNK):
            pairs = piece.pairs(rows)
            yield pairs.reference, pairs.fused


def _patience_is_over(progress: Progress, recipe: Recipe) -> bool:
    return 0 < recipe.stopping.patience <= progress.stale


def _piece_order(pool: Pool, recipe: Recipe, epoch: int) -> list[int]:
    """The pieces in another order each epoch."""
    order: list[int] = generator(recipe.train.seed, epoch).permutation(len(pool.pieces)).tolist()
    return order


def _check(parts: Parts, recipe: Recipe, world: World) -> None:
    """What must hold before a long run begins."""
    patches = parts.patches
    name, size = recipe.model.name, patches.geometry.size
    # Some are only used at the end: to miss one then would cost the run.
    for package in ("safetensors", "scipy", "tensorboard", "matplotlib"):
        require(package)
    if name not in MODELS:
        raise PixqError(f"unknown model {name!r}; choose {', '.join(MODELS)}")
    smallest = MODELS[name].smallest
    if size % MODELS[name].multiple:
        wanted = MODELS[name].multiple
        raise PixqError(f"{patches.directory}: its patches have {size} pixels, {name} needs a multiple of {wanted}")
    if size < smallest:
        raise PixqError(f"{patches.directory}: its patches have {size} pixels, {name} needs {smallest}")
    if recipe.train.precision != "fp32" and world.device.type != "cuda":
        raise PixqError(f"train.precision is {recipe.train.precision}, which needs CUDA; set train.precision=fp32")
    if problems := patches.verify():
        raise PixqError(f"{problems[0]}; delete {patches.directory} and build the patch set anew")


def _begin(recipe: Recipe, start: Start | None, restored: bool) -> PatchModel:
    """The model, with random weights, those of `start`, or any, where a checkpoint is read next."""
    if start is None:
        return build(recipe.model)
    # The weights of a frozen backbone are in the run, too.
    model = build(recipe.model.model_copy(update={"weights": "saved"}))
    if not restored:
        model.load_state_dict(start.weights())
    start.freeze(model)
    return model


def _prepare(model: PatchModel, recipe: Recipe, world: World) -> None:
    """Precision on CUDA, threads on a CPU."""
    if world.device.type == "cuda":
        precision = "tf32" if recipe.train.precision == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = precision
        torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
    else:
        # The core has threads of its own. Two of PyTorch's would only wait for one another between small operations.
        torch.set_num_threads(1 if model.kernel is not None else recipe.train.threads)


def _same_run(run: RunDirectory, parts: Parts, recipe: Recipe, start: Start | None) -> RunInfo:
    """The run that is resumed, if it is of the same recipe, patches and start."""
    info = run.read_info()
    if run.recipe_of(info) != recipe:
        raise PixqError(
            f"{run.path}: was begun with another recipe; leave out --recipe and --set, or choose another --out"
        )
    if info.patches["fingerprint"] != fingerprint(parts.patches):
        raise PixqError(f"{run.path}: was begun on another patch set; name that one, or choose another --out")
    if {key: info.split[key] for key in parts.rule if key in info.split} != parts.rule:
        raise PixqError(f"{run.path}: was begun on other splits or folds; resume as it was begun")
    if start is not None:
        start.check_same(info.started_from, run.path)
    return info


def _describe(parts: Parts, recipe: Recipe, model: PatchModel, world: World, start: Start | None) -> RunInfo:
    patches = parts.patches
    manifest = patches.manifest
    return RunInfo(
        format=FORMAT,
        schema_version=1,
        versions=versions(),
        recipe=recipe.model_dump(mode="json"),
        patches={
            # Of a name that is not text, `pixq export --onnx` asks for the patch set by --patches.
            "directory": text_of(patches.directory),
            "fingerprint": fingerprint(patches),
            "dataset": manifest["dataset"],
            "label": manifest["label"],
            "label_contract": manifest["label_contract"],
            "geometry": {"size": patches.geometry.size, "roi": patches.geometry.roi},
            "fusions": manifest["fusions"],
        },
        split=parts.describe(),
        parameters=parameters(model),
        status="running",
        best=None,
        hardware=describe_hardware(world.device, recipe.train.threads, world.size),
        timings={},
        files={},
        started_from=None if start is None else start.describe(),
    )


def _save(run: RunDirectory, model: PatchModel, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """One file, so that weights, optimiser and progress are always of the same step."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value).clone() for name, value in state.items()}
    kept = asdict(progress)
    del kept["validation"], kept["steps"], kept["epochs"]
    run.write_tensors(run.last, tensors, {name: value for name, value in kept.items() if _is_json(value)})


def _is_json(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _load(run: RunDirectory, model: PatchModel, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    tensors, kept = run.read_tensors(run.last)
    try:
        model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
        state = optimiser.state_dict()
        state["state"] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".")
                weight = optimiser.param_groups[0]["params"][int(index)]
                # Fused kernels go through memory in order: moments must lie as their weight does, channels last.
                like = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
                state["state"].setdefault(int(index), {})[key] = like
        optimiser.load_state_dict(state)
        loaded = replace(progress, **kept)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise PixqError(f"{run.last}: does not fit this run ({one_line(error)}); train anew") from None
    progress.__dict__.update(loaded.__dict__)


def _finite(run: RunDirectory, loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise PixqError(_not_a_number(run, "training", epoch))


def _not_a_number(run: RunDirectory, which: str, epoch: int) -> str:
    return (
        f"{run.path}: the {which} loss is not a number in epoch {epoch}; lower optimiser.lr and "
        "choose another --out. model.safetensors holds the best weights before that"
    )


def _finish(run: RunDirectory, parts: Parts, recipe: Recipe, model: PatchModel, validation: Pool, world: World) -> None:
    """Predictions of the best weights: of the held-out fold, or of validation."""
    world.wait()
    tensors, _ = run.read_tensors(run.model)
    last = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(tensors)
    pool = validation if parts.held_out is None else Pool(parts.held_out, world.device, recipe.train.memory)
    predictions = predict(model, pool, rank=world.rank, world=world.size)
    if world.first:
        run.write_predictions(predictions, parts.patches)
    model.load_state_dict(last)


class _Board:
    """TensorBoard's files, of the process that writes."""

    def __init__(self, run: RunDirectory, world: World) -> None:
        self._writer = None
        if world.first:
            require("tensorboard")
            shutil.rmtree(run.tensorboard, ignore_errors=True)
            self._writer = require("tensorboard", "torch.utils.tensorboard").SummaryWriter(str(run.tensorboard))

    def add(self, line: dict[str, Any]) -> None:
        """The numbers of a line of `metrics.jsonl`."""
        if self._writer is None:
            return
        for part in ("train", "validation"):
            for name, value in (line[part] or {}).items():
                if value is not None:
                    self._writer.add_scalar(f"{name}/{part}", value, line["epoch"])
        self._writer.add_scalar("lr", line["lr"], line["epoch"])
        self._writer.flush()

    def fill(self, lines: list[dict[str, Any]]) -> None:
        """What was written before an interruption, once more: epochs that are run again must not show twice."""
        for line in lines:
            self.add(line)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """A list that is filled by Ctrl-C or SIGTERM, so that a step is never cut in half; the second Ctrl-C does."""
    caught: list[int] = []

    def catch(number: int, _: Any) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
