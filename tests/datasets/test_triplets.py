"""Triplets: what their records may say, what belongs together, and what becomes of the split that they give."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixq import datasets
from pixq.classes import NAMES
from pixq.datasets import DatasetIndex, ImagePair
from pixq.datasets.given_split import given_split
from pixq.datasets.inspect import summarise
from pixq.datasets.photos import fingerprint_all, near_duplicates
from pixq.datasets.records import Rectangle, TripletRecord
from pixq.datasets.triplets import group_records, overlapping
from pixq.errors import PixqError
from pixq.patches.plan import BuildSettings, make_plan
from pixq.patches.store import PatchSet
from support import trees
from support.built import lines, make, mistake, pixq


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six triplets that stand apart, the last two on the test side."""
    trees.write_triplets(tmp_path)
    return tmp_path


def change(root: Path, position: int = 0, side: str = "train", **changes: Any) -> None:
    """Change a record; keys of `metadata` are those that the record doesn't have itself. `...` removes one."""
    path = root / f"{side}_metadata.json"
    records = json.loads(path.read_text())
    for key, value in changes.items():
        into = records[position] if key in records[position] else records[position]["metadata"]
        if key.startswith("metadata_"):
            key, into = key.removeprefix("metadata_"), records[position]["metadata"]
        if value is ...:
            del into[key]
        else:
            into[key] = value
    path.write_text(json.dumps(records))


def problems(index: DatasetIndex) -> list[tuple[str, str, bool]]:
    return [(problem.kind, problem.file, problem.left_out) for problem in index.problems]


def test_a_pair_has_the_records_words(root: Path) -> None:
    index = datasets.index("triplets", root)
    assert (len(index.pairs), index.problems) == (12, ())
    pair = index.pairs[1]
    assert (pair.image_id, pair.reference_id, pair.group) == ("new/000001", "clean/000001", "clean/000001")
    assert (pair.reference, pair.distorted) == ("clean/1.png", "new/1.png")
    assert (pair.distortion_type, pair.level, pair.score, pair.quality, pair.split) == ("new", None, 0.5, 0.5, "train")
    assert pair.attributes == {
        "method": "new",
        "bp_case": "single",
        "color": "Orange",
        "source": "chart.png",
        "crop_id": "1",
    }
    assert {pair.split for pair in index.pairs if pair.reference_id > "clean/000003"} == {"test"}
    contract = index.contract
    assert (contract.name, contract.subject, contract.minimum, contract.maximum) == ("score", "patch", 0.0, 1.0)
    assert (contract.polarity, contract.synthetic) == ("higher-is-better", False)


def test_lists_and_data_objects_are_the_same(root: Path) -> None:
    before = datasets.index("triplets", root)
    path = root / "train_metadata.json"
    path.write_text(json.dumps({"data": json.loads(path.read_text()), "more": 1}))
    assert datasets.index("triplets", root) == before


def test_the_file_of_all_is_read_where_no_side_is_given(root: Path) -> None:
    before = datasets.index("triplets", root)
    everything = [one for side in ("train", "test") for one in json.loads((root / f"{side}_metadata.json").read_text())]
    (root / "dataset_metadata.json").write_text(json.dumps(everything[:3]))
    assert datasets.index("triplets", root) == before
    for side in ("train", "test"):
        (root / f"{side}_metadata.json").unlink()
    (root / "dataset_metadata.json").write_text(json.dumps(everything))
    index = datasets.index("triplets", root)
    assert {pair.split for pair in index.pairs} == {None}
    assert [pair.image_id for pair in index.pairs] == [pair.image_id for pair in before.pairs]


