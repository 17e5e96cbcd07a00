"""`pixq report`: everything about a run on one page."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixq.patches.schema import ImageLine, Manifest
from pixq.report import charts, folds, sections, sentences
from pixq.report.commands import build_command, calibrate_command, train_command
from pixq.report.gather import RunData, gather
from pixq.report.page import Palette, render, write_page
from pixq.report.warnings import find_warnings
from pixq.runs.directory import RunInfo
from pixq.visibility import VISIBILITY_CUTS

__all__ = ["REPORT", "write_report"]

#: Name of the page in the run's directory.
REPORT = "report.html"

USES = {
    "train": "training",
    "validation": "stopping training and choosing the weights; calibration, if this is the target",
    "test": "evaluation only",
}
GLOSSARY = (
    ("balanced accuracy", "mean recall over the classes; guessing gives 1 / the number of classes"),
    ("accuracy", "share of right answers; it can be high for a method that always answers the most frequent class"),
    ("macro F1", "mean F1 over the classes; F1 falls with missed patches and with false alarms"),
    ("recall", "share of the patches of a class that get this class as the answer"),
    ("quadratic kappa", "agreement beyond chance; Red instead of Green costs four times Red instead of Orange"),
    ("SRCC", "Spearman's rank correlation of score and quality: are they in the same order?"),
    ("PLCC", "Pearson's correlation of score and quality after fitting a logistic curve"),
    ("MSE", "mean squared error of the quality; lower is better"),
    ("ECE", "expected calibration error: the gap between confidence and the share of right answers; lower is better"),
    ("coverage, unsure", "how often a conformal set contains the true class; how often it has not exactly one class"),
)


def write_report(run: str | os.PathLike[str], out: Path | None = None, *, palette: Palette = "standard") -> Path:
    """Write the report of a run, one HTML file that opens offline, and return its path.

    Parameters
    ----------
    run
        Directory of a run, or of a cross-validation by `pixq train --folds`.
    out
        The file to write; `report.html` in the run's directory by default.
    palette
        `standard`, or `safe` for colour-blind readers.

    Raises
    ------
    PixqError
        If there is no run, one of its files is damaged, Jinja2 is not installed, or `out` can't be written.
    """
    path = Path(run)
    if folds.is_folds(path):
        template, values = "folds.html", folds.view(path)
    else:
        template, values = "report.html", view(path)
    return write_page(render(template, values, palette), path / REPORT if out is None else out)


def view(path: Path) -> dict[str, Any]:
    """Collect the variables of the template for the run in `path`."""
    run = gather(path)
    name = run.patches.dataset.get("name", "a patch set")
    contents = [("trained", "Model and data"), ("curves", "Learning curves")]
    contents += [("calibration", "Calibration"), ("evaluation", "Evaluation")]
    contents += [(f"evaluation-{number}", f"Evaluation {each.name}") for number, each in enumerate(run.evaluations, 1)]
    return {
        "title": f"{run.recipe.model.name} on {name}",
        "run": str(path),
        "run_quoted": shlex.quote(str(path)),
        "warnings": find_warnings(run),
        "short": _short(run),
        "contents": [*contents, ("repeat", "Repeat it"), ("glossary", "What the numbers mean")],
        "trained": _trained(run),
        "splits": None if run.manifest is None else _splits(run.manifest, run.images),
        "no_manifest": run.no_manifest,
        "recipe": run.recipe.text(),
        "curves": _curves(run),
        "finished": run.info.status in sentences.ENDS,
        "kept": _kept(run),
        "adapted": run.info.adapted is not None,
        "calibrations": [
            sections.calibration(number, each) for number, each in enumerate(run.calibrations.values(), 1)
        ],
        "evaluations": [
            sections.evaluation(number, each, jnd=run.recipe.model.scores_visibility)
            for number, each in enumerate(run.evaluations, 1)
        ],
        "commands": _commands(run),
        "glossary": GLOSSARY,
    }


def _short(run: RunData) -> list[str]:
    """Summarise the run in a few sentences."""
    info, patches, model = run.info, run.patches, run.recipe.model
    images = info.split.get("train", {}).get("images", 0)
    spent = _seconds(info)
    lines = [
        f"{model.name} ({info.parameters:,} trained weights, {model.head}) was trained on {images:,} images of "
        f"{patches.dataset.get('name', '')}{f' in {spent}' if spent else ''}: {sentences.status(info)}.",
    ]
    if info.best is not None:
        lines.append(f"The weights of epoch {run.best_epoch} were kept, which has the lowest validation loss.")
    if model.scores_visibility:
        # First of all: what people see, which was not trained.
        lines.insert(
            0,
            "The score of a patch is minus its JND: at 0 JND there is no difference, and at 1 half of the people "
            "notice. Training concerns the second answer, quality.",
        )
    if not run.calibrations:
        default = charts.describe_cuts(VISIBILITY_CUTS, jnd=True)
        lines.append(f"Its scores are not calibrated yet{f': {default}' if model.scores_visibility else ''}.")
    for calibration in run.calibrations.values():
        viewing = calibration.viewing
        words = charts.describe_cuts(calibration.cuts.values, jnd=viewing is not None)
        lines.append(f"Calibration {calibration.name}: {words}{'' if viewing is None else f'; for {viewing}'}.")
    if not run.evaluations:
        lines.append("It is not evaluated yet.")
    for evaluation in run.evaluations:
        lines.append(f"Evaluation {evaluation.name}: {sections.summary(evaluation)}")
    return lines


def _seconds(info: RunInfo) -> str:
    spent = info.timings.get("seconds")
    return sentences.seconds(spent) if isinstance(spent, int | float) else ""


def _trained(run: RunData) -> list[tuple[str, str]]:
    info, patches = run.info, run.patches
    dataset, geometry, hardware = patches.dataset, patches.geometry, info.hardware
    split = ", ".join(
        f"{part}: {counts.get('images', 0):,} images, {counts.get('records', 0):,} records"
        for part in ("train", "validation", "held_out")
        if isinstance(counts := info.split.get(part), dict)
    )
    rule = "split by the patch set" if info.split.get("rule") == "split" else f"rule: {info.split.get('rule')}"
    device = hardware.get("gpu") or hardware.get("cpu") or "unknown"
    rows = [
        ("model", f"{run.recipe.model.name}, head {run.recipe.model.head}, {info.parameters:,} trained weights"),
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
        ("time", _seconds(info) or "unknown"),
        ("versions", ", ".join(f"{name} {version}" for name, version in info.versions.items())),
        ("patch set", f"{patches.directory}, fingerprint {patches.fingerprint}"),
    ]
    if "model.safetensors" in info.files:
        rows.append(("weights", f"model.safetensors, BLAKE3 {info.files['model.safetensors'].get('blake3')}"))
    if info.started_from is not None:
        only = "" if info.started_from.only is None else f"; only its {info.started_from.only} was trained"
        rows.insert(1, ("started from", f"the best model of {info.started_from.directory}{only}"))
    if info.adapted is not None:
        source, target = info.adapted.get("from", {}), info.adapted.get("to", {})
        method = f"by {info.adapted.get('how')} from {source.get('directory')} to {target.get('directory')}"
        rows.insert(1, ("adapted", f"{method}, without labels"))
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


def _curves(run: RunData) -> list[tuple[str, str]]:
    if not run.epochs:
        return []
    best = run.best_epoch
    train = [(float(line.epoch), line.train.loss) for line in run.epochs if line.train is not None]

    def validation(name: str) -> list[tuple[float, float]]:
        values = [(float(line.epoch), line.validation.get(name)) for line in run.epochs]
        return [(epoch, value) for epoch, value in values if value is not None]

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


def _kept(run: RunData) -> list[tuple[str, list[float | None]]]:
    validation = next((line.validation for line in run.epochs if line.epoch == run.best_epoch), None)
    if validation is None:
        return []
    names = ("mse", "mae", "srcc", "plcc")
    return [
        ("patches", [validation.get(name) for name in names]),
        ("images", [validation.get(f"image_{name}") for name in names]),
    ]


def _commands(run: RunData) -> list[tuple[str, str]]:
    directory = str(run.path)
    if run.manifest is not None:
        built = (
            "Cut the patch set (replace DATASET with the folder of the dataset, which a patch set does not record):",
            build_command(run.manifest, run.patches.directory),
        )
    else:
        built = (f"The patch set {run.patches.directory} can't be read, so the command that cut it is unknown.", "")
    return [
        built,
        ("Train with the run's own recipe:", train_command(run.info, directory, f"{directory}-again")),
        *((f"Calibrate {each.name}:", calibrate_command(each, directory)) for each in run.calibrations.values()),
        *((f"Evaluate {each.name}:", each.command) for each in run.evaluations),
        ("Write this page:", f"pixq report {shlex.quote(directory)}"),
    ]
