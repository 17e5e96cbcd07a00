"""Patch sets on a device: fusion, labels, turns, pieces, and who may train on what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import pixq
from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry
from pixq.io.atomic import checksum
from pixq.models.device import choose_device
from pixq.patches.plan import BuildSettings, Sampling
from pixq.patches.store import PatchSet
from pixq.runs.recipe import read_recipe
from pixq.train.data import Draw, Pool, fuse, turn, turns
from pixq.train.partition import Partition, by_fold, by_split, folds_of
from pixq.train.sampling import balance, batches_of
from support.built import make
from support.strategies import ALPHAS
from support.trees import write_tid

torch.set_num_threads(1)

Bytes = NDArray[np.uint8]
CPU = torch.device("cpu")
FUSIONS = tuple(Fusion.parse(text) for text in ("none", "copy", "blend:0.3", "blend:0.5", "paste"))
NAMES = ("none", "copy", "blend", "paste")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TID tree; one distorted image is its reference, another differs from it in one corner."""
    root = tmp_path_factory.mktemp("tree")
    write_tid(root, references=6, types=(1, 7), levels=3)
    reference = (root / "reference_images" / "I02.BMP").read_bytes()
    (root / "distorted_images" / "i02_01_2.bmp").write_bytes(reference)
    changed = bytearray(reference)
    changed[-20:] = bytes(255 - value for value in changed[-20:])
    (root / "distorted_images" / "i02_07_3.bmp").write_bytes(changed)
    return root


