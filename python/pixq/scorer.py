"""`pixq.load`: a trained model, ready to score patches."""

from __future__ import annotations

import os
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray

from pixq.classes import NAMES
from pixq.errors import PixqError, one_line
from pixq.models import MODELS, build
from pixq.models.base import PatchModel
from pixq.models.heads import Ordinal, PatchScores
from pixq.models.pooling import pool, pool_by
from pixq.patches.files import checksum
from pixq.train.parallel import choose_device
from pixq.train.predict import CHUNK
from pixq.train.recipe import Recipe
from pixq.train.run import FINISHED, RUN, RunDirectory, RunInfo

__all__ = ["Scorer", "load", "load_model"]


class Scorer:
    """A trained model on a device.

    Parameters
    ----------
    model
        The network, with its preprocessing inside.
    recipe
        What it was trained by; its pooling makes an image's score.
    info
        `run.json` of its run.
    device
        Where it computes.
    """

    def __init__(self, model: PatchModel, recipe: Recipe, info: RunInfo, device: torch.device) -> None:
        self.model = model.to(device).eval()
        self.recipe = recipe
        self.info = info
        self.device = device

    def __repr__(self) -> str:
        return f"<Scorer {self.recipe.model.name} ({self.kind}) on {self.device}>"

    @property
    def kind(self) -> str:
        """What the head gives: `regression` of quality, or `ordinal`, the order of Red, Orange and Green."""
        return self.recipe.model.head

    def _score(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> PatchScores:
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
        raws, weights = [torch.empty(0, self.model.head.outputs)], [torch.empty(0, 1)]
        for at in range(0, len(reference), CHUNK):
            parts = (np.ascontiguousarray(patches[at : at + CHUNK]) for patches in (reference, distorted))
            with torch.inference_mode():
                # Read-only memory, as that of a patch set, can't become a tensor without a copy.
                r, d = (torch.from_numpy(part if part.flags.writeable else part.copy()) for part in parts)
                scores = self.model(r.to(self.device), d.to(self.device))
            raws.append(scores.raw.cpu())
            weights.append(scores.weight.mean(dim=1, keepdim=True).cpu())
        return PatchScores(torch.cat(raws), torch.cat(weights))

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
        return self._quality(self._score(reference, distorted))

    def _quality(self, scores: PatchScores) -> NDArray[np.float32]:
        with torch.inference_mode():
            quality: NDArray[np.float32] = self.model.head.quality(scores.raw.to(self.device)).cpu().numpy()
        return quality

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
        scores = self._score(reference, distorted)
        with torch.inference_mode():
            score: NDArray[np.float64] = self.model.head.score(scores.raw).double().numpy()
        return score, scores.weight[:, 0].numpy()

    def probabilities(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of Red, Orange and Green, float32 (n, 3), of an ordinal head.

        Raises
        ------
        PixqError
            If the head is another.
        """
        if not isinstance(self.model.head, Ordinal):
            raise PixqError(
                f"this run's head is {self.kind}: it gives quality, not probabilities of {', '.join(NAMES)}"
            )
        scores = self._score(reference, distorted)
        with torch.inference_mode():
            found: NDArray[np.float32] = self.model.head.probabilities(scores.raw.to(self.device)).cpu().numpy()
        return found

    def image_score(self, reference: NDArray[np.uint8], distorted: NDArray[np.uint8]) -> float:
        """The score of one image from all of its patch pairs, pooled as the run's recipe says: 0 to 1.

        Raises
        ------
        ValueError
            If there is no patch.
        """
        if len(reference) == 0:
            raise ValueError("there is no patch to make an image's score from")
        scores = self._score(reference, distorted)
        quality = torch.from_numpy(self._quality(scores))
        return float(pool(self.recipe.model, quality[None], scores.weight[None, :, 0]))

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
        numbers, own = torch.from_numpy(image), torch.from_numpy(weight).double()
        pooled: NDArray[np.float64] = pool_by(self.recipe.model, numbers, torch.from_numpy(score), own)[1].numpy()
        return pooled


def load(run: str | os.PathLike[str], device: str = "cpu") -> Scorer:
    """The best model of a run.

    Parameters
    ----------
    run
        A directory that `pixq train` left. Nothing in it is executed.
    device
        `cpu`, `cuda`, `cuda:0`, or `auto`.

    Raises
    ------
    PixqError
        If the run is not there, not finished or damaged, or there is no such device.
    """
    model, recipe, info = load_model(run)
    return Scorer(model, recipe, info, choose_device(device))


def load_model(run: str | os.PathLike[str]) -> tuple[PatchModel, Recipe, RunInfo]:
    """The best model of a run on the CPU, its recipe, and its `run.json`; see `load`."""
    files = RunDirectory(run)
    info = files.read_info()
    recipe = files.recipe_of(info)
    if info.status not in FINISHED:
        raise PixqError(f"{files.path}: is not finished; go on with pixq train --resume")
    tensors, _ = files.read_tensors(files.model)
    if asdict(checksum(files.model)) != info.files.get(files.model.name):
        raise PixqError(f"{files.model}: its checksum is not that of {RUN}; take the whole directory of the run")
    # The weights of a frozen backbone are in the run: they are not looked for again.
    model = build(recipe.model.model_copy(update={"weights": "saved"}))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise PixqError(f"{files.model}: does not fit its recipe ({one_line(error)})") from None
    return model, recipe, info
