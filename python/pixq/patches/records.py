"""The records of a patch set as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq._core import FUSION_NAMES
from pixq.errors import PixqError
from pixq.geometry import Fusion
from pixq.patches.schema import ImageLine

__all__ = ["Records", "join_shards"]


@dataclass(frozen=True)
class Records:
    """Columns with one entry per fused patch, of shape (n,) each.

    Parameters
    ----------
    image
        Number of the image pair in `PatchSet.images`.
    patch_id
        Number of the patch among the places sampled in its image.
    y, x
        Top row and left column of the patch in the image, in pixels.
    psnr, psnr_roi
        PSNR of the fused patch, and of its RoI, against the reference, in dB; infinite where they are equal.
    fusion
        Number of the fusion in `PatchSet.fusions`.
    quality
        0 to 1, 1 = nobody notices; its meaning is under `label` in the manifest.
    reference_row, distorted_row
        Rows of the patches in `PatchSet.reference` and `PatchSet.distorted`.
    identical
        Whether the fused patch equals its reference.
    mos
        The score of the image in the dataset.
    """

    image: NDArray[np.uint32]
    patch_id: NDArray[np.uint32]
    y: NDArray[np.uint32]
    x: NDArray[np.uint32]
    psnr: NDArray[np.float64]
    psnr_roi: NDArray[np.float64]
    fusion: NDArray[np.uint8]
    quality: NDArray[np.float64]
    reference_row: NDArray[np.int64]
    distorted_row: NDArray[np.int64]
    identical: NDArray[np.bool_]
    mos: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: NDArray[np.int64]) -> Records:
        """The entries at `rows`, in that order."""
        return Records(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def _check_ranges(path: Path, part: Mapping[str, NDArray[Any]], sides: NDArray[np.float64], size: int) -> None:
    """Make sure that the numbers of a shard's records can be; `sides` are the heights and widths of all images."""
    height, width = sides[part["image"]].T
    possible = {
        "quality": (part["quality"] >= 0.0) & (part["quality"] <= 1.0),
        "PSNR": part["psnr"] >= 0.0,
        "PSNR_roi": part["psnr_roi"] >= 0.0,
        "coords.y": part["y"] + float(size) <= height,
        "coords.x": part["x"] + float(size) <= width,
    }
    for key, good in possible.items():
        if not good.all():
            line = int(np.flatnonzero(~good)[0])
            value = part[key.rpartition(".")[2].lower()][line]
            raise PixqError(f"{path}, line {line + 1}: {key} is {value:g}, which can't be; build the patch set again")


def join_shards(
    parts: Sequence[Mapping[str, NDArray[Any]]],
    paths: Sequence[Path],
    *,
    reference_offsets: NDArray[np.int64],
    distorted_offsets: NDArray[np.int64],
    images: Sequence[ImageLine],
    fusions: Sequence[Fusion],
    size: int,
) -> Records:
    """Join the records of all shards, and number their rows over the whole set; `size` is the side of a patch.

    Raises
    ------
    PixqError
        If a record names a row or a fusion that the manifest does not have, or a number is out of range.
    """
    sides = np.array([[line["height"], line["width"]] for line in images], dtype=np.float64).reshape(-1, 2)
    for path, part in zip(paths, parts, strict=True):
        _check_ranges(path, part, sides, size)

    def joined(name: str, dtype: type[Any]) -> NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(part[name] for part in parts)], dtype=dtype)

    def rows(name: str, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        for path, part, count in zip(paths, parts, np.diff(offsets), strict=True):
            if len(part[name]) and int(part[name].max()) >= count:
                raise PixqError(
                    f"{path}: a record's {name} is {int(part[name].max())}, the shard has {count} rows; "
                    "build the patch set again"
                )
        shifted = [part[name].astype(np.int64) + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
        return np.concatenate([np.empty(0, np.int64), *shifted])

    def fusion_of(path: Path, part: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        fusion = np.full(len(part["fusion"]), 255, dtype=np.uint8)
        for number, candidate in enumerate(fusions):
            same = part["fusion"] == FUSION_NAMES.index(candidate.name)
            # Without an alpha it is NaN.
            same &= np.isnan(part["alpha"]) if candidate.alpha is None else part["alpha"] == candidate.alpha
            fusion[same] = number
        if (fusion == 255).any():
            raise PixqError(f"{path}: a record's fusion is not one of the manifest's; build the patch set again")
        return fusion

    fusion_columns = [fusion_of(path, part) for path, part in zip(paths, parts, strict=True)]
    fusion = np.concatenate([np.empty(0, np.uint8), *fusion_columns])
    image = joined("image", np.uint32)
    mos = np.array([line["MOS"] for line in images], dtype=np.float64)
    return Records(
        image=image,
        patch_id=joined("patch_id", np.uint32),
        y=joined("y", np.uint32),
        x=joined("x", np.uint32),
        psnr=joined("psnr", np.float64),
        psnr_roi=joined("psnr_roi", np.float64),
        fusion=fusion,
        quality=joined("quality", np.float64),
        reference_row=rows("reference_row", reference_offsets),
        distorted_row=rows("distorted_row", distorted_offsets),
        identical=joined("identical", np.bool_),
        mos=mos[image] if len(image) else np.empty(0),
    )
