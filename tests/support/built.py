"""What the tests of patch sets share: running the command line, reading a set without pixq, comparing two."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from numpy.typing import NDArray
from PIL import Image

from pixq import schemas
from pixq.cli import main
from pixq.geometry import Fusion
from pixq.patches.build import BuildReport, build
from pixq.patches.plan import BuildSettings
from pixq.patches.store import PatchSet
from support import trees

ROI = slice(4, 16)


@dataclass(frozen=True)
class Run:
    """What a command gave."""

    code: int
    out: str
    err: str


def pixq(*arguments: object, **options: Any) -> Run:
    """Run a command: in this process, which is fast, or with `options` of `subprocess.run` in a process of its own."""
    words = list(map(str, arguments))
    if options:
        command = [sys.executable, "-m", "pixq", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
        run = Run(done.returncode, done.stdout, done.stderr)
    else:
        out, err = io.BytesIO(), io.BytesIO()
        with (
            redirect_stdout(io.TextIOWrapper(out, "utf-8", write_through=True)),
            redirect_stderr(io.TextIOWrapper(err, "utf-8", "backslashreplace", write_through=True)),
        ):
            run = Run(main(words), out.getvalue().decode(), err.getvalue().decode())
    if arguments[0] == "build-patches" and run.code in (0, 1):
        check_schemas(Path(words[words.index("--out") + 1]))
    return run


def make(dataset: str, root: Path, out: Path, settings: BuildSettings, threads: int | None = None) -> BuildReport:
    """Build a patch set in this process, and hold it against the schemas."""
    report = build(dataset, root, out, settings=settings, threads=threads)
    check_schemas(out)
    return report


def built(dataset: str, root: Path, out: Path, **changes: Any) -> BuildReport:
    """A build in this process."""
    return make(dataset, root, out, BuildSettings(**changes), threads=2)


def records_of(out: Path) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    """Every record with its image and the name of its shard, read without pixq."""
    images = {image["image_id"]: image for image in lines(out / "images.jsonl")}
    shards = json.loads((out / "manifest.json").read_text())["shards"]
    return [
        (record, images[record["image_id"]], shard["name"])
        for shard in shards
        for record in lines(out / f"{shard['name']}.jsonl")
    ]


def check_against_numpy(root: Path, out: Path, label: str = "image") -> int:
    """Patches, PSNR, identity and quality of every record, from the images themselves."""
    cache: dict[str, Any] = {}

    def image_of(name: str) -> Any:
        if name not in cache:
            cache[name] = pixels(root / name)
        return cache[name]

    arrays = {path.name: np.load(path) for path in out.glob("*.npy")}
    everything = records_of(out)
    for record, image, shard in everything:
        y, x = record["coords"]["y"], record["coords"]["x"]
        reference = image_of(image["reference"])[y : y + 20, x : x + 20]
        distorted = image_of(image["distorted"])[y : y + 20, x : x + 20]
        assert reference.shape == (20, 20, 3)
        assert np.array_equal(arrays[f"{shard}.reference.npy"][record["reference_row"]], reference)
        assert np.array_equal(arrays[f"{shard}.distorted.npy"][record["distorted_row"]], distorted)
        patch = fused(reference, distorted, record["fusion_type"], record["alpha"])
        for key, a, b in (("PSNR", patch, reference), ("PSNR_roi", patch[ROI, ROI], reference[ROI, ROI])):
            expected = psnr(a, b)
            assert record[key] == (None if expected is None else pytest.approx(expected, abs=1e-9)), (key, record)
        assert record["identical"] == np.array_equal(patch, reference)
        if record["identical"]:
            assert record["quality"] == 1.0
        elif label == "image":
            assert record["quality"] == image["quality"]
        else:
            left = np.mean((patch.astype(float) - reference) ** 2) / np.mean((distorted.astype(float) - reference) ** 2)
            assert record["quality"] == pytest.approx(1 - (1 - image["quality"]) * np.sqrt(left), abs=1e-12)
        assert record["MOS"] == image["MOS"]
        assert record["distortion_type"] == image["distortion_type"]
    return len(everything)


def make_small(root: Path) -> PatchSet:
    """A patch set of 40 small images of five references, fused by `none` and `blend`."""
    trees.write_tid(root / "tid", references=5, types=(1, 7), levels=4)
    make("tid2013", root / "tid", root / "out", BuildSettings(fusions=(Fusion("none"), Fusion("blend", 0.5))))
    return PatchSet(root / "out")


def check_schemas(out: Path) -> None:
    """Every JSON of a patch set is valid by the published schemas."""
    manifest = json.loads((out / "manifest.json").read_text())
    Draft202012Validator(schemas.schema("manifest")).validate(manifest)
    image, record = (Draft202012Validator(schemas.schema(name)) for name in ("image", "record"))
    for line in lines(out / "images.jsonl"):
        image.validate(line)
    for shard in manifest["shards"]:
        records = lines(out / f"{shard['name']}.jsonl")
        assert len(records) == shard["records"]
        for line in records[:: max(len(records) // 200, 1)]:
            record.validate(line)


def mistake(run: Run) -> str:
    """The one line of a mistake; fails unless it is one line, without a traceback, and the exit code is 2."""
    assert run.code == 2, run
    assert run.err.startswith("pixq: ")
    assert run.err.count("\n") == 1, run.err
    assert "Traceback" not in run.err
    return run.err


def digest(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below `directory`, by name."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file; `Infinity` and `NaN` are errors, as they are for other readers of JSON."""

    def refuse(name: str) -> float:
        raise AssertionError(f"{path}: {name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text(encoding="utf-8").splitlines()]


def pixels(path: Path) -> NDArray[np.uint8]:
    """An image as Pillow decodes it."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def fused(
    reference: NDArray[np.uint8], distorted: NDArray[np.uint8], kind: str, alpha: float | None
) -> NDArray[np.uint8]:
    """The fused patch, plainly."""
    if kind == "none":
        return distorted.copy()
    if kind == "paste":
        out = reference.copy()
        out[ROI, ROI] = distorted[ROI, ROI]
        return out
    weight = 1.0 if kind == "copy" else float(alpha)  # type: ignore[arg-type]
    out = distorted.copy()
    mixed = weight * reference[ROI, ROI].astype(float) + (1 - weight) * distorted[ROI, ROI].astype(float)
    out[ROI, ROI] = np.floor(mixed + 0.5).astype(np.uint8)
    return out


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """PSNR in dB, `None` for equal arrays."""
    mse = float(np.mean((a.astype(float) - b.astype(float)) ** 2))
    return None if mse == 0 else 10 * np.log10(255**2 / mse)
