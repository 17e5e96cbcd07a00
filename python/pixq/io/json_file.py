"""JSON files that pixq writes: pydantic models, which are written atomically and checked strictly when read."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixq.errors import PixqError
from pixq.io.atomic import save_json
from pixq.io.enclosed import read_enclosed
from pixq.io.text import read_bytes, read_text, without_mark

__all__ = [
    "Count",
    "FileModel",
    "HexDigest",
    "Model",
    "Share",
    "check_name",
    "first_fault",
    "load_json",
    "now",
    "read_model",
    "write_model",
]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


Count = Annotated[int, Field(ge=0)]


Share = Annotated[float, Field(ge=0.0, le=1.0)]


#: BLAKE3 or SHA-256.
HexDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileModel(BaseModel):
    """A part of a file; unknown or missing fields, infinite numbers and other types are errors."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=FileModel)


def check_name(name: str, option: str = "--name") -> str:
    """Return `name` if it is a valid file name on any system: up to 64 letters, digits, `.`, `_` or `-`.

    Raises
    ------
    PixqError
        If it is not.

    Examples
    --------
    >>> check_name("tid2013-test")
    'tid2013-test'
    """
    if not _NAME.fullmatch(name):
        raise PixqError(
            f"{option} is {name!r}; give up to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
        )
    return name


def now() -> str:
    """The current time as files hold it: ISO 8601, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def load_json(path: Path) -> Any:
    """Parse a JSON file, which may begin with a byte order mark.

    Raises
    ------
    OSError
        As `pixq.io.text.read_bytes`.
    PixqError
        If it is not UTF-8 text.
    ValueError, RecursionError
        If it is not JSON.
    """
    return json.loads(read_text(path))


def read_model(kind: type[Model], path: Path, command: str, folder: Path | None = None) -> Model:
    """Read and check a JSON file of pixq.

    Parameters
    ----------
    kind
        The model that it must match; it has the default of its `format`, and a version that its `schema_version` names.
    path
        The file.
    command
        The command that creates it, for messages.
    folder
        The folder that must hold it; see `pixq.io.enclosed`. `None` if a user names the file itself.

    Raises
    ------
    PixqError
        If it is missing, damaged, or another kind or version of file.
    """
    try:
        data = read_bytes(path) if folder is None else read_enclosed(folder, path.relative_to(folder).as_posix())
    except FileNotFoundError:
        raise PixqError(f"{path}: is missing; create it with {command}") from None
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}") from None
    data = without_mark(data)
    fix = f"delete it, and run {command} again"
    try:
        loose = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PixqError(f"{path}: is not JSON ({error}); {fix}") from None
    expected = kind.model_fields["format"].default
    if not isinstance(loose, dict) or loose.get("format") != expected:
        raise PixqError(f"{path}: is not a {expected} file; {fix}")
    versions = get_args(kind.model_fields["schema_version"].annotation)
    if loose.get("schema_version") not in versions:
        raise PixqError(
            f"{path}: has schema version {loose.get('schema_version')!r}, but this pixq reads "
            f"{' and '.join(map(str, versions))}; {fix}"
        )
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise PixqError(f"{path}: {first_fault(error)}; {fix}") from None


def first_fault(error: ValidationError) -> str:
    """The first thing that pydantic found wrong and the key where it is, in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return " ".join(f"{where}: {first['msg']}".split()) if where else " ".join(first["msg"].split())


def write_model(model: FileModel, path: Path) -> None:
    """Write a JSON file of pixq; folders are created.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    save_json(path, model.model_dump(mode="json"))
