"""Distortions against published images and plain formulas, and the trees written from them."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pixq import datasets
from pixq._core import psnr
from pixq.distort import DISTORTIONS, LEVELS, Image, distort, parse_chain, synthetic_quality, write_tree
from pixq.distort.colours import saturation
from pixq.distort.pixels import from_lab, from_ycbcr, lab_planes, to_uint8, to_ycbcr
from pixq.errors import PixqError
from support.trees import data_dir


@pytest.fixture
def image() -> Image:
    """A gradient with noise: every distortion changes it at every level."""
    noise = np.random.default_rng(7).integers(0, 40, (96, 128, 3))
    return np.clip(np.indices((96, 128)).sum(0)[..., None] + noise, 0, 255).astype(np.uint8)


def read(path: Path) -> Image:
    with Pillow.open(path) as opened:
        return np.array(opened.convert("RGB"))


def published(kind: str) -> Iterator[tuple[Image, Image, int, float]]:
    """(reference, published image, level, published parameter) of a type of TID2013."""
    tid = data_dir("tid2013")
    with (tid / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if int(row["type"]) == DISTORTIONS[kind].number:
                pair = read(tid / "reference_images" / row["reference"]), read(tid / "distorted_images" / row["file"])
                yield *pair, int(row["level"]), float(row["parameter"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["quantization", "brightness"])
def test_equals_the_published_images(kind: str) -> None:
    compared = 0
    for reference, expected, level, value in published(kind):
        assert DISTORTIONS[kind].values[level - 1] == value
        np.testing.assert_array_equal(distort(reference, kind, level, seed=0), expected)
        compared += 1
    assert compared == 50


@pytest.mark.slow
def test_blur_equals_the_published_images_inside_the_border() -> None:
    for reference, expected, level, value in published("gaussian_blur"):
        assert DISTORTIONS["gaussian_blur"].values[level - 1] == value
        # TID2013 takes what lies outside the image as black, pixq as the nearest pixel: 5 pixels are not comparable.
        difference = distort(reference, "gaussian_blur", level, seed=0).astype(int) - expected
        # The two sum in different orders, so a few samples round the other way.
        inside = np.abs(difference[5:-5, 5:-5])
        assert inside.max() <= 1
        assert (inside > 0).mean() < 0.001


@pytest.mark.slow
def test_jpeg_equals_the_published_images_of_levels_1_to_3() -> None:
    for reference, expected, level, value in published("jpeg"):
        assert DISTORTIONS["jpeg"].values[level - 1] == value
        differs = distort(reference, "jpeg", level, seed=0) != expected
        # At qualities 8 and 4 the decoders' clamping shows: up to a tenth of an image's samples differ.
        assert differs.mean() <= (0 if level <= 3 else 0.11)


@pytest.mark.slow
def test_contrast_is_within_a_grey_level_of_the_published_images() -> None:
    for reference, expected, level, _ in published("contrast"):
        difference = np.abs(distort(reference, "contrast", level, seed=0).astype(int) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.05


#: Saturation has factors tuned to each image, and JPEG another decoder.
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["quantization", "brightness", "contrast", "jpeg", "gaussian_blur"])
def test_the_mean_psnr_of_a_level_is_that_of_the_published_images(kind: str) -> None:
    decibels: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for reference, expected, level, _ in published(kind):
        made = distort(reference, kind, level, seed=0)
        # Without the border, which TID2013 blurs into black.
        inside = [np.ascontiguousarray(image[5:-5, 5:-5]) for image in (reference, made, expected)]
        decibels[level].append((float(psnr(inside[0], inside[1])), float(psnr(inside[0], inside[2]))))
    assert sorted(decibels) == [1, 2, 3, 4, 5]
    for level, pairs in decibels.items():
        ours, theirs = np.mean(pairs, axis=0)
        assert ours == pytest.approx(theirs, abs=0.3), level


@pytest.mark.parametrize("kind", ["white_noise", "color_noise", "correlated_noise", "high_frequency_noise"])
def test_noise_of_tid2013_has_its_psnr(kind: str) -> None:
    """33, 30, 27, 24 and 21 dB; for colour noise about 0.3 dB more, as published."""
    grey = np.full((256, 256, 3), 128, np.uint8)  # far from 0 and 255: nothing is clipped
    for level, decibel in enumerate((33, 30, 27, 24, 21), start=1):
        found = psnr(grey, distort(grey, kind, level, seed=1))
        assert found == pytest.approx(decibel + (0.3 if kind == "color_noise" else 0.0), abs=0.15)


def test_a_kind_of_flat_images_keeps_them(image: Image) -> None:
    """Blurs, demosaicing and what moves pixels change nothing where nothing changes."""
    flat = np.full((40, 50, 3), (90, 120, 60), np.uint8)
    for kind in (
        "gaussian_blur", "lens_blur", "motion_blur", "oversmooth", "sharpen", "halo", "jitter", "pixelate",
        "misplaced_patches", "chromatic_aberration", "color_shift", "bilinear_demosaicing", "malvar_demosaicing",
        "directed_demosaicing",
    ):  # fmt: skip
        for level in (1, 5):
            assert np.abs(distort(flat, kind, level, seed=0).astype(int) - flat).max() <= 1, kind


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_small_images_can_be_distorted(kind: str) -> None:
    for shape in ((1, 1, 3), (2, 3, 3), (5, 4, 3)):
        for level in (1, 5):
            tiny = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            assert distort(tiny, kind, level, seed=0).shape == shape


def test_colour_spaces_come_back() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(from_lab(*lab_planes(colours))), colours)
    np.testing.assert_array_equal(to_uint8(from_ycbcr(to_ycbcr(colours.astype(float)))), colours)


@pytest.mark.slow
def test_saturation_is_near_the_published_images() -> None:
    """The published factor, tuned to each image, through pixq's formula: another luma, so grey levels apart."""
    for reference, expected, level, factor in published("saturation"):
        made = saturation(reference, factor, np.random.default_rng(0)).astype(int)
        changed = np.abs(expected.astype(int) - reference).mean()
        assert np.abs(made - expected).mean() < max(0.75, 0.2 * changed), level


