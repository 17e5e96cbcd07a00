"""Short training runs, and what tests of them share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pixq
from pixq.distort import write_tree
from pixq.errors import PixqError
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.plan import BuildSettings, Sampling
from pixq.runs.directory import RunInfo
from pixq.runs.recipe import Recipe, read_recipe
from pixq.train import loop
from pixq.train.partition import by_split
from support import built, trees

#: Every file of a run whose bytes a recipe and a patch set decide.
SAME_BYTES = (
    "recipe.toml",
    "model.safetensors",
    "last.safetensors",
    "metrics.jsonl",
    "predictions.safetensors",
    "predictions.jsonl",
    "curves.png",
)


QUICK = ("train.epochs=3", "train.batch=8", "train.threads=1")


def make_set(out: Path, seed: int = 0, patches: int = 6, references: int = 6, split: str = "0.5,0.25,0.25") -> Path:
    """A patch set of smooth photographs with two distortions at two levels: 24 images, 144 patches."""
    photos = {f"photo{number}": trees.photo(100 * seed + number) for number in range(references)}
    write_tree(photos, out / "dataset", ["jpeg", "white_noise"], [2, 5])
    ratio = tuple(float(share) for share in split.split(","))
    settings = BuildSettings(
        fusions=(pixq.Fusion("none"), pixq.Fusion("blend", 0.5)),
        sampling=Sampling("random", None, patches),
        ratio=ratio,  # type: ignore[arg-type]
    )
    built.make("jianjin008", out / "dataset", out / "patches", settings)
    return out / "patches"


def quick(*overrides: str) -> Recipe:
    return read_recipe("seed", [*QUICK, *overrides])


def run(
    patches: Path,
    out: Path,
    *overrides: str,
    resume: bool = False,
    on_progress: ProgressCallback = ignore_progress,
) -> RunInfo:
    partition = by_split(pixq.PatchSet(patches))
    return loop.train(partition, out, quick(*overrides), device="cpu", resume=resume, on_progress=on_progress)


def same_bytes(first: Path, second: Path) -> None:
    for name in SAME_BYTES:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def mistake(call: Callable[[], Any]) -> str:
    with pytest.raises(PixqError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def position(stage: str, done: int, note: str) -> tuple[int, int]:
    """The epoch and step that a progress callback is called at; after an epoch, step 0 of the next one."""
    epoch = int(stage.split()[-3])
    return (epoch + 1, 0) if note else (epoch, done)


def interrupt_at(epoch: int, step: int) -> ProgressCallback:
    """A progress callback that does as Ctrl-C does at a step of an epoch."""

    def on_progress(stage: str, done: int, total: int, note: str = "") -> None:
        if position(stage, done, note) == (epoch, step):
            signal.raise_signal(signal.SIGINT)

    return on_progress
