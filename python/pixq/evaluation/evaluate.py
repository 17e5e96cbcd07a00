"""Evaluation of a run: how often its decisions are right, and whether it beats simpler methods."""

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
from pixq.evaluation.answers import MethodAnswers, answer_by_cuts, answer_rivals, read_calibration_split
from pixq.evaluation.baseline import Baseline
from pixq.evaluation.baselines import BASELINES
from pixq.evaluation.evaluation_file import Difference, EvaluationFile, Method, Metrics, RunReference
from pixq.evaluation.labelled import LabelledSplit, check_photos, check_target, model_outputs, read_split
from pixq.evaluation.pictures import examples, histogram, reliability_bins
from pixq.evaluation.rivals import DEFAULT_RIVALS, RIVALS
from pixq.evaluation.whole_images import compare_images, image_rows
from pixq.io.json_file import check_name, now
from pixq.io.paths import text_of
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.store import PatchSet
from pixq.runs.load import scores_visibility
from pixq.scoring.scorer import Scorer, check_viewing, load
from pixq.statistics.bootstrap import Resamples, check_bootstrap, resample_groups
from pixq.statistics.estimates import Bootstrap
from pixq.statistics.metrics import Measurement, measure
from pixq.statistics.paired import better_share, difference
from pixq.viewing import FIELDS, ViewingConditions
from pixq.visibility import NOTICED

__all__ = ["EvaluateSettings", "evaluate", "plan"]

#: What the quality of the model `visibility` is called beside its visibility.
QUALITY_TITLE = "quality (this run)"

#: The metrics in which the model is compared with its rivals.
COMPARED = ("balanced_accuracy", "srcc")


@dataclass(frozen=True)
class EvaluateSettings:
    """What is evaluated, and how.

    Parameters
    ----------
    name
        Name of the evaluation and its file; by default made from the names of the patch set's folder, the split and the
        calibration.
    split
        The split to evaluate, usually `test`.
    calibration
        Name of the calibration; may be left out if there is only one. Without any, quality is cut at `QUALITY_CUTS`.
    rivals
        Names of `pixq.evaluation.rivals.RIVALS` and of `pixq.evaluation.baselines.BASELINES`, or `all` alone: all that
        are installed and can measure these patches and images.
    resamples, level, seed
        The number of bootstrap resamples of groups, the confidence level of intervals, and the random seed.
    dataset
        Folder of the dataset that the patch set was built from. With it, those rivals that are image metrics also
        measure whole images; without it, only patches are compared.
    viewing
        How images are looked at, for the model `visibility` and the metrics that depend on it; `None` for a 24-inch
        full-HD display at 60 cm, or the conditions that the calibration was made for.
    """

    name: str | None = None
    split: str = "test"
    calibration: str | None = None
    rivals: tuple[str, ...] = DEFAULT_RIVALS
    resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    dataset: Path | None = None
    viewing: ViewingConditions | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name)
        for rival in self.rivals:
            if rival == "all" and len(self.rivals) == 1:
                continue
            if rival not in RIVALS and rival not in BASELINES:
                raise unknown("rival", rival, ["all", *RIVALS, *(name for name in BASELINES if name not in RIVALS)])
            if self.rivals.count(rival) > 1:
                raise PixqError(f"--rivals names {rival} twice; name each rival once")
            if rival not in RIVALS and self.dataset is None:
                raise PixqError(
                    f"{BASELINES[rival].title} compares whole images; add --dataset with the folder that the patch set "
                    f"was built from, or remove {rival} from --rivals"
                )
        check_bootstrap(self.resamples, self.level, self.seed)

    @property
    def viewing_fields(self) -> set[str]:
        """The fields of `ViewingConditions` that rivals depend on."""
        if self.dataset is None:
            return set()
        names = BASELINES if self.rivals == ("all",) else [name for name in self.rivals if name in BASELINES]
        return {field for name in names for field in BASELINES[name].viewing}


