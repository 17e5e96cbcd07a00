"""The model's image scores beside image metrics, which see the dataset's images instead of patches of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixq.evaluation.answers import cached_scores
from pixq.evaluation.baseline import Baseline
from pixq.evaluation.baselines import BASELINES, baseline_scores, oriented
from pixq.evaluation.evaluation_file import Difference, ImageMethod, WholeImages
from pixq.evaluation.labelled import LabelledSplit
from pixq.io.paths import text_of
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.statistics.bootstrap import Resamples
from pixq.statistics.estimates import Estimate
from pixq.statistics.paired import ResampledEstimate, better_share, correlate, difference
from pixq.viewing import ViewingConditions

__all__ = ["compare_images", "image_rows"]


def image_rows(data: LabelledSplit) -> list[int]:
    """The indices in `PatchSet.images` of a split's images, in the order of its image scores."""
    rows: list[int] = data.image[data.spans[0]].tolist()
    return rows


def compare_images(
    model: Sequence[tuple[str, str, NDArray[np.float64]]],
    data: LabelledSplit,
    dataset: Path,
    names: Sequence[str],
    resamples: Resamples,
    level: float,
    *,
    run: Path,
    viewing: ViewingConditions,
    device: str = "cpu",
    on_progress: ProgressCallback = ignore_progress,
) -> WholeImages:
    """Correlate the scores of whole images with people's, and compare the model with each metric on the same resamples.

    Parameters
    ----------
    model
        The model's outputs, the first of which is compared with all others: the name and title of each, and its score
        of each image of the split.
    data
        The split.
    dataset
        Folder of the dataset that its patch set was built from.
    names
        Names of `pixq.evaluation.baselines.BASELINES`.
    resamples, level
        Resamples of the split's groups, and the confidence level of intervals.
    run
        Directory of the run; scores are cached in it.
    viewing
        How the images are looked at.
    device, on_progress
        As in `baseline_scores`.

    Raises
    ------
    PixqError
        As `baseline_scores`.
    """
    quality, group = data.by_image(data.quality), data.group[data.spans[0]]
    metrics = [BASELINES[name] for name in names]
    for metric in metrics:
        metric.check_available(device)
    scores = {(name, title): values for name, title, values in model}
    for metric in metrics:
        compute = partial(_scores, metric, data, dataset, viewing, device, on_progress)
        seen = "".join(f"-{getattr(viewing, field):g}" for field in metric.viewing)
        name = f"{metric.name}-whole{seen}"
        scores[metric.name, metric.title] = cached_scores(run, data, name, len(quality), compute)
    methods, estimates = [], []
    for (name, title), values in scores.items():
        measured = {
            metric: correlate(values, quality, group, resamples, level, fitted=metric == "plcc")
            for metric in ("srcc", "plcc")
        }
        estimates.append(measured["srcc"])
        shown = {metric: Estimate.model_validate(estimate.to_json()) for metric, estimate in measured.items()}
        methods.append(ImageMethod(name=name, title=title, estimates=shown))
    return WholeImages(
        directory=text_of(dataset),
        images=len(quality),
        groups=len(np.unique(group)),
        viewing=viewing if any(metric.viewing for metric in metrics) else None,
        methods=methods,
        against=[
            _difference(method.name, estimates[0], estimate, level)
            for method, estimate in zip(methods[1:], estimates[1:], strict=True)
        ],
    )


def _difference(name: str, model: ResampledEstimate, metric: ResampledEstimate, level: float) -> Difference:
    return Difference(
        name=name, metric="srcc", **difference(model, metric, level).to_json(), better=better_share(model, metric)
    )


def _scores(
    metric: Baseline,
    data: LabelledSplit,
    dataset: Path,
    viewing: ViewingConditions,
    device: str,
    on_progress: ProgressCallback,
) -> NDArray[np.float64]:
    """Score the split's images, higher for better ones; finite."""
    rows = image_rows(data)

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        on_progress(f"{metric.title} of whole images", done, total)

    found = baseline_scores(data.patches, dataset, [metric.name], device, progress, viewing=viewing, rows=rows)
    values = oriented(found)[metric.name]
    sizes = np.array([data.patches.images[row]["height"] * data.patches.images[row]["width"] for row in rows])
    # The PSNR of identical images is infinite; as on patches, they get 3 dB more than images that differ in one sample.
    identical = 10.0 * np.log10(255.0**2 * 3 * sizes / 0.5)
    return np.where(values == math.inf, identical, values)
