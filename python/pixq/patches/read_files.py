"""Reading `manifest.json` and `images.jsonl`, which checks them."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pixq.errors import PixqError
from pixq.io.atomic import explain_os_errors
from pixq.io.json_file import first_fault
from pixq.patches.schema import FORMAT, MANIFEST, SCHEMA_VERSION, SCRATCH, ImageLine, Manifest

__all__ = ["read_images", "read_manifest"]

_MANIFEST = TypeAdapter(Manifest)
_IMAGE = TypeAdapter(ImageLine)

_REBUILD = "build the patch set again"


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of the patch set in `directory`.

    Raises
    ------
    PixqError
        If it is missing, damaged, of another schema version, or written by another program.
    """
    path = directory / MANIFEST
    with explain_os_errors(path, "give a directory that pixq build-patches wrote"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            if (directory / SCRATCH).is_dir():
                raise PixqError(
                    f"{directory}: the build is unfinished; run the same pixq build-patches again to resume it"
                ) from None
            raise PixqError(
                f"{directory}: is not a patch set (it has no {MANIFEST}); give a directory that pixq build-patches "
                "wrote"
            ) from None
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise PixqError(f"{path}: is not JSON ({error}); {_REBUILD} in another directory") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise PixqError(f"{path}: is not the manifest of a patch set; give a directory that pixq build-patches wrote")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise PixqError(f"{path}: has schema version {version!r}, this pixq reads {SCHEMA_VERSION}; {_REBUILD}")
    try:
        return _MANIFEST.validate_json(data)
    except ValidationError as error:
        raise PixqError(f"{path}: {first_fault(error)}; {_REBUILD}") from None


def read_images(directory: Path, manifest: Manifest) -> tuple[ImageLine, ...]:
    """Read the image pairs of a patch set.

    Raises
    ------
    PixqError
        If the file can't be read, or a line is not an image pair.
    """
    path = directory / manifest["images"]["file"]
    images: list[ImageLine] = []
    try:
        with explain_os_errors(path, _REBUILD), path.open("rb") as lines:
            for line in lines:
                images.append(_IMAGE.validate_json(line))
    except ValidationError as error:
        raise PixqError(f"{path}, line {len(images) + 1}: {first_fault(error)}; {_REBUILD}") from None
    return tuple(images)
