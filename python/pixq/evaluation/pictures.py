"""What a report draws of an evaluation: histogram, reliability, and patches as pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixq.classes import NAMES, QUALITY_CUTS
from pixq.evaluation import files
from pixq.evaluation.answers import Answered
from pixq.evaluation.labelled import LabelledSplit
from pixq.statistics.metrics import Answers, reliability

__all__ = ["examples", "histogram", "reliability_bins"]

#: Pictures of the patches that the model is most right about, and most wrong.
EXAMPLES = 12
BINS = 30


def histogram(score: NDArray[np.float64], truth: NDArray[np.int8]) -> files.Histogram:
    low, high = float(score.min()), float(score.max())
    if not low < high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    counts = {name: np.histogram(score[truth == number], edges)[0].tolist() for number, name in enumerate(NAMES)}
    return files.Histogram(edges=edges.tolist(), counts=counts)


def reliability_bins(answers: Answers) -> list[files.ReliabilityBin]:
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


def examples(model: Answered, data: LabelledSplit) -> files.Examples:
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


def _pictures(rows: Sequence[int], answers: Answers, data: LabelledSplit) -> list[files.Example]:
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
