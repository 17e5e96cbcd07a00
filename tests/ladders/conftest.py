"""Ladders, and the models that score them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pixq.decisions.pjnd_cuts import write_cuts
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import Scorer, load
from pixq.train.loop import train
from pixq.train.partition import by_split
from support import built
from support.ladders import (
    FLICKER,
    SOURCES,
    Shell,
    run_of,
    some_cuts,
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
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that scores patches, with a Green cut that people's PJNDs chose."""
    run = run_of("monotone", tmp_path_factory.mktemp("scores") / "run")
    cuts = {"green": 0.566, "low": 0.546, "high": 0.587, "share": 0.05, "stride": 10, "orange": 0.33}
    write_cuts(run, some_cuts(load(run).blake3).model_copy(update=cuts))
    return run


@pytest.fixture(scope="session")
def scorer(run: Path) -> Scorer:
    return load(run, viewing=FLICKER)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The same run without any cuts."""
    return run_of("monotone", tmp_path / "bare")


@pytest.fixture(scope="session")
def visible_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `visibility` without cuts, which no test changes."""
    return run_of("visibility", tmp_path_factory.mktemp("visible") / "run")


@pytest.fixture(scope="session")
def visible(visible_run: Path) -> Scorer:
    return load(visible_run, viewing=FLICKER)


@pytest.fixture
def own(visible_run: Path, tmp_path: Path) -> Path:
    """A copy of it to which a test may add cuts."""
    return Path(shutil.copytree(visible_run, tmp_path / "own"))


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