def evaluate(
    run: str | os.PathLike[str],
    on: PatchSet | str | os.PathLike[str],
    settings: EvaluateSettings | None = None,
    *,
    device: str = "cpu",
    on_progress: ProgressCallback = ignore_progress,
) -> EvaluationFile:
    """Measure a run on one split of a patch set; `pixq.evaluation.evaluation_file.write_evaluation` saves the result.

    Rivals get the same data as the model: their cuts and curves come from the split that the model was calibrated on.
    Boosted trees are fitted to the train split of the same patch set, or, if photos of that split are evaluated, to the
    calibration split. All methods are measured on the same resamples of groups.

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
        If the run or the patch set can't be used, or a photo that was trained or calibrated on would be evaluated on.
    """
    settings = settings or EvaluateSettings()
    scorer = load(run, device, engine="torch", viewing=settings.viewing)
    data = read_split(on, settings.split)
    check_target(scorer, data)
    warnings = check_photos(scorer, data, ("train", "validation"))
    calibration = _read_calibration(run, scorer, settings, data)
    warnings += _warnings(calibration, data, scorer.scores_visibility)
    scores, qualities = model_outputs(scorer, data, on_progress)
    title = f"{scorer.recipe.model.name} (this run)"
    on_patches, on_images, left_out = _choose_rivals(settings, data)
    warnings += left_out
    decision = Decision.choose(calibration, visibility=scorer.scores_visibility)
    model = answer_by_cuts("model", title, "model", data, scores, decision)
    methods, on_whole = [model], [("model", title, scores.images)]
    if scorer.scores_visibility:
        # The model's other answer, beside the first.
        methods.append(answer_by_cuts("quality", QUALITY_TITLE, "metric", data, qualities, Decision.choose(None)))
        on_whole.append(("quality", QUALITY_TITLE, qualities.images))
    base, missing = read_calibration_split(calibration, data)
    warnings += missing
    if base is not None:
        methods += answer_rivals(on_patches, base, data, calibration, device, Path(run), on_progress)
    resamples = resample_groups(data.group, settings.resamples, settings.seed)
    measured = []
    for number, method in enumerate(methods):
        on_progress("measuring", number, len(methods))
        measured.append(_measure(method, data, resamples, settings.level))
    whole_images = None
    if settings.dataset is not None:
        whole_images = compare_images(
            on_whole,
            data,
            settings.dataset,
            on_images,
            resamples,
            settings.level,
            run=Path(run),
            viewing=scorer.viewing,
            device=device,
            on_progress=on_progress,
        )
    name, command = plan(run, data.patches, settings, calibration)
    return EvaluationFile(
        name=name,
        created=now(),
        pixq=__version__,
        command=command,
        run=RunReference(
            directory=text_of(run),
            model_blake3=scorer.blake3,
            model=scorer.recipe.model.name,
            head=scorer.kind,
        ),
        calibration=None if calibration is None else calibration.name,
        data=data.describe(),
        bootstrap=Bootstrap(resamples=settings.resamples, level=settings.level, seed=settings.seed),
        warnings=warnings,
        methods=[method for method, _ in measured],
        against=list(_differences(measured, settings.level)),
        histogram=histogram(scores.patches, data.truth),
        reliability=reliability_bins(model.patches),
        examples=examples(model, data),
        whole_images=whole_images,
    )


def _choose_rivals(settings: EvaluateSettings, data: LabelledSplit) -> tuple[list[str], list[str], list[str]]:
    """The rivals on patches and those on whole images; of `all`, those that can measure them, and why others can't."""
    if settings.rivals != ("all",):
        on_patches = [name for name in settings.rivals if name in RIVALS]
        on_images = [name for name in settings.rivals if name in BASELINES]
        return on_patches, on_images if settings.dataset is not None else [], []
    reasons: list[str] = []
    size = data.patches.geometry.size

    def usable(metric: Baseline, what: str, height: int, width: int) -> bool:
        try:
            metric.check_available()
            metric.check_size(what, height, width)
        except PixqError as error:
            reasons.append(f"{metric.title} is left out: {error}")
            return False
        return True

    on_patches = [
        name
        for name, rival in RIVALS.items()
        if rival.baseline is None or usable(rival.baseline, f"{data.patches.directory}: a patch", size, size)
    ]
    if settings.dataset is None:
        reasons.append("metrics of whole images are left out; add --dataset with the folder of the dataset")
        return on_patches, [], reasons
    images = [data.patches.images[row] for row in image_rows(data)]
    smallest = min(images, key=lambda image: min(image["height"], image["width"]))
    on_images = [
        name
        for name, metric in BASELINES.items()
        if usable(metric, smallest["distorted"], smallest["height"], smallest["width"])
    ]
    # A metric that is not installed is named once.
    return on_patches, on_images, list(dict.fromkeys(reasons))


def _read_calibration(
    run: str | os.PathLike[str], scorer: Scorer, settings: EvaluateSettings, data: LabelledSplit
) -> Calibration | None:
    if settings.calibration is None and not read_calibrations(run):
        return None
    calibration = get_calibration(run, settings.calibration)
    calibration.check_weights(run, scorer.blake3)
    if settings.viewing is None and calibration.viewing is not None:
        scorer.viewing = calibration.viewing
    check_viewing(calibration.viewing, scorer.viewing, f"{run}: calibration {calibration.name}")
    if shared := data.patches.photos() & set(calibration.photos):
        raise PixqError(
            f"{data.patches.directory}: a leak: {len(shared)} photos of its {data.split} split are among those the "
            f"cuts of calibration {calibration.name} were chosen on; evaluate on another split"
        )
    return calibration


