"""The small dataset, patch set and runs that the tests of reports read, and what they see of a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pixq
from pixq.distort import write_tree
from pixq.patches.plan import BuildSettings, Sampling
from pixq.report.report import write_report
from pixq.runs.recipe import Recipe, read_recipe
from pixq.train import folds, loop
from pixq.train.partition import by_split
from support import built, trees


@dataclass(frozen=True)
class Made:
    """A folder with a small dataset, its patch set, and a run on it."""

    root: Path

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    @property
    def patches(self) -> Path:
        return self.root / "patches"

    @property
    def run(self) -> Path:
        return self.root / "run"


def recipe(*overrides: str) -> Recipe:
    """The seed recipe, for three epochs on one thread."""
    return read_recipe("seed", ["train.epochs=3", "train.batch=8", "train.threads=1", *overrides])


def make_run(root: Path) -> None:
    """Fill a folder with what `Made` names."""
    made = Made(root)
    photos = {f"photo{number}": trees.photo(number) for number in range(6)}
    write_tree(photos, made.dataset, ["jpeg", "white_noise"], [2, 5])
    settings = BuildSettings(
        fusions=(pixq.Fusion("none"), pixq.Fusion("blend", 0.25)),
        sampling=Sampling("random", None, 6),
        ratio=(0.5, 0.25, 0.25),
        seed=3,
        min_difference=1,
    )
    built.make("jianjin008", made.dataset, made.patches, settings)
    loop.train(by_split(pixq.PatchSet(made.patches)), made.run, recipe(), device="cpu")


def make_other_run(made: Made, root: Path) -> None:
    """Train on the same patches with another learning rate."""
    loop.train(by_split(pixq.PatchSet(made.patches)), root / "other", recipe("optimiser.lr=0.0005"), device="cpu")


def make_folds(made: Made, root: Path) -> None:
    """Cross-validate on the same patches."""
    folds.train_folds(pixq.PatchSet(made.patches), root / "folds", recipe("train.epochs=1"), device="cpu")


def page(run: Path) -> str:
    """The report of a run."""
    return write_report(run).read_text("utf-8")


def text(markup: str) -> str:
    """What a reader sees, roughly."""
    body = re.sub(r"<style>.*?</style>", " ", markup, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())
