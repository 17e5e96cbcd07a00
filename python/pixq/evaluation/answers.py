"""The answers of the model and of its rivals to the evaluated patches; rivals get the same calibration data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixq._version import __version__
from pixq.classes import CLASSES, classify
from pixq.decisions.calibration_file import Calibration
from pixq.decisions.conformal import Sets
from pixq.decisions.curves import Mapping, fit_mapping
from pixq.decisions.cuts import Objective, find_cuts
from pixq.decisions.decision import Decision
from pixq.errors import PixqError
from pixq.evaluation.evaluation_file import EVALUATIONS
from pixq.evaluation.labelled import LabelledSplit, Scores, read_split
from pixq.evaluation.rivals import RIVALS, Boosting, Majority, patch_scores
from pixq.io.atomic import atomic_write
from pixq.io.enclosed import check_enclosed
from pixq.io.progress import ProgressCallback
from pixq.patches.store import PatchSet, fingerprint
from pixq.statistics.metrics import Answers

__all__ = ["MethodAnswers", "answer_by_cuts", "answer_rivals", "cached_scores", "read_calibration_split"]


@dataclass(frozen=True, eq=False)
class MethodAnswers:
    """What one method, the model or a rival, answers to the evaluated patches.

    Parameters
    ----------
    name, title, kind
        As in `pixq.evaluation.rivals.Rival`; the kind of the model is `model`.
    score
        Scores of patches and images; the expected quality for a method that gives probabilities.
    cuts
        `None` for a method that answers its most probable class.
    patches, images
        The answers; `images` is `None` if each image has only one patch.
    """

    name: str
    title: str
    kind: str
    score: Scores
    cuts: tuple[float, float] | None
    patches: Answers
    images: Answers | None


def read_calibration_split(
    calibration: Calibration | None, data: LabelledSplit
) -> tuple[LabelledSplit | None, list[str]]:
    """Read the patches that the model's cuts were chosen on, for the rivals; with a warning if they are missing."""
    if calibration is None:
        if data.split == "validation":
            return None, [
                "no rivals are compared: they get their cuts from the validation split, which is evaluated here"
            ]
        try:
            return read_split(PatchSet(data.patches.directory), "validation"), []
        except PixqError:
            return None, ["no rivals are compared: the patch set has no validation split to choose their cuts on"]
    source = calibration.data
    for directory in (data.patches.directory, Path(source.directory)):
        try:
            base = read_split(PatchSet(directory), source.split)
        except PixqError:
            continue
        if fingerprint(base.patches) == source.fingerprint:
            return base, []
    return None, [
        f"no rivals are compared: the patch set of calibration {calibration.name}, {source.directory}, is missing or "
        "has changed, so their cuts can't be chosen"
    ]


def answer_by_cuts(
    name: str, title: str, kind: str, data: LabelledSplit, score: Scores, decision: Decision
) -> MethodAnswers:
    """Answer by cuts of a score."""

    def answers(
        values: NDArray[np.float64],
        quality: NDArray[np.float64],
        group: NDArray[np.int64],
        sets: Sets | None,
    ) -> Answers:
        mapping = decision.mapping
        probability = None if mapping is None else mapping.probabilities(values)
        return Answers(
            truth=classify(quality),
            answer=classify(values, decision.cuts),
            quality=quality,
            score=values,
            mapped=values.clip(0.0, 1.0) if mapping is None and kind == "model" else _mapped(mapping, values),
            probability=probability,
            sets=None if sets is None or probability is None else sets.of(probability),
            group=group,
        )

    starts = data.spans[0]
    return MethodAnswers(
        name,
        title,
        kind,
        score,
        decision.cuts,
        answers(score.patches, data.quality, data.group, decision.sets),
        # Sets were learned from patches, and their coverage only holds for patches.
        answers(score.images, data.by_image(data.quality), data.group[starts], None) if data.has_images else None,
    )


def _mapped(mapping: Mapping | None, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    return None if mapping is None else mapping.quality(values)


def _answer_by_probability(
    name: str, title: str, kind: str, data: LabelledSplit, answer: NDArray[np.int8], probability: NDArray[np.float64]
) -> MethodAnswers:
    """Answer with the probabilities of a method; an image gets the mean probabilities of its patches."""
    class_quality = np.array([entry.quality for entry in CLASSES])

    def answers(
        choice: NDArray[np.int8], shares: NDArray[np.float64], quality: NDArray[np.float64], group: NDArray[np.int64]
    ) -> Answers:
        expected = shares @ class_quality
        return Answers(
            truth=classify(quality),
            answer=choice,
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
        choice = shares.argmax(axis=1).astype(np.int8)
        images = answers(choice, shares, data.by_image(data.quality), data.group[data.spans[0]])
    score = Scores(patches.score, patches.score if images is None else images.score)
    return MethodAnswers(name, title, kind, score, None, patches, images)


def answer_rivals(
    names: Sequence[str],
    base: LabelledSplit,
    data: LabelledSplit,
    calibration: Calibration | None,
    device: str,
    run: Path,
    on_progress: ProgressCallback,
) -> Iterator[MethodAnswers]:
    """Yield the answers of the rivals in `names`, whose cuts and curves come from `base`."""
    objective = Objective() if calibration is None else Objective(calibration.objective, calibration.cost)
    for rival in (RIVALS[name] for name in names):
        if rival.kind == "metric":
            calibrated, evaluated = (
                _metric_scores(rival.name, part, device, run, on_progress) for part in (base, data)
            )
            mapping = fit_mapping(calibrated, base.quality, base.truth)
            cuts = find_cuts(calibrated, base.truth, objective).pair
            score = Scores(evaluated, data.by_image(evaluated))
            decision = Decision(rival.name, "score", cuts, mapping)
            yield answer_by_cuts(rival.name, rival.title, rival.kind, data, score, decision)
            continue
        if rival.kind == "majority":
            answer, probability = Majority().fit(base.patches).answer(data.patches)
        else:
            on_progress(rival.title, 0, len(data))
            train = PatchSet(base.patches.directory).select(split="train")
            # The evaluated split may be this one or share photos with it; `base` is known to share none.
            separate = len(train) > 0 and not train.photos() & data.patches.photos()
            answer, probability = Boosting(device).fit(train if separate else base.patches).answer(data.patches)
        yield _answer_by_probability(rival.name, rival.title, rival.kind, data, answer, probability)


def _metric_scores(
    name: str, data: LabelledSplit, device: str, run: Path, on_progress: ProgressCallback
) -> NDArray[np.float64]:
    """Score patches with a metric."""
    return cached_scores(
        run, data, name, len(data), lambda: patch_scores(data.patches, [name], device, on_progress)[name]
    )


def cached_scores(
    run: Path, data: LabelledSplit, name: str, count: int, compute: Callable[[], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Compute `count` scores of a split, once: some take minutes, so they are cached in the run's folder as `name`."""
    cache = run / EVALUATIONS / f".{fingerprint(data.patches)[:16]}-{data.split}-{name}-{__version__}.npy"
    # NumPy's parser of headers raises many kinds; mapped, an array takes no more than its file has.
    with suppress(Exception):
        path = check_enclosed(run, cache.relative_to(run).as_posix())
        cached: NDArray[np.float64] = np.load(path, mmap_mode="r", allow_pickle=False)
        if cached.shape == (count,) and cached.dtype == np.float64 and np.isfinite(cached).all():
            return cached
    scores = compute()
    # If the cache can't be written, only the next evaluation is slower.
    with suppress(PixqError), atomic_write(cache) as scratch, scratch.open("wb") as file:
        np.save(file, scores)
    return scores
