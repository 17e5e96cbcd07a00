"""Training runs: what they leave behind, what they learn, and what they refuse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

import pixq
from pixq.io.atomic import checksum
from pixq.patches.plan import BuildSettings, Sampling
from pixq.runs.directory import RunDirectory
from pixq.runs.recipe import read_recipe
from pixq.train import folds, loop
from pixq.train.partition import Partition, by_split
from support import built, trees
from support.training import QUICK, SAME_BYTES, make_set, mistake, quick, run, same_bytes


def test_a_run_holds_all_that_repeats_it(finished: Path, patch_set: Path) -> None:
    info = RunDirectory(finished).read_info()
    assert info.status == "epochs"
    assert info.parameters == 4417
    assert info.recipe == quick().model_dump(mode="json")
    assert read_recipe(str(finished / "recipe.toml")) == quick()
    assert info.patches["fingerprint"] == checksum(patch_set / "manifest.json").blake3
    assert set(info.versions) == {"python", "pixq", "torch", "numpy", "safetensors"}
    assert info.hardware["device"] == "cpu"
    assert info.hardware["threads"] == 1
    assert info.timings["seconds"] > 0
    for name, listed in info.files.items():
        assert checksum(finished / name).blake3 == listed["blake3"]
    assert set(info.files) == {*SAME_BYTES} - {"last.safetensors", "curves.png"}
    # Standard JSON, without Infinity.
    built.lines(finished / "metrics.jsonl")
    assert "NaN" not in (finished / "run.json").read_text()


def test_nothing_in_a_run_is_pickled(finished: Path) -> None:
    found = {path.suffix for path in finished.rglob("*") if path.is_file()}
    events = {path.suffix for path in (finished / "tensorboard").iterdir()}
    assert found - events == {".json", ".jsonl", ".toml", ".safetensors", ".png"}
    for path in finished.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            assert list(file.keys())


def test_metrics_have_a_line_before_the_first_step_and_one_an_epoch(finished: Path) -> None:
    lines = built.lines(finished / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert lines[0]["train"] is None
    wanted = {f"{part}{name}" for part in ("", "image_") for name in ("mse", "mae", "srcc", "plcc")} | {"loss"}
    for line in lines:
        assert set(line["validation"]) == wanted
        assert (line["train"] is None) == (line["epoch"] == 0)
    assert lines[-1]["train"]["loss"] < lines[1]["train"]["loss"]


def test_metrics_of_validation_are_those_of_the_predictions(finished: Path, patch_set: Path) -> None:
    info = RunDirectory(finished).read_info()
    assert info.best is not None
    columns = load_file(finished / "predictions.safetensors")
    patches = pixq.PatchSet(patch_set)
    rows = columns["row"]
    assert sorted(rows.tolist()) == patches.select(split="validation").rows.tolist()
    np.testing.assert_array_equal(columns["quality"], patches.records.quality[rows])
    error = columns["predicted"].astype(np.float64) - columns["quality"]
    best = built.lines(finished / "metrics.jsonl")[info.best["epoch"]]["validation"]
    assert best["mse"] == pytest.approx(np.mean(error**2), rel=1e-6)
    assert best["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-6)
    images = built.lines(finished / "predictions.jsonl")
    assert {line["image_id"] for line in images} == {
        image["image_id"] for image in patches.images if image["split"] == "validation"
    }
    for line in images:
        number = [image["image_id"] for image in patches.images].index(line["image_id"])
        assert line["predicted"] == pytest.approx(columns["predicted"][columns["image"] == number].mean(), abs=1e-6)


def test_the_kept_weights_are_those_of_the_lowest_validation_loss(patch_set: Path, tmp_path: Path) -> None:
    # A learning rate at which the loss goes up and down.
    info = run(patch_set, tmp_path / "run", "optimiser.lr=0.05", "train.epochs=8", "stopping.patience=0")
    losses = [line["validation"]["loss"] for line in built.lines(tmp_path / "run" / "metrics.jsonl")]
    assert info.best == {"epoch": int(np.argmin(losses)), "loss": min(losses)}
    assert int(np.argmin(losses)) < 8, "the last epoch is the best: this recipe tests nothing"
    scorer = pixq.load(tmp_path / "run")
    part = pixq.PatchSet(patch_set).select(split="validation")
    predicted = scorer.quality(part.reference[part.records.reference_row], part.fused())
    mse = built.lines(tmp_path / "run" / "metrics.jsonl")[int(np.argmin(losses))]["validation"]["mse"]
    assert np.mean((predicted - part.records.quality) ** 2) == pytest.approx(mse, rel=1e-5)


def test_patience_counts_epochs_that_did_not_fall_by_min_delta(patch_set: Path, tmp_path: Path) -> None:
    info = run(patch_set, tmp_path / "run", "stopping.patience=2", "stopping.min_delta=100", "train.epochs=9")
    # The first loss falls below infinity; the two after it do not fall by 100.
    assert info.status == "patience"
    assert len(built.lines(tmp_path / "run" / "metrics.jsonl")) == 3


def test_tensorboard_has_the_metrics(finished: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    lines = built.lines(finished / "metrics.jsonl")
    found = {event.step: event.value for event in events.Scalars("loss/validation")}
    assert found == pytest.approx({line["epoch"]: line["validation"]["loss"] for line in lines}, rel=1e-6)
    assert "srcc/validation" in events.Tags()["scalars"]


def test_mistakes_are_one_line(finished: Path, patch_set: Path, tmp_path: Path) -> None:
    assert "holds a run already; continue it with --resume" in mistake(lambda: run(patch_set, finished))
    assert "another recipe" in mistake(lambda: run(patch_set, finished, "train.batch=4", resume=True))
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    assert "is not empty and does not hold a run" in mistake(lambda: run(patch_set, full))
    assert (full / "notes.txt").read_text() == "mine"
    assert "needs CUDA" in mistake(lambda: run(patch_set, tmp_path / "a", "train.precision=bf16"))
    assert "unknown model 'huge'" in mistake(lambda: run(patch_set, tmp_path / "b", "model.name=huge"))
    message = mistake(lambda: run(patch_set, tmp_path / "c", "optimiser.lr=1e30"))
    assert "loss is not a number in epoch" in message
    assert "lower optimiser.lr" in message
    assert not any((tmp_path / name).exists() for name in "ab")


def test_the_best_weights_survive_a_loss_that_is_not_a_number(patch_set: Path, tmp_path: Path) -> None:
    mistake(lambda: run(patch_set, tmp_path / "run", "optimiser.lr=1e30"))
    tensors = load_file(tmp_path / "run" / "model.safetensors")
    assert all(np.isfinite(values).all() for values in tensors.values())


def test_an_empty_split_is_one_line(tmp_path: Path) -> None:
    patches = make_set(tmp_path, split="1,0,0")
    done = built.pixq("train", patches, "--out", tmp_path / "run")
    assert "its validation split is empty" in built.mistake(done)
    assert not (tmp_path / "run").exists()


def test_a_patch_set_with_a_changed_byte_is_refused(patch_set: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(patch_set, copy)
    victim = copy / "shard-00000.distorted.npy"
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    done = built.pixq("train", copy, "--out", tmp_path / "run")
    assert f"{victim}: BLAKE3 is" in built.mistake(done)
    assert not (tmp_path / "run").exists()


def test_a_group_in_two_splits_is_refused(patch_set: Path, tmp_path: Path) -> None:
    """The set is edited with all its checksums, so that nothing but the leak is wrong."""
    copy = tmp_path / "copy"
    shutil.copytree(patch_set, copy)
    images = built.lines(copy / "images.jsonl")
    moved = next(image for image in images if image["split"] == "train")
    moved["split"] = "validation"
    (copy / "images.jsonl").write_text("".join(json.dumps(image, ensure_ascii=False) + "\n" for image in images))
    manifest = json.loads((copy / "manifest.json").read_text())
    info = checksum(copy / "images.jsonl")
    manifest["images"] |= {"bytes": info.bytes, "blake3": info.blake3}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = built.pixq("train", copy, "--out", tmp_path / "run")
    assert "a leak: group" in built.mistake(done)
    assert not (tmp_path / "run").exists()


def test_the_test_split_plays_no_part(patch_set: Path, finished: Path, tmp_path: Path) -> None:
    """Black patches in the test split, with checksums that fit: not a byte of the run changes."""
    copy = tmp_path / "copy"
    shutil.copytree(patch_set, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    blacked = 0
    for shard in manifest["shards"]:
        if shard["split"] != "test":
            continue
        for kind in ("reference", "distorted"):
            path = copy / f"{shard['name']}.{kind}.npy"
            np.save(path, np.zeros_like(np.load(path)))
            info = checksum(path)
            shard["files"][path.name] = {"bytes": info.bytes, "blake3": info.blake3}
            blacked += 1
    assert blacked
    (copy / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    run(copy, tmp_path / "run")
    same_bytes(finished, tmp_path / "run")


def test_a_set_larger_than_the_memory_streams(patch_set: Path, tmp_path: Path) -> None:
    big = make_set(tmp_path, patches=120)
    parts = by_split(pixq.PatchSet(big))
    from pixq.train.data import Pool

    assert len(Pool(parts.train, torch.device("cpu"), 1).pieces) > 2
    info = run(big, tmp_path / "run", "train.memory=1", "train.epochs=1", "train.batch=64")
    assert info.best is not None
    assert info.best["epoch"] == 1
    # Validation is scored record by record, so its predictions are those of the whole set in memory.
    whole = run(big, tmp_path / "whole", "train.epochs=0")
    streamed = run(big, tmp_path / "streamed", "train.epochs=0", "train.memory=1")
    assert whole.best == streamed.best
    first, second = (load_file(tmp_path / name / "predictions.safetensors") for name in ("whole", "streamed"))
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=1e-6)


def test_the_command_line(patch_set: Path, tmp_path: Path) -> None:
    overrides = [part for override in QUICK for part in ("--set", override)]
    done = built.pixq("train", patch_set, "--out", tmp_path / "run", *overrides)
    assert done.code == 0, done
    assert done.out.startswith(f"{tmp_path / 'run'}: tiny, 4,417 weights, best after epoch ")
    assert done.err.count("\n") == 4
    assert "pixq: epoch 3 of 3: validation loss " in done.err
    wrong = built.pixq("train", patch_set, "--out", tmp_path / "x", "--set", "train.epoch=3")
    assert "train.epoch: there is no such key; choose epochs" in built.mistake(wrong)
    none = built.pixq("train", patch_set, "--out", tmp_path / "x", "--device", "tpu")
    assert "there is no device 'tpu'" in built.mistake(none)
    empty = built.pixq("train", tmp_path, "--out", tmp_path / "x")
    assert "manifest.json" in built.mistake(empty)


def parts_of(
    patches: pixq.PatchSet, train: Sequence[int] | np.ndarray, validation: Sequence[int] | np.ndarray
) -> Partition:
    return Partition(patches, patches[np.asarray(train)], patches[np.asarray(validation)], None, {"rule": "split"})


@pytest.mark.slow
def test_it_overfits_64_patches(patch_set: Path, tmp_path: Path) -> None:
    patches = pixq.PatchSet(patch_set)
    train = patches.select(split="train")
    # 64 patches with 64 different qualities, so that the mean predicts none of them.
    chosen = train.rows[np.linspace(0, len(train) - 1, 64).astype(int)]
    validation = patches.select(split="validation").rows[:8]
    recipe = read_recipe(
        "seed",
        [
            "train.epochs=1500",
            "train.batch=64",
            "train.threads=1",
            "stopping.patience=0",
            "loss.name=mse",
            "optimiser.lr=0.01",
            "optimiser.schedule=cosine",
        ],
    )
    loop.train(parts_of(patches, chosen, validation), tmp_path / "run", recipe, device="cpu")
    last = built.lines(tmp_path / "run" / "metrics.jsonl")[-1]
    quality = patches.records.quality[chosen]
    assert np.var(quality) > 1e-3
    assert last["train"]["loss"] < 1e-4


@pytest.mark.slow
def test_shuffled_scores_can_not_be_learned(tmp_path: Path) -> None:
    """A leak check: where scores say nothing of images, a model that predicts them has seen the answers."""
    root = trees.data_dir("tid2013")
    tree = tmp_path / "tree"
    tree.mkdir()
    for folder in ("reference_images", "distorted_images"):
        os.symlink(root / folder, tree / folder)
    rows = [line.split() for line in (root / "mos_with_names.txt").read_text().splitlines()]
    scores = np.random.default_rng(0).permutation([score for score, _ in rows])
    shuffled = "".join(f"{score} {name}\n" for score, (_, name) in zip(scores, rows, strict=True))
    (tree / "mos_with_names.txt").write_text(shuffled)
    settings = BuildSettings(sampling=Sampling("random", None, 12), ratio=(0.8, 0.2, 0.0))
    built.make("tid2013", tree, tmp_path / "patches", settings)
    recipe = read_recipe("seed", ["train.epochs=4", "train.threads=1"])
    summary = folds.train_folds(pixq.PatchSet(tmp_path / "patches"), tmp_path / "run", recipe, device="cpu")
    # 300 images: by chance, |SRCC| exceeds 0.19 once in a thousand times.
    assert abs(summary["image"]["srcc"]) < 0.19


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["seed", "strong"])
def test_two_processes_give_the_loss_curve_of_one(patch_set: Path, tmp_path: Path, recipe: str) -> None:
    # Batches that don't divide by two, and a last one that is smaller. Rounding grows with steps, so these are small.
    overrides = ["train.epochs=2", "train.batch=18" if recipe == "seed" else "train.batch=5", "optimiser.lr=0.0005"]
    flags = [part for override in overrides for part in ("--set", override)]
    arguments = ["train", str(patch_set), "--recipe", recipe, "--device", "cpu", *flags]
    one = built.pixq(*arguments, "--out", tmp_path / "one")
    assert one.code == 0, one
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    two = subprocess.run(
        [*torchrun, "-m", "pixq", *arguments, "--out", str(tmp_path / "two")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("best after epoch") == 1
    first, second = (built.lines(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    for a, b in zip(first, second, strict=True):
        assert b["validation"]["loss"] == pytest.approx(a["validation"]["loss"], rel=1e-3)
        assert (a["train"] or {}) == pytest.approx(b["train"] or {}, rel=1e-3)
    rows = [load_file(tmp_path / name / "predictions.safetensors")["row"] for name in ("one", "two")]
    np.testing.assert_array_equal(*rows)
    assert RunDirectory(tmp_path / "two").read_info().hardware["processes"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are text")
def test_a_patch_set_whose_name_is_not_text(patch_set: Path, tmp_path: Path) -> None:
    named = tmp_path / os.fsdecode(b"patches\xff")
    shutil.copytree(patch_set, named)
    assert run(named, tmp_path / "run", "train.epochs=0").patches["directory"].endswith("patches\\udcff")
