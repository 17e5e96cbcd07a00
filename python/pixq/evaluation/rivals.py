"""Simple methods that a model should beat on patches: image metrics, boosted trees on three of them, a constant answer.

Scores are oriented so that higher is better, and only `Baseline.higher_is_better` says how. Metrics see patches at
their own size: none of them shrinks an image of 20 pixels, except for GMSD, which halves every image. Gradients next to
the edge (GMSD, MDSI, VSI) see black beyond it, in both patches alike, so a border of similarity is part of the score.
VSI is out of its depth at this size: its saliency is made for photographs. It is computed on the patch resized to
256x256 pixels, decreases from the patch's centre, and is 0 in a patch of one colour, so that any two such patches count
as equal, black and white included. VSI takes 20 ms per patch on one core, the others 0.2 ms or less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixq.classes import CLASSES, classify
from pixq.errors import PixqError, unknown
from pixq.evaluation.baselines import BASELINES, Baseline, gradient_similarity
from pixq.io.optional import require
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.store import PatchSet

__all__ = [
    "DEFAULT_RIVALS",
    "RIVALS",
    "Boosting",
    "Majority",
    "Rival",
    "features",
    "patch_scores",
    "psnr_of",
    "truth",
]

Scores = NDArray[np.float64]
#: Classes int8 (n,) and their probabilities float64 (n, 3), both in the order of `pixq.classes.CLASSES`.
Answer = tuple[NDArray[np.int8], Scores]

#: Number of patches in memory at a time.
_CHUNK = 256


@dataclass(frozen=True)
class Rival:
    """A simple method that models are compared with.

    Parameters
    ----------
    name
        The name that options and files use.
    title
        The name that tables and sentences use.
    kind
        `metric` for an image metric whose scores are cut like a model's; the other two answer with probabilities.
    baseline
        The image metric, for the kind `metric`.
    roi
        Whether the metric only sees the RoI.
    default
        Whether models are compared with it unless the user chooses rivals.
    """

    name: str
    title: str
    kind: Literal["metric", "majority", "boosting"]
    baseline: Baseline | None = None
    roi: bool = False
    default: bool = True


def _metric_rivals() -> Iterator[Rival]:
    """Yield the metrics that can score patches: those of `BASELINES` that allow it, and PSNR on the RoI."""
    for metric in BASELINES.values():
        if metric.rival != "never":
            yield Rival(metric.name, metric.title, "metric", metric, default=metric.rival == "by default")
        if metric.name == "psnr":
            yield Rival("roi_psnr", "RoI-PSNR", "metric", metric, roi=True)


#: All rivals by name. A new image metric belongs into `pixq.evaluation.baselines.BASELINES`.
RIVALS: Mapping[str, Rival] = MappingProxyType(
    {
        rival.name: rival
        for rival in (
            Rival("majority", "majority class", "majority"),
            *_metric_rivals(),
            Rival("boosting", "boosted trees", "boosting"),
        )
    }
)
#: The rivals that `pixq evaluate` compares a model with by default.
DEFAULT_RIVALS = tuple(rival.name for rival in RIVALS.values() if rival.default)

_METRICS = tuple(rival.name for rival in RIVALS.values() if rival.kind == "metric")


def patch_scores(
    patches: PatchSet,
    names: Iterable[str] = _METRICS,
    device: str = "cpu",
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, Scores]:
    """Score the fused patches of a selection.

    Parameters
    ----------
    patches
        The selection.
    names
        Names of those `RIVALS` that are metrics.
    device
        A torch device. Only metrics that need torch use it.
    on_progress
        Called with the titles of the metrics and the number of patches scored so far.

    Returns
    -------
    dict
        For each name, float64 (len(patches),), finite, higher is better. The PSNR of identical patches, which is
        infinite, is replaced by 3 dB more than the highest finite PSNR: that of patches that differ by 1 in one sample.

    Raises
    ------
    PixqError
        If a name is unknown, patches are too small for a metric, or piq or the device is not available.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from pixq.distort import write_tree
    >>> from pixq.patches.build import build
    >>> folder = Path(tempfile.mkdtemp())
    >>> noise = np.random.default_rng(0)
    >>> photos = {f"photo{n}": noise.integers(0, 256, (60, 80, 3), dtype=np.uint8) for n in range(5)}
    >>> _ = write_tree(photos, folder / "dataset", ["jpeg"], [1, 2])
    >>> patches = PatchSet(build("jianjin008", folder / "dataset", folder / "patches").out)
    >>> scores = patch_scores(patches, ["psnr", "roi_psnr"])
    >>> sorted(scores), scores["psnr"].shape == (len(patches),)
    (['psnr', 'roi_psnr'], True)
    """
    chosen = {name: _baseline(name) for name in map(_key, names)}
    if not chosen:
        raise PixqError(f"no metric is given; choose from {', '.join(_METRICS)}")
    size = patches.geometry.size
    for metric in chosen.values():
        metric.check_size(f"{patches.directory}: a patch", size, size)
    scores = {name: np.empty(len(patches)) for name in chosen}
    # A patch set stores the PSNR of its patches.
    computed = {name: metric for name, metric in chosen.items() if metric.name != "psnr"}
    for name in chosen.keys() - computed:
        scores[name] = psnr_of(patches, roi=RIVALS[name].roi)
    stage, done = ", ".join(RIVALS[name].title for name in chosen), 0
    for batch in patches.batches(_CHUNK) if computed else ():
        part = slice(done, done + len(batch.rows))
        for name, metric in computed.items():
            values = metric.score_many(batch.reference, batch.fused, device=device)
            scores[name][part] = values if metric.higher_is_better else -values
        done = part.stop
        on_progress(stage, done, len(patches))
    if not computed:
        on_progress(stage, len(patches), len(patches))
    return scores


def _key(name: str) -> str:
    return name.lower().replace("-", "_")


def _baseline(name: str) -> Baseline:
    baseline = RIVALS[name].baseline if name in RIVALS else None
    if baseline is None:
        raise unknown("patch metric", name, _METRICS)
    return baseline


def psnr_of(patches: PatchSet, *, roi: bool = False) -> Scores:
    """Read the PSNR of a selection's patches from the patch set: float64 (n,), finite as in `patch_scores`."""
    values = patches.records.psnr_roi if roi else patches.records.psnr
    side = patches.geometry.roi if roi else patches.geometry.size
    # The smallest squared error above 0 is 1, over all samples; identical patches get half of it.
    identical = 10.0 * math.log10(255.0**2 * 3 * side * side / 0.5)
    return np.where(np.isposinf(values), identical, values)


