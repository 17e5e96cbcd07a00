"""Maps as pictures: classes over the image, quality as colours, and both images beside it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq.classes import CLASSES, GREEN, ORANGE, RED
from pixq.errors import PixqError
from pixq.predict.legend import BACKGROUND, INK, Text, colour_bar, draw_legend, rgb, text_size
from pixq.predict.quality_map import QualityMap
from pixq.predict.shown import LONGEST, Scale, bands, cells, check_image, pixels, places, scale_of

__all__ = ["LONGEST", "OPACITY", "encode", "heat", "overlay", "side_by_side"]

#: How much of the colour of Red there is over the image, unless another share is asked for.
OPACITY = 0.45
#: The same of the others, as shares of that of Red: Green is hardly there.
_STRENGTH = {RED: 1.0, ORANGE: 0.85, GREEN: 0.2}
#: How an outline of a class differs from its area: it is nearly opaque.
_OUTLINE = 0.9
#: Lines of the hatching, over what they lie on.
_HATCH = 0.6

#: From quality 0 to 1: pale yellow, orange, red, purple, nearly black. Lightness falls all the way, so that the order
#: can be read in grey and by colour-blind people; hues are those of matplotlib's inferno (CC0), at eight places.
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
    found: QualityMap,
    image: NDArray[Any],
    *,
    safe: bool = False,
    opacity: float = OPACITY,
    legend: bool = True,
    longest: int = LONGEST,
) -> NDArray[np.uint8]:
    """The image with the cell of each patch in the colour of its class, and a legend below it.

    Areas of Red and Orange are outlined; where the calibration has conformal sets, unsure cells are hatched.

    Parameters
    ----------
    found
        The map.
    image
        The distorted image: uint8 or uint16, (height, width), (height, width, 1) or (height, width, 3) RGB.
    safe
        Colours for colour-blind readers.
    opacity
        Share of the colour of Red over the image, 0 to 1; Orange has a little less, Green hardly any.
    legend
        Whether there is one. It never covers pixels.
    longest
        The most pixels a side of the picture, its legend aside: a larger image is shrunk by a whole factor, to means of
        boxes, in which the worst class shows. One of less than 512 is enlarged by a whole factor.

    Returns
    -------
    ndarray
        uint8 (height', width', 3) RGB.

    Raises
    ------
    PixqError
        If `opacity` is not 0 to 1, or `longest` less than 256.
    TypeError, ValueError
        If the image is not of a dtype and shape as above, or not of the map.

    Examples
    --------
    >>> quality = np.zeros((1, 1), np.float32)
    >>> flat = np.zeros((1, 1), bool)
    >>> from pixq.predict.grid import Grid
    >>> found = QualityMap(Grid(20, 20), quality.astype(float), quality, flat.astype(np.int8), flat, None, 0, (0.3, 0.6), None)
    >>> overlay(found, np.zeros((20, 20, 3), np.uint8), legend=False).shape
    (500, 500, 3)
    """
    check_image(image, found.grid, "image")
    scale = scale_of(found.grid, longest)
    picture = _tint(found, pixels(image, scale), scale, safe=safe, opacity=opacity)
    return _below(picture, draw_legend(found, picture.shape[1], safe=safe, hatch=_hatch_of)) if legend else picture


def heat(
    found: QualityMap,
    image: NDArray[Any] | None = None,
    *,
    opacity: float = 0.7,
    legend: bool = True,
    longest: int = LONGEST,
) -> NDArray[np.uint8]:
    """Quality by pixel as colours, light where a change is obvious and dark where nobody notices, and a colour bar.

    Parameters
    ----------
    found
        The map.
    image
        What the colours lie on, greyed: as for `overlay`. `None`: on nothing.
    opacity
        Share of the colours over the image, 0 to 1.
    legend
        Whether there is a colour bar. It never covers pixels.
    longest
        As for `overlay`; where the image is shrunk, quality is that at the middle of each box.

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
    >>> heat(found, distorted)  # doctest: +SKIP
    """
    _check_opacity(opacity)
    if image is not None:
        check_image(image, found.grid, "image")
    scale = scale_of(found.grid, longest)
    ys, xs = places(scale)
    picture = np.empty((*scale.shape, 3), np.uint8) if image is None else pixels(image, scale)
    colours = _colours()
    for band in bands(len(ys), 3 * len(xs)):
        values = colours[np.rint(found.at(ys[band], xs) * np.float32(255)).astype(np.intp)]
        if image is not None:
            # Rec. 601, as JPEG has it.
            grey = picture[band] @ np.array([0.299, 0.587, 0.114], np.float32)
            values = np.rint(grey[..., None] * np.float32(1 - opacity) + values * np.float32(opacity)).astype(np.uint8)
        picture[band] = values
    return _below(picture, colour_bar(found, picture.shape[1], colours)) if legend else picture


def side_by_side(
    found: QualityMap,
    reference: NDArray[Any],
    distorted: NDArray[Any],
    *,
    safe: bool = False,
    opacity: float = OPACITY,
    longest: int = LONGEST,
) -> NDArray[np.uint8]:
    """Reference, distorted image and `overlay`, each under its title, over one legend.

    Parameters
    ----------
    found
        The map.
    reference, distorted
        The images, as for `overlay`.
    safe, opacity
        As for `overlay`.
    longest
        As for `overlay`, of the three together. Images more than twice as wide as high stand below each other.

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
    >>> side_by_side(found, reference, distorted)  # doctest: +SKIP
    """
    check_image(reference, found.grid, "reference")
    check_image(distorted, found.grid, "distorted")
    stacked = found.grid.width > 2 * found.grid.height
    scale = scale_of(found.grid, longest, (3, 1) if stacked else (1, 3))
    shown = pixels(distorted, scale)
    tinted = _tint(found, shown.copy(), scale, safe=safe, opacity=opacity)
    panels = (("Reference", pixels(reference, scale)), ("Distorted", shown), ("Map", tinted))
    width = scale.shape[1] * (1 if stacked else 3)
    text = Text(text_size(width))
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
    return _below(whole, draw_legend(found, whole.shape[1], safe=safe, hatch=_hatch_of))


def encode(picture: NDArray[np.uint8]) -> bytes:
    """A picture as PNG, the same bytes each time.

    Parameters
    ----------
    picture
        uint8 (height, width, 3) RGB.

    Examples
    --------
    >>> encode(np.zeros((2, 2, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(data, format="PNG", compress_level=4)
    return data.getvalue()


def _tint(
    found: QualityMap, picture: NDArray[np.uint8], scale: Scale, *, safe: bool, opacity: float
) -> NDArray[np.uint8]:
    """Colour `picture` in place."""
    _check_opacity(opacity)
    # Of the cells in a box the worst shows, and of equal ones one that is unsure.
    sure = np.ones(found.grid.shape, bool) if found.unsure is None else ~found.unsure
    shown = cells((2 * found.classes + sure).astype(np.int8), found.grid, scale)
    classes, unsure = shown >> 1, (shown & 1) == 0
    cell = found.grid.stride * scale.enlarge / scale.shrink
    thick, period = min(max(round(cell / 12), 1), 6), _period(cell)
    table = _table(safe, opacity)
    rows, columns = classes.shape
    for band in bands(rows, 3 * columns):
        kind = classes[band].astype(np.uint16)
        kind[_outline(classes, band, thick)] += len(CLASSES)
        if found.unsure is not None:
            kind[unsure[band] & _hatch(band, columns, period)] += 2 * len(CLASSES)
        for channel in range(3):
            picture[band, :, channel] = table[channel][kind * np.uint16(256) + picture[band, :, channel]]
    return picture


def _table(safe: bool, opacity: float) -> NDArray[np.uint8]:
    """What becomes of each value: (3, 12 * 256), channel; then class, whether outlined, whether hatched; and value."""
    values = np.arange(256, dtype=np.float64)
    table = np.empty((3, 4, len(CLASSES), 256))
    for number, each in enumerate(CLASSES):
        for channel, colour in enumerate(rgb(each.safe_color if safe else each.color)):
            for style, share in enumerate((opacity * _STRENGTH[number], _OUTLINE if opacity else 0.0)):
                tinted = values * (1 - share) + colour * share
                table[channel, style, number] = tinted
                # Dark on light and light on dark: visible on anything.
                table[channel, style + 2, number] = tinted * (1 - _HATCH) + _HATCH * np.where(tinted > 127, 0, 255)
    return np.rint(table).astype(np.uint8).reshape(3, -1)


def _outline(classes: NDArray[np.int8], band: slice, thick: int) -> NDArray[np.bool_]:
    """Pixels of an area that have a better class within `thick` pixels, in rows or columns; inside the worse area."""
    here = classes[band]
    found = np.zeros(here.shape, bool)
    for far in range(1, thick + 1):
        found[:, far:] |= here[:, far:] < here[:, :-far]
        found[:, :-far] |= here[:, :-far] < here[:, far:]
        rows = np.arange(band.start, band.start + len(here))
        for other in (np.maximum(rows - far, 0), np.minimum(rows + far, len(classes) - 1)):
            found |= here < classes[other]
    return found


def _period(cell: float) -> int:
    """Pixels between lines of the hatching: at least one line, if it can be, crosses each cell."""
    return int(min(max(round(cell / 2), 4), 24))


def _hatch(band: slice, columns: int, period: int) -> NDArray[np.bool_]:
    """Where diagonal lines are, in a band of rows."""
    rows = np.arange(band.start, band.stop)
    return (rows[:, None] + np.arange(columns)) % period < max(period // 5, 1)


def _hatch_of(shape: tuple[int, int]) -> NDArray[np.bool_]:
    return _hatch(slice(0, shape[0]), shape[1], max(shape[0] // 4, 4))


def _colours() -> NDArray[np.uint8]:
    """`_STOPS`, 256 of them, on straight lines."""
    stops = np.array(_STOPS, np.float64)
    at = np.linspace(0, len(stops) - 1, 256)
    return np.rint(np.stack([np.interp(at, np.arange(len(stops)), own) for own in stops.T], axis=1)).astype(np.uint8)


def _check_opacity(opacity: float) -> None:
    if not 0.0 <= opacity <= 1.0:
        raise PixqError(f"opacity is {opacity:g}; give 0 to 1")


def _blank(rows: int, columns: int) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array(BACKGROUND, np.uint8), (rows, columns, 3))


def _title(name: str, width: int, text: Text) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (width, text.line), BACKGROUND)
    ImageDraw.Draw(strip).text((text.size // 2, text.line / 2), name, INK, text.font, anchor="lm")
    return np.asarray(strip)


def _below(*parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Parts below each other; the narrower ones with background to their right."""
    width = max(part.shape[1] for part in parts)
    whole = np.empty((sum(len(part) for part in parts), width, 3), np.uint8)
    whole[:] = BACKGROUND
    top = 0
    for part in parts:
        whole[top : top + len(part), : part.shape[1]] = part
        top += len(part)
    return whole
