"""The pictures of a report. Each tells with shape, place and words what it tells with colour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pixq.classes import CLASSES
from pixq.drawing.axes import Scale, number
from pixq.drawing.svg import Svg
from pixq.evaluation.evaluation_file import Histogram, ReliabilityBin
from pixq.statistics.estimates import Cut
from pixq.visibility import VISIBILITY_CUTS, notice_probability

__all__ = ["Series", "cut_line", "histogram", "intervals", "lines", "meaning", "reliability"]

WIDTH = 360.0

#: What an axis of scores is called whose scores are of visibility.
_MINUS_JND = "score, minus the JND"


@dataclass(frozen=True)
class Series:
    """A line of a chart: its name, the mark of its points, and the points known."""

    name: str
    shape: Literal["circle", "square", "none"]
    points: Sequence[tuple[float, float]]


def lines(
    key: str, title: str, series: Sequence[Series], y_label: str, *, best: int | None = None, powers: bool = False
) -> str:
    """Numbers by epoch.

    Parameters
    ----------
    best
        The epoch that is marked as kept.
    powers
        Whether the y axis is by powers of ten where all numbers are above 0 and differ by more than tenfold.
    """
    picture = Svg(key, title, WIDTH, 250)
    left, right, top, bottom = 52.0, WIDTH - 10, 52.0, 208.0
    values = [y for each in series for _, y in each.points]
    epochs = [x for each in series for x, _ in each.points]
    log = powers and bool(values) and min(values) > 0 and max(values) > 10 * min(values)
    y_scale = Scale.over(values, bottom, top, log=log)
    x_scale = Scale(min(epochs, default=0.0), max(max(epochs, default=1.0), min(epochs, default=0.0) + 1), left, right)
    picture.x_axis(x_scale, bottom, "epoch", top=top, whole=True)
    picture.y_axis(y_scale, left, y_label + (", by powers of ten" if log else ""), right=right)
    at = left
    for number_of, each in enumerate(series):
        kind = f"series-{number_of + 1}"
        picture.line(at, 12, at + 22, 12, kind)
        picture.mark(at + 11, 12, each.shape, f"{kind} point")
        picture.text(at + 28, 16, each.name, "label")
        at += 46 + 7 * len(each.name)
        points = [(x_scale(x), y_scale(y)) for x, y in each.points]
        picture.polyline(points, kind)
        # Where points would touch, the line alone is clearer.
        for x, y in points if len(points) <= 40 else []:
            picture.mark(x, y, each.shape, f"{kind} point", 2.6)
    if best is not None:
        picture.line(x_scale(best), top, x_scale(best), bottom, "best")
        picture.line(at + 2, 4, at + 2, 20, "best")
        picture.text(at + 9, 16, f"kept: epoch {best}", "label")
    known = [
        f"{each.name}: from {number(each.points[0][1])} to {number(each.points[-1][1])} at epoch {each.points[-1][0]:g}"
        for each in series
        if each.points
    ]
    return picture.render(
        "; ".join([*known, *([f"epoch {best} was kept"] if best is not None else [])]) or "no epoch yet"
    )


def meaning(key: str, title: str, series: Sequence[Series], *, jnd: bool = False) -> str:
    """Quality and probabilities, 0 to 1, by score."""
    picture = Svg(key, title, WIDTH, 250)
    left, right, top, bottom = 40.0, WIDTH - 14, 52.0, 208.0
    scores = [x for each in series for x, _ in each.points]
    x_scale, y_scale = Scale.over(scores, left, right, pad=0.02), Scale(0.0, 1.0, bottom, top)
    picture.x_axis(x_scale, bottom, _MINUS_JND if jnd else "score", top=top)
    picture.y_axis(y_scale, left, "quality, or probability", right=right)
    at = 6.0
    told = []
    for number_of, each in enumerate(series):
        kind = f"series-{number_of + 1}"
        picture.line(at, 12, at + 22, 12, kind)
        picture.text(at + 27, 16, each.name, "label")
        at += 46 + 6.3 * len(each.name)
        picture.polyline([(x_scale(x), y_scale(y)) for x, y in each.points], kind)
        if each.points:
            ends = [f"{number(y)} at {number(x)}" for x, y in (each.points[0], each.points[-1])]
            told.append(f"{each.name}: from {ends[0]} to {ends[1]}")
    return picture.render("; ".join(told) or "no curve")


def _region(picture: Svg, x: float, width: float, y: float, which: int) -> None:
    """A stretch of scores that get one answer."""
    if width < 0.5:
        return
    each = CLASSES[which]
    picture.rect(x, y, width, 18, f"fill-{which}")
    words = f"{each.mark} {each.name}" if width > 8 * len(each.name) + 16 else each.mark
    if width > 12:
        picture.text(x + width / 2, y + 13, words, f"on-{which}", "middle")


def _answers(picture: Svg, scale: Scale, cuts: tuple[float, float], y: float) -> None:
    """The answers along an axis of scores."""
    edges = [scale.start, scale(cuts[0]), scale(cuts[1]), scale.end]
    for which, (low, high) in enumerate(pairwise(edges)):
        _region(picture, low, high - low, y, which)


def describe_cut(cut: float, *, jnd: bool = False) -> str:
    """From which score a class is given, in words; with `jnd`, the score is minus the JND.

    Examples
    --------
    >>> describe_cut(0.25), describe_cut(-1.2914, jnd=True)
    ('from 0.25', 'up to 1.291 JND (75 % notice)')
    """
    if not jnd:
        return f"from {number(cut)}"
    share = float(notice_probability(max(-cut, 0.0)))
    people = "under 1" if share < 0.01 else f"{100 * share:.0f}"
    return f"up to {number(round(-cut, 4))} JND ({people} % notice)"


def describe_cuts(cuts: tuple[float, float], *, jnd: bool = False) -> str:
    """From which scores a patch is what, in words; a cut may be infinite.

    Examples
    --------
    >>> describe_cuts((0.25, math.inf))
    'Orange from 0.25; Green is never given'
    """
    orange, green = cuts
    told = []
    for name, cut, below in (("Orange", orange, "Red"), ("Green", green, "Orange")):
        if cut == math.inf:
            told.append(f"{name} is never given")
        elif cut == -math.inf:
            told.append(f"{below} is never given")
        elif name == "Orange" and orange == green:
            told.append("Orange is never given")
        else:
            told.append(f"{name} {describe_cut(cut, jnd=jnd)}")
    if orange == green and math.isinf(orange):
        told = ["every answer is Red" if orange > 0 else "every answer is Green"]
    return "; ".join(told)


def cut_line(key: str, title: str, cuts: Mapping[str, Cut], *, jnd: bool = False) -> str:
    """The axis of scores, the answers along it, and the intervals of the two cuts; see `describe_cut`."""
    picture = Svg(key, title, WIDTH, 128)
    ends = [end for cut in cuts.values() for end in (cut.value, cut.low, cut.high) if end is not None]
    finite = [end for end in ends if math.isfinite(end)]
    floor, ceiling = (2 * min(finite, default=VISIBILITY_CUTS[0]), 0.0) if jnd else (0.0, 1.0)
    scale = Scale(min([floor, *finite]), max([ceiling, *finite]), 14, WIDTH - 14)
    _answers(picture, scale, (cuts["orange"].value, cuts["green"].value), 10)
    told = []
    for row, (name, cut) in enumerate(cuts.items()):
        y = 44.0 + 18 * row
        if cut.low is not None and cut.high is not None:
            picture.line(scale(cut.low), y, scale(cut.high), y, "whisker")
        if math.isfinite(cut.value):
            picture.line(scale(cut.value), 28, scale(cut.value), y, "cut")
            picture.mark(scale(cut.value), y, "circle", "point ink", 3.4)
            low = cut.low if cut.low is not None else cut.value
            high = cut.high if cut.high is not None else cut.value
            # On its own side of the other cut's line, where there is room.
            room = 100.0
            before = scale(low) > room if row == 0 else scale(high) + room > scale.end
            x = scale(low) - 8 if before else scale(high) + 8
            words = f"{name.capitalize()} {describe_cut(cut.value, jnd=jnd).partition(' (')[0]}"
            picture.text(x, y + 4, words, "", "end" if before else "start")
        told.append(f"{name} {number(cut.value) if math.isfinite(cut.value) else 'no finite cut'}")
    picture.x_axis(scale, 84, _MINUS_JND if jnd else "score", top=78)
    described = describe_cuts((cuts["orange"].value, cuts["green"].value), jnd=jnd)
    return picture.render(f"{described}. Cuts: {', '.join(told)}")


def histogram(key: str, title: str, data: Histogram, cuts: tuple[float, float] | None, *, jnd: bool = False) -> str:
    """The model's scores, a panel a true class, with the cuts and what is answered between them."""
    picture = Svg(key, title, WIDTH, 332)
    left, right, tall = 14.0, WIDTH - 14, 58.0
    finite = [cut for cut in cuts or () if math.isfinite(cut)]
    ends = [*data.edges, *finite] if len(data.edges) > 1 else [0.0, 1.0, *finite]
    scale = Scale(min(ends), max(ends), left, right)
    first = 48.0
    bottom = first + 3 * (tall + 22)
    if cuts is not None:
        picture.text(left, 12, "answer", "label")
        _answers(picture, scale, cuts, 18)
    told = []
    for row, each in enumerate(CLASSES):
        counts, base = data.counts[each.name], first + row * (tall + 22) + 16 + tall
        total, most = sum(counts), max(counts, default=0)
        picture.text(left, base - tall - 4, f"truth: {each.mark} {each.name}, {total:,}", "label")
        for (low, high), count in zip(pairwise(data.edges), counts, strict=True):
            if count:
                height = max(tall * count / most, 1.0)
                width = max(scale(high) - scale(low) - 0.6, 0.6)
                picture.rect(scale(low), base - height, width, height, f"fill-{row} bar")
        picture.line(left, base, right, base, "axis")
        told.append(
            f"{each.name}: {total} patches" + (f", middle about {number(_median(data, each.name))}" if total else "")
        )
    for cut in finite:
        picture.line(scale(cut), 36, scale(cut), bottom, "cut")
    picture.x_axis(scale, bottom, _MINUS_JND if jnd else "score of the model", top=bottom)
    return picture.render("; ".join(told) + (f". Cuts: {describe_cuts(cuts, jnd=jnd)}" if cuts else ". No cuts"))


