"""The run directory: everything needed to use, check and repeat a run, and nothing that runs code when read."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from pixq._version import __version__
from pixq.errors import PixqError, one_line
from pixq.io.atomic import checksum, explain_os_errors, save_bytes, save_json, save_text
from pixq.io.enclosed import check_enclosed, read_enclosed
from pixq.io.json_file import Count, first_fault
from pixq.io.optional import require
from pixq.io.text import without_mark
from pixq.patches.schema import FileEntry
from pixq.patches.store import PatchSet
from pixq.runs.recipe import Recipe, parse_recipe
from pixq.runs.run_entries import Adapted, Best, PatchesInfo, Split, Timings

__all__ = ["FINISHED", "FORMAT", "RUN", "RunDirectory", "RunInfo", "StartedFrom", "describe_hardware", "versions"]

RUN = "run.json"
FORMAT: Literal["pixq run"] = "pixq run"

#: The statuses of a finished run.
FINISHED = ("epochs", "patience")

#: How to fix a failed write, for the end of a message.
_FIX = "free some disk space or make it writable, and continue with --resume"


class StartedFrom(BaseModel):
    """The run whose best model another run started from, as `run.json` describes it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    directory: str
    model_blake3: str
    only: Literal["head"] | None
    photos: dict[str, list[str]] = {}


