"""Triplets of lost pixels: the damage, the two ways of filling it in, how visible it is, and the tree."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from skimage.color import rgb2lab

from pixq import classes, datasets
from pixq.distort import Image, make_triplets, read_references, synthetic_class, visibility, write_triplets
from pixq.distort.damage import BAYER, CASES, TURNS, dead_pixels
from pixq.distort.fill import demosaic_bilinear, demosaic_directed, fill_directed, fill_median
from pixq.distort.pixels import lab_planes
from pixq.distort.visibility import VISIBLE
from pixq.errors import PixqError
from support import trees
from support.built import digest, mistake, pixels, pixq
from support.trees import data_dir

INSIDE = np.zeros((20, 20), dtype=bool)
INSIDE[4:16, 4:16] = True
DEAD = [case for case in CASES if case != BAYER]
SIZES = {"single": (1, 1), "pair": (2, 2), "block2": (4, 4), "block3": (9, 9), "line": (5, 22), "cluster": (12, 40)}


def noise(seed: int, height: int = 20, width: int = 20) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photos(count: int, size: tuple[int, int] = (140, 160)) -> dict[str, Image]:
    return {f"photo{n}.png": trees.photo(n, size) for n in range(count)}


def touching(mask: NDArray[np.bool_]) -> bool:
    """Whether all pixels of a mask hang together, by any of eight directions."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    reached = [left.pop()]
    for y, x in reached:
        near = {(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)} & left
        left -= near
        reached += near
    return not left


@settings(max_examples=200)
@given(st.sampled_from(DEAD), st.integers(0, 2**32))
def test_dead_pixels_lie_inside_the_roi_and_have_their_form(case: str, seed: int) -> None:
    lost = dead_pixels(case, np.random.default_rng(seed))
    assert lost.any()
    assert not (lost & ~INSIDE).any()
    if case != "several":
        least, most = SIZES[case]
        assert least <= lost.sum() <= most
        assert touching(lost)


@pytest.mark.slow
def test_dead_pixels_reach_every_pixel_of_the_roi() -> None:
    draw = np.random.default_rng(0)
    for case in ("single", "line", "cluster"):
        assert np.array_equal(sum(dead_pixels(case, draw).astype(int) for _ in range(3000)) > 0, INSIDE)


def test_there_is_no_other_damage() -> None:
    with pytest.raises(PixqError, match="unknown damage 'scratch'; choose one of single, pair"):
        dead_pixels("scratch", np.random.default_rng(0))
    assert set(TURNS) == set(CASES)


@settings(max_examples=60)
@given(st.sampled_from(DEAD), st.integers(0, 2**32))
def test_fills_change_lost_pixels_alone_and_never_look_at_them(case: str, seed: int) -> None:
    patch, lost = noise(seed), dead_pixels(case, np.random.default_rng(seed))
    for fill in (fill_median, fill_directed):
        filled = fill(patch, lost)
        assert np.array_equal(filled[~lost], patch[~lost])
        other = np.where(lost[..., None], noise(seed + 1), patch)
        assert np.array_equal(fill(other, lost), filled)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 1), st.integers(0, 1))
def test_demosaics_never_look_at_lost_samples(seed: int, top: int, left: int) -> None:
    patch = noise(seed)
    kept = np.zeros((20, 20, 3), dtype=bool)
    for y in range(20):
        for x in range(20):
            kept[y, x, (y + top) % 2 + (x + left) % 2] = True  # red 0 + 0, green 0 + 1 and 1 + 0, blue 1 + 1
    other = np.where(kept, patch, noise(seed + 1))
    for fill in (demosaic_bilinear, demosaic_directed):
        filled = fill(patch, top=top, left=left)
        assert np.array_equal(filled[kept], patch[kept])
        assert np.array_equal(fill(other, top=top, left=left), filled)


def test_the_median_is_that_of_the_nearest_three_or_more() -> None:
    patch, lost = noise(3), np.zeros((20, 20), dtype=bool)
    lost[9:12, 9:12] = True
    filled = fill_median(patch, lost)
    assert np.array_equal(
        filled[9, 9], np.median([patch[8, 8], patch[8, 9], patch[8, 10], patch[9, 8], patch[10, 8]], 0)
    )
    ring = patch[8:13, 8:13][~lost[8:13, 8:13]]
    assert len(ring) == 16
    assert np.array_equal(filled[10, 10], np.floor(np.median(ring, axis=0) + 0.5))


