"""The interface of the engines that score patches, and what they share.

Nothing here imports PyTorch: the models that the core computes need NumPy alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from pixq._core import equal_at, tile
from pixq.io.progress import ProgressCallback, ignore_progress

__all__ = [
    "ENGINES",
    "Bytes",
    "Corners",
    "Engine",
    "EngineName",
    "EngineScores",
    "blocks",
    "cut_ahead",
    "identical_at",
]

#: What may be asked for: an engine, or `auto`, the first of them that can compute the model.
EngineName = Literal["auto", "core", "onnx", "torch"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

Bytes = NDArray[np.uint8]
Corners = NDArray[np.int64]

#: Patches that are cut at a time: 20 MB of pairs of 20x20.
BLOCK = 8192


class EngineScores(NamedTuple):
    """What an engine computes for patch pairs.

    Parameters
    ----------
    score
        float64 (n,): what calibrations cut; higher is better.
    quality
        float32 (n,), 0 to 1, 1 = nobody notices.
    weight
        float32 (n,): how much each patch counts in its image's score.
    """

    score: NDArray[np.float64]
    quality: NDArray[np.float32]
    weight: NDArray[np.float32]

    @classmethod
    def empty(cls, count: int) -> EngineScores:
        """Room for the scores of `count` patches."""
        return cls(np.empty(count), np.empty(count, np.float32), np.empty(count, np.float32))


class Engine(Protocol):
    """Computes the scores of patch pairs."""

    @property
    def name(self) -> str:
        """`core`, `onnx`, or `torch on` a device."""

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, `cuda:0`."""

    def scores(self, reference: Bytes, distorted: Bytes) -> EngineScores:
        """Score patches, uint8 (n, height, width, 3) each."""

    def probabilities(self, reference: Bytes, distorted: Bytes) -> NDArray[np.float32]:
        """Probabilities of Red, Orange and Green, float32 (n, 3), of an ordinal head."""

    def scores_at(
        self, reference: Bytes, distorted: Bytes, corners: Corners, size: int, on_progress: ProgressCallback
    ) -> EngineScores:
        """Score patches of whole images, uint8 (height, width, 3) each, by their corners (n, 2), y before x."""


def blocks(count: int, block: int, on_progress: ProgressCallback = ignore_progress) -> Iterator[slice]:
    """Split `count` patches into slices of `block`, and report each slice when it has been used.

    Examples
    --------
    >>> list(blocks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, count, block):
        done = min(start + block, count)
        yield slice(start, done)
        on_progress("patches", done, count)


def cut_ahead(
    reference: Bytes, distorted: Bytes, corners: Corners, size: int, block: int = BLOCK
) -> Iterator[tuple[int, Bytes, Bytes]]:
    """Cut patches from both images, `block` at a time; the next are cut on a thread while the last are used.

    Yields
    ------
    tuple
        The number of the first patch, and the patches of the reference and of the distorted image.
    """

    def cut(start: int) -> tuple[int, Bytes, Bytes]:
        some = corners[start : start + block]
        return start, tile(reference, size=size, coords=some), tile(distorted, size=size, coords=some)

    if not len(corners):
        return
    with ThreadPoolExecutor(1, "pixq-cut") as pool:
        ahead = pool.submit(cut, 0)
        for start in range(0, len(corners), block):
            patches = ahead.result()
            if start + block < len(corners):
                ahead = pool.submit(cut, start + block)
            yield patches


def identical_at(
    reference: Bytes, distorted: Bytes, corners: Corners, size: int, on_progress: ProgressCallback = ignore_progress
) -> NDArray[np.bool_]:
    """Whether the patches of two images are equal in every pixel, bool (n,)."""
    identical = np.empty(len(corners), np.bool_)
    for some in blocks(len(corners), BLOCK, on_progress):
        identical[some] = equal_at(reference, distorted, corners[some], size=size)
    return identical
