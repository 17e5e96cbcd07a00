"""Would a person notice the difference between two images? Visibility in JND, for a display, a distance and a task.

Visibility is not quality. A picture that is slightly brighter is as good as its reference, and yet everybody sees the
change when the two alternate. 0 JND are identical images; at 1 JND, half of the observers notice.

A formula, not a trained model: `pixq._core.visible_differences` measures each patch by contrast sensitivities that were
fitted to published detection thresholds, and by the structure of its gradients, and few numbers were then fitted to
people's answers. docs/visibility.md says to which, and how well it does on them beside other metrics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pixq._core import visible_differences
from pixq.errors import PixqError
from pixq.viewing import ViewingConditions

__all__ = ["PATCH", "TASKS", "Task", "Visibility", "measure_visibility", "notice_probability"]

Task = Literal["flicker", "side-by-side"]

#: What people do, and how many times the threshold of detection a difference in a photograph has when half of them
#: notice it. Flicker: reference and distorted image alternate (seven sources of KonJND-1k and LocJND). Side by side:
#: people compare the two at leisure (MIDD-GAR, 136 images of seven photographs, 30 people each).
TASKS: Final = MappingProxyType({"flicker": 2.6, "side-by-side": 3.4})

#: Side of a patch in pixels.
PATCH: Final = 20

#: How steeply the share of people who notice grows with JND (MIDD-GAR).
_SLOPE = 2.65
#: Structure counts in proportion to what energy usually comes with it, between a third and three times of that.
_STRUCTURE = 19.9
_STRUCTURE_BOUND = math.log(3.0)


@dataclass(frozen=True)
class Visibility:
    """How visible a difference is.

    Parameters
    ----------
    jnd
        The image's JND; 0 for identical images, 1 where half of the observers notice.
    map
        (rows, columns) float64: the JND of each patch of `PATCH` pixels a side, as if it alone had changed. Patches lie
        side by side from the top left; the last row and column may be smaller.
    """

    jnd: float
    map: NDArray[np.float64]

    @property
    def p_notice(self) -> float:
        """The share of observers who notice, 0 to 1."""
        return float(notice_probability(self.jnd))


def notice_probability(jnd: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the share of observers who notice: 1 - 0.5 ** (jnd ** 2.65), a Weibull function.

    Parameters
    ----------
    jnd
        JND, 0 or more, of any shape.

    Examples
    --------
    >>> notice_probability(np.array([0.0, 1.0, 2.0])).round(3).tolist()
    [0.0, 0.5, 0.987]
    """
    # 0.5 to the power of a large number is 0, whatever the number.
    share: NDArray[np.float64] = -np.expm1(-math.log(2.0) * np.minimum(jnd, 100.0) ** _SLOPE)
    return share


def measure_visibility(
    reference: NDArray[np.uint8],
    distorted: NDArray[np.uint8],
    viewing: ViewingConditions | None = None,
    task: Task = "side-by-side",
) -> Visibility:
    """Measure how visible the difference between two images is.

    The two may change places: the result is the same.

    Parameters
    ----------
    reference, distorted
        (height, width, 3) uint8, sRGB; one shape.
    viewing
        How the images are looked at; by default `ViewingConditions()`.
    task
        `side-by-side`, or `flicker`, at which people are a little more sensitive.

    Raises
    ------
    PixqError
        If the task is unknown.
    ValueError, TypeError
        If the images differ in shape, are empty, or are not uint8 RGB.

    Examples
    --------
    >>> grey = np.full((100, 100, 3), 128, dtype=np.uint8)
    >>> spot = grey.copy()
    >>> spot[45:55, 45:55] += 6
    >>> seen = measure_visibility(grey, spot, task="flicker")
    >>> f"noticed by {seen.p_notice:.0%} of people, {seen.jnd:.1f} JND"
    'noticed by 86% of people, 1.5 JND'
    >>> seen.map.shape, int(seen.map.argmax())
    ((5, 5), 12)
    """
    if task not in TASKS:
        raise PixqError(f"the task is {task!r}; choose {' or '.join(TASKS)}")
    viewing = viewing or ViewingConditions()
    energy, colour, structure = (
        values.astype(np.float64)
        for values in visible_differences(
            np.ascontiguousarray(reference),
            np.ascontiguousarray(distorted),
            size=PATCH,
            pixels_per_degree=viewing.pixels_per_degree,
            peak_luminance=viewing.peak_luminance,
            black_luminance=viewing.black_luminance,
        )
    )
    height, width = reference.shape[:2]
    sides = (np.diff(np.append(np.arange(0, side, PATCH), side)) for side in (height, width))
    area = np.multiply.outer(*sides) / viewing.pixels_per_degree**2
    contrast = (energy / area) ** 0.25
    ratio = np.log((_STRUCTURE * np.sqrt(structure) + 1e-9) / (contrast + 1e-9)) / _STRUCTURE_BOUND
    total = energy * np.exp(2.0 * _STRUCTURE_BOUND * np.tanh(ratio)) + colour
    return Visibility(float(total.sum() ** 0.25 / TASKS[task]), total**0.25 / TASKS[task])
