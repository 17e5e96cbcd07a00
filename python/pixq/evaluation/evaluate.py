"""How well a run decides, with its calibration, beside what it must beat."""

from __future__ import annotations

import base64
import datetime
import io
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pixq
from pixq.calibration.calibrate import check_photos, check_target, model_fingerprint
from pixq.calibration.conformal import Sets
from pixq.calibration.curves import Mapping, fit_mapping
from pixq.calibration.cuts import Objective, find_cuts
from pixq.calibration.files import Calibration, get_calibration, read_calibrations
from pixq.classes import CLASSES, NAMES, QUALITY_CUTS, classify
from pixq.errors import PixqError, unknown
from pixq.evaluation import files
from pixq.evaluation.bootstrap import Resamples, resample_groups
from pixq.evaluation.metrics import Answers, Measured, difference, measure, reliability
from pixq.evaluation.rivals import METRICS, Boosting, Majority, patch_scores
from pixq.evaluation.scored import Judged, Scores, judged, model_scores
from pixq.evaluation.shared import check_name
from pixq.patches.store import PatchSet
from pixq.scorer import Scorer, load
from pixq.train.run import text_of

__all__ = ["RIVALS", "EvaluateSettings", "Watch", "evaluate", "planned"]

#: What a model is held against unless told otherwise.
RIVALS = ("majority", "psnr", "roi_psnr", "ssim", "mdsi", "vsi", "boosting")
#: What the model's differences from its rivals are of.
COMPARED = ("balanced_accuracy", "srcc")
#: Pictures of the patches that the model is most right about, and most wrong.
EXAMPLES = 12
BINS = 30

#: Told what is done, how many of how many patches.
Watch = Callable[[str, int, int], None]


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
        if self.resamples < 100:
            raise PixqError(f"--resamples is {self.resamples}; give 100 or more")
        if not 0.0 < self.level < 1.0:
            raise PixqError(f"--level is {self.level:g}; give a share between 0 and 1, like 0.95")
        if self.seed < 0:
            raise PixqError(f"--seed is {self.seed}; give 0 or more")


@dataclass(frozen=True, eq=False)
class Answered:
    """What one method says of the evaluated patches.

    Parameters
    ----------
    score
        Of patches and images; expected quality for a method that gives probabilities.
    cuts
        `None` for a method whose answer is its most probable class.
    """

    name: str
    title: str
    kind: str
    score: Scores
    cuts: tuple[float, float] | None
    patches: Answers
    images: Answers | None


@dataclass(frozen=True, eq=False)
class Decision:
    """What makes scores into answers, chosen on the calibration split."""

    cuts: tuple[float, float]
    mapping: Mapping | None
    sets: Sets | None = None


