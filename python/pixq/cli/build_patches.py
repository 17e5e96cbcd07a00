"""`pixq build-patches`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from pixq import datasets, ranges
from pixq.cli.messages import note, print_lines, warn
from pixq.cli.number_options import number_in
from pixq.cli.options import AS_DECLARED, AS_SHOWN, NAMED, DatasetOptions, ImageOptions, shares
from pixq.cli.progress import progress_bar
from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry, fusion_names
from pixq.patches.build import BuildReport, build
from pixq.patches.plan import BuildSettings, Sampling

__all__ = ["build_patches"]


def build_patches(
    *,
    dataset: str,
    root: Path,
    out: Path,
    fusion: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            negative=(),
            help=f"Fusions to make: {fusion_names('and')}; an alpha follows a colon, as in blend:0.25. "
            "Default: what the dataset declares.",
        ),
    ] = None,
    label: Literal["image", "energy"] = "image",
    sampling: Literal["grid", "random", "texture"] = "grid",
    stride: Annotated[int | None, number_in(ranges.GRID_STRIDE)] = None,
    patches: Annotated[int | None, number_in(ranges.PATCHES_PER_IMAGE)] = None,
    min_difference: Annotated[int, number_in(ranges.GREY_LEVELS)] = 0,
    unchanged: Literal["keep", "drop"] = "keep",
    bucket: Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())] = None,
    max_levels: Annotated[int | None, number_in(ranges.MAX_LEVELS)] = None,
    split: str = "0.6,0.2,0.2",
    folds: Annotated[int | None, number_in(ranges.FOLDS)] = None,
    seed: Annotated[int, number_in(ranges.SEED)] = 0,
    patch_size: Annotated[int, number_in(ranges.PATCH_SIZE)] = 20,
    roi_size: Annotated[int, number_in(ranges.PATCH_SIZE)] = 12,
    max_pixels: Annotated[int, number_in(ranges.MAX_PIXELS)] = 1 << 28,
    images: ImageOptions = AS_SHOWN,
    options: DatasetOptions = AS_DECLARED,
    threads: Annotated[int | None, number_in(ranges.THREADS)] = None,
    skip_corrupt: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Cut a dataset of human scores into a patch set.

    To resume a build that was stopped, run the same command again.

    Parameters
    ----------
    dataset
        Kind of dataset; `pixq datasets` lists them.
    root
        The dataset's directory.
    out
        Directory of the patch set.
    label
        Meaning of a fused patch's quality: the image's quality, or the image's scaled by the share of its error left.
    sampling
        Where patches are cut.
    stride
        Pixels between patches of a grid. Default: the patch size.
    patches
        Patches per image, for random and texture. Default: 100.
    min_difference
        Patches with no larger difference than this many grey levels count as unchanged.
    unchanged
        Keep unchanged patches with quality 1, or drop them.
    bucket
        Buckets to build: no_flicker, slight_flicker, same_score; or all, to build every image without buckets.
        Default: slight_flicker for jianjin008, all for the others.
    max_levels
        With buckets: leave out groups (of one reference and one distortion) with more levels. Default: 3.
    split
        Shares of train, validation and test, by reference.
    folds
        Number of folds by reference, in addition to the split. Default: 5, or one per reference if there are fewer.
    seed
        Seed of sampling and splits.
    patch_size
        Rows and columns of a patch.
    roi_size
        Rows and columns of the region of interest in its centre.
    max_pixels
        Refuse larger images.
    threads
        Number of threads. Default: one per core. The result does not depend on it.
    skip_corrupt
        Exit with 0 even if files are missing or unreadable. They are skipped and listed either way.
    """
    geometry = PatchGeometry(patch_size, roi_size)
    changes: dict[str, Any] = {
        "geometry": geometry,
        "label": label,
        "sampling": Sampling.parse(sampling, stride=stride, n=patches, size=geometry.size),
        "min_difference": min_difference,
        "unchanged": unchanged,
        "ratio": shares(split),
        "folds": folds,
        "seed": seed,
        "max_pixels": max_pixels,
        "reading": images.reading,
    }
    if fusion:
        changes["fusions"] = tuple(Fusion.parse(text) for item in fusion for text in item.split(","))
    if bucket:
        names = tuple(dict.fromkeys(name for item in bucket for name in item.split(",")))
        if "all" in names and len(names) > 1:
            raise PixqError(
                f"--bucket all can't be combined with {names[1] if names[0] == 'all' else names[0]}; remove one of them"
            )
        changes["buckets"] = None if names == ("all",) else names
    adapter = datasets.adapter(dataset)
    settings = BuildSettings.for_adapter(adapter, **changes)
    if max_levels is not None:
        if settings.buckets is None:
            raise PixqError(
                f"--max-levels is for buckets, and {dataset} is built without them; choose some with --bucket"
            )
        settings = replace(settings, max_levels=max_levels)
    try:
        with progress_bar() as on_progress:
            report = build(
                dataset,
                root,
                out,
                settings=settings,
                options=options.given(),
                threads=threads,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        note("interrupted; complete shards are kept: run the same command again to resume")
        return 130
    print_report(report)
    return 1 if report.empty or (report.skipped and not skip_corrupt) else 0


def print_report(report: BuildReport) -> None:
    """Print warnings and skipped files to stderr, and the result to stdout."""
    for warning in report.warnings:
        warn(warning)
    for item in report.skipped[:NAMED]:
        note(f"skipped {item['file']}: {item['reason']}")
    counts = report.manifest["counts"]
    if report.resumed and not report.complete_before:
        note(f"resumed: {report.resumed} shards were complete already")
    if report.skipped:
        note(f"{len(report.skipped)} image pairs were skipped; the manifest lists them all")
    if report.empty:
        note("no patch was cut: every image pair was skipped, or none has a change")
    did = "already complete" if report.complete_before else "built"
    print_lines(
        f"{report.out}: {did}: {counts['records']} records of {counts['patches']} patches "
        f"from {counts['images']} images, {report.seconds:.1f} s"
    )
