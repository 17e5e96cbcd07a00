"""Legends below the pictures of maps: classes and their shares, the colour bar, and a line of facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixq.classes import CLASSES
from pixq.scoring.quality_map import WORST, QualityMap
from pixq.visibility import NOTICED

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "BACKGROUND",
    "INK",
    "LUMA",
    "Entry",
    "Text",
    "colour_bar",
    "draw_legend",
    "entries",
    "facts",
    "rgb",
    "shares",
    "text_size",
]

BACKGROUND, INK, FAINT, HAIRLINE = (250, 250, 248), (30, 30, 30), (100, 100, 100), (190, 190, 186)

#: The weights of a colour's channels in grey: Rec. 601, as in JPEG.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

#: Swatches and marks are drawn this many times larger and then shrunk, since Pillow's own edges are jagged.
_FINE = 4

_Color = tuple[int, int, int]


def rgb(color: str) -> _Color:
    """Convert `#rrggbb` to three numbers.

    Examples
    --------
    >>> rgb("#c93a32")
    (201, 58, 50)
    """
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


def shares(quality_map: QualityMap) -> list[str]:
    """The share of each class in percent: tenths add up to 100, and a class with any patch is never shown as zero.

    Examples
    --------
    >>> from pixq.drawing.legend import _tenths
    >>> _tenths([1, 1, 1]), _tenths([1, 0, 99999])
    (['33.4 %', '33.3 %', '33.3 %'], ['<0.1 %', '0.0 %', '>99.9 %'])
    """
    return _tenths(np.bincount(quality_map.classes.ravel(), minlength=len(CLASSES)).tolist())


def _tenths(counts: Sequence[int]) -> list[str]:
    total = sum(counts)
    whole = [1000 * count // total for count in counts]
    # The largest remainders are rounded up; of equal ones, the first.
    by_remainder = sorted(range(len(counts)), key=lambda number: -(1000 * counts[number] % total))
    for number in by_remainder[: 1000 - sum(whole)]:
        whole[number] += 1
    return [_percent(tenths, count, total) for tenths, count in zip(whole, counts, strict=True)]


def _percent(tenths: int, count: int, total: int) -> str:
    if tenths == 0 and count:
        return "<0.1 %"
    if tenths == 1000 and count < total:
        return ">99.9 %"
    return f"{tenths / 10:.1f} %"


@dataclass(frozen=True)
class Entry:
    """An entry of a legend: a swatch of `color` with a `mark`, or hatched if it has none, and its text."""

    color: _Color
    mark: str | None
    name: str
    meaning: str
    share: str


def entries(quality_map: QualityMap, *, safe: bool = False) -> list[Entry]:
    """The legend's entries: the classes, worst first, and `unsure` where the calibration has conformal sets."""
    listed = [
        Entry(rgb(item.safe_color if safe else item.color), item.mark, item.name, item.meaning, share)
        for item, share in zip(CLASSES, shares(quality_map), strict=True)
    ]
    if quality_map.unsure is not None:
        count, total = int(quality_map.unsure.sum()), quality_map.unsure.size
        share = _percent(round(1000 * count / total), count, total)
        listed.append(Entry(HAIRLINE, None, "Unsure", "the class may be another", share))
    return listed


def facts(quality_map: QualityMap) -> str:
    """A line about the whole pair: who notices, its quality, its worst patches, and where the cuts come from."""
    verdict, seen = quality_map.verdict, quality_map.visibility
    if quality_map.calibration is not None:
        cuts = f"calibration {quality_map.calibration}"
    elif quality_map.cut_scale == "visibility":
        cuts = f"classes by the share of people who notice: {NOTICED[0]:.0%}, {NOTICED[1]:.0%}"
    else:
        cuts = "cuts of quality, no calibration"
    noticed = "" if seen is None else f"{seen} ({seen.viewing}); "
    worst = f"worst {WORST:g}\u00a0% of patches: {verdict.worst:.2f} or less"
    return f"{noticed}image quality {verdict.quality:.2f}; {worst}; {cuts}"


def text_size(width: int) -> int:
    """Height of letters for a picture of `width`, in pixels: a fixed share of it, but always legible."""
    return min(max(round(width / 52), 13), 160)


class Text:
    """The font of a picture, at one size and at a smaller one."""

    def __init__(self, size: int) -> None:
        from PIL import ImageFont

        self.size = size
        self.line = round(size * 1.75)
        self.font, self.small = ImageFont.load_default(size), ImageFont.load_default(max(round(size * 0.86), 12))

    def length(self, words: str, *, small: bool = False) -> int:
        """The width of `words`, in pixels."""
        return int(np.ceil((self.small if small else self.font).getlength(words)))

    def wrap(self, words: str, width: int) -> list[str]:
        """Break `words`, in the smaller size, into as many lines as they take."""
        lines: list[str] = []
        for word in words.split(" "):
            if lines and self.length(f"{lines[-1]} {word}", small=True) <= width:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        # The default font has no glyph for a non-breaking space.
        return [line.replace("\u00a0", " ") for line in lines]


