"""The engines that compute a run's scores, and the choice between them.

To compute another model in Rust, subclass `pixq.scoring.engine.CoreEngine` and list the class in `CORE_ENGINES`.
"""

from __future__ import annotations

from importlib.util import find_spec

from pixq.errors import PixqError, unknown
from pixq.io.optional import require
from pixq.runs.directory import RunDirectory, RunInfo
from pixq.runs.load import build_model, read_tensors
from pixq.runs.recipe import Recipe
from pixq.scoring.engine import ENGINES, CoreEngine, Engine, EngineName
from pixq.scoring.monotone_engine import MonotoneEngine
from pixq.scoring.onnx_engine import ONNX, OnnxEngine
from pixq.scoring.tiny_engine import TinyEngine

__all__ = ["CORE_ENGINES", "choose_engine"]

#: Engines in Rust; each takes other models.
CORE_ENGINES: tuple[type[CoreEngine], ...] = (MonotoneEngine, TinyEngine)


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
    core = next((kind for kind in CORE_ENGINES if kind.takes(recipe.model)), None)
    if engine == "core" and core is None:
        models = ", and ".join(kind.computes for kind in CORE_ENGINES)
        raise PixqError(f"{files.path}: the core scores the models {models}; choose another --engine")
    device = _device(device, engine, core is not None)
    onnx, on_cpu = files.path / ONNX, device.partition(":")[0] == "cpu"
    if on_cpu and core is not None and engine in ("auto", "core"):
        return core.open(read_tensors(files, info, "numpy"), recipe.model, files.model)
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
