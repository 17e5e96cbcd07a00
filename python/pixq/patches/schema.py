"""The files of a patch set as types, checked when they are read.

The same is written for other programs as JSON Schema in `pixq/schemas`; a test holds the two together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, WithJsonSchema, with_config
from typing_extensions import TypedDict

from pixq.errors import PixqError
from pixq.geometry import FUSIONS, fusion_names

__all__ = [
    "FORMAT",
    "MANIFEST",
    "SCHEMA_VERSION",
    "SCRATCH",
    "ImageLine",
    "Manifest",
    "ShardEntry",
    "read_images",
    "read_manifest",
]

FORMAT = "pixq patch set"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

Split = Literal["train", "validation", "test"]


@with_config(_STRICT)
class FileEntry(TypedDict):
    """Size and checksum of a file."""

    bytes: int
    blake3: str


@with_config(_STRICT)
class ShardEntry(TypedDict):
    """A shard, as the manifest lists it."""

    name: str
    split: Split
    groups: list[str]
    reference_rows: int
    distorted_rows: int
    records: int
    files: dict[str, FileEntry]


@with_config(_STRICT)
class ImagesEntry(TypedDict):
    """`images.jsonl`, as the manifest lists it."""

    file: Literal["images.jsonl"]
    lines: int
    bytes: int
    blake3: str


def _fusion_name(name: str) -> str:
    if name not in FUSIONS:
        raise ValueError(f"it is {name!r}; expected {fusion_names()}")
    return name


@with_config(_STRICT)
class FusionEntry(TypedDict):
    """A fusion."""

    type: Annotated[str, AfterValidator(_fusion_name), WithJsonSchema({"enum": list(FUSIONS)})]
    alpha: float | None


@with_config(_STRICT)
class RoiEntry(TypedDict):
    """The region of interest inside a patch, in pixels."""

    y: int
    x: int
    height: int
    width: int


@with_config(_STRICT)
class GeometryEntry(TypedDict):
    """Size of a patch, and its region of interest."""

    size: int
    roi: RoiEntry


@with_config(_STRICT)
class Manifest(TypedDict):
    """`manifest.json`. What nothing here computes with is not looked into."""

    format: Literal["pixq patch set"]
    schema_version: Literal[1]
    pixq_version: str
    dataset: dict[str, str]
    label_contract: dict[str, Any]
    label: dict[str, str]
    geometry: GeometryEntry
    fusions: list[FusionEntry]
    sampling: dict[str, Any]
    seed: int
    min_difference: int
    unchanged: Literal["keep", "drop"]
    filter: dict[str, Any]
    splits: dict[str, Any]
    photos: dict[str, Any]
    counts: dict[str, int]
    skipped: list[dict[str, Any]]
    problems: list[dict[str, Any]]
    images: ImagesEntry
    shards: list[ShardEntry]
    identity: dict[str, Any]


@with_config(_STRICT)
class ImageLine(TypedDict):
    """A line of `images.jsonl`."""

    image_id: str
    reference_id: str
    group: str
    distortion_type: str
    level: float | None
    MOS: float
    quality: float
    PSNR_image: float | None
    bucket: list[str]
    split: Split
    fold: int
    shard: str
    reference: str
    distorted: str
    blend_with: str | None
    height: int
    width: int
    reference_icc: bool
    distorted_icc: bool
    reference_blake3: str
    distorted_blake3: str
    blend_with_blake3: str | None
    patches: int
    records: int
    unchanged: int
    identical: int
    #: Only where the dataset gives some.
    attributes: NotRequired[dict[str, str]]


_MANIFEST = TypeAdapter(Manifest)
_IMAGE = TypeAdapter(ImageLine)


def _first(error: ValidationError) -> str:
    """The first thing wrong, in one line."""
    what = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, what["loc"]))
    return " ".join(f"{where}: {what['msg']}".split()) if where else " ".join(what["msg"].split())


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the patch set in `directory`.

    Raises
    ------
    PixqError
        If there is none, it is another program's, of another schema version, or damaged.
    """
    path = directory / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if (directory / SCRATCH).is_dir():
            raise PixqError(
                f"{directory}: the build is unfinished; run the same pixq build-patches again to go on"
            ) from None
        raise PixqError(
            f"{directory}: is not a patch set (it has no {MANIFEST}); give a directory that pixq build-patches wrote"
        ) from None
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror}; give a directory that pixq build-patches wrote") from None
    try:
        loose = json.loads(data)
    except ValueError as error:
        raise PixqError(f"{path}: is not JSON ({error}); build the patch set anew in another directory") from None
    if not isinstance(loose, dict) or loose.get("format") != FORMAT:
        raise PixqError(f"{path}: is not the manifest of a patch set; give a directory that pixq build-patches wrote")
    version = loose.get("schema_version")
    if version != SCHEMA_VERSION:
        raise PixqError(
            f"{path}: has schema version {version!r}, this pixq reads {SCHEMA_VERSION}; build the patch set anew"
        )
    try:
        return _MANIFEST.validate_json(data)
    except ValidationError as error:
        raise PixqError(f"{path}: {_first(error)}; build the patch set anew") from None


def read_images(directory: Path, manifest: Manifest) -> tuple[ImageLine, ...]:
    """The image pairs of a patch set.

    Raises
    ------
    PixqError
        If the file can't be read, or a line is not an image pair.
    """
    path = directory / manifest["images"]["file"]
    images: list[ImageLine] = []
    try:
        with path.open("rb") as lines:
            for line in lines:
                images.append(_IMAGE.validate_json(line))
    except ValidationError as error:
        raise PixqError(f"{path}, line {len(images) + 1}: {_first(error)}; build the patch set anew") from None
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror}; build the patch set anew") from None
    return tuple(images)


#: Where an unfinished build keeps what it needs to go on, inside the patch set's directory.
SCRATCH = ".pixq-build"
