"""What a full-reference image metric is: its name, its direction, how it is computed, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.evaluation.display_metrics import BUTTERAUGLI, find_butteraugli
from pixq.evaluation.piq_metrics import torch_device
from pixq.io.optional import require
from pixq.viewing import ViewingConditions

__all__ = ["AT_A_DESK", "Baseline", "Image", "Scores"]

Image = NDArray[np.uint8]
Scores = NDArray[np.float64]

#: How images are looked at unless a user says otherwise.
AT_A_DESK = ViewingConditions()


@dataclass(frozen=True)
class Baseline:
    """A full-reference image metric.

    Parameters
    ----------
    name
        The name that options and files use.
    title
        The name that tables and sentences use.
    higher_is_better
        Whether the score increases with quality.
    min_size
        The shortest side, in pixels, at which the metric's filters fit into the image.
    source
        The paper that defines it.
    measure
        `measure(reference, distorted, device, viewing)` computes the scores (n,) of contiguous images (n, height,
        width, 3). `score` and `score_many` check them first.
    batch
        How many small images to measure at a time; larger batches are not faster, and take more memory.
    rival
        Whether `pixq evaluate` compares models with it on patches: by default, on request, or never.
    needs
        The optional package or program that `measure` needs, if any.
    measure_map
        Computes the map of a pair of images, if the metric has one: see `map`.
    viewing
        The fields of `pixq.viewing.ViewingConditions` that the score depends on.
    """

    name: str
    title: str
    higher_is_better: bool
    min_size: int
    source: str
    measure: Callable[[Image, Image, str, ViewingConditions], Scores]
    batch: int = 64
    rival: Literal["by default", "on request", "never"] = "by default"
    needs: str | None = "piq"
    measure_map: Callable[[Image, Image, str, ViewingConditions], Scores] | None = None
    viewing: tuple[str, ...] = ()

    def score(
        self, reference: Image, distorted: Image, *, device: str = "cpu", viewing: ViewingConditions = AT_A_DESK
    ) -> float:
        """Compute the score of a distorted image, as the metric defines it.

        Parameters
        ----------
        reference, distorted
            uint8 RGB of shape (height, width, 3).
        device
            A torch device, such as `cuda`, for the metrics that need torch.
        viewing
            How the images are looked at, for the metrics that depend on it.

        Raises
        ------
        PixqError
            If the images are smaller than `min_size`, or what the metric needs or the device is not available.
        ValueError, TypeError
            If the images differ in shape, or are not uint8 RGB.

        Examples
        --------
        >>> from pixq.evaluation.baselines import BASELINES
        >>> grey = np.full((20, 20, 3), 100, dtype=np.uint8)
        >>> round(BASELINES["psnr"].score(grey, grey + np.uint8(5)), 2)
        34.15
        >>> BASELINES["psnr"].score(grey, grey)
        inf
        """
        self._check(reference, distorted, "(height, width, 3)")
        # Neither the core nor torch accepts every view of an array.
        pair = np.ascontiguousarray(reference[None]), np.ascontiguousarray(distorted[None])
        return float(self.measure(*pair, device, viewing)[0])

    def map(
        self, reference: Image, distorted: Image, *, device: str = "cpu", viewing: ViewingConditions = AT_A_DESK
    ) -> Scores:
        """Compute where the metric sees differences: 0 where it sees none, for every metric, and higher where more.

        Parameters
        ----------
        reference, distorted, device, viewing
            As in `score`.

        Returns
        -------
        ndarray
            float64 (height, width). `source` says which quantity it is.

        Raises
        ------
        PixqError, ValueError, TypeError
            As in `score`, and if the metric has no map.

        Examples
        --------
        >>> from pixq.evaluation.baselines import BASELINES
        >>> grey = np.full((20, 20, 3), 100, dtype=np.uint8)
        >>> spot = grey.copy()
        >>> spot[4, 7] += 3
        >>> found = BASELINES["psnr"].map(grey, spot)
        >>> found.shape, float(found[4, 7]), float(found.sum())
        ((20, 20), 9.0, 9.0)
        """
        if self.measure_map is None:
            raise PixqError(f"{self.title} has no map; choose another metric")
        self._check(reference, distorted, "(height, width, 3)")
        return self.measure_map(np.ascontiguousarray(reference), np.ascontiguousarray(distorted), device, viewing)

    def score_many(
        self, reference: Image, distorted: Image, *, device: str = "cpu", viewing: ViewingConditions = AT_A_DESK
    ) -> Scores:
        """Compute the scores of images of one size, such as patches, in batches.

        Parameters
        ----------
        reference, distorted
            uint8 RGB of shape (n, height, width, 3).
        device, viewing
            As in `score`.

        Returns
        -------
        ndarray
            float64 (n,), as the metric defines its score; rounding may differ from `score` by 1e-5.

        Raises
        ------
        PixqError, ValueError, TypeError
            As in `score`.

        Examples
        --------
        >>> from pixq.evaluation.baselines import BASELINES
        >>> black, white = np.zeros((2, 20, 20, 3), dtype=np.uint8), np.full((2, 20, 20, 3), 255, dtype=np.uint8)
        >>> BASELINES["psnr"].score_many(black, white).tolist()
        [0.0, 0.0]
        """
        self._check(reference, distorted, "(n, height, width, 3)")
        scores = np.empty(len(reference))
        for first in range(0, len(reference), self.batch):
            part = slice(first, first + self.batch)
            pair = np.ascontiguousarray(reference[part]), np.ascontiguousarray(distorted[part])
            scores[part] = self.measure(*pair, device, viewing)
        return scores

    def _check(self, reference: Image, distorted: Image, shape: str) -> None:
        for name, image in (("reference", reference), ("distorted", distorted)):
            if image.dtype != np.uint8:
                raise TypeError(f"{name!r} has dtype {image.dtype}; expected uint8")
            if image.ndim != shape.count(",") + 1 or image.shape[-1] != 3:
                raise ValueError(f"{name!r} has shape {image.shape}; expected {shape}")
        if reference.shape != distorted.shape:
            raise ValueError(
                f"'reference' has shape {reference.shape} and 'distorted' {distorted.shape}; expected the same shape"
            )
        self.check_size("the image", reference.shape[-3], reference.shape[-2])

    def check_available(self, device: str = "cpu") -> None:
        """Raise a `PixqError` that says what to install unless the metric can be computed here, on `device`."""
        if self.needs == BUTTERAUGLI:
            find_butteraugli()
        elif self.needs is not None:
            torch = require("torch", extra="baselines") if self.needs in ("piq", "pycvvdp") else None
            require(self.needs)
            if torch is not None:
                torch_device(torch, device)

    def check_size(self, what: object, height: int, width: int) -> None:
        """Raise a `PixqError` that names `what` unless an image of `height` x `width` pixels is large enough."""
        if min(height, width) < self.min_size:
            raise PixqError(
                f"{what}: is {width}x{height} pixels, but {self.title} needs at least {self.min_size} on each side; "
                f"leave out {self.name}"
            )