def _median(data: Histogram, name: str) -> float:
    """The middle of the bin that holds the median."""
    half, seen = sum(data.counts[name]) / 2, 0
    middles = [(low + high) / 2 for low, high in pairwise(data.edges)]
    for middle, count in zip(middles, data.counts[name], strict=True):
        seen += count
        if seen >= half:
            return middle
    return middles[-1]


def reliability(key: str, title: str, bins: Sequence[ReliabilityBin]) -> str:
    """The share of right answers by confidence; on the diagonal a model knows how sure it is."""
    picture = Svg(key, title, WIDTH, 332)
    left, right, top, bottom = 44.0, WIDTH - 16, 28.0, 290.0
    x_scale, y_scale = Scale(0.0, 1.0, left, right), Scale(0.0, 1.0, bottom, top)
    picture.x_axis(x_scale, bottom, "confidence in the answer", top=top)
    picture.y_axis(y_scale, left, "share of right answers; larger circles, more patches", right=right)
    picture.line(x_scale(0), y_scale(0), x_scale(1), y_scale(1), "diagonal")
    filled = [each for each in bins if each.count]
    most = max((each.count for each in filled), default=1)
    for each in filled:
        x = x_scale(each.confidence)
        picture.line(x, y_scale(each.confidence), x, y_scale(each.accuracy), "gap")
    picture.polyline([(x_scale(each.confidence), y_scale(each.accuracy)) for each in filled], "series-1")
    for each in filled:
        size = 2.5 + 6 * math.sqrt(each.count / most)
        picture.mark(x_scale(each.confidence), y_scale(each.accuracy), "circle", "series-1 point", size)
    told = [f"confidence {each.confidence:.2f}, right {each.accuracy:.2f}, {each.count} patches" for each in filled]
    return picture.render("; ".join(told) or "no answers")