def test_blur_continues_the_border() -> None:
    """A flat image stays flat up to its border, and one side does not reach the other."""
    image = np.zeros((16, 24, 3), np.uint8)
    image[:, -1] = 255
    for level in range(1, LEVELS + 1):
        np.testing.assert_array_equal(distort(image, "gaussian_blur", level, seed=0)[:, :12], 0)
        np.testing.assert_array_equal(distort(image[:, -1:], "gaussian_blur", level, seed=0), 255)


def test_white_noise_has_the_stated_psnr() -> None:
    grey = np.full((256, 256, 3), 128, np.uint8)  # far from 0 and 255: nothing is clipped
    for level, decibel in enumerate((33, 30, 27, 24, 21), start=1):
        error = np.square(distort(grey, "white_noise", level, seed=1).astype(float) - 128).mean()
        assert 10 * np.log10(255**2 / error) == pytest.approx(decibel, abs=0.1)


def test_saturation_keeps_luma_and_ends_at_grey() -> None:
    colours = np.array([[[200, 100, 50], [30, 60, 90]]], np.uint8)
    grey = distort(colours, "saturation", 5, seed=0)
    # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2; 0.299 * 30 + 0.587 * 60 + 0.114 * 90 = 54.45
    np.testing.assert_array_equal(grey, [[[124] * 3, [54] * 3]])


def test_color_block_leaves_most_of_a_photograph_alone() -> None:
    black = np.zeros((384, 512, 3), np.uint8)
    for level, blocks in enumerate(DISTORTIONS["color_block"].values, start=1):
        changed = distort(black, "color_block", level, seed=3).any(axis=2)
        assert 0 < changed.sum() <= blocks * 32 * 32


def test_color_block_fits_an_image_smaller_than_a_block() -> None:
    assert distort(np.zeros((5, 7, 3), np.uint8), "color_block", 1, seed=0).shape == (5, 7, 3)


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_every_level_changes_the_image_and_leaves_its_input(kind: str, image: Image) -> None:
    before = image.copy()
    made = [distort(image, kind, level, seed=0, name="I01") for level in range(1, LEVELS + 1)]
    np.testing.assert_array_equal(image, before)
    for distorted in made:
        assert distorted.dtype == np.uint8
        assert distorted.shape == image.shape
        assert distorted.flags.writeable
    changed = [level for level, distorted in enumerate(made, start=1) if (distorted != image).any()]
    # As published.
    unchanged = {"lab_saturation": 1, "mean_shift": 3}.get(kind)
    assert changed == [level for level in range(1, LEVELS + 1) if level != unchanged]
    assert len({distorted.tobytes() for distorted in made}) == LEVELS


@pytest.mark.parametrize("kind", ["white_noise", "quantization", "gaussian_blur", "jpeg", "brightness", "saturation"])
def test_a_higher_level_is_further_from_the_reference(kind: str, image: Image) -> None:
    quality = [synthetic_quality(image, distort(image, kind, level, seed=0)) for level in range(1, LEVELS + 1)]
    assert quality == sorted(quality, reverse=True)


def test_random_kinds_are_keyed_by_seed_name_kind_and_level(image: Image) -> None:
    def noise(level: int, seed: int, name: str) -> bytes:
        return (distort(image, "white_noise", level, seed, name=name).astype(int) - image).tobytes()

    assert noise(1, 0, "I01") == noise(1, 0, "I01")
    assert len({noise(1, 0, "I01"), noise(1, 1, "I01"), noise(1, 0, "I02"), noise(2, 0, "I01")}) == 4


