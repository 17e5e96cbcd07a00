"""Score two uploads, and write their map as the JSON that the page shows."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixq._core import compose, probe
from pixq._core import decode as core_decode
from pixq.classes import CLASSES, GREEN, NAMES
from pixq.drawing.map_pictures import encode
from pixq.errors import PixqError
from pixq.http.errors import RequestError
from pixq.io.images import Background, ReadOptions, to_8_bits, without_options
from pixq.io.progress import ProgressCallback
from pixq.predict.json_file import PixelsEntry
from pixq.scoring.backgrounds import DEFAULT_BACKGROUNDS, worst_background
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import WORST, QualityMap, Verdict
from pixq.serve.upload import Upload
from pixq.viewing import ViewingConditions
from pixq.visibility import notice_probability

__all__ = [
    "MAX_PATCHES",
    "Mapper",
    "Scored",
    "as_png",
    "class_table",
    "headline",
    "map_json",
    "score_uploads",
    "viewing_json",
]

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

#: The most patches per response, which is then tens of megabytes of JSON.
MAX_PATCHES = 1_000_000

#: How the core begins when an image is larger than `max_pixels`.
_TOO_LARGE = re.compile(r"is (\d+)x(\d+), more than the limit of \d+ pixels")


class Mapper(Protocol):
    """Scores image pairs, as the scorer that `pixq.load` returns does."""

    @property
    def viewing(self) -> ViewingConditions:
        """How people look at the images."""

    def with_viewing(self, viewing: ViewingConditions) -> Mapper:
        """The same for people who look at them in another way."""

    def map(self, reference: Any, distorted: Any, *, stride: int, on_progress: ProgressCallback) -> QualityMap:
        """The map of two images of one shape; what `on_progress` raises ends the work."""


@dataclass(frozen=True)
class Decoded:
    """An upload's pixels, (height, width, 3) or with transparent pixels (height, width, 4), and their profile."""

    pixels: Pixels
    profile: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """A map, and which pixels it is of.

    Parameters
    ----------
    map
        The map.
    profiles
        The profiles from which the reference and the distorted image were converted to sRGB.
    backgrounds
        What both were put on, one after the other; empty if both are opaque everywhere.
    background
        The one whose result this is.
    notes
        What is wrong with the reference's and the distorted image's files although their pixels are all there.
    """

    map: QualityMap
    profiles: tuple[str | None, str | None] = (None, None)
    backgrounds: tuple[Background, ...] = ()
    background: Background | None = None
    notes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def decode(
    upload: Upload, image: str | None, max_pixels: int, *, colour_management: bool = True, frame: int | None = None
) -> Decoded:
    """Decode an upload.

    Raises
    ------
    RequestError
        If it is not an image that pixq reads, or its header says that it has more than `max_pixels`.
    """
    try:
        info = probe(upload.data, max_pixels=max_pixels, colour_management=colour_management, frame=frame)
        notes: list[str] = []
        decoded: Pixels = core_decode(
            upload.data, max_pixels=max_pixels, colour_management=colour_management, keep_alpha=True, frame=frame,
            notes=notes,
        )  # fmt: skip
    except ValueError as error:
        # The core does not know the name of the upload.
        reason = without_options(" ".join(str(error).split())).removeprefix("<bytes>: ")
        if size := _TOO_LARGE.match(reason):
            megapixels = int(size[1]) * int(size[2]) / 1e6
            reason = (
                f"is {size[1]}x{size[2]}, {megapixels:.1f} megapixels; "
                f"this service takes up to {max_pixels / 1e6:g}: give a smaller image"
            )
        raise RequestError(422, f"{upload.name}: {reason}", image) from None
    return Decoded(decoded, info["converted_from"], tuple(notes))


