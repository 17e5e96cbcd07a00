"""`tools/default_model.py`: the tree and the patches that the default model is trained on."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pixq import PatchSet, PixqError
from pixq.datasets import adapter
from pixq.io.images import load_pixels
from support import trees

ROOT = Path(__file__).parents[2]

#: Draws types 1 and 2, and says nothing of what the noise of either looks like.
MAKE = """
import numpy as np

def distort(image, kind, value, generator):
    if kind not in (1, 2):
        raise ValueError(kind)
    noise = generator.normal(0, value ** 0.5, image.shape)
    return np.clip(np.rint(image + kind * noise), 0, 255).astype(np.uint8)

if __name__ == "__main__":
    raise SystemExit("was run, not imported")
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("default_model", ROOT / "tools" / "default_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["default_model"] = module
    spec.loader.exec_module(module)
    return module


def row(kind: int, level: int, mos: float, reference: str = "I01") -> dict[str, str]:
    """A line of labels.csv."""
    name = f"{reference.lower()}_{kind:02}_{level}.png"
    return {
        "image": name,
        "reference": f"{reference}.PNG",
        "type": str(kind),
        "level": str(level),
        "parameter": str(32.0 * level),
        "mos": str(mos),
    }


ROWS = [row(1, 1, 5.51429), row(1, 2, 4.5), row(2, 1, 5.0, "I02"), row(11, 5, 1.8)]


def write_more(root: Path, rows: list[dict[str, str]]) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "make.py").write_text(MAKE, encoding="utf-8")
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as text:
        table = csv.DictWriter(text, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return root


@pytest.fixture
def tid2013(tmp_path: Path) -> Path:
    """Types 7 and 16 of five photographs."""
    root = tmp_path / "given"
    trees.write_tid(root, references=5, types=(7, 16), levels=1, suffix=".png")
    return root


@pytest.fixture
def more(tmp_path: Path) -> Path:
    root = write_more(tmp_path / "more", ROWS)
    trees.save(root / "images" / "i01_11_5.png", trees.photo(9))
    return root


def test_the_joined_tree_is_tid2013_with_more_types(
    tool: ModuleType, tid2013: Path, more: Path, tmp_path: Path
) -> None:
    tool.join_tid2013(tid2013, more, tmp_path / "tree")
    index = adapter("tid2013").index(tmp_path / "tree")
    assert index.problems == ()
    pairs = {pair.image_id: pair for pair in index.pairs}
    assert len(pairs) == 10 + len(ROWS)
    names = {"i01_01_1": "01 additive Gaussian noise", "i02_02_1": "02 additive noise in color components"}
    names |= {"i01_11_5": "11 JPEG2000 compression", "i03_07_1": "07 quantization noise"}
    assert {name: pairs[name].distortion_type for name in names} == names
    assert pairs["i01_01_1"].quality == pytest.approx(5.51429 / 9)
    assert pairs["i03_07_1"].quality == pytest.approx((7.5 - 1 - 0.07) / 9)

    # The noise is another in each image, and the same in each run: its seed is type, level and reference.
    for kind, level, reference in ((1, 1, 1), (1, 2, 1), (2, 1, 2)):
        found = load_pixels(tmp_path / "tree" / pairs[f"i{reference:02}_{kind:02}_{level}"].distorted)
        generator = np.random.default_rng([kind, level, reference])
        clean = load_pixels(tid2013 / "reference_images" / f"I{reference:02}.PNG")
        noise = generator.normal(0, (32.0 * level) ** 0.5, clean.shape)
        np.testing.assert_array_equal(found, np.clip(np.rint(clean + kind * noise), 0, 255).astype(np.uint8))
    there = more / "images" / "i01_11_5.png"
    assert (tmp_path / "tree" / pairs["i01_11_5"].distorted).read_bytes() == there.read_bytes()


def test_training_patches_are_whole_and_of_all_types(
    tool: ModuleType, tid2013: Path, more: Path, tmp_path: Path
) -> None:
    tool.join_tid2013(tid2013, more, tmp_path / "tree")
    patches: PatchSet = tool.training_patches(tmp_path / "tree", tmp_path / "patches")
    assert {image["distortion_type"][:2] for image in patches.images} == {"01", "02", "07", "11", "16"}
    np.testing.assert_array_equal(patches.records.fusion, 0)
    assert patches.manifest["fusions"] == [{"type": "none", "alpha": None}]
    # Each patch says what people said of its image.
    said = {"i01_01_1": 5.51429 / 9, "i03_16_1": (7.5 - 1 - 0.16) / 9}
    for name, quality in said.items():
        number = next(number for number, image in enumerate(patches.images) if image["image_id"] == name)
        assert patches.records.quality[patches.records.image == number] == pytest.approx(quality)
    # All photographs are trained on, but for those that choose the epoch.
    assert {image["split"] for image in patches.images} == {"train", "validation"}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row(7, 1, 5.0)], "labels.csv: i01_07_1.png is in .*given too; remove it from one of them"),
        ([row(1, 1, 5.0), row(1, 1, 4.0)], "labels.csv: i01_01_1.png is there twice; remove one of its rows"),
        ([row(11, 4, 2.0)], "i01_11_4.png: is missing, and make.py can't draw type 11; copy the file there"),
    ],
)
def test_what_does_not_fit_together_is_named(
    tool: ModuleType, tmp_path: Path, tid2013: Path, rows: list[dict[str, str]], says: str
) -> None:
    with pytest.raises(PixqError, match=says):
        tool.join_tid2013(tid2013, write_more(tmp_path / "more", rows), tmp_path / "tree")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "more"]


def test_a_name_counts_whatever_its_case_and_suffix(tool: ModuleType, tmp_path: Path) -> None:
    """In the published layout, mos_with_names.txt says I01_07_1.bmp, and the folder has i01_07_1.bmp."""
    trees.write_tid(tmp_path / "given", references=1, types=(7,), levels=1)
    rows = [{**row(7, 1, 5.0), "reference": "I01.BMP"}]
    with pytest.raises(PixqError, match=r"is in .*given too"):
        tool.join_tid2013(tmp_path / "given", write_more(tmp_path / "more", rows), tmp_path / "tree")
