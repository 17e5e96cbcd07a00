"""Where the Green cut is applied: a `Decision` turns the scores of a map into Red, Orange and Green."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pixq.classes import QUALITY_CUTS, classify
from pixq.decisions.calibration_file import Calibration
from pixq.decisions.conformal import Sets
from pixq.decisions.curves import Mapping
from pixq.decisions.pjnd_cuts import PJND_CUTS, PjndCuts
from pixq.io.json_file import FileModel
from pixq.statistics.estimates import CutPoint
from pixq.visibility import VISIBILITY_CUTS

__all__ = ["CutScale", "Cuts", "Decision"]

#: What cuts apply to: a model's score, its quality, or visibility, that is minus the JND.
CutScale = Literal["score", "quality", "visibility"]


class Decision(NamedTuple):
    """The cuts that turn scores into classes, and what says which classes are unsure.

    Parameters
    ----------
    name
        Name of the calibration that the cuts come from, or `pjnd` for those of `pjnd.json`; `None` for the default cuts
        of quality or visibility.
    scale
        What is cut: the model's `score`, or, where no target domain has set cuts, its `quality` or its `visibility`.
    cuts
        The values from which a patch is Orange, and Green.
    mapping
        From scores to probabilities of the classes; `None` if there is none.
    sets
        Conformal sets; `None` if there are none.
    """

    name: str | None
    scale: CutScale
    cuts: tuple[float, float]
    mapping: Mapping | None = None
    sets: Sets | None = None

    @classmethod
    def choose(
        cls, calibration: Calibration | None, pjnd_cuts: PjndCuts | None = None, *, visibility: bool = False
    ) -> Decision:
        """Decide by a calibration; without one, by the cuts that people's PJNDs chose; without these, by default cuts.

        These are cuts of quality, or, with `visibility`, of P(notice); see `pixq.visibility.NOTICED`. A cut that PJNDs
        chose for a run of `visibility` is one of images, so patches don't get their classes from it.
        """
        if calibration is not None:
            sets = None if calibration.conformal is None else calibration.conformal.sets
            return cls(calibration.name, "score", calibration.cuts.values, calibration.mapping.mapping, sets)
        # A cut of images' JND has no Orange: the classes of patches follow from P(notice).
        if pjnd_cuts is not None and pjnd_cuts.orange is not None:
            return cls(PJND_CUTS, "score", (pjnd_cuts.orange, pjnd_cuts.green))
        if visibility:
            return cls(None, "visibility", VISIBILITY_CUTS)
        return cls(None, "quality", QUALITY_CUTS)

    def classify(
        self, score: NDArray[np.float64], quality: NDArray[np.float32], jnd: NDArray[np.float64] | None = None
    ) -> NDArray[np.int8]:
        """Apply the cuts: a patch is Green from the second cut up, Orange from the first one up, and Red below it.

        Every map gets its classes here, whichever cuts are in force. Which ones these are is up to `choose`.

        Parameters
        ----------
        score, quality, jnd
            Of patches, in one shape; infinite scores are Green. `jnd` is only needed where visibility is cut.

        Returns
        -------
        ndarray
            int8, numbers of `pixq.classes.CLASSES`.

        Examples
        --------
        >>> Decision("photos", "score", (1.5, 2.5)).classify(np.array([1.0, 2.0, 2.5]), np.ones(3, np.float32)).tolist()
        [0, 1, 2]
        """
        if self.scale == "visibility":
            if jnd is None:
                raise ValueError("cuts of visibility need the JND of the patches")
            return classify(-jnd, self.cuts)
        return classify(score if self.scale == "score" else quality, self.cuts)

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that influences the classes."""
        parts = [
            self.name,
            self.scale,
            [float(cut) for cut in self.cuts],
            None if self.mapping is None else self.mapping.to_json(),
            None if self.sets is None else self.sets.to_json(),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def unsure(self, score: NDArray[np.float64], identical: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Which patches have a conformal set without exactly one class; `None` without sets.

        A patch that is `identical` to its reference is never unsure.
        """
        if self.sets is None or self.mapping is None:
            return None
        members = self.sets.of(self.mapping.probabilities(score.ravel())).sum(axis=1)
        unsure: NDArray[np.bool_] = (members != 1).reshape(score.shape) & ~identical
        return unsure


class Cuts(FileModel):
    """Cuts of the score: every score reaches "always", none reaches "never"."""

    orange: Annotated[CutPoint, Field(description="the score from which a patch is Orange")]
    green: Annotated[CutPoint, Field(description="the score from which a patch is Green")]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.orange <= self.green:
            raise ValueError("the cut of Orange is above that of Green")
        return self
