"""The parts of an evaluation that a report draws: the histogram, the reliability diagram and patches as pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixq.classes import NAMES, QUALITY_CUTS
from pixq.evaluation.answers import MethodAnswers
from pixq.evaluation.evaluation_file import Example, Examples, Histogram, ReliabilityBin
from pixq.evaluation.labelled import LabelledSplit
from pixq.statistics.metrics import Answers, reliability

__all__ = ["examples", "histogram", "reliability_bins"]

#: How many of the best and of the worst answers are shown as pictures.
EXAMPLES = 12
#: Number of bins of the histogram of scores.
BINS = 30


def histogram(score: NDArray[np.float64], truth: NDArray[np.int8]) -> Histogram:
    """Count scores in bins of equal width, per true class."""
    low, high = float(score.min()), float(score.max())
    if not low < high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    counts = {name: np.histogram(score[truth == number], edges)[0].tolist() for number, name in enumerate(NAMES)}
    return Histogram(edges=edges.tolist(), counts=counts)


def reliability_bins(answers: Answers) -> list[ReliabilityBin]:
    """Compare the probability of the most probable class with how often it is right; empty bins are left out."""
    if answers.probability is None:
        return []
    bins = reliability(answers.probability, answers.truth)
    return [
        ReliabilityBin(low=row.low, high=row.high, confidence=row.confidence, accuracy=row.accuracy, count=row.count)
        for row in bins
        if row.confidence is not None and row.accuracy is not None
    ]


def examples(model: MethodAnswers, data: LabelledSplit) -> Examples:
    """Choose wrong answers, the furthest from the truth first, and right ones, the surest first; one per image."""
    answers = model.patches
    apart = np.abs(answers.answer.astype(int) - answers.truth)
    cuts = np.array([cut for cut in model.cuts or QUALITY_CUTS if np.isfinite(cut)])
    # The distance of the score from the nearest cut tells how sure the answer is.
    sure = np.abs(answers.score[:, None] - cuts).min(axis=1) if len(cuts) else np.zeros(len(data))
    worst = np.lexsort((-sure, -apart))
    best = [np.flatnonzero((apart == 0) & (answers.truth == number)) for number in range(len(NAMES))]
    best = [rows[np.argsort(-sure[rows], kind="stable")] for rows in best]
    # The classes take turns.
    turns = [row for rank in range(EXAMPLES) for rows in best for row in rows[rank : rank + 1].tolist()]
    return Examples(
        best=_pictures(turns, answers, data),
        worst=_pictures([row for row in worst.tolist() if apart[row]], answers, data),
    )


def _pictures(rows: Sequence[int], answers: Answers, data: LabelledSplit) -> list[Example]:
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
        Example(
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