def truth(patches: PatchSet) -> NDArray[np.int8]:
    """Classify the true quality of a selection's patches: int8 (n,)."""
    return classify(patches.records.quality)


def features(patches: PatchSet, device: str = "cpu") -> Scores:
    """Compute the features that boosted trees see of each patch: float64 (n, 3), all higher for better patches.

    They are PSNR in dB as `patch_scores` gives it (81.9 for identical patches of 20 pixels), SSIM, and the mean
    gradient magnitude similarity, whose standard deviation is GMSD.

    Raises
    ------
    PixqError
        If patches are too small, or piq or the device is not available.
    """
    ssim = patch_scores(patches, ["ssim"], device)["ssim"]
    similarity = np.empty(len(patches))
    done = 0
    for batch in patches.batches(_CHUNK):
        part = slice(done, done + len(batch.rows))
        similarity[part] = gradient_similarity(batch.reference, batch.fused, device)
        done = part.stop
    return np.column_stack([psnr_of(patches), ssim, similarity])


class Majority:
    """A method that always answers the most frequent class of the patches it was fitted to; the worst one on a tie."""

    def __init__(self) -> None:
        self._share: Scores | None = None

    def fit(self, patches: PatchSet) -> Majority:
        """Count the classes of the calibration split.

        Raises
        ------
        PixqError
            If there is no patch.
        """
        patches.check_not_empty()
        self._share = np.bincount(truth(patches), minlength=len(CLASSES)) / len(patches)
        return self

    def answer(self, patches: PatchSet) -> Answer:
        """Answer the class of each patch, int8 (n,), and the shares of the classes as probabilities, float64 (n, 3)."""
        if self._share is None:
            raise ValueError("fit it to the patches of a calibration split first")
        probability = np.tile(self._share, (len(patches), 1))
        return np.full(len(patches), self._share.argmax(), dtype=np.int8), probability


class Boosting:
    """Gradient-boosted trees on `features`; in the notebooks that preceded pixq they were as good as the CNN.

    Histogram gradient boosting of scikit-learn (after LightGBM: Ke et al., NeurIPS 2017): per class 100 trees of up to
    15 leaves, classes weighted equally, and no early stopping, which would hold out patches of groups it trains on.

    Parameters
    ----------
    device
        A torch device for the features.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._trees: Any = None
        self._only: int | None = None

    def fit(self, patches: PatchSet) -> Boosting:
        """Fit to the features and true classes of a target's `train` split; the same patches give the same trees.

        Raises
        ------
        PixqError
            If there is no patch, or scikit-learn or piq is not installed.
        """
        classifier = require("sklearn", "sklearn.ensemble").HistGradientBoostingClassifier
        patches.check_not_empty()
        classes = truth(patches)
        if len(present := np.unique(classes)) == 1:
            # There is nothing to tell apart.
            self._only, self._trees = int(present[0]), None
            return self
        trees = classifier(
            max_iter=100,
            learning_rate=0.1,
            max_leaf_nodes=15,
            min_samples_leaf=20,
            class_weight="balanced",
            early_stopping=False,
            random_state=0,
        )
        values = features(patches, self._device)
        with _one_thread():
            self._trees, self._only = trees.fit(values, classes), None
        return self

    def answer(self, patches: PatchSet) -> Answer:
        """Answer the most probable class of each patch, int8 (n,), and the probabilities of all, float64 (n, 3).

        A class that `fit` has not seen has a probability of 0.
        """
        probability = np.zeros((len(patches), len(CLASSES)))
        if self._trees is not None:
            if len(patches):
                with _one_thread():
                    chances = self._trees.predict_proba(features(patches, self._device))
                probability[:, self._trees.classes_.astype(np.int64)] = chances
        elif self._only is not None:
            probability[:, self._only] = 1.0
        else:
            raise ValueError("fit it to the patches of a train split first")
        return probability.argmax(axis=1).astype(np.int8), probability


def _one_thread() -> AbstractContextManager[Any]:
    """Limit scikit-learn to one thread in a block, because sums of floats depend on how many threads share them."""
    limits: AbstractContextManager[Any] = require("threadpoolctl", extra="train").threadpool_limits(1, "openmp")
    return limits
