"""Animated references: the chosen frame is the photo that is recognised under another name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from pixq.datasets import photos
from pixq.datasets.base import Problem
from pixq.io.images import ReadOptions
from pixq.patches.plan import BuildSettings, Sampling
from pixq.report.commands import build_command
from support import trees
from support.built import make

SETTINGS = BuildSettings(sampling=Sampling("random", None, 3), ratio=(1, 0, 0), reading=ReadOptions(frame=0))


@pytest.fixture
def animated(tmp_path: Path) -> Path:
    """Two pairs of which one reference is a frame of the other."""
    root = tmp_path / "tree"
    root.mkdir()
    clean = trees.photo(1, (50, 60))
    other = Image.fromarray(trees.photo(2, (50, 60)))
    Image.fromarray(clean).save(root / "still.png")
    Image.fromarray(clean).save(root / "moves.png", save_all=True, append_images=[other])
    rows = ["reference,distorted,score,distortion,level"]
    for n, name in enumerate(("still", "moves")):
        trees.save(root / f"d{n}.png", trees.distorted(clean, n, 2))
        rows.append(f"{name}.png,d{n}.png,0.5,noise,2")
    (root / "pairs.csv").write_text("\n".join(rows))
    return root


def test_a_photo_is_recognised_in_a_frame(animated: Path, tmp_path: Path) -> None:
    report = make("pairs", animated, tmp_path / "out", SETTINGS)
    known = report.manifest["photos"]
    assert known["sha256"]["still"] == known["sha256"]["moves"]
    assert ["same photo, pixel for pixel" in note for note in known["same"]] == [True]
    assert report.skipped == []
    assert "--frame 0" in build_command(report.manifest, "out")
    assert tuple(known["same"]) == report.warnings
    other = make("pairs", animated, tmp_path / "other", replace(SETTINGS, reading=ReadOptions()))
    assert [item["file"] for item in other.skipped] == ["moves.png"]
    assert other.warnings == ()
    assert "--frame" not in build_command(other.manifest, "out")


def test_a_used_reference_that_is_not_compared_is_named(
    animated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = Problem("corrupt", "moves.png", "Input/output error")
    monkeypatch.setattr(photos, "fingerprint_all", lambda *_, **__: ({}, (problem,)))
    report = make("pairs", animated, tmp_path / "out", SETTINGS)
    assert report.warnings == ("moves.png: can't be compared with the other references: Input/output error",)
