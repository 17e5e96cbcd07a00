"""What `pixq build-patches` writes, checked against Pillow and NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry
from pixq.patches.plan import BuildSettings, Sampling
from support.built import (
    built,
    check_against_numpy,
    digest,
    lines,
    make,
    pixels,
    pixq,
    psnr,
    records_of,
)
from support.trees import data_dir, photo, save, write_jianjin008, write_kadid10k, write_pairs, write_tid

FUSIONS = tuple(Fusion.parse(text) for text in ("none", "copy", "blend", "blend:0.3", "paste"))


@pytest.mark.parametrize("label", ["image", "energy"])
def test_every_record_is_what_numpy_computes(tmp_path: Path, label: str) -> None:
    root, out = tmp_path / "tid", tmp_path / "out"
    scores = write_tid(root, references=5, types=(1,), levels=3)
    report = built("tid2013", root, out, fusions=FUSIONS, label=label)
    # 48 x 64 pixels hold 2 x 3 patches.
    assert check_against_numpy(root, out, label) == len(scores) * 6 * len(FUSIONS)
    counts = report.manifest["counts"]
    assert (counts["images"], counts["patches"], counts["records"]) == (15, 90, 450)
    for image in lines(out / "images.jsonl"):
        reference, distorted = pixels(root / image["reference"]), pixels(root / image["distorted"])
        assert image["PSNR_image"] == pytest.approx(psnr(reference, distorted), abs=1e-9)
        assert image["MOS"] == scores[Path(image["distorted"]).name.replace("i", "I", 1)]
        assert image["quality"] == image["MOS"] / 9


@pytest.mark.parametrize(
    "sampling", [Sampling("random", None, 7), Sampling("texture", None, 7), Sampling("grid", 9, None)]
)
def test_sampled_patches_lie_where_the_records_say(tmp_path: Path, sampling: Sampling) -> None:
    root = tmp_path / "tid"
    write_tid(root, references=5, types=(1,), levels=2)
    built("tid2013", root, tmp_path / "a", sampling=sampling, fusions=FUSIONS[:2])
    check_against_numpy(root, tmp_path / "a")
    places = {
        (record["image_id"], record["coords"]["y"], record["coords"]["x"])
        for record, _, _ in records_of(tmp_path / "a")
    }
    assert len(places) == 10 * (7 if sampling.n else 4 * 5)
    built("tid2013", root, tmp_path / "b", sampling=sampling, fusions=FUSIONS[:2], seed=1)
    again = {(r["image_id"], r["coords"]["y"], r["coords"]["x"]) for r, _, _ in records_of(tmp_path / "b")}
    assert (again == places) == (sampling.type == "grid")


def test_a_reference_patch_is_stored_once(tmp_path: Path) -> None:
    write_tid(tmp_path / "tid", references=5, types=(1, 2), levels=3)
    manifest = built("tid2013", tmp_path / "tid", tmp_path / "out").manifest
    assert sum(shard["reference_rows"] for shard in manifest["shards"]) == 5 * 6
    assert sum(shard["distorted_rows"] for shard in manifest["shards"]) == 5 * 6 * 6


def test_pairs_of_one_reference_stand_together_in_a_group_of_two(tmp_path: Path) -> None:
    """Names that take turns between two references: each is decoded once, and its patches are stored once."""
    root = tmp_path / "pairs"
    rows = ["reference,distorted,score,group"]
    for n in range(10):
        save(root / f"r{n}.png", photo(n))
        for level in range(3):
            save(root / f"d{level}_{n}.png", photo(100 + 10 * level + n))
            rows.append(f"r{n}.png,d{level}_{n}.png,0.5,scene{n // 2}")
    (root / "pairs.csv").write_text("\n".join(rows))
    built("pairs", root, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert sum(shard["reference_rows"] for shard in manifest["shards"]) == 10 * 6
    assert len(manifest["splits"]["groups"]) == 5


def test_the_bytes_do_not_depend_on_threads_or_order(tmp_path: Path) -> None:
    write_tid(tmp_path / "tid", references=6, types=(1, 2), levels=3)
    settings = BuildSettings(sampling=Sampling("texture", None, 5), fusions=FUSIONS)
    seen = []
    for threads in (1, 2, 5):
        out = tmp_path / f"out{threads}"
        make("tid2013", tmp_path / "tid", out, settings, threads=threads)
        seen.append(digest(out))
    assert seen[0] == seen[1] == seen[2]
    # The order of the score file is not the order of anything.
    text = (tmp_path / "tid" / "mos_with_names.txt").read_text().splitlines(keepends=True)
    (tmp_path / "tid" / "mos_with_names.txt").write_text("".join(reversed(text)))
    make("tid2013", tmp_path / "tid", tmp_path / "reversed", settings)
    assert digest(tmp_path / "reversed") == seen[0]


def test_jianjin008_is_built_as_its_report_has_it(tmp_path: Path) -> None:
    write_jianjin008(
        tmp_path / "jj",
        {**{(n, 1): (0.95, 0.9) for n in range(1, 6)}, (6, 1): (0.9, 0.8, 0.7, 0.6), (7, 2): (0.93, 0.93)},
    )
    run = pixq("build-patches", "--dataset", "jianjin008", "--root", tmp_path / "jj", "--out", tmp_path / "out")
    assert run.code == 0, run
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["fusions"] == [{"type": "copy", "alpha": None}, {"type": "blend", "alpha": 0.5}]
    assert manifest["filter"]["buckets"] == ["slight_flicker"]
    assert sum(manifest["filter"]["excluded"].values()) == 5 + 4 + 2
    assert manifest["label_contract"]["polarity"] == "higher-is-better"
    assert {image["image_id"] for image in lines(tmp_path / "out" / "images.jsonl")} == {
        f"I0{n}_01_02" for n in range(1, 6)
    }
    assert all(image["bucket"] == ["slight_flicker"] for image in lines(tmp_path / "out" / "images.jsonl"))

    # Turned round, the other level is the worse one, and the manifest says that it was.
    run = pixq(
        "build-patches",
        "--dataset",
        "jianjin008",
        "--root",
        tmp_path / "jj",
        "--out",
        tmp_path / "turned",
        "--polarity",
        "lower-is-better",
    )
    assert run.code == 0, run
    turned = lines(tmp_path / "turned" / "images.jsonl")
    assert {image["image_id"] for image in turned} == {f"I0{n}_01_01" for n in range(1, 6)}
    assert turned[0]["quality"] == pytest.approx(1 - turned[0]["MOS"])
    assert (
        json.loads((tmp_path / "turned" / "manifest.json").read_text())["label_contract"]["polarity"]
        == "lower-is-better"
    )


def test_equal_scores_add_their_blend(tmp_path: Path) -> None:
    write_jianjin008(tmp_path / "jj", {(n, 1): (0.93, 0.93) for n in range(1, 6)})
    built("jianjin008", tmp_path / "jj", tmp_path / "out", buckets=("same_score",))
    images = lines(tmp_path / "out" / "images.jsonl")
    assert len(images) == 15
    arrays = {path.name: np.load(path) for path in (tmp_path / "out").glob("*.npy")}
    checked = 0
    for record, image, shard in records_of(tmp_path / "out"):
        if image["blend_with"] is None:
            continue
        y, x = record["coords"]["y"], record["coords"]["x"]
        both = [pixels(tmp_path / "jj" / image[key]).astype(int) for key in ("distorted", "blend_with")]
        mean = ((both[0] + both[1] + 1) // 2)[y : y + 20, x : x + 20]
        assert np.array_equal(arrays[f"{shard}.distorted.npy"][record["distorted_row"]], mean)
        checked += 1
    assert checked == 5 * 6


def test_kadid_and_pairs_build_by_default_without_buckets(tmp_path: Path) -> None:
    write_kadid10k(tmp_path / "kadid", references=5, types=(1,), levels=2)
    write_pairs(tmp_path / "pairs", references=5, levels=1)
    for dataset, images in (("kadid10k", 10), ("pairs", 5)):
        run = pixq(
            "build-patches",
            "--dataset",
            dataset,
            "--root",
            tmp_path / dataset.removesuffix("10k"),
            "--out",
            tmp_path / "out" / dataset,
        )
        assert run.code == 0, run
        manifest = json.loads((tmp_path / "out" / dataset / "manifest.json").read_text())
        assert manifest["fusions"] == [{"type": "none", "alpha": None}]
        assert manifest["filter"]["buckets"] is None
        assert manifest["counts"]["images"] == images


def write_partly_changed(root: Path) -> None:
    """Five pairs of 20x60: one patch as it was, one changed by 2 grey levels, one by 50, all at one place."""
    rows = ["reference,distorted,score"]
    for n in range(5):
        clean = np.clip(photo(n, (20, 60)), 60, 200)
        changed = clean.copy()
        changed[10, 25] += 2
        changed[10, 50] += 50
        save(root / f"clean{n}.png", clean)
        save(root / f"changed{n}.png", changed)
        rows.append(f"clean{n}.png,changed{n}.png,0.4")
    (root / "pairs.csv").write_text("\n".join(rows))


@pytest.mark.parametrize(
    ("min_difference", "unchanged", "qualities", "counted", "dropped"),
    [
        (0, "keep", [1.0, 0.4, 0.4], 5, 0),
        (1, "keep", [1.0, 0.4, 0.4], 5, 0),
        (2, "keep", [1.0, 1.0, 0.4], 10, 0),
        (0, "drop", [0.4, 0.4], 5, 5),
        (2, "drop", [0.4], 10, 10),
    ],
)
def test_unchanged_patches_never_get_the_images_score(
    tmp_path: Path, min_difference: int, unchanged: str, qualities: list[float], counted: int, dropped: int
) -> None:
    write_partly_changed(tmp_path / "pairs")
    manifest = built(
        "pairs", tmp_path / "pairs", tmp_path / "out", min_difference=min_difference, unchanged=unchanged
    ).manifest
    by_image: dict[str, list[float]] = {}
    for record, _, _ in records_of(tmp_path / "out"):
        by_image.setdefault(record["image_id"], []).append(record["quality"])
    assert len(by_image) == 5
    assert all(values == qualities for values in by_image.values())
    assert (manifest["counts"]["unchanged"], manifest["counts"]["dropped"]) == (counted, dropped)


def test_a_fused_patch_that_equals_its_reference_has_quality_1(tmp_path: Path) -> None:
    write_partly_changed(tmp_path / "pairs")
    built("pairs", tmp_path / "pairs", tmp_path / "out", fusions=(Fusion("copy"), Fusion("none"), Fusion("blend", 0.5)))
    # The change lies inside the RoI of its patch, so a copy undoes it.
    for record, _, _ in records_of(tmp_path / "out"):
        if record["fusion_type"] == "copy":
            assert (record["quality"], record["identical"], record["PSNR"]) == (1.0, True, None)
        elif record["coords"]["x"] == 40:
            assert record["quality"] == 0.4
            assert not record["identical"]


def test_folds_by_default_are_five_or_one_a_reference(tmp_path: Path) -> None:
    root = tmp_path / "pairs"
    write_pairs(root, references=3, levels=1)
    command = ("build-patches", "--dataset", "pairs", "--root", root, "--out", tmp_path / "out")
    assert pixq(*command).code == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["splits"]["folds"] == 3
    assert "already complete" in pixq(*command, "--folds", "3").out


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Sampling("grid", 0),
        lambda: Sampling("random", None, None),
        lambda: Sampling("random", 5, 5),
        lambda: Sampling("fog"),  # type: ignore[arg-type]
        lambda: BuildSettings(seed=1.5),  # type: ignore[arg-type]
        lambda: BuildSettings(max_pixels=0),
        lambda: BuildSettings(fusions=()),
    ],
)
def test_settings_are_checked_when_they_are_made(wrong: Callable[[], object]) -> None:
    with pytest.raises(PixqError):
        wrong()


@pytest.mark.slow
def test_real_tid2013(tmp_path: Path) -> None:
    """The main job on real images: counts, schemas, and every tenth image against NumPy."""
    root, out = data_dir("tid2013"), tmp_path / "out"
    run = pixq("build-patches", "--dataset", "tid2013", "--root", root, "--out", out, "--fusion", "copy", "blend")
    assert run.code == 0, run
    manifest = json.loads((out / "manifest.json").read_text())
    # 512 x 384 pixels hold 25 x 19 patches.
    assert manifest["counts"]["patches"] == 300 * 25 * 19
    assert manifest["counts"]["records"] == 2 * 300 * 25 * 19
    assert manifest["splits"]["images"] == {"train": 180, "validation": 60, "test": 60}
    images = lines(out / "images.jsonl")
    assert len(images) == 300
    for image in images[::10]:
        expected = psnr(pixels(root / image["reference"]), pixels(root / image["distorted"]))
        assert image["PSNR_image"] == pytest.approx(expected, abs=1e-9)


def test_geometry_other_than_the_default(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", references=5, levels=1)
    report = built(
        "pairs", tmp_path / "pairs", tmp_path / "out", geometry=PatchGeometry(15, 5), sampling=Sampling("grid", 15)
    )
    assert report.manifest["counts"]["patches"] == 5 * 3 * 4
    assert np.load(tmp_path / "out" / "shard-00000.distorted.npy").shape[1:] == (15, 15, 3)