def score_uploads(
    mapper: Mapper,
    reference: Upload,
    distorted: Upload,
    *,
    stride: int,
    size: int,
    max_pixels: int,
    on_progress: ProgressCallback,
    colour_management: bool = True,
    backgrounds: tuple[Background, ...] = DEFAULT_BACKGROUNDS,
    frame: int | None = None,
) -> Scored:
    """Decode and score two uploads: if one has transparent pixels, on each of `backgrounds`, of which the worst counts.

    Raises
    ------
    RequestError
        If one is not an image, they differ in size, or they are too small or too large.
    """
    on_progress("decoding", 0, 2)
    one = decode(reference, "reference", max_pixels, colour_management=colour_management, frame=frame)
    on_progress("decoding", 1, 2)
    other = decode(distorted, "distorted", max_pixels, colour_management=colour_management, frame=frame)
    first, second, profiles = one.pixels, other.pixels, (one.profile, other.profile)
    notes = (one.notes, other.notes)
    on_progress("decoding", 2, 2)
    for upload, pixels, image in ((reference, first, "reference"), (distorted, second, "distorted")):
        height, width = pixels.shape[:2]
        if min(height, width) < size:
            raise RequestError(
                422, f"{upload.name}: is {width}x{height}; a patch takes {size}x{size}: give a larger image", image
            )
    (height, width), (rows, columns) = first.shape[:2], second.shape[:2]
    if (height, width) != (rows, columns):
        raise RequestError(
            422,
            f"the sizes differ: {reference.name} is {width}x{height}, {distorted.name} {columns}x{rows}; "
            "give two images of the same size",
        )
    patches = int(np.prod(Grid(height, width, size, stride).shape))
    if patches > MAX_PATCHES:
        raise RequestError(
            422, f"these images have {patches:,} patches, and at most {MAX_PATCHES:,} are shown; choose a larger stride"
        )
    try:
        if first.shape[2] == second.shape[2] == 3:
            return Scored(mapper.map(first, second, stride=stride, on_progress=on_progress), profiles, notes=notes)
        maps = {
            background: mapper.map(
                _on(first, background), _on(second, background), stride=stride, on_progress=on_progress
            )
            for background in backgrounds
        }
        background = worst_background(maps)
        return Scored(maps[background], profiles, backgrounds, background, notes)
    except PixqError as error:
        raise RequestError(422, str(error)) from None


def _on(pixels: Pixels, background: Background) -> Pixels:
    return pixels if pixels.shape[2] == 3 else compose(pixels, background)


def as_png(upload: Upload, max_pixels: int, *, colour_management: bool = True, frame: int | None = None) -> bytes:
    """Convert an upload to 8-bit PNG, for browsers that can't show its format. Transparent pixels stay transparent.

    Raises
    ------
    RequestError
        If it is not an image.
    """
    # With the pixels that the models see.
    pixels = decode(upload, None, max_pixels, colour_management=colour_management, frame=frame).pixels
    return encode(to_8_bits(pixels), level=1)


def class_table() -> list[dict[str, Any]]:
    """Name, meaning, colours and mark of each class, worst first; a patch's `class` is an index of this list."""
    return [asdict(patch_class) for patch_class in CLASSES]


def viewing_json(viewing: ViewingConditions) -> dict[str, Any]:
    """Viewing conditions as JSON: the fields of `ViewingConditions`, and `words`, all of them as text."""
    return {**asdict(viewing), "words": str(viewing)}


def headline(verdict: Verdict, patches: int) -> str:
    """Sum up a map of `patches` patches in one sentence: how many people notice, if that was measured.

    Examples
    --------
    >>> shares = {"Red": 0.002, "Orange": 0.1, "Green": 0.898}
    >>> headline(Verdict(0.9, 0.5, shares, None, 0.0, 0.86, 0.34), 3000)
    'Noticed by 34 % of people.'
    >>> headline(Verdict(0.9, 0.5, shares, None, 0.0), 3000)
    'Obvious in 6 of 3,000 patches.'
    >>> headline(Verdict(1.0, 1.0, {"Red": 0.0, "Orange": 0.0, "Green": 1.0}, None, 1.0), 3000)
    'The two images are equal in every patch.'
    """
    if verdict.identical == 1:
        return "The two images are equal in every patch."
    if verdict.p_notice is not None:
        return f"Noticed by {whole_percent(verdict.p_notice)} of people."
    return worst_patches(verdict, patches)


