"""The best pair of cuts for macro-F1, which does not separate: the F1 of the middle class depends on both cuts.

The search is branch and bound. It only looks at places that no obvious move improves: just above the best orange cut
there is never a score that only Red patches have, and just below it none that only Orange patches have; the same holds
for the best green cut, with Orange above and Green below. Blocks of places for the orange cut are paired with blocks
for the green cut. A pair of blocks is dropped if no pair of cuts in it can reach the best one found so far; otherwise
it is split in four, down to single pairs. The bound is the best F1 of Red and of Green within their blocks, plus the F1
of Orange with the most right and the fewest wrong answers that the blocks allow. It is never too low, so the result is
exact up to rounding.

Time: one pass over the n patches, then work that depends on how peaked the objective is: O(n^2) pairs in the worst
case, about n in the cases measured (benches/calibration.py). Memory is O(n), because blocks are processed depth first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["search"]

#: Number of block pairs processed together: enough to hide the cost of a NumPy call, few enough to fit into a cache.
_TOGETHER = 1 << 15
#: Number of blocks to start with, for each cut.
_FIRST = 128
#: Blocks are only dropped if they are worse by more than rounding errors can explain.
_SLACK = 1e-13

Places = NDArray[np.int64]


def search(below: NDArray[np.generic]) -> tuple[Places, Places]:
    """Find all pairs of places, orange and green, with the highest macro-F1.

    Parameters
    ----------
    below
        (3, m + 1): the weight of each class below each place; the last column holds the totals.
    """
    table = _Table(np.asarray(below, dtype=np.float64))
    orange, green = table.orange, table.green
    best = table.climb()
    block = 1
    while block * _FIRST < max(len(orange), len(green)):
        block *= 2
    i, j = np.indices((-(-len(orange) // block), -(-len(green) // block))).reshape(2, -1)
    waiting = [(block, i, j)]
    candidates: list[tuple[NDArray[np.float64], Places, Places]] = []
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
                candidates.append((value[keep], p[keep], q[keep]))
            continue
        keep = table.bound(block, i, j) >= best - _SLACK
        i, j = 2 * i[keep], 2 * j[keep]
        block //= 2
        i, j = np.concatenate((i, i, i + 1, i + 1)), np.concatenate((j, j + 1, j, j + 1))
        inside = (i * block < len(orange)) & (j * block < len(green))
        i, j = i[inside], j[inside]
        if len(i):
            waiting.append((block, i, j))
    value, p, q = (np.concatenate(part) for part in zip(*candidates, strict=True))
    return p[value == best], q[value == best]


class _Table:
    """The F1 at each place, and the numbers that bounds need for each block."""

    def __init__(self, below: NDArray[np.float64]) -> None:
        red, middle, _ = below
        self.totals = below[:, -1]
        present = self.totals > 0
        everything = below.sum(axis=0)
        size = everything[-1]
        self.right, self.wrong = middle, everything - middle
        self.red = 2 * red / (self.totals[0] + everything) if present[0] else np.zeros_like(red)
        above = self.totals[2] - below[2]
        self.high = 2 * above / (self.totals[2] + size - everything) if present[2] else np.zeros_like(red)
        # Moving a cut across a score that only one class has, to the side of that class, always helps.
        pure = [(np.diff(one) > 0) & (np.diff(everything) == np.diff(one)) for one in below]
        self.orange = np.flatnonzero(~_just_above(pure[0]) & ~_just_below(pure[1]))
        self.green = np.flatnonzero(~_just_above(pure[1]) & ~_just_below(pure[2]))
        self._blocks: dict[int, tuple[NDArray[np.float64], ...]] = {}

    def value(self, p: Places, q: Places) -> NDArray[np.float64]:
        """Compute the sum of F1 over the classes that are present."""
        middle = self._middle(self.right[q] - self.right[p], self.wrong[q] - self.wrong[p])
        total: NDArray[np.float64] = self.red[p] + self.high[q] + middle
        return total

    def _middle(self, right: NDArray[np.float64], wrong: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.totals[1] == 0:
            return np.zeros_like(right)
        result: NDArray[np.float64] = 2 * right / (self.totals[1] + right + wrong)
        return result

    def climb(self) -> float:
        """Find a high value to start with: the best of a coarse grid, then the best of each cut in turn."""
        p = self.orange[np.linspace(0, len(self.orange) - 1, _FIRST).astype(np.int64)]
        q = self.green[np.linspace(0, len(self.green) - 1, _FIRST).astype(np.int64)]
        p, q = (places.ravel() for places in np.meshgrid(p, q))
        p, q = p[p <= q], q[p <= q]
        if not len(p):
            return -1.0
        value = self.value(p, q)
        highest = int(value.argmax())
        best, green = float(value[highest]), int(q[highest])
        while True:
            before = best
            p = self.orange[self.orange <= green]
            orange = int(p[self.value(p, np.full_like(p, green)).argmax()])
            q = self.green[self.green >= orange]
            value = self.value(np.full_like(q, orange), q)
            highest = int(value.argmax())
            best, green = max(best, float(value[highest])), int(q[highest])
            if best <= before:
                return best

    def bound(self, block: int, i: Places, j: Places) -> NDArray[np.float64]:
        """Compute an upper bound of the value in each pair of blocks; -1 if none of its pairs is in order."""
        if block not in self._blocks:
            starts, first, last = {}, {}, {}
            for name, places in (("orange", self.orange), ("green", self.green)):
                starts[name] = np.arange(0, len(places), block)
                first[name] = places[starts[name]]
                last[name] = places[np.minimum(starts[name] + block, len(places)) - 1]
            self._blocks[block] = (
                np.maximum.reduceat(self.red[self.orange], starts["orange"]),
                np.maximum.reduceat(self.high[self.green], starts["green"]),
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
    """Tell for each place whether only one class has the score above it."""
    return np.append(pure, False)


def _just_below(pure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell for each place whether only one class has the score below it."""
    return np.insert(pure, 0, False)
