"""What `calibration.json` and the files of evaluations share: numbers with intervals, and the data behind them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from pixq.classes import NAMES
from pixq.io.json_file import Count, FileModel

__all__ = ["Bootstrap", "Cut", "CutPoint", "Data", "Estimate"]

_INFINITE = {"always": -math.inf, "never": math.inf}


def _parse_infinity(value: object) -> object:
    return _INFINITE.get(value, value) if isinstance(value, str) else value


def _name_infinity(value: float) -> float | str:
    return value if math.isfinite(value) else "never" if value > 0 else "always"


#: A score from which an answer is given. JSON has no infinity: -inf, which every score reaches, is written as "always",
#: and +inf, which no score reaches, as "never". `null` never stands for either.
CutPoint = Annotated[
    float,
    Field(allow_inf_nan=True),
    BeforeValidator(_parse_infinity),
    PlainSerializer(_name_infinity),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(_INFINITE)}]}),
]


class Estimate(FileModel):
    """A number and its confidence interval; `None` if undefined, like the recall of a class without patches."""

    value: float | None
    low: float | None
    high: float | None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low is above high")
        return self


class Cut(FileModel):
    """A cut point and its confidence interval; `low` and `high` are `None` if there is no interval.

    In memory an end may be infinite: every score reaches a cut of -inf, and none reaches one of +inf.
    """

    value: CutPoint
    low: CutPoint | None
    high: CutPoint | None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if any(end is not None and math.isnan(end) for end in (self.value, self.low, self.high)):
            raise ValueError("a cut is not a number")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low is above high")
        return self


class Bootstrap(FileModel):
    """How confidence intervals were computed: by resampling groups with replacement."""

    resamples: Count
    level: Annotated[float, Field(gt=0.0, lt=1.0)]
    seed: Count


class Data(FileModel):
    """The patches that a calibration or an evaluation was computed on.

    Parameters
    ----------
    directory
        Directory of the patch set, as the user gave it.
    fingerprint
        BLAKE3 of the patch set's manifest.
    dataset, label_contract
        Copied from the manifest.
    patches, images, groups
        How many there are in `split`.
    by_class
        Number of patches by the name of their true class.
    """

    directory: str
    fingerprint: str
    dataset: dict[str, str]
    split: str
    patches: Count
    images: Count
    groups: Count
    by_class: dict[str, Count]
    label_contract: dict[str, Any]

    @model_validator(mode="after")
    def _classes(self) -> Self:
        if sorted(self.by_class) != sorted(NAMES):
            raise ValueError(f"by_class must hold {', '.join(NAMES)}")
        return self
