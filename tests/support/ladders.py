"""Ladders that tests write, cuts that nothing chose, and the command line in this process."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pixq.cli import main
from pixq.decisions.pjnd_cuts import PJND, PjndCuts
from pixq.ladders.fit_green_cut import make_pjnd_cuts
from pixq.ladders.ladder import Ladder
from pixq.ladders.pjnd import SourceRange
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import DEFAULT, Scorer
from pixq.viewing import ViewingConditions
from support import trees
from support.quality_maps import make_map

Image = NDArray[np.uint8]
SIZE = (100, 140)
#: Levels of the ladders here, and the noise of each: from what nobody sees to what anybody does.
LEVELS = {1: 0, 2: 4, 3: 8, 4: 14, 5: 25, 6: 45}
FLICKER = ViewingConditions.of(task="flicker")
SOURCES = ("first", "second", "third")


def run_of(model: str, run: Path) -> Path:
    """The nets that come with pixq as a run of `monotone` or `visibility`, without cuts."""
    shutil.copytree(DEFAULT, run, ignore=shutil.ignore_patterns(PJND))
    info = json.loads((run / "run.json").read_text("utf-8"))
    info["recipe"]["model"]["name"] = model
    (run / "run.json").write_text(json.dumps(info), "utf-8")
    return run


def noisy(reference: Image, level: int, seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).normal(0, 1, reference.shape) * LEVELS[level]
    changed: Image = np.clip(reference + noise, 0, 255).astype(np.uint8)
    return changed


def write_ladder(folder: Path, name: str, seed: int, pattern: str = "{name}_{level}.png", *, least: int = 1) -> Path:
    """A reference beside its levels; gives the reference's path."""
    clean = trees.photo(seed, SIZE)
    trees.save(folder / f"{name}.png", clean)
    for level in LEVELS:
        if level >= least:
            trees.save(folder / pattern.format(name=name, level=level, number=101 - level), noisy(clean, level, seed))
    return folder / f"{name}.png"


def names(ladder: Ladder) -> list[tuple[float, str]]:
    return [(each.level, each.path.name) for each in ladder.levels]


def touch(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_bytes(b"")
    return folder


def some_map(seed: int, grid: Grid | None = None) -> QualityMap:
    grid = grid or Grid(95, 133, 20, 10)
    rng = np.random.default_rng(seed)
    return make_map(grid, rng.random(grid.shape), identical=rng.random(grid.shape) < 0.15)


def some_cuts(blake3: str = "ab" * 32) -> PjndCuts:
    levels = np.arange(1.0, 5.0)
    chosen = [
        SourceRange(name, levels, np.array([0.9, 0.7, 0.5, 0.3]) + i / 50, (2, 3)) for i, name in enumerate("abc")
    ]
    chosen.append(SourceRange("d", levels, np.full(4, math.inf), (2, 3)))
    return make_pjnd_cuts(chosen, blake3=blake3, share=0.1, stride=5)


def fitted_jnd(scorer: Scorer, jnd: float, viewing: ViewingConditions = FLICKER) -> PjndCuts:
    """A JND that was fitted to PJNDs, with an interval of 20 %."""
    changes = {
        "share": None,
        "orange": None,
        "stride": 10,
        "viewing": viewing,
        "green": -jnd,
        "low": -1.2 * jnd,
        "high": -0.8 * jnd,
    }
    return some_cuts(scorer.blake3).model_copy(update=changes)


class Shell:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> str:
        """What it says, which must work."""
        code = main([str(each) for each in arguments])
        said = self.capsys.readouterr()
        assert code == 0, said.err
        self.warnings = said.err
        return said.out

    def mistake(self, message: str, *arguments: object) -> None:
        """One line and exit code 2."""
        code = main([str(each) for each in arguments])
        said = self.capsys.readouterr()
        assert code == 2
        assert message in said.err
        assert (said.err.count("\n"), said.out) == (1, "")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
