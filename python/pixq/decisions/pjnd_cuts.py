"""`pjnd.json`: the cut that was fitted to people's PJNDs, of patch scores or of images' JND."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from pixq.io.json_file import FileModel, Share, read_model, write_model
from pixq.viewing import ViewingConditions

__all__ = ["FORMAT", "PJND", "PJND_CUTS", "GreenCut", "PjndCuts", "PjndSource", "read_cuts", "write_cuts"]


#: Name of the file in a run's directory that holds the cuts fitted to PJNDs.
PJND = "pjnd.json"
#: The name of these cuts among the run's calibrations.
PJND_CUTS = "pjnd"
FORMAT: Literal["pixq pjnd"] = "pixq pjnd"


@dataclass(frozen=True)
class GreenCut:
    """The score from which a patch is Green; for runs of `visibility`, minus the JND from which an image is noticed.

    Parameters
    ----------
    value
        The cut that predictions use.
    low, high
        Every cut above `low`, up to and including `high`, does equally well on the data it was chosen on. Of a cut
        that was not fitted: where 75 % and 25 % of people notice. `None` if unknown.
    inclusive
        Whether what is at the cut is noticed, too, as with "1 JND or more".
    """

    value: float
    low: float | None = None
    high: float | None = None
    inclusive: bool = False

    def below(self, values: ArrayLike, limit: float | None = None) -> NDArray[np.bool_]:
        """Which values are below a limit, by default the cut; with `inclusive`, also those at it."""
        limit = self.value if limit is None else limit
        numbers = np.asarray(values, np.float64)
        return numbers <= limit if self.inclusive else numbers < limit


class PjndSource(FileModel):
    """A source that the cut was chosen on: its accepted range, and the PJND predicted by the cut of all other sources.

    The prediction is `None` if no level is noticed, or the other sources choose no cut.
    """

    range: tuple[float, float] = Field(strict=False)
    predicted: float | None


class PjndCuts(FileModel):
    """The content of `pjnd.json`: the cuts that were fitted to ranges of human PJNDs.

    Parameters
    ----------
    pixq
        Version of pixq.
    blake3
        Digest of `model.safetensors`, the weights that gave the scores.
    viewing
        How people look at the images, for a model whose scores depend on it; the cuts hold for nothing else.
    share
        A level is noticed if at least this share of patches is not Green. `None` for a run of `visibility`: a level is
        noticed by the JND of the whole image.
    stride
        Pixels between the patches of the maps.
    orange, green, low, high
        The scores from which a patch is Orange and Green, and the interval of the latter. PJNDs say nothing about Red:
        Orange begins at the lowest third of quality, as for any model without a calibration. Without `share`, `green`
        is minus the JND from which people notice an image, and `orange` is `None`: no patch gets its class from it.
    within
        The share of sources whose predicted PJND lies in their range, each by the cut of all other sources.
    sources
        The sources by name.
    """

    format: Literal["pixq pjnd"] = FORMAT
    schema_version: Literal[1] = 1
    pixq: str
    blake3: str
    viewing: ViewingConditions | None = None
    share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    stride: Annotated[int, Field(ge=1)]
    orange: float | None = None
    green: float
    low: float
    high: float
    within: Share
    sources: dict[str, PjndSource]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (self.share is None) != (self.orange is None):
            raise ValueError("share and orange belong together")
        if (self.orange is not None and not self.orange <= self.green) or not self.low <= self.green <= self.high:
            raise ValueError("the cuts are not in order")
        if self.share is None and not self.green < 0.0:
            raise ValueError("green is minus a JND, which is above 0")
        return self

    @property
    def cut(self) -> GreenCut:
        """The Green cut and its interval."""
        return GreenCut(self.green, self.low, self.high)


def read_cuts(run: str | os.PathLike[str]) -> PjndCuts | None:
    """Read the PJND cuts of a run; `None` if it has none.

    Raises
    ------
    PixqError
        If the file is damaged or has an unsupported version.
    """
    path = Path(run) / PJND
    return read_model(PjndCuts, path, "pixq calibrate --ladders", Path(run)) if os.path.lexists(path) else None


def write_cuts(run: str | os.PathLike[str], cuts: PjndCuts) -> Path:
    """Write the PJND cuts of a run, whole or not at all, and return the path of the file.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    path = Path(run) / PJND
    write_model(cuts, path)
    return path
