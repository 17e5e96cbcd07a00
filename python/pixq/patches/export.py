"""Writes patch sets for other programs: PNG folders in the notebooks' layout, Parquet, NumPy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pixq.errors import PixqError
from pixq.io.atomic import atomic_directory, atomic_write, json_text
from pixq.io.optional import require
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.patches.records import Records
from pixq.patches.store import PatchSet

__all__ = ["FORMATS", "export", "export_npy", "export_parquet", "export_png"]

#: Number of records with pixels in memory at a time: 10 MB of 20x20 patches.
CHUNK = 4096

#: The notebooks' cuts: scores from .66 are GREEN (1), from .33 ORANGE (0.5), and others RED (0).
COLOURS = ((0.66, "GREEN", 1.0), (0.33, "ORANGE", 0.5), (-np.inf, "RED", 0.0))


def export(
    patches: PatchSet, kind: str, out: str | os.PathLike[str], on_progress: ProgressCallback = ignore_progress
) -> Path:
    """Write `patches` to `out` as `kind`, one of `FORMATS`; `out` appears whole or not at all.

    Raises
    ------
    PixqError
        If `kind` is unknown, `out` exists or can't be written, or nothing is selected.
    """
    if kind not in FORMATS:
        raise PixqError(f"unknown format {kind!r}; choose {', '.join(FORMATS)}")
    patches.check_not_empty()
    out = Path(out)
    if out.exists() or out.is_symlink():
        raise PixqError(f"{out}: already exists; choose another --out or delete it")
    with (atomic_write if kind == "parquet" else atomic_directory)(out) as scratch:
        FORMATS[kind](patches, scratch, on_progress)
    return out


def _chunks(patches: PatchSet) -> Iterator[tuple[int, PatchSet]]:
    for start in range(0, len(patches), CHUNK):
        yield start, patches[start : start + CHUNK]


def _finite(values: np.ndarray[Any, Any]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def export_png(patches: PatchSet, out: Path, on_progress: ProgressCallback) -> None:
    """Write the notebooks' layout: PNG patches in `clean/` and in a folder per fusion, and JSON files.

    `metadata.json` lists every record; `train.json`, `validation.json` and `test.json` hold `{"data": [...]}` of their
    split. As in the notebooks, `roi` is the patch's rectangle in the image, [x, y, size, size]. `distorted_psnr` is
    null if the fused patch equals its reference.
    """
    from PIL import Image

    fusions = patches.fusions
    # Two blends with different alphas need two folders.
    names = [fusion.name if sum(f.name == fusion.name for f in fusions) == 1 else str(fusion) for fusion in fusions]
    names = [name.replace(":", "-") for name in names]
    used = np.unique(patches.records.fusion)
    for folder in ("clean", *(names[number] for number in used)):
        (out / folder).mkdir()
    listed: list[dict[str, Any]] = []
    by_split: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    size = patches.geometry.size
    for start, part in _chunks(patches):
        records = part.records
        reference, fused, psnr = part.reference[records.reference_row], part.fused(), _finite(records.psnr)
        for i in range(len(part)):
            method = names[records.fusion[i]]
            name = f"{method}_patch_{start + i:04}.png"
            Image.fromarray(reference[i]).save(out / "clean" / name)
            Image.fromarray(fused[i]).save(out / method / name)
            image, quality = patches.images[records.image[i]], float(records.quality[i])
            colour, binned = next((colour, score) for cut, colour, score in COLOURS if quality >= cut)
            entry = {
                "unique_sample_id": name,
                "clean_image": Path(image["reference"]).name,
                "distorted_image": Path(image["distorted"]).name,
                "score": quality,
                "metadata": {
                    "method": method,
                    "image_source": image["reference_id"],
                    "bp_case": image["distortion_type"],
                    "color": colour,
                    "score_binned": binned,
                    "mos_original": image["MOS"],
                    "mos_normalized": image["quality"],
                    "roi": [int(records.x[i]), int(records.y[i]), size, size],
                    "crop_id": int(records.patch_id[i]),
                    "distorted_psnr": psnr[i],
                },
            }
            listed.append(entry)
            by_split[image["split"]].append(entry)
        on_progress("exporting", start + len(part), len(patches))
    for name, value in {
        "metadata": listed,
        **{split: {"data": entries} for split, entries in by_split.items()},
    }.items():
        (out / f"{name}.json").write_text(json_text(value), encoding="utf-8", newline="\n")


def export_npy(patches: PatchSet, out: Path, on_progress: ProgressCallback) -> None:
    """Write arrays: `reference.npy` and `fused.npy`, uint8 (n, size, size, 3), `quality.npy`, and `records.jsonl`.

    `records.jsonl` has one line per row, which includes the split.
    """
    size = patches.geometry.size
    shape = (len(patches), size, size, 3)
    arrays = {
        name: np.lib.format.open_memmap(out / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
        for name in ("reference", "fused")
    }
    np.save(out / "quality.npy", patches.records.quality)
    with (out / "records.jsonl").open("w", encoding="utf-8", newline="\n") as lines:
        for start, part in _chunks(patches):
            records = part.records
            arrays["reference"][start : start + len(part)] = part.reference[records.reference_row]
            arrays["fused"][start : start + len(part)] = part.fused()
            for entry in _entries(patches, records):
                lines.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")
            on_progress("exporting", start + len(part), len(patches))
    for array in arrays.values():
        array.flush()


def _entries(patches: PatchSet, records: Records) -> Iterator[dict[str, Any]]:
    """The records as dictionaries, with properties of their images."""
    psnr, psnr_roi = _finite(records.psnr), _finite(records.psnr_roi)
    for i in range(len(records)):
        image, fusion = patches.images[records.image[i]], patches.fusions[records.fusion[i]]
        yield {
            "image_id": image["image_id"],
            "reference_id": image["reference_id"],
            "group": image["group"],
            "reference_file": image["reference"],
            "distorted_file": image["distorted"],
            "blend_with": image["blend_with"],
            "patch_id": int(records.patch_id[i]),
            "x": int(records.x[i]),
            "y": int(records.y[i]),
            "distortion_type": image["distortion_type"],
            "level": image["level"],
            "MOS": image["MOS"],
            "quality": float(records.quality[i]),
            "PSNR": psnr[i],
            "PSNR_roi": psnr_roi[i],
            "fusion_type": fusion.name,
            "alpha": fusion.alpha,
            "identical": bool(records.identical[i]),
            "split": image["split"],
            "fold": image["fold"],
        }


def export_parquet(patches: PatchSet, out: Path, on_progress: ProgressCallback) -> None:
    """Write a Parquet file: the records' columns, and `reference` and `fused` as size * size * 3 bytes."""
    pa, pq = require("pyarrow"), require("pyarrow", "pyarrow.parquet")
    size = patches.geometry.size
    pixels = pa.binary(size * size * 3)
    columns = {
        **dict.fromkeys(
            ("image_id", "reference_id", "group", "reference_file", "distorted_file", "blend_with"), pa.string()
        ),
        **dict.fromkeys(("patch_id", "x", "y"), pa.uint32()),
        "distortion_type": pa.string(),
        **dict.fromkeys(("level", "MOS", "quality", "PSNR", "PSNR_roi"), pa.float64()),
        "fusion_type": pa.string(),
        "alpha": pa.float64(),
        "identical": pa.bool_(),
        "split": pa.string(),
        "fold": pa.int32(),
    }
    note = {key: json.dumps(patches.manifest[key]) for key in ("dataset", "label_contract", "label", "geometry")}
    schema = pa.schema([*columns.items(), ("reference", pixels), ("fused", pixels)], metadata=note)
    with pq.ParquetWriter(out, schema) as writer:
        for start, part in _chunks(patches):
            records = part.records
            entries = list(_entries(patches, records))
            table = [pa.array([entry[name] for entry in entries], kind) for name, kind in columns.items()]
            for array in (part.reference[records.reference_row], part.fused()):
                buffers = [None, pa.py_buffer(np.ascontiguousarray(array))]
                table.append(pa.Array.from_buffers(pixels, len(part), buffers))
            writer.write_table(pa.Table.from_arrays(table, schema=schema))
            on_progress("exporting", start + len(part), len(patches))


#: The formats of `pixq export --format`.
FORMATS: dict[str, Callable[[PatchSet, Path, ProgressCallback], None]] = {
    "png": export_png,
    "parquet": export_parquet,
    "npy": export_npy,
}
