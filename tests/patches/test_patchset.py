"""`PatchSet`: what it gives is what lies on disk, and damage is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pixq as package
from pixq.errors import PixqError
from pixq.geometry import Fusion
from pixq.patches.plan import BuildSettings
from pixq.patches.sheet import contact_sheet
from pixq.patches.store import PatchSet
from support.built import fused, lines, make, mistake, pixq
from support.trees import write_jianjin008, write_tid

FUSIONS = tuple(Fusion.parse(text) for text in ("none", "copy", "blend", "blend:0.3", "paste"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set")
    write_tid(root / "tid", references=6, types=(1, 7), levels=3)
    make("tid2013", root / "tid", root / "out", BuildSettings(fusions=FUSIONS))
    return root / "out"


@pytest.fixture(scope="module")
def patches(directory: Path) -> PatchSet:
    return PatchSet(directory)


def test_the_columns_are_the_lines(directory: Path, patches: PatchSet) -> None:
    images = {image["image_id"]: image for image in lines(directory / "images.jsonl")}
    reference_rows = distorted_rows = at = 0
    records = patches.records
    for shard in patches.manifest["shards"]:
        for line in lines(directory / f"{shard['name']}.jsonl"):
            image = patches.images[records.image[at]]
            assert image == images[line["image_id"]]
            assert (records.patch_id[at], records.y[at], records.x[at]) == (
                line["patch_id"],
                line["coords"]["y"],
                line["coords"]["x"],
            )
            assert records.psnr[at] == (np.inf if line["PSNR"] is None else line["PSNR"])
            assert records.psnr_roi[at] == (np.inf if line["PSNR_roi"] is None else line["PSNR_roi"])
            assert patches.fusions[records.fusion[at]] == Fusion(line["fusion_type"], line["alpha"])
            assert (records.quality[at], records.mos[at]) == (line["quality"], line["MOS"])
            assert records.identical[at] == line["identical"]
            assert records.reference_row[at] == line["reference_row"] + reference_rows
            assert records.distorted_row[at] == line["distorted_row"] + distorted_rows
            at += 1
        reference_rows += shard["reference_rows"]
        distorted_rows += shard["distorted_rows"]
    assert at == len(patches) == len(records) == 6 * 2 * 3 * 6 * 5


def test_fused_patches_are_what_numpy_makes_of_the_stored_ones(patches: PatchSet) -> None:
    rows = np.random.default_rng(0).permutation(len(patches))[:300]
    got = patches.fused(rows)
    records = patches[rows].records
    for i in range(len(rows)):
        reference, distorted = patches.reference[records.reference_row[i]], patches.distorted[records.distorted_row[i]]
        fusion = patches.fusions[records.fusion[i]]
        assert np.array_equal(got[i], fused(reference, distorted, fusion.name, fusion.alpha)), fusion


@settings(max_examples=30)
@given(st.lists(st.integers(-300, 299), max_size=20))
def test_any_rows_in_any_order_may_repeat(patches: PatchSet, rows: list[int]) -> None:
    everything = patches[:300].fused()
    part = patches[:300]
    assert np.array_equal(part.fused(np.array(rows, dtype=np.int64)), everything[np.array(rows, dtype=np.int64)])


def test_stored_patches_index_like_an_array(directory: Path, patches: PatchSet) -> None:
    whole = np.concatenate(
        [np.load(directory / f"{shard['name']}.distorted.npy") for shard in patches.manifest["shards"]]
    )
    assert np.array_equal(np.asarray(patches.distorted), whole)
    assert np.array_equal(patches.distorted[-1], whole[-1])
    assert np.array_equal(patches.distorted[5:100:7], whole[5:100:7])
    assert np.array_equal(patches.distorted[np.array([[3, 200], [0, 1]])], whole[np.array([[3, 200], [0, 1]])])
    with pytest.raises(IndexError):
        patches.distorted[len(whole)]
    assert isinstance(patches.distorted.shard(0), np.memmap)


def test_selections_meet_their_conditions(patches: PatchSet) -> None:
    sizes = {split: len(patches.select(split=split)) for split in ("train", "validation", "test")}
    assert sum(sizes.values()) == len(patches)
    assert all(sizes.values())
    references = {
        split: {patches.images[i]["reference_id"] for i in patches.select(split=split).records.image} for split in sizes
    }
    assert not references["train"] & references["test"]
    assert not references["train"] & references["validation"]
    folds = [patches.select(fold=fold) for fold in range(5)]
    assert sum(map(len, folds)) == len(patches)
    blends = patches.select(fusion="blend")
    assert {blends.fusions[i] for i in blends.records.fusion} == {Fusion("blend", 0.5), Fusion("blend", 0.3)}
    assert len(patches.select(fusion="blend:0.30")) == len(patches) // 5
    assert len(patches.select(fusion="paste", reference="I03", split=None)) == 6 * 6
    one = patches.select(distortion=patches.images[0]["distortion_type"]).select(fusion="copy")
    assert len(one) == len(patches) // 2 // 5
    for wrong in (
        {"split": "holdout"},
        {"fold": 9},
        {"bucket": "no_flicker"},
        {"distortion": "fog"},
        {"fusion": "swap"},
    ):
        with pytest.raises(PixqError, match="the patch set has no"):
            patches.select(**wrong)  # type: ignore[arg-type]


def test_buckets_are_selected_by_name(tmp_path: Path) -> None:
    write_jianjin008(tmp_path / "jj", {(n, 1): (0.95, 0.9, 0.8) for n in range(1, 6)})
    chosen = BuildSettings(buckets=("no_flicker", "slight_flicker"))
    make("jianjin008", tmp_path / "jj", tmp_path / "out", chosen)
    patches = PatchSet(tmp_path / "out")
    # Levels 1 and 2 are the better of two neighbours, 2 and 3 the worse.
    assert len(patches) == 5 * 3 * 6
    assert len(patches.select(bucket="no_flicker")) == 5 * 2 * 6
    assert len(patches.select(bucket="slight_flicker").select(bucket="no_flicker")) == 5 * 1 * 6


def test_batches_cover_the_selection_once(patches: PatchSet) -> None:
    train = patches.select(split="train")
    for seed in (None, 3):
        batches = list(train.batches(100, seed=seed))
        rows = np.concatenate([batch.rows for batch in batches])
        assert [len(batch.rows) for batch in batches[:-1]] == [100] * (len(train) // 100)
        assert len(np.unique(rows)) == len(rows) == len(train)
        assert (seed is None) == bool((np.diff(rows) > 0).all())
    again = np.concatenate([batch.rows for batch in train.batches(100, seed=3)])
    assert np.array_equal(rows, again)
    batch = batches[0]
    assert np.array_equal(batch.fused, patches.fused(batch.rows))
    assert np.array_equal(batch.reference, patches.reference[patches.records.reference_row[batch.rows]])
    assert np.array_equal(batch.quality, patches.records.quality[batch.rows])
    assert all(len(batch.rows) == 100 for batch in train.batches(100, drop_last=True))
    with pytest.raises(PixqError, match="batch size is 0"):
        next(train.batches(0))


def test_a_selection_of_nothing_is_empty_and_works(patches: PatchSet) -> None:
    nothing = patches[:0]
    assert (len(nothing), nothing.fused().shape, list(nothing.batches(5))) == (0, (0, 20, 20, 3), [])
    with pytest.raises(PixqError, match="nothing is selected"):
        contact_sheet(nothing)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def leak(out: Path) -> None:
    """One image of a training reference moved to the test split, in files whose sizes and checksums agree."""
    images = lines(out / "images.jsonl")
    next(image for image in images if image["split"] == "train")["split"] = "test"
    text = "".join(json.dumps(image) + "\n" for image in images)
    (out / "images.jsonl").write_text(text)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["images"]["bytes"] = len(text)
    (out / "manifest.json").write_text(json.dumps(manifest))


def wrong_key(out: Path) -> None:
    path = out / "images.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"MOS"', b'"MOX"', 1))


def wrong_row(out: Path) -> None:
    path = out / "shard-00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"distorted_row":0,', b'"distorted_row":999999,', 1))
    resize(out, path)


def wrong_fusion(out: Path) -> None:
    path = out / "shard-00000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"alpha":0.3,', b'"alpha":0.4,', 1))


def resize(out: Path, path: Path) -> None:
    """The manifest says the size that the file has."""
    manifest = json.loads((out / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if path.name in shard["files"]:
            shard["files"][path.name]["bytes"] = path.stat().st_size
    (out / "manifest.json").write_text(json.dumps(manifest))


def same_photo(out: Path) -> None:
    """Two references of different splits have the same pixels."""
    manifest = json.loads((out / "manifest.json").read_text())
    groups = manifest["splits"]["groups"]
    one = next(group for group in groups if groups[group]["split"] == "train")
    other = next(group for group in groups if groups[group]["split"] == "test")
    manifest["photos"]["sha256"][other] = manifest["photos"]["sha256"][one]
    (out / "manifest.json").write_text(json.dumps(manifest))


def edit(**changes: object) -> Callable[[Path], None]:
    def damage(out: Path) -> None:
        manifest = json.loads((out / "manifest.json").read_text())
        (out / "manifest.json").write_text(json.dumps(manifest | changes))

    return damage


def swap_header(out: Path) -> None:
    path = out / "shard-00000.distorted.npy"
    path.write_bytes(b"not numpy " + path.read_bytes()[10:])


def broken_line(out: Path) -> None:
    path = out / "shard-00000.jsonl"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"quality":', b'"qualitY":', 1))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda out: (out / "manifest.json").unlink(), "is not a patch set"),
    "manifest is text": (lambda out: (out / "manifest.json").write_text("{"), "manifest.json: is not JSON"),
    "manifest of another": (edit(format="zip"), "is not the manifest of a patch set"),
    "manifest of the future": (edit(schema_version=99), "has schema version 99, this pixq reads 1"),
    "shard gone": (lambda out: (out / "shard-00001.distorted.npy").unlink(), "shard-00001.distorted.npy: No such file"),
    "shard cut short": (
        lambda out: (out / "shard-00001.reference.npy").write_bytes(b""),
        "has 0 bytes, the manifest says",
    ),
    "records longer": (lambda out: append(out / "shard-00000.jsonl", "\n"), "shard-00000.jsonl: has"),
    "records broken": (broken_line, "shard-00000.jsonl: line 1: not a record"),
    "images cut short": (lambda out: (out / "images.jsonl").write_text(""), "images.jsonl: has 0 bytes"),
    "images edited": (wrong_key, "images.jsonl, line 1: "),
    "manifest edited": (edit(shards=[{}]), "manifest.json: shards.0"),
    "row out of range": (wrong_row, "shard-00000.jsonl: a record's distorted_row is 9"),
    "fusion of another set": (wrong_fusion, "shard-00000.jsonl: a record's fusion is not one of the manifest's"),
    "leak": (leak, "leak"),
    "photo in two splits": (same_photo, "same photo"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_when_the_set_is_opened(directory: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(directory, tmp_path / "out")
    damage, expected = DAMAGE[name]
    damage(tmp_path / "out")
    with pytest.raises(PixqError) as error:
        PatchSet(tmp_path / "out")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_a_shard_that_is_no_array_is_named_when_it_is_read(directory: Path, tmp_path: Path) -> None:
    shutil.copytree(directory, tmp_path / "out")
    swap_header(tmp_path / "out")
    with pytest.raises(PixqError, match=r"shard-00000.distorted.npy: is not a NumPy array"):
        PatchSet(tmp_path / "out").fused([0])


def test_verify_finds_one_changed_bit(directory: Path, tmp_path: Path) -> None:
    assert PatchSet(directory).verify() == []
    whole = pixq("verify", directory)
    assert (whole.code, whole.err) == (0, "")
    assert "every file is as it was built" in whole.out
    shutil.copytree(directory, tmp_path / "out")
    with (tmp_path / "out" / "shard-00001.distorted.npy").open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))
    (problem,) = PatchSet(tmp_path / "out").verify()
    assert "shard-00001.distorted.npy: BLAKE3 is" in problem
    run = pixq("verify", tmp_path / "out")
    assert run.code == 2
    assert "shard-00001.distorted.npy" in run.err
    assert "no such" not in mistake(pixq("verify", tmp_path / "gone"))


def test_verify_names_a_damaged_line_not_a_traceback(directory: Path, tmp_path: Path) -> None:
    shutil.copytree(directory, tmp_path / "out")
    wrong_key(tmp_path / "out")
    run = pixq("verify", tmp_path / "out")
    assert (run.code, "images.jsonl: BLAKE3 is" in run.err, "Traceback" in run.err) == (2, True, False)


def test_a_contact_sheet_shows_the_patches(patches: PatchSet, directory: Path, tmp_path: Path) -> None:
    sheet = np.asarray(contact_sheet(patches, count=8, columns=2, scale=3))
    # The worst of eight stands first; its fused patch is there pixel for pixel, three screen pixels each.
    windows = {patch.tobytes() for patch in patches.fused()}
    shown = sheet[61 : 61 + 60 : 3, 16 + 64 : 16 + 64 + 60 : 3]
    assert shown.tobytes() in windows
    reference = sheet[61 : 61 + 60 : 3, 16 : 16 + 60 : 3].astype(int)
    difference = sheet[61 : 61 + 60 : 3, 16 + 128 : 16 + 128 + 60 : 3]
    # The corner lies outside the RoI, whose outline is drawn on the reference.
    assert np.array_equal(difference[:4], np.minimum(4 * np.abs(reference - shown)[:4], 255))
    assert np.array_equal(sheet, np.asarray(contact_sheet(patches, count=8, columns=2, scale=3)))
    run = pixq("show", directory, "--out", tmp_path / "sheet.png", "--split", "test", "--count", "5")
    assert (run.code, (tmp_path / "sheet.png").is_file()) == (0, True)
    assert "ends in .png" in mistake(pixq("show", directory, "--out", tmp_path / "sheet.gif"))
    assert "--count is 0; give a whole number from 1 to 10000" in mistake(
        pixq("show", directory, "--out", tmp_path / "other.png", "--count", "0")
    )
    assert "--scale is 100000" in mistake(pixq("show", directory, "--out", tmp_path / "other.png", "--scale", "100000"))
    told = mistake(pixq("show", directory, "--out", tmp_path / "sheet.png" / "no" / "such.png"))
    assert "no/such.png: Not a directory; free some disk space" in told
    assert not (tmp_path / "other.png").exists()


def test_the_package_gives_what_its_documentation_names() -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert package.PatchSet is PatchSet
    with pytest.raises(AttributeError, match="no attribute 'Patchset'"):
        _ = package.Patchset
