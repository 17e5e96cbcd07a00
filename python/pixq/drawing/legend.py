"""What stands below a picture of a map, and never on it: classes, shares, the colour bar, and words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixq.classes import CLASSES
from pixq.scoring.quality_map import WORST, QualityMap

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

#: What a colour weighs in grey: Rec. 601, as JPEG has it.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

#: Swatches and marks are drawn this many times as large and shrunk: Pillow's own edges are jagged.
_FINE = 4

_Color = tuple[int, int, int]


def rgb(color: str) -> _Color:
    """`#rrggbb` as numbers.

    Examples
    --------
    >>> rgb("#c93a32")
    (201, 58, 50)
    """
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


def shares(found: QualityMap) -> list[str]:
    """The share of each class in percent, in words: tenths that add up to 100, and no class that is there at zero.

    Examples
    --------
    >>> from pixq.drawing.legend import _tenths
    >>> _tenths([1, 1, 1]), _tenths([1, 0, 99999])
    (['33.4 %', '33.3 %', '33.3 %'], ['<0.1 %', '0.0 %', '>99.9 %'])
    """
    return _tenths(np.bincount(found.classes.ravel(), minlength=len(CLASSES)).tolist())


def _tenths(counts: Sequence[int]) -> list[str]:
    total = sum(counts)
    whole = [1000 * count // total for count in counts]
    # The largest remainders get what is missing, the first class of equal ones.
    by_remainder = sorted(range(len(counts)), key=lambda each: -(1000 * counts[each] % total))
    for each in by_remainder[: 1000 - sum(whole)]:
        whole[each] += 1
    return [_percent(tenths, count, total) for tenths, count in zip(whole, counts, strict=True)]


def _percent(tenths: int, count: int, total: int) -> str:
    if tenths == 0 and count:
        return "<0.1 %"
    if tenths == 1000 and count < total:
        return ">99.9 %"
    return f"{tenths / 10:.1f} %"


@dataclass(frozen=True)
class Entry:
    """A swatch of `color` with a `mark`, or hatched where it has none, and what it says."""

    color: _Color
    mark: str | None
    name: str
    meaning: str
    share: str


def entries(found: QualityMap, *, safe: bool = False) -> list[Entry]:
    """The legend's entries: the classes, worst first, and `unsure` where the calibration has conformal sets."""
    listed = [
        Entry(rgb(each.safe_color if safe else each.color), each.mark, each.name, each.meaning, share)
        for each, share in zip(CLASSES, shares(found), strict=True)
    ]
    if found.unsure is not None:
        count, total = int(found.unsure.sum()), found.unsure.size
        share = _percent(round(1000 * count / total), count, total)
        listed.append(Entry(HAIRLINE, None, "Unsure", "the class may be another", share))
    return listed


def facts(found: QualityMap) -> str:
    """What else is said of the pair, in a line."""
    verdict = found.verdict
    cuts = "cuts of quality, no calibration" if found.calibration is None else f"calibration {found.calibration}"
    return (
        f"image quality {verdict.quality:.2f}; worst {WORST:g}\u00a0% of patches: {verdict.worst:.2f} or less; {cuts}"
    )


def text_size(width: int) -> int:
    """Height of letters, in pixels, for a picture of `width`: the same share of it, but always legible."""
    return min(max(round(width / 52), 13), 160)


class Text:
    """The font of a picture, at a size and at a smaller one."""

    def __init__(self, size: int) -> None:
        from PIL import ImageFont

        self.size = size
        self.line = round(size * 1.75)
        self.font, self.small = ImageFont.load_default(size), ImageFont.load_default(max(round(size * 0.86), 12))

    def length(self, words: str, *, small: bool = False) -> int:
        """How wide `words` are, in pixels."""
        return int(np.ceil((self.small if small else self.font).getlength(words)))

    def wrap(self, words: str, width: int) -> list[str]:
        """`words` in the smaller size, on as many lines as it takes."""
        lines: list[str] = []
        for word in words.split(" "):
            if lines and self.length(f"{lines[-1]} {word}", small=True) <= width:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        # The default font has no glyph for a space that does not break.
        return [line.replace("\u00a0", " ") for line in lines]


def draw_legend(
    found: QualityMap, width: int, *, size: int, safe: bool = False, hatch: Callable[..., Any]
) -> NDArray[np.uint8]:
    """The strip below a picture: uint8 (height, width, 3), wider than asked where the words would not fit.

    Parameters
    ----------
    found
        The map.
    width
        Of the picture, in pixels.
    size
        Height of letters, in pixels; see `text_size`.
    safe
        Colours for colour-blind readers.
    hatch
        From a shape to a bool array of it: where the hatching of unsure cells has lines.
    """
    from PIL import Image, ImageDraw

    text = Text(size)
    listed = entries(found, safe=safe)
    pad, gap, side = round(text.size * 0.9), round(text.size * 2.2), round(text.size * 1.35)
    widths = [side + _words(text, entry)[-1][0] for entry in listed]
    room = width - 2 * pad
    across = next((n for n in range(len(listed), 1, -1) if _columns(widths, n, gap)[-1] <= room), 1)
    lefts = _columns(widths, across, gap)
    width = max(width, lefts[-1] + 2 * pad)
    notes = text.wrap(facts(found), width - 2 * pad)
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
    """How far right of the swatch the words of an entry begin, and, last, where they end."""
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
    # The default font has no such signs.
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


def colour_bar(found: QualityMap, width: int, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The strip below a heat map: colours from quality 0 to 1, numbers, and what they mean.

    Parameters
    ----------
    found
        The map.
    width
        Of the picture, in pixels.
    colours
        uint8 (256, 3): from quality 0 to 1.
    """
    from PIL import Image, ImageDraw

    text = Text(text_size(width))
    pad, tall = round(text.size * 0.9), round(text.size * 1.2)
    ends = [each for each in CLASSES if each.quality in (0.0, 1.0)]
    least = sum(text.length(each.meaning, small=True) for each in ends) + 2 * text.size
    width = max(width, least + 2 * pad)
    long, small = width - 2 * pad, round(text.line * 0.8)
    notes = text.wrap(facts(found), long)
    strip = Image.new("RGB", (width, round(pad * 1.8) + tall + (2 + len(notes)) * small + text.size // 4), BACKGROUND)
    draw = ImageDraw.Draw(strip)
    bar = colours[np.rint(np.linspace(0, 255, long)).astype(np.intp)]
    strip.paste(Image.fromarray(np.ascontiguousarray(np.broadcast_to(bar, (tall, long, 3)))), (pad, pad))
    draw.rectangle((pad - 1, pad - 1, pad + long, pad + tall), outline=HAIRLINE)
    top = pad + tall + text.size // 4
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        at, anchor = pad + value * (long - 1), "l" if value == 0 else "r" if value == 1 else "m"
        draw.line((at, pad + tall, at, top), FAINT)
        draw.text((at, top + small / 2), f"{value:g}", INK, text.small, anchor=f"{anchor}m")
    # Only the ends: where some people notice is for the cuts to say, which are of scores.
    for each in ends:
        at = pad + each.quality * (long - 1)
        anchor = "l" if each.quality == 0 else "r"
        draw.text((at, top + small * 1.5), each.meaning, FAINT, text.small, anchor=f"{anchor}m")
    for number, note in enumerate(notes):
        draw.text((pad, top + text.size // 4 + (number + 2.5) * small), note, FAINT, text.small, anchor="lm")
    return np.asarray(strip)
