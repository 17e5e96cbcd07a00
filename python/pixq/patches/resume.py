"""Resumes a build: its directory may be empty, or hold an unfinished build or a complete patch set.

A build resumes one with the same settings and images, and refuses any other.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pixq._version import __version__
from pixq.datasets.base import DatasetIndex
from pixq.errors import PixqError
from pixq.io.atomic import checksum, explain_os_errors, json_text, replace_text
from pixq.io.enclosed import read_enclosed
from pixq.patches.plan import Plan, files_of
from pixq.patches.read_files import read_images, read_manifest
from pixq.patches.schema import MANIFEST, SCRATCH, Manifest
from pixq.patches.store import check_sizes

__all__ = ["SHARDS_KEPT", "begin", "claimed", "complete", "read_json", "replace_json", "stamps"]

#: How to fix a build whose output could not be written, for the end of a message.
SHARDS_KEPT = "complete shards are kept: fix that and run the same command again"


def stamps(index: DatasetIndex, plan: Plan) -> dict[str, list[int]]:
    """Size and modification time of every image file of the plan."""
    found = {}
    for shard in plan.shards:
        for image in shard.images:
            for file in files_of(image.pair):
                if file not in found:
                    # A missing file is reported by the shard that needs it.
                    with contextlib.suppress(OSError):
                        stat = (index.root / file).stat()
                        found[file] = [stat.st_size, stat.st_mtime_ns]
    return found


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[Path]:
    """Lock `out/.pixq-build` for this process; it is removed once the patch set is complete."""
    scratch = out / SCRATCH
    with explain_os_errors(out, "choose an --out that can be written"):
        if out.is_dir() and not scratch.is_dir() and not (out / MANIFEST).is_file() and any(out.iterdir()):
            raise PixqError(f"{out}: is not empty and not a patch set; choose another --out")
        scratch.mkdir(parents=True, exist_ok=True)
        lock = (scratch / "lock").open("w")
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows has no flock, so two builds in one directory are not detected
            pass
        except OSError:
            raise PixqError(f"{out}: another build is writing here; wait for it or choose another --out") from None
        yield scratch
        if (out / MANIFEST).is_file():
            # If another build finished first, `complete` has already removed it.
            shutil.rmtree(scratch, ignore_errors=True)


def complete(out: Path, identity: Mapping[str, Any], index: DatasetIndex, threads: int) -> Manifest | None:
    """The manifest, if the patch set is complete and was built with these settings from the current images.

    Raises
    ------
    PixqError
        If it is damaged, written by another program, or built with other settings or from other images.
    """
    if not (out / MANIFEST).is_file():
        return None
    try:
        manifest = read_manifest(out)
    except PixqError as error:
        raise PixqError(f"{error}, or choose another --out") from None
    _same(out, manifest["identity"], identity)
    check_sizes(out, manifest)
    changed = _changed(out, manifest, index, threads)
    if changed:
        more = f" ({len(changed)} files did)" if len(changed) > 1 else ""
        raise PixqError(
            f"{changed[0]}: changed since {out} was built{more}; choose another --out, or delete {out} and build again"
        )
    # A build that was killed after its last rename left this behind.
    shutil.rmtree(out / SCRATCH, ignore_errors=True)
    return manifest


def _changed(out: Path, manifest: Manifest, index: DatasetIndex, threads: int) -> list[str]:
    """The files of the dataset that have changed since the patch set was built."""
    checksums: dict[str, str | None] = {}
    for image in read_images(out, manifest):
        checksums[image["reference"]] = image["reference_blake3"]
        checksums[image["distorted"]] = image["distorted_blake3"]
        if image["blend_with"] is not None:
            checksums[image["blend_with"]] = image["blend_with_blake3"]
    for item in manifest["skipped"]:
        if item["kind"] == "unusable":
            checksums[item["file"]] = item["blake3"]

    def differs(file: str) -> bool:
        try:
            return checksum(index.root / file).blake3 != checksums[file]
        except OSError:
            return checksums[file] is not None

    with ThreadPoolExecutor(threads) as pool:
        return [file for file, differing in zip(checksums, pool.map(differs, checksums), strict=True) if differing]


def begin(out: Path, scratch: Path, identity: Mapping[str, Any], now: Mapping[str, list[int]]) -> None:
    """Write the build's plan, or check that an unfinished build in `out` has the same one.

    Raises
    ------
    PixqError
        If that build had other settings, or files have changed since it began.
    """
    plan_file = scratch / "plan.json"
    if not plan_file.is_file():
        noted = {"pixq_version": __version__, "identity": identity, "stamps": now}
        with explain_os_errors(out, SHARDS_KEPT):
            replace_json(scratch, plan_file, noted)
        return
    before = read_json(plan_file)
    if before.get("pixq_version") != __version__:
        raise PixqError(
            f"{out}: holds an unfinished build of pixq {before.get('pixq_version')}, this is {__version__}; "
            "finish it with that version, or delete it and build again"
        )
    if not isinstance(before.get("identity"), dict) or not isinstance(before.get("stamps"), dict):
        raise PixqError(f"{plan_file}: is damaged; delete {out} and build again")
    _same(out, before["identity"], identity)
    changed = sorted(file for file, stamp in now.items() if before["stamps"].get(file, stamp) != stamp)
    if changed:
        raise PixqError(
            f"{changed[0]}: changed since the unfinished build in {out} began"
            f"{f' ({len(changed)} files did)' if len(changed) > 1 else ''}; delete {out} and build again"
        )


def replace_json(scratch: Path, path: Path, value: Any) -> None:
    """Write `path` whole or not at all, by way of a file in the build's scratch directory."""
    replace_text(scratch / f"{path.name}.new", path, (json_text(value),))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that a build left in its scratch directory."""
    try:
        value = json.loads(read_enclosed(path.parent, path.name))
    except (ValueError, RecursionError) as error:
        raise PixqError(f"{path}: is not JSON ({error}); delete the directory {path.parent} and build again") from error
    if not isinstance(value, dict):
        raise PixqError(f"{path}: is not a JSON object; delete the directory {path.parent} and build again")
    return value


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten nested settings, with names like `sampling.stride`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": one for inner, one in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _same(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a build with other settings, and name those that differ."""
    # The earlier settings have been through JSON.
    now = json.loads(json.dumps(now))
    if before == now:
        return
    # Within a contract or a sampling, only name the settings that differ.
    before, now = _flat(before), _flat(now)
    differing = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    if differing == ["plan_sha256"]:
        raise PixqError(
            f"{out}: was built from other files or scores than the dataset has now; choose another --out, "
            "or delete it and build again"
        )
    differences = "; ".join(
        f"{key} is {json.dumps(before.get(key))} there and {json.dumps(now.get(key))} here"
        for key in differing
        if key != "plan_sha256"
    )
    raise PixqError(f"{out}: holds a patch set with other settings: {differences}; choose another --out")
