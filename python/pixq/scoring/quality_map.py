"""The map of an image pair: scores and classes of all its patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.classes import CLASSES, NAMES
from pixq.decisions.decision import CutScale
from pixq.scoring.grid import Grid
from pixq.visibility import Visibility, notice_probability

__all__ = ["WORST", "QualityMap", "Verdict"]

#: The percentile of patches' quality that is reported as an image's worst.
WORST = 5.0


@dataclass(frozen=True)
class Verdict:
    """The summary of a whole image pair.

    Parameters
    ----------
    quality
        The image's score, 0 to 1, 1 = nobody notices: its patches' qualities, pooled as the model's recipe says.
    worst
        The `WORST`-th percentile of its patches' qualities, 0 to 1.
    shares
        The share of patches of each class, by its name, worst first; their sum is 1.
    unsure
        The share of patches whose class is unsure; `None` where the calibration has no conformal sets.
    identical
        The share of patches that equal the reference at 8 bits.
    jnd
        How visible the change is: 0 for identical images, 1 where half of the people notice; `None` if it was not
        measured, as in files of earlier versions.
    p_notice
        The share of people who notice, 0 to 1; `None` likewise.
    """

    quality: float
    worst: float
    shares: dict[str, float]
    unsure: float | None
    identical: float
    jnd: float | None = None
    p_notice: float | None = None


@dataclass(frozen=True)
class QualityMap:
    """Scores and classes of the patches of an image pair; the arrays are (rows, columns) of `grid`.

    Parameters
    ----------
    grid
        The positions of the patches.
    score
        float64: what calibrations cut, on the model's own scale; higher is better, infinite where `identical`.
    quality
        float32, 0 to 1, 1 = nobody notices.
    classes
        int8: numbers of `pixq.classes.CLASSES`, worst first.
    identical
        bool: the patch equals its reference in every pixel once both are rounded to 8 bits. The model does not score
        it: it has quality 1, is Green, and is not unsure.
    unsure
        bool: the patch's conformal set does not have exactly one class; `None` where there are no sets.
    pooled
        The image's quality; see `Verdict`.
    cuts
        The scores from which a patch is Orange, and Green.
    calibration
        Name of the calibration that set the cuts; `None` if none did.
    visibility
        How visible the change is, in JND, of the image and of each patch, and under which viewing conditions; `None` if
        it was not measured, as in files of earlier versions. A patch that equals its reference has 0 JND.
    cut_scale
        What the cuts apply to.
    best_score
        The least that a patch scores in which nothing can be seen: 1 for a score of quality, 0 for minus the JND.
    """

    grid: Grid
    score: NDArray[np.float64]
    quality: NDArray[np.float32]
    classes: NDArray[np.int8]
    identical: NDArray[np.bool_]
    unsure: NDArray[np.bool_] | None
    pooled: float
    cuts: tuple[float, float]
    calibration: str | None
    visibility: Visibility | None = None
    cut_scale: CutScale = "score"
    best_score: float = 1.0

    @property
    def verdict(self) -> Verdict:
        """The summary of the whole pair."""
        counts = np.bincount(self.classes.ravel(), minlength=len(CLASSES)) / self.classes.size
        return Verdict(
            self.pooled,
            float(np.percentile(self.quality, WORST)),
            dict(zip(NAMES, counts.tolist(), strict=True)),
            None if self.unsure is None else float(self.unsure.mean()),
            float(self.identical.mean()),
            None if self.visibility is None else self.visibility.jnd,
            None if self.visibility is None else self.visibility.p_notice,
        )

    @property
    def jnd(self) -> NDArray[np.float64] | None:
        """The JND of each patch; `None` if it was not measured."""
        return None if self.visibility is None else self.visibility.map

    @property
    def unnoticed(self) -> NDArray[np.float32]:
        """The share of people who don't notice each patch; the quality, where visibility was not measured."""
        if self.visibility is None:
            return self.quality
        return (1.0 - notice_probability(self.visibility.map)).astype(np.float32)

    @property
    def decimals(self) -> NDArray[np.str_]:
        """The qualities with the fewest digits that identify each float32, (rows * columns,): 0.83."""
        return self.quality.ravel().astype("U")

    def per_pixel(self) -> NDArray[np.float32]:
        """The quality of each pixel, float32 (height, width), interpolated linearly between the centres of patches.

        Beyond the outermost centres it is constant.
        """
        return self.at(np.arange(self.grid.height), np.arange(self.grid.width))

    def at(self, ys: ArrayLike, xs: ArrayLike, values: NDArray[np.floating] | None = None) -> NDArray[np.float32]:
        """`per_pixel` at some rows and columns only, such as a band of a 100-megapixel image.

        Parameters
        ----------
        ys, xs
            Rows (m,) and columns (n,) in pixels; fractions lie between two pixels.
        values
            (rows, columns) of the grid, such as `jnd`, to use instead of the quality.

        Returns
        -------
        ndarray
            float32 (m, n); at whole rows and columns it equals `per_pixel()[ys][:, xs]` bit for bit.

        Examples
        --------
        >>> quality = np.array([[0.25, 1.0]], np.float32)
        >>> flat = np.zeros((1, 2), bool)
        >>> found = QualityMap(
        ...     Grid(20, 30), quality.astype(float), quality, np.array([[0, 2]], np.int8), flat, None, 0.5, (0, 1), None
        ... )
        >>> found.at([0], [0, 9.5, 14.5, 29]).tolist()
        [[0.25, 0.25, 0.625, 1.0]]
        """
        rows, columns = (
            _weights(starts, np.asarray(places, np.float64), self.grid.size)
            for starts, places in ((self.grid.ys, ys), (self.grid.xs, xs))
        )
        down = _between(self.quality if values is None else values.astype(np.float32), rows)
        return np.ascontiguousarray(_between(np.ascontiguousarray(down.T), columns).T)


_Weights = tuple[NDArray[np.int64], NDArray[np.float32]]


def _weights(starts: NDArray[np.int64], places: NDArray[np.float64], size: int) -> _Weights:
    """For each place, the centre before it, and the fraction of the way to the next centre, 0 to 1."""
    centres = starts + (size - 1) / 2
    if len(centres) == 1:
        return np.zeros(len(places), np.int64), np.zeros(len(places), np.float32)
    before = np.clip(np.searchsorted(centres, places, side="right") - 1, 0, len(centres) - 2)
    share = np.clip((places - centres[before]) / (centres[before + 1] - centres[before]), 0.0, 1.0)
    return before, share.astype(np.float32)


def _between(values: NDArray[np.float32], weights: _Weights) -> NDArray[np.float32]:
    before, share = weights
    after = np.minimum(before + 1, len(values) - 1)
    return values[before] * (1 - share)[:, None] + values[after] * share[:, None]