def draw_legend(
    quality_map: QualityMap, width: int, *, size: int, safe: bool = False, hatch: Callable[..., Any]
) -> NDArray[np.uint8]:
    """Draw the legend below a picture: uint8 (height, width, 3), wider than `width` if the words would not fit.

    Parameters
    ----------
    quality_map
        The map.
    width
        Width of the picture, in pixels.
    size
        Height of letters, in pixels; see `text_size`.
    safe
        Use colours for colour-blind readers.
    hatch
        Makes a bool array of a shape that is true where the hatching of unsure cells has lines.
    """
    from PIL import Image, ImageDraw

    text = Text(size)
    listed = entries(quality_map, safe=safe)
    pad, gap, side = round(text.size * 0.9), round(text.size * 2.2), round(text.size * 1.35)
    widths = [side + _words(text, entry)[-1][0] for entry in listed]
    room = width - 2 * pad
    across = next((n for n in range(len(listed), 1, -1) if _columns(widths, n, gap)[-1] <= room), 1)
    lefts = _columns(widths, across, gap)
    width = max(width, lefts[-1] + 2 * pad)
    notes = text.wrap(facts(quality_map), width - 2 * pad)
    rows = -(-len(listed) // across)
    small = round(text.line * 0.8)
    strip = Image.new("RGB", (width, round(pad * 1.6) + rows * text.line + len(notes) * small), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    for number, entry in enumerate(listed):
        left, top = pad + lefts[number % across], round(pad * 0.8) + number // across * text.line
        strip.paste(_swatch(entry, side, hatch), (left, top + (text.line - side) // 2))
        words = _words(text, entry)
        for (at, _), word, ink in zip(words, (entry.name, entry.meaning, entry.share), (INK, FAINT, INK), strict=False):
            draw.text((left + side + at, top + text.line / 2), word, ink, text.font, anchor="lm")
    for number, note in enumerate(notes):
        top = round(pad * 0.8) + rows * text.line + number * small
        draw.text((pad, top + small / 2), note, FAINT, text.small, anchor="lm")
    return np.asarray(strip)


def _words(text: Text, entry: Entry) -> list[tuple[int, str]]:
    """Where the words of an entry begin, right of the swatch, and, last, where they end."""
    places, at = [], round(text.size * 0.5)
    for word in (entry.name, entry.meaning, entry.share):
        places.append((at, word))
        at += text.length(word) + round(text.size * 0.5)
    return [*places, (at - round(text.size * 0.5), "")]


def _columns(widths: Sequence[int], across: int, gap: int) -> list[int]:
    """Where columns of entries begin, and, last, where the last of them ends."""
    edges = [0]
    for column in range(across):
        edges.append(edges[-1] + max(widths[column::across]) + gap)
    return [*edges[:-1], edges[-1] - gap]


def _swatch(entry: Entry, side: int, hatch: Callable[..., Any]) -> Image:
    from PIL import Image, ImageDraw

    if entry.mark is None:
        lines = hatch((side, side))
        return Image.fromarray(np.where(lines[..., None], INK, entry.color).astype(np.uint8))
    large = side * _FINE
    swatch = Image.new("RGB", (large, large), BACKGROUND)
    draw = ImageDraw.Draw(swatch)
    draw.rounded_rectangle((0, 0, large - 1, large - 1), large // 6, entry.color)
    # The default font does not have these signs.
    ink = INK if np.dot(entry.color, LUMA) > 140 else (255, 255, 255)
    middle, half = large / 2, large * 0.26
    if entry.mark == "●":
        draw.ellipse((middle - half, middle - half, middle + half, middle + half), ink)
    elif entry.mark == "◆":
        reach = half * 1.15
        draw.polygon(
            [(middle, middle - reach), (middle + reach, middle), (middle, middle + reach), (middle - reach, middle)],
            ink,
        )
    else:
        draw.polygon(
            [
                (middle, middle - half),
                (middle + half * 1.1, middle + half * 0.85),
                (middle - half * 1.1, middle + half * 0.85),
            ],
            ink,
        )
    return swatch.resize((side, side), Image.Resampling.BOX)


def colour_bar(quality_map: QualityMap, width: int, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the colour bar below a heat map: colours, numbers, and their meaning.

    The numbers are shares of people who notice, or, where visibility was not measured, qualities.

    Parameters
    ----------
    quality_map
        The map.
    width
        Width of the picture, in pixels.
    colours
        uint8 (256, 3), from obvious to what nobody notices.
    """
    from PIL import Image, ImageDraw

    text = Text(text_size(width))
    pad, tall = round(text.size * 0.9), round(text.size * 1.2)
    ends = [item for item in CLASSES if item.quality in (0.0, 1.0)]
    least = sum(text.length(item.meaning, small=True) for item in ends) + 2 * text.size
    width = max(width, least + 2 * pad)
    long, small = width - 2 * pad, round(text.line * 0.8)
    notes = text.wrap(facts(quality_map), long)
    strip = Image.new("RGB", (width, round(pad * 1.8) + tall + (2 + len(notes)) * small + text.size // 4), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    bar = colours[np.rint(np.linspace(0, 255, long)).astype(np.intp)]
    strip.paste(Image.fromarray(np.ascontiguousarray(np.broadcast_to(bar, (tall, long, 3)))), (pad, pad))
    draw.rectangle((pad - 1, pad - 1, pad + long, pad + tall), outline=HAIRLINE)
    top = pad + tall + text.size // 4
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        at, anchor = pad + value * (long - 1), "l" if value == 0 else "r" if value == 1 else "m"
        draw.line((at, pad + tall, at, top), FAINT)
        label = f"{value:g}" if quality_map.visibility is None else f"{1 - value:.0%}"
        draw.text((at, top + small / 2), label, INK, text.small, anchor=f"{anchor}m")
    # Only the ends have a meaning: where some people notice depends on the cuts, which apply to scores.
    for item in ends:
        anchor = "l" if item.quality == 0 else "r"
        draw.text(
            (pad + item.quality * (long - 1), top + small * 1.5), item.meaning, FAINT, text.small, anchor=f"{anchor}m"
        )
    for number, note in enumerate(notes):
        draw.text((pad, top + text.size // 4 + (number + 2.5) * small), note, FAINT, text.small, anchor="lm")
    return np.asarray(strip)