@pytest.mark.parametrize("turn", range(4))
def test_the_directed_fill_keeps_an_edge_that_the_median_breaks(turn: int) -> None:
    # A diagonal edge: of the pixels about a corner of the block, most lie on its other side.
    step = np.full((20, 20, 3), 30, dtype=np.uint8)
    step[np.indices((20, 20)).sum(axis=0) >= 21] = 220
    lost = np.zeros((20, 20), dtype=bool)
    lost[8:11, 9:12] = True
    step, lost = np.rot90(step, turn), np.rot90(lost, turn)
    assert np.array_equal(fill_directed(step, lost), step)
    assert np.abs(fill_median(step, lost).astype(int) - step).max() == 190


def test_fills_of_a_ramp_are_exact_where_they_should_be() -> None:
    ramp = (np.indices((20, 20))[1] * 10 + 20).astype(np.uint8)[..., None].repeat(3, axis=2)
    lost = np.zeros((20, 20), dtype=bool)
    lost[9:12, 9:12] = True
    assert np.array_equal(fill_directed(ramp, lost), ramp)
    # Steeper along rows than along columns: every direction counts, each with other distances.
    plane = (np.indices((20, 20)).T @ (3, 7)).astype(np.uint8)[..., None].repeat(3, axis=2)
    assert np.array_equal(fill_directed(plane, lost), plane)
    for fill in (demosaic_bilinear, demosaic_directed):
        assert np.array_equal(fill(ramp)[2:-2, 2:-2], ramp[2:-2, 2:-2])


def test_the_directed_demosaic_keeps_an_edge_that_the_bilinear_one_colours() -> None:
    step = np.full((20, 20, 3), 30, dtype=np.uint8)
    step[10:] = 220
    assert np.array_equal(demosaic_directed(step), step)
    assert np.abs(demosaic_bilinear(step).astype(int) - step).max() > 40


def test_the_bilinear_demosaic_is_the_mean_of_the_neighbours_that_there_are() -> None:
    patch = noise(5).astype(float)
    made = demosaic_bilinear(noise(5))
    # (4, 4) is red: green from four sides, blue from four corners.
    green = (patch[3, 4, 1] + patch[5, 4, 1] + patch[4, 3, 1] + patch[4, 5, 1]) / 4
    blue = (patch[3, 3, 2] + patch[3, 5, 2] + patch[5, 3, 2] + patch[5, 5, 2]) / 4
    assert made[4, 4].tolist() == [patch[4, 4, 0], np.floor(green + 0.5), np.floor(blue + 0.5)]
    # (4, 5) is green: red from left and right, blue from above and below.
    red, blue = (patch[4, 4, 0] + patch[4, 6, 0]) / 2, (patch[3, 5, 2] + patch[5, 5, 2]) / 2
    assert made[4, 5].tolist() == [np.floor(red + 0.5), patch[4, 5, 1], np.floor(blue + 0.5)]


def test_the_directed_demosaic_has_the_green_of_hamilton_and_adams() -> None:
    patch = noise(6)
    made, known = demosaic_directed(patch), patch.astype(float)
    for y, x in [(y, x) for y in range(4, 16) for x in range(4, 16) if y % 2 == x % 2]:
        c = 0 if y % 2 == 0 else 2
        rows, columns = (
            (
                abs(known[y - j, x - i, 1] - known[y + j, x + i, 1])
                + abs(2 * known[y, x, c] - known[y - 2 * j, x - 2 * i, c] - known[y + 2 * j, x + 2 * i, c]),
                (known[y - j, x - i, 1] + known[y + j, x + i, 1]) / 2
                + (2 * known[y, x, c] - known[y - 2 * j, x - 2 * i, c] - known[y + 2 * j, x + 2 * i, c]) / 4,
            )
            for j, i in ((0, 1), (1, 0))
        )
        expected = (rows[1] + columns[1]) / 2 if rows[0] == columns[0] else min(rows, columns)[1]
        assert made[y, x, 1] == np.floor(np.clip(expected, 0, 255) + 0.5)


