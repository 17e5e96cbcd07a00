"""Cross-validation: runs of folds and what is pooled over them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pixq
from pixq.errors import PixqError
from pixq.runs.directory import RunDirectory
from pixq.train import folds
from pixq.train.partition import by_fold
from support import built
from support.training import QUICK, make_set, quick


def summary_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / folds.FOLDS).read_text())
    return found


def test_folds_predict_every_image_once_by_a_model_that_never_saw_it(patch_set: Path, tmp_path: Path) -> None:
    overrides = [part for override in (*QUICK, "train.epochs=1") for part in ("--set", override)]
    out = tmp_path / "folds"
    done = built.pixq("train", patch_set, "--out", out, "--folds", *overrides)
    assert done.code == 0, done
    patches = pixq.PatchSet(patch_set)
    by_id = {image["image_id"]: image for image in patches.images}
    lines = built.lines(out / "predictions.jsonl")
    # The test split is never touched.
    assert sorted(line["image_id"] for line in lines) == sorted(
        name for name, image in by_id.items() if image["split"] != "test"
    )
    summary = summary_of(out)
    for name in summary["runs"]:
        info = RunDirectory(out / name).read_info()
        own = built.lines(out / name / "predictions.jsonl")
        assert {by_id[line["image_id"]]["fold"] for line in own} == {info.split["fold"]}
        assert info.split["validation_fold"] != info.split["fold"]
    predicted, quality = ([line[key] for line in lines] for key in ("predicted", "quality"))
    ranks = [np.argsort(np.argsort(values)) for values in (predicted, quality)]
    if len(set(quality)) == len(quality) and len(set(predicted)) == len(predicted):
        assert summary["image"]["srcc"] == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert f"{summary['image']['srcc']:.4f}" in done.out
    before = built.digest(out)
    again = built.pixq("train", patch_set, "--out", out, "--folds", "--resume", *overrides)
    assert again.code == 0
    assert again.out == done.out
    assert built.digest(out) == before
    assert "holds runs already" in built.mistake(built.pixq("train", patch_set, "--out", out, "--folds", *overrides))
    plain = built.pixq("train", patch_set, "--out", out, *overrides)
    assert "holds runs of --folds" in built.mistake(plain)


def test_a_left_out_distortion_is_in_no_part_but_the_held_out(patch_set: Path, tmp_path: Path) -> None:
    patches = pixq.PatchSet(patch_set)
    summary = folds.train_folds(
        patches, tmp_path / "out", quick("train.epochs=0"), leave_out="distortion", device="cpu"
    )
    kinds = sorted({image["distortion_type"] for image in patches.images})
    assert list(summary["by_distortion"]) == kinds
    assert len(summary["runs"]) == len(kinds) * len({i["fold"] for i in patches.images if i["split"] != "test"})
    for kind in kinds:
        parts = by_fold(patches, 0, kind)
        for part in (parts.train, parts.validation):
            assert kind not in {patches.images[number]["distortion_type"] for number in part.records.image}
        assert parts.held_out is not None
        held = {patches.images[number]["distortion_type"] for number in parts.held_out.records.image}
        assert held == set(kinds)
    lines = built.lines(tmp_path / "out" / "predictions.jsonl")
    assert {line["left_out"] for line in lines} == set(kinds)


def test_three_folds_are_needed(tmp_path: Path) -> None:
    patches = make_set(tmp_path, references=2, split="1,0,0")
    done = built.pixq("train", patches, "--out", tmp_path / "run", "--folds")
    assert "has 2 folds outside its test split, but three are needed" in built.mistake(done)


def test_folds_are_not_overwritten_by_other_folds(patch_set: Path, finished: Path, tmp_path: Path) -> None:
    patches, recipe = pixq.PatchSet(patch_set), quick("train.epochs=0")
    folds.train_folds(patches, tmp_path / "folds", recipe, device="cpu")
    kept = (tmp_path / "folds" / "folds.json").read_bytes()
    with pytest.raises(PixqError, match="holds runs of --folds"):
        folds.train_folds(patches, tmp_path / "folds", recipe, leave_out="distortion", device="cpu", resume=True)
    assert (tmp_path / "folds" / "folds.json").read_bytes() == kept
    predictions = tmp_path / "folds" / "fold-0" / "predictions.safetensors"
    predictions.write_bytes(predictions.read_bytes()[:-4])
    with pytest.raises(PixqError, match=r"are not those of its run[.]json"):
        folds.train_folds(patches, tmp_path / "folds", recipe, device="cpu", resume=True)
    with pytest.raises(PixqError, match="holds a run without --folds"):
        folds.train_folds(patches, finished, recipe, device="cpu")


@pytest.mark.slow
def test_two_processes_train_folds(patch_set: Path, tmp_path: Path) -> None:
    # `monotone` with its plain mean, too: a weight without a gradient stops DistributedDataParallel.
    flags = [part for key in ("model.name=monotone", "train.epochs=1", "train.threads=1") for part in ("--set", key)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "pixq", "train", str(patch_set), "--folds", "--device", "cpu", *flags]
    two = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("pooled over") == 1
    assert (tmp_path / "folds.json").exists()
