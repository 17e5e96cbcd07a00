"""Several patch sets as one: photographs stay on one side, whatever set they are in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pixq
from pixq.errors import PixqError
from pixq.geometry import Fusion
from pixq.patches.joined import JoinedSets, _names, read_photographs
from pixq.patches.store import fingerprint
from support import built, trees
from support.photographs import grey, photograph


def write_set(root: Path, photos: dict[str, np.ndarray], split: str = "0.5,0.25,0.25", **changes: object) -> Path:
    """A patch set of noisy versions of some photographs, as `pairs`; its directory."""
    rows = ["reference,distorted,score,distortion,level"]
    for name, image in photos.items():
        trees.save(root / "tree" / f"{name}.png", image)
        for level in (1, 2):
            trees.save(root / "tree" / f"{name}-{level}.png", trees.distorted(image, level, level))
            rows.append(f"{name}.png,{name}-{level}.png,{1 - level / 4},noise,{level}")
    (root / "tree" / "pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    ratio = tuple(float(share) for share in split.split(","))
    built.built("pairs", root / "tree", root / root.name, ratio=ratio, **changes)
    return root / root.name


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Colour photographs 1 to 5, and grey crops of 4 to 8."""
    root = tmp_path_factory.mktemp("sets")
    colour = write_set(root / "colour", {f"c{seed}": photograph(seed, 120, 160) for seed in range(1, 6)})
    crops = {f"g{seed}": grey(photograph(seed, 120, 160)[:, 20:140]) for seed in range(4, 9)}
    return colour, write_set(root / "crops", crops)


def test_crops_of_one_photograph_are_one_group(sets: tuple[Path, Path]) -> None:
    joined = JoinedSets(sets)
    assert joined.names == ("colour", "crops")
    group = {image["reference_id"]: image["group"] for image in joined.images}
    assert len(set(group.values())) == 8
    for seed in (4, 5):
        assert group[f"colour/c{seed}"] == group[f"crops/g{seed}"]
    assert len(joined.notes) == 2
    assert all("show one photograph (likeness 0." in note for note in joined.notes)
    # A photograph is in the strictest split of its sets.
    single = {
        f"{name}/{image['reference_id']}": image["split"]
        for name, one in zip(joined.names, joined.sets, strict=True)
        for image in one.images
    }
    order = ("train", "validation", "test")
    for image in joined.images:
        same = [single[reference] for reference, of in group.items() if of == image["group"]]
        assert image["split"] == max(same, key=order.index)
    sides = {(image["group"], image["split"], image["fold"]) for image in joined.images}
    assert len(sides) == 8


def test_records_and_pixels_are_those_of_the_sets(sets: tuple[Path, Path]) -> None:
    joined = JoinedSets(sets)
    first, second = map(pixq.PatchSet, sets)
    assert len(joined) == len(first) + len(second)
    assert np.array_equal(joined.fused(), np.concatenate([first.fused(), second.fused()]))
    assert np.array_equal(joined.records.quality, np.concatenate([first.records.quality, second.records.quality]))
    assert joined.images[len(first.images)]["image_id"] == f"crops/{second.images[0]['image_id']}"
    assert [joined.set_of(number) for number in (0, len(joined.images) - 1)] == ["colour", "crops"]
    assert joined.photos() == first.photos() | second.photos()
    assert joined.select(split="test").photos() < joined.photos()
    assert joined.verify() == []


def test_sets_with_other_fusions_are_joined(sets: tuple[Path, Path], tmp_path: Path) -> None:
    photos = {f"p{seed}": photograph(seed, 60, 80) for seed in range(20, 24)}
    other = write_set(tmp_path / "other", photos, fusions=(Fusion("blend", 0.5), Fusion("none")))
    joined, second = JoinedSets([sets[0], other]), pixq.PatchSet(other)
    assert [str(fusion) for fusion in joined.fusions] == ["none", "blend:0.5"]
    assert np.array_equal(joined.fused()[-len(second) :], second.fused())


