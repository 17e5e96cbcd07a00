"""What `calibration.json` and the files of evaluations share: numbers with intervals, and reading and writing."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from pixq.classes import NAMES
from pixq.errors import PixqError
from pixq.patches.files import write_json

__all__ = [
    "Bootstrap",
    "Count",
    "Cut",
    "CutPoint",
    "Data",
    "Estimate",
    "FileModel",
    "Share",
    "check_name",
    "now",
    "read_model",
    "write_model",
]

_INFINITE = {"always": -math.inf, "never": math.inf}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _point(value: object) -> object:
    return _INFINITE.get(value, value) if isinstance(value, str) else value


def _word(value: float) -> float | str:
    return value if math.isfinite(value) else "never" if value > 0 else "always"


#: A score from which an answer is given. JSON has no infinity: -inf, which every score reaches, is written "always",
#: and +inf, which none does, "never". `null` never stands for either.
CutPoint = Annotated[float, Field(allow_inf_nan=True), BeforeValidator(_point), PlainSerializer(_word)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class FileModel(BaseModel):
    """A part of a file: nothing unknown, missing, infinite or of another type is let through."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=FileModel)


class Estimate(FileModel):
    """A number and its confidence interval; `None` where undefined, as recall is for a class without a patch."""

    value: float | None
    low: float | None
    high: float | None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low is above high")
        return self


class Cut(FileModel):
    """A cut point and its confidence interval; `low` and `high` are `None` where no interval could be had.

    In memory an end may be infinite: -inf is a cut that every score reaches, +inf one that none does.
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
    """How confidence intervals were drawn: groups, resampled with replacement."""

    resamples: Count
    level: Annotated[float, Field(gt=0.0, lt=1.0)]
    seed: Count


class Data(FileModel):
    """The patches something was computed on.

    Parameters
    ----------
    directory
        Of the patch set, as it was given.
    fingerprint
        BLAKE3 of its manifest.
    dataset, label_contract
        As its manifest has them.
    patches, images, groups
        How many there are in `split`.
    by_class
        Patches by the name of their true class.
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


def check_name(name: str, option: str = "--name") -> str:
    """`name`, if a file can be called that on any system: letters, digits, `.`, `_`, `-`, at most 64.

    Raises
    ------
    PixqError
        If it can't.

    Examples
    --------
    >>> check_name("tid2013-test")
    'tid2013-test'
    """
    if not _NAME.fullmatch(name):
        raise PixqError(
            f"{option} is {name!r}; give up to 64 letters, digits, '.', '_' or '-', a letter or digit first"
        )
    return name


def now() -> str:
    """The time, as files have it: ISO 8601, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read_model(kind: type[Model], path: Path, make: str) -> Model:
    """A JSON file of pixq, checked.

    Parameters
    ----------
    kind
        What it must be; its `format` and `schema_version` have defaults.
    path
        The file.
    make
        The command that makes it, for the message.

    Raises
    ------
    PixqError
        If it is missing, of another kind or version, or damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PixqError(f"{path}: is missing; {make} makes it") from None
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}") from None
    mend = f"delete it, and run {make} anew"
    try:
        loose = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PixqError(f"{path}: is not JSON ({error}); {mend}") from None
    wanted = kind.model_fields["format"].default
    if not isinstance(loose, dict) or loose.get("format") != wanted:
        raise PixqError(f"{path}: is no {wanted}; {mend}")
    version = kind.model_fields["schema_version"].default
    if loose.get("schema_version") != version:
        raise PixqError(
            f"{path}: has schema version {loose.get('schema_version')!r}, this pixq reads {version}; {mend}"
        )
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        what = " ".join(f"{where}: {first['msg']}".split()) if where else " ".join(first["msg"].split())
        raise PixqError(f"{path}: {what}; {mend}") from None


def write_model(model: FileModel, path: Path) -> None:
    """Write a JSON file of pixq, whole or not at all, and its folder where there is none.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    scratch = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_json(scratch, path, model.model_dump(mode="json"))
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; make room, or make it writable") from None
