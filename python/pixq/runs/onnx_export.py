"""Exporting a trained model as one ONNX file that includes preprocessing, checked against PyTorch on real patches."""

from __future__ import annotations

import io
import json
import os
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pixq.classes import NAMES
from pixq.errors import PixqError
from pixq.io.atomic import save_bytes
from pixq.io.optional import require
from pixq.models.base import PatchModel
from pixq.models.heads import Ordinal
from pixq.patches.store import PatchSet, fingerprint
from pixq.runs.load import load_model

__all__ = ["TOLERANCE", "OnnxReport", "export_onnx"]

#: The largest difference from PyTorch that is accepted.
TOLERANCE = 1e-4

#: How many real patches the file is checked on.
CHECKED = 512


@dataclass(frozen=True)
class OnnxReport:
    """The file that was written, and how much it differs from PyTorch.

    Parameters
    ----------
    out
        The file.
    patches
        The number of real patch pairs that were compared.
    difference
        The largest absolute difference of any output.
    """

    out: Path
    patches: int
    difference: float


class _Outputs(nn.Module):
    """The outputs of the file: quality, the weight in an image's score, the score, an ordinal head's probabilities.

    Those of `visibility` are the first two: its scores are measured, not computed by the network.
    """

    def __init__(self, model: PatchModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, reference: Tensor, distorted: Tensor) -> tuple[Tensor, ...]:
        scores = self.model(reference, distorted)
        head = self.model.head
        if self.model.spec.scores_visibility:
            return self.model.quality(scores), scores.weight.mean(dim=1)
        outputs = (self.model.quality(scores), scores.weight.mean(dim=1), head.score(scores.raw))
        return (*outputs, head.probabilities(scores.raw)) if isinstance(head, Ordinal) else outputs


def export_onnx(
    run: str | os.PathLike[str], out: str | os.PathLike[str], patches: PatchSet | None = None
) -> OnnxReport:
    """Write the best model of a run as one ONNX file.

    Its inputs are `reference` and `distorted`, uint8 (n, size, size, 3) for any n; its outputs are `quality`, float32
    (n,), 0 to 1; `weight`, float32 (n,), the weight of each patch in an image's score; `score`, float32 (n,), which
    calibrations cut; and for an ordinal head `probabilities`, float32 (n, 3) of Red, Orange and Green. Its
    metadata describes the model and has the BLAKE3 of the weights, as JSON under `pixq`.

    The file of a run of `visibility` has no `score`: that is measured by the core, and depends on how people look at
    the images. Its `quality` is the same as that of the run.

    Parameters
    ----------
    run
        The directory of a finished run.
    out
        The file. It must not exist, and is only written if the check passes.
    patches
        A patch set to check on. Default: that of the run.

    Raises
    ------
    PixqError
        If the run or its patch set is missing, `out` exists, or the file's outputs differ from PyTorch's by more than
        `TOLERANCE`.
    """
    out = Path(out)
    if out.exists():
        raise PixqError(f"{out}: already exists; choose another --out or delete it")
    model, recipe, info = load_model(run)
    require("onnxscript")
    onnx, runtime = require("onnx"), require("onnxruntime")
    if patches is None:
        patches = _patches_of(info.patches)
    patches.check_not_empty()
    size = info.patches["geometry"]["size"]
    if patches.geometry.size != size:
        raise PixqError(
            f"{patches.directory}: has patches of {patches.geometry.size} pixels, but the run has {size}; "
            "give another patch set"
        )
    chosen = np.linspace(0, len(patches) - 1, min(CHECKED, len(patches))).astype(np.int64)
    records = patches[chosen].records
    reference, distorted = patches.reference[records.reference_row], patches[chosen].fused()

    outputs = _Outputs(model).eval()
    outputs_of = 2 if recipe.model.scores_visibility else 4 if isinstance(model.head, Ordinal) else 3
    names = ["quality", "weight", "score", "probabilities"][:outputs_of]
    pairs = torch.from_numpy(reference), torch.from_numpy(distorted)
    data = _export(outputs, pairs, names, onnx, _metadata(recipe.model.model_dump(mode="json"), info))

    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    if isinstance(session.get_inputs()[0].shape[0], int):
        raise PixqError(
            f"{out}: was not written: the exporter fixed the number of patches; choose another model.backbone"
        )
    found = session.run(names, {"reference": reference, "distorted": distorted})
    with torch.inference_mode():
        expected = [value.numpy() for value in outputs(*pairs)]
    # NumPy's max, because Python's loses a NaN.
    difference = float(np.max([np.abs(a - b).max() for a, b in zip(found, expected, strict=True)]))
    if not difference <= TOLERANCE:
        raise PixqError(
            f"{out}: was not written: its outputs differ from PyTorch's by {difference:.2g} on {len(chosen)} patches"
        )
    save_bytes(out, data, "choose an --out that can be written")
    return OnnxReport(out, len(chosen), difference)


def _patches_of(described: dict[str, Any]) -> PatchSet:
    # Of several sets, any one has patches to check on.
    described = described.get("sets", [described])[0]
    directory = Path(described["directory"])
    if not directory.exists():
        raise PixqError(f"{directory}: the run's patch set is gone; give one to check on: --patches DIR")
    patches = PatchSet(directory)
    if fingerprint(patches) != described["fingerprint"]:
        raise PixqError(f"{directory}: is no longer the patch set of the run; give one to check on: --patches DIR")
    return patches


def _metadata(model: dict[str, Any], info: Any) -> dict[str, Any]:
    return {
        "model": model,
        "classes": list(NAMES),
        "weights": info.model_blake3,
        "versions": info.versions,
        "patches": {key: info.patches[key] for key in ("fingerprint", "label", "label_contract", "geometry")},
    }


def _export(
    outputs: nn.Module, pairs: tuple[Tensor, Tensor], names: list[str], onnx: Any, metadata: dict[str, Any]
) -> bytes:
    """The bytes of the file. What the exporter prints and warns of is suppressed; only its errors matter."""
    n = torch.export.Dim("n")
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            outputs,
            # Two patches even if there is one: an exporter that sees one patch takes n for a constant 1.
            tuple(values[[0, -1]] for values in pairs),
            input_names=["reference", "distorted"],
            output_names=names,
            dynamic_shapes=({0: n}, {0: n}),
            dynamo=True,
            optimize=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = "pixq", json.dumps(metadata, allow_nan=False)
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString()
    return data
