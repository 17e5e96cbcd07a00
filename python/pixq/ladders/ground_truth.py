"""Ladders with the answers of people, in the layout of LocJND and KonJND: `ground_truth.json` beside `images`."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from pixq.errors import PixqError
from pixq.io.enclosed import check_enclosed, is_plain_path, read_enclosed
from pixq.io.folders import find_path, glob_files
from pixq.io.text import decode_text
from pixq.ladders.ladder import Ladder, open_ladder

__all__ = ["GroundTruth", "read_ground_truth"]

#: Level v of a source is the file of number 101 - v.
RULE = "101-n"


@dataclass(frozen=True)
class GroundTruth:
    """A ladder, and the answers of people.

    Parameters
    ----------
    ladder
        Its reference and levels.
    codec
        The codec or distortion that made the levels.
    range
        The lowest and the highest level that are accepted as its PJND; `None` if nobody was asked.
    points
        Places where people see the distortion first, (y, x) in pixels; `None` if nobody was asked.
    """

    ladder: Ladder
    codec: str
    range: tuple[float, float] | None
    points: tuple[tuple[float, float], ...] | None


def read_ground_truth(folder: Path) -> list[GroundTruth]:
    """Read the sources of a folder, in the order of their names.

    Parameters
    ----------
    folder
        A folder with `ground_truth.json`, whose `images` give each source's `codec` and, where known, its `pjnd_range`
        and `critical_points_yx`; and with `images`, which holds `SOURCE.png` and `SOURCE_CODEC_NUMBER.jpg` per level.

    Raises
    ------
    PixqError
        If something is missing or malformed.
    """
    path = folder / "ground_truth.json"
    try:
        images = json.loads(decode_text(read_enclosed(folder, path.name), str(path)))["images"]
        sources = [_read_source(folder, name, entry) for name, entry in sorted(images.items())]
    except OSError as error:
        fix = "; give a folder that has one" if error.filename == str(path) else ""
        raise PixqError(f"{error.filename}: {error.strerror or error}{fix}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise PixqError(
            f"{path}: must give the codec of each of its images, and may give pjnd_range [low, high] and "
            "critical_points_yx [[y, x], ...]; correct it"
        ) from None
    if not sources:
        raise PixqError(f"{path}: lists no images; add at least one")
    return sources


def _read_source(folder: Path, name: str, entry: dict[str, Any]) -> GroundTruth:
    codec = entry["codec"]
    for text in (name, codec):
        if not is_plain_path(text) or "/" in text or "\\" in text:
            raise PixqError(f"{folder / 'ground_truth.json'}: {text!r} is not a plain name; correct it")
    images = folder / "images"
    levels, left_out = glob_files(images, f"{escape(name)}_{escape(codec)}_*")
    if left_out:
        raise PixqError(f"{left_out[0].path}: {left_out[0].reason}; add the file")
    for level in levels:
        check_enclosed(folder, level.relative_to(folder).as_posix())
    within, points = entry.get("pjnd_range"), entry.get("critical_points_yx")
    reference = find_path(images, f"{name}.png")
    if os.path.lexists(reference):
        check_enclosed(folder, reference.relative_to(folder).as_posix())
    ladder = open_ladder(reference, levels, RULE)
    low_high = None
    if within is not None:
        low, high = _numbers(within)
        if not low <= high:
            raise ValueError
        low_high = (low, high)
    return GroundTruth(ladder, codec, low_high, None if points is None else tuple(map(_numbers, points)))


def _numbers(pair: Any) -> tuple[float, float]:
    """Two finite numbers."""
    first, second = pair
    if any(isinstance(value, bool | str) or not math.isfinite(value) for value in (first, second)):
        raise ValueError
    return float(first), float(second)
