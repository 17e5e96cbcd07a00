"""One photograph is recognised cropped, in grey and at another size, and others are not taken for it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pixq.datasets.same_photo import SAME_PHOTO, Sketch, likeness, same_photos
from support import trees
from support.photographs import grey, photograph, scaled

Pixels = NDArray[np.uint8]


def sketch(image: Pixels, known: NDArray[np.float32] | None = None) -> Sketch:
    light = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float32)
    return Sketch(light, np.ones_like(light) if known is None else known)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image[50:242, 64:320],
        lambda image: grey(image)[:, 70:326],
        lambda image: scaled(image, 0.5),
        lambda image: scaled(image, 2.0)[60:300, 100:500],
        lambda image: scaled(image, 0.6),
        lambda image: np.clip(image.astype(int) + 25, 0, 255).astype(np.uint8),
    ],
)
def test_a_photograph_is_like_itself_however_it_was_changed(change: Callable[[Pixels], Pixels]) -> None:
    image = photograph(1)
    for first, second in ((image, change(image)), (change(image), image)):
        assert likeness(sketch(first), sketch(second)) > 0.84
    assert [pair[:2] for pair in same_photos({"a": sketch(image)}, {"b": sketch(change(image))})] == [("a", "b")]


@pytest.mark.slow
def test_other_photographs_are_not() -> None:
    first = {f"a{seed}": sketch(photograph(seed)) for seed in range(4)}
    second = {f"b{seed}": sketch(photograph(seed, 192, 256)) for seed in range(4, 10)}
    assert max(likeness(one, other) for one in first.values() for other in second.values()) < 0.61
    assert list(same_photos(first, second)) == list(same_photos(second, first)) == []


def test_two_crops_with_a_part_in_common_are_one_photograph() -> None:
    image = photograph(2)
    assert likeness(sketch(image[:, :256]), sketch(image[:, 100:])) > SAME_PHOTO


def test_half_of_the_pixels_are_enough() -> None:
    image = photograph(3)
    random = np.random.default_rng(0)
    known = np.kron(random.random((13, 20)) < 0.5, np.ones((20, 20)))[:256, :384].astype(np.float32)
    assert likeness(sketch(image, known), sketch(image[32:224, 64:320])) > SAME_PHOTO
    assert likeness(sketch(image, known), sketch(photograph(4))) < SAME_PHOTO


def test_small_crops_are_like_nothing() -> None:
    image = photograph(1)
    crops = {f"{y}-{x}": sketch(image[y : y + 20, x : x + 20]) for y in (0, 100, 200) for x in (0, 150, 300)}
    assert list(same_photos(crops, {"whole": sketch(image)})) == []
    assert list(same_photos(crops, {"other": sketch(photograph(2)[:20, :20])})) == []
    strip = sketch(image[:, 100:160])
    assert likeness(strip, sketch(image)) == 0.0


def test_plain_images_are_like_nothing() -> None:
    plain = sketch(np.full((60, 60, 3), 90, np.uint8))
    assert likeness(plain, plain) == 0.0
    assert likeness(plain, sketch(photograph(1))) == 0.0


@pytest.mark.slow
def test_the_kodak_photographs_of_three_real_sets_are_recognised() -> None:
    def read(path: Path) -> Sketch:
        return sketch(np.asarray(Image.open(path).convert("RGB")))

    tid = {int(path.stem[1:]): read(path) for path in (trees.data_dir("tid2013") / "reference_images").glob("*.png")}
    found: dict[str, dict[int, Sketch]] = {"tid": tid}
    for name in ("live", "midd_gar"):
        root = trees.data_dir(name)
        with (root / "labels.csv").open(encoding="utf-8") as file:
            kodak = {row["reference"]: int(row["kodak"]) for row in csv.DictReader(file)}
        found[name] = {number: read(root / "refs" / reference) for reference, number in kodak.items()}
    for first, second in (("tid", "live"), ("tid", "midd_gar"), ("live", "midd_gar")):
        named = [{str(number): one for number, one in found[name].items()} for name in (first, second)]
        pairs = {(one, other) for one, other, _ in same_photos(*named)}
        assert pairs == {(number, number) for number in named[0].keys() & named[1].keys()}
