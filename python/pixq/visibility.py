"""Would a person notice the difference between two images? Visibility in JND, for a display, a distance and a task.

Visibility is not quality. A picture that is slightly brighter is as good as its reference, and yet everybody sees the
change when the two alternate. 0 JND are identical images; at 1 JND, half of the observers notice.

A formula, not a trained model: `pixq._core.visible_differences` measures each patch by contrast sensitivities that were
fitted to published detection thresholds, and by the structure of its gradients, and few numbers were then fitted to
people's answers. docs/visibility.md says to which, and how well it does on them beside other metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixq._core import visible_differences
from pixq.viewing import ViewingConditions

__all__ = [
    "NOTICED",
    "PATCH",
    "POOLING",
    "SENSITIVITY",
    "VISIBILITY_CUTS",
    "Visibility",
    "jnd_noticed_by",
    "measure_patches",
    "measure_visibility",
    "notice_probability",
]

#: How many times the threshold of detection a difference in a photograph has when half of the people notice it, by
#: task. Flicker: reference and distorted image alternate (seven sources of KonJND-1k and LocJND). Side by side: people
#: compare the two at leisure (MIDD-GAR, 136 images of seven photographs, 30 people each). Detection: observers of a
#: laboratory know where a target may appear (published thresholds; below 1, as such targets are drawn in 8 bits).
SENSITIVITY: Final = MappingProxyType({"flicker": 2.0, "side-by-side": 2.55, "detection": 0.455})

#: Side of a patch in pixels.
PATCH: Final = 20

#: A patch is Green if at most this share of people would notice it, Orange up to the second share, and Red above.
NOTICED: Final = (0.10, 0.75)

#: How steeply the share of people who notice grows with JND (MIDD-GAR).
_SLOPE = 4.3
#: Structure counts in proportion to what energy usually comes with it, between a third and three times of that.
_STRUCTURE = 19.9
_STRUCTURE_BOUND = math.log(3.0)
#: Visibility grows with the square root of a difference of mean colour, and this is the fourth power of its unit.
_COLOUR = 0.5

#: Patches are pooled by this norm, weighted by area. People look for the worst place: the higher, the more it counts.
POOLING = 5.0

#: Larger images are measured in bands of rows, so that memory stays bounded: pixels of a band, without its margins.
_BAND_PIXELS = 1 << 22
#: What is further away than this many rows changes no bit of a patch.
_MARGIN = 256
#: Bands begin where the coarsest pixels begin that are measured, after six halvings.
_COARSEST = 64


@dataclass(frozen=True)
class Visibility:
    """How visible a difference is.

    Parameters
    ----------
    jnd
        The image's JND; 0 for identical images, 1 where half of the observers notice.
    map
        (rows, columns) float64: for each patch of `PATCH` pixels a side, the JND that the image would have if no place
        had changed more than this patch. It is that of the image where the change is strongest, and everywhere if the
        change is even; it is 0 where nothing changed. Unless patches were chosen, they lie side by side from the top
        left; the last row and column may be smaller.
    viewing
        For whom and how it holds.
    """

    jnd: float
    map: NDArray[np.float64]
    viewing: ViewingConditions = field(default_factory=ViewingConditions)

    @property
    def p_notice(self) -> float:
        """The share of observers who notice, 0 to 1."""
        return float(notice_probability(self.jnd))

    def __str__(self) -> str:
        return f"{self.jnd:.2f} JND: noticed by {self.p_notice:.0%} of people"


def notice_probability(jnd: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the share of observers who notice: jnd ** 4.3 / (1 + jnd ** 4.3), a logistic function of log(jnd).

    Parameters
    ----------
    jnd
        JND, 0 or more, of any shape.

    Examples
    --------
    >>> notice_probability(np.array([0.0, 1.0, 2.0])).round(3).tolist()
    [0.0, 0.5, 0.952]
    """
    # Above 1e6, all of them: the power of a larger number may be infinite.
    odds = np.minimum(jnd, 1e6) ** _SLOPE
    share: NDArray[np.float64] = np.asarray(odds / (1.0 + odds))
    return share


def jnd_noticed_by(share: float) -> float:
    """Compute the JND that this share of observers notice, above 0 and below 1: the inverse of `notice_probability`.

    Examples
    --------
    >>> jnd_noticed_by(0.5), round(jnd_noticed_by(0.1), 2), round(jnd_noticed_by(0.75), 2)
    (1.0, 0.6, 1.29)
    """
    return float((share / (1.0 - share)) ** (1.0 / _SLOPE))


#: Minus the JND from which a patch is Orange, and Green: higher is better, as for every score.
VISIBILITY_CUTS: Final = (-jnd_noticed_by(NOTICED[1]), -jnd_noticed_by(NOTICED[0]))


