"""The ranges of numbers that commands and functions take: written once, and checked before any work begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypeVar

from pixq.errors import PixqError

__all__ = [
    "AMBIENT",
    "BATCH",
    "COST",
    "COUNT",
    "DIAGONAL",
    "FOLDS",
    "FRAME",
    "GREY_LEVELS",
    "GRID_STRIDE",
    "INTERVAL_WIDTH",
    "LEVEL",
    "MAX_LEVELS",
    "MAX_PIXELS",
    "MEMORY",
    "MULTIPLE",
    "PATCHES_PER_IMAGE",
    "PATCH_SIZE",
    "PEAK_LUMINANCE",
    "PIXELS_PER_DEGREE",
    "PORT",
    "PROBABILITY",
    "RESAMPLES",
    "SCREEN_PIXELS",
    "SEED",
    "SHARE",
    "SPREAD",
    "STIMULUS_SIZE",
    "STRIDE",
    "THREADS",
    "VIEWING_DISTANCE",
    "VIEWING_PPD",
    "NumberRange",
    "whole",
]

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class NumberRange:
    """The numbers from `low` to `high`, both included unless the range is open there.

    Parameters
    ----------
    low, high
        The ends.
    integer
        Whether only whole numbers are in it; these are not rounded.
    open_low, open_high
        Whether the end itself is not in it.

    Examples
    --------
    >>> NumberRange(1, 5, integer=True).check(5, "--level")
    5
    >>> NumberRange(0, 1, open_low=True).check(0.0, "--share")
    Traceback (most recent call last):
    pixq.errors.PixqError: --share is 0; give a number above 0 and up to 1
    """

    low: float
    high: float
    integer: bool = False
    open_low: bool = False
    open_high: bool = False

    def __str__(self) -> str:
        kind = "a whole number" if self.integer else "a number"
        low, high = (f"{end:g}" if isinstance(end, float) else str(end) for end in (self.low, self.high))
        if not (self.open_low or self.open_high):
            return f"{kind} from {low} to {high}"
        ends = f"above {low}" if self.open_low else f"from {low}"
        return f"{kind} {ends} and {'below' if self.open_high else 'up to'} {high}"

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, Integral if self.integer else Real):
            return False
        number = int(value) if isinstance(value, Integral) else float(value)
        # Of the comparisons with NaN none is true.
        above = self.low < number if self.open_low else self.low <= number
        below = number < self.high if self.open_high else number <= self.high
        return above and below

    def check(self, value: Number, name: str) -> Number:
        """Return `value` if it is in the range; `name` is what messages call it.

        Raises
        ------
        PixqError
            If it is not, or is another type of value.
        """
        if value not in self:
            shown = f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, int) else repr(value)
            raise self._refusal(shown, name)
        return value

    def parse(self, text: str, name: str) -> float:
        """Read a number of the range from a text, as users type it.

        Raises
        ------
        PixqError
            If it is not a number, or not in the range.

        Examples
        --------
        >>> NumberRange(1, 20, integer=True).parse("1.5", "--stride")
        Traceback (most recent call last):
        pixq.errors.PixqError: --stride is 1.5; give a whole number from 1 to 20
        """
        try:
            value: float = int(text) if self.integer else float(text)
        except ValueError:
            value = math.nan
        if value not in self:
            raise self._refusal(text or "empty", name)
        return value

    def _refusal(self, shown: str, name: str) -> PixqError:
        return PixqError(f"{name} is {shown if len(shown) <= 40 else f'{shown[:37]}...'}; give {self}")


def whole(low: int, high: int) -> NumberRange:
    """The whole numbers from `low` to `high`."""
    return NumberRange(low, high, integer=True)


#: The seed of anything random.
SEED = whole(0, 2**64 - 1)
#: Threads of a command.
THREADS = whole(1, 1024)
#: Pixels between neighbouring patches; a model's patches may be smaller than the largest ones.
STRIDE = whole(1, 4096)
#: Pixels of the largest image that is read.
MAX_PIXELS = whole(1, 2**40)
#: Pixels between the patches of a patch set, which may leave some out.
GRID_STRIDE = whole(1, 2**31 - 1)
#: Patches cut at random places of an image.
PATCHES_PER_IMAGE = whole(1, 2**26)
#: Differences of 8-bit samples.
GREY_LEVELS = whole(0, 255)
#: Frames of an animation, or pages of a TIFF.
FRAME = whole(0, 2**31 - 1)
#: Records of a batch.
BATCH = whole(1, 2**31 - 1)
#: Folds of a patch set.
FOLDS = whole(1, 2**31 - 1)
#: Rows and columns of a patch.
PATCH_SIZE = whole(1, 4096)
#: Levels of a group of images.
MAX_LEVELS = whole(1, 2**31 - 1)
#: Bootstrap resamples.
RESAMPLES = whole(100, 100_000)
#: A confidence level, or another share that is neither nothing nor everything.
LEVEL = NumberRange(0, 1, open_low=True, open_high=True)
#: A share of something that may not be empty.
SHARE = NumberRange(0, 1, open_low=True)
#: How far from a limit something must stay.
MARGIN = NumberRange(0, 1, open_high=True)
#: A probability.
PROBABILITY = NumberRange(0, 1)
#: MiB of memory.
MEMORY = whole(1, 2**24)
#: The cost of an answer.
COST = NumberRange(-(10**9), 10**9)
#: A TCP port; 0 for any free one.
PORT = whole(0, 65535)
#: Pixels per degree of the field of view; 0 where nothing is smoothed.
PIXELS_PER_DEGREE = NumberRange(0, 10_000)
#: The width of an interval, in levels of a ladder.
INTERVAL_WIDTH = NumberRange(0, 1000, open_low=True)
#: How much people differ, in levels of a ladder.
SPREAD = NumberRange(0, 100)
#: Items of anything that a user asks for one by one, such as places in an image or crops of it.
COUNT = whole(1, 100_000)
#: Pixels per degree at which somebody looks at an image.
VIEWING_PPD = NumberRange(5, 500)
MULTIPLE = NumberRange(0, 1000)
STIMULUS_SIZE = whole(60, 8192)
#: Metres from an eye to a screen.
VIEWING_DISTANCE = NumberRange(0.05, 100)
#: Metres from corner to corner of a screen: 1 to 1000 inches.
DIAGONAL = NumberRange(0.0254, 25.4)
#: Columns or rows of a screen.
SCREEN_PIXELS = whole(100, 100_000)
#: Luminance of white on a screen, in cd/m2.
PEAK_LUMINANCE = NumberRange(1, 10_000)
#: Light that falls on a screen, in lux.
AMBIENT = NumberRange(0, 100_000)
