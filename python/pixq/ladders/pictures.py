"""Pictures of a ladder: its curve with the PJND, and the JND-critical regions of a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.classes import CLASSES, GREEN, RED
from pixq.decisions.pjnd_cuts import GreenCut
from pixq.drawing.axes import Scale, number
from pixq.drawing.image_scaling import LONGEST, scale_of
from pixq.drawing.legend import BACKGROUND, FAINT, HAIRLINE, INK, Text, rgb
from pixq.drawing.map_pictures import overlay
from pixq.errors import PixqError
from pixq.ladders.critical import DEGREE, CriticalPoint
from pixq.ladders.pjnd import Pjnd
from pixq.scoring.quality_map import QualityMap

__all__ = ["describe_pjnd", "draw_curve", "draw_regions"]

#: Size of the curve's picture, and margins of the plot, in pixels.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 440, 76, 28, 56, 64
#: Pictures are drawn this many times larger and then shrunk, since Pillow's own edges are jagged.
_FINE = 2


def draw_curve(
    title: str,
    levels: Sequence[float],
    quantiles: Sequence[float],
    cut: GreenCut,
    prediction: Pjnd,
    *,
    safe: bool = False,
    jnd: bool = False,
) -> NDArray[np.uint8]:
    """Draw the score quantile or the JND of each level, and the cut and the PJND with their intervals.

    Parameters
    ----------
    title
        The ladder's name.
    levels, quantiles
        (n,) each, by rising level; an infinite quantile, of a level that equals the reference, is drawn at the top.
    cut
        The Green cut.
    prediction
        The PJND that follows from it.
    safe
        Use colours for colour-blind readers.
    jnd
        The quantiles are minus the JND of the levels' images: draw JND, which rises with visibility.

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
    >>> draw_curve("a", [1, 2], [0.9, 0.4], GreenCut(0.6), Pjnd(2.0, 1.0, 2.0)).shape
    (440, 960, 3)
    """
    from PIL import Image, ImageDraw

    if not len(levels):
        raise PixqError("there is no level to draw; give a ladder with at least one")
    sign = -1.0 if jnd else 1.0
    heights, at_cut = [sign * value for value in quantiles], sign * cut.value
    band = sorted(sign * end for end in (cut.low, cut.high) if end is not None)
    finite = [value for value in (*heights, at_cut, *band) if np.isfinite(value)]
    low, high = min(finite), max(finite)
    room = 0.08 * (high - low) or 0.1
    start, stop = min(levels), max(levels)
    if start == stop:
        start, stop = start - 1, stop + 1
    sheet = Image.new("RGB", (_WIDTH * _FINE, _HEIGHT * _FINE), BACKGROUND)
    draw, text = ImageDraw.Draw(sheet), Text(16 * _FINE)
    left, right, top, bottom = _LEFT * _FINE, (_WIDTH - _RIGHT) * _FINE, _TOP * _FINE, (_HEIGHT - _BOTTOM) * _FINE
    x, y = Scale(start, stop, left, right), Scale(low - room, high + room, bottom, top)
    green, red = (rgb(item.safe_color if safe else item.color) for item in (CLASSES[GREEN], CLASSES[RED]))

    def words(x: float, y: float, what: str, anchor: str, ink: tuple[int, int, int] = INK) -> None:
        draw.text((x, y), what, fill=ink, font=text.small, anchor=anchor)

    if prediction.above != stop:
        first = start if prediction.above is None else prediction.above
        last = stop if prediction.up_to is None else prediction.up_to
        draw.rectangle((x(first), top, x(last), bottom), fill=(236, 236, 232))
    if len(band) == 2:
        pale = tuple(round(0.82 * paper + 0.18 * ink) for paper, ink in zip(BACKGROUND, green, strict=True))
        draw.rectangle((left, y(band[1]), right, y(band[0])), fill=pale)
    for value in y.ticks():
        draw.line((left, y(value), right, y(value)), fill=HAIRLINE)
        words(left - 8 * _FINE, y(value), number(value), "rm")
    for value in x.ticks(8):
        draw.line((x(value), bottom, x(value), bottom + 5 * _FINE), fill=FAINT)
        words(x(value), bottom + 8 * _FINE, number(value), "ma")
    draw.line((left, y(at_cut), right, y(at_cut)), fill=green, width=2 * _FINE)
    label = ("above: noticed", "lb") if jnd else ("below: not Green", "la")
    words(left + 6 * _FINE, y(at_cut) + sign * 4 * _FINE, *label, green)
    places = [(x(level), y(height)) for level, height in zip(levels, heights, strict=True)]
    draw.line(places, fill=FAINT, width=2 * _FINE)
    for (across, down), value in zip(places, quantiles, strict=True):
        ink, radius = red if cut.below(value) else INK, 3 * _FINE
        draw.ellipse((across - radius, down - radius, across + radius, down + radius), fill=ink)
    if prediction.level is not None:
        draw.line((x(prediction.level), top, x(prediction.level), bottom), fill=INK, width=_FINE)
    people = jnd and cut.inclusive
    draw.text((left, 10 * _FINE), f"{title}: {describe_pjnd(prediction, people=people)}", fill=INK, font=text.font)
    note = "score of the worst patches, red where noticed; bands: intervals of the Green cut and of the PJND"
    if jnd:
        bands = "25 % to 75 % of people notice" if people else "intervals of the fitted JND and of the PJND"
        note = f"JND, red where noticed; bands: {bands}"
    words(left, 34 * _FINE, note, "la", FAINT)
    words((left + right) / 2, (_HEIGHT - 12) * _FINE, "level", "md")
    return np.asarray(sheet.resize((_WIDTH, _HEIGHT), Image.Resampling.BOX)).copy()


def describe_pjnd(prediction: Pjnd, *, people: bool = False) -> str:
    """Write a PJND in words; with `people`, its interval is where 25 % and 75 % of people notice.

    Examples
    --------
    >>> describe_pjnd(Pjnd(30.0, 20.0, 40.0)), describe_pjnd(Pjnd(None, 40.0, None))
    ('PJND 30 (above 20, up to 40)', 'PJND above 40: no level is noticed')
    >>> describe_pjnd(Pjnd(30.0, None, 30.0))
    'PJND 30 or lower: the ladder begins with a level that is noticed'
    >>> describe_pjnd(Pjnd(30.0, 20.0, 40.0), people=True)
    'PJND 30 (fewer than 25 % of people notice up to level 20, 75 % at level 40)'
    """
    if people:
        return _describe_people(prediction)
    above = "" if prediction.above is None else f"above {prediction.above:g}"
    up_to = "" if prediction.up_to is None else f", up to {prediction.up_to:g}"
    if prediction.level is None:
        return f"PJND {above or 'unknown'}: no level is noticed"
    if not above:
        higher = "" if prediction.up_to == prediction.level else up_to or " or higher"
        return f"PJND {prediction.level:g} or lower{higher}: the ladder begins with a level that is noticed"
    return f"PJND {prediction.level:g} ({above}{up_to})"


def _describe_people(prediction: Pjnd) -> str:
    few = "25 % of people notice every level"
    if prediction.above is not None:
        few = f"fewer than 25 % of people notice up to level {prediction.above:g}"
    if prediction.level is None:
        return f"no level is noticed by half of the people ({few})"
    many = "75 % no level" if prediction.up_to is None else f"75 % at level {prediction.up_to:g}"
    return f"PJND {prediction.level:g} ({few}, {many})"


def draw_regions(
    quality_map: QualityMap,
    image: NDArray[Any],
    points: Sequence[CriticalPoint],
    *,
    degree: float = DEGREE,
    safe: bool = False,
    longest: int = LONGEST,
) -> NDArray[np.uint8]:
    """Draw a map with a numbered circle of one degree's radius around each JND-critical place.

    Parameters
    ----------
    quality_map, image, safe, longest
        As for `pixq.drawing.map_pictures.overlay`.
    points
        The places, as `pixq.ladders.critical.critical_points` returns them; the first is number 1.
    degree
        Pixels per degree.

    Raises
    ------
    PixqError, TypeError, ValueError
        As `overlay` does.
    """
    from PIL import Image, ImageDraw

    picture = overlay(quality_map, image, safe=safe, longest=longest)
    scale = scale_of(quality_map.grid, longest)
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
