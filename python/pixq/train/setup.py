"""What is checked and prepared before the first step of a run."""

from __future__ import annotations

import torch

from pixq.errors import PixqError
from pixq.io.optional import require
from pixq.io.paths import text_of
from pixq.models import MODELS, build, parameters
from pixq.models.base import PatchModel
from pixq.patches.joined import JoinedSets
from pixq.patches.store import fingerprint
from pixq.runs.directory import FORMAT, RunDirectory, RunInfo, describe_hardware, versions
from pixq.runs.recipe import Recipe
from pixq.train.init_from_run import InitialRun
from pixq.train.parallel import World
from pixq.train.partition import Partition
from pixq.train.set_scales import check_sets, describe_sets

__all__ = ["check_before", "check_same_run", "describe_run", "initial_model", "prepare_torch"]


def check_before(partition: Partition, recipe: Recipe, world: World) -> None:
    """Check what would otherwise stop a run when it has already taken long.

    Raises
    ------
    PixqError
        If a package is missing, the model does not fit the patches, the device can't do what the recipe asks for, or
        the patch set is damaged.
    """
    patches = partition.patches
    name, size = recipe.model.name, patches.geometry.size
    # Some are only used at the end, where a missing one would cost the run.
    for package in ("safetensors", "scipy", "tensorboard", "matplotlib"):
        require(package)
    if name not in MODELS:
        raise PixqError(f"unknown model {name!r}; choose {', '.join(MODELS)}")
    smallest, multiple = MODELS[name].smallest, MODELS[name].multiple
    if size % multiple:
        raise PixqError(f"{patches.directory}: has patches of {size} pixels, but {name} needs a multiple of {multiple}")
    if size < smallest:
        raise PixqError(f"{patches.directory}: has patches of {size} pixels, but {name} needs at least {smallest}")
    if recipe.train.precision != "fp32" and world.device.type != "cuda":
        raise PixqError(f"train.precision is {recipe.train.precision}, which needs CUDA; set train.precision=fp32")
    check_sets(patches, recipe)
    if problems := patches.verify():
        raise PixqError(f"{problems[0]}; delete the patch set and build it again")


def check_same_run(run: RunDirectory, partition: Partition, recipe: Recipe, start: InitialRun | None) -> RunInfo:
    """The run that is resumed.

    Raises
    ------
    PixqError
        If it was begun with another recipe, on other patches or from another model.
    """
    info = run.read_info()
    if run.recipe_of(info) != recipe:
        raise PixqError(
            f"{run.path}: was begun with another recipe; leave out --recipe and --set, or choose another --out"
        )
    if info.patches["fingerprint"] != fingerprint(partition.patches):
        raise PixqError(f"{run.path}: was begun on another patch set; give that one, or choose another --out")
    if {key: info.split[key] for key in partition.rule if key in info.split} != partition.rule:
        raise PixqError(f"{run.path}: was begun on other splits or folds; resume it with the options it was begun with")
    if start is not None:
        start.check_same(info.started_from, run.path)
    return info


def initial_model(recipe: Recipe, start: InitialRun | None, restored: bool) -> PatchModel:
    """The model before the first step: with random weights, with those of `start`, or with any if it is `restored`."""
    if start is None:
        return build(recipe.model)
    # The weights of a frozen backbone are in the run, too.
    model = build(recipe.model.model_copy(update={"weights": "saved"}))
    if not restored:
        model.load_state_dict(start.weights())
    start.freeze(model)
    return model


def prepare_torch(model: PatchModel, recipe: Recipe, world: World) -> None:
    """Set PyTorch's precision on CUDA and its number of threads on a CPU."""
    if world.device.type == "cuda":
        precision = "tf32" if recipe.train.precision == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = precision
        torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
    else:
        # The core has threads of its own; two of PyTorch's would only wait for one another between small operations.
        torch.set_num_threads(1 if model.kernel is not None else recipe.train.threads)


def describe_run(
    partition: Partition, recipe: Recipe, model: PatchModel, world: World, start: InitialRun | None
) -> RunInfo:
    """`run.json` of a run that begins."""
    patches = partition.patches
    manifest = patches.manifest
    return RunInfo(
        format=FORMAT,
        schema_version=1,
        versions=versions(),
        recipe=recipe.model_dump(mode="json"),
        patches={
            # If the name is not valid text, `pixq export --onnx` needs --patches to find the patch set.
            "directory": text_of(patches.directory),
            "fingerprint": fingerprint(patches),
            "dataset": manifest["dataset"],
            "label": manifest["label"],
            "label_contract": manifest["label_contract"],
            "geometry": {"size": patches.geometry.size, "roi": patches.geometry.roi},
            "fusions": manifest["fusions"],
            # None for a set of an earlier version, which was cut from raw samples.
            "pixels": manifest.get("pixels"),
            **({"sets": describe_sets(patches, recipe)} if isinstance(patches, JoinedSets) else {}),
        },
        split=partition.describe(),
        parameters=parameters(model),
        status="running",
        best=None,
        hardware=describe_hardware(world.device, recipe.train.threads, world.size),
        timings={},
        files={},
        started_from=None if start is None else start.describe(),
    )
