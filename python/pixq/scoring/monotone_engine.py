"""The model `monotone` on the CPU, computed by the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq._core import monotone_score_at
from pixq.io.progress import ProgressCallback
from pixq.models.spec import ModelSpec
from pixq.scoring.engine import CORE_BLOCK, Bytes, CoreEngine, Corners, EngineScores, blocks, flatten_tensors

__all__ = ["MonotoneEngine", "monotone_parameters"]

#: Contexts and distances that the statistics of a patch pair have, and units of the layers of a member.
_CONTEXTS, _DISTANCES, _UNITS, _HIDDEN = 5, 27, 16, 4


def monotone_parameters(tensors: Mapping[str, NDArray[Any]], spec: ModelSpec, path: Path) -> NDArray[np.float32]:
    """Buffers and weights of a monotone model as the core takes them; see `_core.monotone_score_at`.

    Parameters
    ----------
    tensors
        By name, as `model.safetensors` has them.
    spec
        A monotone model.
    path
        The file, for the message.

    Raises
    ------
    PixqError
        If a tensor is missing, unknown, or has another shape.
    """
    members = spec.members
    units, hidden, width = _UNITS * members, _HIDDEN * members, _CONTEXTS + _DISTANCES
    shapes: dict[str, tuple[int, ...]] = {
        "context_mean": (_CONTEXTS,),
        "context_scale": (_CONTEXTS,),
        "distance_scale": (_DISTANCES,),
        "rise": (units, _DISTANCES),
        "cost": (members, _UNITS),
        "look.weight": (hidden, _CONTEXTS),
        "look.bias": (hidden,),
        "modulate": (members, _HIDDEN, 2 * _UNITS),
        "bias": (members, _UNITS),
        "top": (members,),
        "bend_in.weight": (units, width),
        "bend_in.bias": (units,),
        "bend_out": (members, _UNITS),
    }
    if spec.pooling == "learned":
        shapes |= {"weigh_in.weight": (hidden, _CONTEXTS), "weigh_in.bias": (hidden,), "weigh_out": (members, _HIDDEN)}
    return flatten_tensors(tensors, {f"body.{name}": shape for name, shape in shapes.items()}, path)


@dataclass(frozen=True, eq=False)
class MonotoneEngine(CoreEngine):
    """The monotone model by the core.

    Parameters
    ----------
    parameters
        As `monotone_parameters` gives them.
    scale, shift
        float32 (9,): what the nine channels are multiplied by, and what is then added.
    members
        How many nets the ensemble has.
    learned
        Whether the weight of a patch in its image's score is learned.
    """

    parameters: NDArray[np.float32]
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    members: int
    learned: bool

    computes = "monotone"

    @classmethod
    def takes(cls, spec: ModelSpec) -> bool:
        """See `CoreEngine`."""
        return spec.name == "monotone"

    @classmethod
    def open(cls, tensors: Mapping[str, NDArray[Any]], spec: ModelSpec, path: Path) -> MonotoneEngine:
        """See `CoreEngine`."""
        parameters = monotone_parameters(tensors, spec, path)
        learned = spec.pooling == "learned"
        return cls(parameters, tensors["channels.scale"], tensors["channels.shift"], spec.members, learned)

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

    def _scores_at(
        self, reference: Bytes, distorted: Bytes, corners: NDArray[np.int64], size: tuple[int, int]
    ) -> EngineScores:
        raw, weight = np.empty((2, len(corners) * self.members), np.float32)
        if len(corners):
            monotone_score_at(
                self.parameters,
                reference,
                distorted,
                corners,
                size=size,
                members=self.members,
                learned=self.learned,
                scale=self.scale,
                shift=self.shift,
                raw=raw,
                weight=weight,
            )
        score, counts = (values.reshape(len(corners), self.members).mean(axis=1) for values in (raw, weight))
        return EngineScores(score.astype(np.float64), np.clip(score, 0.0, 1.0), counts)
