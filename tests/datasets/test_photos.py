"""Fingerprints: the same photo is found again, others are left apart."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pixq.datasets.photos import (
    NEAR_BITS,
    NearDuplicate,
    Photo,
    fingerprint,
    fingerprint_all,
    merge_groups,
    near_duplicates,
    near_warnings,
)
from pixq.io.images import read_pixels
from support import trees

Pixels = NDArray[np.uint8]


def made(sha256: str, dhash: int = 0) -> Photo:
    return Photo(sha256, dhash, 4, 4)


def apart(first: Photo, second: Photo) -> int:
    return (first.dhash ^ second.dhash).bit_count()


def saved(folder: Path, name: str, pixels: Pixels) -> Photo:
    trees.save(folder / name, pixels)
    return fingerprint(folder / name)


def naive_dhash(pixels: Pixels) -> int:
    """The definition, cell by cell."""
    height, width = pixels.shape[:2]
    luma = pixels.astype(float) @ [299, 587, 114]
    bits = ""
    for y in range(8):
        row = luma[y * height // 8 : max((y + 1) * height // 8, y * height // 8 + 1)]
        cells = [row[:, x * width // 9 : max((x + 1) * width // 9, x * width // 9 + 1)].mean() for x in range(9)]
        bits += "".join("1" if right > left else "0" for left, right in itertools.pairwise(cells))
    return int(bits, 2)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_the_hash_is_the_naive_one(
    height: int, width: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert saved(tmp_path_factory.mktemp("hash"), "a.png", pixels).dhash == naive_dhash(pixels)


def test_a_hash_by_hand(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(9, dtype=np.uint8)[None, :, None], 8, axis=0).repeat(3, axis=2)
    assert saved(tmp_path, "up.png", ramp).dhash == 2**64 - 1
    assert saved(tmp_path, "down.png", np.ascontiguousarray(ramp[:, ::-1])).dhash == 0
    assert saved(tmp_path, "flat.png", np.zeros((8, 9, 3), np.uint8)).dhash == 0


def test_pixels_decide_not_the_file(tmp_path: Path) -> None:
    pixels = trees.photo(1)
    first, second = saved(tmp_path, "a.png", pixels), saved(tmp_path, "b.BMP", pixels)
    assert first == second
    assert (first.height, first.width) == trees.SIZE
    pixels[0, 0, 0] ^= 1
    assert saved(tmp_path, "c.png", pixels).sha256 != first.sha256


def test_shape_is_part_of_the_pixels(tmp_path: Path) -> None:
    flat = np.zeros((4, 6, 3), np.uint8)
    assert saved(tmp_path, "a.png", flat).sha256 != saved(tmp_path, "b.png", flat.reshape(6, 4, 3)).sha256


def test_many_are_read_by_threads_and_corrupt_ones_reported(tmp_path: Path) -> None:
    files = {f"r{i}": f"{i}.png" for i in range(12)}
    for i in range(12):
        trees.save(tmp_path / f"{i}.png", trees.photo(i))
    (tmp_path / "3.png").write_bytes(b"no image")
    (tmp_path / "5.png").unlink()
    photos, problems = fingerprint_all(tmp_path, files, threads=4)
    assert list(photos) == [f"r{i}" for i in range(12) if i not in (3, 5)]
    assert photos["r4"] == fingerprint(tmp_path / "4.png")
    assert [(problem.kind, problem.file) for problem in problems] == [("corrupt", "3.png"), ("corrupt", "5.png")]
    assert all(problem.detail and str(tmp_path) not in problem.detail for problem in problems)
    assert fingerprint_all(tmp_path, files, threads=1) == (photos, problems)


def test_groups_that_share_a_photo_become_the_smallest() -> None:
    # a1 and b1 share a photo, b2 and c1 another: a, b and c are one group, though a and c share nothing.
    merged = merge_groups(
        {
            "c1": ("c", made("22", 0xFFFF)),
            "b2": ("b", made("22", 0xFFFF)),
            "b1": ("b", made("11")),
            "a1": ("a", made("11")),
            "d1": ("d", made("33", 2**64 - 1)),
        }
    )
    assert merged.groups == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert merged.notes == (
        "references a1, b1 are the same photo, pixel for pixel; groups a, b are kept in one split",
        "references b2, c1 are the same photo, pixel for pixel; groups b, c are kept in one split",
    )
    assert merged.near == ()


def test_a_photo_twice_in_one_group_is_nothing_new() -> None:
    merged = merge_groups({"a": ("g", made("11")), "b": ("g", made("11"))})
    assert (merged.groups, merged.notes, merged.near) == ({"g": "g"}, (), ())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30), st.randoms(use_true_random=False))
def test_merging_keeps_shared_photos_together_in_any_order(rows: list[tuple[int, int]], random: Random) -> None:
    photos = {f"r{i}": (f"g{group}", made(str(sha), sha << 30)) for i, (group, sha) in enumerate(rows)}
    merged = merge_groups(photos)
    for group, photo in photos.values():
        for other, another in photos.values():
            if photo.sha256 == another.sha256:
                assert merged.groups[group] == merged.groups[other]
    for group, head in merged.groups.items():
        assert head <= group
        assert merged.groups[head] == head
    shuffled = dict(random.sample(list(photos.items()), len(photos)))
    assert merge_groups(shuffled) == merged


def test_groups_that_must_be_together_become_one_and_say_why() -> None:
    photos = {"a1": ("a", made("11")), "b1": ("b", made("11")), "d1": ("d", made("33", 2**64 - 1))}
    together = [
        ("d", "c", "x.png serves in c and d"),
        ("b", "a", "one already"),
        ("e", "e", "one group alone"),
        ("c", "b", "y.png serves in b and c"),
        ("d", "a", "one by now"),
    ]
    merged = merge_groups(photos, together=iter(together))
    # By hand: the photo makes a and b one; then in order of names, a-b and a-d, b-c, c-d and e-e.
    assert merged.groups == {"a": "a", "b": "a", "c": "a", "d": "a", "e": "e"}
    assert merged.notes == (
        "references a1, b1 are the same photo, pixel for pixel; groups a, b are kept in one split",
        "one by now",
        "y.png serves in b and c",
    )
    assert merge_groups({}, together=[("b", "a", "same"), ("c", "b", "same")]).notes == ("same", "same")


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(0, 7), st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=6),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from("xyz")), max_size=10),
    st.randoms(use_true_random=False),
)
def test_groups_together_are_the_components_of_their_links_in_any_order(
    rows: dict[int, tuple[int, int]], links: list[tuple[int, int, str]], random: Random
) -> None:
    photos = {f"r{i}": (f"g{group}", made(str(sha), sha << 30)) for i, (group, sha) in rows.items()}
    together = [(f"g{first}", f"g{second}", note) for first, second, note in links]
    merged = merge_groups(photos, together=together)
    # The naive way: the smallest name spreads along every link until nothing changes.
    edges = [(first, second) for first, second, _ in together]
    edges += [(g, h) for g, p in photos.values() for h, q in photos.values() if p.sha256 == q.sha256]
    expected = {group: group for edge in edges for group in edge}
    for _ in range(len(expected)):
        for first, second in edges:
            expected[first] = expected[second] = min(expected[first], expected[second])
    assert merged.groups == expected
    before = merge_groups(photos)
    alone = set(before.groups.values()) | {group for edge in edges for group in edge if group not in before.groups}
    assert len(merged.notes) - len(before.notes) == len(alone) - len(set(merged.groups.values()))
    turned = [random.choice([(a, b, note), (b, a, note)]) for a, b, note in random.sample(together, len(together))]
    assert merge_groups(dict(random.sample(list(photos.items()), len(photos))), together=turned) == merged


def test_a_photo_of_more_pixels_than_allowed_is_not_read(tmp_path: Path) -> None:
    trees.save(tmp_path / "a.png", trees.photo(1))
    pixels = trees.SIZE[0] * trees.SIZE[1]
    assert read_pixels(tmp_path / "a.png", max_pixels=pixels).shape == (*trees.SIZE, 3)
    assert fingerprint(tmp_path / "a.png", max_pixels=pixels) == fingerprint(tmp_path / "a.png")
    for read in (read_pixels, fingerprint):
        with pytest.raises(ValueError, match="pixels"):
            read(tmp_path / "a.png", max_pixels=pixels - 1)
    photos, problems = fingerprint_all(tmp_path, {"a": "a.png"}, max_pixels=pixels - 1)
    assert photos == {}
    assert [(problem.kind, problem.file) for problem in problems] == [("corrupt", "a.png")]
    assert fingerprint_all(tmp_path, {"a": "a.png"}, max_pixels=pixels)[1] == ()


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_near_duplicates_are_all_pairs_within_the_limit(hashes: list[int]) -> None:
    photos = {
        f"{i:02d}": made(str(i), dhash) for i, dhash in enumerate([*hashes, *(dhash ^ 0x1FF for dhash in hashes)])
    }
    # A hash of 0 is that of a plain image.
    names = sorted(name for name in photos if photos[name].dhash)
    expected = [
        (first, second, apart(photos[first], photos[second]))
        for i, first in enumerate(names)
        for second in names[i + 1 :]
        if apart(photos[first], photos[second]) <= NEAR_BITS
    ]
    assert [(one.first, one.second, one.bits) for one in near_duplicates(photos)] == expected


def test_near_duplicates_across_blocks_of_a_thousand() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 1000, dtype=np.uint64).tolist()
    photos = {f"{i:04d}": made(str(i), dhash) for i, dhash in enumerate(hashes)}
    photos["0999"] = made("999", hashes[3] ^ 0b11)
    assert near_duplicates(photos) == (NearDuplicate("0003", "0999", 2),)


def test_warnings_say_which_splits() -> None:
    near = [NearDuplicate("a", "b", 3), NearDuplicate("a", "c", 8)]
    assert near_warnings(near, {"a": "train", "b": "train", "c": "test"}) == (
        "references a and c look like one photo (8 of 64 bits differ), and are in different splits: train and test; "
        "if they are one photo, give them one group",
        "references a and b look like one photo (3 of 64 bits differ); both are in train",
    )


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def shifted(pixels: Pixels) -> Pixels:
    return pixels[1:, 1:]


def brighter(pixels: Pixels) -> Pixels:
    return np.clip(pixels.astype(np.int16) + 10, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [lambda pixels: jpeg(pixels, 50), shifted, brighter], ids=["jpeg", "shift", "light"])
def test_a_changed_photo_is_near_and_no_other_is(change: Callable[[Pixels], Pixels], tmp_path: Path) -> None:
    files = [
        *sorted((trees.data_dir("tid2013") / "reference_images").iterdir()),
        *sorted(trees.data_dir("cid22").glob("*.png")),
    ]
    assert len(files) == 34
    photos = {file.stem: fingerprint(file) for file in files}
    assert near_duplicates(photos) == ()
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        photos[f"{file.stem} changed"] = saved(tmp_path, "changed.bmp", np.ascontiguousarray(change(pixels)))
    found = {(one.first, one.second) for one in near_duplicates(photos)}
    assert found == {(file.stem, f"{file.stem} changed") for file in files}
