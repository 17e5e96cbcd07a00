"""The model `tiny` on the CPU, computed by the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq._core import tiny_score, tiny_score_at
from pixq.io.progress import ProgressCallback
from pixq.models.spec import ModelSpec
from pixq.scoring.engine import CORE_BLOCK, Bytes, CoreEngine, Corners, EngineScores, blocks, flatten_tensors

__all__ = ["TinyEngine", "tiny_parameters"]


def tiny_parameters(tensors: Mapping[str, NDArray[Any]], spec: ModelSpec, path: Path) -> NDArray[np.float32]:
    """The weights of a tiny model as the core takes them: one after another, in the order of PyTorch's `parameters()`.

    Parameters
    ----------
    tensors
        By name, as `model.safetensors` has them.
    spec
        A tiny model with a regression head.
    path
        The file, for the message.

    Raises
    ------
    PixqError
        If a tensor is missing, unknown, or has another shape.
    """
    convolutions = {"0": (32, 9, 3, 3), "3": (16, 32, 1, 1), "6": (8, 16, 3, 3)}
    norms = {"1": (32,), "4": (16,)} if spec.norm == "group" else {}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, shape in sorted({**convolutions, **norms}.items()):
        shapes |= {f"body.layers.{layer}.weight": shape, f"body.layers.{layer}.bias": shape[:1]}
    shapes |= {"head.linear.weight": (1, 8), "head.linear.bias": (1,)}
    return flatten_tensors(tensors, shapes, path)


@dataclass(frozen=True, eq=False)
class TinyEngine(CoreEngine):
    """The tiny model by the core.

    Parameters
    ----------
    parameters
        As `tiny_parameters` gives them.
    scale, shift
        float32 (9,): what the nine channels are multiplied by, and what is then added.
    norm
        Whether the model has its GroupNorm layers.
    link
        What its output goes through: `identity` or `sigmoid`.
    """

    parameters: NDArray[np.float32]
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    norm: bool
    link: str

    computes = "tiny with a regression head and pooling that is not learned"

    @classmethod
    def takes(cls, spec: ModelSpec) -> bool:
        """See `CoreEngine`."""
        return spec.name == "tiny" and spec.head == "regression" and spec.pooling != "learned"

    @classmethod
    def open(cls, tensors: Mapping[str, NDArray[Any]], spec: ModelSpec, path: Path) -> TinyEngine:
        """See `CoreEngine`."""
        parameters = tiny_parameters(tensors, spec, path)
        return cls(parameters, tensors["channels.scale"], tensors["channels.shift"], spec.norm == "group", spec.link)

    def scores(self, reference: Bytes, distorted: Bytes) -> EngineScores:
        """See `Engine`."""
        out = np.empty(len(reference), np.float32)
        if len(out):
            r, d = np.ascontiguousarray(reference), np.ascontiguousarray(distorted)
            tiny_score(self.parameters, r, d, out=out, **self._options)
        return self._link(out)

    def scores_at(
        self, reference: Bytes, distorted: Bytes, corners: Corners, size: int, on_progress: ProgressCallback
    ) -> EngineScores:
        """See `Engine`."""
        out = np.empty(len(corners), np.float32)
        for some in blocks(len(corners), CORE_BLOCK, on_progress):
            tiny_score_at(
                self.parameters, reference, distorted, corners[some], size=size, out=out[some], **self._options
            )
        return self._link(out)

    @property
    def _options(self) -> dict[str, Any]:
        return {"norm": self.norm, "scale": self.scale, "shift": self.shift}

    def _link(self, raw: NDArray[np.float32]) -> EngineScores:
        if self.link == "sigmoid":
            # In float64, so that no bit depends on a number's position in a vector.
            with np.errstate(over="ignore"):
                raw = (1.0 / (1.0 + np.exp(-raw.astype(np.float64)))).astype(np.float32)
        return EngineScores(raw.astype(np.float64), np.clip(raw, 0.0, 1.0), np.ones(len(raw), np.float32))
