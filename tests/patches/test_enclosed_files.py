"""A patch set, a run and a ladder's ground truth read nothing outside their folder, and no more than they announce."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import pixq
from pixq.errors import PixqError
from pixq.ladders.ground_truth import read_ground_truth
from pixq.patches.store import verify
from pixq.report import folds
from pixq.report.gather import gather
from support.damage import announce_files, announce_weights, make_run, make_truths

SHARD = "shard-00000"
PATCHES = ("manifest.json", "images.jsonl", f"{SHARD}.jsonl", f"{SHARD}.reference.npy", f"{SHARD}.distorted.npy")
RUN = ("run.json", "model.safetensors", "calibration.json", "pjnd.json", "metrics.jsonl", "evaluations/test.json")
TRUTH = ("ground_truth.json", "images/a.png", "images/a_NOISE_90.png", "images")


@pytest.fixture
def patches(patch_set: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(patch_set, tmp_path / "patches"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture
def truths(tmp_path: Path) -> Path:
    return make_truths(tmp_path / "truths")


def read_patches(folder: Path) -> None:
    pixq.PatchSet(folder).fused()


def read_run(folder: Path) -> None:
    _ = pixq.load(folder).decision
    _ = pixq.load(folder).pjnd_cuts
    gather(folder)


READERS: dict[str, Callable[[Path], Any]] = {"patches": read_patches, "run": read_run, "truths": read_ground_truth}
FILES = [("patches", name) for name in PATCHES] + [("run", name) for name in RUN] + [("truths", name) for name in TRUTH]


def refusal(read: Callable[[Path], Any], folder: Path) -> str:
    """What a user is told."""
    with pytest.raises((PixqError, OSError)) as caught:
        read(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_links_may_not_lead_out(kind: str, name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder, read = request.getfixturevalue(kind), READERS[kind]
    path = folder / name
    outside = path.rename(tmp_path / "outside")
    path.symlink_to(outside)
    told = refusal(read, folder)
    assert "is a link that leads out of the folder; copy the file into it" in told
    assert name in told
    if kind == "patches" and name != "manifest.json":
        assert any("leads out of the folder" in line for line in verify(folder))
    # Inside it may be a link, and the folder itself may be one.
    path.unlink()
    outside.rename(path.with_name(f"moved-{path.name}") if name != "images" else folder / "pictures")
    path.symlink_to(f"moved-{path.name}" if name != "images" else "pictures")
    (tmp_path / "link").symlink_to(folder)
    read(tmp_path / "link")


@pytest.mark.parametrize(("kind", "name"), [file for file in FILES if file[1] != "images"])
def test_a_pipe_is_not_waited_for(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert "is a pipe, a socket or a device, not a file" in refusal(READERS[kind], folder)


def test_no_more_bytes_than_announced(patches: Path, run: Path) -> None:
    for folder, name, read in ((patches, "images.jsonl", read_patches), (run, "model.safetensors", read_run)):
        with (folder / name).open("ab") as file:
            file.write(b"\n")
        assert name in refusal(read, folder)
    # What nothing announces has a limit.
    os.truncate(run / "run.json", 1 << 40)
    assert "run.json: has 1099511627776 bytes, and may have at most" in refusal(read_run, run)
    os.truncate(patches / "manifest.json", 1 << 40)
    assert "manifest.json: has 1099511627776 bytes, and may have at most" in refusal(read_patches, patches)


def change(path: Path, edit: Callable[[Any], None]) -> None:
    """Change a JSON file."""
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def renamed(manifest: Any) -> None:
    files = manifest["shards"][0]["files"]
    files["../../secret"] = files.pop(f"{SHARD}.jsonl")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (renamed, "shards: the files of shard-00000 are not"),
        (lambda it: it["shards"].append(it["shards"][0]), "shards: two have the same name"),
        (lambda it: it["shards"][0].update(reference_rows=10**15), "but its rows take"),
        (lambda it: it["shards"][0].update(distorted_rows=0), "but its rows take"),
        (lambda it: it["shards"][0].update(records=10**15), "has more records than its file has bytes"),
        (lambda it: it["geometry"].update(size=10**9), "the patch size is 1000000000; give a whole number from 1"),
        (lambda it: it["geometry"]["roi"].update(y=0), "geometry.roi: is not a square in the centre"),
        (lambda it: it["geometry"]["roi"].update(width=4), "geometry.roi: is not a square in the centre"),
        (lambda it: it["fusions"][0].update(alpha=0.5), "fusion 'none' takes no alpha"),
        (lambda it: it["label_contract"].update(maximum=-9.0), "is not a range of finite numbers"),
        (lambda it: it["images"].update(lines=3), "images.jsonl: has 24 lines, manifest.json says 3"),
        (lambda it: it["images"].update(file="../images.jsonl"), "images.file: "),
        (lambda it: it["shards"][0].update(name="../../shard"), "shards.0.name: "),
    ],
)
def test_a_manifest_agrees_with_itself(patches: Path, edit: Callable[[Any], None], message: str) -> None:
    change(patches / "manifest.json", edit)
    assert message in refusal(read_patches, patches)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("quality", -5, "quality is -5, which can't be"),
        ("quality", 1.5, "quality is 1.5, which can't be"),
        ("PSNR", -1.0, "PSNR is -1, which can't be"),
        ("PSNR_roi", -0.5, "PSNR_roi is -0.5, which can't be"),
        ("coords", {"x": 0, "y": 4000}, "coords.y is 4000, which can't be"),
        ("coords", {"x": 4294967295, "y": 0}, "coords.x is 4.29497e+09, which can't be"),
        ("reference_row", 999_999, "reference_row is 999999"),
        ("alpha", 0.9, "fusion is not one of the manifest's"),
    ],
)
def test_records_have_numbers_that_can_be(patches: Path, key: str, value: object, message: str) -> None:
    path = patches / f"{SHARD}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[2][key] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    announce_files(patches)
    told = refusal(read_patches, patches)
    assert message in told
    if "can't be" in message:
        assert f"{SHARD}.jsonl, line 3: " in told


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.png", "C:\\secret.png", "a/../../secret.png", ""])
def test_images_of_a_patch_set_lie_inside_its_dataset(patches: Path, name: str) -> None:
    path = patches / "images.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["distorted"] = name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    announce_files(patches)
    assert "images.jsonl, line 2: " in (told := refusal(read_patches, patches))
    assert "lies outside the dataset" in told


@pytest.mark.parametrize("kind", ["uint16", "another shape", "fewer rows", "objects", "a pickle"])
def test_arrays_are_what_the_manifest_says(patches: Path, kind: str) -> None:
    path = patches / f"{SHARD}.distorted.npy"
    rows = np.load(path)
    size = path.stat().st_size
    shapes = {"uint16": (len(rows), 20, 20, 3), "another shape": (len(rows) * 3, 20, 20), "fewer rows": (1, 20, 20, 3)}
    header = {"descr": "<u2" if kind == "uint16" else "|O" if kind == "objects" else "|u1", "fortran_order": False}
    with path.open("wb") as file:
        if kind != "a pickle":
            np.lib.format.write_array_header_1_0(file, {**header, "shape": shapes.get(kind, rows.shape)})
        file.write(bytes(size - file.tell()))
    announce_files(patches)
    assert f"{SHARD}.distorted.npy: " in (told := refusal(read_patches, patches))
    assert "build the patch set again" in told


@pytest.mark.parametrize("engine", ["core", "torch"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_are_finite(run: Path, engine: Any, value: float) -> None:
    weights = load_file(run / "model.safetensors")
    name = sorted(weights)[1]
    weights[name].reshape(-1)[-1] = value
    save_file(weights, run / "model.safetensors")
    announce_weights(run)
    told = refusal(lambda folder: pixq.load(folder, engine=engine), run)
    assert f"model.safetensors: {name} holds a number that is not finite" in told


@pytest.mark.parametrize("engine", ["core", "torch"])
def test_weights_have_their_depth(run: Path, engine: Any) -> None:
    weights = load_file(run / "model.safetensors")
    save_file({name: weight.astype(np.float16) for name, weight in weights.items()}, run / "model.safetensors")
    announce_weights(run)
    assert "does not fit its recipe" in refusal(lambda folder: pixq.load(folder, engine=engine), run)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda it: it["files"].pop("model.safetensors"), "files.model.safetensors is missing"),
        (lambda it: it["files"]["model.safetensors"].update(bytes=-1), "files.model.safetensors.bytes: "),
        (lambda it: it["patches"]["geometry"].update(size=10**9), "patches.geometry.size: "),
        (lambda it: it["patches"]["geometry"].update(size="20"), "patches.geometry.size: "),
        (lambda it: it.update(best={"epoch": "x", "loss": 0.5}), "best: Value error, epoch: "),
        (lambda it: it["split"].update(photos=[1]), "split: Value error, photos: "),
        (lambda it: it["recipe"]["model"].update(members=10**9), "model.members: "),
    ],
)
def test_a_run_agrees_with_its_types(run: Path, edit: Callable[[Any], None], message: str) -> None:
    change(run / "run.json", edit)
    assert message in refusal(read_run, run)


def test_a_cross_validation_names_only_runs_inside(run: Path) -> None:
    for name in ("../run", "/etc", "fold-0/../../run"):
        change(run.parent / "folds" / "folds.json", lambda it, name=name: it.update(runs=[name]))  # type: ignore[misc]
        assert "expected a path that stays below the folder" in refusal(folds.view, run.parent / "folds")


@pytest.mark.parametrize("key", ["name", "codec"])
@pytest.mark.parametrize("text", ["../a", "/etc/a", "a/b", "..", "a\0b", ""])
def test_a_ground_truth_has_plain_names(truths: Path, key: str, text: str) -> None:
    entry = {"codec": text if key == "codec" else "NOISE"}
    (truths / "ground_truth.json").write_text(json.dumps({"images": {text if key == "name" else "a": entry}}))
    assert "is not a plain name; correct it" in refusal(read_ground_truth, truths)
