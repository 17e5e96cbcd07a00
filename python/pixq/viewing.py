"""Viewing conditions: how large and how bright an image is for the person who looks at it.

Whether somebody notices a change depends on them: detail that is plain at 20 pixels per degree can't be resolved at 90,
and light that falls on a screen hides what is dark. Everything that depends on viewing conditions takes a
`ViewingConditions` and records it in what it writes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from pixq import ranges
from pixq.errors import PixqError, unknown

__all__ = ["DEFAULT_DISPLAY", "DEFAULT_DISTANCE", "TASKS", "Display", "Task", "ViewingConditions", "parse_distance"]

Task = Literal["flicker", "side-by-side", "detection"]

#: What people do: see reference and distorted image alternate in one place, compare the two at leisure, or look at the
#: one place where a difference may be, as trained observers of a laboratory do.
TASKS: Final = MappingProxyType(
    {"flicker": "alternating", "side-by-side": "side by side", "detection": "for observers who know where to look"}
)

#: What is assumed unless a user says otherwise: a full-HD display on a desk, in an office.
DEFAULT_DISPLAY = "24in-1080p"
DEFAULT_DISTANCE = "60cm"

#: The luminance of white relative to that of black, in the dark, and the share of the light on a screen that it
#: reflects: those of ColorVideoVDP's standard displays.
CONTRAST = 1000.0
REFLECTANCE = 0.005

#: What makes up viewing conditions; a display and a distance only say where pixels per degree come from.
FIELDS = ("pixels_per_degree", "peak_luminance", "ambient", "task")

_METRES = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254, '"': 0.0254}
_LENGTH = r"(\d+(?:\.\d+)?|\.\d+)\s*(" + "|".join(sorted(_METRES, key=len, reverse=True)) + ")"
_NAMED_RESOLUTIONS = {
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "2160p": (3840, 2160),
    "4k": (3840, 2160),
    "5k": (5120, 2880),
    "8k": (7680, 4320),
}


@dataclass(frozen=True)
class Display:
    """A display with square pixels.

    Parameters
    ----------
    diagonal
        Metres.
    width, height
        Pixels.
    """

    diagonal: float
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Display:
        """Read `SIZE-RESOLUTION`, such as `27in-1440p`, `24in-1080p`, `15.6in-4k` or `13in-2560x1600`.

        The size is the diagonal, in inches (`27in`) or centimetres (`68.6cm`). The resolution is `WIDTHxHEIGHT`, or one
        of 720p, 1080p, 1440p, 2160p, 4k, 5k and 8k, which are all 16:9.

        Raises
        ------
        PixqError
            If the text is something else, or no display has such a size or resolution.

        Examples
        --------
        >>> Display.parse("27in-1440p")
        Display(diagonal=0.6858, width=2560, height=1440)
        """
        size, _, resolution = text.strip().lower().partition("-")
        length = re.fullmatch(_LENGTH, size.strip())
        pixels = re.fullmatch(r"(\d{1,6})\s*x\s*(\d{1,6})", resolution.strip())
        named = _NAMED_RESOLUTIONS.get(resolution.strip())
        if length is None or (pixels is None and named is None):
            raise PixqError(
                f"--display is {text!r}; give size and resolution, like 27in-1440p or 13in-2560x1600 (resolutions with "
                f"a name are {', '.join(_NAMED_RESOLUTIONS)})"
            )
        diagonal = round(float(length[1]) * _METRES[length[2]], 6)
        width, height = named or (int(pixels[1]), int(pixels[2]))  # type: ignore[index]  # one of the two is there
        if diagonal not in ranges.DIAGONAL:
            raise PixqError(f"--display is {text!r}; give a diagonal from 1in to 1000in")
        if width not in ranges.SCREEN_PIXELS or height not in ranges.SCREEN_PIXELS:
            raise PixqError(f"--display is {text!r}; give a width and a height {str(ranges.SCREEN_PIXELS)[15:]}")
        return cls(diagonal, width, height)

    def pixels_per_degree(self, distance: float) -> float:
        """Compute the pixels per degree of visual angle in the middle of the screen, `distance` metres away.

        Examples
        --------
        >>> round(Display.parse("27in-1440p").pixels_per_degree(0.6), 1)
        44.9
        """
        return distance * math.radians(1.0) * math.hypot(self.width, self.height) / self.diagonal


def parse_distance(text: str) -> float:
    """Read a distance with its unit, such as `60cm`, `0.6m`, `600mm` or `24in`; return metres.

    Raises
    ------
    PixqError
        If the text is something else, or the distance is below 5 cm or above 100 m.

    Examples
    --------
    >>> parse_distance("60cm"), parse_distance("24in")
    (0.6, 0.6096)
    """
    length = re.fullmatch(_LENGTH, text.strip().lower())
    if length is None:
        raise PixqError(f"--distance is {text!r}; give a number with its unit (mm, cm, m or in), like 60cm or 24in")
    metres = round(float(length[1]) * _METRES[length[2]], 6)
    if metres not in ranges.VIEWING_DISTANCE:
        raise PixqError(f"--distance is {text!r}; give a distance from 5cm to 100m")
    return metres


def _limited(limits: ranges.NumberRange) -> Any:
    return Field(ge=limits.low, le=limits.high)


@dataclass(frozen=True)
class ViewingConditions:
    """How an image is looked at: its resolution for the eye, the light of the screen and of the room, and the task.

    An image is shown pixel by pixel on an sRGB display; reference and distorted image are seen under the same
    conditions. The defaults are those of a 24-inch full-HD display (`DEFAULT_DISPLAY`) at 60 cm (`DEFAULT_DISTANCE`) in
    an office, except that `ViewingConditions()` does not name the display.

    Parameters
    ----------
    pixels_per_degree
        Pixels of the image per degree of visual angle, 5 to 500. People resolve up to about 60 cycles per degree, which
        is 120 pixels per degree.
    peak_luminance
        Luminance of white, in cd/m2, without reflected light: 1 to 10000. Office displays have 100 to 350.
    ambient
        Light of the room that falls on the screen, in lux: 0 (dark) to 100000 (sunlight). Offices have 200 to 500.
    display
        The display that `pixels_per_degree` was derived from, such as `27in-1440p`; `None` if it was not.
    distance
        The distance of the eye from that display, in metres, 0.05 to 100.
    task
        What people do; a name of `TASKS`.

    Raises
    ------
    PixqError
        If a number is out of its range, or there is no such task.

    Examples
    --------
    >>> conditions = ViewingConditions.of(display="27in-1440p", distance="60cm")
    >>> round(conditions.pixels_per_degree, 1), conditions.peak_luminance, conditions.ambient
    (44.9, 200.0, 250.0)
    >>> print(conditions)
    44.9 pixels per degree (27in-1440p at 60 cm), white 200 cd/m2, room 250 lux, side by side
    """

    #: How pydantic checks it as part of a file.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": True, "extra": "forbid", "allow_inf_nan": False}

    pixels_per_degree: Annotated[float, _limited(ranges.VIEWING_PPD)] = Display.parse(
        DEFAULT_DISPLAY
    ).pixels_per_degree(parse_distance(DEFAULT_DISTANCE))
    peak_luminance: Annotated[float, _limited(ranges.PEAK_LUMINANCE)] = 200.0
    ambient: Annotated[float, _limited(ranges.AMBIENT)] = 250.0
    display: str | None = None
    distance: Annotated[float, _limited(ranges.VIEWING_DISTANCE)] | None = None
    task: Task = "side-by-side"

    def __post_init__(self) -> None:
        ranges.VIEWING_PPD.check(self.pixels_per_degree, "--ppd")
        ranges.PEAK_LUMINANCE.check(self.peak_luminance, "--peak-luminance")
        ranges.AMBIENT.check(self.ambient, "--ambient")
        if self.task not in TASKS:
            raise unknown("task", self.task, TASKS)

    @classmethod
    def of(
        cls,
        ppd: float | None = None,
        display: str | None = None,
        distance: str | None = None,
        peak_luminance: float | None = None,
        ambient: float | None = None,
        task: Task | None = None,
    ) -> ViewingConditions:
        """Make viewing conditions from what a user says; `None` stands for the default.

        Parameters
        ----------
        ppd
            Pixels per degree. Neither a display nor a distance can be named beside it.
        display, distance
            As `Display.parse` and `parse_distance` read them, instead of `ppd`.
        peak_luminance, ambient, task
            As above.

        Raises
        ------
        PixqError
            If `ppd` and a display or a distance are named, or a value is wrong. The message names the option.

        Examples
        --------
        >>> ViewingConditions.of(ppd=60).pixels_per_degree
        60
        """
        peak_luminance = cls.peak_luminance if peak_luminance is None else peak_luminance
        ambient = cls.ambient if ambient is None else ambient
        task = cls.task if task is None else task
        if ppd is not None:
            for option, value in (("--display", display), ("--distance", distance)):
                if value is not None:
                    raise PixqError(f"--ppd and {option} both say how large pixels are; remove one of them")
            return cls(ppd, peak_luminance, ambient, task=task)
        name, far = display or DEFAULT_DISPLAY, parse_distance(distance or DEFAULT_DISTANCE)
        pixels = Display.parse(name).pixels_per_degree(far)
        if pixels not in ranges.VIEWING_PPD:
            raise PixqError(
                f"--display {name} at a --distance of {far:g} m has {pixels:.3g} pixels per degree; choose them so "
                f"that it has {str(ranges.VIEWING_PPD)[9:]}"
            )
        return cls(pixels, peak_luminance, ambient, name.strip().lower(), far, task)

    @property
    def black_luminance(self) -> float:
        """Luminance of a black pixel in cd/m2: what the display leaks (1/1000 of white) and what it reflects (0.5 %).

        A white surface under E lux sends out E/pi cd/m2.
        """
        return self.peak_luminance / CONTRAST + self.reflected_luminance

    @property
    def reflected_luminance(self) -> float:
        """Luminance in cd/m2 that the light of the room adds to every pixel."""
        return self.ambient / math.pi * REFLECTANCE

    def options(self, fields: Collection[str] = FIELDS) -> list[str]:
        """The options of a command that give these conditions, or only some `fields` of them.

        Examples
        --------
        >>> ViewingConditions(60).options(["pixels_per_degree"])
        ['--ppd', '60']
        """
        words = []
        if "pixels_per_degree" in fields:
            if self.display is None or self.distance is None:
                words += ["--ppd", f"{self.pixels_per_degree}"]
            else:
                words += ["--display", self.display, "--distance", f"{self.distance}m"]
        if "peak_luminance" in fields:
            words += ["--peak-luminance", f"{self.peak_luminance}"]
        if "ambient" in fields:
            words += ["--ambient", f"{self.ambient}"]
        if "task" in fields:
            words += ["--task", self.task]
        return words

    def same_as(self, other: ViewingConditions) -> bool:
        """Whether images look the same under both: a display and a distance don't count, nor a rounded number."""
        return self.task == other.task and all(
            math.isclose(getattr(self, field), getattr(other, field), rel_tol=1e-3, abs_tol=1e-9)
            for field in ("pixels_per_degree", "peak_luminance", "ambient")
        )

    def __str__(self) -> str:
        where = ""
        if self.display is not None and self.distance is not None:
            where = f" ({self.display} at {100 * self.distance:g} cm)"
        return (
            f"{self.pixels_per_degree:.3g} pixels per degree{where}, white {self.peak_luminance:g} cd/m2, "
            f"room {self.ambient:g} lux, {TASKS[self.task]}"
        )