def test_lab_is_that_of_scikit_image() -> None:
    patches = noise(1)[None]
    np.testing.assert_allclose(np.stack(lab_planes(patches), axis=-1)[0], rgb2lab(patches[0]), atol=0.02)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_visibility_is_zero_for_no_change_and_grows_with_it(seed: int, step: int) -> None:
    patch = noise(seed) // 4 + 60
    near, far = patch.copy(), patch.copy()
    near[10, 10] += np.uint8(step)
    far[10, 10] += np.uint8(step + 10)
    seen = visibility(np.stack([patch] * 3), np.stack([patch, near, far]))
    assert seen[0] == 0.0
    assert 0.0 < seen[1] < seen[2]


def test_a_texture_masks_what_a_smooth_surface_shows_at_the_same_psnr() -> None:
    texture = np.full((20, 20, 3), 100, dtype=np.uint8)
    texture[np.indices((20, 20)).sum(0) % 4 < 2] = 140
    smooth = np.full((20, 20, 3), 120, dtype=np.uint8)
    clean = np.stack([texture, smooth])
    changed = clean.copy()
    changed[:, 9:11, 9:11] += 20
    shown_in_texture, shown = visibility(clean, changed)
    assert shown_in_texture < 0.6 * shown
    # One pixel of colour alone is dimmed more than one of light, at the same squared error.
    light, colour = smooth.copy(), smooth.copy()
    light[10, 10] += np.uint8(20)
    colour[10, 10] = (140, 110, 140)
    assert np.square(colour.astype(int) - smooth).sum() < np.square(light.astype(int) - smooth).sum()
    assert visibility(smooth[None], np.full_like(smooth, 121)[None])[0] < 0.43


def test_visible_is_cut_into_classes() -> None:
    orange, red = VISIBLE
    visible = [0.0, orange, np.nextafter(orange, 9), red, np.nextafter(red, 9), 50.0]
    assert synthetic_class(visible).tolist() == [
        classes.GREEN,
        classes.GREEN,
        classes.ORANGE,
        classes.ORANGE,
        classes.RED,
        classes.RED,
    ]


@pytest.mark.parametrize(
    "wrong", [np.zeros((20, 20, 3), np.uint8), np.zeros((1, 20, 20, 3)), np.zeros((1, 9, 9, 3), np.uint8)]
)
def test_visibility_needs_patches_of_one_shape(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(PixqError, match="give uint8 RGB of one shape"):
        visibility(np.zeros((1, 20, 20, 3), np.uint8), wrong)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(60, 110), st.integers(60, 110), st.integers(1, 8))
def test_nothing_outside_the_roi_changes(seed: int, height: int, width: int, count: int) -> None:
    image = noise(seed, height, width)
    for triplet in make_triplets(image, count, seed, name="x"):
        assert np.array_equal(triplet.clean, image[triplet.y : triplet.y + 20, triplet.x : triplet.x + 20])
        for filled in (triplet.new, triplet.ref):
            assert (filled.shape, filled.dtype) == ((20, 20, 3), np.uint8)
            assert np.array_equal(filled[~INSIDE], triplet.clean[~INSIDE])
            # In noise no fill can guess what is lost.
            assert (filled != triplet.clean).any()


def test_triplets_are_keyed_by_seed_and_name_alone() -> None:
    image = trees.photo(1, (140, 160))
    before = image.copy()
    first = make_triplets(image, 20, 3, name="a")
    again = make_triplets(image, 20, 3, name="a")
    assert np.array_equal(image, before)
    assert [(t.y, t.x, t.case, t.new.tobytes(), t.ref.tobytes()) for t in first] == [
        (t.y, t.x, t.case, t.new.tobytes(), t.ref.tobytes()) for t in again
    ]
    places = {
        tuple((t.y, t.x) for t in make_triplets(image, 20, seed, name=name))
        for seed, name in ((3, "a"), (4, "a"), (3, "b"))
    }
    assert len(places) == 3


def test_damage_is_keyed_by_the_seed_too() -> None:
    made = [make_triplets(noise(0), 1, seed)[0] for seed in range(20)]
    # There is one place, so what differs beyond the cases is the damage.
    assert len({triplet.ref.tobytes() for triplet in made}) > len({triplet.case for triplet in made})


