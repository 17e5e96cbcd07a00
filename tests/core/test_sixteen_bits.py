"""One rule turns 16 bits into 8, and every command uses it: each sample is rounded to the nearest of the 256."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from PIL import Image

import pixq
from pixq import datasets
from pixq.datasets.inspect import figure
from pixq.distort import read_references
from pixq.drawing.image_scaling import ImageScale, pixels
from pixq.io.images import eight_bits, load_pixels, to_8_bits
from pixq.ladders.difference import difference
from pixq.predict.decoding import open_pair, plan
from pixq.predict.pairs import Pair
from pixq.serve.response_json import as_png
from pixq.serve.upload import Upload
from pixq.study.design.check import check_study
from support import trees
from support.studies import entry, tables, write_study

# All values of 16 bits.
DEEP = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
# No sample lies halfway between two, as 257 is odd.
ROUNDED = np.rint(DEEP / 257.0).astype(np.uint8)


def by_inspect(file: Path) -> NDArray[Any]:
    root = file.parent / "dataset"
    trees.write_jianjin008(root)
    images = list(root.rglob("*.png"))
    assert images
    for path in images:
        shutil.copy(file, path)
    drawn: Any = figure(datasets.index("jianjin008", root))
    tile = drawn.findobj(AxesImage)[0].get_array()
    return np.asarray(tile)[:, :256]


def by_serve(file: Path) -> NDArray[Any]:
    upload = Upload(file.name, file.read_bytes())
    return np.asarray(Image.open(io.BytesIO(as_png(upload, 1 << 20))).convert("RGB"))


def by_predict(file: Path) -> NDArray[Any]:
    return open_pair(plan(Pair(file, file, file.stem), 20, 20), 1 << 30).distorted


READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    "models": lambda file: eight_bits("image", load_pixels(file)),
    "distort": lambda file: read_references([file])[file.name],
    "inspect": by_inspect,
    "serve": by_serve,
    "predict": by_predict,
    "maps": lambda file: pixels(load_pixels(file), ImageScale(256, 256)),
}


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("reader", READERS)
def test_all_values_are_rounded(reader: str, ending: str, tmp_path: Path) -> None:
    Image.fromarray(DEEP).save(tmp_path / f"deep.{ending}")
    np.testing.assert_array_equal(READERS[reader](tmp_path / f"deep.{ending}"), ROUNDED[..., None].repeat(3, axis=2))


def test_8_bits_that_were_stored_as_16_come_back() -> None:
    bytes_ = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_8_bits(bytes_.astype(np.uint16) * 257), bytes_)
    assert to_8_bits(bytes_) is bytes_


def test_no_other_place_converts_depths() -> None:
    """A shift or a division of one's own is how the rules of two commands come apart."""
    package = Path(pixq.__file__).parent
    shift = re.compile(r">> ?8\b|// ?256\b|/ ?257\b")
    sources = [path for path in package.rglob("*.py") if "node_modules" not in path.parts]
    lines = [
        (path.relative_to(package).as_posix(), line.strip())
        for path in sources
        for line in path.read_text(encoding="utf-8").splitlines()
        if shift.search(line)
    ]
    assert lines == [("io/images.py", "return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)")]


def test_images_of_different_depths_are_compared_at_8_bits(tmp_path: Path) -> None:
    grey = trees.photo(1)[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).save(tmp_path / "same.png")
    Image.fromarray(np.where(grey > 99, grey - 2, grey)).save(tmp_path / "darker.png")
    deep = load_pixels(tmp_path / "deep.png")
    assert deep.dtype == np.uint16
    assert difference(deep, tmp_path / "same.png") == 0
    assert difference(deep, tmp_path / "darker.png") == pytest.approx(2 * (grey > 99).mean())
    assert difference(load_pixels(tmp_path / "darker.png"), tmp_path / "deep.png") > 0


def test_levels_that_a_screen_shows_alike_are_equal(tmp_path: Path) -> None:
    value = tables(source=[entry("S0")], training=[], test=[], quota={"tests": 0})
    path = write_study(tmp_path, value, levels=(1, 2, 3))
    grey = trees.photo(3)[..., 0]
    Image.fromarray(grey).save(tmp_path / "images" / "S0_JPEG_100.png")
    # Less than half a step of 8 bits more.
    deep = grey.astype(np.uint16) * 257 + (grey < 255)
    Image.fromarray(deep.astype(np.uint16)).save(tmp_path / "images" / "S0_JPEG_099.png")
    assert check_study(path).ladders[0].equal == ((1, 2),)
