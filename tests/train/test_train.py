"""Training runs: what they leave, and what they refuse."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

import pixq
from pixq.distort import write_tree
from pixq.errors import PixqError
from pixq.io.atomic import checksum
from pixq.patches.plan import BuildSettings, Sampling
from pixq.runs.directory import RunDirectory, RunInfo
from pixq.runs.recipe import Recipe, read_recipe
from pixq.train import folds, loop
from pixq.train.partition import Parts, by_fold, by_split
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


@pytest.fixture(scope="session")
def patch_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("train"))


def quick(*overrides: str) -> Recipe:
    return read_recipe("seed", [*QUICK, *overrides])


def run(
    patches: Path,
    out: Path,
    *overrides: str,
    resume: bool = False,
    watch: Callable[[loop.Progress], None] | None = None,
) -> RunInfo:
    parts = by_split(pixq.PatchSet(patches))
    return loop.train(parts, out, quick(*overrides), device="cpu", resume=resume, watch=watch)


def same_bytes(first: Path, second: Path) -> None:
    for name in SAME_BYTES:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.fixture(scope="session")
def finished(patch_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    run(patch_set, out)
    return out


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


def test_one_seed_gives_the_same_bytes_and_another_gives_others(
    finished: Path, patch_set: Path, tmp_path: Path
) -> None:
    torch.manual_seed(123)
    run(patch_set, tmp_path / "again")
    same_bytes(finished, tmp_path / "again")
    run(patch_set, tmp_path / "other", "train.seed=1")
    assert (finished / "metrics.jsonl").read_bytes() != (tmp_path / "other" / "metrics.jsonl").read_bytes()


AUGMENTED = (
    "augment.flip=true",
    "augment.turn=true",
    'augment.fusions=["none", "blend"]',
    "augment.alpha=[0.0, 0.5]",
    "balance.how=sampler",
    "optimiser.name=adamw",
    "optimiser.schedule=cosine",
)


IMAGES = ("train.unit=images", "train.bag=3", "model.name=monotone", "model.pooling=learned", "model.dropout=0.2")


@pytest.mark.parametrize("overrides", [(), AUGMENTED, IMAGES])
@pytest.mark.parametrize("stops", [[(1, 3)], [(2, 0)], [(1, 1), (2, 5), (3, 2)]])
def test_an_interrupted_run_ends_with_the_bytes_of_an_unbroken_one(
    patch_set: Path, tmp_path: Path, overrides: tuple[str, ...], stops: list[tuple[int, int]]
) -> None:
    run(patch_set, tmp_path / "whole", *overrides)
    steps = RunDirectory(tmp_path / "whole").read_info().timings["steps_an_epoch"]
    for epoch, step in stops:
        at = (epoch, min(step, steps - 1))

        def stop(progress: loop.Progress, at: tuple[int, int] = at) -> None:
            if (progress.epoch, progress.step) == at:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            run(patch_set, tmp_path / "broken", *overrides, resume=True, watch=stop)
        assert RunDirectory(tmp_path / "broken").read_info().status == "interrupted"
        with pytest.raises(PixqError, match="is not finished; go on with pixq train --resume"):
            pixq.load(tmp_path / "broken")
    run(patch_set, tmp_path / "broken", *overrides, resume=True)
    same_bytes(tmp_path / "whole", tmp_path / "broken")


def test_signals_are_as_before_after_a_run(finished: Path) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.slow
def test_a_killed_run_goes_on(patch_set: Path, tmp_path: Path) -> None:
    run(patch_set, tmp_path / "whole", "train.epochs=40")
    command = [sys.executable, "-m", "pixq", "train", str(patch_set), "--out", str(tmp_path / "killed"), "--resume"]
    command += [part for override in (*QUICK, "train.epochs=40") for part in ("--set", override)]
    killed = 0
    for lines in (2, 12, 25):
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert child.stderr is not None
        for line in child.stderr:
            if "epoch" in line and int(line.split("epoch ")[1].split()[0]) >= lines:
                child.kill()
                killed += 1
                break
        child.stderr.close()
        child.wait()
    assert killed == 3
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "best after epoch" in done.stdout
    same_bytes(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_on_the_command_line_is_clean(patch_set: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pixq", "train", str(patch_set), "--out", str(tmp_path / "run")]
    child = subprocess.Popen(
        [*command, "--set", "train.epochs=5000", "--set", "stopping.patience=0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    for line in child.stderr:
        if "epoch 2 of" in line:
            child.send_signal(signal.SIGINT)
            break
    rest = child.stderr.read()
    assert child.wait(timeout=60) == 130
    assert rest.rstrip().endswith("pixq: interrupted; go on with --resume")
    assert "Traceback" not in rest
    assert child.stdout is not None
    assert child.stdout.read() == ""
    assert RunDirectory(tmp_path / "run").read_info().status == "interrupted"
    child.stderr.close()
    child.stdout.close()


def test_a_finished_run_is_left_as_it_is(finished: Path, patch_set: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    before = built.digest(tmp_path / "run")
    info = run(patch_set, tmp_path / "run", resume=True)
    assert info.status == "epochs"
    assert built.digest(tmp_path / "run") == before


def test_tensorboard_has_the_metrics(finished: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    lines = built.lines(finished / "metrics.jsonl")
    found = {event.step: event.value for event in events.Scalars("loss/validation")}
    assert found == pytest.approx({line["epoch"]: line["validation"]["loss"] for line in lines}, rel=1e-6)
    assert "srcc/validation" in events.Tags()["scalars"]


def mistake(call: Callable[[], Any]) -> str:
    with pytest.raises(PixqError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_mistakes_are_one_line(finished: Path, patch_set: Path, tmp_path: Path) -> None:
    assert "holds a run already; go on with --resume" in mistake(lambda: run(patch_set, finished))
    assert "another recipe" in mistake(lambda: run(patch_set, finished, "train.batch=4", resume=True))
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    assert "is not empty and holds no run" in mistake(lambda: run(patch_set, full))
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


def test_another_patch_set_or_another_rule_is_not_resumed(patch_set: Path, tmp_path: Path) -> None:
    other = make_set(tmp_path, seed=1)
    run(patch_set, tmp_path / "run", "train.epochs=1")
    message = mistake(lambda: run(other, tmp_path / "run", "train.epochs=1", resume=True))
    assert "another patch set" in message
    recipe = quick("train.epochs=1")
    part = by_fold(pixq.PatchSet(patch_set), 0)
    assert "other splits" in mistake(lambda: loop.train(part, tmp_path / "run", recipe, device="cpu", resume=True))


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


def test_resume_goes_on_with_the_runs_own_recipe(patch_set: Path, finished: Path, tmp_path: Path) -> None:
    def stop(progress: loop.Progress) -> None:
        if (progress.epoch, progress.step) == (2, 1):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(patch_set, tmp_path / "run", watch=stop)
    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    other = built.pixq("train", patch_set, "--out", tmp_path / "run", "--resume", "--set", "train.batch=4")
    assert "was begun with another recipe; leave out --recipe and --set" in built.mistake(other)
    done = built.pixq("train", patch_set, "--out", tmp_path / "run", "--resume")
    assert done.code == 0, done
    same_bytes(finished, tmp_path / "run")
    (tmp_path / "cut" / "last.safetensors").unlink()
    message = mistake(lambda: run(patch_set, tmp_path / "cut", resume=True))
    assert "last.safetensors: is missing, so the run can't go on" in message


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
    assert "has 2 folds outside of its test split, and three are needed" in built.mistake(done)


def parts_of(
    patches: pixq.PatchSet, train: Sequence[int] | np.ndarray, validation: Sequence[int] | np.ndarray
) -> Parts:
    return Parts(patches, patches[np.asarray(train)], patches[np.asarray(validation)], None, {"rule": "split"})


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


def test_what_was_refused_does_not_stand_in_the_way(patch_set: Path, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match=r"model\.weights=FILE"):
        run(patch_set, tmp_path / "run", "model.name=pretrained", "model.weights=missing.safetensors")
    assert not (tmp_path / "run").exists()
    assert run(patch_set, tmp_path / "run", "train.epochs=0").status == "epochs"


def test_a_run_is_finished_with_its_last_file(
    finished: Path, patch_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(figure: Any) -> bytes:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(loop.curves, "png", full_disk)
        with pytest.raises(OSError, match="No space left"):
            run(patch_set, tmp_path / "run")
    assert RunDirectory(tmp_path / "run").read_info().status == "running"
    assert run(patch_set, tmp_path / "run", resume=True).files
    same_bytes(finished, tmp_path / "run")
    pixq.load(tmp_path / "run")


def test_ctrl_c_while_validating_is_heard(finished: Path, patch_set: Path, tmp_path: Path) -> None:
    def stop(progress: loop.Progress) -> None:
        if progress.step == progress.steps and progress.epoch == 3:
            # From here on there are no steps, only validation and the end.
            signal.raise_signal(signal.SIGINT)

    def stop_validating(progress: loop.Progress) -> None:
        if progress.step == 0 and progress.epoch == 4:
            signal.raise_signal(signal.SIGINT)

    for number, watch in enumerate((stop, stop_validating)):
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            run(patch_set, tmp_path / str(number), watch=watch)
        run(patch_set, tmp_path / str(number), resume=True)
        same_bytes(finished, tmp_path / str(number))


def test_metrics_that_are_cut_short_are_one_line(patch_set: Path, tmp_path: Path) -> None:
    def stop(progress: loop.Progress) -> None:
        if progress.epoch == 2 and progress.step == 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(patch_set, tmp_path / "run", watch=stop)
    metrics = tmp_path / "run" / "metrics.jsonl"
    text = metrics.read_text("utf-8")
    metrics.write_text(text[: text.rindex('"loss"') + 4], "utf-8")
    with pytest.raises(PixqError, match="cut short"):
        run(patch_set, tmp_path / "run", resume=True)
    # What follows the lines that the checkpoint knows is not read.
    metrics.write_text(text + '{"epoch": 2, "train": {"loss": 0.1}', "utf-8")
    assert run(patch_set, tmp_path / "run", resume=True).status == "epochs"
    assert [line["epoch"] for line in built.lines(metrics)] == [0, 1, 2, 3]


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


def test_a_run_json_without_a_key_is_one_line(finished: Path, patch_set: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text("utf-8"))
    del info["patches"]["fingerprint"]
    path.write_text(json.dumps(info), "utf-8")
    with pytest.raises(PixqError, match=r"patches[.]fingerprint: is missing"):
        run(patch_set, tmp_path / "run", resume=True)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are text")
def test_a_patch_set_whose_name_is_not_text(patch_set: Path, tmp_path: Path) -> None:
    named = tmp_path / os.fsdecode(b"patches\xff")
    shutil.copytree(patch_set, named)
    assert run(named, tmp_path / "run", "train.epochs=0").patches["directory"].endswith("patches\\udcff")
