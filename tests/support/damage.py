"""Damage to pixq's own files, as a disk, another program or somebody hostile may do it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from pixq.io.atomic import checksum
from support import report_files
from support.judging import quality_run

#: What a value of a JSON file may be replaced by.
VALUES: tuple[Any, ...] = (
    None, True, -5, 0, 3, 10**30, 2**63, -0.5, 1e308, "", "x", "../../etc/passwd", "/dev/zero", "a\0b", "\ud800", [],
    {}, [[]], [1, "x"], {"x": 1}, {"../x": {}}, [[[[[[[[]]]]]]]],
)  # fmt: skip
#: Numbers that Python's JSON has and standard JSON has not, and texts that are no JSON.
TEXTS = ("NaN", "-Infinity", "1e999", "[" * 100_000, '{"a":' * 5000, "9" * 5000, "", "\ufeff{}", '"')

Damage = Callable[[bytes], bytes]


def make_run(run: Path) -> Path:
    """Copy the run that comes with pixq, which needs no PyTorch, with a calibration, an evaluation and an epoch.

    Beside it are `folds`, a cross-validation whose only run is the same.
    """
    quality_run(run)
    report_files.calibrate(run)
    report_files.evaluate(run, name="test")
    epoch = {"epoch": 1, "train": {"loss": 0.5}, "validation": {"loss": 0.4, "srcc": 0.1, "image_srcc": None}}
    (run / "metrics.jsonl").write_text(json.dumps(epoch) + "\n")
    info = json.loads((run / "run.json").read_text())
    figures = {"srcc": 0.5, "plcc": 0.5, "mae": 0.1}
    folds = {
        "format": "pixq folds", "schema_version": 1, "patches": "0" * 64, "recipe": info["recipe"], "leave_out": None,
        "runs": ["fold-0"], "patch": figures, "image": figures, "by_distortion": {"jpeg": 0.5},
    }  # fmt: skip
    shutil.copytree(run, run.parent / "folds" / "fold-0")
    (run.parent / "folds" / "folds.json").write_text(json.dumps(folds))
    return run


def make_truths(folder: Path) -> Path:
    """A ladder with the answers of people."""
    (folder / "images").mkdir(parents=True)
    for name, shade in (("a.png", 100), ("a_NOISE_98.png", 110), ("a_NOISE_90.png", 140)):
        Image.new("RGB", (30, 24), (shade, shade, shade)).save(folder / "images" / name)
    entry = {"codec": "NOISE", "pjnd_range": [2, 9], "critical_points_yx": [[4, 5], [6, 7]]}
    (folder / "ground_truth.json").write_text(json.dumps({"images": {"a": entry}}))
    return folder


def announce_weights(run: Path) -> None:
    """Make `run.json` say of the weights what they are now."""
    info = json.loads((run / "run.json").read_text())
    now = checksum(run / "model.safetensors")
    info["files"]["model.safetensors"] = {"bytes": now.bytes, "blake3": now.blake3}
    (run / "run.json").write_text(json.dumps(info))


def announce_files(patches: Path) -> None:
    """Make the manifest of a patch set say of its files what they are now."""
    manifest = json.loads((patches / "manifest.json").read_text())
    listed = {manifest["images"]["file"]: manifest["images"]}
    for shard in manifest["shards"]:
        listed |= shard["files"]
    for name, entry in listed.items():
        now = checksum(patches / name)
        entry |= {"bytes": now.bytes, "blake3": now.blake3}
    (patches / "manifest.json").write_text(json.dumps(manifest))


def damages() -> st.SearchStrategy[Damage]:
    """Damage to any bytes: some changed, cut off, put in or doubled."""

    def damage(data: bytes, kind: str, place: float, count: int, extra: bytes) -> bytes:
        at = int(place * len(data))
        if kind == "change":
            return data[:at] + bytes((byte + 1 + count) % 256 for byte in data[at : at + 1]) + data[at + 1 :]
        if kind == "cut":
            return data[:at]
        if kind == "put in":
            return data[:at] + extra + data[at:]
        if kind == "leave out":
            return data[:at] + data[at + 1 + count :]
        return data[:at] + data[max(at - count, 0) : at] + data[at:]

    kinds = st.sampled_from(["change", "change", "cut", "put in", "leave out", "double"])
    parts = st.tuples(kinds, st.floats(0, 1, exclude_max=True), st.integers(0, 200), st.binary(max_size=8))
    return parts.map(lambda chosen: lambda data: damage(data, *chosen))


def json_damages() -> st.SearchStrategy[Damage]:
    """Damage to one value of a JSON file, which stays JSON, except for `TEXTS`."""

    def damage(data: bytes, place: float, value: Any, raw: str | None, rename: bool) -> bytes:
        document = json.loads(data)
        holder, key = list(_places(document))[int(place * len(list(_places(document))))]
        if raw is not None:
            holder[key] = "@raw@"
            return json.dumps(document).replace('"@raw@"', raw).encode("utf-8", "surrogatepass")
        if rename and isinstance(holder, dict):
            holder[f"{key}x"] = holder.pop(key)
        else:
            holder[key] = value
        return json.dumps(document).encode()

    raws = st.one_of(st.none(), st.none(), st.sampled_from(TEXTS))
    parts = st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(VALUES), raws, st.booleans())
    return parts.map(lambda chosen: lambda data: damage(data, *chosen))


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every value of a JSON document, as what holds it and its key."""
    keys = document.keys() if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    here = [(document, key) for key in keys]
    return here + [place for holder, key in here for place in _places(holder[key])]
