"""`pixq.load`: a trained model, ready to score patches and whole images."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixq.classes import NAMES
from pixq.decisions.calibration_file import Calibration, get_calibration, read_calibrations
from pixq.decisions.decision import Decision
from pixq.decisions.pjnd_cuts import PJND, PJND_CUTS, PjndCuts, read_cuts
from pixq.errors import PixqError, unknown
from pixq.io.images import eight_bits
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.models import MODELS
from pixq.runs.directory import RunDirectory, RunInfo
from pixq.runs.load import load_model, read_run
from pixq.runs.recipe import Recipe
from pixq.scoring.engine import Engine, EngineName, EngineScores, cut_ahead, identical_at
from pixq.scoring.engines import choose_engine
from pixq.scoring.grid import STRIDE, Grid
from pixq.scoring.onnx_engine import ONNX
from pixq.scoring.pooling import pool, pool_by
from pixq.scoring.quality_map import QualityMap
from pixq.viewing import ViewingConditions
from pixq.visibility import POOLING, measure_patches, measure_visibility

if TYPE_CHECKING:
    from pixq.models.base import PatchModel

__all__ = ["DEFAULT", "Scorer", "check_viewing", "load"]

#: The run that comes with pixq.
DEFAULT = Path(__file__).parents[1] / "default"


class Scorer:
    """A trained model on a device.

    Parameters
    ----------
    run
        The run's directory.
    recipe
        How it was trained; its pooling combines patches into an image's score.
    info
        The run's `run.json`.
    engine
        What computes the scores.
    calibration
        Name of the calibration that turns scores into classes; the only one if `None`.
    viewing
        How people look at the images; by default side by side on a 24-inch full-HD display at 60 cm.
    """

    def __init__(
        self,
        run: Path,
        recipe: Recipe,
        info: RunInfo,
        engine: Engine,
        calibration: str | None = None,
        viewing: ViewingConditions | None = None,
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.info = info
        self.engine = engine
        #: The calibration that was asked for; `None` if none was.
        self.calibration_name = calibration
        self.viewing = viewing or ViewingConditions.of()

    def __repr__(self) -> str:
        return f"<Scorer {self.recipe.model.name} ({self.kind}) on {self.device}>"

    @property
    def kind(self) -> str:
        """The head: `regression` of quality, or `ordinal`, the order of Red, Orange and Green."""
        return self.recipe.model.head

    @property
    def scores_visibility(self) -> bool:
        """Whether the score of a patch is minus its JND, and so depends on `viewing`."""
        return self.recipe.model.scores_visibility

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, `cuda:0`."""
        return self.engine.device

    @property
    def size(self) -> int:
        """Side of the patches that the model was trained on, in pixels; maps are of such patches."""
        size: int = self.info.patches["geometry"]["size"]
        return size

    @property
    def blake3(self) -> str:
        """Checksum of `model.safetensors`, in hexadecimal."""
        return self.info.model_blake3

    @cached_property
    def model(self) -> PatchModel:
        """The network as a PyTorch module; imports PyTorch if another engine computes the scores."""
        model: PatchModel | None = getattr(self.engine, "model", None)
        return load_model(self.run)[0].eval() if model is None else model

    @cached_property
    def calibration(self) -> Calibration | None:
        """The calibration that turns scores into classes, read from the run on first use.

        `None` where `pjnd_cuts` do so, or where the run has neither.

        Raises
        ------
        PixqError
            If there are several and none was named, the file is damaged, or it was made for different weights or
            other viewing conditions.
        """
        name, calibrations = self.calibration_name, read_calibrations(self.run)
        if name == PJND_CUTS and PJND_CUTS not in calibrations and self.pjnd_cuts is not None:
            return None
        if name is None and not calibrations:
            return None
        if name is not None and name not in calibrations and (self.run / PJND).exists():
            raise unknown("calibration", name, [*calibrations, PJND_CUTS])
        calibration = get_calibration(self.run, name)
        calibration.check_weights(self.run, self.blake3)
        check_viewing(calibration.viewing, self.viewing, f"{self.run}: calibration {calibration.name}")
        return calibration

    @cached_property
    def pjnd_cuts(self) -> PjndCuts | None:
        """The cuts that ranges of human PJNDs chose, if the run has them; see `pixq.ladders.pjnd`.

        Raises
        ------
        PixqError
            If the file is damaged, or was made for different weights, another model or other viewing conditions.
        """
        cuts = read_cuts(self.run)
        if cuts is not None and (cuts.share is None) != self.scores_visibility:
            raise PixqError(
                f"{self.run / PJND}: was made for {'visibility' if cuts.share is None else 'the scores of patches'}, "
                f"which is not what this run's model gives; delete it, or run pixq calibrate --ladders again"
            )
        if cuts is not None and cuts.blake3 != self.blake3:
            raise PixqError(f"{self.run / PJND}: was made for different weights; run pixq calibrate --ladders again")
        if cuts is not None:
            check_viewing(cuts.viewing, self.viewing, str(self.run / PJND))
        return cuts

    @cached_property
    def decision(self) -> Decision:
        """What turns the scores of its maps into classes: `calibration`, or `pjnd_cuts`, or else the default cuts.

        These are of P(notice) for the model `visibility`, and of quality for all others. The `pjnd_cuts` of the model
        `visibility` are of images, not of patches, and not used here.

        Raises
        ------
        PixqError
            As `calibration` and `pjnd_cuts` do, and if `pjnd` was asked for by name, which can't give classes.
        """
        if self.scores_visibility and self.calibration_name == PJND_CUTS and (self.run / PJND).exists():
            raise PixqError(
                f"{self.run / PJND}: says when an image is noticed, and nothing about its patches, so only pixq pjnd "
                f"and pixq critical use it; choose another calibration than {PJND_CUTS}, or none"
            )
        return Decision.choose(
            self.calibration,
            self.pjnd_cuts if self.calibration is None and not self.scores_visibility else None,
            visibility=self.scores_visibility,
        )

    def with_decision(self, decision: Decision) -> Scorer:
        """The same model with another decision; the calibrations of its run are not read.

        Examples
        --------
        >>> scorer.with_decision(Decision.choose(None)).map(reference, distorted).cuts  # doctest: +SKIP
        (0.33, 0.66)
        """
        other = Scorer(self.run, self.recipe, self.info, self.engine, self.calibration_name, self.viewing)
        other.decision = decision
        return other

    def with_viewing(self, viewing: ViewingConditions) -> Scorer:
        """The same model for people who look at the images in another way.

        Raises
        ------
        PixqError
            If its calibration was made for other conditions; it is read again.
        """
        if viewing == self.viewing:
            return self
        other = Scorer(self.run, self.recipe, self.info, self.engine, self.calibration_name, viewing)
        _ = other.decision
        return other

    # Batches of patches.

    def outputs(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> EngineScores:
        """Everything that the model says of patch pairs: see `scores` and `quality`."""
        self._check(reference, distorted)
        scores = self.engine.scores(reference, distorted)
        if self.scores_visibility:
            scores = scores._replace(score=-measure_patches(reference, distorted, self.viewing))
        return scores

    def _check(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> None:
        pair = {"reference": reference, "distorted": distorted}
        for name, patches in pair.items():
            if not isinstance(patches, np.ndarray) or patches.dtype != np.uint8:
                dtype = patches.dtype if isinstance(patches, np.ndarray) else type(patches).__name__
                raise TypeError(f"'{name}' has dtype {dtype}; expected uint8")
            if patches.ndim != 4 or patches.shape[3] != 3:
                raise ValueError(f"'{name}' has shape {patches.shape}; expected (n, height, width, 3)")
        if reference.shape != distorted.shape:
            raise ValueError(f"'reference' has shape {reference.shape}, 'distorted' {distorted.shape}; make them equal")
        entry, sides = MODELS[self.recipe.model.name], reference.shape[1:3]
        if min(sides) < entry.smallest:
            raise ValueError(f"patches have shape {sides}; this model needs {entry.smallest} pixels a side")
        if any(side % entry.multiple for side in sides):
            raise ValueError(f"patches have shape {sides}; this model needs multiples of {entry.multiple}")

    def quality(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Quality of patch pairs.

        Parameters
        ----------
        reference, distorted
            uint8 (n, height, width, 3), 0 to 255, RGB; already fused, as `PatchSet.fused` gives them.

        Returns
        -------
        ndarray
            float32 (n,), 0 to 1, 1 = nobody notices.

        Raises
        ------
        TypeError, ValueError
            If the dtype or shape is wrong.
        """
        return self.outputs(reference, distorted).quality

    def scores(
        self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """The score that calibrations cut, for each patch pair; higher is better.

        It orders patches as `quality` does, and also tells apart those that `quality` clamps to the same value. Only of
        the model `visibility` it is something else: minus the JND of each patch, seen alone.

        Parameters
        ----------
        reference, distorted
            As for `quality`.

        Returns
        -------
        tuple
            Scores, float64 (n,), on no fixed scale; and each patch's weight in its image's score, float32 (n,).
        """
        scores = self.outputs(reference, distorted)
        return scores.score, scores.weight

    def probabilities(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of Red, Orange and Green, float32 (n, 3), of an ordinal head.

        Raises
        ------
        PixqError
            If the head is not ordinal.
        """
        if self.kind != "ordinal":
            raise PixqError(
                f"this run's head is {self.kind}: it gives quality, not probabilities of {', '.join(NAMES)}"
            )
        self._check(reference, distorted)
        return self.engine.probabilities(reference, distorted)

    def image_score(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
        """The score of one image from all its patch pairs, pooled as the run's recipe says: 0 to 1.

        Raises
        ------
        ValueError
            If there is no patch.
        """
        scores = self.outputs(reference, distorted)
        return pool(self.recipe.model, scores.quality, scores.weight)

    def image_scores(
        self, image: NDArray[np.int64], score: NDArray[np.float64], weight: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """The score of each image, pooled from its patches' `scores` as the run's recipe says: float64 (m,).

        Parameters
        ----------
        image
            int64 (n,): the number of each patch's image; the result is in the order of these numbers.
        score, weight
            (n,) each, as `scores` gives them.
        """
        if self.scores_visibility:
            numbers, place = np.unique(image, return_inverse=True)
            pooled = np.bincount(place, weights=np.abs(score) ** POOLING, minlength=len(numbers))
            return -(pooled.astype(np.float64) ** (1.0 / POOLING))
        return pool_by(self.recipe.model, image, score, weight)

    # Whole images.

    def map(
        self,
        reference: NDArray[Any],
        distorted: NDArray[Any],
        *,
        stride: int = STRIDE,
        on_progress: ProgressCallback = ignore_progress,
    ) -> QualityMap:
        """Score and classify patches that cover an image pair to its edges.

        A patch that equals its reference in every pixel, at 8 bits, has quality 1 and is Green without a look at the
        model.

        Parameters
        ----------
        reference, distorted
            (height, width, 3) RGB, or (height, width, 1) or (height, width) grey, uint8 or uint16, both of one shape.
            The model takes 8 bits: deeper pixels are rounded, and grey becomes three equal channels.
        stride
            Pixels between neighbouring patches, 1 to `size`.
        on_progress
            Called with the stages `visibility` and `patches`.

        Raises
        ------
        TypeError, ValueError
            If the dtype or shape is wrong.
        PixqError
            If no patch fits into the images, the stride is out of range, or the calibration can't be used.

        Examples
        --------
        >>> import pixq
        >>> flat = np.full((40, 60, 3), 128, np.uint8)
        >>> dented = flat.copy()
        >>> dented[10:22, 20:32] += 60
        >>> found = pixq.load().map(flat, dented)
        >>> found.classes.shape, found.identical[:, -1].tolist(), found.verdict.shares["Green"] < 1
        ((3, 5), [True, True, True], True)
        """
        r, d = eight_bits("reference", reference), eight_bits("distorted", distorted)
        if reference.shape != distorted.shape:
            raise ValueError(f"'reference' has shape {reference.shape}, 'distorted' {distorted.shape}; make them equal")
        grid = Grid(r.shape[0], r.shape[1], self.size, stride)
        # Before the work, since it may be refused.
        decision = self.decision
        seen = measure_visibility(r, d, self.viewing, ys=grid.ys, xs=grid.xs, size=self.size, on_progress=on_progress)
        scores, identical = self._score_grid(r, d, grid, on_progress)
        seen.map[identical.reshape(grid.shape)] = 0.0
        if self.scores_visibility:
            jnd = seen.map.ravel() if decision.scale == "visibility" else self._alone(r, d, grid, on_progress)
            scores = scores._replace(score=np.where(identical, np.inf, -jnd))
        pooled = pool(self.recipe.model, scores.quality, scores.weight)
        score, quality = scores.score.reshape(grid.shape), scores.quality.reshape(grid.shape)
        identical = identical.reshape(grid.shape)
        return QualityMap(
            grid=grid,
            score=score,
            quality=quality,
            classes=decision.classify(score, quality, seen.map),
            identical=identical,
            unsure=decision.unsure(score, identical),
            pooled=pooled,
            cuts=decision.cuts,
            calibration=decision.name,
            visibility=seen,
            cut_scale=decision.scale,
            best_score=0.0 if self.scores_visibility else 1.0,
        )

    def _alone(
        self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8], grid: Grid, on_progress: ProgressCallback
    ) -> NDArray[np.float64]:
        """The JND of each patch seen alone, as calibrations saw it: they are made on patches."""
        jnd, done = np.empty(len(grid.corners)), 0
        for start, r, d in cut_ahead(reference, distorted, grid.corners, self.size):
            jnd[start : start + len(r)] = measure_patches(r, d, self.viewing)
            done = start + len(r)
            on_progress("visibility", done, len(jnd))
        return jnd

    def _score_grid(
        self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8], grid: Grid, on_progress: ProgressCallback
    ) -> tuple[EngineScores, NDArray[np.bool_]]:
        """The scores of all patches of a grid, and which are identical: these get the best scores, not the model's."""
        corners, total = grid.corners, len(grid.corners)
        identical = identical_at(
            reference, distorted, corners, self.size, lambda stage, done, total, note="": on_progress(stage, 0, total)
        )
        # A model that has learned how much a patch counts says so for identical patches too.
        scored = np.ones_like(identical) if self.recipe.model.pooling == "learned" else ~identical
        skipped = total - int(np.count_nonzero(scored))
        found = self.engine.scores_at(
            reference, distorted, corners[scored], self.size,
            lambda stage, done, _, note="": on_progress(stage, skipped + done, total),
        )  # fmt: skip
        scores = EngineScores(np.full(total, np.inf), *np.ones((2, total), np.float32))
        scores.score[scored], scores.quality[scored], scores.weight[scored] = found
        scores.score[identical], scores.quality[identical] = np.inf, 1.0
        return scores, identical

    def score(self, reference: NDArray[Any], distorted: NDArray[Any], *, stride: int = STRIDE) -> float:
        """The quality of an image pair, 0 to 1, 1 = nobody notices, pooled as the run's recipe says; see `map`."""
        return self.map(reference, distorted, stride=stride).pooled

    def classify(self, reference: NDArray[Any], distorted: NDArray[Any], *, stride: int = STRIDE) -> NDArray[np.int8]:
        """The classes of an image pair's patches, int8 (rows, columns), as `pixq.classes` numbers them; see `map`."""
        return self.map(reference, distorted, stride=stride).classes


def check_viewing(made_for: ViewingConditions | None, asked: ViewingConditions, what: str) -> None:
    """Check that something was made for these viewing conditions; `None` depends on none.

    Raises
    ------
    PixqError
        If it was made for others. The message begins with `what`.
    """
    if made_for is not None and not made_for.same_as(asked):
        options = " ".join(made_for.options())
        raise PixqError(f"{what}: was made for {made_for}, not for {asked}; give {options}, or calibrate again")


def load(
    run: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    *,
    calibration: str | None = None,
    engine: EngineName = "auto",
    viewing: ViewingConditions | None = None,
) -> Scorer:
    """Load the best model of a run.

    Parameters
    ----------
    run
        A directory that `pixq train` wrote; the model that comes with pixq if `None`. Nothing in it is executed.
    device
        `cpu`, `cuda`, `cuda:0`, or `auto`.
    calibration
        Name of the calibration that turns scores into classes, or `pjnd` for the cuts of `pjnd.json`. `None`: the only
        calibration, or else `pjnd`; of the model `visibility`, where `pjnd` is of images and refused, P(notice).
    engine
        What computes the scores: `core` (models tiny, monotone and visibility, without PyTorch), `onnx` (the run's
        `model.onnx`), `torch`, or `auto`, the first of these that can. Visibility is always computed by the core.
    viewing
        How people look at the images; by default side by side on a 24-inch full-HD display at 60 cm, 200 cd/m2, in an
        office of 250 lux.

    Raises
    ------
    PixqError
        If the run is missing, not finished or damaged, or there is no such device, calibration or engine.
    """
    files = RunDirectory(DEFAULT if run is None else run)
    if run is None and not files.exists():
        raise PixqError(
            "this pixq was installed without its default model; name a run: a directory that pixq train wrote"
        )
    if engine == "onnx" and files.path == DEFAULT and not (DEFAULT / ONNX).exists():
        raise PixqError(
            "the model that comes with pixq has no ONNX file; choose --engine core, or name a run of your own"
        )
    recipe, info = read_run(files)
    engine_of_run = choose_engine(files, recipe, info, device, engine)
    scorer = Scorer(files.path, recipe, info, engine_of_run, calibration, viewing)
    if calibration is not None:
        _ = scorer.decision
    return scorer
