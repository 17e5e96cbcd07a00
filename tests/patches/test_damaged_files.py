"""Whatever is done to pixq's own files, they are read right or refused in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pixq
from pixq.decisions.calibration_file import CALIBRATION
from pixq.decisions.pjnd_cuts import PJND
from pixq.errors import PixqError
from pixq.ladders.ground_truth import read_ground_truth
from pixq.ladders.ladder import level_maps
from pixq.patches.store import verify
from pixq.report import folds, report
from pixq.report.gather import gather
from pixq.report.page import render
from support.damage import Damage, announce_weights, damages, json_damages, make_run, make_truths

FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
NOISE = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)


def read_patch_set(folder: Path) -> None:
    patches = pixq.PatchSet(folder)
    patches.fused()
    list(patches.select(split="train").batches(64))
    patches.photos()


def read_run(folder: Path) -> None:
    scorer = pixq.load(folder)
    assert np.isfinite(scorer.quality(NOISE[:1], NOISE[1:])).all()
    _ = scorer.decision
    scorer.info.seen()
    _ = gather(folder).is_current(scorer.blake3)


def read_report(folder: Path) -> None:
    render("report.html", report.view(folder))


def read_folds(folder: Path) -> None:
    render("folds.html", folds.view(folder))


def read_truths(folder: Path) -> None:
    for truth in read_ground_truth(folder):
        next(iter(level_maps(pixq.load(), truth.ladder)))


def try_to_read(read: Callable[[Path], None], folder: Path) -> None:
    """It is read, or refused in one line that can be printed."""
    try:
        read(folder)
    except (PixqError, OSError) as error:
        if "\n" in str(error) or (isinstance(error, OSError) and not error.strerror):
            raise AssertionError(f"not one line: {error!r}") from error


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("damaged") / "run")


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_truths(tmp_path_factory.mktemp("damaged-truths"))


@pytest.fixture(scope="module")
def patches(patch_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a patch set."""
    return Path(shutil.copytree(patch_set, tmp_path_factory.mktemp("damaged-patches") / "patches"))


@contextmanager
def damaged(path: Path, damage: Damage) -> Iterator[None]:
    data = path.read_bytes()
    path.write_bytes(damage(data))
    try:
        yield
    finally:
        path.write_bytes(data)


@FEW
@given(name=st.integers(0, 99), damage=damages())
def test_any_byte_of_a_patch_set(patches: Path, name: int, damage: Damage) -> None:
    files = sorted(path for path in patches.iterdir() if path.is_file())
    with damaged(files[name % len(files)], damage):
        try_to_read(read_patch_set, patches)
        try_to_read(verify, patches)  # type: ignore[arg-type]


@FEW
@given(damage=json_damages())
def test_any_value_of_a_manifest(patches: Path, damage: Damage) -> None:
    with damaged(patches / "manifest.json", damage):
        try_to_read(read_patch_set, patches)
        try_to_read(verify, patches)  # type: ignore[arg-type]


@FEW
@given(name=st.sampled_from(["run.json", "model.safetensors", CALIBRATION, PJND]), damage=damages())
def test_any_byte_of_a_run(run: Path, name: str, damage: Damage) -> None:
    with damaged(run / name, damage):
        try_to_read(read_run, run)


@FEW
@given(name=st.sampled_from(["run.json", "run.json", CALIBRATION, PJND]), damage=json_damages())
def test_any_value_of_a_run(run: Path, name: str, damage: Damage) -> None:
    with damaged(run / name, damage):
        try_to_read(read_run, run)


@FEW
@given(name=st.sampled_from(["run.json", "run.json", "metrics.jsonl", "evaluations/test.json"]), damage=json_damages())
def test_any_value_of_what_a_report_reads(run: Path, name: str, damage: Damage) -> None:
    with damaged(run / name, damage):
        try_to_read(read_report, run)


@FEW
@given(name=st.sampled_from(["folds.json", "fold-0/run.json"]), damage=json_damages())
def test_any_value_of_folds(run: Path, name: str, damage: Damage) -> None:
    with damaged(run.parent / "folds" / name, damage):
        try_to_read(read_folds, run.parent / "folds")


@FEW
@given(damage=damages())
def test_any_byte_of_weights_that_are_announced(run: Path, damage: Damage) -> None:
    with damaged(run / "run.json", bytes), damaged(run / "model.safetensors", damage):
        announce_weights(run)
        try_to_read(read_run, run)


@FEW
@given(damage=st.one_of(damages(), json_damages()))
def test_any_byte_of_a_ground_truth(truths: Path, damage: Damage) -> None:
    with damaged(truths / "ground_truth.json", damage):
        try_to_read(read_truths, truths)
