"""The classes Red, Orange and Green: their order, names, colours and meaning, defined once for the whole package.

A class is a number that grows with quality: 0 is Red, 1 is Orange, 2 is Green. `classify` is the only function that
turns scores into classes, by two cuts. Scores are higher for better patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.errors import PixqError

__all__ = ["CLASSES", "GREEN", "NAMES", "ORANGE", "QUALITY_CUTS", "RED", "PatchClass", "class_of_label", "classify"]


@dataclass(frozen=True)
class PatchClass:
    """One of the three classes.

    Parameters
    ----------
    name
        The name in files and for people.
    quality
        The quality that represents it: 0, 0.5 or 1, the labels of triplets in Samsung's layout.
    meaning
        Who would notice.
    color
        Its colour on screens and paper, as `#rrggbb`.
    safe_color
        Its colour for colour-blind readers, from Okabe and Ito's palette (2008).
    mark
        A sign that identifies it without colour.
    """

    name: str
    quality: float
    meaning: str
    color: str
    safe_color: str
    mark: str


#: Worst first.
CLASSES = (
    PatchClass("Red", 0.0, "obvious", "#c93a32", "#d55e00", "▲"),
    PatchClass("Orange", 0.5, "some people notice", "#f0a030", "#f0e442", "◆"),
    PatchClass("Green", 1.0, "nobody notices", "#3a9a4b", "#0072b2", "●"),
)
RED, ORANGE, GREEN = range(3)
NAMES = tuple(patch_class.name for patch_class in CLASSES)

#: The qualities from which a patch is Orange, and Green, where a dataset's labels are finer than classes.
QUALITY_CUTS = (0.33, 0.66)


def classify(score: ArrayLike, cuts: tuple[float, float] = QUALITY_CUTS) -> NDArray[np.int8]:
    """Turn scores into classes: the class of a score is the number of cuts that it reaches.

    Parameters
    ----------
    score
        Scores in an array of any shape; higher is better.
    cuts
        The scores from which a patch is Orange, and Green, in this order; infinite if a class is never given.

    Raises
    ------
    PixqError
        If the second cut is below the first, or one is not a number.
    ValueError
        If a score is not a number.

    Examples
    --------
    >>> [NAMES[number] for number in classify([0.1, 0.33, 0.6, 0.66, 1.0])]
    ['Red', 'Orange', 'Orange', 'Green', 'Green']
    """
    orange, green = (float(cut) for cut in cuts)
    if math.isnan(orange) or math.isnan(green) or orange > green:
        raise PixqError(
            f"the cuts {orange:g}, {green:g} are not in order; give the cut of Orange first, then the cut of Green"
        )
    values = np.asarray(score, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    return (values >= orange).astype(np.int8) + (values >= green).astype(np.int8)


def class_of_label(name: str) -> int:
    """The number of the class with this name, in upper or lower case.

    Raises
    ------
    PixqError
        If there is no such class.

    Examples
    --------
    >>> class_of_label("GREEN") == GREEN
    True
    """
    for number, class_name in enumerate(NAMES):
        if class_name.lower() == name.strip().lower():
            return number
    raise PixqError(f"there is no class {name!r}; the classes are {', '.join(NAMES)}")
