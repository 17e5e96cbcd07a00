"""The demo: distorts photographs that come with scikit-image, and builds a patch set from them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pixq.distort import Image, write_tree
from pixq.errors import PixqError

__all__ = ["LADDERS", "PHOTOGRAPHS", "demo_references", "run_demo"]

# In the public domain or CC0, according to skimage.data. They are part of its wheel, so nothing is downloaded.
PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
    "rocket.jpg",
)
# One to three levels per kind, so that the Jianjin008 filter keeps them, and mild, as in JND data.
LADDERS = {
    "white_noise": (1, 2, 3),
    "quantization": (1, 2),
    "gaussian_blur": (1, 2, 3),
    "jpeg": (1, 2, 3),
    "brightness": (1, 2),
    "saturation": (1, 2),
    "color_block": (3,),
}
_HEIGHT, _WIDTH = 384, 512


def demo_references() -> dict[str, Image]:
    """Load the photographs by file name without suffix: uint8 RGB, halved if large, centre crops of 384 x 512.

    Raises
    ------
    PixqError
        If scikit-image or one of its photographs is missing.

    Examples
    --------
    >>> demo_references()["chelsea"].shape
    (300, 451, 3)
    """
    from PIL import Image as Pillow

    # Not imported: that takes a second, and skimage.data would download what the wheel lacks.
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise PixqError("the demo needs the photographs of scikit-image: pip install 'pixq[demo]'")
    folder = Path(spec.submodule_search_locations[0], "data")
    references = {}
    for file in PHOTOGRAPHS:
        try:
            with Pillow.open(folder / file) as photograph:
                # A crop of a large photograph would often show just a smooth surface, so these are halved first.
                pixels = np.array(photograph.convert("RGB").reduce(2 if min(photograph.size) >= 2 * _HEIGHT else 1))
        except FileNotFoundError:
            raise PixqError(f"this scikit-image lacks {folder / file}: pip install --upgrade 'pixq[demo]'") from None
        y, x = (max(0, (length - most) // 2) for length, most in zip(pixels.shape[:2], (_HEIGHT, _WIDTH), strict=True))
        references[Path(file).stem] = np.ascontiguousarray(pixels[y : y + _HEIGHT, x : x + _WIDTH])
    return references


def run_demo(out: Path, run: Callable[[Sequence[str]], int], say: Callable[[str], object] = print) -> int:
    """Make a dataset tree in `out/dataset`, build it into `out/patches`, and draw `out/sheet.png` and `out/map.png`.

    If run again, it keeps what is complete and resumes the rest.

    Parameters
    ----------
    out
        The folder for all output; created if missing.
    run
        Runs one `pixq` command and returns its exit code: `pixq.cli.main`.
    say
        Prints a part of the report.

    Returns
    -------
    int
        0, or the exit code of the command that failed.

    Raises
    ------
    PixqError
        If scikit-image is missing, or `out` holds other files.
    """
    dataset, patches, sheet, quality_map = out / "dataset", out / "patches", out / "sheet.png", out / "map.png"
    pair = dataset / "ref_img" / "I01.png", dataset / "jnd_img" / "I01_10_03.png"
    references = demo_references()
    written = write_tree(references, dataset, list(LADDERS), LADDERS)
    count = len(references) * sum(len(ladder) for ladder in LADDERS.values())
    say(
        f"{dataset}: {count} distorted images of {len(references)} photographs, "
        f"{'written' if written else 'there already'}. Their scores are synthetic: no person gave them."
    )
    for arguments in (
        ["build-patches", "--dataset", "jianjin008", "--root", str(dataset), "--out", str(patches)],
        ["show", str(patches), "--out", str(sheet)],
        ["predict", *map(str, pair), "--side", str(quality_map)],
    ):
        say(f"\n$ {_shell(arguments)}")
        code = run(arguments)
        if code != 0:
            return code
    say(_next_steps(out, dataset, patches, sheet, quality_map))
    return 0


def _shell(arguments: Sequence[str]) -> str:
    import shlex

    return shlex.join(["pixq", *arguments])


def _next_steps(out: Path, dataset: Path, patches: Path, sheet: Path, quality_map: Path) -> str:
    return f"""
Made in {out}:
  {quality_map}  where a JPEG image differs visibly from its reference: open it first
  {sheet}  a contact sheet of the patch set
  {patches}  the patch set, described by manifest.json
  {dataset}  the images that it was cut from, in the layout of Jianjin008

Next (`. .venv/bin/activate` first, if make installed pixq):
  {_shell(["verify", str(patches)])}
  {_shell(["export", str(patches), "--format", "npy", "--out", str(out / "npy")])}

Your own data:
  pixq predict reference.png distorted.png --map map.png   where, and how visibly, two images differ
  pixq datasets                                      the datasets that pixq reads, and their files
  pixq inspect --dataset tid2013 --root DIR          counts, levels, scores, missing files; inspect.png
  pixq build-patches --dataset tid2013 --root DIR --out patches"""
