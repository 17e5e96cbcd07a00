"""Pictures of maps: classes over the image, quality as colours, and both images beside the map."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq import ranges
from pixq.classes import CLASSES, GREEN, ORANGE, RED
from pixq.drawing.image_scaling import LONGEST, ImageScale, bands, cells, check_image, pixels, places, scale_of
from pixq.drawing.legend import BACKGROUND, INK, LUMA, Text, colour_bar, draw_legend, rgb, text_size
from pixq.scoring.quality_map import QualityMap

__all__ = ["LONGEST", "OPACITY", "encode", "heat", "overlay", "side_by_side"]

#: Default opacity of Red over the image.
OPACITY = 0.45
#: Opacities of the classes as shares of that of Red: Green is hardly visible.
_STRENGTH = {RED: 1.0, ORANGE: 0.85, GREEN: 0.2}
#: Opacity of the outlines of classes: they are nearly opaque.
_OUTLINE = 0.9
#: The smallest cells that are outlined, in pixels of the picture.
_OUTLINED = 6
#: Opacity of the lines of the hatching.
_HATCH = 0.4

#: Colours from obvious to what nobody notices: pale yellow, orange, red, purple, nearly black. Lightness falls
#: steadily, so that the order can be read in grey and by colour-blind people; the hues are matplotlib's inferno (CC0)
#: at eight places.
_STOPS = (
    (252, 255, 164),
    (249, 201, 50),
    (249, 142, 9),
    (227, 89, 51),
    (187, 55, 84),
    (126, 30, 108),
    (66, 10, 104),
    (13, 8, 44),
)


def overlay(
    quality_map: QualityMap,
    image: NDArray[Any],
    *,
    safe: bool = False,
    opacity: float = OPACITY,
    legend: bool = True,
    longest: int = LONGEST,
) -> NDArray[np.uint8]:
    """Draw the image with the cell of each patch in the colour of its class, and a legend below it.

    Areas of Red and Orange are outlined; where the calibration has conformal sets, unsure cells are hatched.

    Parameters
    ----------
    quality_map
        The map.
    image
        The distorted image: uint8 or uint16, (height, width), (height, width, 1) or (height, width, 3) RGB.
    safe
        Use colours for colour-blind readers.
    opacity
        Opacity of Red over the image, 0 to 1; Orange is a little more transparent, and Green hardly visible.
    legend
        Whether to draw a legend. It never covers pixels.
    longest
        The longest side of the picture without its legend, in pixels. Larger images are shrunk by a whole factor: boxes
        become their means, in the colour of their worst class. Images below 512 pixels are enlarged by a whole factor.

    Returns
    -------
    ndarray
        uint8 (height', width', 3) RGB.

    Raises
    ------
    PixqError
        If `opacity` is not 0 to 1, or `longest` is below 256.
    TypeError, ValueError
        If the image's dtype or shape is wrong, or its size is not that of the map.

    Examples
    --------
    >>> from pixq.scoring.grid import Grid
    >>> zero = np.zeros((1, 1), np.int8)
    >>> quality_map = QualityMap(
    ...     Grid(20, 20), zero.astype(float), zero.astype(np.float32), zero, zero > 0, None, 0, (0.3, 0.6), None
    ... )
    >>> overlay(quality_map, np.zeros((20, 20, 3), np.uint8), legend=False).shape
    (500, 500, 3)
    """
    check_image(image, quality_map.grid, "image")
    scale = scale_of(quality_map.grid, longest)
    picture = _tint(quality_map, pixels(image, scale), scale, safe=safe, opacity=opacity)
    if not legend:
        return picture
    width = picture.shape[1]
    return _below(picture, draw_legend(quality_map, width, size=text_size(width), safe=safe, hatch=_hatch_of))


def heat(
    quality_map: QualityMap,
    image: NDArray[Any] | None = None,
    *,
    opacity: float = 0.7,
    legend: bool = True,
    longest: int = LONGEST,
) -> NDArray[np.uint8]:
    """Draw how many people notice each pixel in colours, light where a change is obvious and dark where nobody does.

    Where visibility was not measured, quality is drawn.

    Parameters
    ----------
    quality_map
        The map.
    image
        An image, as for `overlay`, to show in grey below the colours; `None` for colours alone.
    opacity
        Opacity of the colours over the image, 0 to 1.
    legend
        Whether to draw a colour bar. It never covers pixels.
    longest
        As for `overlay`; if the image is shrunk, the value at the centre of each box is shown.

    Returns
    -------
    ndarray
        uint8 (height', width', 3) RGB.

    Raises
    ------
    PixqError, TypeError, ValueError
        As `overlay` does.

    Examples
    --------
    >>> heat(quality_map, distorted)  # doctest: +SKIP
    """
    _check_opacity(opacity)
    if image is not None:
        check_image(image, quality_map.grid, "image")
    scale = scale_of(quality_map.grid, longest)
    ys, xs = places(scale)
    picture = np.empty((*scale.shape, 3), np.uint8) if image is None else pixels(image, scale)
    colours, unnoticed = _colours(), quality_map.unnoticed
    for band in bands(len(ys), 3 * len(xs)):
        values = colours[np.rint(quality_map.at(ys[band], xs, unnoticed) * np.float32(255)).astype(np.intp)]
        if image is not None:
            grey = picture[band] @ LUMA
            values = np.rint(grey[..., None] * np.float32(1 - opacity) + values * np.float32(opacity)).astype(np.uint8)
        picture[band] = values
    return _below(picture, colour_bar(quality_map, picture.shape[1], colours)) if legend else picture


def side_by_side(
    quality_map: QualityMap,
    reference: NDArray[Any],
    distorted: NDArray[Any],
    *,
    safe: bool = False,
    opacity: float = OPACITY,
    longest: int = LONGEST,
) -> NDArray[np.uint8]:
    """Draw the reference, the distorted image and `overlay` side by side, with titles and one legend.

    Parameters
    ----------
    quality_map
        The map.
    reference, distorted
        The images, as for `overlay`.
    safe, opacity
        As for `overlay`.
    longest
        As for `overlay`, for the three together. Images more than twice as wide as high are stacked.

    Returns
    -------
    ndarray
        uint8 (height', width', 3) RGB.

    Raises
    ------
    PixqError, TypeError, ValueError
        As `overlay` does.

    Examples
    --------
    >>> side_by_side(quality_map, reference, distorted)  # doctest: +SKIP
    """
    check_image(reference, quality_map.grid, "reference")
    check_image(distorted, quality_map.grid, "distorted")
    stacked = quality_map.grid.width > 2 * quality_map.grid.height
    scale = scale_of(quality_map.grid, longest, (3, 1) if stacked else (1, 3))
    plain = pixels(distorted, scale)
    tinted = _tint(quality_map, plain.copy(), scale, safe=safe, opacity=opacity)
    panels = (("Reference", pixels(reference, scale)), ("Distorted", plain), ("Map", tinted))
    width = scale.shape[1] * (1 if stacked else 3)
    # A compromise between the sizes that suit the whole picture and one of its three panels.
    text = Text(text_size(width if stacked else round(width * 0.6)))
    titled = [_below(_title(name, panel.shape[1], text), panel) for name, panel in panels]
    gap = max(text.size // 2, 4)
    whole = titled[0]
    for panel in titled[1:]:
        if stacked:
            space = _blank(gap, panel.shape[1])
            whole = np.concatenate([whole, space, panel])
        else:
            space = _blank(panel.shape[0], gap)
            whole = np.concatenate([whole, space, panel], axis=1)
    return _below(whole, draw_legend(quality_map, whole.shape[1], size=text.size, safe=safe, hatch=_hatch_of))


def encode(picture: NDArray[np.uint8], *, level: int = 4) -> bytes:
    r"""Encode a picture as PNG; equal pictures give equal bytes.

    Parameters
    ----------
    picture
        uint8 (height, width, 3) RGB.
    level
        Compression, from 0 (none) to 9 (slow).

    Examples
    --------
    >>> encode(np.zeros((2, 2, 3), np.uint8))[:4]
    b'\x89PNG'
    """
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(data, format="PNG", compress_level=level)
    return data.getvalue()


def _tint(
    quality_map: QualityMap, picture: NDArray[np.uint8], scale: ImageScale, *, safe: bool, opacity: float
) -> NDArray[np.uint8]:
    """Colour `picture` in place by the classes of the map."""
    _check_opacity(opacity)
    # The worst cell of a box is shown; of equal ones, an unsure one.
    sure = np.ones(quality_map.grid.shape, bool) if quality_map.unsure is None else ~quality_map.unsure
    coded = cells((2 * quality_map.classes + sure).astype(np.int8), quality_map.grid, scale)
    classes, unsure = coded >> 1, (coded & 1) == 0
    cell = quality_map.grid.stride * scale.enlarge / scale.shrink
    # Outlines would cover smaller cells; Red is tinted more instead, so that a few such cells are still seen.
    outlined = cell >= _OUTLINED
    thick, period = min(max(round(cell / 12), 1), 6) if outlined else 0, _period(cell)
    table = _table(safe, opacity, _STRENGTH if outlined else {**_STRENGTH, RED: 1.5})
    rows, columns = classes.shape
    for band in bands(rows, 3 * columns):
        kind = classes[band].astype(np.uint16)
        outline = _outline(classes, band, thick)
        kind[outline] += len(CLASSES)
        if quality_map.unsure is not None:
            # Dark lines on light pixels and light ones on dark pixels are visible everywhere.
            light = picture[band] @ LUMA > 127
            lines = unsure[band] & _hatch(band, columns, period) & ~outline
            kind[lines & ~light] += 2 * len(CLASSES)
            kind[lines & light] += 3 * len(CLASSES)
        for channel in range(3):
            picture[band, :, channel] = table[channel][kind * np.uint16(256) + picture[band, :, channel]]
    return picture


def _table(safe: bool, opacity: float, strength: Mapping[int, float]) -> NDArray[np.uint8]:
    """The new value for each old one, (3, 12 * 256): by channel; by area, outline or line, and class; by value."""
    values = np.arange(256, dtype=np.float64)
    table = np.empty((3, 4, len(CLASSES), 256))
    for number, item in enumerate(CLASSES):
        share = min(opacity * strength[number], 1.0)
        for channel, colour in enumerate(rgb(item.safe_color if safe else item.color)):
            area = values * (1 - share) + colour * share
            outline = values * (1 - _OUTLINE) + colour * _OUTLINE if opacity else values
            line = area * (1 - _HATCH)
            table[channel, :, number] = area, outline, line + 255 * _HATCH, line
    return np.rint(table).astype(np.uint8).reshape(3, -1)


def _outline(classes: NDArray[np.int8], band: slice, thick: int) -> NDArray[np.bool_]:
    """Where outlines are in a band of rows: pixels with a better class within `thick` rows and columns."""
    top = max(band.start - thick, 0)
    near = classes[top : band.stop + thick]
    across = near.copy()
    for far in range(1, thick + 1):
        np.maximum(across[:, far:], near[:, :-far], out=across[:, far:])
        np.maximum(across[:, :-far], near[:, far:], out=across[:, :-far])
    best = across.copy()
    for far in range(1, thick + 1):
        np.maximum(best[far:], across[:-far], out=best[far:])
        np.maximum(best[:-far], across[far:], out=best[:-far])
    rows = slice(band.start - top, band.stop - top)
    outline: NDArray[np.bool_] = near[rows] < best[rows]
    return outline


def _period(cell: float) -> int:
    """Pixels between the lines of the hatching: if possible, each cell is crossed by at least one."""
    return int(min(max(round(cell / 2), 4), 24))


def _hatch(band: slice, columns: int, period: int) -> NDArray[np.bool_]:
    """Where the diagonal lines are in a band of rows."""
    rows = np.arange(band.start, band.stop)
    return (rows[:, None] + np.arange(columns)) % period < max(period // 5, 1)


def _hatch_of(shape: tuple[int, int]) -> NDArray[np.bool_]:
    return _hatch(slice(0, shape[0]), shape[1], max(shape[0] // 4, 4))


def _colours() -> NDArray[np.uint8]:
    """256 colours, interpolated between `_STOPS`."""
    stops = np.array(_STOPS, np.float64)
    places = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(places, np.arange(len(stops)), channel) for channel in stops.T]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return colours


def _check_opacity(opacity: float) -> None:
    ranges.PROBABILITY.check(opacity, "the opacity")


def _blank(rows: int, columns: int) -> NDArray[np.uint8]:
    return np.full((rows, columns, 3), BACKGROUND, np.uint8)


def _title(name: str, width: int, text: Text) -> NDArray[np.uint8]:
    """A title strip above a panel of `width`; wider if the words would not fit."""
    from PIL import Image, ImageDraw

    left = round(text.size * 0.9)
    strip = Image.new("RGB", (max(width, text.length(name) + 2 * left), text.line), BACKGROUND)
    ImageDraw.Draw(strip).text((left, text.line / 2), name, INK, text.font, anchor="lm")
    return np.asarray(strip)


def _below(*parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stack parts below each other; narrower ones get background on their right."""
    width = max(part.shape[1] for part in parts)
    whole = np.empty((sum(len(part) for part in parts), width, 3), np.uint8)
    whole[:] = BACKGROUND
    top = 0
    for part in parts:
        whole[top : top + len(part), : part.shape[1]] = part
        top += len(part)
    return whole