def test_numbers_may_be_texts_and_have_zeros(root: Path) -> None:
    before = datasets.index("triplets", root)
    change(root, clean_image="0", distorted_image="0000.PNG")
    (root / "new" / "0.png").rename(root / "new" / "0000.png")
    index = datasets.index("triplets", root)
    assert index.problems == ()
    assert index.pairs[0].distorted == "new/0000.png"
    assert [pair.image_id for pair in index.pairs] == [pair.image_id for pair in before.pairs]
    trees.save(root / "new" / "00.png", trees.photo(1, (20, 20)))
    with pytest.raises(PixqError, match=r"new/00\.png and new/0000\.png are both number 0; remove one of them"):
        datasets.index("triplets", root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"score": 0.25},
            r"score 0\.25 is not the score of a class; write one of 0 \(Red\), 0\.5 \(Orange\), 1 \(Green\)",
        ),
        ({"score": True}, "score True is not the score of a class"),
        ({"score": "1"}, "score '1' is not the score of a class"),
        ({"score": 1}, "score 1 is Green, but color is 'RED'; fix whichever is wrong"),
        ({"color": "Green"}, "score 0 is Red, but color is 'Green'; fix whichever is wrong"),
        ({"color": "blue"}, "the color 'blue' is unknown; write one of Red, Orange, Green"),
        ({"color": 2}, "the color 2 is unknown"),
        ({"metadata_score": 0.5}, r"score is 0, but its metadata's score is 0\.5; fix whichever"),
        ({"metadata_score": "x"}, "score 'x' is not the score of a class"),
        ({"method": "old"}, "the method 'old' is unknown; write new or ref"),
        ({"method": ...}, "the method None is unknown"),
        ({"clean_image": "../0"}, r"clean_image is '\.\./0', not the number of a file; write a whole number"),
        ({"distorted_image": "/etc/passwd"}, "distorted_image is '/etc/passwd', not the number"),
        ({"distorted_image": -1}, "distorted_image is -1, not the number"),
        ({"distorted_image": 1.5}, r"distorted_image is 1\.5, not the number"),
        ({"distorted_image": True}, "distorted_image is True, not the number"),
        ({"clean_image": "٣"}, "clean_image is '٣', not the number"),
        ({"clean_image": 10**12}, "clean_image is 1000000000000, not the number"),
        ({"roi": [0, 0, 20]}, r"the roi \[0, 0, 20\] is not a rectangle; write \[x, y, width, height\]"),
        ({"roi": [0, 0, 0, 20]}, "is not a rectangle"),
        ({"roi": [-1, 0, 20, 20]}, "is not a rectangle"),
        ({"roi": [0.5, 0, 20, 20]}, "is not a rectangle"),
        ({"roi": ["0", 0, 20, 20]}, "is not a rectangle"),
        ({"roi": [10**400, 0, 20, 20]}, "is not a rectangle"),
        ({"bp_case": "two\nlines"}, r"bp_case is 'two\\nlines', not a short text; write one line of at most 200"),
        ({"image_source": ["a"]}, r"image_source is \['a'\], not a short text"),
        ({"bp_case": "x" * 201}, "not a short text"),
        ({"metadata": []}, "has no metadata; give it"),
    ],
)
def test_a_wrong_record_is_named(changes: dict[str, Any], message: str, root: Path) -> None:
    change(root, **changes)
    with pytest.raises(PixqError, match=message) as caught:
        datasets.index("triplets", root)
    assert str(caught.value).startswith(f"{root / 'train_metadata.json'}, record 1 (sample '0'): ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "3", '{"records": []}', "[1]", "[" * 100_000])
def test_what_holds_no_records_is_named(text: str, root: Path) -> None:
    (root / "test_metadata.json").write_text(text)
    with pytest.raises(PixqError, match=r"test_metadata\.json(, record 1)?: .*(fix|write)"):
        datasets.index("triplets", root)


@pytest.mark.parametrize("color", ["red", "Red", " RED "])
def test_colours_may_be_in_any_case_or_absent(color: str, root: Path) -> None:
    before = datasets.index("triplets", root)
    change(root, color=color, metadata_score=...)
    assert datasets.index("triplets", root) == before
    change(root, color=...)
    assert datasets.index("triplets", root) == before


def test_crops_of_another_size_are_refused(root: Path) -> None:
    trees.save(root / "ref" / "2.png", trees.photo(2, (20, 21)))
    with pytest.raises(PixqError, match=r"ref/2\.png: is 21x20 pixels, and the roi of train_metadata\.json, record 6"):
        datasets.index("triplets", root)
    change(root, 5, roi=...)
    with pytest.raises(PixqError, match=r"ref/2\.png: is 21x20 pixels, and crops are 20x20; cut it again, or fix"):
        datasets.index("triplets", root)


def test_a_roi_may_state_another_size(root: Path) -> None:
    for position, method in enumerate(("new", "ref")):
        change(root, position, roi=[500, 0, 24, 22])
        trees.save(root / method / "0.png", trees.photo(position, (22, 24)))
    with pytest.raises(PixqError, match=r"clean/0\.png: is 20x20 pixels, and the roi of .* says 24x22; cut it again"):
        datasets.index("triplets", root)
    trees.save(root / "clean" / "0.png", trees.photo(9, (22, 24)))
    assert len(datasets.index("triplets", root).pairs) == 12
    change(root, 1, roi=[500, 0, 20, 20])
    with pytest.raises(PixqError, match=r"clean/0\.png: the roi of .* says 24x22, and the roi of .* says 20x20; fix"):
        datasets.index("triplets", root)


def test_missing_and_extra_files_are_problems(root: Path) -> None:
    (root / "new" / "1.png").unlink()
    (root / "clean" / "3.png").unlink()
    for name in ("9.png", "notes.png"):
        trees.save(root / "ref" / name, trees.photo(1, (20, 20)))
    index = datasets.index("triplets", root)
    assert problems(index) == [
        ("missing", "new/1.png", True),
        ("missing", "new/3.png", True),
        ("missing", "ref/3.png", True),
        ("extra", "ref/9.png", False),
        ("extra", "ref/notes.png", False),
    ]
    assert index.problems[0].detail == "train_metadata.json, record 3; not on disk"
    assert "clean/3.png is its reference and not on disk" in index.problems[1].detail
    assert len(index.pairs) == 9


def test_records_that_repeat_or_contradict_are_problems(root: Path) -> None:
    path = root / "train_metadata.json"
    records = json.loads(path.read_text())
    other = {**trees.triplet_record(2, "new", 0.0), "score": 0.0}
    path.write_text(json.dumps([*records, records[0], other]))
    index = datasets.index("triplets", root)
    assert problems(index) == [("duplicate", "new/0.png", False), ("duplicate", "new/2.png", True)]
    repeated, contradiction = index.problems
    assert repeated.detail == "train_metadata.json, record 9, repeats train_metadata.json, record 1, which was taken"
    assert contradiction.detail.startswith("train_metadata.json, record 5 and train_metadata.json, record 10 disagree")
    assert len(index.pairs) == 11


def test_a_pair_on_both_sides_leaks(root: Path) -> None:
    record = json.loads((root / "train_metadata.json").read_text())[0]
    path = root / "test_metadata.json"
    path.write_text(json.dumps([*json.loads(path.read_text()), record]))
    index = datasets.index("triplets", root)
    assert index.pairs[0].split == "both"
    given = given_split((pair.split, pair.group) for pair in index.pairs)
    assert given is not None
    # The pair, and the other one of its clean crop.
    assert (given.leaked, given.train, given.test) == (2, 8, 5)


def test_clean_pixels_make_a_group(root: Path) -> None:
    # Another file of the same pixels: other bytes, and no other number.
    (root / "clean" / "3.png").write_bytes((root / "clean" / "5.png").read_bytes())
    pixels = trees.photo(0, (20, 20))
    Image.fromarray(pixels).save(root / "clean" / "4.png", compress_level=0)
    groups = {pair.reference_id: pair.group for pair in datasets.index("triplets", root).pairs}
    assert groups["clean/000005"] == groups["clean/000003"] == "clean/000003"
    assert groups["clean/000004"] == groups["clean/000000"] == "clean/000000"
    assert len(set(groups.values())) == 4


def test_a_crop_that_is_no_image_is_skipped_by_the_build(root: Path) -> None:
    (root / "clean" / "0.png").write_bytes(b"x")
    report = make("triplets", root, root / "out", BuildSettings())
    assert [item["file"] for item in report.skipped] == ["clean/0.png"] * 2
    assert report.manifest["counts"]["images"] == 10


def rectangles(most: int) -> st.SearchStrategy[Rectangle]:
    place, side = st.integers(0, most), st.integers(1, 6)
    return st.tuples(place, place, side, side)


@given(st.lists(rectangles(20), max_size=30))
def test_overlaps_are_those_of_pixels(placed: list[Rectangle]) -> None:
    def pixels(rectangle: Rectangle) -> set[tuple[int, int]]:
        x, y, width, height = rectangle
        return {(x + i, y + j) for i in range(width) for j in range(height)}

    expected = {(a, b) for a, b in combinations(range(len(placed)), 2) if pixels(placed[a]) & pixels(placed[b])}
    found = [(min(pair), max(pair)) for pair in overlapping(placed)]
    assert len(found) == len(set(found))
    assert set(found) == expected


def record(clean: int, source: str | None, roi: Rectangle | None, distorted: int = 0) -> TripletRecord:
    return TripletRecord("here", 1, "train", clean, distorted, "new", 1.0, source, roi, {})


RECORDS = st.lists(
    st.builds(
        record,
        st.integers(0, 12),
        st.sampled_from([None, "a", "b"]),
        st.none() | rectangles(60),
    ),
    max_size=20,
)


@settings(max_examples=200)
@given(RECORDS, st.dictionaries(st.integers(0, 12), st.sampled_from("pqrs"), max_size=5), st.randoms())
def test_groups_are_the_transitive_closure(records: list[TripletRecord], looks: dict[int, str], random: Any) -> None:
    def tied(one: TripletRecord, other: TripletRecord) -> bool:
        if one.clean == other.clean or (one.clean in looks and looks[one.clean] == looks.get(other.clean)):
            return True
        if one.source is None or one.source != other.source or one.roi is None or other.roi is None:
            return False
        (x, y, w, h), (u, v, s, t) = one.roi, other.roi
        return x < u + s and u < x + w and y < v + t and v < y + h

    reached = [[tied(one, other) for other in records] for one in records]
    for k in range(len(records)):
        for i in range(len(records)):
            for j in range(len(records)):
                reached[i][j] |= reached[i][k] and reached[k][j]
    names = [f"clean/{one.clean:06d}" for one in records]
    expected = {name: min(names[j] for j in range(len(records)) if reached[i][j]) for i, name in enumerate(names)}
    pixels = {f"clean/{number:06d}": look for number, look in looks.items()}
    assert group_records(records, pixels) == expected
    assert group_records(random.sample(records, len(records)), pixels) == expected


def groups_of(index: DatasetIndex) -> dict[str, str]:
    return {pair.reference_id: pair.group for pair in index.pairs}


def test_a_given_split_is_kept(tmp_path: Path) -> None:
    trees.write_triplets(tmp_path, triplets=12, test=(1, 5, 9))
    index = datasets.index("triplets", tmp_path)
    plan = make_plan(index, groups_of(index), BuildSettings(ratio=(0.4, 0.2, 0.4)))
    sides = plan.sides
    assert {group for group, side in sides.items() if side == "test"} == {f"clean/{n:06d}" for n in (1, 5, 9)}
    # 9 groups at 0.4 : 0.2.
    assert sorted(sides.values()).count("train") == 6
    assert sorted(sides.values()).count("validation") == 3
    assert {of.fold for of in plan.groups.values()} == set(range(5))
    assert plan.problems == ()
    assert plan.own_split is not None
    assert plan.own_split.outcome == "kept"
    whole = make_plan(index, groups_of(index), BuildSettings(ratio=(1.0, 0.0, 0.0))).sides
    assert sorted(whole.values()).count("train") == 9
    with pytest.raises(PixqError, match="--split 0,0,1 leaves nothing for the train side"):
        make_plan(index, groups_of(index), BuildSettings(ratio=(0.0, 0.0, 1.0)))
    with pytest.raises(PixqError, match="adds up to"):
        make_plan(index, groups_of(index), BuildSettings(ratio=(0.5, 0.0, 0.0)))


def test_folds_are_those_of_a_set_without_a_given_split(tmp_path: Path) -> None:
    trees.write_triplets(tmp_path, triplets=12, test=(1, 5, 9))
    index = datasets.index("triplets", tmp_path)
    bare = replace(index, pairs=tuple(replace(pair, split=None) for pair in index.pairs))
    kept, redone = (make_plan(one, groups_of(index), BuildSettings()) for one in (index, bare))
    assert {g: of.fold for g, of in kept.groups.items()} == {g: of.fold for g, of in redone.groups.items()}
    assert kept.sides != redone.sides
    assert redone.own_split is None


def test_a_split_without_a_test_side_is_made_anew(tmp_path: Path) -> None:
    trees.write_triplets(tmp_path, triplets=10, test=())
    (tmp_path / "test_metadata.json").unlink()
    index = datasets.index("triplets", tmp_path)
    plan = make_plan(index, groups_of(index), BuildSettings())
    assert sorted(plan.sides.values()).count("test") == 2
    assert plan.own_split is not None
    assert plan.own_split.outcome == "no test side: split anew"
    assert plan.problems == ()


def test_a_leak_is_split_anew_and_told(tmp_path: Path) -> None:
    trees.write_triplets(tmp_path, triplets=10, test=(8, 9))
    # One pixel of the crop of 9, which is tested, is in that of 3.
    change(tmp_path, 0, "test", roi=[79, 19, 20, 20])
    assert json.loads((tmp_path / "test_metadata.json").read_text())[0]["clean_image"] == 8
    index = datasets.index("triplets", tmp_path)
    plan = make_plan(index, groups_of(index), BuildSettings())
    assert (
        plan.groups["clean/000003"].split
        == {
            image.split for shard in plan.shards for image in shard.images if image.pair.reference_id == "clean/000008"
        }.pop()
    )
    assert plan.own_split is not None
    # 8 leaks with the two crops that its roi touches.
    assert plan.own_split.outcome == "leaked: 6 of 20 pairs, split anew"
    report = make("triplets", tmp_path, tmp_path / "out", BuildSettings())
    assert report.manifest["splits"]["given"] == plan.own_split.outcome
    (problem,) = report.manifest["problems"]
    assert (problem["kind"], problem["left_out"]) == ("leak", False)
    assert "6 of 20 pairs are in 1 group on both sides" in problem["detail"]
    assert problem["detail"] in report.warnings
    assert summarise(index).given == {"train": 16, "test": 4, "leaked": 6}
    assert "6 images leak: their groups are on both sides" in summarise(index).text()
    PatchSet(tmp_path / "out")


def test_groups_that_the_builder_merges_leak_too(root: Path) -> None:
    index = datasets.index("triplets", root)
    merged = groups_of(index) | {"clean/000005": "clean/000000"}
    plan = make_plan(index, merged, BuildSettings())
    assert plan.own_split is not None
    assert plan.own_split.outcome == "leaked: 4 of 12 pairs, split anew"


def test_a_build_has_one_patch_a_pair_and_its_attributes(root: Path) -> None:
    # Nothing changed, whatever the record says.
    (root / "new" / "0.png").write_bytes((root / "clean" / "0.png").read_bytes())
    run = pixq("build-patches", "--dataset", "triplets", "--root", root, "--out", root / "out")
    assert run.code == 0, run
    patches = PatchSet(root / "out")
    assert len(patches) == len(patches.images) == 12
    assert [fusion.name for fusion in patches.fusions] == ["none"]
    assert patches.manifest["splits"]["given"] == "kept"
    assert patches.manifest["label_contract"]["subject"] == "patch"
    index = {pair.image_id: pair for pair in datasets.index("triplets", root).pairs}
    for row, quality in enumerate(patches.records.quality):
        image = patches.images[patches.records.image[row]]
        pair: ImagePair = index[image["image_id"]]
        assert image.get("attributes", {}) == pair.attributes
        assert pair.attributes["color"] in NAMES
        assert quality == (1.0 if pair.image_id == "new/000000" else pair.score)
        expected = trees.photo(int(pair.attributes["crop_id"]), (20, 20))
        assert np.array_equal(patches.reference[int(patches.records.reference_row[row])], expected)
    assert pixq("verify", root / "out").code == 0


def test_smooth_crops_are_not_called_alike(root: Path) -> None:
    for number in range(6):
        gradient = (np.indices((20, 20))[1] * 5 + 10 * number).astype(np.uint8)[..., None].repeat(3, axis=2)
        trees.save(root / "clean" / f"{number}.png", gradient)
    report = make("triplets", root, root / "out", BuildSettings())
    assert (report.manifest["photos"]["near_duplicates"], report.warnings) == ([], ())
    found = fingerprint_all(root, {str(number): f"clean/{number}.png" for number in range(6)})[0]
    assert len(near_duplicates(found)) == 15


def test_other_datasets_have_no_attributes_and_no_given_split(tmp_path: Path) -> None:
    trees.write_tid(tmp_path / "tid", references=5, types=(7,), levels=1)
    report = make("tid2013", tmp_path / "tid", tmp_path / "out", BuildSettings())
    assert "given" not in report.manifest["splits"]
    assert all("attributes" not in line for line in lines(tmp_path / "out" / "images.jsonl"))


def test_inspect_shows_the_given_split(root: Path) -> None:
    run = pixq("inspect", "--dataset", "triplets", "--root", root, "--no-picture")
    assert run.code == 0
    assert "given split     train 8, test 4, 6 groups; no leak" in run.out
    assert "color: Green 4, Orange 4, Red 4" in run.out
    change(root, score=1)
    assert "but color is 'RED'" in mistake(pixq("inspect", "--dataset", "triplets", "--root", root))
