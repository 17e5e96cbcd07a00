"""Builds a patch set: makes the plan, builds shards on threads, and writes the manifest.

During a build, `OUT/.pixq-build` holds the plan, the shards that threads are writing, and a note for each complete
shard. A build that was stopped for any reason resumes from those notes and ends with the same bytes. The manifest is
written last; only then is the directory a patch set.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixq import datasets, ranges
from pixq._core import Progress, build_shard
from pixq.datasets.base import DatasetIndex
from pixq.io.atomic import FileInfo, checksum, explain_os_errors, replace_text
from pixq.io.enclosed import check_enclosed
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.manifest import compose, image_lines
from pixq.patches.photo_survey import PhotoSurvey, survey_photos
from pixq.patches.plan import BuildSettings, Plan, PlannedShard, make_plan
from pixq.patches.read_files import read_manifest
from pixq.patches.resume import SHARDS_KEPT, begin, claimed, complete, read_json, replace_json, stamps
from pixq.patches.schema import FORMAT, MANIFEST, SCHEMA_VERSION, Manifest, SkippedEntry

__all__ = ["BuildReport", "build"]

#: Seconds between progress updates.
POLL = 0.1


@dataclass(frozen=True)
class BuildReport:
    """The result of a build.

    `skipped` lists the image pairs that could not be used, as in the manifest; `resumed` is the number of shards that
    an earlier, unfinished build had completed; `complete_before` is True if there was nothing left to do.
    """

    out: Path
    manifest: Manifest
    warnings: tuple[str, ...]
    resumed: int
    complete_before: bool
    seconds: float

    @property
    def skipped(self) -> list[SkippedEntry]:
        """The image pairs that could not be used, each with its file and the reason."""
        return self.manifest["skipped"]

    @property
    def empty(self) -> bool:
        """True if no patch was cut."""
        return self.manifest["counts"]["records"] == 0


def build(
    dataset: str,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    settings: BuildSettings | None = None,
    options: Mapping[str, Any] | None = None,
    threads: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> BuildReport:
    """Build a patch set from a dataset on disk.

    The same arguments give the same bytes on any number of threads. If `out` holds an unfinished build with the same
    settings, it is resumed; if it holds a finished one, nothing is done.

    Parameters
    ----------
    dataset
        Name of the adapter, e.g. `tid2013`; see `pixq.datasets.ADAPTERS`.
    root
        The dataset's directory.
    out
        Directory of the patch set; created if missing.
    settings
        What to build; by default, the adapter's defaults.
    options
        Options of the adapter, e.g. `{"polarity": "lower-is-better"}`.
    threads
        Number of shards to build at a time; by default, one per core.
    on_progress
        Called about ten times a second, on the calling thread, with the stage `building`, the number of images done of
        those that were left to do, and the patches per second.

    Raises
    ------
    PixqError
        If an argument is wrong, `out` has other settings or can't be written, or there is a leak between splits.
    KeyboardInterrupt
        After Ctrl-C; complete shards are kept.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pixq.distort import write_tree
    >>> folder = Path(tempfile.mkdtemp())
    >>> noise = np.random.default_rng(0)
    >>> photos = {f"photo{n}": noise.integers(0, 256, (60, 80, 3), dtype=np.uint8) for n in range(5)}
    >>> _ = write_tree(photos, folder / "dataset", ["jpeg"], [1, 2])
    >>> report = build("jianjin008", folder / "dataset", folder / "patches")
    >>> report.manifest["counts"]["records"], report.skipped
    (120, [])
    >>> build("jianjin008", folder / "dataset", folder / "patches").complete_before
    True
    """
    started = time.perf_counter()
    adapter = datasets.adapter(dataset)
    index = datasets.index(dataset, Path(root), **(options or {}))
    settings = BuildSettings.for_adapter(adapter) if settings is None else settings
    threads = (os.cpu_count() or 1) if threads is None else threads
    ranges.THREADS.check(threads, "--threads")

    seen = survey_photos(index, max_pixels=settings.max_pixels, threads=threads, frame=settings.reading.frame)
    plan = make_plan(index, seen.groups, settings)
    seen.check(plan.sides)
    identity = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "dataset": adapter.name,
        "label_contract": index.contract.to_json(),
        **settings.to_json(),
        "folds": plan.folds,
        "plan_sha256": plan.fingerprint(),
    }
    out = Path(out)

    def report(manifest: Manifest, resumed: int, complete_before: bool) -> BuildReport:
        warnings = (
            *(problem.detail for problem in plan.problems),
            *seen.warnings(plan.sides),
            *_not_compared(seen, plan, manifest),
            *_empty_splits(manifest),
        )
        return BuildReport(out, manifest, warnings, resumed, complete_before, time.perf_counter() - started)

    before = complete(out, identity, index, threads)
    if before is not None:
        return report(before, len(plan.shards), True)
    with claimed(out) as scratch:
        # Another build may have finished in the meantime.
        before = complete(out, identity, index, threads)
        if before is not None:
            return report(before, len(plan.shards), True)
        begin(out, scratch, identity, stamps(index, plan))
        resumed = _shards(index, plan, out, scratch, threads, on_progress)
        built = _Notes(scratch)
        with explain_os_errors(out, SHARDS_KEPT):
            replace_text(scratch / "images.jsonl", out / "images.jsonl", image_lines(plan, built))
        manifest = compose(
            adapter=adapter,
            index=index,
            plan=plan,
            built=built,
            seen=seen,
            images=checksum(out / "images.jsonl"),
            identity=identity,
        )
        with explain_os_errors(out, SHARDS_KEPT):
            replace_json(scratch, out / MANIFEST, manifest)
        return report(read_manifest(out), resumed, False)


def _not_compared(seen: PhotoSurvey, plan: Plan, manifest: Manifest) -> Iterator[str]:
    """Warn of references that are used although they could not be compared; skipped images are named as such."""
    skipped = {item["image_id"] for item in manifest["skipped"]}
    pairs = (image.pair for shard in plan.shards for image in shard.images)
    used = {pair.reference for pair in pairs if pair.image_id not in skipped}
    for problem in seen.problems:
        if problem.file in used:
            yield f"{problem.file}: can't be compared with the other references: {problem.detail}"


def _empty_splits(manifest: Manifest) -> list[str]:
    """Warn of each split that should have images but has none."""
    splits = manifest["splits"]
    return [
        f"split {split} is empty: every image in it was skipped"
        for (split, images), share in zip(splits["images"].items(), splits["ratio"], strict=True)
        if share > 0 and images == 0
    ]


def _spec(shard: PlannedShard, settings: BuildSettings) -> str:
    """The specification of a shard, as JSON for `_core.build_shard`."""
    common = settings.to_json()
    return json.dumps(
        {
            "name": shard.name,
            "size": common["geometry"]["size"],
            "roi": common["geometry"]["roi"],
            "fusions": [
                {key: value for key, value in fusion.items() if value is not None} for fusion in common["fusions"]
            ],
            "images": [
                {
                    "image_id": image.pair.image_id,
                    "reference": image.pair.reference,
                    "distorted": image.pair.distorted,
                    "blend_with": image.pair.blend_with,
                    "distortion_type": image.pair.distortion_type,
                    "mos": image.pair.score,
                    "quality": image.pair.quality,
                }
                for image in shard.images
            ],
            **{key: common[key] for key in ("label", "sampling", "seed", "min_difference", "unchanged")},
            "decode": {
                "max_pixels": settings.max_pixels,
                "colour": "srgb" if settings.reading.colour_management else "raw",
                "alpha": settings.reading.background or "refuse",
                **({} if settings.reading.frame is None else {"frame": settings.reading.frame}),
            },
        }
    )


#: What a note on a shard says.
_NOTED = {"images", "skipped", "reference_rows", "distorted_rows", "records", "files"}


class _Notes(Mapping[str, dict[str, Any]]):
    """The notes on complete shards, read one at a time: all of them together would grow with the dataset."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def path(self, name: str) -> Path:
        """The path of a shard's note."""
        return self._scratch / f"{name}.json"

    def __getitem__(self, name: str) -> dict[str, Any]:
        return read_json(self.path(name))

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in sorted(self._scratch.glob("shard-*.json")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _whole(note: Path, out: Path) -> dict[str, Any] | None:
    """An earlier build's note on a shard, if the files are still as it wrote them."""
    if not note.is_file():
        return None
    built = read_json(note)
    try:
        files = {check_enclosed(out, name): FileInfo(**info) for name, info in built["files"].items()}
        same = all(checksum(path) == info for path, info in files.items())
    except (OSError, LookupError, TypeError, AttributeError):
        return None
    return built if same and built.keys() >= _NOTED else None


def _shards(
    index: DatasetIndex,
    plan: Plan,
    out: Path,
    scratch: Path,
    threads: int,
    on_progress: ProgressCallback,
) -> int:
    """Build every shard that is not complete yet; return how many were complete before."""
    progress = Progress()
    notes = _Notes(scratch)

    def build_one(shard: PlannedShard) -> bool:
        note = notes.path(shard.name)
        if _whole(note, out) is not None:
            return True
        built = json.loads(build_shard(_spec(shard, plan.settings), index.root, out, scratch, progress))
        replace_json(scratch, note, built)
        return False

    resumed = images_before = 0
    begun = time.perf_counter()
    # The largest come first, so that no thread is busy alone at the end. Bytes don't depend on the order.
    order = sorted(plan.shards, key=lambda shard: (-len(shard.images), shard.name))
    with explain_os_errors(out, SHARDS_KEPT), _stopping_pool(threads, progress) as pool:
        pending: dict[Future[bool], PlannedShard] = {pool.submit(build_one, shard): shard for shard in order}
        while pending:
            ready, _ = wait(pending, timeout=POLL, return_when=FIRST_COMPLETED)
            for future in ready:
                shard = pending.pop(future)
                if future.result():
                    resumed += 1
                    images_before += len(shard.images)
            done, total = progress.images, plan.images - images_before
            rate = progress.patches / max(time.perf_counter() - begun, 1e-9)
            # A note at the end would stay on the screen; the report says how long the build took.
            on_progress("building", done, total, f"{rate:,.0f} patches/s" if done < total else "")
    return resumed


@contextmanager
def _stopping_pool(threads: int, progress: Progress) -> Iterator[ThreadPoolExecutor]:
    """Threads that stop at their next image when the block ends, also after an error or Ctrl-C."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pixq-build")
    try:
        yield pool
    finally:
        progress.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
