"""What a build finds in its directory: nothing, an unfinished build, or a whole patch set.

It goes on with what it would have built itself, and refuses what was built with other settings or from other images.
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
from pixq.patches.plan import Plan, files_of
from pixq.patches.read_files import read_images, read_manifest
from pixq.patches.schema import MANIFEST, SCRATCH, Manifest
from pixq.patches.store import check_sizes

__all__ = ["SHARDS_KEPT", "begin", "claimed", "complete", "read_json", "replace_json", "stamps"]

#: How to fix a build whose output could not be written, for the end of a message.
SHARDS_KEPT = "whole shards are kept: fix that and run the same command again"


def stamps(index: DatasetIndex, plan: Plan) -> dict[str, list[int]]:
    """Size and time of change of every file that is cut."""
    found = {}
    for shard in plan.shards:
        for image in shard.images:
            for file in files_of(image.pair):
                if file not in found:
                    # A file that is gone is named by the shard that needs it.
                    with contextlib.suppress(OSError):
                        stat = (index.root / file).stat()
                        found[file] = [stat.st_size, stat.st_mtime_ns]
    return found


@contextlib.contextmanager
def claimed(out: Path) -> Iterator[Path]:
    """`out/.pixq-build`, held by this process alone; removed once the patch set is whole."""
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
        except ImportError:  # Windows has no flock; two builds into one directory are then not noticed
            pass
        except OSError:
            raise PixqError(f"{out}: another build is writing here; wait for it or choose another --out") from None
        yield scratch
        if (out / MANIFEST).is_file():
            # `complete` has removed it already where another build finished first.
            shutil.rmtree(scratch, ignore_errors=True)


def complete(out: Path, identity: Mapping[str, Any], index: DatasetIndex, threads: int) -> Manifest | None:
    """The manifest, if the patch set is whole, built with these settings from the images that are there now.

    Raises
    ------
    PixqError
        If it is another program's, damaged, or was built with other settings or from other images.
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
            f"{changed[0]}: changed since {out} was built{more}; choose another --out, or delete it and build anew"
        )
    # A build that was killed after its last rename left this behind.
    shutil.rmtree(out / SCRATCH, ignore_errors=True)
    return manifest


def _changed(out: Path, manifest: Manifest, index: DatasetIndex, threads: int) -> list[str]:
    """The files of the dataset whose bytes are not those that the patch set was cut from."""
    known: dict[str, str | None] = {}
    for image in read_images(out, manifest):
        known[image["reference"]] = image["reference_blake3"]
        known[image["distorted"]] = image["distorted_blake3"]
        if image["blend_with"] is not None:
            known[image["blend_with"]] = image["blend_with_blake3"]
    for item in manifest["skipped"]:
        if item["kind"] == "unusable":
            known[item["file"]] = item["blake3"]

    def differs(file: str) -> bool:
        try:
            return checksum(index.root / file).blake3 != known[file]
        except OSError:
            return known[file] is not None

    with ThreadPoolExecutor(threads) as pool:
        return [file for file, differing in zip(known, pool.map(differs, known), strict=True) if differing]


def begin(out: Path, scratch: Path, identity: Mapping[str, Any], now: Mapping[str, list[int]]) -> None:
    """Note what is built, or check that the unfinished build that is there is the same one.

    Raises
    ------
    PixqError
        If it was begun with other settings, or from files that changed since.
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
            "finish it with that, or delete it and build anew"
        )
    _same(out, before["identity"], identity)
    changed = sorted(file for file, stamp in now.items() if before["stamps"].get(file, stamp) != stamp)
    if changed:
        raise PixqError(
            f"{changed[0]}: changed since the unfinished build in {out} began"
            f"{f' ({len(changed)} files did)' if len(changed) > 1 else ''}; delete {out} and build anew"
        )


def replace_json(scratch: Path, path: Path, value: Any) -> None:
    """Write `path` whole or not at all, by way of a file in the build's scratch directory."""
    replace_text(scratch / f"{path.name}.new", path, (json_text(value),))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that a build left in its scratch directory."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise PixqError(f"{path}: is not JSON ({error}); delete the directory {path.parent} and build anew") from error
    if not isinstance(value, dict):
        raise PixqError(f"{path}: is not a JSON object; delete the directory {path.parent} and build anew")
    return value


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those inside others beside them, under names with a dot."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": one for inner, one in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _same(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """An error that names what differs between two builds."""
    # What was asked for is JSON there and Python here.
    now = json.loads(json.dumps(now))
    if before == now:
        return
    # Of a contract or a sampling, only what differs in it.
    before, now = _flat(before), _flat(now)
    differing = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    if differing == ["plan_sha256"]:
        raise PixqError(
            f"{out}: was built from other files or scores than the dataset has now; choose another --out, "
            "or delete it and build anew"
        )
    told = "; ".join(
        f"{key} is {json.dumps(before.get(key))} there and {json.dumps(now.get(key))} here"
        for key in differing
        if key != "plan_sha256"
    )
    raise PixqError(f"{out}: holds a patch set with other settings: {told}; choose another --out")
