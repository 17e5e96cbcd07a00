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
from pixq.models import MODELS
from pixq.runs.directory import RunDirectory, RunInfo
from pixq.runs.load import load_model, read_run
from pixq.runs.recipe import Recipe
from pixq.scoring.engine_of import engine_of
from pixq.scoring.engines import ONNX, Engine, EngineName, Scored, Watch, identical_at
from pixq.scoring.grid import STRIDE, Grid
from pixq.scoring.pooling import pool, pool_by
from pixq.scoring.quality_map import QualityMap

if TYPE_CHECKING:
    from pixq.models.base import PatchModel

__all__ = ["DEFAULT", "Scorer", "load"]

#: The run that comes with pixq.
DEFAULT = Path(__file__).parents[1] / "default"


class Scorer:
    """A trained model on a device.

    Parameters
    ----------
    run
        The run's directory.
    recipe
        What it was trained by; its pooling makes an image's score.
    info
        `run.json` of its run.
    engine
        What computes the scores.
    calibration
        Name of the calibration that makes classes of scores; the only one if `None`.
    """

    def __init__(
        self, run: Path, recipe: Recipe, info: RunInfo, engine: Engine, calibration: str | None = None
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.info = info
        self.engine = engine
        #: The name that was asked for; `None` where none was.
        self.named = calibration

    def __repr__(self) -> str:
        return f"<Scorer {self.recipe.model.name} ({self.kind}) on {self.device}>"

    @property
    def kind(self) -> str:
        """What the head gives: `regression` of quality, or `ordinal`, the order of Red, Orange and Green."""
        return self.recipe.model.head

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
        """Of `model.safetensors`, in hexadecimal."""
        return self.info.model_blake3

    @cached_property
    def model(self) -> PatchModel:
        """The network as a module of PyTorch, which is imported if it is not the engine."""
        model: PatchModel | None = getattr(self.engine, "model", None)
        return load_model(self.run)[0].eval() if model is None else model

    @cached_property
    def calibration(self) -> Calibration | None:
        """What makes classes of scores, read from the run when it is first asked for; `None` where `pjnd_cuts` do.

        It is `None` too where the run has neither.

        Raises
        ------
        PixqError
            If there are several and none was named, the file is damaged, or its cuts are of other weights.
        """
        known = read_calibrations(self.run)
        if self.named == PJND_CUTS and PJND_CUTS not in known and self.pjnd_cuts is not None:
            return None
        if self.named is None and not known:
            return None
        if self.named is not None and self.named not in known and (self.run / PJND).exists():
            raise unknown("calibration", self.named, [*known, PJND_CUTS])
        found = get_calibration(self.run, self.named)
        found.check_weights(self.run, self.blake3)
        return found

    @cached_property
    def pjnd_cuts(self) -> PjndCuts | None:
        """What ranges of human PJNDs chose, if they did; see `pixq.ladders.pjnd`.

        Raises
        ------
        PixqError
            If the file is damaged, or its cuts are of other weights.
        """
        found = read_cuts(self.run)
        if found is not None and found.blake3 != self.blake3:
            raise PixqError(f"{self.run / PJND}: is of other weights; run pixq calibrate --ladders anew")
        return found

    @cached_property
    def decision(self) -> Decision:
        """What makes the classes of its maps: `calibration`, or `pjnd_cuts`, or else cuts of quality.

        Raises
        ------
        PixqError
            As of `calibration` and `pjnd_cuts`.
        """
        chosen = self.calibration
        return Decision.choose(chosen, self.pjnd_cuts if chosen is None else None)

    def with_decision(self, decision: Decision) -> Scorer:
        """The same model, whose maps have classes by `decision` and not by what its run holds, which is not read.

        Examples
        --------
        >>> scorer.with_decision(Decision.choose(None)).map(reference, distorted).cuts  # doctest: +SKIP
        (0.33, 0.66)
        """
        other = Scorer(self.run, self.recipe, self.info, self.engine, self.named)
        other.decision = decision
        return other

    # Batches of patches.

    def _score(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> Scored:
        self._check(reference, distorted)
        return self.engine.scores(reference, distorted)

    def _check(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> None:
        pair = {"reference": reference, "distorted": distorted}
        for name, patches in pair.items():
            if not isinstance(patches, np.ndarray) or patches.dtype != np.uint8:
                found = patches.dtype if isinstance(patches, np.ndarray) else type(patches).__name__
                raise TypeError(f"'{name}' has dtype {found}; expected uint8")
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
            uint8 (n, height, width, 3), 0 to 255, RGB; what is fused is fused already, as `PatchSet.fused` gives it.

        Returns
        -------
        ndarray
            float32 (n,), 0 to 1, 1 = nobody notices.

        Raises
        ------
        TypeError, ValueError
            If dtype or shape are others.
        """
        return self._score(reference, distorted).quality

    def scores(
        self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """What calibrations cut: a score of each patch pair that is higher for better ones.

        It orders patches as `quality` does, and also those that `quality` clamps to the same end of its scale.

        Parameters
        ----------
        reference, distorted
            As for `quality`.

        Returns
        -------
        tuple
            Scores, float64 (n,), on no fixed scale; and what each patch counts in its image's score, float32 (n,).
        """
        found = self._score(reference, distorted)
        return found.score, found.weight

    def probabilities(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of Red, Orange and Green, float32 (n, 3), of an ordinal head.

        Raises
        ------
        PixqError
            If the head is another.
        """
        if self.kind != "ordinal":
            raise PixqError(
                f"this run's head is {self.kind}: it gives quality, not probabilities of {', '.join(NAMES)}"
            )
        self._check(reference, distorted)
        return self.engine.probabilities(reference, distorted)

    def image_score(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
        """The score of one image from all of its patch pairs, pooled as the run's recipe says: 0 to 1.

        Raises
        ------
        ValueError
            If there is no patch.
        """
        found = self._score(reference, distorted)
        return pool(self.recipe.model, found.quality, found.weight)

    def image_scores(
        self, image: NDArray[np.int64], score: NDArray[np.float64], weight: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """The score of each image, pooled from its patches' `scores` as the run's recipe says: float64 (m,).

        Parameters
        ----------
        image
            int64 (n,): the image that each patch is of; the result is in the order of these numbers.
        score, weight
            (n,) each, as `scores` gives them.
        """
        return pool_by(self.recipe.model, image, score, weight)

    # Whole images.

    def map(
        self, reference: NDArray[Any], distorted: NDArray[Any], *, stride: int = STRIDE, watch: Watch | None = None
    ) -> QualityMap:
        """Scores and classes of patches that cover an image pair to its edges.

        A patch that equals its reference in every pixel, at 8 bits, has quality 1 and is Green; the model is not asked.

        Parameters
        ----------
        reference, distorted
            (height, width, 3) RGB, or (height, width, 1) or (height, width) grey, uint8 or uint16 of one shape. The
            model takes 8 bits: deeper pixels are rounded to them, and grey has equal channels.
        stride
            Pixels between neighbouring patches, 1 to `size`.
        watch
            Is told how many patches are done, of how many.

        Raises
        ------
        TypeError, ValueError
            If dtype or shape are others.
        PixqError
            If no patch fits into the images, the stride is out of its range, or the calibration can't be used.

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
        corners = grid.corners
        tell = watch or (lambda done, total: None)
        identical = identical_at(r, d, corners, self.size, lambda _, total: tell(0, total))
        # Where the model says how much a patch counts, it is asked that of all patches, and of nothing else.
        asked = np.ones_like(identical) if self.recipe.model.pooling == "learned" else ~identical
        before = len(corners) - int(np.count_nonzero(asked))
        found = self.engine.scores_at(
            r, d, corners[asked], self.size, lambda done, _: tell(before + done, len(corners))
        )
        score = np.full(len(corners), np.inf)
        quality, weight = np.ones((2, len(corners)), np.float32)
        for column, values in ((score, found.score), (quality, found.quality), (weight, found.weight)):
            column[asked] = values
        score[identical], quality[identical] = np.inf, 1.0
        pooled = pool(self.recipe.model, quality, weight)
        score, quality, identical = (
            score.reshape(grid.shape),
            quality.reshape(grid.shape),
            identical.reshape(grid.shape),
        )
        return QualityMap(
            grid=grid,
            score=score,
            quality=quality,
            classes=decision.classify(score, quality),
            identical=identical,
            unsure=decision.unsure(score, identical),
            pooled=pooled,
            cuts=decision.cuts,
            calibration=decision.name,
        )

    def score(self, reference: NDArray[Any], distorted: NDArray[Any], *, stride: int = STRIDE) -> float:
        """Quality of an image pair, 0 to 1, 1 = nobody notices, pooled as the run's recipe says; see `map`."""
        return self.map(reference, distorted, stride=stride).pooled

    def classify(self, reference: NDArray[Any], distorted: NDArray[Any], *, stride: int = STRIDE) -> NDArray[np.int8]:
        """Classes of an image pair's patches, int8 (rows, columns): numbers of `pixq.classes.CLASSES`; see `map`."""
        return self.map(reference, distorted, stride=stride).classes


def load(
    run: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    *,
    calibration: str | None = None,
    engine: EngineName = "auto",
) -> Scorer:
    """The best model of a run.

    Parameters
    ----------
    run
        A directory that `pixq train` left; the model that comes with pixq if `None`. Nothing in it is executed.
    device
        `cpu`, `cuda`, `cuda:0`, or `auto`.
    calibration
        Name of the calibration that makes classes of scores, or `pjnd` for the cuts of `pjnd.json`; the only one if
        `None`, or else `pjnd`.
    engine
        What computes: `core` for the models tiny and monotone, which needs no PyTorch; `onnx`, by the run's
        `model.onnx`; `torch`; or `auto`, the first of them that can.

    Raises
    ------
    PixqError
        If the run is not there, not finished or damaged, or there is no such device, calibration or engine.
    """
    files = RunDirectory(DEFAULT if run is None else run)
    if run is None and not files.exists():
        raise PixqError(
            "this pixq comes without a default model; name the run of one: a directory that pixq train left"
        )
    if engine == "onnx" and files.path == DEFAULT and not (DEFAULT / ONNX).exists():
        raise PixqError("the model that comes with pixq has no ONNX file; choose --engine core, or name a run of yours")
    recipe, info = read_run(files)
    chosen = engine_of(files, recipe, info, device, engine)
    scorer = Scorer(files.path, recipe, info, chosen, calibration)
    if calibration is not None:
        _ = scorer.decision
    return scorer
