"""The best pair of cuts for macro-F1, which does not separate: both cuts are in the F1 of the middle class.

Branch and bound. Only places that no obvious move improves are looked at: the best orange cut never has a score that is
Red alone just above it or Orange alone just below it, nor has the best green cut Orange above or Green below. Blocks of
places for the orange cut are paired with blocks for the green cut; a pair of blocks is dropped when no pair of cuts in
it can reach the best found so far, else it is cut in four, down to single pairs. The bound is the best F1 of Red and of
Green within their blocks, plus the F1 of Orange with the most right and the fewest wrong answers that the blocks allow;
so it is never too low, and the result is exact up to rounding.

Time and memory: one pass over the n patches, then work that depends on how peaked the objective is: O(n^2) pairs in the
worst case, about n in the cases measured (benches/calibration.py). Memory is O(n): blocks are taken up depth first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["search"]

#: Pairs of blocks looked at together: enough to hide the cost of a NumPy call, few enough for a cache.
_TOGETHER = 1 << 15
#: Blocks at first, of each cut.
_FIRST = 128
#: Blocks are dropped only where they are worse by more than roundings can explain.
_SLACK = 1e-13

Places = NDArray[np.int64]


def search(below: NDArray[np.generic]) -> tuple[Places, Places]:
    """All pairs of places, orange and green, whose macro-F1 is the highest.

    Parameters
    ----------
    below
        (3, m + 1): the weight of each class below each place; the last column has the totals.
    """
    table = _Table(np.asarray(below, dtype=np.float64))
    orange, green = table.orange, table.green
    best = table.climb()
    block = 1
    while block * _FIRST < max(len(orange), len(green)):
        block *= 2
    i, j = np.indices((-(-len(orange) // block), -(-len(green) // block))).reshape(2, -1)
    waiting = [(block, i, j)]
    found: list[tuple[NDArray[np.float64], Places, Places]] = []
    while waiting:
        block, i, j = waiting.pop()
        if len(i) > _TOGETHER:
            waiting.append((block, i[_TOGETHER:], j[_TOGETHER:]))
            i, j = i[:_TOGETHER], j[:_TOGETHER]
        if block == 1:
            p, q = orange[i], green[j]
            ordered = p <= q
            p, q = p[ordered], q[ordered]
            value = table.value(p, q)
            best = max(best, float(value.max(initial=-1.0)))
            keep = value >= best
            if keep.any():
                found.append((value[keep], p[keep], q[keep]))
            continue
        keep = table.bound(block, i, j) >= best - _SLACK
        i, j = 2 * i[keep], 2 * j[keep]
        block //= 2
        i, j = np.concatenate((i, i, i + 1, i + 1)), np.concatenate((j, j + 1, j, j + 1))
        inside = (i * block < len(orange)) & (j * block < len(green))
        i, j = i[inside], j[inside]
        if len(i):
            waiting.append((block, i, j))
    value, p, q = (np.concatenate(part) for part in zip(*found, strict=True))
    return p[value == best], q[value == best]


class _Table:
    """F1 by place, and what bounds need by block."""

    def __init__(self, below: NDArray[np.float64]) -> None:
        red, middle, _ = below
        self.totals = below[:, -1]
        here = self.totals > 0
        everything = below.sum(axis=0)
        size = everything[-1]
        self.right, self.wrong = middle, everything - middle
        self.red = 2 * red / (self.totals[0] + everything) if here[0] else np.zeros_like(red)
        above = self.totals[2] - below[2]
        self.high = 2 * above / (self.totals[2] + size - everything) if here[2] else np.zeros_like(red)
        # Moving a cut over a score that holds one class alone, to the side of that class, always helps.
        pure = [(np.diff(each) > 0) & (np.diff(everything) == np.diff(each)) for each in below]
        self.orange = np.flatnonzero(~_just_above(pure[0]) & ~_just_below(pure[1]))
        self.green = np.flatnonzero(~_just_above(pure[1]) & ~_just_below(pure[2]))
        self._blocks: dict[int, tuple[NDArray[np.float64], ...]] = {}

    def value(self, p: Places, q: Places) -> NDArray[np.float64]:
        """The sum of F1 over the classes that are there."""
        middle = self._middle(self.right[q] - self.right[p], self.wrong[q] - self.wrong[p])
        total: NDArray[np.float64] = self.red[p] + self.high[q] + middle
        return total

    def _middle(self, right: NDArray[np.float64], wrong: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.totals[1] == 0:
            return np.zeros_like(right)
        result: NDArray[np.float64] = 2 * right / (self.totals[1] + right + wrong)
        return result

    def climb(self) -> float:
        """A high value to begin with: the best of a coarse grid, then the best of each cut for the other, in turn."""
        p = self.orange[np.linspace(0, len(self.orange) - 1, _FIRST).astype(np.int64)]
        q = self.green[np.linspace(0, len(self.green) - 1, _FIRST).astype(np.int64)]
        p, q = (each.ravel() for each in np.meshgrid(p, q))
        p, q = p[p <= q], q[p <= q]
        if not len(p):
            return -1.0
        value = self.value(p, q)
        at = int(value.argmax())
        best, green = float(value[at]), int(q[at])
        while True:
            before = best
            p = self.orange[self.orange <= green]
            orange = int(p[self.value(p, np.full_like(p, green)).argmax()])
            q = self.green[self.green >= orange]
            value = self.value(np.full_like(q, orange), q)
            at = int(value.argmax())
            best, green = max(best, float(value[at])), int(q[at])
            if best <= before:
                return best

    def bound(self, block: int, i: Places, j: Places) -> NDArray[np.float64]:
        """At least the highest value in each pair of blocks; below any value where none of its pairs is in order."""
        if block not in self._blocks:
            at, first, last = {}, {}, {}
            for name, places in (("orange", self.orange), ("green", self.green)):
                starts = np.arange(0, len(places), block)
                at[name] = starts
                first[name], last[name] = places[starts], places[np.minimum(starts + block, len(places)) - 1]
            self._blocks[block] = (
                np.maximum.reduceat(self.red[self.orange], at["orange"]),
                np.maximum.reduceat(self.high[self.green], at["green"]),
                self.right[first["orange"]],
                self.right[last["green"]],
                self.wrong[last["orange"]],
                self.wrong[first["green"]],
                first["orange"].astype(np.float64),
                last["green"].astype(np.float64),
            )
        red, high, right_p, right_q, wrong_p, wrong_q, first_p, last_q = self._blocks[block]
        most = np.maximum(right_q[j] - right_p[i], 0.0)
        fewest = np.maximum(wrong_q[j] - wrong_p[i], 0.0)
        return np.where(first_p[i] <= last_q[j], red[i] + high[j] + self._middle(most, fewest), -1.0)


def _just_above(pure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """By place: whether the score above it is so."""
    return np.append(pure, False)


def _just_below(pure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.insert(pure, 0, False)