def test_threads_and_order_do_not_matter(image: Image) -> None:
    jobs = [(kind, level) for kind in DISTORTIONS for level in range(1, LEVELS + 1)]
    in_order = {job: distort(image, *job, seed=5).tobytes() for job in jobs}
    with ThreadPoolExecutor(8) as pool:
        for job, made in zip(
            reversed(jobs), pool.map(lambda j: distort(image, *j, seed=5), reversed(jobs)), strict=True
        ):
            assert made.tobytes() == in_order[job]


def test_numbers_of_file_names_are_unique() -> None:
    assert len({distortion.number for distortion in DISTORTIONS.values()}) == len(DISTORTIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("blur", 1), "unknown distortion 'blur'; choose white_noise, color_noise"),
        (("jpeg", 0), "the level of 'jpeg' is 0; give a whole number from 1 to 5"),
        (("jpeg", 6), "the level of 'jpeg' is 6; give a whole number from 1 to 5"),
    ],
)
def test_unknown_kinds_and_levels_are_named(arguments: tuple[str, int], message: str, image: Image) -> None:
    with pytest.raises(PixqError) as raised:
        distort(image, *arguments, seed=0)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_images_that_are_not_rgb_are_refused(wrong: Image) -> None:
    with pytest.raises(PixqError, match="give uint8 RGB"):
        distort(wrong, "jpeg", 1, seed=0)


def test_synthetic_quality_follows_the_psnr() -> None:
    black = np.zeros((10, 100, 3), np.uint8)
    assert synthetic_quality(black, black) == 1.0
    # An RMSE of 8: 255 / (255 + 31.6228 * 8) = 255 / 507.982; of 255: 1 / 32.6228.
    assert synthetic_quality(black, black + np.uint8(8)) == pytest.approx(0.501986, abs=1e-6)
    assert synthetic_quality(black, black + np.uint8(255)) == pytest.approx(0.030653, abs=1e-6)
    uneven = black.copy()
    uneven[:5] = 100
    psnr = 10 * np.log10(255**2 / 5000)
    assert synthetic_quality(uneven, black) == pytest.approx(1 / (1 + 10 ** ((30 - psnr) / 20)), rel=1e-12)


