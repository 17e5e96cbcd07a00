"""Choosing the engine that computes a run's scores."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from pixq.errors import PixqError, unknown
from pixq.io.optional import require
from pixq.runs.directory import RunDirectory, RunInfo
from pixq.runs.load import build_model, read_tensors
from pixq.runs.recipe import Recipe
from pixq.scoring.engines import ENGINES, ONNX, CoreEngine, Engine, EngineName, OnnxEngine
from pixq.scoring.monotone_engine import MonotoneEngine

if TYPE_CHECKING:
    pass

__all__ = ["engine_of"]


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
        from pixq.models.device import choose_device

        device = str(choose_device(device))
    on_cpu = device.partition(":")[0] == "cpu"
    if on_cpu and core is not None and engine in ("auto", "core"):
        return core.of(read_tensors(files, info, "numpy"), recipe.model, files.model)
    if on_cpu and (engine == "onnx" or (engine == "auto" and OnnxEngine.there(files.path))):
        read_tensors(files, info, "numpy")
        return OnnxEngine(files.path / ONNX, info.model_blake3)
    require("torch")
    import torch

    from pixq.scoring.torch_engine import TorchEngine

    return TorchEngine(build_model(files, recipe, info), torch.device(device))
