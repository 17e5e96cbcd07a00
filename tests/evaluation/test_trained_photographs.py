"""A photograph that the model was trained on is recognised in another set."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import pixq
from pixq.evaluation.evaluate import EvaluateSettings, evaluate
from pixq.evaluation.trained_photographs import trained_photograph
from pixq.patches.plan import Sampling
from support import built, trees
from support.photographs import grey, photograph
from support.training import run


def write_set(root: Path, photos: dict[str, np.ndarray], split: tuple[float, float, float]) -> Path:
    """A patch set of noisy versions of photographs."""
    rows = ["reference,distorted,score"]
    for name, image in photos.items():
        trees.save(root / "tree" / f"{name}.png", image)
        for level in (1, 2, 3):
            trees.save(root / "tree" / f"{name}-{level}.png", trees.distorted(image, level, level))
            rows.append(f"{name}.png,{name}-{level}.png,{1 - level / 4}")
    (root / "tree" / "pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    built.built("pairs", root / "tree", root / "patches", ratio=split, sampling=Sampling("grid", 20))
    return root / "patches"


@pytest.mark.slow
def test_a_grey_crop_of_a_photograph_of_training_is_told(tmp_path: Path) -> None:
    photos = {f"c{seed}": photograph(seed, 120, 160) for seed in range(1, 4)}
    trained = write_set(tmp_path / "trained", photos, (0.67, 0.33, 0.0))
    run(trained, tmp_path / "run", "train.epochs=1", "train.patches=5")
    others = {f"o{seed}": photograph(seed, 100, 130) for seed in range(10, 13)}
    clean = pixq.PatchSet(write_set(tmp_path / "clean", others, (0.0, 0.0, 1.0)))
    crops = {**others, "crop": grey(photos["c2"][:, 20:140])}
    leaky = pixq.PatchSet(write_set(tmp_path / "leaky", crops, (0.0, 0.0, 1.0)))
    settings = EvaluateSettings(resamples=100, rivals=())
    assert not any("looks like" in warning for warning in evaluate(tmp_path / "run", clean, settings).warnings)
    warnings = evaluate(tmp_path / "run", leaky, settings).warnings
    assert any("reference 'crop' of the test split looks like 'c2', on which" in warning for warning in warnings)
    info = pixq.load(tmp_path / "run").info
    assert trained_photograph(info, set(), leaky) is None
    # Without the patch set that was trained on, nothing can be compared.
    shutil.rmtree(trained)
    assert trained_photograph(info, {"x"}, leaky) is None