def measure_visibility(
    reference: NDArray[np.uint8],
    distorted: NDArray[np.uint8],
    viewing: ViewingConditions | None = None,
    *,
    ys: NDArray[np.int64] | None = None,
    xs: NDArray[np.int64] | None = None,
    size: int = PATCH,
    on_progress: Callable[[str, int, int], object] | None = None,
) -> Visibility:
    """Measure how visible the difference between two images is.

    The two may change places: the result is the same.

    Parameters
    ----------
    reference, distorted
        (height, width, 3) uint8, sRGB; one shape.
    viewing
        How the images are looked at; by default `ViewingConditions()`, side by side. At flicker, people are a little
        more sensitive.
    ys, xs
        int64: the first row and column of pixels of each row and column of patches, which may overlap, but must cover
        the image. By default they lie side by side.
    size
        Side of a patch in pixels.
    on_progress
        Called with the stage `visibility` and the number of rows of patches.

    Raises
    ------
    ValueError, TypeError
        If the images differ in shape, are empty, or are not uint8 RGB.

    Examples
    --------
    >>> grey = np.full((100, 100, 3), 128, dtype=np.uint8)
    >>> spot = grey.copy()
    >>> spot[45:55, 45:55] += 6
    >>> seen = measure_visibility(grey, spot, ViewingConditions(task="flicker"))
    >>> print(seen)
    2.04 JND: noticed by 96% of people
    >>> seen.map.shape, int(seen.map.argmax())
    ((5, 5), 12)
    """
    viewing = viewing or ViewingConditions()
    height, width = reference.shape[:2]
    beside = ys is None or xs is None
    if ys is None or xs is None:
        ys, xs = (np.arange(0, side, size, dtype=np.int64) for side in (height, width))
    rows_of, columns_of = (np.minimum(starts + size, side) - starts for starts, side in ((ys, height), (xs, width)))
    # In square degrees.
    area = np.multiply.outer(rows_of, columns_of) / viewing.pixels_per_degree**2
    local = np.zeros(area.shape)
    for rows, pixels in _bands(ys, size, height, width):
        if on_progress is not None:
            on_progress("visibility", rows.start, len(ys))
        band = [_packed_rows(image[pixels]) for image in (reference, distorted)]
        # Side by side, the last patch of a row or column may be smaller, and those of the margin are measured, too.
        first = ys[rows] - pixels.start
        grid, start = ({}, int(first[0]) // size) if beside else ({"ys": first, "xs": xs}, 0)
        part = visible_differences(
            *band,
            size=size,
            pixels_per_degree=viewing.pixels_per_degree,
            peak_luminance=viewing.peak_luminance,
            black_luminance=viewing.black_luminance,
            **grid,
        )
        part = [values[start : start + len(first)] for values in part]
        local[rows] = _local(part, area[rows])
    if on_progress is not None:
        on_progress("visibility", len(ys), len(ys))
    # Each pixel counts once, however many patches it lies in.
    once = area * np.multiply.outer(_shares(ys, size, height), _shares(xs, size, width))
    seen = _up_to(local**POOLING, once) ** (1.0 / POOLING) / SENSITIVITY[viewing.task]
    return Visibility(float(seen.max()), seen, viewing)


def measure_patches(
    reference: NDArray[np.uint8], distorted: NDArray[np.uint8], viewing: ViewingConditions | None = None
) -> NDArray[np.float64]:
    """Measure the JND of patch pairs, each seen alone: nothing is known of what is beside it.

    Parameters
    ----------
    reference, distorted
        (n, height, width, 3) uint8, sRGB; one shape.
    viewing
        As for `measure_visibility`.

    Returns
    -------
    ndarray
        float64 (n,).

    Raises
    ------
    ValueError, TypeError
        As `measure_visibility` does.
    """
    viewing = viewing or ViewingConditions()
    part = visible_differences(
        _packed_rows(reference),
        _packed_rows(distorted),
        pixels_per_degree=viewing.pixels_per_degree,
        peak_luminance=viewing.peak_luminance,
        black_luminance=viewing.black_luminance,
    )
    area = np.array(reference.shape[1] * reference.shape[2] / viewing.pixels_per_degree**2)
    return _local(part, area) * area ** (1.0 / POOLING) / SENSITIVITY[viewing.task]


def _packed_rows(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with pixels next to each other within rows, copied only if they are not."""
    packed = image.strides[-2:] == (image.itemsize * image.shape[-1], image.itemsize)
    return image if packed else np.ascontiguousarray(image)


def _up_to(density: NDArray[np.float64], area: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each patch, the sum of density times area if no patch had a higher density than this one."""
    order = np.argsort(density, axis=None, kind="stable")
    sorted_density, sorted_area = density.ravel()[order], area.ravel()[order]
    lower = np.cumsum(sorted_density * sorted_area)
    higher = sorted_area.sum() - np.cumsum(sorted_area)
    found = np.empty(density.size)
    found[order] = lower + sorted_density * np.maximum(higher, 0.0)
    return found.reshape(density.shape)


def _local(part: list[NDArray[np.float32]], area: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many times the threshold of detection each patch's change would have on a square degree."""
    energy, colour, structure = (values.astype(np.float64) for values in part)
    contrast = (energy / area) ** 0.25
    ratio = np.log((_STRUCTURE * np.sqrt(structure) + 1e-9) / (contrast + 1e-9)) / _STRUCTURE_BOUND
    weighted: NDArray[np.float64] = energy * np.exp(2.0 * _STRUCTURE_BOUND * np.tanh(ratio))
    return ((weighted + _COLOUR * np.sqrt(colour * area)) / area) ** 0.25


def _bands(ys: NDArray[np.int64], size: int, height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows of patches, and the rows of pixels that are needed to measure them."""
    step = math.lcm(_COARSEST, size)
    margin = math.ceil(_MARGIN / step) * step
    tall = max(_BAND_PIXELS // max(width, 1) // step, 1) * step
    start = 0
    while start < len(ys):
        first = int(ys[start]) // step * step
        stop = int(np.searchsorted(ys, first + tall)) if height > tall + margin else len(ys)
        last = int(ys[stop - 1]) + size
        yield slice(start, stop), slice(max(first - margin, 0), min(last + margin, height))
        start = stop


def _shares(starts: NDArray[np.int64], size: int, length: int) -> NDArray[np.float64]:
    """For each patch along an axis, the mean over its pixels of 1 / the number of patches that a pixel lies in."""
    places = np.arange(length)
    covered = np.searchsorted(starts, places, side="right") - np.searchsorted(starts, places - size, side="right")
    sums = np.concatenate([[0.0], np.cumsum(1.0 / np.maximum(covered, 1))])
    ends = np.minimum(starts + size, length)
    shares: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return shares