def _warnings(calibration: Calibration | None, data: LabelledSplit, visibility: bool) -> list[str]:
    """Explain what a reader must know before trusting the metrics."""
    if calibration is None and visibility:
        warnings = [
            f"the run is not calibrated: patches are Green up to a P(notice) of {NOTICED[0]:.0%} and Orange up to "
            f"{NOTICED[1]:.0%}, whatever their labels mean, while the rivals' cuts were chosen for them; run `pixq "
            "calibrate` first for a fair comparison"
        ]
    elif calibration is None:
        warnings = [
            f"the run is not calibrated: its scores are cut at {QUALITY_CUTS[0]:g} and {QUALITY_CUTS[1]:g}, as if they "
            "were qualities of these patches, while the rivals' cuts were chosen for them; run `pixq calibrate` first "
            "for a fair comparison"
        ]
    else:
        warnings = [f"calibration {calibration.name}: {text}" for text in calibration.warnings]
        calibrated, evaluated = calibration.data.dataset.get("name"), data.patches.manifest["dataset"]["name"]
        if calibrated != evaluated:
            warnings.append(
                f"calibration {calibration.name} was made on {calibrated}, but these patches come from {evaluated}: "
                "other cuts may fit better"
            )
    if len(np.unique(data.group)) < 2:
        warnings.append("all patches belong to one group, so there are no intervals")
    else:
        warnings += data.warnings()
    return warnings + [
        f"no patch of the {data.split} split is {name}: metrics are computed over the other classes"
        for name, count in zip(NAMES, np.bincount(data.truth, minlength=len(NAMES)).tolist(), strict=True)
        if count == 0
    ]


def _measure(
    method: MethodAnswers, data: LabelledSplit, resamples: Resamples, level: float
) -> tuple[Method, Measurement]:
    patches = measure(method.patches, resamples, level)
    images = None if method.images is None else measure(method.images, resamples, level)
    by: dict[str, dict[str, Metrics]] = {}
    for key, values in data.labels.items():
        column = np.array(values)
        by[key] = {
            value: _metrics(measure(method.patches.take(np.flatnonzero(column == value)), resamples, level))
            for value in sorted(set(values), key=_natural)
        }
    cuts = None if method.cuts is None else Cuts(orange=method.cuts[0], green=method.cuts[1])
    return (
        Method(
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
    """Sort levels as numbers."""
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value


def _metrics(measurement: Measurement) -> Metrics:
    return Metrics.model_validate(measurement.to_json())


def _differences(measured: Sequence[tuple[Method, Measurement]], level: float) -> Iterator[Difference]:
    """Compare the model with each rival, on the same resamples."""
    _, model = measured[0]
    for method, rival in measured[1:]:
        for metric in COMPARED:
            pair = model.estimates[metric], rival.estimates[metric]
            estimate = difference(*pair, level)
            yield Difference(name=method.name, metric=metric, **estimate.to_json(), better=better_share(*pair))


def plan(
    run: str | os.PathLike[str], on: PatchSet, settings: EvaluateSettings, calibration: Calibration | None = None
) -> tuple[str, str]:
    """Determine the name that an evaluation will have, and the command that repeats it.

    Parameters
    ----------
    run, on, settings
        As in `evaluate`.
    calibration
        The calibration, if it has already been read.
    """
    if calibration is None and (settings.calibration is not None or read_calibrations(run)):
        calibration = get_calibration(run, settings.calibration)
    # Only what any system accepts in a file name.
    letters = on.directory.resolve().name
    folder = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in letters).strip("._-")
    rest = f"-{settings.split}" + ("" if calibration is None else f"-{calibration.name}")
    name = settings.name or (folder or "patches")[: max(64 - len(rest), 1)] + rest[:63]
    words = ["pixq", "evaluate", text_of(run), "--on", text_of(on.directory), "--split", settings.split, "--name", name]
    if calibration is not None:
        words += ["--calibration", calibration.name]
    if settings.rivals != DEFAULT_RIVALS:
        words += ["--rivals", ",".join(settings.rivals) or "none"]
    if settings.dataset is not None:
        words += ["--dataset", text_of(settings.dataset)]
    if settings.viewing is not None:
        words += settings.viewing.options(FIELDS if scores_visibility(run) else settings.viewing_fields)
    words += ["--resamples", str(settings.resamples), "--level", f"{settings.level:g}", "--seed", str(settings.seed)]
    return name, shlex.join(words)
