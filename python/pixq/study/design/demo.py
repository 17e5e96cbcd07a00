"""A small study to look at: three sources in JPEG, a training image and a hidden test image whose truth is made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from pixq.distort.demo import demo_references
from pixq.errors import PixqError
from pixq.io.atomic import write_text
from pixq.study.design.config import STUDY_FILE, read_study

__all__ = ["FIRST", "LAST", "LEVELS", "PLACES", "TITLE", "made_up", "spots", "write_demo"]

TITLE = "pixq: a demonstration of the flicker study"
#: Of every image; a source's JPEG has the quality 101 minus it.
LEVELS = tuple(range(5, 101, 5))
#: Which photograph is what. The training and the test image are smooth, so that nothing hides what is put into them.
_SOURCES = ("astronaut", "coffee", "ihc")
_TRAINING, _TEST = "rocket", "retina"
#: Where training and test image change: rows and columns, as shares of the image.
PLACES = {_TRAINING: ((0.25, 0.14), (0.35, 0.85), (0.7, 0.66)), _TEST: ((0.2, 0.45), (0.6, 0.3), (0.68, 0.82))}
#: The first level at which anything changes, and the last that is accepted as a PJND; see `spots`.
FIRST, LAST = 20, 45
#: Of a spot, in pixels: at 13.8 cm for 512 pixels, seen from 30 cm, 0.7 degrees.
_SIGMA = 14.0
#: Grey levels at `FIRST`, and more at each level after it.
_BEGIN, _SLOPE = 4.0, 0.8
#: Of the references' JPEG, and of all levels of training and test image. With colours as fine as brightness each block
#: of 8x8 pixels stands for itself: what changes in a spot changes nothing elsewhere.
_FINE: Mapping[str, Any] = {"quality": 100, "subsampling": 0}

Image = npt.NDArray[np.uint8]


def spots(reference: Image, places: tuple[tuple[float, float], ...], level: int) -> Image:
    """An image with spots that grow darker, or brighter where it is dark, with the level.

    Below `FIRST` it is the reference itself, to the last bit, so nobody can notice anything. At `FIRST` a spot differs
    by 4 grey levels, 3 % of mid grey, and people see a spot of that size flicker from 1 % or so on, if they look there.
    After `LAST` it differs by more than 24, a fifth of mid grey, which nobody misses who looks at the screen. JPEG of
    the best quality moves a pixel of a spot by a level or two, and no block of 8x8 pixels that has none of a spot.

    Parameters
    ----------
    reference
        uint8, (height, width, 3).
    places
        (y, x), as shares of the image.
    level
        0 to 100.

    Examples
    --------
    >>> grey = np.full((96, 128, 3), 128, np.uint8)
    >>> [int(spots(grey, ((0.5, 0.5),), level)[48, 64, 0]) for level in (0, 15, 20, 45, 100)]
    [128, 128, 124, 104, 60]
    """
    if level < FIRST:
        return reference.copy()
    height, width = reference.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    found = reference.astype(np.float64)
    for y, x in places:
        far = (rows - round(y * height)) ** 2 + (columns - round(x * width)) ** 2
        bump = np.exp(-far / (2 * _SIGMA**2))
        near = far <= _SIGMA**2
        up = reference[near].mean() < 100
        found += (1 if up else -1) * (_BEGIN + _SLOPE * (level - FIRST)) * bump[:, :, None]
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def made_up(names: tuple[str, ...], size: tuple[int, int] = (384, 512)) -> dict[str, Image]:
    """Pictures where there are no photographs: slopes of colour with discs and stripes; by name, always the same.

    Parameters
    ----------
    names
        Of the pictures.
    size
        Height and width, in pixels.
    """
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    found = {}
    for seed, name in enumerate(names):
        draws = np.random.default_rng(seed)
        slope = columns / width * draws.uniform(20, 60) + rows / height * draws.uniform(20, 60)
        picture = slope[:, :, None] + draws.uniform(60, 120, 3)
        # Training and test image stay smooth.
        for _ in range(0 if name in PLACES else 12):
            y, x, radius = draws.uniform(0, height), draws.uniform(0, width), draws.uniform(15, 70)
            disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            stripes = 18 * np.sin((rows * draws.uniform(-1, 1) + columns) / draws.uniform(2, 9))
            picture[disc] = (draws.uniform(40, 210, 3) + stripes[:, :, None])[disc]
        found[name] = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return found


def write_demo(folder: Path) -> bool:
    """Write the demonstration's study and images; gives whether there was none.

    Parameters
    ----------
    folder
        Of the study; made if it is not there. A study that was written before is kept with its answers, and one that
        was not finished is written anew.

    Raises
    ------
    PixqError
        If it holds anything else, or can't be written.
    """
    path = folder / STUDY_FILE
    if path.is_file():
        if read_study(path).title != TITLE:
            raise PixqError(f"{path}: is another study; choose another --out, or serve it: pixq study serve {folder}")
        return False
    if folder.is_dir() and (others := sorted(each.name for each in folder.iterdir() if each.name != "images")):
        raise PixqError(f"{folder}: holds {others[0]}, and no demonstration; choose another --out")
    pictures = _pictures()
    images = folder / "images"
    scratch = folder / f".{STUDY_FILE}.partial-{os.getpid()}"
    try:
        images.mkdir(parents=True, exist_ok=True)
        for name, reference in pictures.items():
            _write_ladder(images, name, reference)
        try:
            # Last, so that where it is, all is.
            write_text(scratch, path, (_text(pictures),))
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise PixqError(
            f"{error.filename or folder}: {error.strerror or error}; choose a folder that you may write to"
        ) from None
    return True


def _pictures() -> dict[str, Image]:
    names = (*_SOURCES, _TRAINING, _TEST)
    try:
        found = demo_references()
        return {name: found[name] for name in names}
    except PixqError:
        # No scikit-image: the flow is the same with any picture.
        return made_up(names)


def _write_ladder(images: Path, name: str, reference: Image) -> None:
    # All is JPEG, so that the file's type does not tell which image is a test.
    Pillow.fromarray(reference).save(images / f"{name}.jpg", **_FINE)
    with Pillow.open(images / f"{name}.jpg") as shown:
        decoded = np.asarray(shown)
    for level in LEVELS:
        if name in PLACES:
            # From the picture itself, so that the file is the reference's to the last bit where nothing is put into it.
            changed = Pillow.fromarray(spots(reference, PLACES[name], level))
            changed.save(images / f"{name}_SPOTS_{101 - level:03d}.jpg", **_FINE)
        else:
            Pillow.fromarray(decoded).save(images / f"{name}_JPEG_{101 - level:03d}.jpg", quality=101 - level)


def _text(pictures: Mapping[str, Image]) -> str:
    tables = []
    for name, picture in pictures.items():
        kind = {_TRAINING: "training", _TEST: "test"}.get(name, "source")
        codec = "SPOTS" if name in PLACES else "JPEG"
        tables += [
            f"[[{kind}]]",
            f'id = "{name}"',
            f'codec = "{codec}"',
            f'reference = "images/{name}.jpg"',
            f'levels = "images/{name}_{codec}_*.jpg"',
            'level = "101-n"',
        ]
        if name in PLACES:
            height, width = picture.shape[:2]
            points = [[round(y * height), round(x * width)] for y, x in PLACES[name]]
            tables += [f"pjnd_range = [{FIRST}, {LAST}]", f"points_yx = {points}"]
        tables.append("")
    consent = "".join(f"{language} = {json.dumps(text, ensure_ascii=False)}\n" for language, text in _CONSENT.items())
    return _FRAME.format(title=json.dumps(TITLE), images=len(_SOURCES), consent=consent, tables="\n".join(tables))


_CONSENT = {
    "en": (
        "This is a demonstration of pixq's flicker study. It shows what a participant would go through: checks of the "
        "screen, a practice picture, four pictures, a few questions.\n\n"
        "Nothing leaves this computer. What you answer is stored in the study's folder, where you can look at it, and "
        "delete it with the folder."
    ),
    "de": (
        "Dies ist eine Vorführung der Flimmerstudie von pixq. Sie zeigt, was Teilnehmende erleben: eine Prüfung des "
        "Bildschirms, ein Übungsbild, vier Bilder, ein paar Fragen.\n\n"
        "Nichts verlässt diesen Computer. Was Sie antworten, wird im Ordner der Studie gespeichert; dort können Sie es "
        "ansehen und mit dem Ordner löschen."
    ),
}

_FRAME = """\
# A demonstration, written by `pixq study demo`. `pixq study new` writes a study of your own images.

title = {title}
contact = "nobody@example.org"      # the same in every language
languages = ["en", "de"]
min_screen_cm = 12              # any laptop will do
min_window = [1000, 640]

[consent]
{consent}
[quota]
images = {images}
tests = 1

# The training and the test image change in three spots from level 20 on, and nowhere else and not before.

{tables}"""
