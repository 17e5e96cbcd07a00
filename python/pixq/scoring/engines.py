"""What scores patches: the core's kernel, ONNX Runtime, or PyTorch, behind one interface.

Nothing here imports PyTorch unless it is the engine: the tiny model needs NumPy and the core alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from pixq._core import equal_at, num_threads, tile, tiny_score, tiny_score_at
from pixq.errors import PixqError, one_line
from pixq.io.optional import require
from pixq.models.spec import ModelSpec

__all__ = [
    "ENGINES",
    "ONNX",
    "CoreEngine",
    "Engine",
    "EngineName",
    "OnnxEngine",
    "Scored",
    "Watch",
    "blocks",
    "cut_ahead",
    "identical_at",
    "joined",
    "tiny_parameters",
]

EngineName = Literal["auto", "core", "onnx", "torch"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

#: The file of a run that ONNX Runtime scores by, where there is one.
ONNX = "model.onnx"

#: What is told how many patches are done, of how many.
Watch = Callable[[int, int], None]

Bytes = NDArray[np.uint8]

#: Patches that are cut at a time: 20 MB of pairs of 20x20.
BLOCK = 8192
#: Patches that the core scores at a time where they lie. Those of one call share work where they overlap.
CORE_BLOCK = 1 << 15
#: Patches a call of ONNX Runtime. In batches of 256, whose features leave the cache, it is slower.
ONNX_BATCH = 64


class Scored(NamedTuple):
    """What an engine says of patch pairs.

    Parameters
    ----------
    score
        float64 (n,): what calibrations cut; higher is better.
    quality
        float32 (n,), 0 to 1, 1 = nobody notices.
    weight
        float32 (n,): what each patch counts in its image's score.
    """

    score: NDArray[np.float64]
    quality: NDArray[np.float32]
    weight: NDArray[np.float32]


class Engine(Protocol):
    """What scores patches."""

    @property
    def name(self) -> str:
        """`core`, `onnx`, or `torch on` a device."""

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, `cuda:0`."""

    def scores(self, reference: Bytes, distorted: Bytes) -> Scored:
        """Score patches, uint8 (n, height, width, 3) each."""

    def probabilities(self, reference: Bytes, distorted: Bytes) -> NDArray[np.float32]:
        """Probabilities of Red, Orange and Green, float32 (n, 3), of an ordinal head."""

    def scores_at(
        self, reference: Bytes, distorted: Bytes, corners: NDArray[np.int64], size: int, watch: Watch | None = None
    ) -> Scored:
        """Score patches of whole images, uint8 (height, width, 3) each, by their corners (n, 2), y before x."""


