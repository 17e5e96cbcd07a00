"""Stimuli of psychophysics as images: targets at a multiple of their contrast threshold, and pairs of plain colours.

The columns of a table of thresholds are those in which castleCSF collects them (Ashraf et al., castleCSF, Journal of
Vision 24(4):5, 2024): luminance in cd/m2, spatial frequency in cycles per degree, size in degrees, and background and
direction of colour as responses of the L, M and S cones (CIE 2006), where L + M is luminance. A threshold is a cone
contrast: the root mean square of the three cones' contrasts, each the change of its response divided by that to the
background.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixq.distort.pixels import LIGHT
from pixq.errors import PixqError
from pixq.viewing import CONTRAST, ViewingConditions

__all__ = ["CannotDraw", "Target", "Threshold", "draw_colour", "draw_target"]

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

#: From responses of the CIE 2006 cones to CIE 1931 XYZ for the spectra of an LED-backlit LCD, as castleCSF has it. It
#: takes a background of equal cone contrast with D65 to the chromaticity of D65.
_XYZ_OF_LMS = np.array(
    [
        [2.629129278399650, -3.780202391780134, 10.294956387893450],
        [0.865649062438827, 1.215555811642301, -0.984175688105352],
        [-0.008886561474676, 0.081612628990755, 51.371024830897888],
    ]
)
#: IEC 61966-2-1.
_RGB_OF_XYZ = np.array(
    [
        [3.2404541621141054, -1.5371385127977166, -0.4985314095560162],
        [-0.9692660305051868, 1.8760108454466942, 0.0415560175303498],
        [0.0556434309591147, -0.2040259135167538, 1.0572251882231791],
    ]
)

#: How far a Gabor patch is drawn, in standard deviations of its envelope, and the width of a field around a disc or a
#: grating, in diameters.
_SIGMAS = 2.5
_MARGIN = 1.5
#: A response of a cone to a background so small that nothing has a contrast to it.
_NO_RESPONSE = 1e-9
#: The smallest side of an image, in pixels.
_SMALLEST = 60
#: Largest relative error of the difference that rounding to 8 bits may make; at 1 all of it is lost.
_MOST_LOST = 0.5


class CannotDraw(PixqError):
    """A display can't show a stimulus; the message is the reason in a few words."""


@dataclass(frozen=True)
class Threshold:
    """A row of a table of thresholds.

    Parameters
    ----------
    study, line
        Name of the study, and number of the line in the table.
    stimulus
        `gabor`, `grating` (inside a disc with a sharp edge) or `disk` (uniform).
    spatial_frequency
        Cycles per degree; 0 for a disk.
    sigma, area
        Standard deviation of a Gabor patch's envelope in degrees, and the area of anything else in square degrees.
    eccentricity, temporal_frequency
        Degrees from the fovea, and Hz.
    background, direction
        Cone responses (L, M, S) to the background, and the direction of the change in the same units, of any length.
    contrast
        The cone contrast at threshold.
    """

    study: str
    line: int
    stimulus: str
    spatial_frequency: float
    sigma: float
    area: float
    eccentricity: float
    temporal_frequency: float
    background: tuple[float, float, float]
    direction: tuple[float, float, float]
    contrast: float


@dataclass(frozen=True)
class Target:
    """Reference and distorted image, uint8 (size, size, 3), and the relative error of the difference by rounding."""

    reference: Image
    distorted: Image
    error: float


