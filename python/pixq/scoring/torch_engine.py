"""Any model by PyTorch, on a CPU or a GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixq.io.progress import ProgressCallback
from pixq.models.base import CHUNK, PatchModel
from pixq.models.heads import Ordinal, PatchScores
from pixq.scoring.engine import Bytes, Corners, EngineScores, cut_ahead

__all__ = ["DEVICE_BATCH", "TorchEngine", "gather"]

#: Patches that a GPU scores at a time: enough to fill it, with some hundred MB of features.
DEVICE_BATCH = 4096
#: Rows of pixels that go to a device at a time.
ROWS = 512

#: PyTorch's switches belong to the whole process: one thread must not restore what another relies on.
_SWITCHES = threading.Lock()


class TorchEngine:
    """A model by PyTorch.

    Parameters
    ----------
    model
        The network, with its preprocessing inside.
    device
        Where it computes.
    """

    def __init__(self, model: PatchModel, device: torch.device) -> None:
        self.model = model.to(device).eval()
        self._device = device

    @property
    def name(self) -> str:
        """See `Engine`."""
        return f"torch on {self._device}"

    @property
    def device(self) -> str:
        """See `Engine`."""
        return str(self._device)

    def scores(self, reference: Bytes, distorted: Bytes) -> EngineScores:
        """See `Engine`."""
        return self._engine_scores(self._raw(reference, distorted))

    def probabilities(self, reference: Bytes, distorted: Bytes) -> NDArray[np.float32]:
        """See `Engine`."""
        scores, head = self._raw(reference, distorted), self.model.head
        assert isinstance(head, Ordinal)
        with torch.inference_mode():
            values: NDArray[np.float32] = head.probabilities(scores.raw.to(self._device)).cpu().numpy()
        return values

    def scores_at(
        self, reference: Bytes, distorted: Bytes, corners: Corners, size: int, on_progress: ProgressCallback
    ) -> EngineScores:
        """See `Engine`."""
        if self._device.type == "cpu":
            return self._engine_scores(self._cut(reference, distorted, corners, size, on_progress))
        return self._engine_scores(self._gathered(reference, distorted, corners, size, on_progress))

    def _raw(self, reference: Bytes, distorted: Bytes) -> PatchScores:
        raws, weights = [torch.empty(0, self.model.head.outputs)], [torch.empty(0, 1)]
        for start in range(0, len(reference), CHUNK):
            parts = (np.ascontiguousarray(patches[start : start + CHUNK]) for patches in (reference, distorted))
            # Read-only memory, as that of a patch set, can't become a tensor without a copy.
            r, d = (torch.from_numpy(part if part.flags.writeable else part.copy()) for part in parts)
            scores = self._forward(r.to(self._device), d.to(self._device))
            raws.append(scores.raw.cpu())
            weights.append(scores.weight.cpu())
        return PatchScores(torch.cat(raws), torch.cat(weights))

    def _cut(
        self, reference: Bytes, distorted: Bytes, corners: Corners, size: int, on_progress: ProgressCallback
    ) -> PatchScores:
        """Score patches that the core cuts ahead on another thread."""
        raws, weights = [torch.empty(0, self.model.head.outputs)], [torch.empty(0, 1)]
        for start, r, d in cut_ahead(reference, distorted, corners, size):
            scores = self._raw(r, d)
            raws.append(scores.raw)
            weights.append(scores.weight)
            on_progress("patches", start + len(r), len(corners))
        return PatchScores(torch.cat(raws), torch.cat(weights))

    def _gathered(
        self, reference: Bytes, distorted: Bytes, corners: Corners, size: int, on_progress: ProgressCallback
    ) -> PatchScores:
        """Copy both images to the device once, and gather patches there."""
        images = [_upload(image, self._device) for image in (reference, distorted)]
        places = torch.from_numpy(corners).to(self._device)
        raws = [torch.empty(0, self.model.head.outputs, device=self._device)]
        weights = [torch.empty(0, 1, device=self._device)]
        for start in range(0, len(corners), DEVICE_BATCH):
            some = places[start : start + DEVICE_BATCH]
            scores = self._forward(*(gather(image, some, size) for image in images))
            raws.append(scores.raw)
            weights.append(scores.weight)
            on_progress("patches", start + len(some), len(corners))
        return PatchScores(torch.cat(raws).cpu(), torch.cat(weights).cpu())

    def _forward(self, reference: Tensor, distorted: Tensor) -> PatchScores:
        with torch.inference_mode(), _full_precision(self._device):
            scores = self.model(reference, distorted)
            return PatchScores(scores.raw, scores.weight.mean(dim=1, keepdim=True))

    def _engine_scores(self, scores: PatchScores) -> EngineScores:
        head = self.model.head
        with torch.inference_mode():
            score: NDArray[np.float64] = head.score(scores.raw).double().numpy()
            quality: NDArray[np.float32] = head.quality(scores.raw.to(self._device)).cpu().numpy()
        return EngineScores(score, quality, scores.weight[:, 0].numpy())


def gather(image: Tensor, corners: Tensor, size: int) -> Tensor:
    """Copy the patches of an image on its device: (n, size, size, channels).

    Parameters
    ----------
    image
        (height, width, channels), contiguous.
    corners
        int64 (n, 2), y before x; patches lie inside of the image.
    size
        Side of a patch.

    Examples
    --------
    >>> gather(torch.arange(12).reshape(3, 4, 1), torch.tensor([[1, 2]]), 2).flatten().tolist()
    [6, 7, 10, 11]
    """
    height, width, channels = image.shape
    down, right = height - size + 1, width - size + 1
    row = width * channels
    # A view of every patch: only those that are indexed are copied.
    windows = image.as_strided((down, right, size, size * channels), (row, channels, row, 1))
    return windows[corners[:, 0], corners[:, 1]].view(-1, size, size, channels)


def _upload(image: Bytes, device: torch.device) -> Tensor:
    """Copy an image to a device in bands, so that one that is mapped from a file is never all in memory."""
    copy = torch.empty(image.shape, dtype=torch.uint8, device=device)
    for top in range(0, len(image), ROWS):
        band = image[top : top + ROWS]
        copy[top : top + ROWS] = torch.from_numpy(band.copy())
    return copy


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Compute in float32: TF32, PyTorch's default for convolutions, has 10 bits."""
    if device.type == "cpu":
        yield
        return
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    with _SWITCHES:
        before = [switch.fp32_precision for switch in switches]
        try:
            for switch in switches:
                switch.fp32_precision = "ieee"
            yield
        finally:
            for switch, value in zip(switches, before, strict=True):
                switch.fp32_precision = value