def test_places_are_of_all_kinds_and_stand_mostly_apart() -> None:
    flat_and_rough = np.concatenate([np.full((200, 100, 3), 90, np.uint8), noise(1, 200, 100)], axis=1)
    made = make_triplets(flat_and_rough, 32, 0)
    rough = sum(triplet.x >= 100 for triplet in made)
    assert 4 <= 32 - rough <= 16
    apart = [(t.y, t.x) for t in made]
    overlaps = sum(abs(y - v) < 20 and abs(x - u) < 20 for i, (y, x) in enumerate(apart) for v, u in apart[:i])
    # Two of 32 lie beside another one; each touches at most four cells.
    assert 2 <= overlaps <= 8
    assert {triplet.case for triplet in made} == set(CASES)


def test_a_grid_takes_all_the_places_that_an_image_has() -> None:
    assert len(make_triplets(noise(0, 40, 60), 6, 0)) == 6
    assert len(make_triplets(noise(0), 1, 0)) == 1
    with pytest.raises(PixqError, match=r"small\.png has 6 places of 20x20 pixels, and --count 7 needs 7; lower it"):
        make_triplets(noise(0, 40, 60), 7, 0, name="small.png")
    with pytest.raises(PixqError, match="has 0 places"):
        make_triplets(noise(0, 19, 60), 1, 0)
    with pytest.raises(PixqError, match="--count is 0; give a whole number from 1 to 100000"):
        make_triplets(noise(0), 0, 0)


def test_a_tree_is_read_as_triplets_without_a_leak(tmp_path: Path) -> None:
    references = photos(5)
    assert write_triplets(references, tmp_path / "tree", count=20, seed=1)
    root = tmp_path / "tree"
    index = datasets.index("triplets", root)
    assert (len(index.pairs), index.problems) == (200, ())
    assert index.contract.synthetic
    assert "No person gave these scores" in index.contract.note
    sides = {side: {p.attributes["source"] for p in index.pairs if p.split == side} for side in ("train", "test")}
    assert (len(sides["train"]), len(sides["test"])) == (4, 1)
    assert sides["train"] | sides["test"] == set(references)
    # One of sixteen lies beside another.
    assert 85 <= len({pair.group for pair in index.pairs}) < 100
    records = json.loads((root / "dataset_metadata.json").read_text())
    split = [one for side in ("train", "test") for one in json.loads((root / f"{side}_metadata.json").read_text())]
    assert sorted(one["unique_sample_id"] for one in split) == [one["unique_sample_id"] for one in records]
    for one in records[::7]:
        about = one["metadata"]
        x, y, width, height = about["roi"]
        clean = pixels(root / "clean" / f"{one['clean_image']}.png")
        filled = pixels(root / about["method"] / f"{one['distorted_image']}.png")
        assert np.array_equal(clean, references[about["image_source"]][y : y + height, x : x + width])
        assert np.array_equal(clean[~INSIDE], filled[~INSIDE])
        expected = classes.CLASSES[synthetic_class(visibility(clean[None], filled[None]))[0]]
        assert (one["score"], about["score"], about["color"]) == (
            expected.quality,
            expected.quality,
            expected.name.upper(),
        )


