"""The demo: photographs that come with scikit-image, distorted by pixq, through the main job."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pixq.distort import Image, write_tree
from pixq.errors import PixqError

__all__ = ["LADDERS", "PHOTOGRAPHS", "demo_references", "run_demo"]

# In the public domain or CC0, by the notes in skimage.data; all are files of the wheel, so nothing is downloaded.
PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
    "rocket.jpg",
)
# One to three levels a kind, as the Jianjin008 filter keeps them, and mild, as JND data are.
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
    """The photographs by file name without suffix: uint8 RGB, halved if large, cut to 384 x 512 about their centre.

    Raises
    ------
    PixqError
        If scikit-image, or one of its photographs, is not there.

    Examples
    --------
    >>> demo_references()["chelsea"].shape
    (300, 451, 3)
    """
    from PIL import Image as Pillow

    # Found, not imported: that takes a second, and skimage.data would download what a wheel lacks.
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise PixqError("the demo needs the photographs of scikit-image: pip install 'pixq[demo]'")
    folder = Path(found.submodule_search_locations[0], "data")
    references = {}
    for file in PHOTOGRAPHS:
        try:
            with Pillow.open(folder / file) as photograph:
                # The larger ones are halved first, or a cut of them would show nothing but a smooth surface.
                pixels = np.array(photograph.convert("RGB").reduce(2 if min(photograph.size) >= 2 * _HEIGHT else 1))
        except FileNotFoundError:
            raise PixqError(f"this scikit-image lacks {folder / file}: pip install --upgrade 'pixq[demo]'") from None
        y, x = (max(0, (length - most) // 2) for length, most in zip(pixels.shape[:2], (_HEIGHT, _WIDTH), strict=True))
        references[Path(file).stem] = np.ascontiguousarray(pixels[y : y + _HEIGHT, x : x + _WIDTH])
    return references


def run_demo(out: Path, run: Callable[[Sequence[str]], int], say: Callable[[str], object] = print) -> int:
    """Make a dataset tree in `out/dataset`, build it into `out/patches`, and draw `out/sheet.png` and `out/map.png`.

    Run again, it keeps what is whole and goes on with what is not.

    Parameters
    ----------
    out
        The folder for everything; made if it is not there.
    run
        Runs one `pixq` command and gives its exit code: `pixq.cli.main`.
    say
        Told each line of the report.

    Returns
    -------
    int
        0, or the exit code of the command that failed.

    Raises
    ------
    PixqError
        If scikit-image is not there, or `out` holds something else.
    """
    dataset, patches, sheet, found = out / "dataset", out / "patches", out / "sheet.png", out / "map.png"
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
        ["predict", *map(str, pair), "--side", str(found)],
    ):
        say(f"\n$ {_shell(arguments)}")
        code = run(arguments)
        if code != 0:
            return code
    say(_next_steps(out, dataset, patches, sheet, found))
    return 0


def _shell(arguments: Sequence[str]) -> str:
    import shlex

    return shlex.join(["pixq", *arguments])


def _next_steps(out: Path, dataset: Path, patches: Path, sheet: Path, found: Path) -> str:
    return f"""
Made in {out}:
  {found}  where a JPEG image differs visibly from its reference: open it first
  {sheet}  a contact sheet of the patch set
  {patches}  the patch set: manifest.json says what is in it
  {dataset}  the images it was cut from, in the layout of Jianjin008

Next (`. .venv/bin/activate` first, if make installed pixq):
  {_shell(["verify", str(patches)])}
  {_shell(["export", str(patches), "--format", "npy", "--out", str(out / "npy")])}

Your own data:
  pixq predict reference.png distorted.png --map map.png   where, and how visibly, two images differ
  pixq datasets                                      what pixq reads, and what each needs on disk
  pixq inspect --dataset tid2013 --root DIR          counts, levels, scores, missing files; inspect.png
  pixq build-patches --dataset tid2013 --root DIR --out patches"""
