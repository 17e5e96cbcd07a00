"""A patch set on a device, where batches are gathered and fused; unfused bytes are copied there once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixq._core import fuse_rows
from pixq.errors import PixqError
from pixq.geometry import PatchGeometry
from pixq.patches.store import PatchSet, image_spans
from pixq.train.set_scales import set_numbers

__all__ = ["Draw", "Pairs", "Pool", "fuse", "turn", "turns"]


@dataclass(frozen=True)
class Draw:
    """The random augmentation of each patch of a batch; `None` leaves patches as they are.

    Parameters
    ----------
    turn
        int64 (n,), 0 to 7: a row of `turns`.
    inside, outside
        float64 (n,): weight of the reference inside the RoI, and outside of it.
    shown
        float32 (items, k): the factor that dropout gives to each of the k numbers of an item, 0 if it is hidden.
    """

    turn: Tensor | None = None
    inside: Tensor | None = None
    outside: Tensor | None = None
    shown: Tensor | None = None


@dataclass(frozen=True)
class Pairs:
    """Patch pairs of a batch: uint8 (n, size, size, 3) twice, and their quality, float32 (n,)."""

    reference: Tensor
    fused: Tensor
    quality: Tensor


def fuse(reference: Tensor, distorted: Tensor, inside: Tensor, outside: Tensor, geometry: PatchGeometry) -> Tensor:
    """Fuse patches on any device, to the bytes that the core gives.

    Parameters
    ----------
    reference, distorted
        uint8 (n, size, size, 3).
    inside, outside
        float64 (n,): weight of the reference in the RoI, 0 to 1, and outside of it, 0 or 1.
    geometry
        Size of the patches and of their RoI.
    """
    y, x, height, width = geometry.roi_box
    fused = torch.where(outside[:, None, None, None] > 0.5, reference, distorted)
    r = reference[:, y : y + height, x : x + width].double()
    d = distorted[:, y : y + height, x : x + width].double()
    weight = inside[:, None, None, None]
    # As `weigh` of the core: in float64, rounded half up.
    fused[:, y : y + height, x : x + width] = torch.floor(weight * r + (1.0 - weight) * d + 0.5).to(torch.uint8)
    return fused


def turns(size: int) -> Tensor:
    """Where each pixel of a patch comes from under the eight symmetries of the square: int64 (8, size * size).

    Rows 0 to 3 are quarter turns, 4 to 7 the same after mirroring left and right.
    """
    pixels = torch.arange(size * size).view(size, size)
    return torch.stack([image.rot90(k).reshape(-1) for image in (pixels, pixels.flip(1)) for k in range(4)])


def turn(patches: Tensor, sources: Tensor) -> Tensor:
    """Move the pixels of uint8 (n, size, size, 3) as the rows of `sources`, (n, size * size), say."""
    flat = patches.reshape(len(patches), -1, 3)
    return torch.gather(flat, 1, sources[:, :, None].expand(-1, -1, 3)).reshape(patches.shape)


class Piece:
    """Records whose pixels are on the device together; it is refilled for each piece of a pool."""

    def __init__(self, pool: Pool, references: int, distorted: int, records: int) -> None:
        size = pool.geometry.size

        def room(count: int, dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.zeros((count, *shape), dtype=dtype, device=pool.device)

        self.geometry = pool.geometry
        self.energy = pool.energy
        self.tolerated = pool.tolerated
        self.reference = room(references, torch.uint8, size, size, 3)
        self.distorted = room(distorted, torch.uint8, size, size, 3)
        self.reference_row = room(records, torch.int64)
        self.distorted_row = room(records, torch.int64)
        self.quality = room(records, torch.float32)
        self.image_quality = room(records, torch.float64)
        self.inside = room(records, torch.float64)
        self.outside = room(records, torch.float64)
        self.set_number = room(records, torch.int64)
        self.fusion = np.zeros(records, dtype=np.uint8)
        self.turns = turns(size).to(pool.device)
        self.fusions = [(fusion.name, 0.5 if fusion.alpha is None else fusion.alpha) for fusion in pool.patches.fusions]
        self.plain = all(fusion.weights == (0.0, 0.0) for fusion in pool.patches.fusions)

    def pairs(self, rows: Tensor, draw: Draw | None = None) -> Pairs:
        """The patch pairs of the records `rows`, int64 (n,) counted within the piece, with the augmentation `draw`."""
        reference_rows = self.reference_row.index_select(0, rows)
        distorted_rows = self.distorted_row.index_select(0, rows)
        reference = self.reference.index_select(0, reference_rows)
        quality = self.quality.index_select(0, rows)
        if draw is not None and draw.inside is not None and draw.outside is not None:
            distorted = self.distorted.index_select(0, distorted_rows)
            fused = fuse(reference, distorted, draw.inside, draw.outside, self.geometry)
            quality = self._quality(rows, reference, distorted, fused)
        elif self.plain:
            fused = self.distorted.index_select(0, distorted_rows)
        elif rows.device.type == "cpu":
            fused = torch.from_numpy(
                fuse_rows(
                    self.reference.numpy(),
                    self.distorted.numpy(),
                    reference_rows.numpy(),
                    distorted_rows.numpy(),
                    fusions=self.fusions,
                    which=self.fusion[rows.numpy()],
                    roi=self.geometry.roi_box,
                )
            )
        else:
            distorted = self.distorted.index_select(0, distorted_rows)
            weights = self.inside.index_select(0, rows), self.outside.index_select(0, rows)
            fused = fuse(reference, distorted, *weights, self.geometry)
        if draw is not None and draw.turn is not None:
            sources = self.turns.index_select(0, draw.turn)
            reference, fused = turn(reference, sources), turn(fused, sources)
        return Pairs(reference, fused, quality)

    def _quality(self, rows: Tensor, reference: Tensor, distorted: Tensor, fused: Tensor) -> Tensor:
        """The quality of newly fused patches, by the patch set's rule for labels.

        As in the core, a patch that equals its reference has quality 1 whatever the image's score, and so has one whose
        distorted patch counts as unchanged.
        """
        image = self.image_quality.index_select(0, rows)
        left = (fused.int() - reference.int()).square().sum(dim=(1, 2, 3))
        if self.energy:
            whole = (distorted.int() - reference.int()).square().sum(dim=(1, 2, 3))
            share = left.double() / whole.clamp(min=1).double()
            image = (1.0 - (1.0 - image) * share.sqrt()).clamp(0.0, 1.0)
        nobody_notices = left == 0
        if self.tolerated > 0:
            nobody_notices |= (distorted.int() - reference.int()).abs().amax(dim=(1, 2, 3)) <= self.tolerated
        return torch.where(nobody_notices, 1.0, image).float()


class Pool:
    """The records of a selection, and the pieces in which they are copied to a device.

    A piece holds as many whole images as fit in the memory, in the order of the patch set. A selection that fits
    completely is one piece, which is loaded once.

    Parameters
    ----------
    patches
        A selection of a patch set.
    device
        Where the pixels go.
    memory
        MiB for pixels.

    Raises
    ------
    PixqError
        If one image alone takes more than the memory.
    """

    def __init__(self, patches: PatchSet, device: torch.device, memory: int) -> None:
        self.patches = patches
        self.device = device
        self.geometry = patches.geometry
        self.energy = patches.manifest["label"]["kind"] == "energy"
        self.tolerated = patches.manifest["min_difference"]
        records = patches.records
        order = np.argsort(records.image, kind="stable")
        #: For each record, image by image: its number in the patch set, its image's number, and its quality.
        self.row: NDArray[np.int64] = patches.rows[order]
        self.image: NDArray[np.int64] = records.image[order].astype(np.int64)
        self.quality: NDArray[np.float64] = records.quality[order]
        #: For each image of the patch set, the number of its set; 0 if there is one.
        self.set_number = set_numbers(patches)
        self._records = records.take(order)
        self.pieces = self._split(memory * 2**20)
        self._loaded: tuple[int, Piece] | None = None

    def __len__(self) -> int:
        return len(self.image)

    def _split(self, limit: int) -> list[slice]:
        """Slices of the records, each whole images that take no more than `limit` bytes."""
        patch_bytes = 3 * self.geometry.size**2
        starts, counts = image_spans(self.image)
        pieces: list[slice] = []
        used = 0
        for start, end in zip(starts.tolist(), (starts + counts).tolist(), strict=True):
            # Two images of one reference share its patches; counted twice here, they only make pieces smaller.
            need = 2 * patch_bytes * (end - start)
            if need > limit:
                name = self.patches.images[int(self.image[start])]["image_id"]
                raise PixqError(
                    f"{self.patches.directory}: the patches of image {name} need {math.ceil(need / 2**20)} MiB, but "
                    f"train.memory is {limit // 2**20}; raise it, or build the set with fewer patches per image"
                )
            if pieces and used + need <= limit:
                pieces[-1] = slice(pieces[-1].start, end)
                used += need
            else:
                pieces.append(slice(start, end))
                used = need
        return pieces

    def load(self, number: int) -> Piece:
        """Load piece `number` to the device, in place of the one before."""
        if self._loaded is None:
            counts = [self._rows(piece) for piece in self.pieces]
            most = [max(len(rows[i]) for rows in counts) for i in (0, 2)]
            records = max(piece.stop - piece.start for piece in self.pieces)
            self._loaded = (-1, Piece(self, most[0], most[1], records))
        loaded, piece = self._loaded
        if loaded != number:
            self._fill(piece, self.pieces[number])
            self._loaded = (number, piece)
        return piece

    def _rows(self, piece: slice) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The reference rows of a piece and each record's place among them; the same for distorted rows."""
        reference, to_reference = np.unique(self._records.reference_row[piece], return_inverse=True)
        distorted, to_distorted = np.unique(self._records.distorted_row[piece], return_inverse=True)
        return reference, to_reference, distorted, to_distorted

    def _fill(self, piece: Piece, span: slice) -> None:
        reference, to_reference, distorted, to_distorted = self._rows(span)
        count = span.stop - span.start
        weights = np.array([fusion.weights for fusion in self.patches.fusions]).reshape(-1, 2)
        fusion = self._records.fusion[span]
        image_quality = np.array([image["quality"] for image in self.patches.images])[self.image[span]]

        def put(room: Tensor, values: NDArray[np.generic]) -> None:
            room[: len(values)].copy_(torch.from_numpy(values))

        put(piece.reference, self.patches.reference[reference])
        put(piece.distorted, self.patches.distorted[distorted])
        put(piece.reference_row, to_reference.astype(np.int64))
        put(piece.distorted_row, to_distorted.astype(np.int64))
        put(piece.quality, self.quality[span].astype(np.float32))
        put(piece.image_quality, image_quality)
        put(piece.set_number, self.set_number[self.image[span]])
        put(piece.inside, weights[fusion, 0])
        put(piece.outside, weights[fusion, 1])
        piece.fusion[:count] = fusion
