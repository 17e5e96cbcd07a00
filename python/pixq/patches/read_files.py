"""Reading `manifest.json` and `images.jsonl`, which checks them."""

from __future__ import annotations

import io
import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pixq.datasets.labels import LabelContract
from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry
from pixq.io.atomic import explain_os_errors
from pixq.io.enclosed import is_plain_path, read_enclosed
from pixq.io.json_file import first_fault
from pixq.io.text import without_mark
from pixq.patches.schema import FORMAT, MANIFEST, SCHEMA_VERSION, SCRATCH, ImageLine, Manifest

__all__ = ["read_images", "read_manifest"]

_MANIFEST = TypeAdapter(Manifest)
_IMAGE = TypeAdapter(ImageLine)

#: The most bytes before the rows of a NumPy array; pixq writes 128, and other programs up to a few more.
_NPY_HEADER = 4096

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
            data = without_mark(read_enclosed(directory, MANIFEST))
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
    except (ValueError, RecursionError) as error:
        raise PixqError(f"{path}: is not JSON ({error}); {_REBUILD} in another directory") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise PixqError(f"{path}: is not the manifest of a patch set; give a directory that pixq build-patches wrote")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise PixqError(f"{path}: has schema version {version!r}, this pixq reads {SCHEMA_VERSION}; {_REBUILD}")
    try:
        checked = _MANIFEST.validate_json(data)
        _check_manifest(checked)
    except ValidationError as error:
        raise PixqError(f"{path}: {first_fault(error)}; {_REBUILD}") from None
    except PixqError as error:
        raise PixqError(f"{path}: {error}; {_REBUILD}") from None
    return checked


def _check_manifest(manifest: Manifest) -> None:
    """Check what the types of a manifest don't say: the parts agree with one another."""
    geometry = manifest["geometry"]
    roi = geometry["roi"]
    if PatchGeometry(geometry["size"], roi["height"]).roi_box != (roi["y"], roi["x"], roi["height"], roi["width"]):
        raise PixqError("geometry.roi: is not a square in the centre of the patch")
    for fusion in manifest["fusions"]:
        Fusion(fusion["type"], fusion["alpha"])
    LabelContract(**manifest["label_contract"])
    if len({shard["name"] for shard in manifest["shards"]}) < len(manifest["shards"]):
        raise PixqError("shards: two have the same name")
    for shard in manifest["shards"]:
        rows = {"reference": shard["reference_rows"], "distorted": shard["distorted_rows"]}
        sizes = {f"{shard['name']}.{kind}.npy": count * geometry["size"] ** 2 * 3 for kind, count in rows.items()}
        if {*shard["files"]} != {*sizes, f"{shard['name']}.jsonl"}:
            raise PixqError(f"shards: the files of {shard['name']} are not {', '.join(sizes)} and its records")
        for name, size in sizes.items():
            if not 0 <= shard["files"][name]["bytes"] - size <= _NPY_HEADER:
                raise PixqError(f"shards: {name} has {shard['files'][name]['bytes']} bytes, but its rows take {size}")
        if shard["records"] > shard["files"][f"{shard['name']}.jsonl"]["bytes"]:
            raise PixqError(f"shards: {shard['name']} has more records than its file has bytes")


def read_images(directory: Path, manifest: Manifest) -> tuple[ImageLine, ...]:
    """Read the image pairs of a patch set.

    Raises
    ------
    PixqError
        If the file can't be read, or a line is not an image pair.
    """
    listed = manifest["images"]
    path = directory / listed["file"]
    shards = {shard["name"] for shard in manifest["shards"]}
    images: list[ImageLine] = []
    try:
        with explain_os_errors(path, _REBUILD):
            data = read_enclosed(directory, listed["file"], listed["bytes"])
        for line in io.BytesIO(data):
            image = _IMAGE.validate_json(line)
            images.append(image)
            if image["shard"] not in shards:
                raise PixqError(f"{path}, line {len(images)}: its shard is not in {MANIFEST}; {_REBUILD}")
            for name in (image["reference"], image["distorted"], image["blend_with"] or "-"):
                if not is_plain_path(name):
                    raise PixqError(f"{path}, line {len(images)}: {name!r} lies outside the dataset; {_REBUILD}")
    except ValidationError as error:
        raise PixqError(f"{path}, line {len(images) + 1}: {first_fault(error)}; {_REBUILD}") from None
    if len(images) != listed["lines"]:
        raise PixqError(f"{path}: has {len(images)} lines, {MANIFEST} says {listed['lines']}; {_REBUILD}")
    return tuple(images)
