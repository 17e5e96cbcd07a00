"""`pixq study demo`: a small study of three photographs, with a training and a test image made to have a known PJND."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from pixq.distort.demo import demo_references
from pixq.errors import PixqError
from pixq.io.atomic import explain_os_errors, save_text
from pixq.study.design.config import STUDY_FILE, read_study

__all__ = ["FIRST", "LAST", "LEVELS", "PLACES", "TITLE", "draw_spots", "synthetic_pictures", "write_demo"]

TITLE = "pixq: a demonstration of the flicker study"
#: The levels of every image; the JPEG of a source has the quality 101 minus the level.
LEVELS = tuple(range(5, 101, 5))
#: The role of each photograph. Those of training and test are smooth, so that nothing hides the spots.
_SOURCES = ("astronaut", "coffee", "ihc")
_TRAINING, _TEST = "rocket", "retina"
#: Where the training and the test image change: (y, x) as shares of the image.
PLACES = {_TRAINING: ((0.25, 0.14), (0.35, 0.85), (0.7, 0.66)), _TEST: ((0.2, 0.45), (0.6, 0.3), (0.68, 0.82))}
#: The first level at which anything changes, and the last that is accepted as a PJND; see `draw_spots`.
FIRST, LAST = 20, 45
#: Standard deviation of a spot, in pixels: 0.7 degrees if 512 pixels are 13.8 cm wide and seen from 30 cm.
_SIGMA = 14.0
#: Depth of a spot in grey levels at `FIRST`, and what each further level adds.
_BEGIN, _SLOPE = 4.0, 0.8
#: JPEG settings of the references, and of all levels of the training and the test image. Without chroma subsampling
#: every block of 8x8 pixels is coded on its own, so a spot changes nothing outside its blocks.
_FINE: Mapping[str, Any] = {"quality": 100, "subsampling": 0}

Image = npt.NDArray[np.uint8]


def draw_spots(reference: Image, places: tuple[tuple[float, float], ...], level: int) -> Image:
    """Draw spots that grow darker with the level, or brighter where the image is dark.

    Below `FIRST` the result equals the reference in every bit, so nobody can notice anything. At `FIRST` a spot differs
    by 4 grey levels, 3 % of mid grey; people who look there see a spot of that size flicker from about 1 % on. Above
    `LAST` it differs by more than 24 grey levels, a fifth of mid grey, which nobody who looks at the screen misses.
    JPEG of the best quality moves pixels of a spot by a level or two and changes no 8x8 block without a spot.

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
    >>> [int(draw_spots(grey, ((0.5, 0.5),), level)[48, 64, 0]) for level in (0, 15, 20, 45, 100)]
    [128, 128, 124, 104, 60]
    """
    if level < FIRST:
        return reference.copy()
    height, width = reference.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    image = reference.astype(np.float64)
    for y, x in places:
        distance_squared = (rows - round(y * height)) ** 2 + (columns - round(x * width)) ** 2
        spot = np.exp(-distance_squared / (2 * _SIGMA**2))
        is_dark = reference[distance_squared <= _SIGMA**2].mean() < 100
        image += (1 if is_dark else -1) * (_BEGIN + _SLOPE * (level - FIRST)) * spot[:, :, None]
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def synthetic_pictures(names: tuple[str, ...], size: tuple[int, int] = (384, 512)) -> dict[str, Image]:
    """Make pictures to use where there are no photographs: colour gradients with striped discs, fixed by the names.

    Parameters
    ----------
    names
        Names of the pictures.
    size
        Height and width, in pixels.
    """
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    pictures = {}
    for seed, name in enumerate(names):
        draws = np.random.default_rng(seed)
        gradient = columns / width * draws.uniform(20, 60) + rows / height * draws.uniform(20, 60)
        picture = gradient[:, :, None] + draws.uniform(60, 120, 3)
        # The training and the test image stay smooth.
        for _ in range(0 if name in PLACES else 12):
            y, x, radius = draws.uniform(0, height), draws.uniform(0, width), draws.uniform(15, 70)
            disc = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            stripes = 18 * np.sin((rows * draws.uniform(-1, 1) + columns) / draws.uniform(2, 9))
            picture[disc] = (draws.uniform(40, 210, 3) + stripes[:, :, None])[disc]
        pictures[name] = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return pictures


def write_demo(folder: Path) -> bool:
    """Write the study and the images of the demonstration, unless they are there; returns whether they were written.

    Parameters
    ----------
    folder
        Folder of the study; it is created. A complete study is kept with its answers, an incomplete one is written
        again.

    Raises
    ------
    PixqError
        If the folder holds anything else, or can't be written.
    """
    path = folder / STUDY_FILE
    if path.is_file():
        if read_study(path).title != TITLE:
            raise PixqError(
                f"{path}: is a study of another title; choose another --out, or serve it: pixq study serve {folder}"
            )
        return False
    if folder.is_dir() and (others := sorted(entry.name for entry in folder.iterdir() if entry.name != "images")):
        raise PixqError(f"{folder}: contains {others[0]}, which is not part of a demonstration; choose another --out")
    pictures = _pictures()
    images = folder / "images"
    fix = "choose a folder that you may write to"
    with explain_os_errors(images, fix):
        images.mkdir(parents=True, exist_ok=True)
        for name, reference in pictures.items():
            _write_ladder(images, name, reference)
    # Last, so that a folder with this file is complete.
    save_text(path, (_text(pictures),), fix)
    return True


def _pictures() -> dict[str, Image]:
    names = (*_SOURCES, _TRAINING, _TEST)
    try:
        photographs = demo_references()
        return {name: photographs[name] for name in names}
    except PixqError:
        # scikit-image is not installed: any picture will do.
        return synthetic_pictures(names)


def _write_ladder(images: Path, name: str, reference: Image) -> None:
    # All files are JPEG, so that their type does not give away which image is a test.
    Pillow.fromarray(reference).save(images / f"{name}.jpg", **_FINE)
    with Pillow.open(images / f"{name}.jpg") as file:
        decoded = np.asarray(file)
    for level in LEVELS:
        if name in PLACES:
            # Drawn on the undecoded picture, so that the file equals the reference's where nothing changes.
            changed = Pillow.fromarray(draw_spots(reference, PLACES[name], level))
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
        "Nothing leaves this computer. Your answers are stored in the study's folder, where you can look at them and "
        "delete them together with the folder."
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

# The training and the test image change in three spots, from level 20 on; below it they equal their reference.

{tables}"""
