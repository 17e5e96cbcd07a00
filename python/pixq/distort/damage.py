"""Patterns of dead pixels inside the RoI of a patch: single ones, clusters and lines."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pixq.errors import PixqError
from pixq.geometry import PatchGeometry

__all__ = ["BAYER", "CASES", "TURNS", "dead_pixels"]

#: The case without dead pixels: the RoI is seen through a colour-filter array, so two of three samples are lost.
BAYER = "bayer"

#: What is lost in each case; the keys are the values of `bp_case`.
CASES: dict[str, str] = {
    "single": "one pixel",
    "pair": "two pixels that touch, in any of eight directions",
    "block2": "2x2 pixels",
    "block3": "3x3 pixels",
    "line": "5 to 11 pixels of a row, a column or a diagonal, or twice as many, two abreast",
    "cluster": "12 to 40 pixels grown at random from one",
    "several": "three to six of pair, block2 and block3",
    BAYER: "two of three samples of every pixel of the RoI, by an RGGB array",
}

#: How often each case is used: least often the small ones, which are seldom visible.
TURNS: tuple[str, ...] = tuple(
    case for case, times in zip(CASES, (1, 1, 1, 2, 2, 4, 3, 4), strict=True) for _ in range(times)
)

_GEOMETRY = PatchGeometry()
_NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_LINES = ((0, 1), (1, 0), (1, 1), (1, -1))

Mask = npt.NDArray[np.bool_]


def dead_pixels(case: str, generator: np.random.Generator) -> Mask:
    """Draw a mask of dead pixels: bool (20, 20), only True inside the central 12x12 RoI.

    Parameters
    ----------
    case
        A name in `CASES`, except `bayer`.
    generator
        Source of randomness.

    Raises
    ------
    PixqError
        If `case` is unknown.

    Examples
    --------
    >>> int(dead_pixels("block3", np.random.default_rng(0)).sum())
    9
    """
    top, left, height, width = _GEOMETRY.roi_box
    roi = np.zeros((height, width), dtype=np.bool_)
    if case == "several":
        for _ in range(generator.integers(3, 7)):
            _add(roi, _shape(("pair", "block2", "block3")[generator.integers(3)], generator), generator)
    else:
        _add(roi, _shape(case, generator), generator)
    lost = np.zeros((_GEOMETRY.size, _GEOMETRY.size), dtype=np.bool_)
    lost[top : top + height, left : left + width] = roi
    return lost


def _add(roi: Mask, shape: set[tuple[int, int]], generator: np.random.Generator) -> None:
    """Put a shape, given by rows and columns of its pixels, at a random place inside `roi`."""
    pixels = np.array(sorted(shape))
    pixels -= pixels.min(axis=0)
    room = np.array(roi.shape) - pixels.max(axis=0)
    top, left = generator.integers(room[0]), generator.integers(room[1])
    roi[pixels[:, 0] + top, pixels[:, 1] + left] = True


def _shape(case: str, generator: np.random.Generator) -> set[tuple[int, int]]:
    match case:
        case "single":
            return {(0, 0)}
        case "pair":
            return {(0, 0), _NEIGHBOURS[generator.integers(8)]}
        case "block2" | "block3":
            side = int(case[-1])
            return {(y, x) for y in range(side) for x in range(side)}
        case "line":
            down, right = _LINES[generator.integers(4)]
            length, abreast = generator.integers(5, 12), generator.integers(1, 3)
            # A second line lies beside the first: below a row, and to the right of all others.
            beside = (1, 0) if down == 0 else (0, 1)
            return {
                (step * down + other * beside[0], step * right + other * beside[1])
                for step in range(length)
                for other in range(abreast)
            }
        case "cluster":
            return _grown(int(generator.integers(12, 41)), generator)
    raise PixqError(f"unknown damage {case!r}; choose one of {', '.join(CASES)}")


def _grown(size: int, generator: np.random.Generator) -> set[tuple[int, int]]:
    """`size` pixels, each beside an earlier one (Eden's model), in a box of at most 9x9."""
    pixels = [(0, 0)]
    while len(pixels) < size:
        y, x = pixels[generator.integers(len(pixels))]
        down, right = _NEIGHBOURS[generator.integers(4)]
        if (y + down, x + right) not in pixels and max(abs(y + down), abs(x + right)) <= 4:
            pixels.append((y + down, x + right))
    return set(pixels)
