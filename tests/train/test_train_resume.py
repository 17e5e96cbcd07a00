"""Runs that are interrupted, killed, resumed or repeated."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import pixq
from pixq.errors import PixqError
from pixq.runs.directory import RunDirectory
from pixq.train import loop
from pixq.train.partition import by_fold
from support import built
from support.training import QUICK, interrupt_at, make_set, mistake, quick, run, same_bytes


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
        with pytest.raises(KeyboardInterrupt):
            run(patch_set, tmp_path / "broken", *overrides, resume=True, on_progress=interrupt_at(*at))
        assert RunDirectory(tmp_path / "broken").read_info().status == "interrupted"
        with pytest.raises(PixqError, match="is not finished; continue it with pixq train --resume"):
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
    assert rest.rstrip().endswith("pixq: interrupted; continue with --resume")
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


def test_another_patch_set_or_another_rule_is_not_resumed(patch_set: Path, tmp_path: Path) -> None:
    other = make_set(tmp_path, seed=1)
    run(patch_set, tmp_path / "run", "train.epochs=1")
    message = mistake(lambda: run(other, tmp_path / "run", "train.epochs=1", resume=True))
    assert "another patch set" in message
    recipe = quick("train.epochs=1")
    part = by_fold(pixq.PatchSet(patch_set), 0)
    assert "other splits" in mistake(lambda: loop.train(part, tmp_path / "run", recipe, device="cpu", resume=True))


def test_resume_goes_on_with_the_runs_own_recipe(patch_set: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(patch_set, tmp_path / "run", on_progress=interrupt_at(2, 1))
    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    other = built.pixq("train", patch_set, "--out", tmp_path / "run", "--resume", "--set", "train.batch=4")
    assert "was begun with another recipe; leave out --recipe and --set" in built.mistake(other)
    done = built.pixq("train", patch_set, "--out", tmp_path / "run", "--resume")
    assert done.code == 0, done
    same_bytes(finished, tmp_path / "run")
    (tmp_path / "cut" / "last.safetensors").unlink()
    message = mistake(lambda: run(patch_set, tmp_path / "cut", resume=True))
    assert "last.safetensors: is missing, so the run can't continue" in message


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
    # After the last step there is only validation and the end; and after the last epoch only the end.
    last_step = RunDirectory(finished).read_info().timings["steps_an_epoch"]
    for number, on_progress in enumerate((interrupt_at(3, last_step), interrupt_at(4, 0))):
        with pytest.raises(KeyboardInterrupt, match="--resume"):
            run(patch_set, tmp_path / str(number), on_progress=on_progress)
        run(patch_set, tmp_path / str(number), resume=True)
        same_bytes(finished, tmp_path / str(number))


def test_metrics_that_are_cut_short_are_one_line(patch_set: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(patch_set, tmp_path / "run", on_progress=interrupt_at(2, 1))
    metrics = tmp_path / "run" / "metrics.jsonl"
    text = metrics.read_text("utf-8")
    metrics.write_text(text[: text.rindex('"loss"') + 4], "utf-8")
    with pytest.raises(PixqError, match="cut short"):
        run(patch_set, tmp_path / "run", resume=True)
    # What follows the lines that the checkpoint knows is not read.
    metrics.write_text(text + '{"epoch": 2, "train": {"loss": 0.1}', "utf-8")
    assert run(patch_set, tmp_path / "run", resume=True).status == "epochs"
    assert [line["epoch"] for line in built.lines(metrics)] == [0, 1, 2, 3]


def test_a_run_json_without_a_key_is_one_line(finished: Path, patch_set: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text("utf-8"))
    del info["patches"]["fingerprint"]
    path.write_text(json.dumps(info), "utf-8")
    with pytest.raises(PixqError, match=r"patches[.]fingerprint: Field required"):
        run(patch_set, tmp_path / "run", resume=True)
