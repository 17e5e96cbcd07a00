"""`pixq report`: a run as one page."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixq.patches.schema import ImageLine, Manifest
from pixq.report import charts, sections, sentences
from pixq.report.gather import Gathered, gather
from pixq.report.page import Palette, render, write_page
from pixq.runs.directory import RunInfo

__all__ = ["REPORT", "write_report"]

#: The page's name in the run's directory.
REPORT = "report.html"

USES = {
    "train": "training",
    "validation": "stopping and choosing weights; as a target, calibration",
    "test": "evaluation alone",
}
GLOSSARY = (
    ("balanced accuracy", "mean of the recalls; guessing gives one in the number of classes, however common each is"),
    ("accuracy", "share of right answers; always giving the commonest class can make it high"),
    ("macro F1", "mean over the classes of F1, which falls with patches missed and with false alarms"),
    ("recall", "share of the patches of a class that are called by it"),
    ("quadratic kappa", "agreement above chance; Red for Green costs four times Red for Orange"),
    ("SRCC", "Spearman's rank correlation of score and quality: are they in the same order?"),
    ("PLCC", "Pearson's correlation of score and quality after a logistic curve is fitted"),
    ("MSE", "mean squared error of the quality; lower is better"),
    ("ECE", "expected calibration error: how far confidence is from the share of right answers; lower is better"),
    ("coverage, unsure", "how often a conformal set holds the truth, and how often it holds not exactly one class"),
)


def write_report(run: str | os.PathLike[str], out: Path | None = None, *, palette: Palette = "standard") -> Path:
    """Write the report of a run: one HTML file that opens offline. Gives its path.

    Parameters
    ----------
    run
        Directory of a run, or of the runs of `pixq train --folds`.
    out
        The file; `report.html` in the run's directory by default.
    palette
        `standard`, or `safe` for colour-blind readers.

    Raises
    ------
    PixqError
        If there is no run, one of its files is damaged, Jinja2 is not installed, or `out` can't be written.
    """
    from pixq.report import folds

    path = Path(run)
    if folds.is_folds(path):
        template, values = "folds.html", folds.view(path)
    else:
        template, values = "report.html", view(path)
    return write_page(render(template, values, palette), path / REPORT if out is None else out)


def view(path: Path) -> dict[str, Any]:
    """What the template shows of the run in `path`."""
    found = gather(path)
    info, patches = found.info, found.patches
    name = patches.dataset.get("name", "a patch set")
    evaluations = [sections.evaluation(number, each) for number, each in enumerate(found.evaluations, 1)]
    contents = [("trained", "What was trained on what"), ("curves", "Learning curves")]
    contents += [("calibration", "Calibration"), ("evaluation", "Evaluation")]
    contents += [
        (f"evaluation-{number}", f"Evaluation {each.name}") for number, each in enumerate(found.evaluations, 1)
    ]
    return {
        "title": f"{found.recipe.model.name} on {name}",
        "run": str(path),
        "run_quoted": shlex.quote(str(path)),
        "warnings": sentences.find_warnings(
            info, found.manifest, found.changed, list(found.calibrations.values()), found.evaluations
        ),
        "short": _short(found),
        "contents": [*contents, ("repeat", "Repeat it"), ("glossary", "What the numbers mean")],
        "trained": _trained(info, found),
        "splits": None if found.manifest is None else _splits(found.manifest, found.images),
        "no_manifest": found.no_manifest,
        "recipe": found.recipe.text(),
        "curves": _curves(found),
        "kept": _kept(found),
        "adapted": info.adapted is not None,
        "calibrations": [
            sections.calibration(number, each) for number, each in enumerate(found.calibrations.values(), 1)
        ],
        "evaluations": evaluations,
        "commands": _commands(found),
        "glossary": GLOSSARY,
    }


def _short(found: Gathered) -> list[str]:
    """The run in a few sentences."""
    info, patches, model = found.info, found.patches, found.recipe.model
    images = info.split.get("train", {}).get("images", 0)
    told = [
        f"{model.name} ({info.parameters:,} trained weights, {model.head}) was trained on {images:,} images of "
        f"{patches.dataset.get('name', '')}{_seconds(info)}: {sentences.status(info)}.",
    ]
    if info.best is not None:
        told.append(f"The weights of epoch {info.best.get('epoch')} were kept: the lowest validation loss.")
    if not found.calibrations:
        told.append("Its scores are not calibrated yet.")
    for each in found.calibrations.values():
        told.append(f"Calibration {each.name}: {charts.describe_cuts(each.cuts.values)}.")
    if not found.evaluations:
        told.append("It is not evaluated yet.")
    for it in found.evaluations:
        told.append(f"Evaluation {it.name}: {sections.summary(it)}")
    return told


def _seconds(info: RunInfo) -> str:
    spent = info.timings.get("seconds")
    return f" in {sentences.seconds(spent)}" if isinstance(spent, int | float) else ""


def _trained(info: RunInfo, found: Gathered) -> list[tuple[str, str]]:
    patches, hardware = found.patches, info.hardware
    dataset = patches.dataset
    geometry = patches.geometry
    split = ", ".join(
        f"{part}: {counts.get('images', 0):,} images, {counts.get('records', 0):,} records"
        for part in ("train", "validation", "held_out")
        if isinstance(counts := info.split.get(part), dict)
    )
    rule = "by the patch set's splits" if info.split.get("rule") == "split" else f"rule: {info.split.get('rule')}"
    device = hardware.get("gpu") or hardware.get("cpu") or "unknown"
    rows = [
        ("model", f"{found.recipe.model.name}, head {found.recipe.model.head}, {info.parameters:,} trained weights"),
        ("dataset", f"{dataset.get('title', '')} ({dataset.get('name', '')})"),
        ("licence", dataset.get("licence", "not stated")),
        ("citation", dataset.get("citation", "not stated")),
        ("labels", sentences.contract(patches.label_contract.model_dump())),
        ("a patch's quality", patches.label.get("meaning", "")),
        ("geometry", f"patches of {geometry.size}x{geometry.size} pixels, RoI {geometry.roi}x{geometry.roi}"),
        ("fusions", ", ".join(sentences.fusion_name(fusion.model_dump()) for fusion in patches.fusions)),
        ("trained and validated on", f"{split}; {rule}"),
        ("status", sentences.status(info)),
        (
            "hardware",
            f"{device}; device {hardware.get('device')}, {hardware.get('cores')} cores, "
            f"processes: {hardware.get('processes')}; {hardware.get('system')}",
        ),
        ("time", _seconds(info).removeprefix(" in ") or "not known"),
        ("versions", ", ".join(f"{name} {version}" for name, version in info.versions.items())),
        ("patch set", f"{patches.directory}, fingerprint {patches.fingerprint}"),
    ]
    if "model.safetensors" in info.files:
        rows.append(("weights", f"model.safetensors, BLAKE3 {info.files['model.safetensors'].get('blake3')}"))
    if info.started_from is not None:
        only = "" if info.started_from.only is None else f"; only its {info.started_from.only} was trained"
        rows.insert(1, ("started from", f"the best model of {info.started_from.directory}{only}"))
    if info.adapted is not None:
        begun, target = info.adapted.get("from", {}), info.adapted.get("to", {})
        told = (
            f"by {info.adapted.get('how')} from {begun.get('directory')} to {target.get('directory')}, without labels"
        )
        rows.insert(1, ("adapted", told))
    return rows


def _splits(manifest: Manifest, images: Sequence[ImageLine]) -> dict[str, Any]:
    groups: dict[str, set[str]] = defaultdict(set)
    for image in images:
        groups[image["split"]].add(image["group"])
    counts = manifest["splits"]["images"]
    rows = [
        {"name": name, "images": counts.get(name, 0), "groups": sorted(groups[name]), "use": use}
        for name, use in USES.items()
    ]
    return {"by": manifest["splits"]["by"], "rows": rows}


def _curves(found: Gathered) -> list[tuple[str, str]]:
    if not found.epochs:
        return []
    best = None if found.info.best is None else found.info.best.get("epoch")
    train = [(float(each.epoch), each.train.loss) for each in found.epochs if each.train is not None]

    def validation(name: str) -> list[tuple[float, float]]:
        known = [(float(each.epoch), each.validation.get(name)) for each in found.epochs]
        return [(epoch, value) for epoch, value in known if value is not None]

    loss = [
        charts.Series("training", "circle", train),
        charts.Series("validation", "square", validation("loss")),
    ]
    order = [
        charts.Series("patches", "circle", validation("srcc")),
        charts.Series("images", "square", validation("image_srcc")),
    ]
    return [
        ("Loss", charts.lines("loss", "Loss by epoch", loss, "loss", best=best, powers=True)),
        ("Rank correlation on validation", charts.lines("srcc", "SRCC by epoch", order, "SRCC", best=best)),
    ]


def _kept(found: Gathered) -> list[tuple[str, list[float | None]]]:
    best = None if found.info.best is None else found.info.best.get("epoch")
    line = next((each.validation for each in found.epochs if each.epoch == best), None)
    if line is None:
        return []
    names = ("mse", "mae", "srcc", "plcc")
    return [
        ("patches", [line.get(name) for name in names]),
        ("images", [line.get(f"image_{name}") for name in names]),
    ]


def _commands(found: Gathered) -> list[tuple[str, str]]:
    run = str(found.path)
    told = []
    if found.manifest is not None:
        told.append(
            (
                "Cut the patch set (DATASET is the folder of the dataset, which a patch set does not name):",
                sentences.build_command(found.manifest, found.patches.directory),
            )
        )
    else:
        told.append((f"The patch set {found.patches.directory} can't be read, so how it was cut is not known.", ""))
    told.append(("Train, by the run's own recipe:", sentences.train_command(found.info, run, f"{run}-again")))
    told += [
        (f"Calibrate {each.name}:", sentences.calibrate_command(each, run)) for each in found.calibrations.values()
    ]
    told += [(f"Evaluate {each.name}:", each.command) for each in found.evaluations]
    told.append(("Write this page:", f"pixq report {shlex.quote(run)}"))
    return told
