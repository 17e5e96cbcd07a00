"""Red, Orange and Green: their order, names, labels, colours and meaning, all from here.

A class is a number, worst first, so it grows with quality: 0 is Red, 1 is Orange, 2 is Green. Two cut points of a score
that is higher for better patches make classes of it; `classify` is the only place that does.
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
    """One of the three.

    Parameters
    ----------
    name
        As people read it, and as files have it.
    quality
        The quality that stands for it: 0, 0.5 or 1; the label of Samsung-style triplets.
    meaning
        Who would notice.
    color
        For screens and paper, as `#rrggbb`.
    safe_color
        The same for colour-blind readers: of Okabe and Ito's palette, 2008.
    mark
        A sign that tells it without any colour.
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
NAMES = tuple(each.name for each in CLASSES)

#: The qualities from which a patch is Orange, and Green, where a dataset's labels are finer than classes.
QUALITY_CUTS = (0.33, 0.66)


def classify(score: ArrayLike, cuts: tuple[float, float] = QUALITY_CUTS) -> NDArray[np.int8]:
    """The class of each score: how many of the cuts it reaches.

    Parameters
    ----------
    score
        Of any shape; higher is better.
    cuts
        The scores from which a patch is Orange, and Green, in this order; infinite where a class is never given.

    Raises
    ------
    PixqError
        If the cuts fall, or one is not a number.
    ValueError
        If a score is not a number.

    Examples
    --------
    >>> [NAMES[each] for each in classify([0.1, 0.33, 0.6, 0.66, 1.0])]
    ['Red', 'Orange', 'Orange', 'Green', 'Green']
    """
    orange, green = (float(cut) for cut in cuts)
    if math.isnan(orange) or math.isnan(green) or orange > green:
        raise PixqError(
            f"the cuts {orange:g}, {green:g} are not in order; give that of Orange first, then that of Green"
        )
    values = np.asarray(score, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError("a score is not a number")
    return (values >= orange).astype(np.int8) + (values >= green).astype(np.int8)


def class_of_label(name: str) -> int:
    """The class called `name`, in any case.

    Raises
    ------
    PixqError
        If there is none.

    Examples
    --------
    >>> class_of_label("GREEN") == GREEN
    True
    """
    for number, known in enumerate(NAMES):
        if known.lower() == name.strip().lower():
            return number
    raise PixqError(f"there is no class {name!r}; the classes are {', '.join(NAMES)}")
