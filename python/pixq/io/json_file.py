"""JSON files that pixq writes: pydantic models, read strictly and written whole."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixq.errors import PixqError
from pixq.io.atomic import save_json

__all__ = ["Count", "FileModel", "Model", "Share", "check_name", "now", "read_model", "write_model"]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


Count = Annotated[int, Field(ge=0)]


Share = Annotated[float, Field(ge=0.0, le=1.0)]


class FileModel(BaseModel):
    """A part of a file: nothing unknown, missing, infinite or of another type is let through."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=FileModel)


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
    save_json(path, model.model_dump(mode="json"))
