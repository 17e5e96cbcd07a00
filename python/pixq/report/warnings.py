"""The warnings at the top of a report: whatever makes its numbers worth less than they seem."""

from __future__ import annotations

from collections.abc import Iterator

from pixq.decisions.calibration_file import Calibration
from pixq.evaluation.evaluation_file import EvaluationFile
from pixq.report.gather import RunData

__all__ = ["find_warnings"]


def find_warnings(run: RunData) -> list[str]:
    """Collect everything that a reader must know before the numbers, the most serious first."""
    return [*_of_weights(run), *_of_data(run), *_of_files(run)]


def _of_weights(run: RunData) -> Iterator[str]:
    """Warn about an unfinished run, about other weights, and about numbers that are too good."""
    if run.info.status not in ("epochs", "patience"):
        yield f"The run is not finished: its status is {run.info.status}. Continue it with pixq train --resume."
    for calibration in run.calibrations.values():
        if not run.is_current(calibration.model.blake3):
            yield f"Calibration {calibration.name} was made for different weights of this run; calibrate it again."
    for evaluation in run.evaluations:
        name = f"Evaluation {evaluation.name}"
        if not run.is_current(evaluation.run.model_blake3):
            yield f"{name} was made with different weights of this run; evaluate it again."
        split = evaluation.data.split
        if evaluation.data.fingerprint == run.patches.fingerprint and split in ("train", "validation"):
            use = "trained on" if split == "train" else "used to stop training and to choose the weights"
            yield f"{name} is on the {split} split, which was {use}: its numbers are too good."
        used = run.calibrations.get(evaluation.calibration or "")
        if used is not None and _same_patches(used, evaluation):
            yield f"{name} is on the same patches that its cuts were chosen on: its numbers are too good."


def _same_patches(calibration: Calibration, evaluation: EvaluationFile) -> bool:
    one, other = calibration.data, evaluation.data
    return (one.fingerprint, one.split) == (other.fingerprint, other.split)


def _of_data(run: RunData) -> Iterator[str]:
    """Warn about a patch set that has changed, and about labels that no person gave."""
    if run.changed:
        yield "The patch set is not the one that was trained on: its fingerprint is different."
    contracts = [("The labels that were trained on", run.info.patches["label_contract"])]
    contracts += [(f"The labels of evaluation {each.name}", each.data.label_contract) for each in run.evaluations]
    contracts += [
        (f"The labels of calibration {each.name}", each.data.label_contract) for each in run.calibrations.values()
    ]
    for labels, contract in contracts:
        if contract.get("synthetic"):
            yield f"{labels} are synthetic: no person gave them."


def _of_files(run: RunData) -> Iterator[str]:
    """Repeat the warnings of calibrations, of evaluations, and of the dataset."""
    repeated = set()
    for calibration in run.calibrations.values():
        for text in calibration.warnings:
            yield f"Calibration {calibration.name}: {text}"
            # An evaluation repeats the warnings of its calibration in these words.
            repeated.add(f"calibration {calibration.name}: {text}")
    for evaluation in run.evaluations:
        yield from (f"Evaluation {evaluation.name}: {text}" for text in evaluation.warnings if text not in repeated)
    if run.manifest is not None and (problems := len(run.manifest["problems"])):
        skipped = len(run.manifest["skipped"])
        yield f"The dataset had {problems} problems when it was cut; {skipped} images were left out."
