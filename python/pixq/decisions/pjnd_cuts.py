"""`pjnd.json`: the Green cut that people's PJNDs choose."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pixq.io.json_file import FileModel, Share, read_model, write_model

__all__ = ["FORMAT", "PJND", "PJND_CUTS", "GreenCut", "PjndCuts", "Source", "read_cuts", "write_cuts"]


#: The file of a run that holds its cuts by PJND.
PJND = "pjnd.json"


#: What they are called beside the run's calibrations.
PJND_CUTS = "pjnd"


FORMAT: Literal["pixq pjnd"] = "pixq pjnd"


@dataclass(frozen=True)
class GreenCut:
    """The score from which a patch is Green.

    Parameters
    ----------
    value
        What is predicted by.
    low, high
        The ends of what it could as well be: every cut above `low`, up to `high`, does as well where it was chosen.
        `None`: unknown.
    """

    value: float
    low: float | None = None
    high: float | None = None


class Source(FileModel):
    """A source that the cut was chosen on: its accepted range, and the PJND that the others' cut predicts.

    `None`: no level is noticed, or the others choose no cut.
    """

    range: tuple[float, float] = Field(strict=False)
    predicted: float | None


class PjndCuts(FileModel):
    """`pjnd.json`: the cuts that ranges of human PJNDs choose.

    Parameters
    ----------
    pixq
        Version of pixq.
    blake3
        Of `model.safetensors`, the weights that gave the scores.
    share
        The share of patches that must be no longer Green.
    stride
        Pixels between the patches of the maps.
    orange, green, low, high
        The scores from which a patch is Orange, and Green, and the interval of the latter. PJNDs tell nothing of Red:
        Orange begins at the lowest third of quality, as for any model without a calibration.
    within
        The share of sources whose PJND lies in the range by the cut that the others choose.
    sources
        By name.
    """

    format: Literal["pixq pjnd"] = FORMAT
    schema_version: Literal[1] = 1
    pixq: str
    blake3: str
    share: Annotated[float, Field(gt=0.0, le=1.0)]
    stride: Annotated[int, Field(ge=1)]
    orange: float
    green: float
    low: float
    high: float
    within: Share
    sources: dict[str, Source]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.orange <= self.green or not self.low <= self.green <= self.high:
            raise ValueError("the cuts are not in order")
        return self

    @property
    def cut(self) -> GreenCut:
        """The Green cut and its interval."""
        return GreenCut(self.green, self.low, self.high)


def read_cuts(run: str | os.PathLike[str]) -> PjndCuts | None:
    """The cuts of a run; `None` where it has none.

    Raises
    ------
    PixqError
        If the file is damaged, or of another version.
    """
    path = Path(run) / PJND
    return read_model(PjndCuts, path, "pixq calibrate --ladders") if path.exists() else None


def write_cuts(run: str | os.PathLike[str], cuts: PjndCuts) -> Path:
    """Write the cuts into a run, whole or not at all; gives the file's path.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    path = Path(run) / PJND
    write_model(cuts, path)
    return path