def test_a_tree_is_kept_replaced_or_refused(tmp_path: Path) -> None:
    root, references = tmp_path / "tree", photos(2)
    assert write_triplets(references, root, count=4)
    first = digest(root)
    assert not write_triplets(references, root, count=4)
    assert write_triplets(references, root, count=4, seed=1)
    assert digest(root) != first
    assert write_triplets(references, root, count=4)
    assert digest(root) == first
    (root / "new" / "0.png").unlink()
    assert write_triplets(references, root, count=4)
    assert digest(root) == first
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
    # A reference's triplets don't depend on what else is there.
    assert write_triplets(dict(list(references.items())[:1]), tmp_path / "one", count=4)
    alone = digest(tmp_path / "one")
    assert all(first[name] == alone[name] for name in alone if name.endswith(".png"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(PixqError, match="holds something that pixq did not make"):
        write_triplets(references, tmp_path / "mine", count=4)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Pillow.Image, "save", full)
    with pytest.raises(PixqError, match="tree: No space left on device; free some disk space"):
        write_triplets(photos(1), tmp_path / "tree", count=2)
    assert list(tmp_path.iterdir()) == []


def test_one_image_under_two_names_is_refused(tmp_path: Path) -> None:
    image = trees.photo(1, (60, 60))
    with pytest.raises(PixqError, match=r"references 'a' and 'b' are the same image, pixel for pixel"):
        write_triplets({"a": image, "b": image.copy()}, tmp_path / "tree", count=1)
    with pytest.raises(PixqError, match="there is nothing to write"):
        write_triplets({}, tmp_path / "tree")


@pytest.mark.slow
def test_classes_of_photographs_stand_as_in_the_data_of_the_layout() -> None:
    counted: Counter[int] = Counter()
    for name, image in read_references([data_dir("cid22")]).items():
        made = make_triplets(image, 36, 0, name=name)
        clean = np.stack([triplet.clean for triplet in made])
        for filled in (np.stack([triplet.new for triplet in made]), np.stack([triplet.ref for triplet in made])):
            counted.update(synthetic_class(visibility(clean, filled)).tolist())
    shares = [counted[each] / sum(counted.values()) for each in (classes.RED, classes.ORANGE, classes.GREEN)]
    assert shares == pytest.approx([0.54, 0.17, 0.29], abs=0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, image in photos(3).items():
        trees.save(tmp_path / "photos" / name, image)
    (tmp_path / "photos" / "notes.txt").write_text("x")
    return tmp_path / "photos"


def test_the_command_writes_triplets(folder: Path, tmp_path: Path) -> None:
    command = ("distort", folder, "--interpolation", "--out", tmp_path / "tree", "--count", "4", "--seed", "2")
    run = pixq(*command)
    assert (run.code, run.err) == (0, "")
    assert "24 pairs of 12 crops of 3 references, written; read it with --dataset triplets" in run.out
    assert "no person gave them" in run.out
    assert "there already" in pixq(*command).out
    write_triplets(read_references([folder]), tmp_path / "same", count=4, seed=2)
    assert digest(tmp_path / "tree") == digest(tmp_path / "same")


def test_the_command_writes_ladders(folder: Path, tmp_path: Path) -> None:
    kinds = ("--kinds", "jpeg,white_noise", "--levels", "1,3")
    run = pixq("distort", folder / "photo0.png", folder / "photo2.png", *kinds, "--out", tmp_path / "tree")
    assert (run.code, run.err) == (0, "")
    assert "8 distorted images of 2 references, written; read it with --dataset jianjin008" in run.out
    index = datasets.index("jianjin008", tmp_path / "tree")
    assert {pair.image_id for pair in index.pairs} == {
        f"I{reference}_{kind}_{level}" for reference in ("01", "02") for kind in ("01", "10") for level in ("01", "03")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--interpolation", "--kinds", "jpeg"), "--kinds is for whole images"),
        (("--interpolation", "--levels", "1"), "--levels is for whole images"),
        (("--interpolation", "--count", "999"), "photo0.png has"),
        (("--interpolation", "--count", "0"), "--count is 0; give a whole number from 1 to 100000"),
        (("--count", "5"), "--count only has an effect together with --interpolation"),
        (("--kinds", "blur"), "unknown distortion 'blur'; choose"),
        (("--levels", "1,x"), "--levels is '1,x'; give numbers from 1 to 5 separated by commas"),
        (("--levels", "3,6"), "--levels is '3,6'; give numbers from 1 to 5 separated by commas"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str, folder: Path, tmp_path: Path) -> None:
    assert message in mistake(pixq("distort", folder, "--out", tmp_path / "tree", *arguments))
    assert not (tmp_path / "tree").exists()


def test_references_that_cannot_be_used_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    trees.save(tmp_path / "other" / "photo0.png", trees.photo(8))
    (tmp_path / "broken.png").write_bytes(b"x")
    for paths, message in (
        ([tmp_path / "gone"], "gone: no such file or folder"),
        ([tmp_path / "empty"], "empty: contains no image files; give a folder with"),
        ([folder, tmp_path / "other"], "has the same name, which must be unique"),
        ([tmp_path / "broken.png"], "broken.png: "),
        ([folder / "notes.txt"], "notes.txt: "),
        ([], "there is no reference; give image files"),
    ):
        said = mistake(pixq("distort", *paths, "--interpolation", "--out", tmp_path / "tree"))
        assert message in said
    deep = np.full((30, 30), 0x1234, dtype=np.uint16)
    Pillow.fromarray(deep).save(tmp_path / "deep.png")
    (image,) = read_references([tmp_path / "deep.png"]).values()
    assert (image.shape, image.dtype, int(image[0, 0, 0])) == ((30, 30, 3), np.uint8, 0x12)