@pytest.mark.slow
def test_the_order_of_the_sets_and_their_groups_are_in_the_fingerprint(sets: tuple[Path, Path], tmp_path: Path) -> None:
    joined = JoinedSets(sets)
    assert fingerprint(joined) == fingerprint(JoinedSets(sets))
    assert fingerprint(joined) == fingerprint(joined.select(split="train"))
    assert fingerprint(joined) != fingerprint(JoinedSets(sets[::-1]))
    (tmp_path / "photos.csv").write_text("set,reference,photograph\ncolour,c1,X\ncrops,g8,X\n", encoding="utf-8")
    named = JoinedSets(sets, read_photographs(tmp_path / "photos.csv"))
    group = {image["reference_id"]: image["group"] for image in named.images}
    assert group["colour/c1"] == group["crops/g8"]
    assert fingerprint(named) != fingerprint(joined)


def test_names_of_sets_differ(sets: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "colour"
    copy.symlink_to(sets[1])
    assert JoinedSets([sets[0], sets[1].parent.parent / "crops" / "crops"]).names == ("colour", "crops")
    photos = {f"p{seed}": photograph(seed, 60, 80) for seed in range(20, 24)}
    other = write_set(tmp_path / "again" / "colour", photos)
    assert JoinedSets([sets[0], other]).names == ("colour-1", "colour-2")


def test_a_number_after_the_name_of_a_set_is_not_the_name_of_another(tmp_path: Path) -> None:
    def names(*folders: str) -> tuple[str, ...]:
        return _names([tmp_path / folder for folder in folders])

    assert names("x/a", "y/a", "z/a-1") == ("a-2", "a-3", "a-1")
    assert names("z/a-1", "x/a", "y/a", "w/a-1") == ("a-1-1", "a-2", "a-3", "a-1-2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("set,reference\ncolour,c1\n", "no column photograph"),
        ("set,reference,photograph\ncolour,c1,\n", "line 2: a cell is empty"),
        (
            "set,reference,photograph\ncolour,c1,X\ncolour,c1,Y\n",
            "line 3: reference 'c1' of colour has two",
        ),
        ("set,reference,photograph\nbw,c1,X\n", "names the set 'bw'; the sets are called colour, crops"),
        ("set,reference,photograph\ncolour,c9,X\n", "names reference 'c9' of colour, which that set doesn't have"),
    ],
)
def test_a_wrong_table_of_photographs_is_one_line(
    text: str, message: str, sets: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "photos.csv").write_text(text, encoding="utf-8")
    with pytest.raises(PixqError, match=message) as caught:
        JoinedSets(sets, read_photographs(tmp_path / "photos.csv"))
    assert "\n" not in str(caught.value)


def test_sets_that_do_not_fit_are_refused(sets: tuple[Path, Path], tmp_path: Path) -> None:
    photos = {f"p{seed}": photograph(seed, 60, 80) for seed in range(20, 24)}
    for number, (changes, message) in enumerate(
        (
            ({"label": "energy"}, "has another --label than .*; build both with the same --label"),
            ({"min_difference": 2}, "has another --min-difference"),
            ({"geometry": pixq.PatchGeometry(16, 8)}, "has patches and RoIs of another size"),
        )
    ):
        other = write_set(tmp_path / f"other{number}", photos, **changes)
        with pytest.raises(PixqError, match=message):
            JoinedSets([sets[0], other])
    with pytest.raises(PixqError, match="a patch set is named twice"):
        JoinedSets([sets[0], sets[0]])
    with pytest.raises(PixqError, match="give at least two"):
        JoinedSets(sets[:1])


@pytest.mark.slow
def test_the_real_sets_share_their_kodak_photographs(tmp_path: Path) -> None:
    joined_sets = []
    for name, folder in (("live", "live"), ("midd-gar", "midd_gar")):
        root = trees.data_dir(folder)
        sampling = pixq.patches.plan.Sampling("random", None, 200)
        built.built(name, root, tmp_path / name, sampling=sampling, folds=2)
        joined_sets.append(tmp_path / name)
    joined = JoinedSets(joined_sets)
    kodak = {image["reference_id"]: image["attributes"]["kodak"] for image in joined.images}
    group = {image["reference_id"]: image["group"] for image in joined.images}
    for first in kodak:
        for second in kodak:
            assert (group[first] == group[second]) == (kodak[first] == kodak[second]), (first, second)
