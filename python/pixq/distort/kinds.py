"""The kinds of distortion: what each does to an image, and its parameter at five levels.

To add a kind, write its function in the module that it fits, and add an entry to `DISTORTIONS`; everything else reads
that table. A function `(image, value, generator)` takes uint8 RGB of shape (height, width, 3) and the level's
parameter, and returns a new array like it. It works in float64 or integers, rounds half up, clips to 0..255, and draws
from `generator` alone.

Names and levels are those of TID2013 (N. Ponomarenko et al., Image database TID2013, 2015) and KADID-10k (H. Lin, V.
Hosu, D. Saupe, KADID-10k: a large-scale artificially distorted IQA database, 2019); where both have a kind, those of
TID2013. What says "after" differs from the original in detail.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pixq.distort import blurs, camera, colours, noises, places
from pixq.distort.pixels import Image

__all__ = ["DISTORTIONS", "LEVELS", "Distortion", "Image"]

LEVELS = 5


@dataclass(frozen=True)
class Distortion:
    """A kind of distortion with five levels, mildest first.

    Parameters
    ----------
    name
        Name in pixq.
    number
        Number in file names (`<dd>`): the type's number in TID2013, or 30 plus its number in KADID-10k.
    values
        The parameter of `apply` at levels 1 to 5.
    unit
        Meaning and unit of the parameter.
    source
        Source of the method and the values.
    apply
        `apply(image, value, generator)` returns the distorted image.
    unchanged
        The parameter that leaves an image as it is, or nearly so.
    whole
        Whether the parameter is a whole number.
    """

    name: str
    number: int
    values: tuple[float, float, float, float, float]
    unit: str
    source: str
    apply: Callable[[Image, float, np.random.Generator], Image]
    unchanged: float
    whole: bool = False

    def at(self, strength: float) -> float:
        """Compute the parameter of any strength: 20 is level 1, 100 is level 5, and 0 leaves an image as it is.

        Between the levels it changes linearly. Where the levels go both ways from `unchanged`, as those of brightness,
        it goes down, from the smallest to the largest change.

        Examples
        --------
        >>> DISTORTIONS["gaussian_blur"].at(50), DISTORTIONS["brightness"].at(40), DISTORTIONS["jpeg"].at(1)
        (0.825, -10.0, 99.0)
        """
        changes = [value - self.unchanged for value in self.values]
        if min(changes) < 0.0 < max(changes):
            changes = sorted((-abs(change) for change in changes), reverse=True)
        change = float(np.interp(strength / 20.0, range(LEVELS + 1), [0.0, *changes]))
        if self.whole:
            # Away from zero, so that the mildest step does something.
            change = math.copysign(math.ceil(abs(change) - 1e-9), change)
        return round(self.unchanged + change, 9)


def _jpeg(image: Image, value: float, generator: np.random.Generator) -> Image:
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG", quality=int(value), subsampling="4:2:0")
    with Pillow.open(buffer) as decoded:
        return np.array(decoded)


def _jpeg2000(image: Image, value: float, generator: np.random.Generator) -> Image:
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    # Without mct, Pillow doesn't decorrelate colours.
    options = {"quality_mode": "rates", "quality_layers": [value], "irreversible": True, "mct": 1}
    Pillow.fromarray(image).save(buffer, "JPEG2000", **options)
    with Pillow.open(buffer) as decoded:
        return np.array(decoded)


#: All kinds by name.
DISTORTIONS: dict[str, Distortion] = {
    distortion.name: distortion
    for distortion in (
        Distortion(
            "white_noise",
            1,
            (5.71, 8.06, 11.39, 16.09, 22.73),
            "standard deviation in grey levels, independent for each sample",
            "TID2013 type 1: a PSNR of 33, 30, 27, 24 and 21 dB before clipping",
            noises.white_noise,
            unchanged=0.0,
        ),
        Distortion(
            "color_noise",
            2,
            (11.0, 22.0, 44.0, 87.5, 174.5),
            "variance of both colour differences, in grey levels squared; a 4.1th of it in luma",
            "TID2013 type 2, with variances that give the published PSNR",
            noises.color_noise,
            unchanged=0.0,
        ),
        Distortion(
            "correlated_noise",
            3,
            (5.71, 8.06, 11.39, 16.09, 22.73),
            "standard deviation in grey levels, after a 3 x 3 mean",
            "after TID2013 type 3",
            noises.correlated_noise,
            unchanged=0.0,
        ),
        Distortion(
            "masked_noise",
            4,
            (0.35, 0.5, 0.7, 1.0, 1.4),
            "standard deviation, as a multiple of the contrast of luma around a pixel",
            "after TID2013 type 4",
            noises.masked_noise,
            unchanged=0.0,
        ),
        Distortion(
            "high_frequency_noise",
            5,
            (5.71, 8.06, 11.39, 16.09, 22.73),
            "standard deviation in grey levels, without frequencies that a Gaussian of 1 pixel keeps",
            "after TID2013 type 5",
            noises.high_frequency_noise,
            unchanged=0.0,
        ),
        Distortion(
            "quantization",
            7,
            (19, 27, 39, 55, 76),
            "step in grey levels",
            "TID2013 type 7: every sample to the nearest multiple of the step",
            colours.quantization,
            unchanged=1.0,
            whole=True,
        ),
        Distortion(
            "gaussian_blur",
            8,
            (0.5, 0.65, 1.0, 1.7, 4.0),
            "standard deviation in pixels, of 11 x 11 taps",
            "TID2013 type 8, with the border replicated where TID2013 has it black",
            blurs.gaussian_blur,
            unchanged=0.0,
        ),
        Distortion(
            "jpeg",
            10,
            (80, 60, 23, 8, 4),
            "quality of libjpeg, 1 to 100, with 4:2:0 chroma",
            "TID2013 type 10; encoded and decoded by Pillow's own libjpeg-turbo",
            _jpeg,
            unchanged=100.0,
            whole=True,
        ),
        Distortion(
            "blockwise",
            15,
            (12.0, 24.0, 40.0, 64.0, 96.0),
            "largest shift in grey levels, of 16 blocks of 32 x 32 pixels",
            "after TID2013 type 15",
            places.blockwise,
            unchanged=0.0,
        ),
        Distortion(
            "brightness",
            16,
            (-6, 10, -20, 30, -40),
            "grey levels added to every sample",
            "TID2013 type 16, mean shift",
            colours.brightness,
            unchanged=0.0,
            whole=True,
        ),
        Distortion(
            "contrast",
            17,
            (0.9, 1.2, 0.75, 1.45, 0.5),
            "factor on the difference of each sample from the mean of all",
            "TID2013 type 17",
            colours.contrast,
            unchanged=1.0,
        ),
        Distortion(
            "saturation",
            18,
            (0.75, 0.6, 0.45, 0.25, 0.0),
            "factor on the difference from BT.601 luma; 0 is grey",
            "TID2013 type 18, which has factors tuned to each image; these are near their medians",
            colours.saturation,
            unchanged=1.0,
        ),
        Distortion(
            "dithering",
            22,
            (64, 32, 16, 8, 4),
            "number of colours, with Floyd and Steinberg's error diffusion",
            "after TID2013 type 22",
            colours.dithering,
            unchanged=256.0,
            whole=True,
        ),
        Distortion(
            "chromatic_aberration",
            23,
            (1.0, 2.0, 3.5, 6.0, 10.0),
            "pixels by which red and blue are off at the corners",
            "after TID2013 type 23",
            places.chromatic_aberration,
            unchanged=0.0,
        ),
        Distortion(
            "lens_blur",
            32,
            (1.0, 2.0, 4.0, 6.0, 8.0),
            "radius of a disc in pixels",
            "KADID-10k type 2",
            blurs.lens_blur,
            unchanged=0.0,
        ),
        Distortion(
            "motion_blur",
            33,
            (1.0, 2.0, 4.0, 6.0, 10.0),
            "length of a line in pixels, in a random direction",
            "KADID-10k type 3",
            blurs.motion_blur,
            unchanged=0.0,
        ),
        Distortion(
            "color_diffusion",
            34,
            (1.0, 3.0, 6.0, 8.0, 12.0),
            "factor on a* and b*, which are blurred by 1.5 times it + 2 pixels",
            "KADID-10k type 4",
            colours.color_diffusion,
            unchanged=0.0,
        ),
        Distortion(
            "color_shift",
            35,
            (1.0, 3.0, 6.0, 8.0, 12.0),
            "pixels by which green is shifted at edges, in a random direction",
            "after KADID-10k type 5",
            colours.color_shift,
            unchanged=0.0,
        ),
        Distortion(
            "color_quantization",
            36,
            (64, 48, 32, 16, 8),
            "number of colours, by median cut",
            "after KADID-10k type 6",
            colours.color_quantization,
            unchanged=256.0,
            whole=True,
        ),
        Distortion(
            "hsv_saturation",
            37,
            (0.4, 0.2, 0.1, 0.0, -0.4),
            "factor on the saturation of HSV",
            "KADID-10k type 7",
            colours.hsv_saturation,
            unchanged=1.0,
        ),
        Distortion(
            "lab_saturation",
            38,
            (1.0, 2.0, 3.0, 6.0, 9.0),
            "factor on a* and b*; the first level changes nothing, as published",
            "KADID-10k type 8",
            colours.lab_saturation,
            unchanged=1.0,
        ),
        Distortion(
            "jpeg2000",
            39,
            (16.0, 32.0, 45.0, 120.0, 400.0),
            "compression ratio",
            "KADID-10k type 9; encoded and decoded by Pillow's own OpenJPEG",
            _jpeg2000,
            unchanged=1.0,
        ),
        Distortion(
            "component_noise",
            42,
            (0.0001, 0.0005, 0.001, 0.002, 0.003),
            "variance in luma and colour differences, of samples from 0 to 1",
            "KADID-10k type 12",
            noises.component_noise,
            unchanged=0.0,
        ),
        Distortion(
            "impulse_noise",
            43,
            (0.001, 0.005, 0.01, 0.02, 0.03),
            "share of samples that become 0 or 255",
            "KADID-10k type 13",
            noises.impulse_noise,
            unchanged=0.0,
        ),
        Distortion(
            "multiplicative_noise",
            44,
            (0.001, 0.005, 0.01, 0.02, 0.05),
            "variance of the factor",
            "KADID-10k type 14",
            noises.multiplicative_noise,
            unchanged=0.0,
        ),
        Distortion(
            "denoise",
            45,
            (0.01, 0.03, 0.05, 0.1, 0.15),
            "variance of the noise, of samples from 0 to 1, that a 5 x 5 Wiener filter then removes",
            "after KADID-10k type 15, which removes it with a network",
            blurs.denoise,
            unchanged=0.0,
        ),
        Distortion(
            "brighten",
            46,
            (0.1, 0.2, 0.4, 0.7, 1.1),
            "how far the curve of tones is lifted: 1 takes mid-grey to white",
            "KADID-10k type 16",
            colours.brighten,
            unchanged=0.0,
        ),
        Distortion(
            "darken",
            47,
            (0.05, 0.1, 0.2, 0.4, 0.8),
            "how far the curve of tones is lowered: 1 takes mid-grey to black",
            "KADID-10k type 17",
            colours.darken,
            unchanged=0.0,
        ),
        Distortion(
            "mean_shift",
            48,
            (0.15, 0.08, 0.0, -0.08, -0.15),
            "what is added to samples from 0 to 1; the third level changes nothing, as published",
            "KADID-10k type 18",
            colours.mean_shift,
            unchanged=0.0,
        ),
        Distortion(
            "jitter",
            49,
            (0.05, 0.1, 0.2, 0.5, 1.0),
            "standard deviation of a pixel's displacement, in pixels",
            "after KADID-10k type 19",
            places.jitter,
            unchanged=0.0,
        ),
        Distortion(
            "misplaced_patches",
            50,
            (20, 40, 60, 80, 100),
            "patches of 16 x 16 pixels that are copied to places nearby",
            "KADID-10k type 20, non-eccentricity patch",
            places.misplaced_patches,
            unchanged=0.0,
            whole=True,
        ),
        Distortion(
            "pixelate",
            51,
            (0.01, 0.05, 0.1, 0.2, 0.5),
            "p, by which the image is shrunk to 0.95 - p ** 0.6 of its size",
            "KADID-10k type 21",
            places.pixelate,
            unchanged=0.0,
        ),
        Distortion(
            "color_block",
            53,
            (2, 4, 6, 8, 10),
            "blocks of 32 x 32 pixels, of one random colour each, at random places",
            "KADID-10k type 23, color block; it leaves most patches as they are",
            places.color_block,
            unchanged=0.0,
            whole=True,
        ),
        Distortion(
            "sharpen",
            54,
            (1.0, 2.0, 3.0, 6.0, 12.0),
            "factor on a quarter of the Laplacian of L*, which is subtracted",
            "KADID-10k type 24, high sharpen",
            blurs.sharpen,
            unchanged=0.0,
        ),
        Distortion(
            "tone_curve",
            55,
            (0.3, 0.15, 0.0, -0.4, -0.6),
            "p of the curve through (0.3, 0.25 - p / 4) and (0.7, 0.75 + p / 4); -0.2 changes nothing",
            "KADID-10k type 25, contrast change",
            colours.tone_curve,
            unchanged=-0.2,
        ),
        Distortion(
            "dead_pixels",
            61,
            (0.0005, 0.001, 0.003, 0.01, 0.03),
            "share of the pixels that are black",
            "a fault of cameras; levels of pixq",
            camera.dead_pixels,
            unchanged=0.0,
        ),
        Distortion(
            "hot_pixels",
            62,
            (0.0005, 0.001, 0.003, 0.01, 0.03),
            "share of the pixels in which one channel is 255",
            "a fault of cameras; levels of pixq",
            camera.hot_pixels,
            unchanged=0.0,
        ),
        Distortion(
            "row_defects",
            63,
            (0.5, 1.0, 2.0, 4.0, 8.0),
            "standard deviation of a row's offset, in grey levels",
            "a fault of cameras; levels of pixq",
            camera.row_defects,
            unchanged=0.0,
        ),
        Distortion(
            "column_defects",
            64,
            (0.5, 1.0, 2.0, 4.0, 8.0),
            "standard deviation of a column's offset, in grey levels",
            "a fault of cameras; levels of pixq",
            camera.column_defects,
            unchanged=0.0,
        ),
        Distortion(
            "bilinear_demosaicing",
            65,
            (0.25, 0.5, 1.0, 1.5, 2.0),
            "multiple of what bilinear demosaicing of a Bayer array changes",
            "a fault of cameras; levels of pixq",
            camera.bilinear_demosaicing,
            unchanged=0.0,
        ),
        Distortion(
            "malvar_demosaicing",
            66,
            (0.25, 0.5, 1.0, 2.0, 4.0),
            "multiple of what Malvar, He and Cutler's demosaicing changes",
            "H. S. Malvar, L. He, R. Cutler, ICASSP 2004; levels of pixq",
            camera.malvar_demosaicing,
            unchanged=0.0,
        ),
        Distortion(
            "directed_demosaicing",
            67,
            (0.25, 0.5, 1.0, 2.0, 4.0),
            "multiple of what edge-directed demosaicing changes",
            "J. F. Hamilton, J. E. Adams, US patent 5,629,734, 1997; levels of pixq",
            camera.directed_demosaicing,
            unchanged=0.0,
        ),
        Distortion(
            "oversmooth",
            68,
            (2.0, 4.0, 8.0, 16.0, 32.0),
            "grey levels of noise that a 5 x 5 Wiener filter removes, though there is none",
            "denoising that is too strong; levels of pixq",
            blurs.oversmooth,
            unchanged=0.0,
        ),
        Distortion(
            "halo",
            69,
            (0.15, 0.3, 0.6, 1.2, 2.4),
            "factor on the difference from a Gaussian blur of 2.5 pixels",
            "sharpening that is too strong; levels of pixq",
            blurs.halo,
            unchanged=0.0,
        ),
        Distortion(
            "banding",
            70,
            (4.0, 8.0, 12.0, 20.0, 32.0),
            "step in grey levels of what a Gaussian of 4 pixels keeps",
            "too few bits in smooth surfaces; levels of pixq",
            colours.banding,
            unchanged=0.5,
        ),
        Distortion(
            "moire",
            71,
            (1.0, 2.0, 4.0, 8.0, 16.0),
            "largest change in grey levels",
            "a grid photographed by a sensor; levels of pixq",
            places.moire,
            unchanged=0.0,
        ),
    )
}