def worst_patches(verdict: Verdict, patches: int) -> str:
    """Say how many of `patches` patches have the worst class that occurs.

    Examples
    --------
    >>> worst_patches(Verdict(0.9, 0.5, {"Red": 0.002, "Orange": 0.1, "Green": 0.898}, None, 0.0), 3000)
    'Obvious in 6 of 3,000 patches.'
    >>> worst_patches(Verdict(1.0, 1.0, {"Red": 0.0, "Orange": 0.0, "Green": 1.0}, None, 0.9), 3000)
    'Nobody notices any of the 3,000 patches.'
    """
    for item in CLASSES[:GREEN]:
        if verdict.shares[item.name] > 0:
            count = round(verdict.shares[item.name] * patches)
            return f"{item.meaning.capitalize()} in {count:,} of {patches:,} patches."
    return f"{CLASSES[GREEN].meaning.capitalize()} any of the {patches:,} patches."


def whole_percent(share: float) -> str:
    """Write a share of people in whole percent; what is not exactly 0 or 1 is not rounded to it.

    Examples
    --------
    >>> [whole_percent(share) for share in (0.0, 0.001, 0.344, 0.999)]
    ['0 %', 'less than 1 %', '34 %', 'more than 99 %']
    """
    if 0 < share < 0.01:
        return "less than 1 %"
    return "more than 99 %" if 0.99 < share < 1 else f"{share * 100:.0f} %"


def percent(share: float) -> str:
    """Write a share in percent; only exact 0 and 1 become 0 % and 100 %.

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


def map_json(scored: Scored, reference: str, distorted: str, *, colour_management: bool = True) -> dict[str, Any]:
    """Everything that the page shows of a map, as plain JSON values.

    Parameters
    ----------
    scored
        The map.
    reference, distorted
        Names of the uploads.
    colour_management
        Whether images with a profile were converted to sRGB.

    Returns
    -------
    dict
        `patches` holds a list per property, row by row of the grid; scores are `None` where `identical`, `unsure` is
        `None` if the calibration has no conformal sets, and `jnd`, `p_notice` and `viewing` are `None` if visibility
        was not measured.
    """
    quality_map = scored.map
    pixels = PixelsEntry.of(
        ReadOptions(colour_management), scored.profiles, scored.notes, scored.backgrounds, scored.background
    )
    grid, verdict, seen = quality_map.grid, quality_map.verdict, quality_map.visibility
    score = quality_map.score.ravel()
    return {
        "reference": reference,
        "distorted": distorted,
        "calibration": quality_map.calibration,
        "viewing": None if seen is None else viewing_json(seen.viewing),
        "verdict": {
            "headline": headline(verdict, score.size),
            "patches": worst_patches(verdict, score.size),
            "jnd": verdict.jnd,
            "p_notice": verdict.p_notice,
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
        "pixels": pixels.model_dump(exclude={"frame"}),
        "classes": class_table(),
        "cuts": {
            "of": quality_map.cut_scale,
            "values": [cut if np.isfinite(cut) else None for cut in quality_map.cuts],
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
            "jnd": None if seen is None else seen.map.ravel().tolist(),
            "p_notice": None if seen is None else notice_probability(seen.map.ravel()).round(4).tolist(),
            "score": [value if np.isfinite(value) else None for value in score.tolist()],
            "quality": quality_map.decimals.astype(np.float64).tolist(),
            "class": quality_map.classes.ravel().tolist(),
            "identical": quality_map.identical.ravel().tolist(),
            "unsure": None if quality_map.unsure is None else quality_map.unsure.ravel().tolist(),
        },
    }
