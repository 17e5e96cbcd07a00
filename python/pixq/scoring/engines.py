"""The engines that compute a run's scores, and the choice between them."""

from __future__ import annotations

from importlib.util import find_spec

from pixq.errors import PixqError, unknown
from pixq.io.optional import require
from pixq.runs.directory import RunDirectory, RunInfo
from pixq.runs.load import build_model, read_tensors
from pixq.runs.recipe import Recipe
from pixq.scoring.core_engine import CORE_MODELS, CoreEngine, takes
from pixq.scoring.engine import ENGINES, Engine, EngineName
from pixq.scoring.onnx_engine import ONNX, OnnxEngine

__all__ = ["choose_engine"]


def choose_engine(
    files: RunDirectory, recipe: Recipe, info: RunInfo, device: str = "cpu", engine: EngineName = "auto"
) -> Engine:
    """Open the engine called `engine` for a run, or with `auto` the first one that can compute it; see `pixq.load`.

    Raises
    ------
    PixqError
        If there is no such device or engine, the engine can't compute this model there, or the weights are damaged.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    core = takes(recipe.model)
    if engine == "core" and not core:
        models = ", and ".join(name + model.only for name, model in CORE_MODELS.items())
        raise PixqError(f"{files.path}: the core scores the models {models}; choose another --engine")
    device = _device(device, engine, core)
    onnx, on_cpu = files.path / ONNX, device.partition(":")[0] == "cpu"
    if on_cpu and core and engine in ("auto", "core"):
        return CoreEngine.open(read_tensors(files, info, "numpy"), recipe.model, files.model)
    if on_cpu and (engine == "onnx" or (engine == "auto" and OnnxEngine.refusal(onnx) is None)):
        # Damaged weights are refused, even though ONNX Runtime does not read them.
        read_tensors(files, info, "numpy")
        return OnnxEngine(onnx, info.model_blake3)
    require("torch")
    import torch

    from pixq.scoring.torch_engine import TorchEngine

    return TorchEngine(build_model(files, recipe, info), torch.device(device))


def _device(device: str, engine: EngineName, on_core: bool) -> str:
    """The device to compute on: `auto` becomes `cpu` where nothing else can be had."""
    if device == "cpu":
        return device
    without_torch = engine == "auto" and on_core and find_spec("torch") is None
    if engine in ("core", "onnx") or without_torch:
        if device == "auto":
            return "cpu"
        needs = "PyTorch, which is not installed" if without_torch else f"the engine torch, not {engine}"
        raise PixqError(f"the device {device!r} needs {needs}; choose cpu")
    return str(require("torch", "pixq.models.device").choose_device(device))