class RunInfo(BaseModel):
    """`run.json`.

    Parameters
    ----------
    recipe
        Every key of the recipe, overrides included.
    patches
        The patch set: directory as it was given, `fingerprint`, dataset, label, geometry, fusions.
    split
        The images for training, validation and, for a fold, prediction: the rule, their numbers and their photos.
    parameters
        The number of trainable weights.
    status
        `running`, `interrupted`, or the reason why it ended: `epochs` (all were trained) or `patience` (early stop).
    best
        Epoch and validation loss of `model.safetensors`; epoch 0 is before the first step.
    files
        Size and BLAKE3 of the files of a finished run.
    started_from
        The run whose best model it started from; `None` for random weights.
    adapted
        For a model made by `pixq adapt`, which does not train: `how`, `from` (directory and `model_blake3`), and `to`,
        the target's directory and `fingerprint`.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    format: Literal["pixq run"]
    schema_version: Literal[1]
    versions: dict[str, str]
    recipe: dict[str, Any]
    patches: dict[str, Any]
    split: Split
    parameters: Count
    status: Literal["running", "interrupted", "epochs", "patience"]
    best: Best | None
    hardware: dict[str, Any]
    timings: Timings
    files: dict[str, FileEntry]
    started_from: StartedFrom | None = None
    adapted: Adapted | None = None

    @property
    def model_blake3(self) -> str:
        """The BLAKE3 checksum of `model.safetensors`, in hexadecimal."""
        digest: str = self.files[RunDirectory(".").model.name]["blake3"]
        return digest

    def seen(self) -> dict[str, list[str]]:
        """The photos that the model has seen, by `train`, `validation` and `held_out`; see `PatchSet.photos`.

        Those of the run that it started from are included. Empty for a run from before photos were recorded.
        """
        photos: dict[str, list[str]] = self.split.get("photos", {})
        before = {} if self.started_from is None else self.started_from.photos
        return {part: sorted({*photos.get(part, []), *before.get(part, [])}) for part in {**photos, **before}}


class RunDirectory:
    """The files of a run, each of which is written completely or not at all.

    Parameters
    ----------
    path
        The run's directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.toml"
        self.model = self.path / "model.safetensors"
        self.last = self.path / "last.safetensors"
        self.metrics = self.path / "metrics.jsonl"
        self.predictions = self.path / "predictions.safetensors"
        self.images = self.path / "predictions.jsonl"
        self.curves = self.path / "curves.png"
        self.tensorboard = self.path / "tensorboard"

    def exists(self) -> bool:
        """Whether the directory holds a run, finished or not."""
        return (self.path / RUN).exists()

    def create(self) -> None:
        """Make the directory.

        Raises
        ------
        PixqError
            If something else is there.
        """
        with explain_os_errors(self.path, "choose an --out that can be written"):
            self.path.mkdir(parents=True, exist_ok=True)
            if any(self.path.iterdir()) and not self.exists():
                raise PixqError(f"{self.path}: is not empty and does not hold a run; choose another --out")

    def delete_scratch(self) -> None:
        """Delete the scratch files that a process which was killed has left."""
        for path in self.path.glob(".*.partial-*"):
            path.unlink(missing_ok=True)

    def write_info(self, info: RunInfo) -> None:
        """Write `run.json`."""
        save_json(self.path / RUN, info.model_dump(mode="json"), _FIX)

    def read_info(self) -> RunInfo:
        """`run.json`, checked.

        Raises
        ------
        PixqError
            If it is missing or damaged.
        """
        path = self.path / RUN
        try:
            info = RunInfo.model_validate_json(without_mark(read_enclosed(self.path, RUN)))
        except FileNotFoundError:
            if (self.path / "folds.json").exists():
                raise PixqError(
                    f"{self.path}: holds the runs of --folds; give one of them, like {self.path}/fold-0"
                ) from None
            raise PixqError(f"{self.path}: holds no {RUN}; give the directory of a pixq train run") from None
        except OSError as error:
            raise PixqError(f"{path}: {error.strerror or error}; make it readable") from None
        except ValidationError as error:
            raise PixqError(
                f"{path}: {first_fault(error)}; the file is damaged or from another version of pixq; copy the "
                "whole run directory from where it was trained, or train again"
            ) from None
        try:
            PatchesInfo.model_validate(info.patches)
        except ValidationError as error:
            raise PixqError(
                f"{path}: patches.{first_fault(error)}; the file is damaged or from another version of pixq: train "
                "again"
            ) from None
        if info.status in FINISHED and self.model.name not in info.files:
            raise PixqError(f"{path}: files.{self.model.name} is missing; copy the whole run directory again")
        return info

    def recipe_of(self, info: RunInfo) -> Recipe:
        """The recipe that `info`, this directory's `run.json`, holds."""
        return parse_recipe(info.recipe, str(self.path / RUN))

    def write_recipe(self, recipe: Recipe) -> None:
        """Write `recipe.toml`; `pixq train --recipe` takes it."""
        save_text(self.recipe, [recipe.text()], _FIX)

    def write_tensors(self, path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Write a safetensors file; `metadata` is kept as JSON in its header."""
        save = require("safetensors", "safetensors.torch").save
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_bytes(path, save(contiguous, metadata={"pixq": json.dumps(metadata, allow_nan=False)}), _FIX)

    def read_tensors(
        self, path: Path, framework: Literal["pt", "numpy"] = "pt"
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors of PyTorch or NumPy, and metadata, of a safetensors file, on the CPU.

        Raises
        ------
        PixqError
            If it is missing or damaged, lies outside the directory, or holds a number that is not finite.
        """
        open_file = require("safetensors").safe_open
        try:
            with open_file(check_enclosed(self.path, path.name), framework=framework) as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
                metadata = json.loads((file.metadata() or {}).get("pixq", "{}"))
        except FileNotFoundError:
            raise PixqError(f"{path}: is missing; copy the whole run directory, or train again") from None
        except OSError as error:
            raise PixqError(f"{path}: {error.strerror or one_line(error)}; train again") from None
        except Exception as error:
            raise PixqError(f"{path}: is damaged ({one_line(error)}); train again") from None
        for name, tensor in tensors.items():
            # Of integers, such as counts of steps, all are finite.
            if not (np.isfinite(tensor) if framework == "numpy" else tensor.isfinite()).all():
                raise PixqError(f"{path}: {name} holds a number that is not finite; train again")
        return tensors, metadata

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add a line to `metrics.jsonl`."""
        with explain_os_errors(self.metrics, _FIX), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`, up to the first incomplete one."""
        if not os.path.lexists(self.metrics):
            return []
        with explain_os_errors(self.metrics, "make it readable, or train again"):
            text = read_enclosed(self.path, self.metrics.name).decode("utf-8", errors="replace")
        lines = []
        for line in text.splitlines():
            try:
                lines.append(json.loads(line))
            except (ValueError, RecursionError):
                break
        return lines

    def keep_metrics(self, lines: int) -> None:
        """Keep only the first `lines` lines, because the epochs after them are trained again."""
        kept = self.read_metrics()[:lines]
        save_text(self.metrics, (json.dumps(line, allow_nan=False) + "\n" for line in kept), _FIX)

    def write_predictions(self, predictions: Any, patches: PatchSet) -> None:
        """Write `predictions.safetensors`, one tensor per column, and `predictions.jsonl`, one line per image."""
        columns = {name: getattr(predictions, name) for name in ("row", "image", "quality", "predicted", "weight")}
        save = require("safetensors", "safetensors.numpy").save
        contiguous = {name: np.ascontiguousarray(values) for name, values in columns.items()}
        save_bytes(self.predictions, save(contiguous), _FIX)
        save_text(self.images, _image_lines(predictions, patches), _FIX)

    def write_curves(self, png: bytes) -> None:
        """Write `curves.png`."""
        save_bytes(self.curves, png, _FIX)

    def checksums(self) -> dict[str, dict[str, Any]]:
        """Size and BLAKE3 of the files that `run.json` lists."""
        listed = (self.recipe, self.model, self.metrics, self.predictions, self.images)
        found = {path.name: checksum(path) for path in listed if path.exists()}
        return {name: {"bytes": info.bytes, "blake3": info.blake3} for name, info in found.items()}


def _image_lines(predictions: Any, patches: PatchSet) -> Iterator[str]:
    for number, quality, predicted in zip(
        predictions.images.tolist(),
        predictions.image_quality.tolist(),
        predictions.image_predicted.tolist(),
        strict=True,
    ):
        image = patches.images[number]
        line = {key: image[key] for key in ("image_id", "reference_id", "distortion_type", "level", "MOS")}
        if (name := patches.set_of(number)) is not None:
            line["set"] = name
        yield json.dumps({**line, "quality": quality, "predicted": predicted}, allow_nan=False) + "\n"


def versions(packages: Iterable[str] = ("torch", "numpy", "safetensors")) -> dict[str, str]:
    """Versions of Python, pixq and `packages`."""
    found = {name: str(require(name).__version__) for name in packages}
    return {"python": platform.python_version(), "pixq": __version__, **found}


def describe_hardware(device: Any, threads: int, world: int) -> dict[str, Any]:
    """The hardware that a run is computed on."""
    torch = require("torch")
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": str(device),
        "gpu": gpu,
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "processes": world,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
