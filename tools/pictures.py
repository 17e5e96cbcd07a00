"""Draws the pictures of README.md and the documentation: `make pictures`, or `python tools/pictures.py [FOLDER]`.

The photograph is scikit-image's "chelsea" by Stefan van der Walt, which is in the public domain (CC0). The commands
that draw are those a user would run; photographs are then saved as JPEG and curves with fewer colours, to stay small.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixq.cli import main as pixq
from pixq.distort import DISTORTIONS, distort
from pixq.distort import LEVELS as LEVELS_OF_A_KIND
from pixq.distort.demo import demo_references

DOCS = Path(__file__).resolve().parents[1] / "docs" / "pictures"
#: JPEG qualities of the boxes in map.jpg, row by row.
QUALITIES = ((80, 60, 40), (25, 15, 10))
#: Rows and columns of the first box, of the way to the next, and of a box, in pixels.
FIRST, STEP, SIDE = (32, 40), (128, 136), 96
#: Levels of the ladder: 101 - level is a JPEG quality.
LEVELS = range(1, 97, 5)


def as_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The pixels after JPEG compression."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="JPEG", quality=quality)
    return np.array(Image.open(data))


def with_boxes(reference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photograph with boxes that were compressed, each row and column stronger than the one before."""
    distorted = reference.copy()
    for row, qualities in enumerate(QUALITIES):
        for column, quality in enumerate(qualities):
            y, x = FIRST[0] + row * STEP[0], FIRST[1] + column * STEP[1]
            distorted[y : y + SIDE, x : x + SIDE] = as_jpeg(reference, quality)[y : y + SIDE, x : x + SIDE]
    return distorted


def run(*arguments: str | Path) -> None:
    """Run a command of pixq, and stop where it fails."""
    if code := pixq([str(argument) for argument in arguments]):
        raise SystemExit(code)


def save(drawn: Path, out: Path, quality: int = 72) -> None:
    """Save a drawn PNG under a name that ends in .jpg (photographs) or .png (curves)."""
    with Image.open(drawn) as picture:
        if out.suffix == ".jpg":
            picture.convert("RGB").save(out, quality=quality, optimize=True, progressive=True)
        else:
            picture.convert("RGB").quantize(32).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


def distortion_sheet(reference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A part of the photograph with each kind of distortion at its five levels: two columns of kinds."""
    from PIL import ImageDraw, ImageFont

    part = np.ascontiguousarray(reference[40:160, 110:290])
    height, width = 40, 60
    label, gap, names = 132, 3, list(DISTORTIONS)
    rows = -(-len(names) // 2)
    column = label + LEVELS_OF_A_KIND * (width + gap) + 2 * gap
    sheet = Image.new("RGB", (2 * column, rows * (height + gap)), (250, 250, 248))
    text = ImageDraw.Draw(sheet)
    for place, name in enumerate(names):
        left, top = place // rows * column, place % rows * (height + gap)
        text.text((left + 4, top + height / 2), name.replace("_", " "), (30, 30, 30), ImageFont.load_default(11), "lm")
        for level in range(1, LEVELS_OF_A_KIND + 1):
            distorted = distort(part, name, level, seed=0, name="chelsea")
            tile = Image.fromarray(distorted[40 : 40 + height, 50 : 50 + width])
            sheet.paste(tile, (left + label + (level - 1) * (width + gap), top))
    return np.asarray(sheet)


def draw(out: Path) -> None:
    """Draw all pictures into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    reference = np.ascontiguousarray(demo_references()["chelsea"][:300, :450])
    with TemporaryDirectory() as name:
        folder = Path(name)
        levels = folder / "levels"
        levels.mkdir()
        photograph, boxes = folder / "chelsea.png", folder / "boxes.png"
        Image.fromarray(reference).save(photograph)
        Image.fromarray(with_boxes(reference)).save(boxes)
        for level in LEVELS:
            Image.fromarray(reference).save(levels / f"chelsea_{101 - level}.jpg", quality=101 - level)
        side, heat, curve, places = (folder / f"{name}.png" for name in ("side", "heat", "curve", "places"))
        run("predict", photograph, boxes, "--stride", "5", "--side", side, "--heat", heat)
        run("pjnd", photograph, levels, "--level", "101-n", "--picture", curve)
        run("critical", photograph, levels, "--level", "101-n", "--map", places)
        for drawn, file in ((side, "map.jpg"), (heat, "heat.jpg"), (curve, "pjnd.png"), (places, "critical.jpg")):
            save(drawn, out / file)
        sheet = folder / "sheet.png"
        Image.fromarray(distortion_sheet(reference)).save(sheet)
        save(sheet, out / "distortions.jpg", quality=50)


def main(arguments: Sequence[str]) -> int:
    """Draw into the folder that is named, or into docs/pictures."""
    draw(Path(arguments[0]) if arguments else DOCS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
