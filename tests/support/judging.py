"""A run and a target to judge it on, small enough for tests; made once a session (see conftest.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from pixq import distort
from pixq._version import __version__
from pixq.datasets import adapter
from pixq.decisions.pjnd_cuts import PjndCuts, PjndSource, write_cuts
from pixq.distort.interpolation import write_triplets
from pixq.patches.build import build
from pixq.patches.plan import BuildSettings
from pixq.patches.store import PatchSet
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import DEFAULT
from pixq.train import loop
from pixq.train.partition import by_split
from support import built, trees

#: Rivals that take no time.
QUICK_RIVALS = ("majority", "psnr", "roi_psnr")


def make_run(root: Path) -> Path:
    """A run of a few steps on five small references."""
    patches = built.make_small(root)
    recipe = read_recipe("seed", ["train.epochs=3", "optimiser.lr=0.005"])
    loop.train(by_split(patches), root / "run", recipe, device="cpu")
    return root / "run"


def quality_run(run: Path) -> Path:
    """The nets that come with pixq as a run of `monotone`, with the Green cut of quality that people's PJNDs chose."""
    shutil.copytree(DEFAULT, run)
    info = json.loads((run / "run.json").read_text("utf-8"))
    info["recipe"]["model"]["name"] = "monotone"
    (run / "run.json").write_text(json.dumps(info), "utf-8")
    cuts = PjndCuts(
        pixq=__version__, blake3=info["files"]["model.safetensors"]["blake3"], share=0.05, stride=10, orange=0.33,
        green=0.517, low=0.499, high=0.534, within=1.0,
        sources={"photo": PjndSource(range=(10.0, 17.0), predicted=10.0)},
    )  # fmt: skip
    write_cuts(run, cuts)
    return run


def make_target(root: Path, ratio: tuple[float, float, float] = (0.4, 0.3, 0.3)) -> PatchSet:
    """Pixels of six photos lost and filled in: 240 patches."""
    photos = {f"photo{number}": trees.photo(100 + number, (120, 160)) for number in range(6)}
    write_triplets(photos, root / "tree", count=20)
    settings = BuildSettings.for_adapter(adapter("triplets"), ratio=ratio)
    return PatchSet(build("triplets", root / "tree", root / "target", settings=settings).out)


def make_levels(root: Path) -> PatchSet:
    """Photos of another seed at five levels of two distortions: images of many patches, two fusions."""
    photos = {f"photo{number}": np.ascontiguousarray(trees.photo(200 + number, (60, 80))) for number in range(8)}
    distort.write_tree(photos, root / "levels", ["white_noise", "jpeg"], [1, 2, 3, 4, 5])
    settings = BuildSettings(ratio=(0.25, 0.25, 0.5))
    return PatchSet(build("jianjin008", root / "levels", root / "out", settings=settings).out)
