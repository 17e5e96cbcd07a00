"""Colours of a page: tints of the classes' colours, and text that stays legible on them."""

from __future__ import annotations

__all__ = ["luminance", "mix", "text_on"]


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def mix(color: str, share: float) -> str:
    """Mix a colour with white; `share` is that of the colour. Colours are `#rrggbb`.

    Examples
    --------
    >>> mix("#c93a32", 0.0), mix("#c93a32", 1.0)
    ('#ffffff', '#c93a32')
    """
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in _rgb(color))


def luminance(color: str) -> float:
    """Compute the relative luminance of `#rrggbb`, 0 to 1 (WCAG 2.2)."""
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in _rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_on(color: str) -> str:
    """Choose black or white text, whichever has more contrast with `color`: always 4.5 or more.

    Examples
    --------
    >>> text_on("#ffffff"), text_on("#0072b2")
    ('#000000', '#ffffff')
    """
    light = luminance(color)
    return "#000000" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "#ffffff"
