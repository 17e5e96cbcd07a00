"""The engine in Rust: on the CPU, without PyTorch, and the same bits for any number of threads.

To compute another model, write its kernel in `rust/core` and add a row to `CORE_MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq._core import score_at
from pixq.errors import PixqError
from pixq.io.progress import ProgressCallback
from pixq.models.spec import ModelSpec
from pixq.scoring.engine import Bytes, Corners, EngineScores, blocks

__all__ = ["CORE_BLOCK", "CORE_MODELS", "CoreEngine", "CoreModel", "takes"]

#: Patches per call. Patches of one call share work where they overlap.
CORE_BLOCK = 1 << 15

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class CoreModel:
    """A model that the core computes.

    Parameters
    ----------
    kernel
        Its name in `_core.score_at`.
    takes
        Whether the core computes a model of this name with these options.
    only
        Which options `takes` accepts, for the message that refuses others; empty if it accepts all.
    options
        The options of `_core.score_at`.
    shapes
        The tensors of `model.safetensors` in the order of `_core.score_at`.
    """

    kernel: str
    takes: Callable[[ModelSpec], bool]
    only: str
    options: Callable[[ModelSpec], dict[str, int]]
    shapes: Callable[[ModelSpec], Shapes]


def _monotone_shapes(spec: ModelSpec) -> Shapes:
    members, contexts, distances, units, hidden = spec.members, 5, 27, 16, 4
    shapes: Shapes = {
        "context_mean": (contexts,),
        "context_scale": (contexts,),
        "distance_scale": (distances,),
        "rise": (units * members, distances),
        "cost": (members, units),
        "look.weight": (hidden * members, contexts),
        "look.bias": (hidden * members,),
        "modulate": (members, hidden, 2 * units),
        "bias": (members, units),
        "top": (members,),
        "bend_in.weight": (units * members, contexts + distances),
        "bend_in.bias": (units * members,),
        "bend_out": (members, units),
    }
    if spec.pooling == "learned":
        shapes["weigh_in.weight"] = (hidden * members, contexts)
        shapes["weigh_in.bias"] = (hidden * members,)
        shapes["weigh_out"] = (members, hidden)
    return {f"body.{name}": shape for name, shape in shapes.items()}


def _tiny_shapes(spec: ModelSpec) -> Shapes:
    convolutions = {"0": (32, 9, 3, 3), "3": (16, 32, 1, 1), "6": (8, 16, 3, 3)}
    norms = {"1": (32,), "4": (16,)} if spec.norm == "group" else {}
    shapes: Shapes = {}
    for layer, shape in sorted({**convolutions, **norms}.items()):
        shapes |= {f"body.layers.{layer}.weight": shape, f"body.layers.{layer}.bias": shape[:1]}
    return shapes | {"head.linear.weight": (1, 8), "head.linear.bias": (1,)}


_MONOTONE = CoreModel(
    "monotone",
    lambda spec: True,
    "",
    lambda spec: {"members": spec.members, "learned": spec.pooling == "learned"},
    _monotone_shapes,
)

#: By name, as recipes have them.
CORE_MODELS: dict[str, CoreModel] = {
    "monotone": _MONOTONE,
    "visibility": _MONOTONE,
    "tiny": CoreModel(
        "tiny",
        lambda spec: spec.head == "regression" and spec.pooling != "learned",
        " with a regression head and pooling that is not learned",
        lambda spec: {"norm": spec.norm == "group"},
        _tiny_shapes,
    ),
}


def takes(spec: ModelSpec) -> bool:
    """Whether the core computes a model."""
    model = CORE_MODELS.get(spec.name)
    return model is not None and model.takes(spec)


@dataclass(frozen=True, eq=False)
class CoreEngine:
    """A model computed by the core; an `Engine`.

    Parameters
    ----------
    spec
        A model that the core `takes`.
    parameters
        Its tensors one after another, as `_core.score_at` wants them.
    scale, shift
        float32 (9,): factors of the nine channels of the preprocessing, and what is then added.
    """

    spec: ModelSpec
    parameters: NDArray[np.float32]
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]

    name = "core"
    device = "cpu"

    @classmethod
    def open(cls, tensors: Mapping[str, NDArray[Any]], spec: ModelSpec, path: Path) -> CoreEngine:
        """Make the engine of a model from the tensors of the file at `path`, by name.

        Raises
        ------
        PixqError
            If a tensor is missing, unknown, or has another shape or dtype; the message names `path`.
        """
        shapes = CORE_MODELS[spec.name].shapes(spec)
        expected = {**shapes, "channels.scale": (9,), "channels.shift": (9,)}
        for name in sorted({*expected, *tensors}):
            tensor = tensors.get(name)
            if tensor is None or tensor.shape != expected.get(name) or tensor.dtype != np.float32:
                raise PixqError(f"{path}: does not fit its recipe ({name})")
        parameters = np.concatenate([tensors[name].reshape(-1) for name in shapes])
        return cls(spec, parameters, tensors["channels.scale"], tensors["channels.shift"])

    def probabilities(self, reference: Bytes, distorted: Bytes) -> NDArray[np.float32]:
        """Raise `PixqError`: the core computes no ordinal head."""
        raise PixqError("the core computes no probabilities; choose another --engine")

    def scores(self, reference: Bytes, distorted: Bytes) -> EngineScores:
        """See `Engine`."""
        n, height, width = reference.shape[:3]
        # Stacked on top of each other, the patches are two images.
        r, d = (np.ascontiguousarray(patches).reshape(n * height, width, 3) for patches in (reference, distorted))
        corners = np.stack([np.arange(n) * height, np.zeros(n, np.int64)], axis=1)
        return self._scores_at(r, d, corners, (height, width))

    def scores_at(
        self, reference: Bytes, distorted: Bytes, corners: Corners, size: int, on_progress: ProgressCallback
    ) -> EngineScores:
        """See `Engine`."""
        out = EngineScores.empty(len(corners))
        for some in blocks(len(corners), CORE_BLOCK, on_progress):
            block = self._scores_at(reference, distorted, corners[some], (size, size))
            out.score[some], out.quality[some], out.weight[some] = block
        return out

    def _scores_at(self, reference: Bytes, distorted: Bytes, corners: Corners, size: tuple[int, int]) -> EngineScores:
        model = CORE_MODELS[self.spec.name]
        options = model.options(self.spec)
        members = options.get("members", 1)
        scores, weights = np.empty((2, len(corners) * members), np.float32)
        if len(corners):
            score_at(
                model.kernel,
                self.parameters,
                reference,
                distorted,
                corners,
                size=size,
                options=options,
                scale=self.scale,
                shift=self.shift,
                scores=scores,
                weights=weights,
            )
        score, weight = (values.reshape(len(corners), members).mean(axis=1) for values in (scores, weights))
        if self.spec.link == "sigmoid":
            score = _sigmoid(score)
        return EngineScores(score.astype(np.float64), np.clip(score, 0.0, 1.0), weight)


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    # In float64, so that no bit depends on a number's position in a vector.
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-values.astype(np.float64)))).astype(np.float32)
