"""The commands that repeat a run: build its patch set, train, calibrate."""

from __future__ import annotations

import shlex

from pixq.decisions.calibration_file import Calibration
from pixq.patches.schema import Manifest
from pixq.report.sentences import fusion_name
from pixq.runs.directory import RunInfo

__all__ = ["build_command", "calibrate_command", "train_command"]


def _command(*words: object) -> str:
    """Quote a command for a shell, and break it over several lines if it is long."""
    quoted = [shlex.quote(str(word)) for word in words]
    line = " ".join(quoted)
    if len(line) <= 84:
        return line
    lines = [""]
    for word in quoted:
        if word.startswith("--") and len(lines[-1]) > 60:
            lines.append("   ")
        lines[-1] += f" {word}" if lines[-1] else word
    return " \\\n".join(lines)


def build_command(manifest: Manifest, out: str) -> str:
    """Compose the `pixq build-patches` that builds a patch set again; the user fills in the dataset's folder."""
    dataset, sampling, splits = manifest["dataset"]["name"], manifest["sampling"], manifest["splits"]
    words: list[object] = ["pixq", "build-patches", "--root", "DATASET", "--dataset", dataset]
    label = manifest["label_contract"]
    if "by its user" in label["note"]:
        words += ["--polarity", label["polarity"]]
    if dataset == "pairs":
        words += ["--score-range", f"{label['minimum']:g},{label['maximum']:g}", "--unit", label["unit"]]
    words += ["--fusion", *map(fusion_name, manifest["fusions"]), "--label", manifest["label"]["kind"]]
    words += ["--sampling", sampling["type"]]
    words += ["--stride", sampling["stride"]] if sampling["type"] == "grid" else ["--patches", sampling["n"]]
    words += ["--min-difference", manifest["min_difference"], "--unchanged", manifest["unchanged"]]
    words += ["--bucket", *(manifest["filter"]["buckets"] or ["all"])]
    if manifest["filter"]["max_levels"] is not None:
        words += ["--max-levels", manifest["filter"]["max_levels"]]
    words += ["--split", ",".join(f"{share:g}" for share in splits["ratio"]), "--folds", splits["folds"]]
    geometry = manifest["geometry"]
    words += ["--seed", manifest["seed"], "--patch-size", geometry["size"], "--roi-size", geometry["roi"]["height"]]
    if "max_pixels" in manifest["identity"]:
        words += ["--max-pixels", manifest["identity"]["max_pixels"]]
    pixels = manifest.get("pixels")
    if pixels is None or pixels["colours"] == "raw":
        words.append("--no-colour-management")
    if pixels is not None and pixels["background"] is not None:
        words += ["--background", pixels["background"]]
    if pixels is not None and "frame" in pixels:
        words += ["--frame", pixels["frame"]]
    return _command(*words, "--out", out)


def directories(info: RunInfo) -> list[str]:
    """The directories of the patch sets that a run was trained on."""
    return [one["directory"] for one in info.patches.get("sets", [])] or [info.patches["directory"]]


def train_command(info: RunInfo, run: str, out: str, *options: str) -> str:
    """Compose the `pixq train`, or `pixq adapt`, that repeats a run in `out` with its own recipe."""
    if info.adapted is not None:
        source, target = info.adapted.get("from", {}), info.adapted.get("to", {})
        where = [source.get("directory", "RUN"), "--to", target.get("directory", "PATCHES")]
        return _command("pixq", "adapt", *where, "--how", info.adapted.get("how", ""), "--out", out)
    if info.started_from is not None:
        options += ("--from", info.started_from.directory)
        options += () if info.started_from.only is None else ("--only", info.started_from.only)
    words = ["pixq", "train", *directories(info), "--recipe", f"{run}/recipe.toml", "--out", out]
    return _command(*words, "--device", info.hardware.get("device", "auto"), *options)


def calibrate_command(calibration: Calibration, run: str) -> str:
    """Compose the `pixq calibrate` that repeats a calibration and replaces it."""
    words = ["pixq", "calibrate", run, "--target", calibration.data.directory, "--name", calibration.name]
    words += ["--split", calibration.data.split, "--objective", calibration.objective]
    if calibration.cost is not None:
        words += ["--cost", "/".join(",".join(f"{cost!r}" for cost in row) for row in calibration.cost)]
    if calibration.conformal is not None:
        words += ["--coverage", repr(calibration.conformal.coverage)]
    boot = calibration.bootstrap
    words += ["--resamples", str(boot.resamples), "--level", repr(boot.level), "--seed", str(boot.seed)]
    return _command(*words, "--force")
