"""What makes Red, Orange and Green of a map's scores, and says which of them are not sure."""

from __future__ import annotations

import hashlib
import json
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from pixq.classes import QUALITY_CUTS
from pixq.decisions.calibration_file import Calibration
from pixq.decisions.conformal import Sets
from pixq.decisions.curves import Mapping
from pixq.decisions.pjnd_cuts import PJND_CUTS, PjndCuts
from pixq.io.json_file import FileModel
from pixq.statistics.estimates import CutPoint

__all__ = ["Cuts", "Decision"]


class Decision(NamedTuple):
    """What makes classes of scores, or of qualities where no target domain has set cuts."""

    name: str | None
    of: Literal["score", "quality"]
    cuts: tuple[float, float]
    mapping: Mapping | None = None
    sets: Sets | None = None

    @classmethod
    def by(cls, calibration: Calibration | None, people: PjndCuts | None = None) -> Decision:
        """What a calibration decides by, or else the cuts that people's PJNDs chose.

        Without either, it is the cuts of quality that datasets with finer labels have.
        """
        if calibration is None:
            if people is not None:
                return cls(PJND_CUTS, "score", (people.orange, people.green))
            return cls(None, "quality", QUALITY_CUTS)
        sets = None if calibration.conformal is None else Sets.from_json(calibration.conformal.model_dump())
        return cls(calibration.name, "score", calibration.cuts.values, Mapping.from_json(calibration.mapping), sets)

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that it decides by."""
        parts = [
            self.name,
            self.of,
            [float(cut) for cut in self.cuts],
            None if self.mapping is None else self.mapping.to_json(),
            None if self.sets is None else self.sets.to_json(),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def unsure(self, score: NDArray[np.float64], identical: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Which patches' sets have not exactly one class; nothing is surer than that two patches are equal."""
        if self.sets is None or self.mapping is None:
            return None
        members = self.sets.of(self.mapping.probabilities(score.ravel())).sum(axis=1)
        unsure: NDArray[np.bool_] = (members != 1).reshape(score.shape) & ~identical
        return unsure


class Cuts(FileModel):
    """The scores from which a method answers Orange, and Green."""

    orange: CutPoint
    green: CutPoint

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.orange <= self.green:
            raise ValueError("the cut of Orange is above that of Green")
        return self