def blocks(count: int, block: int, watch: Watch | None = None) -> Iterator[slice]:
    """`count` patches, `block` at a time; `watch` is told after each block how many are done.

    Examples
    --------
    >>> list(blocks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for at in range(0, count, block):
        done = min(at + block, count)
        yield slice(at, done)
        if watch is not None:
            watch(done, count)


def cut_ahead(
    reference: Bytes, distorted: Bytes, corners: NDArray[np.int64], size: int, block: int = BLOCK
) -> Iterator[tuple[int, Bytes, Bytes]]:
    """Patches of both images, `block` at a time, after the number of the first; meanwhile the next are cut."""

    def cut(at: int) -> tuple[int, Bytes, Bytes]:
        here = corners[at : at + block]
        return at, tile(reference, size=size, coords=here), tile(distorted, size=size, coords=here)

    if not len(corners):
        return
    with ThreadPoolExecutor(1, "pixq-cut") as pool:
        ahead = pool.submit(cut, 0)
        for at in range(0, len(corners), block):
            done = ahead.result()
            if at + block < len(corners):
                ahead = pool.submit(cut, at + block)
            yield done


def identical_at(
    reference: Bytes,
    distorted: Bytes,
    corners: NDArray[np.int64],
    size: int,
    watch: Watch | None = None,
) -> NDArray[np.bool_]:
    """Whether the patches of two images are equal in every pixel, bool (n,)."""
    found = np.empty(len(corners), np.bool_)
    for here in blocks(len(corners), BLOCK, watch):
        found[here] = equal_at(reference, distorted, corners[here], size=size)
    return found


# The tiny model by the core.


def tiny_parameters(tensors: Mapping[str, NDArray[Any]], spec: ModelSpec, path: Path) -> NDArray[np.float32]:
    """The weights of a tiny model as the core takes them: one after another, in the order of PyTorch's `parameters()`.

    Parameters
    ----------
    tensors
        By name, as `model.safetensors` has them.
    spec
        Of a tiny model with a regression head.
    path
        The file, for the message.

    Raises
    ------
    PixqError
        If a tensor is missing, of another shape, or one too many.
    """
    convolutions = {"0": (32, 9, 3, 3), "3": (16, 32, 1, 1), "6": (8, 16, 3, 3)}
    norms = {"1": (32,), "4": (16,)} if spec.norm == "group" else {}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, shape in sorted({**convolutions, **norms}.items()):
        shapes |= {f"body.layers.{layer}.weight": shape, f"body.layers.{layer}.bias": shape[:1]}
    shapes |= {"head.linear.weight": (1, 8), "head.linear.bias": (1,)}
    return joined(tensors, shapes, path)


def joined(
    tensors: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], path: Path
) -> NDArray[np.float32]:
    """The tensors of `shapes`, one after another, of a model that has these and its channels' scale and shift alone.

    Raises
    ------
    PixqError
        If a tensor is missing, of another shape or dtype, or one too many; it names `path`.
    """
    expected = {**shapes, "channels.scale": (9,), "channels.shift": (9,)}
    for name in sorted({*expected, *tensors}):
        found = tensors.get(name)
        if found is None or found.shape != expected.get(name) or found.dtype != np.float32:
            raise PixqError(f"{path}: does not fit its recipe ({name})")
    return np.concatenate([tensors[name].reshape(-1) for name in shapes])


@dataclass(frozen=True, eq=False)
class CoreEngine:
    """The tiny model on the CPU by the core: without PyTorch, and the same bits for any number of threads.

    Parameters
    ----------
    parameters
        As `tiny_parameters` gives them.
    scale, shift
        float32 (9,): what the nine channels are multiplied with, and what is added then.
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

    name = "core"
    device = "cpu"

    @staticmethod
    def takes(spec: ModelSpec) -> bool:
        """Whether the core computes this model: tiny with a regression head, whose pooling is not learned."""
        return spec.name == "tiny" and spec.head == "regression" and spec.pooling != "learned"

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]], spec: ModelSpec, path: Path) -> CoreEngine:
        """The engine of a model's tensors; see `tiny_parameters`."""
        parameters = tiny_parameters(tensors, spec, path)
        return cls(parameters, tensors["channels.scale"], tensors["channels.shift"], spec.norm == "group", spec.link)

    def scores(self, reference: Bytes, distorted: Bytes) -> Scored:
        """See `Engine`."""
        out = np.empty(len(reference), np.float32)
        if len(out):
            r, d = np.ascontiguousarray(reference), np.ascontiguousarray(distorted)
            tiny_score(self.parameters, r, d, out=out, **self._options)
        return self._scored(out)

    def probabilities(self, reference: Bytes, distorted: Bytes) -> NDArray[np.float32]:
        """See `Engine`; the core computes no ordinal head."""
        raise PixqError("the core gives no probabilities")

    def scores_at(
        self, reference: Bytes, distorted: Bytes, corners: NDArray[np.int64], size: int, watch: Watch | None = None
    ) -> Scored:
        """See `Engine`."""
        out = np.empty(len(corners), np.float32)
        for here in blocks(len(corners), CORE_BLOCK, watch):
            tiny_score_at(
                self.parameters, reference, distorted, corners[here], size=size, out=out[here], **self._options
            )
        return self._scored(out)

    @property
    def _options(self) -> dict[str, Any]:
        return {"norm": self.norm, "scale": self.scale, "shift": self.shift}

    def _scored(self, raw: NDArray[np.float32]) -> Scored:
        if self.link == "sigmoid":
            # In float64, so that no bit depends on where in a vector a number stands.
            with np.errstate(over="ignore"):
                raw = (1.0 / (1.0 + np.exp(-raw.astype(np.float64)))).astype(np.float32)
        return Scored(raw.astype(np.float64), np.clip(raw, 0.0, 1.0), np.ones(len(raw), np.float32))


