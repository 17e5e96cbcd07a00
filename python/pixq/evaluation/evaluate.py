"""How well a run decides, with its calibration, beside what it must beat."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixq._version import __version__
from pixq.classes import NAMES, QUALITY_CUTS
from pixq.decisions.calibration_file import Calibration, get_calibration, read_calibrations
from pixq.decisions.decision import Cuts, Decision
from pixq.errors import PixqError, unknown
from pixq.evaluation import files
from pixq.evaluation.answers import Answered, by_cuts, rival_base, rivals
from pixq.evaluation.labelled import LabelledSplit, check_photos, check_target, judged, model_scores
from pixq.evaluation.pictures import examples, histogram, reliability_bins
from pixq.evaluation.rivals import METRICS
from pixq.io.json_file import check_name, now
from pixq.io.paths import text_of
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.store import PatchSet
from pixq.scoring.scorer import Scorer, load
from pixq.statistics.bootstrap import Resamples, check_bootstrap, resample_groups
from pixq.statistics.metrics import Measured, difference, measure

__all__ = ["RIVALS", "EvaluateSettings", "evaluate", "planned"]

#: What a model is held against unless told otherwise.
RIVALS = ("majority", "psnr", "roi_psnr", "ssim", "mdsi", "vsi", "boosting")
#: What the model's differences from its rivals are of.
COMPARED = ("balanced_accuracy", "srcc")


@dataclass(frozen=True)
class EvaluateSettings:
    """What is evaluated, and how.

    Parameters
    ----------
    name
        Of the evaluation, and of its file; of the patch set's folder, the split and the calibration by default.
    split
        `test`, unless one knows better.
    calibration
        Its name; the only one by default. Without any, quality is cut at `QUALITY_CUTS`.
    rivals
        Of `RIVALS` and the names of `pixq.evaluation.rivals.METRICS`.
    resamples, level, seed
        Of the bootstrap over groups.
    """

    name: str | None = None
    split: str = "test"
    calibration: str | None = None
    rivals: tuple[str, ...] = RIVALS
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name)
        known = ("majority", "boosting", *METRICS)
        for rival in self.rivals:
            if rival not in known:
                raise unknown("rival", rival, known)
            if self.rivals.count(rival) > 1:
                raise PixqError(f"--rivals names {rival} twice; name each once")
        check_bootstrap(self.resamples, self.level, self.seed)


def evaluate(
    run: str | os.PathLike[str],
    on: PatchSet | str | os.PathLike[str],
    settings: EvaluateSettings | None = None,
    *,
    device: str = "cpu",
    on_progress: ProgressCallback = ignore_progress,
) -> files.EvaluationFile:
    """Measure a run on one split of a patch set; see `files.write_evaluation` to keep it.

    Rivals get what the model gets: cuts and curves from the split that the model was calibrated on; boosted trees are
    fitted to the train split of the same set, or to that split where photos of `train` are evaluated. All methods are
    measured on the same resamples of groups.

    Parameters
    ----------
    run
        A finished run, calibrated or not.
    on
        A patch set.
    settings
        See `EvaluateSettings`.
    device
        Where the model and the metrics compute.
    on_progress
        Called while patches are scored and methods are measured.

    Raises
    ------
    PixqError
        If the run or the patch set can't be used, or a photo was trained or calibrated on and is evaluated on.
    """
    settings = settings or EvaluateSettings()
    scorer = load(run, device, engine="torch")
    data = judged(on, settings.split)
    check_target(scorer, data)
    warnings = check_photos(scorer, data, ("train", "validation"))
    calibration = _calibration(run, scorer, settings, data)
    if calibration is None:
        warnings.append(
            f"the run is not calibrated: its scores are cut at {QUALITY_CUTS[0]:g} and {QUALITY_CUTS[1]:g}, as if "
            "their scale were that of these patches, while rivals have cuts that were chosen for them; pixq calibrate "
            "does so for the model"
        )
    else:
        warnings += [f"calibration {calibration.name}: {text}" for text in calibration.warnings]
        before, here = calibration.data.dataset.get("name"), data.patches.manifest["dataset"]["name"]
        if before != here:
            warnings.append(
                f"calibration {calibration.name} is of {before}, these patches are of {here}: other cuts may fit"
            )
    resamples = resample_groups(data.group, settings.resamples, settings.seed)
    if len(resamples.groups) < 2:
        warnings.append("these patches are of one group, so there are no intervals")
    else:
        warnings += data.warnings()
    warnings += [
        f"no patch of the {data.split} split is {name}: metrics are over the classes that are there"
        for name, count in zip(NAMES, np.bincount(data.truth, minlength=len(NAMES)).tolist(), strict=True)
        if count == 0
    ]
    scores = model_scores(scorer, data, on_progress)
    model = by_cuts(
        "model", f"{scorer.recipe.model.name} (this run)", "model", data, scores, Decision.choose(calibration)
    )
    methods = [model]
    base, missing = rival_base(calibration, data)
    warnings += missing
    if base is not None:
        methods += rivals(settings.rivals, base, data, calibration, device, Path(run), on_progress)
    measured = []
    for number, method in enumerate(methods):
        on_progress("measuring", number, len(methods))
        measured.append(_measured(method, data, resamples, settings.level))
    name, command = planned(run, data.patches, settings, calibration)
    return files.EvaluationFile(
        name=name,
        created=now(),
        pixq=__version__,
        command=command,
        run=files.RunReference(
            directory=text_of(run),
            model_blake3=scorer.blake3,
            model=scorer.recipe.model.name,
            head=scorer.kind,
        ),
        calibration=None if calibration is None else calibration.name,
        data=data.describe(),
        bootstrap=files.Bootstrap(resamples=settings.resamples, level=settings.level, seed=settings.seed),
        warnings=warnings,
        methods=[method for method, _ in measured],
        against=list(_differences(measured, settings.level)),
        histogram=histogram(scores.patches, data.truth),
        reliability=reliability_bins(model.patches),
        examples=examples(model, data),
    )


def _calibration(
    run: str | os.PathLike[str], scorer: Scorer, settings: EvaluateSettings, data: LabelledSplit
) -> Calibration | None:
    if settings.calibration is None and not read_calibrations(run):
        return None
    calibration = get_calibration(run, settings.calibration)
    if calibration.model.blake3 != scorer.blake3:
        raise PixqError(f"{run}: calibration {calibration.name} is of other weights; run pixq calibrate anew")
    if shared := data.patches.photos() & set(calibration.photos):
        raise PixqError(
            f"{data.patches.directory}: a leak: {len(shared)} photos of its {data.split} split are among those the "
            f"cuts of calibration {calibration.name} were chosen on; evaluate on another split"
        )
    return calibration


def _measured(
    method: Answered, data: LabelledSplit, resamples: Resamples, level: float
) -> tuple[files.Method, Measured]:
    patches = measure(method.patches, resamples, level)
    images = None if method.images is None else measure(method.images, resamples, level)
    by: dict[str, dict[str, files.Metrics]] = {}
    for key, values in data.labels.items():
        column = np.array(values)
        by[key] = {
            value: _metrics(measure(method.patches.take(np.flatnonzero(column == value)), resamples, level))
            for value in sorted(set(values), key=_natural)
        }
    cuts = None if method.cuts is None else Cuts(orange=method.cuts[0], green=method.cuts[1])
    return (
        files.Method(
            name=method.name,
            title=method.title,
            kind=method.kind,  # type: ignore[arg-type]  # of the few that the file knows
            cuts=cuts,
            patches=_metrics(patches),
            images=None if images is None else _metrics(images),
            by=by,
        ),
        patches,
    )


def _natural(value: str) -> tuple[float, str]:
    """Levels in the order of numbers."""
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _metrics(measured: Measured) -> files.Metrics:
    return files.Metrics.model_validate(measured.to_json())


def _differences(measured: Sequence[tuple[files.Method, Measured]], level: float) -> Iterator[files.Difference]:
    """The model less each rival, on the same resamples."""
    _, model = measured[0]
    for method, rival in measured[1:]:
        for metric in COMPARED:
            found = difference(model.estimates[metric], rival.estimates[metric], level)
            yield files.Difference(name=method.name, metric=metric, **found.to_json())


def planned(
    run: str | os.PathLike[str], on: PatchSet, settings: EvaluateSettings, calibration: Calibration | None = None
) -> tuple[str, str]:
    """The name that an evaluation will have, and the command that makes it again.

    Parameters
    ----------
    run, on, settings
        As in `evaluate`.
    calibration
        Where it is read already; else it is looked for.
    """
    if calibration is None and (settings.calibration is not None or read_calibrations(run)):
        calibration = get_calibration(run, settings.calibration)
    # Letters, digits and a few signs, as a file is called on any system.
    letters = on.directory.resolve().name
    folder = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in letters).strip("._-")
    rest = f"-{settings.split}" + ("" if calibration is None else f"-{calibration.name}")
    name = settings.name or (folder or "patches")[: max(64 - len(rest), 1)] + rest[:63]
    words = ["pixq", "evaluate", text_of(run), "--on", text_of(on.directory), "--split", settings.split, "--name", name]
    if calibration is not None:
        words += ["--calibration", calibration.name]
    if settings.rivals != RIVALS:
        words += ["--rivals", ",".join(settings.rivals) or "none"]
    words += ["--resamples", str(settings.resamples), "--level", f"{settings.level:g}", "--seed", str(settings.seed)]
    return name, shlex.join(words)
