"""Scales, ticks and numbers for the axes of charts, whether they are drawn as SVG or in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Scale", "number", "ticks"]


def number(value: float) -> str:
    """Write a number for a chart: with at most four digits, and with an exponent only where it must.

    Examples
    --------
    >>> number(0.5), number(1200.0), number(0.00012), number(-0.0)
    ('0.5', '1200', '1.2e-4', '0')
    """
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
        return text.replace("-", "−") if value < 0 else text
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Choose about `count` round numbers from `low` to `high`.

    Examples
    --------
    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * unit for unit in (1.0, 2.0, 5.0, 10.0) if power * unit >= rough * 0.99)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(tick * step, 12) for tick in range(first, last + 1)]


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` to positions from `start` to `end`, by powers of ten if `log` is set.

    Values outside are drawn at the nearer end.

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
        """A scale that covers `values`, with some room at both ends."""
        numbers = list(values) or [0.0, 1.0]
        low, high = min(numbers), max(numbers)
        if log:
            low, high = math.log10(low), math.log10(high)
        room = pad * (high - low) or 0.5 * (abs(high) or 1.0)
        low, high = low - room, high + room
        return cls(10.0**low, 10.0**high, start, end, log=True) if log else cls(low, high, start, end)

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        share = (min(max(value, low), high) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within the scale."""
        if not self.log:
            return ticks(self.low, self.high, count)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        units = (1.0,) if self.high / self.low > 1e4 else (1.0, 2.0, 5.0)
        inside = [unit * 10.0**power for power in powers for unit in units]
        return [value for value in inside if self.low <= value <= self.high] or [self.low, self.high]
