"""The patches of several shards as one array, read on demand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixq.errors import PixqError, one_line

__all__ = ["ShardedArray"]


class ShardedArray:
    """The patches of several `.npy` files as one array: uint8 (n, size, size, 3).

    It takes a number, a slice, an array of numbers or a mask, and only reads the selected patches. Files are mapped
    on first use.
    """

    def __init__(self, paths: Sequence[Path], counts: Sequence[int], size: int) -> None:
        self._paths = tuple(paths)
        self._maps: list[NDArray[np.uint8] | None] = [None] * len(self._paths)
        #: Number of each shard's first row, and the total number of rows.
        self.offsets: NDArray[np.int64] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        self.shape = (int(self.offsets[-1]), size, size, 3)
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<ShardedArray {self.shape} uint8 in {len(self._paths)} files>"

    def shard(self, number: int) -> NDArray[np.uint8]:
        """The memory-mapped array of one shard, read-only."""
        mapped = self._maps[number]
        if mapped is None:
            path = self._paths[number]
            rows = int(self.offsets[number + 1] - self.offsets[number])
            try:
                # An empty array has nothing to map.
                empty = np.empty((0, *self.shape[1:]), np.uint8)
                mapped = np.load(path, mmap_mode="r", allow_pickle=False) if rows else empty
            except OSError:
                raise
            except Exception as error:
                # NumPy's parser of headers raises many kinds.
                raise PixqError(
                    f"{path}: is not a NumPy array ({one_line(error)}); build the patch set again"
                ) from None
            if mapped.shape != (rows, *self.shape[1:]) or mapped.dtype != self.dtype:
                raise PixqError(
                    f"{path}: holds {mapped.dtype} {mapped.shape}, the manifest says uint8 "
                    f"{(rows, *self.shape[1:])}; build the patch set again"
                )
            self._maps[number] = mapped
        return mapped

    def shard_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The shard of each of `rows`."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def __getitem__(self, rows: int | slice | ArrayLike) -> NDArray[np.uint8]:
        if isinstance(rows, slice):
            numbers = np.arange(*rows.indices(len(self)))
        else:
            numbers = np.asarray(rows)
            if numbers.dtype == bool:
                (numbers,) = np.nonzero(np.broadcast_to(numbers, (len(self),)))
            elif numbers.size == 0:
                numbers = numbers.astype(np.int64)
            if numbers.size and not (-len(self) <= numbers.min() and numbers.max() < len(self)):
                raise IndexError(f"rows {numbers.min()} to {numbers.max()} of an array of {len(self)}")
            numbers = np.where(numbers < 0, numbers + len(self), numbers)
        out = np.empty((*numbers.shape, *self.shape[1:]), dtype=np.uint8)
        flat, target = numbers.reshape(-1), out.reshape(-1, *self.shape[1:])
        shards = self.shard_of(flat)
        for shard in np.unique(shards):
            here = shards == shard
            target[here] = self.shard(shard)[flat[here] - self.offsets[shard]]
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("patches of several files can't become one array without a copy")
        return self[:].astype(dtype or np.uint8, copy=False)