def evaluate(
    run: str | os.PathLike[str],
    on: PatchSet | str | os.PathLike[str],
    settings: EvaluateSettings | None = None,
    *,
    device: str = "cpu",
    watch: Watch | None = None,
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
    watch
        Told how far it is.

    Raises
    ------
    PixqError
        If the run or the patch set can't be used, or a photo was trained or calibrated on and is evaluated on.
    """
    settings = settings or EvaluateSettings()
    note = watch or (lambda *_: None)
    scorer = load(run, device)
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
    scores = model_scores(scorer, data, lambda done: note("scoring", done, len(data)))
    model = _answered("model", f"{scorer.recipe.model.name} (this run)", "model", data, scores, _decision(calibration))
    methods = [model]
    base, missing = _base(calibration, data)
    warnings += missing
    if base is not None:
        methods += _rivals(settings.rivals, base, data, calibration, device, Path(run), note)
    measured = []
    for number, method in enumerate(methods):
        note("measuring", number, len(methods))
        measured.append(_measured(method, data, resamples, settings.level))
    name, command = planned(run, data.patches, settings, calibration)
    return files.EvaluationFile(
        name=name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        pixq=pixq.__version__,
        command=command,
        run=files.RunReference(
            directory=text_of(run),
            model_blake3=model_fingerprint(scorer),
            model=scorer.recipe.model.name,
            head=scorer.kind,
        ),
        calibration=None if calibration is None else calibration.name,
        data=data.describe(),
        bootstrap=files.Bootstrap(resamples=settings.resamples, level=settings.level, seed=settings.seed),
        warnings=warnings,
        methods=[method for method, _ in measured],
        against=list(_differences(measured, settings.level)),
        histogram=_histogram(scores.patches, data.truth),
        reliability=_reliability(model.patches),
        examples=_examples(model, data),
    )


def _calibration(
    run: str | os.PathLike[str], scorer: Scorer, settings: EvaluateSettings, data: Judged
) -> Calibration | None:
    if settings.calibration is None and not read_calibrations(run):
        return None
    calibration = get_calibration(run, settings.calibration)
    if calibration.model.blake3 != model_fingerprint(scorer):
        raise PixqError(f"{run}: calibration {calibration.name} is of other weights; run pixq calibrate anew")
    if shared := data.patches.photos() & set(calibration.photos):
        raise PixqError(
            f"{data.patches.directory}: a leak: {len(shared)} photos of its {data.split} split are among those the "
            f"cuts of calibration {calibration.name} were chosen on; evaluate on another split"
        )
    return calibration


def _decision(calibration: Calibration | None) -> Decision:
    if calibration is None:
        return Decision(QUALITY_CUTS, None)
    conformal = calibration.conformal
    sets = None if conformal is None else Sets.from_json(conformal.model_dump())
    return Decision(calibration.cuts.values, Mapping.from_json(calibration.mapping), sets)


def _base(calibration: Calibration | None, data: Judged) -> tuple[Judged | None, list[str]]:
    """The patches that rivals get their cuts from: those that the model got its cuts from."""
    if calibration is None:
        if data.split == "validation":
            return None, ["rivals get their cuts from the validation split, which is evaluated here: none is shown"]
        try:
            return judged(PatchSet(data.patches.directory), "validation"), []
        except PixqError:
            return None, ["the patch set has no validation split to choose the rivals' cuts on: none is shown"]
    known = calibration.data
    for directory in (data.patches.directory, Path(known.directory)):
        try:
            found = judged(PatchSet(directory), known.split)
        except PixqError:
            continue
        if found.describe().fingerprint == known.fingerprint:
            return found, []
    return None, [
        f"the patch set of calibration {calibration.name}, {known.directory}, is not there, so there are no cuts for "
        "rivals: none is shown"
    ]


def _answered(
    name: str, title: str, kind: str, data: Judged, score: Scores, decision: Decision, *, images: bool = True
) -> Answered:
    """Answers by cuts of a score."""

    def answers(values: NDArray[np.float64], quality: NDArray[np.float64], group: NDArray[np.int64]) -> Answers:
        mapping = decision.mapping
        probability = None if mapping is None else mapping.probabilities(values)
        return Answers(
            truth=classify(quality),
            answer=classify(values, decision.cuts),
            quality=quality,
            score=values,
            mapped=values.clip(0.0, 1.0) if mapping is None and kind == "model" else _mapped(mapping, values),
            probability=probability,
            sets=None if decision.sets is None or probability is None else decision.sets.of(probability),
            group=group,
        )

    starts = data.spans[0]
    return Answered(
        name,
        title,
        kind,
        score,
        decision.cuts,
        answers(score.patches, data.quality, data.group),
        answers(score.images, data.by_image(data.quality), data.group[starts]) if images and data.has_images else None,
    )


def _mapped(mapping: Mapping | None, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    return None if mapping is None else mapping.quality(values)


def _probable(
    name: str, title: str, kind: str, data: Judged, answer: NDArray[np.int8], probability: NDArray[np.float64]
) -> Answered:
    """Answers of a method that gives probabilities; an image's are the mean of its patches'."""
    worth = np.array([each.quality for each in CLASSES])

    def answers(
        own: NDArray[np.int8], shares: NDArray[np.float64], quality: NDArray[np.float64], group: NDArray[np.int64]
    ) -> Answers:
        expected = shares @ worth
        return Answers(
            truth=classify(quality),
            answer=own,
            quality=quality,
            score=expected,
            mapped=expected,
            probability=shares,
            sets=None,
            group=group,
        )

    patches = answers(answer, probability, data.quality, data.group)
    images = None
    if data.has_images:
        shares = data.by_image(probability)
        own = shares.argmax(axis=1).astype(np.int8)
        images = answers(own, shares, data.by_image(data.quality), data.group[data.spans[0]])
    score = Scores(patches.score, patches.score if images is None else images.score)
    return Answered(name, title, kind, score, None, patches, images)


def _rivals(
    names: Sequence[str],
    base: Judged,
    data: Judged,
    calibration: Calibration | None,
    device: str,
    run: Path,
    note: Watch,
) -> Iterator[Answered]:
    """The rivals, each decided by what `base` says."""
    objective = Objective() if calibration is None else Objective(calibration.objective, calibration.cost)
    for name in names:
        if name == "majority":
            answer, probability = Majority().fit(base.patches).answer(data.patches)
            yield _probable(name, "majority class", "majority", data, answer, probability)
        elif name == "boosting":
            note("boosting", 0, len(data))
            trained = PatchSet(base.patches.directory).select(split="train")
            # What is evaluated may be that split, or have photos of it; those of `base` are known to be others.
            apart = len(trained) > 0 and not trained.photos() & data.patches.photos()
            answer, probability = Boosting(device).fit(trained if apart else base.patches).answer(data.patches)
            yield _probable(name, "boosted trees", "boosting", data, answer, probability)
        else:
            cut, found = (_metric(name, part, device, run, note) for part in (base, data))
            decision = Decision(find_cuts(cut, base.truth, objective).pair, fit_mapping(cut, base.quality, base.truth))
            score = Scores(found, data.by_image(found))
            yield _answered(name, METRICS[name].title, "metric", data, score, decision)


def _metric(name: str, data: Judged, device: str, run: Path, note: Watch) -> NDArray[np.float64]:
    """The metric's scores; kept in the run's folder, as some take minutes and a stop must not lose them."""
    kept = run / files.EVALUATIONS / f".{data.describe().fingerprint[:16]}-{data.split}-{name}.npy"
    try:
        found: NDArray[np.float64] = np.load(kept, allow_pickle=False)
        if found.shape == (len(data),) and found.dtype == np.float64:
            return found
    except (OSError, ValueError, EOFError):
        pass
    title = METRICS[name].title
    found = patch_scores(data.patches, [name], device, lambda done: note(title, done, len(data)))[name]
    scratch = kept.with_name(f"{kept.name}.partial-{os.getpid()}")
    try:
        kept.parent.mkdir(exist_ok=True)
        with scratch.open("wb") as file:
            np.save(file, found)
        scratch.replace(kept)
    except OSError:
        # Only the next evaluation would have been faster.
        scratch.unlink(missing_ok=True)
    return found


def _measured(method: Answered, data: Judged, resamples: Resamples, level: float) -> tuple[files.Method, Measured]:
    patches = measure(method.patches, resamples, level)
    images = None if method.images is None else measure(method.images, resamples, level)
    by: dict[str, dict[str, files.Metrics]] = {}
    for key, values in data.labels().items():
        column = np.array(values)
        by[key] = {
            value: _metrics(measure(method.patches.take(np.flatnonzero(column == value)), resamples, level))
            for value in sorted(set(values), key=_natural)
        }
    cuts = None if method.cuts is None else files.Cuts(orange=method.cuts[0], green=method.cuts[1])
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


def _histogram(score: NDArray[np.float64], truth: NDArray[np.int8]) -> files.Histogram:
    low, high = float(score.min()), float(score.max())
    if not low < high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    counts = {name: np.histogram(score[truth == number], edges)[0].tolist() for number, name in enumerate(NAMES)}
    return files.Histogram(edges=edges.tolist(), counts=counts)


def _reliability(answers: Answers) -> list[files.ReliabilityBin]:
    """Whether the most probable class is right as often as its probability says; bins with patches alone."""
    if answers.probability is None:
        return []
    bins = reliability(answers.probability, answers.truth)
    return [
        files.ReliabilityBin(
            low=each.low, high=each.high, confidence=each.confidence, accuracy=each.accuracy, count=each.count
        )
        for each in bins
        if each.confidence is not None and each.accuracy is not None
    ]


def _examples(model: Answered, data: Judged) -> files.Examples:
    """Wrong answers, the furthest from the truth first; right ones, the surest first. One of each image at most."""
    answers = model.patches
    apart = np.abs(answers.answer.astype(int) - answers.truth)
    cuts = np.array([cut for cut in model.cuts or QUALITY_CUTS if np.isfinite(cut)])
    # How far the score is from the nearest cut: how sure it was.
    sure = np.abs(answers.score[:, None] - cuts).min(axis=1) if len(cuts) else np.zeros(len(data))
    worst = np.lexsort((-sure, -apart))
    best = [np.flatnonzero((apart == 0) & (answers.truth == each)) for each in range(len(NAMES))]
    best = [own[np.argsort(-sure[own], kind="stable")] for own in best]
    turns = [row for rank in range(EXAMPLES) for own in best for row in own[rank : rank + 1].tolist()]
    return files.Examples(
        best=_pictures(turns, answers, data),
        worst=_pictures([row for row in worst.tolist() if apart[row]], answers, data),
    )


def _pictures(rows: Sequence[int], answers: Answers, data: Judged) -> list[files.Example]:
    chosen: list[int] = []
    seen: set[int] = set()
    for row in rows:
        if int(data.image[row]) not in seen:
            seen.add(int(data.image[row]))
            chosen.append(row)
        if len(chosen) == EXAMPLES:
            break
    if not chosen:
        return []
    some = data.patches[np.array(chosen)]
    batch = next(some.batches(len(chosen)))
    records = some.records
    return [
        files.Example(
            row=int(some.rows[k]),
            image_id=data.patches.images[int(records.image[k])]["image_id"],
            distortion_type=data.patches.images[int(records.image[k])]["distortion_type"],
            fusion=str(data.patches.fusions[int(records.fusion[k])]),
            truth=NAMES[answers.truth[row]],
            answer=NAMES[answers.answer[row]],
            score=float(answers.score[row]),
            quality=float(answers.quality[row]),
            reference_png=_png(batch.reference[k]),
            distorted_png=_png(batch.fused[k]),
        )
        for k, row in enumerate(chosen)
    ]


def _png(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")


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
