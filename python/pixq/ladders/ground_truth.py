"""Ladders with the answers of people, in the layout of LocJND and KonJND: `ground_truth.json` beside `images`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
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

_CONTENT = (
    "must give the codec of each of its images, and may give pjnd_range [low, high] and critical_points_yx "
    "[[y, x], ...]; correct it"
)

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


def read_ground_truth(folder: Path, leave_out: Callable[[str], None] | None = None) -> list[GroundTruth]:
    """Read the sources of a folder, in the order of their names.

    Parameters
    ----------
    folder
        A folder with `ground_truth.json`, whose `images` give each source's `codec` and, where known, its `pjnd_range`
        and `critical_points_yx`; and with `images`, which holds `SOURCE.png` and `SOURCE_CODEC_NUMBER.jpg` per level.
    leave_out
        Called with one line for each source that can't be used; the others are read. Without it, that is an error.

    Raises
    ------
    PixqError
        If something is missing or malformed.
    """
    path = folder / "ground_truth.json"
    try:
        images = sorted(json.loads(decode_text(read_enclosed(folder, path.name), str(path)))["images"].items())
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; give a folder that has one") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PixqError(f"{path}: {_CONTENT}") from None
    if not images:
        raise PixqError(f"{path}: lists no images; add at least one")
    sources: list[GroundTruth] = []
    for name, entry in images:
        try:
            sources.append(_read_source(folder, name, entry))
        except PixqError as error:
            if leave_out is None:
                raise
            leave_out(str(error))
    return sources


def _read_source(folder: Path, name: str, entry: dict[str, Any]) -> GroundTruth:
    try:
        return _parse_source(folder, name, entry)
    except OSError as error:
        raise PixqError(f"{error.filename}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise PixqError(f"{folder / 'ground_truth.json'}: {name}: {_CONTENT}") from None


def _parse_source(folder: Path, name: str, entry: dict[str, Any]) -> GroundTruth:
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
