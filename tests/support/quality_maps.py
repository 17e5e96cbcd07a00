"""Maps that no model made, for the tests of what is drawn and written of them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from pixq.classes import classify
from pixq.decisions.decision import CutScale
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import QualityMap
from support.oracles import Array

CUTS = (0.33, 0.66)


def make_map(
    grid: Grid,
    quality: Array,
    *,
    identical: Array | None = None,
    unsure: Array | None = None,
    calibration: str | None = None,
) -> QualityMap:
    """The map of `quality`, whose score is the quality itself."""
    same = np.zeros(grid.shape, bool) if identical is None else identical
    own = np.where(same, 1.0, np.broadcast_to(quality, grid.shape)).astype(np.float32)
    score = np.where(same, np.inf, own.astype(np.float64))
    scale: CutScale = "quality" if calibration is None else "score"
    return QualityMap(
        grid, score, own, classify(own, CUTS), same, unsure, float(own.mean()), CUTS, calibration, None, scale
    )


def random_map(grid: Grid, seed: int = 0, *, sets: bool = True) -> QualityMap:
    """All classes, some patches identical and, where there are sets, some unsure."""
    rng = np.random.default_rng(seed)
    identical = rng.random(grid.shape) < 0.2
    unsure = (rng.random(grid.shape) < 0.3) & ~identical if sets else None
    named = "tid2013-test" if sets else None
    return make_map(grid, rng.random(grid.shape), identical=identical, unsure=unsure, calibration=named)


@st.composite
def grids(draw: st.DrawFn, *, most: int = 70) -> Grid:
    """Grids of any size of patch and stride, of images of up to `most` pixels a side."""
    size = draw(st.integers(1, 20))
    sides = st.integers(size, most)
    return Grid(draw(sides), draw(sides), size, draw(st.integers(1, size)))