# Any model by ONNX Runtime.


class OnnxEngine:
    """A model on the CPU by ONNX Runtime.

    Parameters
    ----------
    path
        The file that `pixq export RUN --onnx` wrote.
    blake3
        Of the run's `model.safetensors`, which the file must be made from.

    Raises
    ------
    PixqError
        If ONNX Runtime is not installed, or the file is missing, damaged, or of other weights.
    """

    name = "onnx"
    device = "cpu"

    def __init__(self, path: Path, blake3: str) -> None:
        runtime = require("onnxruntime")
        again = f"delete it, and export again: pixq export {path.parent} --onnx --out {path}"
        if not path.exists():
            raise PixqError(f"{path}: is missing; make it: pixq export {path.parent} --onnx --out {path}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = num_threads()
        # Warnings are of its own parts; errors come as exceptions.
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            said = json.loads(self._session.get_modelmeta().custom_metadata_map.get("pixq", "{}"))
        except Exception as error:
            raise PixqError(f"{path}: is damaged ({one_line(error)}); {again}") from None
        self._outputs = [output.name for output in self._session.get_outputs()]
        if said.get("weights") != blake3 or "score" not in self._outputs:
            raise PixqError(f"{path}: is not of this run's weights; {again}")
        self.path = path
        self.shape = tuple(self._session.get_inputs()[0].shape[1:])

    @staticmethod
    def there(run: Path) -> bool:
        """Whether the run holds a file for it, and ONNX Runtime is installed."""
        return (run / ONNX).exists() and find_spec("onnxruntime") is not None

    def scores(self, reference: Bytes, distorted: Bytes) -> Scored:
        """See `Engine`.

        Raises
        ------
        ValueError
            If patches are of another size than the file takes.
        """
        score, quality, weight = self._run(("score", "quality", "weight"), reference, distorted)
        return Scored(score.astype(np.float64), quality, weight)

    def probabilities(self, reference: Bytes, distorted: Bytes) -> NDArray[np.float32]:
        """See `Engine`."""
        return self._run(("probabilities",), reference, distorted)[0]

    def scores_at(
        self, reference: Bytes, distorted: Bytes, corners: NDArray[np.int64], size: int, watch: Watch | None = None
    ) -> Scored:
        """See `Engine`."""
        n = len(corners)
        found = Scored(np.empty(n), np.empty(n, np.float32), np.empty(n, np.float32))
        for at, r, d in cut_ahead(reference, distorted, corners, size):
            done = at + len(r)
            here = self.scores(r, d)
            found.score[at:done], found.quality[at:done], found.weight[at:done] = here
            if watch is not None:
                watch(done, n)
        return found

    def _run(self, names: tuple[str, ...], reference: Bytes, distorted: Bytes) -> list[NDArray[np.float32]]:
        if reference.shape[1:] != self.shape:
            raise ValueError(f"patches have shape {reference.shape[1:3]}; {self.path} takes {self.shape[:2]}")
        width = {"probabilities": (3,)}
        found = [np.empty((len(reference), *width.get(name, ())), np.float32) for name in names]
        for at in range(0, len(reference), ONNX_BATCH):
            here = slice(at, at + ONNX_BATCH)
            pair = {"reference": reference[here], "distorted": distorted[here]}
            pair = {name: np.ascontiguousarray(patches) for name, patches in pair.items()}
            for column, values in zip(found, self._session.run(list(names), pair), strict=True):
                column[here] = values
        return found
