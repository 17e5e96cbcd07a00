"""What a model must beat on the patches of a patch set: metrics, boosted trees on three of them, and the majority.

All scores are oriented, higher is better, by `Baseline.higher_is_better` alone. Metrics other than PSNR are piq's, on
patches as small as they are: none of them shrinks an image of 20 pixels but GMSD, which halves any image. Gradients
next to the edge (GMSD, MDSI, VSI) see black beyond it, in both patches alike, so a border of similarity counts. VSI
is strained at that size: its saliency, made for photographs, is of the patch resized to 256x256 pixels, falls off from
the patch's centre, and is 0 where a patch is of one colour, so that it calls any two such patches equal. It takes 20 ms
a patch on one core, the others 0.1 ms or less.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.classes import CLASSES, classify
from pixq.errors import PixqError, unknown
from pixq.evaluation.baselines import BASELINES, Baseline, gradient_similarity
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.store import PatchSet

__all__ = ["METRICS", "Boosting", "Majority", "PatchMetric", "features", "patch_scores", "psnr_of", "truth"]

Scores = NDArray[np.float64]
#: Class int8 (n,) and probabilities float64 (n, 3), both in the order of `pixq.classes.CLASSES`.
Answer = tuple[NDArray[np.int8], Scores]

#: Patches in memory at a time.
_CHUNK = 256


@dataclass(frozen=True)
class PatchMetric:
    """A metric of patches.

    Parameters
    ----------
    name
        Its name in pixq.
    title
        As tables print it.
    of
        The metric that it is, which says what is better.
    roi
        Whether it is of the RoI alone.
    """

    name: str
    title: str
    of: Baseline
    roi: bool = False


#: The metrics that a patch set's patches can be scored by.
METRICS: Mapping[str, PatchMetric] = MappingProxyType(
    {
        "psnr": PatchMetric("psnr", "PSNR", BASELINES["psnr"]),
        "roi_psnr": PatchMetric("roi_psnr", "RoI-PSNR", BASELINES["psnr"], roi=True),
        **{name: PatchMetric(name, BASELINES[name].title, BASELINES[name]) for name in ("ssim", "mdsi", "vsi", "gmsd")},
    }
)


def patch_scores(
    patches: PatchSet,
    names: Iterable[str] = tuple(METRICS),
    device: str = "cpu",
    on_progress: ProgressCallback = ignore_progress,
) -> dict[str, Scores]:
    """Score the fused patches of a selection.

    Parameters
    ----------
    patches
        The selection.
    names
        Names of `METRICS`.
    device
        A device of torch. PSNR doesn't use it.
    on_progress
        Called with the titles of the metrics and the number of patches scored so far.

    Returns
    -------
    dict
        For each name, float64 (len(patches),), higher is better, and finite: the PSNR of identical patches, which is
        infinite, is given as 3 dB above that of patches that differ by 1 in one sample, the highest there is.

    Raises
    ------
    PixqError
        If a name is unknown, patches are too small for a metric, or piq or the device isn't there.

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
    chosen = list({metric.name: metric for metric in map(_metric, names)}.values())
    if not chosen:
        raise PixqError(f"no metric is named; choose from {', '.join(METRICS)}")
    size = patches.geometry.size
    for metric in chosen:
        metric.of.check_size(f"{patches.directory}: a patch", size, size)
    scores = {metric.name: np.empty(len(patches)) for metric in chosen}
    stored = {metric.name: psnr_of(patches, roi=metric.roi) for metric in chosen if metric.of.name == "psnr"}
    scores |= stored
    computed = [metric for metric in chosen if metric.name not in stored]
    stage, done = ", ".join(metric.title for metric in chosen), 0
    for batch in patches.batches(_CHUNK) if computed else ():
        here = slice(done, done + len(batch.rows))
        for metric in computed:
            found = metric.of.score_many(batch.reference, batch.fused, device=device)
            scores[metric.name][here] = found if metric.of.higher_is_better else -found
        done = here.stop
        on_progress(stage, done, len(patches))
    if not computed:
        on_progress(stage, len(patches), len(patches))
    return scores


def _metric(name: str) -> PatchMetric:
    key = name.lower().replace("-", "_")
    if key not in METRICS:
        raise unknown("metric of patches", name, METRICS)
    return METRICS[key]


