"""From two uploads to what the page shows: numbers and words, in plain JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixq._core import decode as core_decode
from pixq._core import probe
from pixq.classes import CLASSES, GREEN, NAMES
from pixq.drawing.map_pictures import encode
from pixq.errors import PixqError
from pixq.http.errors import Refused
from pixq.io.images import eight_bits
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import WORST, QualityMap, Verdict
from pixq.serve.upload import Upload

__all__ = ["Mapper", "answer", "class_table", "compare", "headline", "picture"]

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Watch = Callable[[int, int], None]

#: Patches of one answer: it is tens of megabytes of JSON.
MAX_PATCHES = 1_000_000


class Mapper(Protocol):
    """What scores: `pixq.load` gives one."""

    def map(self, reference: Any, distorted: Any, *, stride: int, watch: Watch | None) -> QualityMap:
        """The map of two images of one shape; `watch` is called now and then, and what it raises ends the work."""


def decode(upload: Upload, image: str | None, max_pixels: int) -> Pixels:
    """The pixels of an upload, (height, width, 3).

    Raises
    ------
    Refused
        If it is no image that pixq takes, or has more than `max_pixels`; its header is enough to tell the latter.
    """
    try:
        info = probe(upload.data, max_pixels=1 << 62)
        pixels = info["height"] * info["width"]
        if pixels > max_pixels:
            raise Refused(
                422,
                f"{upload.name}: is {info['width']}x{info['height']}, {pixels / 1e6:.1f} megapixels; "
                f"this service takes up to {max_pixels / 1e6:g}: give a smaller image",
                image,
            )
        decoded: Pixels = core_decode(upload.data, max_pixels=max_pixels)
    except ValueError as error:
        # The core calls bytes by this name; people know theirs by another.
        reason = " ".join(str(error).split()).removeprefix("<bytes>: ")
        raise Refused(422, f"{upload.name}: {reason}", image) from None
    return decoded


def compare(
    mapper: Mapper, reference: Upload, distorted: Upload, *, stride: int, size: int, max_pixels: int, watch: Watch
) -> QualityMap:
    """The map of two uploads.

    Raises
    ------
    Refused
        If one is no image, they differ in size, or are too small or too large.
    """
    watch(0, 1)
    first = decode(reference, "reference", max_pixels)
    watch(0, 1)
    second = decode(distorted, "distorted", max_pixels)
    watch(0, 1)
    for upload, pixels, image in ((reference, first, "reference"), (distorted, second, "distorted")):
        height, width = pixels.shape[:2]
        if min(height, width) < size:
            raise Refused(
                422, f"{upload.name}: is {width}x{height}; a patch takes {size}x{size}: give a larger image", image
            )
    (height, width), (rows, columns) = first.shape[:2], second.shape[:2]
    if (height, width) != (rows, columns):
        raise Refused(
            422,
            f"the sizes differ: {reference.name} is {width}x{height}, {distorted.name} {columns}x{rows}; "
            "give two images of one size",
        )
    patches = int(np.prod(Grid(height, width, size, stride).shape))
    if patches > MAX_PATCHES:
        raise Refused(422, f"these would be {patches:,} patches; up to {MAX_PATCHES:,} are shown: take a larger stride")
    try:
        return mapper.map(first, second, stride=stride, watch=watch)
    except PixqError as error:
        raise Refused(422, str(error)) from None


def picture(upload: Upload, max_pixels: int) -> bytes:
    """An upload as 8-bit PNG, for browsers that can't show its format.

    Raises
    ------
    Refused
        If it is no image.
    """
    # As the models see it.
    return encode(eight_bits("image", decode(upload, None, max_pixels)), level=1)


def class_table() -> list[dict[str, Any]]:
    """Name, meaning, colours and mark of each class, worst first; patches' `class` counts them from 0."""
    return [asdict(each) for each in CLASSES]


def headline(verdict: Verdict, patches: int) -> str:
    """What to know first of so many patches, in one sentence.

    Examples
    --------
    >>> headline(Verdict(0.9, 0.5, {"Red": 0.002, "Orange": 0.1, "Green": 0.898}, None, 0.0), 3000)
    'Obvious in 6 of 3,000 patches.'
    >>> headline(Verdict(1.0, 1.0, {"Red": 0.0, "Orange": 0.0, "Green": 1.0}, None, 0.9), 3000)
    'Nobody notices any of the 3,000 patches.'
    >>> headline(Verdict(1.0, 1.0, {"Red": 0.0, "Orange": 0.0, "Green": 1.0}, None, 1.0), 3000)
    'The two images are equal in every patch.'
    """
    if verdict.identical == 1:
        return "The two images are equal in every patch."
    for each in CLASSES[:GREEN]:
        if verdict.shares[each.name] > 0:
            count = round(verdict.shares[each.name] * patches)
            return f"{each.meaning.capitalize()} in {count:,} of {patches:,} patches."
    return f"{CLASSES[GREEN].meaning.capitalize()} any of the {patches:,} patches."


def percent(share: float) -> str:
    """A share in percent, never rounded to nothing or to all.

    Examples
    --------
    >>> [percent(share) for share in (0.0, 0.0001, 0.25, 0.9999, 1.0)]
    ['0 %', '<0.1 %', '25.0 %', '>99.9 %', '100 %']
    """
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    if share < 0.001:
        return "<0.1 %"
    return ">99.9 %" if share > 0.999 else f"{share * 100:.1f} %"


def answer(found: QualityMap, reference: str, distorted: str) -> dict[str, Any]:
    """All that the page shows of a map, as plain JSON.

    Parameters
    ----------
    found
        The map.
    reference, distorted
        Names of the uploads.

    Returns
    -------
    dict
        `patches` has a column for each property, row by row of the grid; `score` is `None` where `identical`, and
        `unsure` is `None` where the calibration has no conformal sets.
    """
    grid, verdict = found.grid, found.verdict
    score = found.score.ravel()
    return {
        "reference": reference,
        "distorted": distorted,
        "calibration": found.calibration,
        "verdict": {
            "headline": headline(verdict, score.size),
            "quality": verdict.quality,
            "worst": verdict.worst,
            "worst_percentile": WORST,
            "unsure": verdict.unsure,
            "identical": verdict.identical,
            "shares": [
                {"class": number, "share": verdict.shares[name], "percent": percent(verdict.shares[name])}
                for number, name in enumerate(NAMES)
            ],
        },
        "classes": class_table(),
        # Scores that a calibration cuts have no fixed scale; without one, it is quality that is cut.
        "cuts": {
            "of": "quality" if found.calibration is None else "score",
            "values": [cut if np.isfinite(cut) else None for cut in found.cuts],
        },
        "grid": {
            "height": grid.height,
            "width": grid.width,
            "size": grid.size,
            "stride": grid.stride,
            "rows": grid.shape[0],
            "columns": grid.shape[1],
            "ys": grid.ys.tolist(),
            "xs": grid.xs.tolist(),
        },
        "patches": {
            "score": [value if np.isfinite(value) else None for value in score.tolist()],
            "quality": found.decimals.astype(np.float64).tolist(),
            "class": found.classes.ravel().tolist(),
            "identical": found.identical.ravel().tolist(),
            "unsure": None if found.unsure is None else found.unsure.ravel().tolist(),
        },
    }
