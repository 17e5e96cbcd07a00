"""Makes `python/pixq/default`, the model that `pixq predict` uses unless it is given a run.

    python tools/default_model.py TID2013 TID2013_MORE

TID2013 is a tree of that dataset, or of a part of it. TID2013_MORE has a labels.csv of further images of the same
references (columns image, reference, type, level, parameter and mos), those of them that are not drawn, and a make.py
that draws the others. What is trained is the model's second answer, quality; the first, visibility, is a formula, and
its constants are in `pixq/visibility.py`. On a CPU, the same data give the same weights. The numbers of MODEL_CARD.md
are those that `benches/ladders.py` and `benches/truth.py` print; write them down there when they change. Some ten
minutes on two cores.
"""

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixq import BuildSettings, PatchSet, PixqError, build
from pixq.io.atomic import atomic_directory, save_json
from pixq.io.images import load_pixels
from pixq.runs.directory import RUN
from pixq.runs.recipe import read_recipe
from pixq.train import loop
from pixq.train.partition import by_split

OUT = Path(__file__).resolve().parents[1] / "python" / "pixq" / "default"

#: What is needed to use the run and to repeat it; the rest of a run's files are of its training.
KEPT = ("recipe.toml", "model.safetensors")


def join_tid2013(tid2013: Path, more: Path, out: Path) -> None:
    """Write a tree of TID2013 with the images of `tid2013` and those of `more`, whose missing ones are drawn.

    Raises
    ------
    PixqError
        If `out` can't be written, an image is there twice, or one is missing and can't be drawn.
    """
    lines = (tid2013 / "mos_with_names.txt").read_text("utf-8").splitlines()
    first = {Path(line.split()[1]).stem.lower() for line in lines if line.strip()}
    table = more / "labels.csv"
    with table.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    with atomic_directory(out) as tree:
        for folder in ("reference_images", "distorted_images"):
            shutil.copytree(tid2013 / folder, tree / folder)
        for row in rows:
            name = row["image"]
            file, copy = more / "images" / name, tree / "distorted_images" / name
            if file.stem.lower() in first:
                raise PixqError(f"{table}: {name} is in {tid2013} too; remove it from one of them")
            if copy.exists():
                raise PixqError(f"{table}: {name} is there twice; remove one of its rows")
            if file.exists():
                shutil.copyfile(file, copy)
            else:
                Image.fromarray(draw(row, tid2013, more)).save(copy)
            lines.append(f"{row['mos']} {name}")
        (tree / "mos_with_names.txt").write_text("\n".join(lines) + "\n", "utf-8", newline="\n")


def draw(row: dict[str, str], tid2013: Path, more: Path) -> NDArray[np.uint8]:
    """The image of a row of labels.csv, as `make.py` draws it."""
    kind, level = int(row["type"]), int(row["level"])
    reference = load_pixels(tid2013 / "reference_images" / row["reference"])
    generator = np.random.default_rng([kind, level, int(row["reference"][1:3])])
    try:
        image: NDArray[np.uint8] = _distort(more / "make.py")(reference, kind, float(row["parameter"]), generator)
    except ValueError:
        file = more / "images" / row["image"]
        raise PixqError(f"{file}: is missing, and make.py can't draw type {kind}; copy the file there") from None
    return image


@cache
def _distort(script: Path) -> Callable[..., NDArray[np.uint8]]:
    distort: Callable[..., NDArray[np.uint8]] = runpy.run_path(str(script))["distort"]
    return distort


def training_patches(tree: Path, out: Path) -> PatchSet:
    """Build the patch set `out` that the model is trained on, from a tree of TID2013.

    Its patches are whole. What people say of a whole image doesn't say what they would say if only a part of each patch
    differed: with such patches, of noise, blur and compression, whole ones of these types were rated 0.06 too high.
    """
    return PatchSet(build("tid2013", tree, out, settings=BuildSettings(ratio=(0.8, 0.2, 0.0))).out)


def train(tid2013: Path, more: Path) -> None:
    """Train on both, in a scratch directory, so that run.json has no path of this machine."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            join_tid2013(tid2013, more, Path("tree"))
            patches = training_patches(Path("tree"), Path("tid2013"))
            loop.train(by_split(patches), Path("run"), read_recipe("strong", ("model.name=visibility",)), device="cpu")
            OUT.mkdir(exist_ok=True)
            for name in KEPT:
                shutil.copyfile(Path("run", name), OUT / name)
            info = json.loads(Path("run", RUN).read_text("utf-8"))
        finally:
            os.chdir(before)
    # Of one machine, and other each time.
    info.update(hardware={}, timings={}, files={name: info["files"][name] for name in KEPT})
    save_json(OUT / RUN, info)


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit("usage: python tools/default_model.py TID2013 TID2013_MORE")
    tid2013, more = (Path(argument).resolve() for argument in sys.argv[1:])
    try:
        train(tid2013, more)
    except PixqError as error:
        raise SystemExit(f"default_model.py: {error}") from None


if __name__ == "__main__":
    main()