@pytest.fixture(scope="session")
def directory(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("set") / "out"
    make("tid2013", tree, out, BuildSettings(fusions=FUSIONS))
    return out


@pytest.fixture(scope="session")
def patches(directory: Path) -> PatchSet:
    return PatchSet(directory)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and choose_device("auto").type != "cuda":
        pytest.skip("no GPU here")
    return choose_device(request.param)


@st.composite
def geometries(draw: st.DrawFn) -> PatchGeometry:
    size = draw(st.integers(1, 24))
    return PatchGeometry(size, draw(st.integers(0, (size - 1) // 2).map(lambda half: size - 2 * half)))


def random_pairs(n: int, size: int, seed: int) -> tuple[Bytes, Bytes]:
    """Random patches with many extremes, and many equal samples."""
    rng = np.random.default_rng(seed)
    both = rng.integers(0, 256, (2, n, size, size, 3), dtype=np.uint8)
    both = np.where(rng.random(both.shape) < 0.2, rng.choice(np.array([0, 1, 254, 255], np.uint8), both.shape), both)
    both[1] = np.where(rng.random(both[1].shape) < 0.2, both[0], both[1])
    return both[0], both[1]


def weights(fusions: list[Fusion]) -> tuple[Tensor, Tensor]:
    pairs = np.array([fusion.weights for fusion in fusions]).reshape(-1, 2)
    return torch.from_numpy(pairs[:, 0].copy()), torch.from_numpy(pairs[:, 1].copy())


# Fusion.


@settings(max_examples=150)
@given(geometries(), st.lists(st.tuples(st.sampled_from(NAMES), ALPHAS), max_size=6), st.integers(0, 2**32))
def test_fusion_on_the_device_gives_the_cores_bytes(
    geometry: PatchGeometry, drawn: list[tuple[str, float]], seed: int
) -> None:
    fusions = [Fusion(name, alpha if name == "blend" else None) for name, alpha in drawn]  # type: ignore[arg-type]
    r, d = random_pairs(len(fusions), geometry.size, seed)
    got = fuse(torch.from_numpy(r), torch.from_numpy(d), *weights(fusions), geometry).numpy()
    assert got.dtype == np.uint8
    for i, fusion in enumerate(fusions):
        alpha = 0.5 if fusion.alpha is None else fusion.alpha
        expected = pixq.fuse(r[i], d[i], fusion=fusion.name, alpha=alpha, roi=geometry.roi_box)
        assert np.array_equal(got[i], expected), fusion


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.7, 0.9, 1.0, 5e-324, 1 - 2**-53])
def test_every_pair_of_samples_is_blended_as_by_the_core(alpha: float, device: torch.device) -> None:
    values = np.arange(256, dtype=np.uint8)
    r = np.zeros((1, 148, 148, 3), np.uint8)
    d = r.copy()
    r.reshape(-1)[:65536], d.reshape(-1)[:65536] = np.repeat(values, 256), np.tile(values, 256)
    both = (torch.from_numpy(each).to(device) for each in (r, d))
    inside, outside = (each.to(device) for each in weights([Fusion("blend", alpha)]))
    got = fuse(*both, inside, outside, PatchGeometry(148, 148)).cpu().numpy()
    assert np.array_equal(got, pixq.fuse(r, d, fusion="blend", alpha=alpha, roi=(0, 0, 148, 148)))


def test_fusion_leaves_its_inputs_alone() -> None:
    r, d = (torch.from_numpy(each) for each in random_pairs(3, 20, 0))
    before = r.clone(), d.clone()
    fuse(r, d, *weights([Fusion("copy"), Fusion("paste"), Fusion("none")]), PatchGeometry())
    assert torch.equal(r, before[0])
    assert torch.equal(d, before[1])


def test_pairs_are_what_the_patch_set_gives(patches: PatchSet, device: torch.device) -> None:
    pool = Pool(patches, device, 64)
    assert len(pool.pieces) == 1
    piece = pool.load(0)
    rows = np.random.default_rng(0).integers(0, len(pool), 500)
    pairs = piece.pairs(torch.from_numpy(rows).to(device))
    where = pool.row[rows]
    records = patches[where].records
    assert np.array_equal(pairs.fused.cpu().numpy(), patches.fused(where))
    assert np.array_equal(pairs.reference.cpu().numpy(), patches.reference[records.reference_row])
    assert np.array_equal(pairs.quality.cpu().numpy(), records.quality.astype(np.float32))
    # On a GPU the same is computed from the weights of each record's fusion.
    here = torch.from_numpy(rows).to(device)
    distorted = torch.from_numpy(patches.distorted[records.distorted_row]).to(device)
    again = fuse(pairs.reference, distorted, piece.inside[here], piece.outside[here], patches.geometry)
    assert torch.equal(again, pairs.fused)


def test_pairs_of_a_set_without_fusions(tree: Path, tmp_path: Path) -> None:
    make("tid2013", tree, tmp_path / "out", BuildSettings(geometry=PatchGeometry(9, 3)))
    patches = PatchSet(tmp_path / "out")
    pool = Pool(patches.select(split="train"), CPU, 64)
    pairs = pool.load(0).pairs(torch.arange(len(pool)))
    assert np.array_equal(pairs.fused.numpy(), patches.fused(pool.row))
    assert np.array_equal(pairs.reference.numpy(), patches.reference[patches[pool.row].records.reference_row])


@pytest.mark.parametrize("unchanged_up_to", [0, 10])
@pytest.mark.parametrize("label", ["image", "energy"])
def test_labels_of_redrawn_fusions_are_those_of_a_build(
    label: str, unchanged_up_to: int, tree: Path, tmp_path: Path, device: torch.device
) -> None:
    fusions = (*FUSIONS, Fusion("blend", 1.0), Fusion("blend", 0.0))
    chosen = BuildSettings(fusions=fusions, label=label, min_difference=unchanged_up_to)  # type: ignore[arg-type]
    make("tid2013", tree, tmp_path / "out", chosen)
    patches = PatchSet(tmp_path / "out")
    records = patches.records
    keys = zip(records.image.tolist(), records.patch_id.tolist(), records.fusion.tolist(), strict=True)
    built = {key: i for i, key in enumerate(keys)}
    pool = Pool(patches.select(fusion="none"), device, 64)
    piece, own = pool.load(0), patches[pool.row].records
    everything = torch.arange(len(pool), device=device)
    for number, fusion in enumerate(fusions):
        inside, outside = (each.to(device) for each in weights([fusion] * len(pool)))
        pairs = piece.pairs(everything, Draw(inside=inside, outside=outside))
        same = np.array(
            [
                built[image, patch, number]
                for image, patch in zip(own.image.tolist(), own.patch_id.tolist(), strict=True)
            ]
        )
        assert np.array_equal(pairs.fused.cpu().numpy(), patches.fused(same)), fusion
        assert np.array_equal(pairs.quality.cpu().numpy(), records.quality[same].astype(np.float32)), fusion
    # What equals its reference, and what counts as unchanged, has quality 1; both kinds are here, and others.
    assert records.identical.any()
    assert (records.quality[records.identical] == 1.0).all()
    assert not (records.quality == 1.0).all()
    assert ((records.quality == 1.0) & ~records.identical).any() == (unchanged_up_to > 0)


# Turns.


def symmetries(patch: Bytes) -> list[Bytes]:
    return [np.rot90(image, k) for image in (patch, patch[:, ::-1]) for k in range(4)]


@given(st.integers(1, 9), st.lists(st.integers(0, 7), min_size=1, max_size=9), st.integers(0, 2**32))
def test_turns_are_numpys(size: int, drawn: list[int], seed: int) -> None:
    patches, _ = random_pairs(len(drawn), size, seed)
    got = turn(torch.from_numpy(patches), turns(size)[drawn]).numpy()
    assert np.array_equal(got, np.stack([symmetries(each)[k] for each, k in zip(patches, drawn, strict=True)]))


def test_the_eight_symmetries_are_distinct() -> None:
    sources = turns(20)
    assert sources.shape == (8, 400)
    assert len({tuple(row) for row in sources.tolist()}) == 8
    assert all(sorted(row) == list(range(400)) for row in sources.tolist())


@settings(max_examples=40)
@given(st.data())
def test_turns_keep_both_patches_aligned(patches: PatchSet, data: st.DataObject) -> None:
    pool = Pool(patches, CPU, 64)
    rows = torch.tensor(data.draw(st.lists(st.integers(0, len(pool) - 1), min_size=1, max_size=12)))
    drawn = data.draw(st.lists(st.integers(0, 7), min_size=len(rows), max_size=len(rows)))
    alpha = data.draw(st.none() | ALPHAS)
    n = len(rows)
    fusion = (None, None) if alpha is None else weights([Fusion("blend", alpha)] * n)
    piece = pool.load(0)
    plain = piece.pairs(rows, Draw(None, *fusion))
    turned = piece.pairs(rows, Draw(torch.tensor(drawn), *fusion))
    before = (plain.reference.int() - plain.fused.int()).abs().numpy()
    after = (turned.reference.int() - turned.fused.int()).abs().numpy()
    for i, k in enumerate(drawn):
        assert np.array_equal(after[i], symmetries(before[i])[k])
        assert np.array_equal(turned.reference[i].numpy(), symmetries(plain.reference[i].numpy())[k])
    # A turned patch is worth what it was, and the RoI stays in the centre.
    assert torch.equal(turned.quality, plain.quality)


# Pieces.


def test_streaming_gives_every_record_once_with_its_own_pixels(patches: PatchSet) -> None:
    resident, streamed = Pool(patches, CPU, 64), Pool(patches, CPU, 1)
    assert (len(resident.pieces), len(streamed.pieces)) == (1, 3)
    assert np.array_equal(resident.row, streamed.row)
    edges = [(piece.start, piece.stop) for piece in streamed.pieces]
    assert edges[0][0] == 0
    assert edges[-1][1] == len(streamed) == len(patches)
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    whole = resident.load(0).pairs(torch.arange(len(resident)))
    assert np.array_equal(whole.fused.numpy(), patches.fused(resident.row))
    recipe = read_recipe("seed")
    seen: list[int] = []
    # There and back: a piece is filled anew, and nothing of the one before it shows.
    for number in (0, 2, 1, 0):
        start, stop = edges[number]
        piece = streamed.load(number)
        assert 2 * 1200 * (stop - start) <= 2**20
        assert len(set(streamed.image[start:stop]) & set(np.delete(streamed.image, np.s_[start:stop]))) == 0
        for batch in batches_of(streamed, number, recipe, balance(streamed, recipe.balance, False), epoch=1):
            rows = batch.rows.reshape(-1)
            pairs = piece.pairs(rows, batch.draw)
            assert torch.equal(pairs.fused, whole.fused[rows + start])
            assert torch.equal(pairs.reference, whole.reference[rows + start])
            assert torch.equal(pairs.quality, whole.quality[rows + start])
            seen += (rows + start).tolist()
    assert sorted(seen) == sorted([*range(len(streamed)), *range(edges[0][1])])


def test_a_pool_knows_each_records_number_and_image(patches: PatchSet) -> None:
    train = patches.select(split="train")
    shuffled = train[np.random.default_rng(0).permutation(len(train))]
    pool = Pool(shuffled, CPU, 64)
    assert sorted(pool.row.tolist()) == train.rows.tolist()
    assert np.array_equal(pool.image, patches.records.image[pool.row])
    assert np.array_equal(pool.quality, patches.records.quality[pool.row])
    assert (np.diff(pool.image) >= 0).all()


def test_an_image_larger_than_the_memory(tree: Path, tmp_path: Path) -> None:
    make(
        "tid2013", tree, tmp_path / "out", BuildSettings(fusions=FUSIONS[:2], sampling=Sampling.parse("grid", stride=2))
    )
    patches = PatchSet(tmp_path / "out")
    # 15 x 23 places, two fusions, two patches of 1200 bytes each: 1.58 MiB.
    with pytest.raises(PixqError) as caught:
        Pool(patches, CPU, 1)
    assert str(caught.value) == (
        f"{tmp_path / 'out'}: the patches of image {patches.images[0]['image_id']} need 2 MiB, but "
        "train.memory is 1; raise it, or build the set with fewer patches per image"
    )
    assert len(Pool(patches, CPU, 2).pieces) == len(patches.images)


# Partition.


def edited(directory: Path, out: Path, image: str, **changes: object) -> Path:
    """A copy in which one line of `images.jsonl` says something else, and the manifest agrees with the file."""
    shutil.copytree(directory, out)
    path = out / "images.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    (line,) = [line for line in lines if line["image_id"] == image]
    line |= changes
    path.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    info = checksum(path)
    manifest["images"] |= {"bytes": info.bytes, "blake3": info.blake3}
    (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return out


def an_image(patches: PatchSet, split: str) -> str:
    return next(image["image_id"] for image in patches.images if image["split"] == split)


def test_a_set_with_a_group_in_two_splits_is_refused(directory: Path, patches: PatchSet, tmp_path: Path) -> None:
    assert not PatchSet(edited(directory, tmp_path / "same", an_image(patches, "train"))).verify()
    out = edited(directory, tmp_path / "out", an_image(patches, "train"), split="validation")
    with pytest.raises(PixqError, match=r"a leak: group .* is in .* and in .*; build the patch set again"):
        by_split(PatchSet(out))


def test_a_set_with_a_group_in_two_folds_is_refused(directory: Path, patches: PatchSet, tmp_path: Path) -> None:
    image = patches.images[[each["image_id"] for each in patches.images].index(an_image(patches, "train"))]
    folds = folds_of(patches)
    out = edited(directory, tmp_path / "out", image["image_id"], fold=next(f for f in folds if f != image["fold"]))
    leaky = PatchSet(out)
    refused = 0
    for fold in folds:
        try:
            by_fold(leaky, fold)
        except PixqError as error:
            assert "a leak: group" in str(error)  # noqa: PT017 - it is not refused where both folds train
            refused += 1
    assert refused >= 2


def test_parts_that_share_a_photo_are_refused(patches: PatchSet) -> None:
    train, validation = patches.select(split="train"), patches.select(split="validation")
    Partition(patches, train, validation, None, {})
    with pytest.raises(PixqError, match="a leak: group"):
        Partition(patches, train, train[:1], None, {})
    with pytest.raises(PixqError, match=r"a leak: group .* held out"):
        Partition(patches, train, validation, validation[-1:], {})


def references(part: PatchSet | None) -> set[str]:
    assert part is not None
    return {part.images[number]["reference_id"] for number in part.records.image}


def kinds(part: PatchSet | None) -> set[str]:
    assert part is not None
    return {part.images[number]["distortion_type"] for number in part.records.image}


def test_a_plain_run_looks_at_train_and_validation_alone(patches: PatchSet) -> None:
    parts = by_split(patches)
    assert parts.held_out is None
    for name, part in (("train", parts.train), ("validation", parts.validation)):
        assert {patches.images[number]["split"] for number in part.records.image} == {name}
        assert len(part) == len(patches.select(split=name)) > 0
    described = parts.describe()
    assert described == {
        "rule": "split",
        "train": {"images": len(parts.train) // 30, "records": len(parts.train)},
        "validation": {"images": len(parts.validation) // 30, "records": len(parts.validation)},
        "photos": {"train": sorted(parts.train.photos()), "validation": sorted(parts.validation.photos())},
    }
    assert len(parts.train.photos()) == len({patches.images[i]["reference_id"] for i in parts.train.records.image})


def every_fold(patches: PatchSet, left_out: str | None = None) -> Iterator[Partition]:
    for fold in folds_of(patches):
        yield by_fold(patches, fold, left_out)


def test_folds_share_no_photo_and_never_touch_the_test_split(patches: PatchSet) -> None:
    test = references(patches.select(split="test"))
    held_out: list[int] = []
    for parts in every_fold(patches):
        own = [references(part) for part in (parts.train, parts.validation, parts.held_out)]
        assert all(own)
        assert not own[0] & own[1] | own[0] & own[2] | own[1] & own[2]
        assert not (own[0] | own[1] | own[2]) & test
        assert own[0] | own[1] | own[2] | test == references(patches)
        assert parts.held_out is not None
        held_out += parts.held_out.rows.tolist()
        assert parts.describe()["held_out"]["records"] == len(parts.held_out)
        assert parts.rule["validation_fold"] != parts.rule["fold"]
    # All but the test split is predicted, once.
    assert sorted(held_out) == sorted(
        patches.select(split="train").rows.tolist() + patches.select(split="validation").rows.tolist()
    )


def test_a_type_left_out_is_in_the_held_out_fold_alone(patches: PatchSet) -> None:
    all_kinds = kinds(patches)
    assert len(all_kinds) == 2
    for kind in all_kinds:
        for parts in every_fold(patches, kind):
            assert kinds(parts.train) == kinds(parts.validation) == all_kinds - {kind}
            assert kinds(parts.held_out) == all_kinds
            assert parts.rule["left_out"] == kind


def test_parts_that_can_not_be_made(patches: PatchSet, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match=r"has no fold 17; it has \d"):
        by_fold(patches, 17)
    with pytest.raises(PixqError, match="has no distortion type 'fog'; it has "):
        by_fold(patches, folds_of(patches)[0], "fog")
    make("tid2013", tree, tmp_path / "all", BuildSettings(ratio=(1.0, 0.0, 0.0), folds=2))
    with pytest.raises(PixqError, match="its validation split is empty; build it with both, for example --split"):
        by_split(PatchSet(tmp_path / "all"))
    with pytest.raises(PixqError, match="has 2 folds outside its test split, but three are needed"):
        folds_of(PatchSet(tmp_path / "all"))
    make("tid2013", tree, tmp_path / "test", BuildSettings(ratio=(0.0, 0.0, 1.0)))
    with pytest.raises(PixqError, match="its train split is empty"):
        by_split(PatchSet(tmp_path / "test"))
    with pytest.raises(PixqError, match="has 0 folds outside its test split"):
        by_fold(PatchSet(tmp_path / "test"), 0)


def test_nothing_left_to_train_with(tmp_path: Path) -> None:
    write_tid(tmp_path / "tid", references=4, types=(1,), levels=1)
    make("tid2013", tmp_path / "tid", tmp_path / "out", BuildSettings(ratio=(0.5, 0.5, 0.0), folds=4))
    patches = PatchSet(tmp_path / "out")
    (kind,) = kinds(patches)
    with pytest.raises(PixqError, match=r"fewer than two folds are left .* for fold \d without "):
        by_fold(patches, folds_of(patches)[0], kind)
