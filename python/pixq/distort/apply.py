"""Distorting an image, and a substitute for its score."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np

from pixq import ranges
from pixq.distort.kinds import DISTORTIONS, LEVELS, Image
from pixq.errors import PixqError
from pixq.ranges import whole

__all__ = ["check_image", "distort", "generator", "synthetic_quality"]


def distort(image: Image, kind: str, level: int, seed: int, *, name: str = "") -> Image:
    """Distort an image.

    Random kinds draw from a separate generator for each `seed`, `name`, `kind` and `level`, so pixels don't depend on
    what else is distorted, on order or on the number of threads.

    Parameters
    ----------
    image
        uint8 RGB of shape (height, width, 3), 0 to 255; it is not changed.
    kind
        A name in `DISTORTIONS`, whose entry has the parameter of each level, its unit and the source.
    level
        1 (mildest) to 5.
    seed
        Any integer; only used by random kinds (white_noise, color_block).
    name
        Name of the image, e.g. `I01`: images with different names get different noise.

    Returns
    -------
    numpy.ndarray
        uint8 RGB of the same shape.

    Raises
    ------
    PixqError
        If the kind or the level is unknown, or the image is not uint8 RGB.

    Examples
    --------
    >>> import numpy as np
    >>> grey = np.full((2, 2, 3), 100, np.uint8)
    >>> distort(grey, "brightness", 2, seed=0)[0, 0]
    array([110, 110, 110], dtype=uint8)
    """
    check_image(image, "image")
    if kind not in DISTORTIONS:
        raise PixqError(f"unknown distortion {kind!r}; choose {', '.join(DISTORTIONS)}")
    whole(1, LEVELS).check(level, f"the level of {kind!r}")
    distortion = DISTORTIONS[kind]
    return distortion.apply(image, distortion.values[level - 1], generator(seed, name, kind, level))


def synthetic_quality(reference: Image, distorted: Image) -> float:
    """Make up a quality score from the PSNR, for demos and tests only: it does not come from people.

    It is 1 / (1 + 10^((30 - PSNR) / 20)), which is the share 255 / (255 + 31.6 RMSE): 0.5 at 30 dB, strictly falling
    with the squared error, and 1 where the images are equal. Real scores do not follow PSNR across distortion types.

    Parameters
    ----------
    reference, distorted
        uint8 RGB of one shape (height, width, 3).

    Returns
    -------
    float
        Above 0, at most 1.

    Raises
    ------
    PixqError
        If either is not uint8 RGB, or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> black = np.zeros((8, 8, 3), np.uint8)
    >>> synthetic_quality(black, black), round(synthetic_quality(black, black + np.uint8(8)), 3)
    (1.0, 0.502)
    """
    check_image(reference, "reference")
    check_image(distorted, "distorted")
    if reference.shape != distorted.shape:
        raise PixqError(f"the shapes {reference.shape} and {distorted.shape} differ; give two images of one shape")
    error = int(np.square(reference.astype(np.int64) - distorted).sum())
    rmse = math.sqrt(error / reference.size)
    return 255.0 / (255.0 + math.sqrt(1000.0) * rmse)


def check_image(image: Image, what: str) -> None:
    """Raise `PixqError` unless `image` is uint8 RGB and not empty; `what` names it in the message."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise PixqError(f"{what!r} is {image.dtype} of shape {image.shape}; give uint8 RGB of shape (height, width, 3)")


def generator(seed: int, name: str, kind: str, level: int) -> np.random.Generator:
    """A separate random generator for each seed, image, kind and level."""
    ranges.SEED.check(seed, "--seed")
    # Not hash(), which differs from process to process; and JSON keeps ["a", "bc"] apart from ["ab", "c"].
    digest = hashlib.sha256(json.dumps([seed, name, kind, level]).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
