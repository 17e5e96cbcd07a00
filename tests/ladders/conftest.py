"""Ladders, and the models that score them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pixq.decisions.pjnd_cuts import PJND
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import DEFAULT, Scorer, load
from pixq.train.loop import train
from pixq.train.partition import by_split
from support import built
from support.ladders import (
    SOURCES,
    Shell,
    write_ladder,
)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write_ladder(tmp_path, "photo", 3)


@pytest.fixture(scope="session")
def truths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources in the layout of LocJND, of which people notice levels 4 and 5; a fourth nobody was asked about."""
    folder = tmp_path_factory.mktemp("truths")
    said: dict[str, Any] = {}
    for seed, name in enumerate(SOURCES):
        write_ladder(folder / "images", name, 30 + seed, "{name}_NOISE_{number:03d}.png")
        said[name] = {"codec": "NOISE", "pjnd_range": [4, 5], "critical_points_yx": [[10, 20], [30.5, 40]]}
    write_ladder(folder / "images", "fourth", 40, "{name}_NOISE_{number:03d}.png")
    said["fourth"] = {"codec": "NOISE", "pjnd_range": None, "critical_points_yx": None}
    (folder / "ground_truth.json").write_text(json.dumps({"images": said}), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    return load()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The default model without any cuts."""
    shutil.copytree(DEFAULT, tmp_path / "bare", ignore=shutil.ignore_patterns(PJND))
    return tmp_path / "bare"


@pytest.fixture(scope="session")
def ordinal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose head is ordinal: its scores are logits, and its qualities are not."""
    folder = tmp_path_factory.mktemp("ordinal")
    recipe = read_recipe("seed", ["train.epochs=0", "train.threads=1", "model.head=ordinal"])
    train(by_split(built.make_small(folder)), folder / "run", recipe, device="cpu")
    return folder / "run"


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)
