"""Small charts as SVG inside a page, with a title and a description for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from pixq.drawing.axes import Scale, number

__all__ = ["Svg", "shown"]


def shown(text: str) -> str:
    r"""Escape characters in `text` that are invisible or change the direction of what follows.

    Examples
    --------
    >>> shown("a\u202eb")
    'a\\u202eb'
    """
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)


def _text(text: str) -> str:
    return escape(shown(text))


@dataclass
class Svg:
    """A chart of `width` x `height` units, made of lines, rectangles, marks and text. All text is escaped."""

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
        """Lines between points."""
        self.parts.append(f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')

    def mark(self, x: float, y: float, shape: str, kind: str, size: float = 3.0) -> None:
        """A `circle` or a `square`."""
        if shape == "circle":
            self.parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>')
        else:
            self.rect(x - size, y - size, 2 * size, 2 * size, kind)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start", turn: float = 0.0) -> None:
        """Text that starts at (x, y), ends there, or has its middle there."""
        turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        named = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{_text(words)}</text>')

    def x_axis(self, scale: Scale, y: float, label: str, *, top: float, whole: bool = False) -> None:
        """Ticks below `y`, faint lines from `top` to `y`, and the axis label."""
        for value in scale.ticks():
            if whole and value != round(value):
                continue
            self.line(scale(value), top, scale(value), y, "grid")
            self.text(scale(value), y + 14, number(value), anchor="middle")
        self.line(scale.start, y, scale.end, y, "axis")
        self.text((scale.start + scale.end) / 2, y + 30, label, "label", "middle")

    def y_axis(self, scale: Scale, x: float, label: str, *, right: float) -> None:
        """Ticks left of `x`, faint lines from `x` to `right`, and the axis label above."""
        for value in scale.ticks():
            self.line(x, scale(value), right, scale(value), "grid")
            self.text(x - 6, scale(value) + 4, number(value), anchor="end")
        self.text(2, min(scale.start, scale.end) - 8, label, "label")

    def render(self, description: str) -> str:
        """The chart as an `<svg>` element; screen readers read out `description`."""
        key = escape(self.key, quote=True)
        return (
            f'<svg class="chart" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{_text(self.title)}</title>'
            f'<desc id="{key}-desc">{_text(description)}</desc>{"".join(self.parts)}</svg>'
        )
