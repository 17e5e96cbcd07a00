"""`pixq export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixq.cli.messages import print_lines
from pixq.cli.options import EVERYTHING, Selection
from pixq.cli.progress import progress_bar
from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.patches import export as exporting
from pixq.patches.store import PatchSet

__all__ = ["export"]


def export(
    source: Path,
    /,
    *,
    out: Path,
    format: Annotated[Literal["png", "parquet", "npy"] | None, Parameter(name="--format")] = None,
    onnx: Annotated[bool, Parameter(negative="")] = False,
    patches: Path | None = None,
    selection: Selection = EVERYTHING,
) -> int:
    """Export fused patches, or a trained model, for other programs.

    Parameters
    ----------
    source
        Directory of the patch set, or with --onnx of the run.
    out
        The directory (png, npy) or file (parquet, --onnx) to write. It must not exist.
    format
        png: the notebooks' folders with metadata.json; parquet: a table with pixels; npy: NumPy arrays. Default: png.
    onnx
        Export the best model of a run as one ONNX file, checked against PyTorch on real patches.
    patches
        With --onnx: the patch set to check on. Default: the run's.
    """
    if onnx:
        if format is not None or selection != EVERYTHING:
            raise PixqError("--onnx exports a model; remove --format and the options that select patches")
        return _model(source, out, patches)
    if patches is not None:
        raise PixqError(
            "--patches only has an effect together with --onnx; give the patch set to export as the first argument"
        )
    if (source / "run.json").exists() and not (source / "manifest.json").exists():
        raise PixqError(f"{source}: is a run, not a patch set; add --onnx to export its model")
    selected = selection.of(source)
    with progress_bar() as on_progress:
        exporting.export(selected, format or "png", out, on_progress)
    print_lines(f"{out}: {len(selected)} records as {format or 'png'}")
    return 0


def _model(run: Path, out: Path, patches: Path | None) -> int:
    require("torch")
    from pixq.runs.onnx_export import export_onnx

    report = export_onnx(run, out, None if patches is None else PatchSet(patches))
    print_lines(f"{report.out}: differs from PyTorch by at most {report.difference:.1g} on {report.patches} patches")
    return 0
