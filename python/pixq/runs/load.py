"""Reading a run: its recipe, its weights, and its model as a PyTorch module."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from pixq.errors import PixqError, one_line
from pixq.io.atomic import checksum
from pixq.io.enclosed import check_enclosed
from pixq.models import build
from pixq.runs.directory import FINISHED, RUN, RunDirectory, RunInfo
from pixq.runs.recipe import Recipe

if TYPE_CHECKING:
    from pixq.models.base import PatchModel

__all__ = ["build_model", "load_model", "read_run", "read_tensors", "scores_visibility"]


def load_model(run: str | os.PathLike[str]) -> tuple[PatchModel, Recipe, RunInfo]:
    """The best model of a run as a module of PyTorch on the CPU, its recipe, and its `run.json`; see `pixq.load`."""
    files = RunDirectory(run)
    recipe, info = read_run(files)
    return build_model(files, recipe, info), recipe, info


def read_run(files: RunDirectory) -> tuple[Recipe, RunInfo]:
    """The recipe and the `run.json` of a finished run.

    Raises
    ------
    PixqError
        If the run is missing, not finished or damaged.
    """
    info = files.read_info()
    recipe = files.recipe_of(info)
    if info.status not in FINISHED:
        raise PixqError(f"{files.path}: is not finished; continue it with pixq train --resume")
    return recipe, info


def scores_visibility(run: str | os.PathLike[str]) -> bool:
    """Whether the scores of a finished run are visibility, and so depend on viewing conditions.

    Raises
    ------
    PixqError
        As `read_run`.
    """
    return read_run(RunDirectory(run))[0].model.scores_visibility


def read_tensors(files: RunDirectory, info: RunInfo, framework: Literal["pt", "numpy"]) -> dict[str, Any]:
    """The weights of a run's best model, checked against the checksum in `run.json`."""
    announced = info.files[files.model.name]
    try:
        same = asdict(checksum(check_enclosed(files.path, files.model.name, announced["bytes"]))) == announced
    except FileNotFoundError:
        raise PixqError(f"{files.model}: is missing; copy the whole run directory, or train again") from None
    except OSError as error:
        raise PixqError(f"{files.model}: {error.strerror or error}; copy the whole run directory again") from None
    if not same:
        raise PixqError(f"{files.model}: does not match its checksum in {RUN}; copy the whole run directory again")
    return files.read_tensors(files.model, framework)[0]


def build_model(files: RunDirectory, recipe: Recipe, info: RunInfo) -> PatchModel:
    """The best model of a run, whose recipe and `run.json` have been read, as a PyTorch module on the CPU."""
    tensors = read_tensors(files, info, "pt")
    # The weights of a frozen backbone are in the run, and not read from their source again.
    model = build(recipe.model.model_copy(update={"weights": "saved"}))
    try:
        for name, weight in model.state_dict().items():
            if name in tensors and tensors[name].dtype != weight.dtype:
                raise RuntimeError(f"{name} has dtype {tensors[name].dtype}")
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise PixqError(
            f"{files.model}: does not fit its recipe ({one_line(error)}); copy the whole run directory again"
        ) from None
    return model
