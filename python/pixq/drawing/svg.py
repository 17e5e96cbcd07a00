"""Small pictures as SVG inside a page: scales, ticks, and marks that name themselves to a screen reader."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from pixq.drawing.axes import number, ticks

__all__ = ["Scale", "Svg", "shown"]


def shown(text: str) -> str:
    r"""`text` without characters that can't be seen, or that turn the direction of what follows: they are escaped.

    Examples
    --------
    >>> shown("a\u202eb")
    'a\\u202eb'
    """
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)


def _text(text: str) -> str:
    return escape(shown(text))


@dataclass(frozen=True)
class Scale:
    """From numbers to places in a picture; by powers of ten where `log` is set.

    Examples
    --------
    >>> Scale(0.0, 2.0, 100.0, 200.0)(1.0)
    150.0
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, *, log: bool = False, pad: float = 0.05) -> Scale:
        """A scale that holds all of `values`, with some room at both ends."""
        known = list(values) or [0.0, 1.0]
        low, high = min(known), max(known)
        if log:
            low, high = math.log10(low), math.log10(high)
        room = pad * (high - low) or 0.5 * (abs(high) or 1.0)
        low, high = low - room, high + room
        return cls(10.0**low, 10.0**high, start, end, log=True) if log else cls(low, high, start, end)

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        share = (min(max(at, low), high) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers on it."""
        if not self.log:
            return ticks(self.low, self.high, count)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        units = (1.0,) if self.high / self.low > 1e4 else (1.0, 2.0, 5.0)
        inside = [unit * 10.0**power for power in powers for unit in units]
        return [value for value in inside if self.low <= value <= self.high] or [self.low, self.high]


@dataclass
class Svg:
    """A picture of `width` x `height` units, put together from marks. All text in it is escaped."""

    key: str
    title: str
    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line; `kind` is its class in the style sheet."""
        self.parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A rectangle."""
        self.parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"/>'
        )

    def polyline(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Points, joined."""
        self.parts.append(f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')

    def mark(self, x: float, y: float, shape: str, kind: str, size: float = 3.0) -> None:
        """A `circle`, or a `square`."""
        if shape == "circle":
            self.parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>')
        else:
            self.rect(x - size, y - size, 2 * size, 2 * size, kind)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start", turn: float = 0.0) -> None:
        """Words that begin, end or have their middle at (x, y)."""
        turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        named = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{_text(words)}</text>')

    def x_axis(self, scale: Scale, y: float, label: str, *, top: float, whole: bool = False) -> None:
        """Ticks below `y`, faint lines from `top` to `y`, and what is counted."""
        for value in scale.ticks():
            if whole and value != round(value):
                continue
            self.line(scale(value), top, scale(value), y, "grid")
            self.text(scale(value), y + 14, number(value), anchor="middle")
        self.line(scale.start, y, scale.end, y, "axis")
        self.text((scale.start + scale.end) / 2, y + 30, label, "label", "middle")

    def y_axis(self, scale: Scale, x: float, label: str, *, right: float) -> None:
        """Ticks left of `x`, faint lines from `x` to `right`, and what is counted, above."""
        for value in scale.ticks():
            self.line(x, scale(value), right, scale(value), "grid")
            self.text(x - 6, scale(value) + 4, number(value), anchor="end")
        self.text(2, min(scale.start, scale.end) - 8, label, "label")

    def render(self, description: str) -> str:
        """The picture as an element; `description` says what it shows to whoever can't see it."""
        key = escape(self.key, quote=True)
        return (
            f'<svg class="chart" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{_text(self.title)}</title>'
            f'<desc id="{key}-desc">{_text(description)}</desc>{"".join(self.parts)}</svg>'
        )
