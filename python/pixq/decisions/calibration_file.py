"""`calibration.json`: all calibrations of a run, by name; checked when they are made and when they are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pixq.decisions.conformal import Sets
from pixq.decisions.curves import Curve, Mapping
from pixq.errors import PixqError, unknown
from pixq.io.json_file import FileModel, Share, check_name, read_model, write_model
from pixq.statistics.estimates import Bootstrap, Cut, Data, Estimate
from pixq.viewing import ViewingConditions

__all__ = [
    "CALIBRATION",
    "Calibration",
    "CalibrationCuts",
    "CalibrationFile",
    "Conformal",
    "CurveFile",
    "MappingFile",
    "ModelReference",
    "add_calibration",
    "get_calibration",
    "read_calibrations",
]

#: Name of the file in a run's directory that holds its calibrations.
CALIBRATION = "calibration.json"
FORMAT: Literal["pixq calibration"] = "pixq calibration"

CostRow = Annotated[tuple[float, float, float], Field(strict=False)]


class ModelReference(FileModel):
    """The weights that gave the scores, by the BLAKE3 of `model.safetensors`."""

    blake3: str


class CalibrationCuts(FileModel):
    """The scores from which a patch is Orange and Green, each with its interval."""

    orange: Cut
    green: Cut

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.orange.value > self.green.value:
            raise ValueError("the cut of Orange is above that of Green")
        return self

    @property
    def values(self) -> tuple[float, float]:
        """The two cuts as `pixq.classes.classify` takes them, infinite if a class is never given."""
        return self.orange.value, self.green.value


class Conformal(FileModel):
    """Split-conformal sets as in `pixq.decisions.conformal.Sets`, and the number of groups they were learned from."""

    coverage: Annotated[float, Field(gt=0.0, lt=1.0)]
    threshold: tuple[Share, Share, Share] = Field(strict=False)
    patches: Annotated[int, Field(ge=1)]
    by_class: bool
    groups: Annotated[int, Field(ge=1)]

    @property
    def sets(self) -> Sets:
        """The rule that gives the sets."""
        return Sets(self.threshold, self.coverage, self.patches, self.by_class)


class CurveFile(FileModel):
    """The knots of a `pixq.decisions.curves.Curve`."""

    score: Annotated[tuple[float, ...], Field(strict=False)]
    value: Annotated[tuple[float, ...], Field(strict=False)]


class MappingFile(FileModel):
    """The curves of a `pixq.decisions.curves.Mapping`."""

    kind: Literal["isotonic, linear between knots"]
    quality: CurveFile
    orange_or_better: CurveFile
    green: CurveFile

    @model_validator(mode="after")
    def _checked(self) -> Self:
        try:
            _ = self.mapping
        except PixqError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def mapping(self) -> Mapping:
        """The curves as functions."""
        return Mapping(*(Curve(part.score, part.value) for part in (self.quality, self.orange_or_better, self.green)))


class Calibration(FileModel):
    """One calibration.

    Parameters
    ----------
    name
        Name of the calibration; a run has only one of each name.
    created
        ISO 8601, UTC.
    pixq
        Version of pixq.
    data
        The calibration split; never the test split.
    photos
        Fingerprints of the photos in the calibration split, which `pixq evaluate` refuses.
    objective, cost
        What the cuts maximise; for `cost`, the matrix that they minimise: one row per true class, one column per
        answer.
    value
        The objective at these cuts, on the patches they were chosen on.
    achieved
        Metrics on the data that the cuts were chosen on, and therefore too good; by the names of `METRICS`.
    out_of_bag
        Balanced accuracy of the cuts of each resample on the groups that it did not draw.
    mapping
        What scores mean.
    conformal
        `None` if no sets were requested.
    viewing
        How people look at the images, for a model whose scores depend on it; it holds for nothing else.
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
    mapping: MappingFile
    conformal: Conformal | None
    warnings: list[str]
    viewing: ViewingConditions | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if (self.cost is not None) != (self.objective == "cost"):
            raise ValueError("there must be a cost matrix for the objective cost, and for no other")
        return self

    def check_weights(self, run: str | os.PathLike[str], blake3: str) -> None:
        """Check that the calibration was made for the weights of `run`, whose digest is `blake3`.

        Raises
        ------
        PixqError
            If it was made for different weights.
        """
        if self.model.blake3 != blake3:
            raise PixqError(
                f"{run}: calibration {self.name} was made for different weights; run `pixq calibrate` again"
            )


class CalibrationFile(FileModel):
    """`calibration.json`."""

    format: Literal["pixq calibration"] = FORMAT
    schema_version: Literal[1] = 1
    calibrations: dict[str, Calibration]

    @model_validator(mode="after")
    def _named(self) -> Self:
        for name, calibration in self.calibrations.items():
            if calibration.name != name:
                raise ValueError(f"the calibration {calibration.name!r} is stored under the name {name!r}")
        return self


def read_calibrations(run: str | os.PathLike[str]) -> dict[str, Calibration]:
    """Read all calibrations of a run, by name; there are none if there is no `calibration.json`.

    Raises
    ------
    PixqError
        If the file is damaged or has an unsupported version.
    """
    path = Path(run) / CALIBRATION
    return read_model(CalibrationFile, path, "pixq calibrate", Path(run)).calibrations if os.path.lexists(path) else {}


def get_calibration(run: str | os.PathLike[str], name: str | None = None) -> Calibration:
    """Read the calibration called `name`, or the only one.

    Raises
    ------
    PixqError
        If there is no calibration of this name, none at all, or several and `name` is `None`.
    """
    calibrations = read_calibrations(run)
    if name is not None and name in calibrations:
        return calibrations[name]
    if not calibrations:
        raise PixqError(f"{Path(run)}: has no calibration; create one with `pixq calibrate`")
    if name is not None:
        raise unknown("calibration", name, calibrations)
    if len(calibrations) > 1:
        raise PixqError(
            f"{Path(run) / CALIBRATION}: holds several calibrations; choose one of {', '.join(calibrations)}"
        )
    return next(iter(calibrations.values()))


def add_calibration(run: str | os.PathLike[str], calibration: Calibration, *, replace: bool = True) -> Path:
    """Add a calibration to a run, and return the path of the file, which is written whole or not at all.

    Parameters
    ----------
    run
        The run's directory.
    calibration
        The calibration to add.
    replace
        Whether to replace a calibration of the same name.

    Raises
    ------
    PixqError
        If the name is not valid, it is in use and `replace` is false, or the file is damaged or can't be written.
    """
    path = Path(run) / CALIBRATION
    calibrations = read_calibrations(run)
    if check_name(calibration.name) in calibrations and not replace:
        raise PixqError(f"{path}: already holds a calibration called {calibration.name}; choose another --name")
    write_model(CalibrationFile(calibrations={**calibrations, calibration.name: calibration}), path)
    return path
