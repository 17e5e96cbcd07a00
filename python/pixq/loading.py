"""What is read of a run: its recipe, its weights as a network, and the engine that scores by them."""

from __future__ import annotations

import os
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from pixq.errors import PixqError, one_line, unknown
from pixq.models import build, require
from pixq.patches.files import checksum
from pixq.predict.engines import ENGINES, ONNX, CoreEngine, Engine, EngineName, OnnxEngine
from pixq.predict.monotone_engine import MonotoneEngine
from pixq.train.recipe import Recipe
from pixq.train.run import FINISHED, RUN, RunDirectory, RunInfo

if TYPE_CHECKING:
    from pixq.models.base import PatchModel

__all__ = ["engine_of", "load_model", "read_run"]


def engine_of(files: RunDirectory, recipe: Recipe, info: RunInfo, device: str, engine: EngineName) -> Engine:
    """What computes a run's scores: `engine`, or the first that can if that is `auto`; see `pixq.load`.

    Raises
    ------
    PixqError
        If the weights are damaged, there is no such device or engine, or it can't compute this model there.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    core = next((each for each in (CoreEngine, MonotoneEngine) if each.takes(recipe.model)), None)
    if engine == "core" and core is None:
        raise PixqError(
            f"{files.path}: the core scores the models monotone, and tiny with a regression head and pooling that is "
            "not learned; choose another --engine"
        )
    if device != "cpu" and (engine in ("core", "onnx") or (core is not None and find_spec("torch") is None)):
        if device != "auto":
            what = "PyTorch, which is not installed" if engine == "auto" else f"the engine torch, not {engine}"
            raise PixqError(f"the device {device!r} needs {what}; choose cpu")
        device = "cpu"
    if device != "cpu":
        require("torch")
        from pixq.train.parallel import choose_device

        device = str(choose_device(device))
    on_cpu = device.partition(":")[0] == "cpu"
    if on_cpu and core is not None and engine in ("auto", "core"):
        return core.of(_tensors(files, info, "numpy"), recipe.model, files.model)
    if on_cpu and (engine == "onnx" or (engine == "auto" and OnnxEngine.there(files.path))):
        _tensors(files, info, "numpy")
        return OnnxEngine(files.path / ONNX, info.model_blake3)
    require("torch")
    import torch

    from pixq.predict.torch_engine import TorchEngine

    return TorchEngine(_model(files, recipe, info), torch.device(device))


def load_model(run: str | os.PathLike[str]) -> tuple[PatchModel, Recipe, RunInfo]:
    """The best model of a run as a module of PyTorch on the CPU, its recipe, and its `run.json`; see `pixq.load`."""
    files = RunDirectory(run)
    recipe, info = read_run(files)
    return _model(files, recipe, info), recipe, info


def read_run(files: RunDirectory) -> tuple[Recipe, RunInfo]:
    """The recipe and the `run.json` of a finished run.

    Raises
    ------
    PixqError
        If the run is not there, not finished or damaged.
    """
    info = files.read_info()
    recipe = files.recipe_of(info)
    if info.status not in FINISHED:
        raise PixqError(f"{files.path}: is not finished; go on with pixq train --resume")
    return recipe, info


def _tensors(files: RunDirectory, info: RunInfo, framework: Literal["pt", "numpy"]) -> dict[str, Any]:
    tensors, _ = files.read_tensors(files.model, framework)
    if asdict(checksum(files.model)) != info.files.get(files.model.name):
        raise PixqError(f"{files.model}: its checksum is not that of {RUN}; take the whole directory of the run")
    return tensors


def _model(files: RunDirectory, recipe: Recipe, info: RunInfo) -> PatchModel:
    tensors = _tensors(files, info, "pt")
    # The weights of a frozen backbone are in the run: they are not looked for again.
    model = build(recipe.model.model_copy(update={"weights": "saved"}))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise PixqError(f"{files.model}: does not fit its recipe ({one_line(error)})") from None
    return model