def intervals(
    key: str, title: str, rows: Sequence[tuple[str, float | None, float | None, float | None]], *, chance: float | None
) -> str:
    """A value and its interval a row, the first being the model's; `chance` is marked."""
    names = 128.0
    picture = Svg(key, title, WIDTH, 30 + 24.0 * len(rows) + 34)
    ends = [end for row in rows for end in row[1:] if end is not None] + ([chance] if chance is not None else [])
    scale = Scale.over(ends, names, WIDTH - 14)
    bottom = 26 + 24.0 * len(rows)
    picture.x_axis(scale, bottom, title, top=22)
    if chance is not None:
        picture.line(scale(chance), 18, scale(chance), bottom, "chance")
        picture.text(scale(chance), 13, "chance", "", "middle")
    if rows and rows[0][1] is not None:
        picture.line(scale(rows[0][1]), 22, scale(rows[0][1]), bottom, "best")
    told = []
    for at, (name, value, low, high) in enumerate(rows):
        y = 36 + 24.0 * at
        kind = "series-1" if at == 0 else "ink"
        short = name if len(name) <= 19 else name[:18] + "…"
        picture.text(names - 10, y + 4, short, "strong" if at == 0 else "", "end")
        if low is not None and high is not None:
            picture.line(scale(low), y, scale(high), y, f"whisker {kind}")
        if value is None:
            picture.text(names + 4, y + 4, "not defined")
        else:
            picture.mark(scale(value), y, "circle" if at == 0 else "square", f"{kind} point", 4.2 if at == 0 else 3.4)
        told.append(f"{name}: {'not defined' if value is None else number(value)}")
    return picture.render("; ".join(told))
