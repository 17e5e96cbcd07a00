"""What the model and its rivals answer to the evaluated patches; rivals get what the model gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from pixq.evaluation import files
from pixq.evaluation.labelled import LabelledSplit, Scores, judged
from pixq.evaluation.rivals import METRICS, Boosting, Majority, patch_scores
from pixq.io.atomic import atomic_write
from pixq.io.progress import ProgressCallback
from pixq.patches.store import PatchSet, fingerprint
from pixq.statistics.metrics import Answers

__all__ = ["Answered", "by_cuts", "rival_base", "rivals"]


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


def rival_base(calibration: Calibration | None, data: LabelledSplit) -> tuple[LabelledSplit | None, list[str]]:
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
        if fingerprint(found.patches) == known.fingerprint:
            return found, []
    return None, [
        f"the patch set of calibration {calibration.name}, {known.directory}, is not there, so there are no cuts for "
        "rivals: none is shown"
    ]


def by_cuts(name: str, title: str, kind: str, data: LabelledSplit, score: Scores, decision: Decision) -> Answered:
    """Answers by cuts of a score."""

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
    return Answered(
        name,
        title,
        kind,
        score,
        decision.cuts,
        answers(score.patches, data.quality, data.group, decision.sets),
        # Sets keep their promise for patches, which they were learned from.
        answers(score.images, data.by_image(data.quality), data.group[starts], None) if data.has_images else None,
    )


def _mapped(mapping: Mapping | None, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    return None if mapping is None else mapping.quality(values)


def _by_probability(
    name: str, title: str, kind: str, data: LabelledSplit, answer: NDArray[np.int8], probability: NDArray[np.float64]
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


def rivals(
    names: Sequence[str],
    base: LabelledSplit,
    data: LabelledSplit,
    calibration: Calibration | None,
    device: str,
    run: Path,
    on_progress: ProgressCallback,
) -> Iterator[Answered]:
    """The rivals, each decided by what `base` says."""
    objective = Objective() if calibration is None else Objective(calibration.objective, calibration.cost)
    for name in names:
        if name == "majority":
            answer, probability = Majority().fit(base.patches).answer(data.patches)
            yield _by_probability(name, "majority class", "majority", data, answer, probability)
        elif name == "boosting":
            on_progress("boosted trees", 0, len(data))
            trained = PatchSet(base.patches.directory).select(split="train")
            # What is evaluated may be that split, or have photos of it; those of `base` are known to be others.
            apart = len(trained) > 0 and not trained.photos() & data.patches.photos()
            answer, probability = Boosting(device).fit(trained if apart else base.patches).answer(data.patches)
            yield _by_probability(name, "boosted trees", "boosting", data, answer, probability)
        else:
            cut, found = (_metric(name, part, device, run, on_progress) for part in (base, data))
            mapping = fit_mapping(cut, base.quality, base.truth)
            decision = Decision(name, "score", find_cuts(cut, base.truth, objective).pair, mapping)
            score = Scores(found, data.by_image(found))
            yield by_cuts(name, METRICS[name].title, "metric", data, score, decision)


def _metric(
    name: str, data: LabelledSplit, device: str, run: Path, on_progress: ProgressCallback
) -> NDArray[np.float64]:
    """The metric's scores; kept in the run's folder, as some take minutes and a stop must not lose them."""
    kept = run / files.EVALUATIONS / f".{fingerprint(data.patches)[:16]}-{data.split}-{name}-{__version__}.npy"
    try:
        found: NDArray[np.float64] = np.load(kept, allow_pickle=False)
        if found.shape == (len(data),) and found.dtype == np.float64 and np.isfinite(found).all():
            return found
    except (OSError, ValueError, EOFError):
        pass
    found = patch_scores(data.patches, [name], device, on_progress)[name]
    # If they can't be written, only the next evaluation is slower.
    with suppress(PixqError), atomic_write(kept) as scratch, scratch.open("wb") as file:
        np.save(file, found)
    return found
