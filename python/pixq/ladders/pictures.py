"""Pictures of a ladder: its curve with the PJND, and the JND-critical places of a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.classes import CLASSES, GREEN, RED
from pixq.decisions.pjnd_cuts import GreenCut
from pixq.drawing.axes import number, ticks
from pixq.drawing.image_scaling import LONGEST, scale_of
from pixq.drawing.legend import BACKGROUND, FAINT, HAIRLINE, INK, Text, rgb
from pixq.drawing.map_pictures import overlay
from pixq.errors import PixqError
from pixq.ladders.critical import DEGREE, CriticalPoint
from pixq.ladders.pjnd import Pjnd
from pixq.scoring.quality_map import QualityMap

__all__ = ["curve", "described", "regions"]

#: Pixels of the curve's picture, and of the room round what is drawn.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 440, 76, 28, 56, 64
#: Lines are drawn this many times as large and shrunk: Pillow's own edges are jagged.
_FINE = 2


def curve(
    title: str,
    levels: Sequence[float],
    edges: Sequence[float],
    cut: GreenCut,
    found: Pjnd,
    *,
    safe: bool = False,
) -> NDArray[np.uint8]:
    """The edge of a ladder's maps by level, the Green cut with its interval, and the PJND with its own.

    Parameters
    ----------
    title
        What the ladder is called.
    levels, edges
        (n,) each, rising levels; an infinite edge, of a level that equals the reference, is drawn at the top.
    cut
        The Green cut.
    found
        The PJND by it.
    safe
        Colours for colour-blind readers.

    Returns
    -------
    ndarray
        uint8 (height, width, 3) RGB.

    Raises
    ------
    PixqError
        If there is no level.

    Examples
    --------
    >>> curve("a", [1, 2], [0.9, 0.4], GreenCut(0.6), Pjnd(2.0, 1.0, 2.0)).shape
    (440, 960, 3)
    """
    from PIL import Image, ImageDraw

    if not len(levels):
        raise PixqError("there is no level to draw")
    finite = [each for each in (*edges, cut.value, cut.low, cut.high) if each is not None and np.isfinite(each)]
    low, high = min(finite), max(finite)
    room = 0.08 * (high - low) or 0.1
    low, high = low - room, high + room
    start, stop = min(levels), max(levels)
    if start == stop:
        start, stop = start - 1, stop + 1
    sheet = Image.new("RGB", (_WIDTH * _FINE, _HEIGHT * _FINE), BACKGROUND)
    draw, text = ImageDraw.Draw(sheet), Text(16 * _FINE)

    def x(level: float) -> float:
        return (_LEFT + (level - start) / (stop - start) * (_WIDTH - _LEFT - _RIGHT)) * _FINE

    def y(value: float) -> float:
        inside = min(max(value, low), high)
        return (_TOP + (high - inside) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)) * _FINE

    def color(which: int) -> tuple[int, int, int]:
        each = CLASSES[which]
        return rgb(each.safe_color if safe else each.color)

    def pale(of: tuple[int, int, int]) -> tuple[int, int, int]:
        red, green, blue = (round(0.82 * paper + 0.18 * ink) for paper, ink in zip(BACKGROUND, of, strict=True))
        return red, green, blue

    def words(at: tuple[float, float], what: str, anchor: str, ink: tuple[int, int, int] = INK) -> None:
        draw.text(at, what, fill=ink, font=text.small, anchor=anchor)

    top, bottom = y(high), y(low)
    if found.above != stop:
        first, last = start if found.above is None else found.above, stop if found.up_to is None else found.up_to
        draw.rectangle((x(first), top, x(last), bottom), fill=(236, 236, 232))
    if cut.low is not None and cut.high is not None:
        draw.rectangle((x(start), y(cut.high), x(stop), y(cut.low)), fill=pale(color(GREEN)))
    for value in ticks(low, high):
        draw.line((x(start), y(value), x(stop), y(value)), fill=HAIRLINE)
        words((x(start) - 8 * _FINE, y(value)), number(value), "rm")
    for value in ticks(start, stop, 8):
        draw.line((x(value), bottom, x(value), bottom + 5 * _FINE), fill=FAINT)
        words((x(value), bottom + 8 * _FINE), number(value), "ma")
    draw.line((x(start), y(cut.value), x(stop), y(cut.value)), fill=color(GREEN), width=2 * _FINE)
    words((x(start) + 6 * _FINE, y(cut.value) + 4 * _FINE), "below: not Green", "la", color(GREEN))
    places = [(x(level), y(edge)) for level, edge in zip(levels, edges, strict=True)]
    draw.line(places, fill=FAINT, width=2 * _FINE)
    for place, edge in zip(places, edges, strict=True):
        ink, radius = INK if edge >= cut.value else color(RED), 3 * _FINE
        draw.ellipse((place[0] - radius, place[1] - radius, place[0] + radius, place[1] + radius), fill=ink)
    if found.level is not None:
        draw.line((x(found.level), top, x(found.level), bottom), fill=INK, width=_FINE)
    draw.text((_LEFT * _FINE, 10 * _FINE), f"{title}: {described(found)}", fill=INK, font=text.font)
    words(
        (_LEFT * _FINE, 34 * _FINE),
        "score of the worst patches, red where noticed; bands: what the Green cut, and the PJND, could be",
        "la",
        FAINT,
    )
    words(((_LEFT + _WIDTH - _RIGHT) / 2 * _FINE, (_HEIGHT - 12) * _FINE), "level", "md")
    return np.asarray(sheet.resize((_WIDTH, _HEIGHT), Image.Resampling.BOX)).copy()


def described(found: Pjnd) -> str:
    """A PJND in words.

    Examples
    --------
    >>> described(Pjnd(30.0, 20.0, 40.0)), described(Pjnd(None, 40.0, None))
    ('PJND 30 (above 20, up to 40)', 'PJND above 40: no level is noticed')
    >>> described(Pjnd(30.0, None, 30.0))
    'PJND 30 or lower: the ladder begins with a level that is noticed'
    """
    above = "" if found.above is None else f"above {found.above:g}"
    if found.level is None:
        return f"PJND {above or 'unknown'}: no level is noticed"
    if not above:
        higher = (
            "" if found.up_to == found.level else " or higher" if found.up_to is None else f", up to {found.up_to:g}"
        )
        return f"PJND {found.level:g} or lower{higher}: the ladder begins with a level that is noticed"
    return f"PJND {found.level:g} ({above}{'' if found.up_to is None else f', up to {found.up_to:g}'})"


def regions(
    found: QualityMap,
    image: NDArray[Any],
    points: Sequence[CriticalPoint],
    *,
    degree: float = DEGREE,
    safe: bool = False,
    longest: int = LONGEST,
) -> NDArray[np.uint8]:
    """The picture of a map, with a numbered circle round each JND-critical place, of a degree's radius.

    Parameters
    ----------
    found, image, safe, longest
        As for `pixq.drawing.map_pictures.overlay`.
    points
        As `pixq.ladders.critical.critical_points` gives them; the first is number 1.
    degree
        Pixels of one degree.

    Raises
    ------
    PixqError, TypeError, ValueError
        As `overlay`.
    """
    from PIL import Image, ImageDraw

    picture = overlay(found, image, safe=safe, longest=longest)
    scale = scale_of(found.grid, longest)
    factor = scale.enlarge / scale.shrink
    sheet = Image.fromarray(picture)
    draw = ImageDraw.Draw(sheet)
    thick = max(round(picture.shape[1] / 320), 2)
    text = Text(max(8 * thick, 13))
    for rank, point in enumerate(points, start=1):
        x, y, radius = (point.x + 0.5) * factor, (point.y + 0.5) * factor, max(degree * factor, 4.0 * thick)
        for ink, width in ((INK, 2 * thick), (BACKGROUND, thick)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=width)
        at = (min(max(x, radius * 0.2 + text.size), sheet.width - text.size), max(y - radius, text.size))
        draw.text(at, str(rank), fill=BACKGROUND, font=text.font, anchor="mm", stroke_width=thick, stroke_fill=INK)
    return np.asarray(sheet).copy()
