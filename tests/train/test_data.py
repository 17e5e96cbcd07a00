"""The real data: what its README.md and ground_truth.json say is there, is there.

Every expected number is from those documents (or, where said, from a published score file), not from what pixq finds.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixq import _core, datasets
from pixq.io.images import read_pixels
from support import trees

TENTHS = {1, *range(10, 101, 10)}
"""README: "at least every tenth" of file indices 1 to 100, both ends among them."""
THIRDS = TENTHS | set(range(10, 101, 3))
"""README: "every third and every tenth" level (101 - index), from 1; that the thirds end at 91 is as found."""
FIFTHS = {1, *range(5, 101, 5)}
"""README: "every fifth"."""
ALL = set(range(1, 101))

# ground_truth.json gives the codec; README.md which files are there.
LOCJND = {
    "Study_SRC0013": ("JPEG", ALL),
    "Study_SRC0768": ("BPG", TENTHS),
    "Test_SRC0027": ("JPEG", ALL),
    "Test_SRC0045": ("JPEG", ALL),
    "Test_SRC0058": ("BPG", THIRDS),
}
KONJND1K = {
    "Quiz_SRC01": ("JPEG", ALL),
    "Quiz_SRC02": ("JPEG", FIFTHS),
    "Quiz_SRC06": ("BPG", THIRDS),
    "Quiz_SRC07": ("BPG", THIRDS),
}
# The accepted ranges of PJND, as levels, in ground_truth.json; two sources of LocJND have none.
PJND = {
    "locjnd": {"Test_SRC0027": (10, 17), "Test_SRC0045": (48, 55), "Test_SRC0058": (13, 22)},
    "konjnd1k": {"Quiz_SRC01": (47, 78), "Quiz_SRC02": (25, 64), "Quiz_SRC06": (50, 63), "Quiz_SRC07": (54, 68)},
}
LADDERS = pytest.mark.parametrize(("name", "sources"), [("locjnd", LOCJND), ("konjnd1k", KONJND1K)])


def size(path: Path) -> tuple[int, int]:
    """Height and width, from the header alone."""
    header = _core.probe(path)
    return header["height"], header["width"]


def truth(name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((trees.data_dir(name) / "ground_truth.json").read_text(encoding="utf-8"))
    return said


def test_tid2013_has_ten_references_and_thirty_images_of_each() -> None:
    index = datasets.index("tid2013", trees.data_dir("tid2013"))
    assert index.problems == ()
    assert len(index.pairs) == 300
    # README: 10 references, types 7, 8, 10, 16, 17 and 18, five levels each.
    groups = defaultdict(list)
    for pair in index.pairs:
        groups[pair.reference_id, int(pair.distortion_type[:2])].append(pair.level)
    expected = {(f"I{i:02d}", kind) for i in range(1, 11) for kind in (7, 8, 10, 16, 17, 18)}
    assert groups == {group: [1, 2, 3, 4, 5] for group in expected}
    # The names of the types are in the TID2013 paper's table and in manifest.csv.
    assert Counter(pair.distortion_type for pair in index.pairs) == {
        "07 quantization noise": 50,
        "08 Gaussian blur": 50,
        "10 JPEG compression": 50,
        "16 mean shift (intensity shift)": 50,
        "17 contrast change": 50,
        "18 change of color saturation": 50,
    }
    # README: 512x384.
    files = {pair.reference for pair in index.pairs} | {pair.distorted for pair in index.pairs}
    assert len(files) == 310
    assert {size(index.root / file) for file in files} == {(384, 512)}


def test_tid2013_has_the_published_scores() -> None:
    index = datasets.index("tid2013", trees.data_dir("tid2013"))
    # README: 0 to 9, higher is better.
    assert (index.contract.minimum, index.contract.maximum) == (0, 9)
    assert index.contract.polarity == "higher-is-better"
    # From `sort -n mos_with_names.txt`: the first and the last line.
    lowest, *_, highest = sorted(index.pairs, key=lambda pair: pair.score)
    assert (lowest.image_id, lowest.score) == ("i05_08_5", 1.25)
    assert (highest.image_id, highest.score) == ("i04_17_4", 7.2143)
    # manifest.csv has the scores a second time, without trailing zeros.
    with (index.root / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["file"].removesuffix(".png"): float(row["mos_tid2013"]) for row in csv.DictReader(file)}
    assert {pair.image_id: pair.score for pair in index.pairs} == rows


@LADDERS
def test_ladders_have_their_levels(name: str, sources: dict[str, tuple[str, set[int]]]) -> None:
    folder = trees.data_dir(name) / "images"
    assert {source: one["codec"] for source, one in truth(name)["images"].items()} == {
        source: codec for source, (codec, _) in sources.items()
    }
    expected = {f"{source}.png" for source in sources}
    for source, (codec, indices) in sources.items():
        expected |= {f"{source}_{codec}_{index:03d}.jpg" for index in indices}
    if name == "locjnd":
        # README: heat maps for the three sources that have a range and points.
        expected |= {f"{source}_HEAT.png" for source in PJND["locjnd"]}
    files = list(folder.iterdir())
    assert {file.name for file in files} == expected
    assert truth(name)["image_size"] == [640, 480]
    assert {size(file) for file in files} == {(480, 640)}


@LADDERS
def test_pjnd_ranges_are_as_accepted_and_can_be_shown(name: str, sources: dict[str, tuple[str, set[int]]]) -> None:
    images = truth(name)["images"]
    assert {source: tuple(one["pjnd_range"]) for source, one in images.items() if one["pjnd_range"]} == PJND[name]
    for source, (low, high) in PJND[name].items():
        assert 1 <= low < high <= 100
        # Level v shows file 101 - v: some level inside the range must be there to be shown.
        assert sources[source][1] & set(range(101 - high, 101 - low + 1))


def test_locjnd_has_three_points_inside_each_of_three_images() -> None:
    images = truth("locjnd")["images"]
    points = {source: one["critical_points_yx"] for source, one in images.items() if one["critical_points_yx"]}
    assert points.keys() == PJND["locjnd"].keys()
    for of_source in points.values():
        coords = np.array(of_source)
        assert coords.shape == (3, 2)
        assert (coords >= 0).all()
        assert (coords < (480, 640)).all()


def test_one_bpg_ladder_of_locjnd_saturates() -> None:
    folder = trees.data_dir("locjnd") / "images"
    pixels = {index: read_pixels(folder / f"Test_SRC0058_BPG_{index:03d}.jpg").tobytes() for index in THIRDS}
    # README: files 1 to 73 of Test_SRC0058 are one and the same image; the next one, 76, is another.
    assert len({pixels[index] for index in THIRDS if index <= 73}) == 1
    assert pixels[76] != pixels[73]
    # Its PJND range, levels 13 to 22, lies where the ladder still moves: files 79 to 88.
    assert len({pixels[index] for index in THIRDS if 79 <= index <= 88}) > 1


def test_cid22_has_24_square_references() -> None:
    files = list(trees.data_dir("cid22").glob("*.png"))
    assert len(files) == 24
    assert {size(file) for file in files} == {(512, 512)}