def test_synthetic_quality_needs_one_shape() -> None:
    with pytest.raises(PixqError, match="give two images of one shape"):
        synthetic_quality(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_tree_has_jianjin008s_layout_and_says_it_is_synthetic(tmp_path: Path, image: Image) -> None:
    root = tmp_path / "tree"
    assert write_tree(
        {"one": image, "two": image[::-1]}, root, ["jpeg", "white_noise"], {"jpeg": (2, 1), "white_noise": [3]}
    )
    names = ["I01_10_01.png", "I01_10_02.png", "I01_01_03.png", "I02_10_01.png", "I02_10_02.png", "I02_01_03.png"]
    assert set(contents(root)) == {
        "labels.json",
        "mos.txt",
        "ref_img/I01.png",
        "ref_img/I02.png",
        *(f"jnd_img/{name}" for name in names),
    }
    lines = [line.split() for line in (root / "mos.txt").read_text().splitlines()]
    assert [name for name, _ in lines] == names
    for name, score in lines:
        reference, distorted = read(root / "ref_img" / f"{name[:3]}.png"), read(root / "jnd_img" / name)
        assert float(score) == pytest.approx(synthetic_quality(reference, distorted), rel=1e-5)
    np.testing.assert_array_equal(read(root / "ref_img" / "I02.png"), image[::-1])
    np.testing.assert_array_equal(
        read(root / "jnd_img" / "I02_01_03.png"), distort(image[::-1], "white_noise", 3, seed=0, name="I02")
    )
    labels = json.loads((root / "labels.json").read_text())
    assert labels["synthetic"] is True
    assert "No person gave these scores" in labels["note"]
    assert labels["references"]["I02"]["name"] == "two"
    assert labels["distortions"]["jpeg"]["values"] == [80, 60]
    assert [p.name for p in tmp_path.iterdir()] == ["tree"]  # nothing is left beside it


def test_tree_is_kept_replaced_or_mended(tmp_path: Path, image: Image) -> None:
    root, references = tmp_path / "tree", {"one": image}
    assert write_tree(references, root, ["white_noise"], [1], seed=0)
    first = contents(root)
    assert not write_tree(references, root, ["white_noise"], [1], seed=0)
    assert write_tree(references, root, ["white_noise"], [1], seed=1)
    assert contents(root) != first
    assert write_tree(references, root, ["white_noise"], [1], seed=0)
    assert contents(root) == first
    (root / "jnd_img" / "I01_01_01.png").unlink()
    assert write_tree(references, root, ["white_noise"], [1], seed=0)
    assert contents(root) == first


@pytest.mark.parametrize("file", ["mos.txt", "labels.json", "anything"])
def test_a_folder_of_somebody_elses_is_never_touched(file: str, tmp_path: Path, image: Image) -> None:
    (tmp_path / file).write_text('{"synthetic": true}')
    with pytest.raises(PixqError, match="holds something that pixq did not make"):
        write_tree({"one": image}, tmp_path, ["jpeg"], [1])
    assert contents(tmp_path) == {file: b'{"synthetic": true}'}


def test_a_file_where_the_tree_should_be_is_named(tmp_path: Path, image: Image) -> None:
    (tmp_path / "tree").write_text("")
    with pytest.raises(PixqError, match="tree: holds something that pixq did not make"):
        write_tree({"one": image}, tmp_path / "tree", ["jpeg"], [1])


def test_an_empty_folder_is_filled(tmp_path: Path, image: Image) -> None:
    assert write_tree({"one": image}, tmp_path, ["jpeg"], [1])
    assert (tmp_path / "mos.txt").exists()


def test_a_failure_leaves_nothing_behind(tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    assert write_tree({"one": image}, tmp_path / "tree", ["jpeg"], [1])
    before = contents(tmp_path)
    monkeypatch.setattr(Pillow.Image, "save", full)
    with pytest.raises(PixqError, match="tree: No space left on device; free some disk space"):
        write_tree({"one": image}, tmp_path / "tree", ["jpeg"], [1, 2])
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["tree"]


@pytest.mark.parametrize(
    ("kinds", "levels", "message"),
    [
        ([], [1], "there is nothing to write"),
        (["blur"], [1], "unknown distortion 'blur'"),
        (["jpeg"], [0, 1], "a level of 'jpeg' is 0; give a whole number from 1 to 5"),
        (["jpeg"], [5, 6], "a level of 'jpeg' is 6; give a whole number from 1 to 5"),
        (["jpeg"], {"white_noise": [1]}, "no level of 'jpeg' is named"),
    ],
)
def test_wrong_ladders_are_named(kinds: list[str], levels: object, message: str, tmp_path: Path, image: Image) -> None:
    with pytest.raises(PixqError) as raised:
        write_tree({"one": image}, tmp_path / "tree", kinds, levels)  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert not (tmp_path / "tree").exists()


def test_a_chain_is_its_links_one_after_the_other(image: Image, tmp_path: Path) -> None:
    chain = parse_chain("gaussian_blur:1.5, jpeg:40")
    assert str(chain) == "gaussian_blur:1.5,jpeg:40"
    nothing = np.random.default_rng(0)
    blurred = DISTORTIONS["gaussian_blur"].apply(image, 1.5, nothing)
    expected = DISTORTIONS["jpeg"].apply(blurred, 40, nothing)
    np.testing.assert_array_equal(chain.apply(image, 0), expected)
    noisy = parse_chain("white_noise:8,white_noise:8")
    twice = noisy.apply(image, 0, name="I01").astype(int) - image
    # Two draws, not one that is twice as strong.
    assert twice.std() == pytest.approx(8 * np.sqrt(2), rel=0.15)
    assert write_tree({"one": image}, tmp_path / "tree", ["jpeg"], [1], chains=[chain, noisy])
    names = sorted(path.name for path in (tmp_path / "tree" / "jnd_img").iterdir())
    assert names == ["I01_10_01.png", "I01_80_01.png", "I01_81_01.png"]
    np.testing.assert_array_equal(read(tmp_path / "tree" / "jnd_img" / "I01_80_01.png"), expected)
    kinds = {pair.distortion_type for pair in datasets.index("jianjin008", tmp_path / "tree").pairs}
    assert kinds == {"10", "80", "81"}
    labels = json.loads((tmp_path / "tree" / "labels.json").read_text())
    assert labels["chains"] == {"gaussian_blur:1.5,jpeg:40": 80, "white_noise:8,white_noise:8": 81}
    assert not write_tree({"one": image}, tmp_path / "tree", ["jpeg"], [1], chains=[chain, noisy])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("blur:1", "unknown distortion 'blur'"),
        ("jpeg", "give jpeg a whole number from 4 to 100"),
        ("jpeg:40.5", "give jpeg a whole number from 4 to 100"),
        ("gaussian_blur:nan", "give gaussian_blur a number from 0 to 4"),
        ("gaussian_blur:1,", "unknown distortion ''"),
    ],
)
def test_chains_that_are_none_are_named(text: str, words: str) -> None:
    with pytest.raises(PixqError, match=re.escape(words)):
        parse_chain(text)
