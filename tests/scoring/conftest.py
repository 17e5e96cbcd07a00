"""A model, and image files to compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixq.scoring.scorer import Scorer, load
from support import trees
from support.predictions import DISTORTED, REFERENCE, SIZE


@pytest.fixture(scope="session")
def scorer(trained: Path) -> Scorer:
    return load(trained)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    trees.save(tmp_path / "clean.png", REFERENCE)
    trees.save(tmp_path / "noisy.bmp", DISTORTED)
    return tmp_path / "clean.png", tmp_path / "noisy.bmp"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Four pairs, one of them in a folder, two under other endings."""
    names = (("a.png", "a.png"), ("b.png", "b.bmp"), ("deep/c.png", "deep/c.png"), ("D.png", "d.bmp"))
    for number, (first, second) in enumerate(names):
        clean = trees.photo(number, SIZE)
        trees.save(tmp_path / "clean" / first, clean)
        trees.save(tmp_path / "noisy" / second, trees.distorted(clean, number, number + 1))
    return tmp_path / "clean", tmp_path / "noisy"
