"""Composes `manifest.json` and `images.jsonl`, which describe a patch set."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pixq._version import __version__
from pixq.datasets.base import Adapter, DatasetIndex
from pixq.io.atomic import FileInfo
from pixq.io.images import ReadOptions
from pixq.patches.plan import LABEL_MEANINGS, Plan
from pixq.patches.schema import FORMAT, SCHEMA_VERSION

if TYPE_CHECKING:
    from pixq.patches.photo_survey import PhotoSurvey

__all__ = ["compose", "image_lines"]


_PROFILES = ("reference_profile", "distorted_profile")


def image_lines(plan: Plan, built: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The lines of `images.jsonl`: one per image pair that was cut, in the order of the shards."""
    for shard in plan.shards:
        measured = {info["image_id"]: info for info in built[shard.name]["images"]}
        for image in shard.images:
            pair = image.pair
            info = measured.get(pair.image_id)
            if info is None:
                continue  # It was skipped; the manifest says why.
            line = {
                "image_id": pair.image_id,
                "reference_id": pair.reference_id,
                "group": image.group,
                "distortion_type": pair.distortion_type,
                "level": pair.level,
                "MOS": pair.score,
                "quality": pair.quality,
                "PSNR_image": info["psnr"],
                "bucket": list(image.buckets),
                "split": image.split,
                "fold": image.fold,
                "shard": shard.name,
                "reference": pair.reference,
                "distorted": pair.distorted,
                "blend_with": pair.blend_with,
                **{key: info[key] for key in ("height", "width", "reference_icc", "distorted_icc", *_PROFILES)},
                **{key: info[key] for key in ("reference_blake3", "distorted_blake3", "blend_with_blake3")},
                **{key: info[key] for key in ("patches", "records", "unchanged", "identical")},
                **({"notes": info["notes"]} if info.get("notes") else {}),
                **({"attributes": dict(pair.attributes)} if pair.attributes else {}),
                **({"observers": pair.observers.to_json()} if pair.observers else {}),
            }
            yield json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _source(adapter: Adapter, index: DatasetIndex) -> dict[str, str]:
    """Title, licence and citation of the dataset; synthetic labels don't have those of the layout they are in."""
    source = {
        "name": adapter.name,
        "title": adapter.title,
        "licence": adapter.licence,
        "citation": adapter.citation,
    }
    if index.contract.synthetic:
        source |= {
            "title": f"images with synthetic labels in the layout of {adapter.name}",
            "licence": "that of the images",
            "citation": "none: no person gave the labels",
        }
    return source


def _pixels(reading: ReadOptions) -> dict[str, Any]:
    """Which pixels the patches were cut from."""
    return {
        "colours": reading.colours,
        "intent": reading.intent,
        "background": reading.background,
        **({} if reading.frame is None else {"frame": reading.frame}),
    }


def compose(
    *,
    adapter: Adapter,
    index: DatasetIndex,
    plan: Plan,
    built: Mapping[str, Mapping[str, Any]],
    seen: PhotoSurvey,
    images: FileInfo,
    identity: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest; its keys are those of `pixq.patches.schema.Manifest`."""
    settings = plan.settings.to_json()
    counted: Counter[str] = Counter()
    per_split: Counter[str] = Counter()
    skipped: list[dict[str, Any]] = []
    shards = []
    for shard in plan.shards:
        whole = built[shard.name]
        counted["images"] += len(whole["images"])
        per_split[shard.split] += len(whole["images"])
        for info in whole["images"]:
            counted.update({key: info[key] for key in ("patches", "records", "unchanged", "identical")})
        skipped += [{"kind": "unusable", **item} for item in whole["skipped"]]
        kept = {key: whole[key] for key in ("reference_rows", "distorted_rows", "records", "files")}
        shards.append({"name": shard.name, "split": shard.split, "groups": list(shard.groups), **kept})
    problems = [*index.problems, *plan.problems]
    skipped += [
        {"kind": problem.kind, "image_id": None, "file": problem.file, "reason": problem.detail, "blake3": None}
        for problem in problems
        if problem.left_out
    ]
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "pixq_version": __version__,
        "dataset": _source(adapter, index),
        "label_contract": index.contract.to_json(),
        "label": {"kind": plan.settings.label, "meaning": LABEL_MEANINGS[plan.settings.label]},
        "geometry": settings["geometry"],
        "fusions": settings["fusions"],
        "sampling": settings["sampling"],
        "seed": settings["seed"],
        "min_difference": settings["min_difference"],
        "unchanged": settings["unchanged"],
        "pixels": _pixels(plan.settings.reading),
        "filter": {
            "buckets": settings["buckets"],
            "max_levels": settings["max_levels"],
            "excluded": dict(sorted(plan.excluded.items())),
        },
        "splits": {
            "by": "reference",
            "ratio": settings["ratio"],
            "folds": plan.folds,
            "images": {split: per_split[split] for split in ("train", "validation", "test")},
            "groups": {group: {"split": side.split, "fold": side.fold} for group, side in sorted(plan.groups.items())},
            **({} if plan.own_split is None else {"given": plan.own_split.outcome}),
        },
        "photos": seen.to_json(),
        "counts": {
            "images": counted["images"],
            "skipped": len(skipped),
            "problems": len(problems),
            **{key: counted[key] for key in ("patches", "records", "unchanged", "identical")},
            "dropped": counted["unchanged"] if plan.settings.unchanged == "drop" else 0,
        },
        "skipped": skipped,
        "problems": [asdict(problem) for problem in problems],
        "images": {"file": "images.jsonl", "lines": counted["images"], **asdict(images)},
        "shards": shards,
        "identity": dict(identity),
    }