def draw_target(threshold: Threshold, multiple: float, conditions: ViewingConditions, max_size: int = 1024) -> Target:
    """Draw a target at a multiple of its threshold on its uniform background, in 8 bits of sRGB.

    The pattern is in sine phase, so its mean is that of the background. What the display adds to black (leakage and
    reflections) is part of the background.

    Parameters
    ----------
    threshold
        The target; it must be static and seen by the fovea.
    multiple
        The factor of the threshold contrast, 0 or more.
    conditions
        Pixels per degree, peak luminance and ambient light of the display.
    max_size
        Largest side of an image, in pixels.

    Raises
    ------
    CannotDraw
        If the target moves or lies outside the fovea, or the display can't show it: its frequency is above half of the
        pixels per degree, it is too large, out of the display's range, or lost in 8 bits.

    Examples
    --------
    >>> row = Threshold("x", 2, "disk", 0, 0.5, 0.785, 0, 0, (58.8, 25.3, 1.66), (58.8, 25.3, 1.66), 0.02)
    >>> target = draw_target(row, 4, ViewingConditions.of(ppd=60))
    >>> target.reference.shape, target.reference[0, 0].tolist(), target.distorted[45, 45].tolist()
    ((90, 90, 3), [169, 169, 169], [175, 175, 175])
    """
    if threshold.temporal_frequency > 0.0:
        raise CannotDraw("not static")
    if threshold.eccentricity > 0.0:
        raise CannotDraw("not at the fovea")
    ppd = conditions.pixels_per_degree
    if threshold.spatial_frequency > ppd / 2.0:
        raise CannotDraw("a spatial frequency above half of the pixels per degree")
    pattern = _pattern(threshold, ppd, max_size)
    background, direction = np.array(threshold.background), np.array(threshold.direction)
    if not (background > _NO_RESPONSE).all():
        raise CannotDraw("a background without a response of all cones")
    length = math.sqrt(float(np.mean((direction / background) ** 2)))
    if length == 0.0:
        raise CannotDraw("no direction of colour")
    delta = direction * (multiple * threshold.contrast / length)
    to_rgb = _RGB_OF_XYZ @ _XYZ_OF_LMS / (conditions.peak_luminance * (1.0 - 1.0 / CONTRAST))
    black = conditions.black_luminance / (conditions.peak_luminance * (1.0 - 1.0 / CONTRAST))
    linear = to_rgb @ background - black
    if linear.max() > 1.0 or linear.min() < 0.0:
        raise CannotDraw("a background that the display can't show")
    reference = np.broadcast_to(_encode(linear), (*pattern.shape, 3))
    # Around the background as it is shown, which is that of an 8-bit grey level.
    shown = LIGHT[reference]
    wanted = pattern[:, :, None] * (to_rgb @ delta)
    if (shown + wanted).max() > 1.0 or (shown + wanted).min() < 0.0:
        raise CannotDraw("a contrast that the display can't show")
    distorted = _encode(shown + wanted)
    energy = float(np.square(wanted).sum())
    error = math.sqrt(float(np.square(LIGHT[distorted] - shown - wanted).sum()) / energy) if energy > 0.0 else 0.0
    if error > _MOST_LOST:
        raise CannotDraw("lost in 8 bits")
    return Target(reference.copy(), distorted, error)


def draw_colour(rgb: tuple[float, float, float], size: int = _SMALLEST) -> Image:
    """Draw a plain colour, 0 to 255 per channel and rounded, as uint8 (size, size, 3).

    Examples
    --------
    >>> draw_colour((102.5, 159.53, 78.42))[0, 0].tolist()
    [103, 160, 78]
    """
    levels = np.clip(np.floor(np.array(rgb) + 0.5), 0, 255).astype(np.uint8)
    return np.broadcast_to(levels, (size, size, 3)).copy()


def _pattern(threshold: Threshold, ppd: float, max_size: int) -> Floats:
    """The pattern between -1 and 1, float64 (size, size)."""
    if threshold.stimulus == "gabor":
        side = 2.0 * _SIGMAS * threshold.sigma
    elif threshold.stimulus in ("grating", "disk"):
        side = _MARGIN * 2.0 * math.sqrt(threshold.area / math.pi)
    else:
        raise CannotDraw(f"a stimulus called {threshold.stimulus!r}")
    # Even, so that a sine is 1 and -1 in turn at half of the pixels per degree.
    size = max(_SMALLEST, 2 * math.ceil(side * ppd / 2.0))
    if size > max_size:
        raise CannotDraw(f"an image of more than {max_size} pixels")
    x = (np.arange(size) + 0.5 - size / 2.0) / ppd
    distance = np.hypot(x[:, None], x[None, :])
    if threshold.stimulus == "gabor":
        envelope = np.exp(-0.5 * np.square(distance / threshold.sigma))
    else:
        # One pixel wide at the edge.
        envelope = np.clip((math.sqrt(threshold.area / math.pi) - distance) * ppd + 0.5, 0.0, 1.0)
    if threshold.stimulus == "disk":
        uniform: Floats = envelope
        return uniform
    wave: Floats = np.sin(2.0 * math.pi * threshold.spatial_frequency * x)[None, :] * envelope
    return wave


def _encode(linear: Floats) -> Image:
    """Linear light of 0 to 1 as 8 bits of sRGB (IEC 61966-2-1)."""
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0) ** (1 / 2.4) - 0.055)
    return np.floor(np.clip(encoded, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
