"""Recognises one photograph in several datasets: cropped, in grey, or at another size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["SAME_PHOTO", "Sketch", "likeness", "recognisable", "same_photos"]

Floats = NDArray[np.float64]

SAME_PHOTO = 0.72
"""From this likeness on, two images are taken for the same photograph.

Measured on crops, grey versions and halves of ten Kodak photographs from TID2013, LIVE and MIDD-GAR, among 34 others of
CID22, LocJND and KonJND: the same photograph has 0.84 or more, another one 0.61 or less.
"""

#: The longer side of a sketch, in pixels, at most: for a first look, and for those who pass it.
_COARSE, _FINE = 64, 160
#: The likeness of coarse sketches that is worth a second look; the same photographs have 0.78 or more.
_WORTH_A_LOOK = 0.55
#: Half the width of the neighbourhood whose mean is taken away, in pixels of a sketch, and of the mean that replaces
#: a pixel of a fine sketch, so that a shift by half a pixel matters little.
_RADIUS, _BLUR = 3, 1
#: The share of the smaller image that both must show.
_OVERLAP = 0.4
#: Grey levels that are noise rather than structure.
_NOISE = 3.0
#: The smallest side of an image, and of a sketch of it, that is compared: smaller ones are like anything.
_SMALLEST, _SMALLEST_SKETCH = 64, 12
#: A place with less structure than this per pixel shows nothing that could be recognised.
_STRUCTURE = 0.1


class Sketch:
    """What recognises a photograph: its grey pixels, some of which may be unknown.

    Parameters
    ----------
    grey
        float32 (height, width), 0 to 255.
    known
        float32 (height, width): 1 where a pixel is known, 0 elsewhere.
    """

    def __init__(self, grey: NDArray[np.float32], known: NDArray[np.float32]) -> None:
        self.shape = grey.shape
        # Twice the size that is compared is enough; whole photographs would fill the memory.
        factor = max(1, max(grey.shape) // (2 * _FINE))
        share = _blocks(known, factor)
        self._grey: NDArray[np.float32] = (_blocks(grey * known, factor) / np.maximum(share, 1e-6)).astype(np.float32)
        self._known = share
        self._structures: dict[tuple[int, int, int], _Structure] = {}

    def shrunk(self, factor: float, blur: int) -> _Structure:
        """Its local structure in an image smaller by a factor, where it is blurred a little; it is computed once."""
        height, width = (max(1, round(pixels / factor)) for pixels in self.shape)
        key = height, width, blur
        if key not in self._structures:
            self._structures[key] = _structure(self._grey, self._known, *key)
        return self._structures[key]

    def forget(self) -> None:
        """Free what was computed."""
        self._structures.clear()


def _blocks(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """The means of blocks of `factor` x `factor` pixels; what is left at the edges belongs to smaller blocks."""
    if factor == 1:
        return values
    height, width = values.shape
    rows, columns = np.arange(0, height, factor), np.arange(0, width, factor)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    counts = np.multiply.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width)))
    means: NDArray[np.float32] = (sums / counts).astype(np.float32)
    return means


def _structure(grey: NDArray[np.float32], known: NDArray[np.float32], height: int, width: int, blur: int) -> _Structure:
    share = _resized(known, height, width)
    mask = (share > 0.5).astype(np.float64)
    value = _resized(grey * known, height, width) / np.maximum(share, 1e-6) * mask
    if blur:
        value = _sums(value, blur) / np.maximum(_sums(mask, blur), 1.0) * mask
    count = np.maximum(_sums(mask, _RADIUS), 1.0)
    detail = (value - _sums(value, _RADIUS) / count) * mask
    deviation = np.sqrt(np.maximum(_sums(np.square(detail), _RADIUS) / count, 0.0))
    return _Structure(detail / (deviation + _NOISE), mask)


def _resized(image: NDArray[np.float32], height: int, width: int) -> Floats:
    pillow = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(pillow.resize((width, height), Image.Resampling.BOX), dtype=np.float64)


def _sums(values: Floats, radius: int) -> Floats:
    """Sums over the neighbourhood of each pixel."""
    for axis in (0, 1):
        padding = [(radius + 1, radius) if i == axis else (0, 0) for i in (0, 1)]
        sums = np.cumsum(np.pad(values, padding), axis=axis)
        size, width = values.shape[axis], 2 * radius + 1
        values = np.take(sums, np.arange(width, size + width), axis=axis) - np.take(sums, np.arange(size), axis=axis)
    return values


def likeness(first: Sketch, second: Sketch, least: float = 0.0) -> float:
    """How alike two images are at the best place and size: 1 for copies, 0.61 or less for other photographs.

    It is the normalised correlation of their local structure, over all places at which both show at least 40 % of the
    smaller one, and over a few ratios of size: the same pixels, half and twice, and equal heights or widths. Images
    with a side below 64 pixels, and crops with less than a fifth of a photograph's side, are too small to recognise:
    they are like nothing.

    Parameters
    ----------
    least
        If a first look at small sketches finds less, the result is 0.
    """
    if least > 0.0 and _at_best(first, second, _COARSE, 0) < least:
        return 0.0
    return _at_best(first, second, _FINE, _BLUR)


def _at_best(first: Sketch, second: Sketch, side: int, blur: int) -> float:
    best = 0.0
    if min(*first.shape, *second.shape) < _SMALLEST:
        return best
    for ratio in _ratios(first, second):
        # `second` has `ratio` pixels where `first` has one.
        shrink = max(max(first.shape) / side, max(second.shape) / ratio / side, 1.0)
        if min(min(first.shape) / shrink, min(second.shape) / (shrink * ratio)) >= _SMALLEST_SKETCH:
            best = max(best, _correlation(first.shrunk(shrink, blur), second.shrunk(shrink * ratio, blur)))
    return best


def _ratios(first: Sketch, second: Sketch) -> list[float]:
    (height, width), (other_height, other_width) = first.shape, second.shape
    ratios = [1.0, 0.5, 2.0, other_height / height, other_width / width]
    return [ratio for i, ratio in enumerate(ratios) if all(abs(ratio / one - 1.0) > 0.01 for one in ratios[:i])]


class _Structure:
    """The local structure of a sketch (about -1 to 1) where it is known, and its spectra by the size of a transform."""

    def __init__(self, detail: Floats, known: Floats) -> None:
        self.shape, self.known = detail.shape, float(known.sum())
        self._planes = np.stack([detail, np.square(detail), known])
        self._spectra: dict[tuple[int, int], NDArray[np.complex128]] = {}

    def spectra(self, shape: tuple[int, int]) -> NDArray[np.complex128]:
        """Transforms of the structure, its square, and what is known."""
        if shape not in self._spectra:
            self._spectra[shape] = np.fft.rfft2(self._planes, shape)
        return self._spectra[shape]


def _correlation(first: _Structure, second: _Structure) -> float:
    """The highest normalised correlation over all shifts with enough overlap."""
    # Multiples of 16 are fast.
    height, width = (-(-(a + b) // 16) * 16 for a, b in zip(first.shape, second.shape, strict=True))
    a, a_energy, a_known = first.spectra((height, width))
    b, b_energy, b_known = np.conj(second.spectra((height, width)))
    products = np.stack([a * b, a_energy * b_known, a_known * b_energy, a_known * b_known])
    both, energy_a, energy_b, overlap = np.fft.irfft2(products, (height, width))
    enough = overlap >= max(_OVERLAP * min(first.known, second.known), 64.0)
    enough &= np.minimum(energy_a, energy_b) > _STRUCTURE * overlap
    if not enough.any():
        return 0.0
    return float((both[enough] / np.sqrt(energy_a[enough] * energy_b[enough])).max())


def recognisable(sketches: Mapping[str, Sketch]) -> dict[str, Sketch]:
    """Those that are large enough to be compared."""
    return {name: sketch for name, sketch in sketches.items() if min(sketch.shape) >= _SMALLEST}


def same_photos(first: Mapping[str, Sketch], second: Mapping[str, Sketch]) -> Iterator[tuple[str, str, float]]:
    """Pairs of names from two sets whose images show the same photograph, with their likeness.

    A pair takes about 3 ms.
    """
    # What is computed of the larger set is freed image by image.
    swapped = len(first) < len(second)
    larger, smaller = (second, first) if swapped else (first, second)
    for name, sketch in larger.items():
        for other, candidate in smaller.items():
            alike = likeness(sketch, candidate, _WORTH_A_LOOK)
            if alike >= SAME_PHOTO:
                yield (other, name, alike) if swapped else (name, other, alike)
        sketch.forget()
