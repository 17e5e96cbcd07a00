"""`calibration.json`: every calibration of a run, by name; checked when it is read and when it is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pixq.decisions.curves import Mapping
from pixq.errors import PixqError, unknown
from pixq.io.json_file import FileModel, Share, check_name, read_model, write_model
from pixq.statistics.estimates import Bootstrap, Cut, Data, Estimate

__all__ = [
    "CALIBRATION",
    "Calibration",
    "CalibrationCuts",
    "CalibrationFile",
    "Conformal",
    "ModelReference",
    "add_calibration",
    "get_calibration",
    "read_calibrations",
]

#: The file of a run that holds its calibrations.
CALIBRATION = "calibration.json"
FORMAT: Literal["pixq calibration"] = "pixq calibration"

CostRow = Annotated[tuple[float, float, float], Field(strict=False)]


class ModelReference(FileModel):
    """The weights that gave the scores: BLAKE3 of `model.safetensors`."""

    blake3: str


class CalibrationCuts(FileModel):
    """The scores from which a patch is Orange, and Green, each with its interval."""

    orange: Cut
    green: Cut

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.orange.value > self.green.value:
            raise ValueError("the cut of Orange is above that of Green")
        return self

    @property
    def values(self) -> tuple[float, float]:
        """The two cuts, infinite where a class is never given; as `pixq.classes.classify` takes them."""
        return self.orange.value, self.green.value


class Conformal(FileModel):
    """Split-conformal sets, as `pixq.decisions.conformal.Sets`, and how many groups they were learned from."""

    coverage: Annotated[float, Field(gt=0.0, lt=1.0)]
    threshold: tuple[Share, Share, Share] = Field(strict=False)
    patches: Annotated[int, Field(ge=1)]
    by_class: bool
    groups: Annotated[int, Field(ge=1)]


class Calibration(FileModel):
    """One calibration.

    Parameters
    ----------
    name
        Its name among those of the run.
    created
        ISO 8601, UTC.
    pixq
        Version of pixq.
    data
        The calibration split; test is never looked at.
    photos
        What tells the photos of the calibration split from others: `pixq evaluate` refuses them.
    objective, cost
        What the cuts maximise; for `cost` the matrix they minimise: a row a true class, a column an answer.
    value
        The objective at these cuts, on the patches that they were chosen on.
    achieved
        Figures on the very data that the cuts were chosen on, and so too good; by a name of `METRICS`.
    out_of_bag
        Balanced accuracy of the cuts of each resample on the groups that it did not draw.
    mapping
        What `pixq.decisions.curves.Mapping` reads back.
    conformal
        `None` where no sets were asked for.
    """

    name: str
    created: str
    pixq: str
    model: ModelReference
    data: Data
    photos: list[str]
    objective: Literal["balanced_accuracy", "accuracy", "macro_f1", "cost"]
    cost: tuple[CostRow, CostRow, CostRow] | None = Field(strict=False)
    cuts: CalibrationCuts
    value: float
    achieved: dict[str, Estimate]
    out_of_bag: Estimate
    bootstrap: Bootstrap
    mapping: dict[str, Any]
    conformal: Conformal | None
    warnings: list[str]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.cost is not None) != (self.objective == "cost"):
            raise ValueError("there must be a cost matrix for the objective cost, and for no other")
        try:
            Mapping.from_json(self.mapping)
        except PixqError as error:
            raise ValueError(f"mapping: {error}") from None
        return self


class CalibrationFile(FileModel):
    """`calibration.json`."""

    format: Literal["pixq calibration"] = FORMAT
    schema_version: Literal[1] = 1
    calibrations: dict[str, Calibration]

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name, calibration in self.calibrations.items():
            if calibration.name != name:
                raise ValueError(f"the calibration {calibration.name!r} is listed as {name!r}")
        return self


def read_calibrations(run: str | os.PathLike[str]) -> dict[str, Calibration]:
    """All calibrations of a run, by name; none where there is no `calibration.json`.

    Raises
    ------
    PixqError
        If the file is damaged, or of another version.
    """
    path = Path(run) / CALIBRATION
    return read_model(CalibrationFile, path, "pixq calibrate").calibrations if path.exists() else {}


def get_calibration(run: str | os.PathLike[str], name: str | None = None) -> Calibration:
    """The calibration called `name`, or the only one.

    Raises
    ------
    PixqError
        If there is none of this name, none at all, or several and no name.
    """
    found = read_calibrations(run)
    if name is not None and name in found:
        return found[name]
    if not found:
        raise PixqError(f"{Path(run)}: has no calibration; pixq calibrate makes one")
    if name is not None:
        raise unknown("calibration", name, found)
    if len(found) > 1:
        raise PixqError(f"{Path(run) / CALIBRATION}: holds several calibrations; choose one of {', '.join(found)}")
    return next(iter(found.values()))


def add_calibration(run: str | os.PathLike[str], calibration: Calibration, *, replace: bool = True) -> Path:
    """Add `calibration` to those of the run; the file is written whole or not at all. Gives its path.

    Parameters
    ----------
    run
        The run's directory.
    calibration
        What to add.
    replace
        Whether one of the same name gives way.

    Raises
    ------
    PixqError
        If its name is none, it is there and `replace` is false, or the file is damaged or can't be written.
    """
    path = Path(run) / CALIBRATION
    found = read_calibrations(run)
    if check_name(calibration.name) in found and not replace:
        raise PixqError(f"{path}: holds a calibration {calibration.name} already; give another --name")
    write_model(CalibrationFile(calibrations={**found, calibration.name: calibration}), path)
    return path
