"""Any model on the CPU, computed by ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixq._core import num_threads
from pixq.errors import PixqError, one_line
from pixq.io.enclosed import read_enclosed
from pixq.io.optional import require
from pixq.io.progress import ProgressCallback
from pixq.scoring.engine import Bytes, Corners, EngineScores, cut_ahead

__all__ = ["ONNX", "OnnxEngine"]

#: The file of a run that ONNX Runtime computes, where there is one.
ONNX = "model.onnx"

#: How an ONNX file names another file that holds weights; the files of pixq hold all of theirs.
_EXTERNAL = b"\x0a\x08location"
#: The largest ONNX file, since protocol buffers can't be larger.
_LARGEST = 1 << 31

#: Patches per call of ONNX Runtime. In batches of 256, whose features leave the cache, it is slower.
ONNX_BATCH = 64


class OnnxEngine:
    """A model on the CPU by ONNX Runtime.

    Parameters
    ----------
    path
        The file that `pixq export RUN --onnx` wrote.
    blake3
        Checksum of the run's `model.safetensors`, which the file must have been made from.

    Raises
    ------
    PixqError
        If ONNX Runtime is not installed, or the file is missing, damaged, or made from other weights.
    """

    name = "onnx"
    device = "cpu"

    def __init__(self, path: Path, blake3: str) -> None:
        if reason := self.refusal(path):
            raise PixqError(reason)
        runtime = require("onnxruntime")
        again = f"delete it, and export it again: {_command(path)}"
        options = runtime.SessionOptions()
        options.intra_op_num_threads = num_threads()
        # Its warnings are about its own parts; errors come as exceptions.
        options.log_severity_level = 3
        try:
            model = read_enclosed(path.parent, path.name, _LARGEST)
            if _EXTERNAL in model:
                raise ValueError("it takes weights from other files")
            self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            metadata = dict(json.loads(self._session.get_modelmeta().custom_metadata_map.get("pixq", "{}")))
        except Exception as error:
            raise PixqError(f"{path}: is damaged ({one_line(error)}); {again}") from None
        self._outputs = [output.name for output in self._session.get_outputs()]
        # The scores of `visibility` are measured by the core; the network's are its quality.
        visible = dict(metadata.get("model") or {}).get("name") == "visibility"
        self._own = () if visible else ("score",)
        if metadata.get("weights") != blake3 or not {*self._own, "quality"} <= set(self._outputs):
            raise PixqError(f"{path}: was not made from this run's weights; {again}")
        self.path = path
        self.shape = tuple(self._session.get_inputs()[0].shape[1:])

    @staticmethod
    def refusal(path: Path) -> str | None:
        """Why there can be no engine for the file at `path`, or `None` if it is there and so is ONNX Runtime."""
        if not path.exists():
            return f"{path}: is missing; create it: {_command(path)}"
        try:
            require("onnxruntime")
        except PixqError as error:
            return str(error)
        return None

    def scores(self, reference: Bytes, distorted: Bytes) -> EngineScores:
        """See `Engine`.

        Raises
        ------
        ValueError
            If the patches have another size than the file takes.
        """
        *own, quality, weight = self._run((*self._own, "quality", "weight"), reference, distorted)
        return EngineScores((own[0] if own else quality).astype(np.float64), quality, weight)

    def probabilities(self, reference: Bytes, distorted: Bytes) -> NDArray[np.float32]:
        """See `Engine`."""
        return self._run(("probabilities",), reference, distorted)[0]

    def scores_at(
        self, reference: Bytes, distorted: Bytes, corners: Corners, size: int, on_progress: ProgressCallback
    ) -> EngineScores:
        """See `Engine`."""
        out = EngineScores.empty(len(corners))
        for start, r, d in cut_ahead(reference, distorted, corners, size):
            done = start + len(r)
            out.score[start:done], out.quality[start:done], out.weight[start:done] = self.scores(r, d)
            on_progress("patches", done, len(corners))
        return out

    def _run(self, names: tuple[str, ...], reference: Bytes, distorted: Bytes) -> list[NDArray[np.float32]]:
        if reference.shape[1:] != self.shape:
            raise ValueError(f"patches have shape {reference.shape[1:3]}; {self.path} takes {self.shape[:2]}")
        width = {"probabilities": (3,)}
        columns = [np.empty((len(reference), *width.get(name, ())), np.float32) for name in names]
        for start in range(0, len(reference), ONNX_BATCH):
            some = slice(start, start + ONNX_BATCH)
            pair = {"reference": reference[some], "distorted": distorted[some]}
            pair = {name: np.ascontiguousarray(patches) for name, patches in pair.items()}
            for column, values in zip(columns, self._session.run(list(names), pair), strict=True):
                column[some] = values
        return columns


def _command(path: Path) -> str:
    return f"pixq export {path.parent} --onnx --out {path}"
