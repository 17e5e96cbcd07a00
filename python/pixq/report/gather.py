"""The data of a report, read from a run and its patch set, and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pixq.decisions.calibration_file import Calibration, read_calibrations
from pixq.errors import PixqError
from pixq.evaluation.evaluation_file import EvaluationFile, read_evaluations
from pixq.io.atomic import checksum
from pixq.patches.read_files import read_images, read_manifest
from pixq.patches.schema import MANIFEST, ImageLine, Manifest
from pixq.runs.directory import RunDirectory, RunInfo
from pixq.runs.recipe import Recipe
from pixq.runs.run_entries import EpochNumber, Loose, PatchesInfo

__all__ = ["Epoch", "PatchesInfo", "RunData", "gather"]


#: A number that can be drawn.
Figure = Annotated[float, Field(ge=-1e30, le=1e30)]


class TrainLoss(Loose):
    """The mean loss over the steps of an epoch."""

    loss: Figure


class Epoch(Loose):
    """A line of `metrics.jsonl`."""

    epoch: EpochNumber
    train: TrainLoss | None
    validation: dict[str, Figure | None]


@dataclass(frozen=True)
class RunData:
    """Everything that a report shows of a run.

    Parameters
    ----------
    path
        The run's directory.
    manifest, images
        Those of the patch set, if it still exists and has not changed.
    no_manifest
        Why there is no manifest; empty if there is one.
    changed
        Whether the patch set is no longer the one that was trained on.
    """

    path: Path
    info: RunInfo
    patches: PatchesInfo
    recipe: Recipe
    epochs: Sequence[Epoch]
    calibrations: Mapping[str, Calibration]
    evaluations: Sequence[EvaluationFile]
    manifest: Manifest | None
    images: Sequence[ImageLine]
    no_manifest: str
    changed: bool

    def is_current(self, blake3: str) -> bool:
        """Whether a calibration or evaluation of the weights `blake3` fits the run; true if the run has no weights."""
        weights = self.info.files.get("model.safetensors")
        return weights is None or weights["blake3"] == blake3

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights were kept."""
        return None if self.info.best is None else self.info.best.get("epoch")


def gather(run: str | os.PathLike[str]) -> RunData:
    """Read a run.

    Raises
    ------
    PixqError
        If it is not a run, or one of its files is damaged. A missing patch set is not an error.
    """
    files = RunDirectory(run)
    info = files.read_info()
    manifest: Manifest | None = None
    images: Sequence[ImageLine] = ()
    changed = False
    patches = _checked(PatchesInfo, info.patches, files.path / "run.json", "patches")
    directory = Path(patches.directory)
    reason = ""
    if info.patches.get("sets"):
        reason = "It was trained on several patch sets, whose splits and groups are not shown."
    try:
        if reason:
            raise PixqError(reason)
        manifest = read_manifest(directory)
        images = read_images(directory, manifest)
        changed = checksum(directory / MANIFEST).blake3 != patches.fingerprint
    except (PixqError, OSError) as error:
        manifest = None
        reason = f"The patch set can't be read, so its splits and groups are not shown ({error})."
    if changed:
        manifest = None
        reason = f"{directory} is not the patch set that was trained on, so its splits and groups are not shown."
    return RunData(
        path=files.path,
        info=info,
        patches=patches,
        recipe=files.recipe_of(info),
        epochs=[
            _checked(Epoch, line, files.metrics, f"line {number}")
            for number, line in enumerate(files.read_metrics(), 1)
        ],
        calibrations=read_calibrations(run),
        evaluations=read_evaluations(run),
        manifest=manifest,
        images=images,
        no_manifest=reason,
        changed=changed,
    )


def _checked(kind: type[Any], value: object, path: Path, part: str) -> Any:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join([part, *map(str, first["loc"])])
        raise PixqError(
            f"{path}: {where}: {first['msg']}; the file is damaged or from another version of pixq: copy the whole "
            "directory of the run again from where it was trained, or train again"
        ) from None
