"""Ladders with people's answers, in the layout of LocJND and KonJND: `ground_truth.json` beside `images`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from pixq.errors import PixqError
from pixq.ladders.ladder import Ladder, open_ladder

__all__ = ["Truth", "read_truth"]

#: Level v of a source is the file of number 101 - v.
RULE = "101-n"


@dataclass(frozen=True)
class Truth:
    """A ladder, and what people said of it.

    Parameters
    ----------
    ladder
        Its reference and levels.
    codec
        What made the levels.
    range
        The lowest and the highest level that are accepted as its PJND; `None` where nobody was asked.
    points
        Places where people see it first, (y, x) in pixels; `None` where nobody was asked.
    """

    ladder: Ladder
    codec: str
    range: tuple[float, float] | None
    points: tuple[tuple[float, float], ...] | None


def read_truth(folder: Path) -> list[Truth]:
    """The sources of a folder, by name.

    Parameters
    ----------
    folder
        Holds `ground_truth.json`, whose `images` say of each source its `codec`, and may say its `pjnd_range` and
        `critical_points_yx`; and `images`, with `SOURCE.png` and `SOURCE_CODEC_NUMBER.jpg` for each level.

    Raises
    ------
    PixqError
        If something is missing, or is not so.
    """
    path = folder / "ground_truth.json"
    try:
        images = json.loads(path.read_text("utf-8"))["images"]
        found = [_truth(folder / "images", name, said) for name, said in sorted(images.items())]
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; give a folder that has one") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PixqError(
            f"{path}: must say of each of its images the codec, and may say pjnd_range [low, high] and "
            "critical_points_yx [[y, x], ...]"
        ) from None
    if not found:
        raise PixqError(f"{path}: names no image")
    return found


def _truth(images: Path, name: str, said: dict[str, Any]) -> Truth:
    codec = str(said["codec"])
    levels = sorted(images.glob(f"{escape(name)}_{escape(codec)}_*"))
    within, points = said.get("pjnd_range"), said.get("critical_points_yx")
    ladder = open_ladder(images / f"{name}.png", levels, RULE)
    low_high = None
    if within is not None:
        low, high = (float(each) for each in within)
        if not low <= high:
            raise ValueError
        low_high = (low, high)
    return Truth(ladder, codec, low_high, None if points is None else tuple((float(y), float(x)) for y, x in points))
