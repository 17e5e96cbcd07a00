"""The short fields of a request to `pixq serve`: the stride, backgrounds, and how people look at the images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from pixq import ranges
from pixq.errors import PixqError
from pixq.http.errors import RequestError
from pixq.io.images import Background
from pixq.scoring.backgrounds import parse_backgrounds
from pixq.scoring.grid import STRIDE
from pixq.viewing import DEFAULT_DISPLAY, DEFAULT_DISTANCE, Task, ViewingConditions

__all__ = ["VIEWING_FIELDS", "read_backgrounds", "read_stride", "read_viewing"]

#: The fields that say how people look at the images: the viewing options of the command line, with underscores.
VIEWING_FIELDS = ("ppd", "display", "distance", "peak_luminance", "ambient", "task")

#: Those of them that are numbers.
_NUMBERS = {"ppd": ranges.VIEWING_PPD, "peak_luminance": ranges.PEAK_LUMINANCE, "ambient": ranges.AMBIENT}

#: What messages call an option of the command line, unless it is its name without dashes.
_WORDS = {"ppd": "pixels per degree", "ambient": "ambient light"}


def read_stride(text: str | None, strides: tuple[int, ...]) -> int:
    """The stride that was requested, or the default.

    Raises
    ------
    RequestError
        If it is not one of `strides`.
    """
    if text is None:
        return STRIDE
    if text not in map(str, strides):
        raise RequestError(422, f"the stride {text!r} is not available; choose {', '.join(map(str, strides))}")
    return int(text)


def read_backgrounds(text: str | None, default: tuple[Background, ...]) -> tuple[Background, ...]:
    """The backgrounds that were requested, or `default`.

    Raises
    ------
    RequestError
        If there is no such background.
    """
    try:
        return default if text is None else parse_backgrounds(text)
    except PixqError as error:
        raise RequestError(422, _without_options(error)) from None


def read_viewing(fields: Mapping[str, str], default: ViewingConditions) -> ViewingConditions:
    """The viewing conditions that were requested: `default`, but for what `fields` name.

    Raises
    ------
    RequestError
        If a value is wrong, or pixels per degree are named beside a display or a distance.
    """
    ppd, display, distance = (fields.get(name) for name in ("ppd", "display", "distance"))
    try:
        numbers = {
            name: limits.parse(fields[name], "--" + name.replace("_", "-"))
            for name, limits in _NUMBERS.items()
            if name in fields
        }
        if ppd is None and (display is not None or distance is not None):
            far = DEFAULT_DISTANCE if default.distance is None else f"{default.distance}m"
            display, distance = display or default.display or DEFAULT_DISPLAY, distance or far
        place = default
        if ppd is not None or display is not None:
            place = ViewingConditions.of(numbers.get("ppd"), display, distance)
        return ViewingConditions(
            place.pixels_per_degree,
            numbers.get("peak_luminance", default.peak_luminance),
            numbers.get("ambient", default.ambient),
            place.display,
            place.distance,
            cast("Task", fields.get("task", default.task)),
        )
    except PixqError as error:
        raise RequestError(422, _without_options(error)) from None


def _without_options(error: PixqError) -> str:
    """The message in words for a page, which has no options of a command line."""
    return re.sub(r"--([a-z][a-z-]*)", lambda it: "the " + _WORDS.get(it[1], it[1].replace("-", " ")), str(error))