def psnr_of(patches: PatchSet, *, roi: bool = False) -> Scores:
    """PSNR of a selection's patches as the set holds it, float64 (n,), finite as `patch_scores` says."""
    values = patches.records.psnr_roi if roi else patches.records.psnr
    side = patches.geometry.roi if roi else patches.geometry.size
    # The least squared error above 0 is 1, over all samples; identical patches get half of it.
    identical = 10.0 * math.log10(255.0**2 * 3 * side * side / 0.5)
    return np.where(np.isposinf(values), identical, values)


def truth(patches: PatchSet) -> NDArray[np.int8]:
    """The true classes of a selection's patches, int8 (n,): `pixq.classes.classify` of their quality."""
    return classify(patches.records.quality)


def features(patches: PatchSet, device: str = "cpu") -> Scores:
    """What boosted trees get to see of each patch: float64 (n, 3), all higher for better patches.

    PSNR in dB as `patch_scores` gives it (81.9 for identical patches of 20 pixels), SSIM, and the mean gradient
    magnitude similarity, whose deviation is GMSD.

    Raises
    ------
    PixqError
        If patches are too small, or piq or the device isn't there.
    """
    ssim = patch_scores(patches, ["ssim"], device)["ssim"]
    similarity = np.empty(len(patches))
    done = 0
    for batch in patches.batches(_CHUNK):
        here = slice(done, done + len(batch.rows))
        similarity[here] = gradient_similarity(batch.reference, batch.fused, device)
        done = here.stop
    return np.column_stack([psnr_of(patches), ssim, similarity])


class Majority:
    """Always the class that is most frequent in the patches it was fitted to; the worst one of those that tie."""

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
        """The class of each patch, int8 (n,), and the shares of the classes as probabilities, float64 (n, 3)."""
        if self._share is None:
            raise ValueError("fit it to the patches of a calibration split first")
        probability = np.tile(self._share, (len(patches), 1))
        return np.full(len(patches), self._share.argmax(), dtype=np.int8), probability


class Boosting:
    """Gradient-boosted trees on `features`; in the notebooks they reached what the CNN did.

    Histogram gradient boosting of scikit-learn (after LightGBM: Ke et al., NeurIPS 2017): 100 trees of up to 15 leaves
    a class, classes weighted to count alike, no early stopping, which would hold out patches of groups it trains on.

    Parameters
    ----------
    device
        A device of torch for the features.
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
        kind, limits = _library()
        patches.check_not_empty()
        classes = truth(patches)
        if len(found := np.unique(classes)) == 1:
            # There is nothing to tell apart.
            self._only, self._trees = int(found[0]), None
            return self
        trees = kind(
            max_iter=100,
            learning_rate=0.1,
            max_leaf_nodes=15,
            min_samples_leaf=20,
            class_weight="balanced",
            early_stopping=False,
            random_state=0,
        )
        known = features(patches, self._device)
        # Sums of floats depend on how many threads share them.
        with limits(limits=1, user_api="openmp"):
            self._trees, self._only = trees.fit(known, classes), None
        return self

    def answer(self, patches: PatchSet) -> Answer:
        """The most probable class of each patch, int8 (n,), and probabilities, float64 (n, 3).

        A class that `fit` never saw has probability 0.
        """
        probability = np.zeros((len(patches), len(CLASSES)))
        if self._trees is not None:
            if len(patches):
                _, limits = _library()
                with limits(limits=1, user_api="openmp"):
                    found = self._trees.predict_proba(features(patches, self._device))
                probability[:, self._trees.classes_.astype(np.int64)] = found
        elif self._only is not None:
            probability[:, self._only] = 1.0
        else:
            raise ValueError("fit it to the patches of a train split first")
        return probability.argmax(axis=1).astype(np.int8), probability


def _library() -> tuple[Any, Any]:
    """The classifier of scikit-learn, and what limits its threads."""
    try:
        ensemble, pools = import_module("sklearn.ensemble"), import_module("threadpoolctl")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("sklearn", "threadpoolctl"):
            raise
        raise PixqError("scikit-learn is not installed; install it with: pip install 'pixq[train]'") from None
    return ensemble.HistGradientBoostingClassifier, pools.threadpool_limits
