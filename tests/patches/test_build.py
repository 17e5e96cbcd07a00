"""What `pixq build-patches` writes, checked against Pillow and NumPy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixq import datasets
from pixq.errors import PixqError
from pixq.geometry import Fusion, PatchGeometry
from pixq.patches.build import BuildReport
from pixq.patches.plan import BuildSettings, Sampling, make_plan
from support.built import ROI, digest, fused, lines, make, mistake, pixels, pixq, psnr
from support.trees import data_dir, photo, save, write_jianjin008, write_kadid10k, write_pairs, write_tid

FUSIONS = tuple(Fusion.parse(text) for text in ("none", "copy", "blend", "blend:0.3", "paste"))


def built(dataset: str, root: Path, out: Path, **changes: Any) -> BuildReport:
    """A build in this process."""
    return make(dataset, root, out, BuildSettings(**changes), threads=2)


def records_of(out: Path) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    """Every record with its image and the name of its shard, read without pixq."""
    images = {image["image_id"]: image for image in lines(out / "images.jsonl")}
    shards = json.loads((out / "manifest.json").read_text())["shards"]
    return [
        (record, images[record["image_id"]], shard["name"])
        for shard in shards
        for record in lines(out / f"{shard['name']}.jsonl")
    ]


def check_against_numpy(root: Path, out: Path, label: str = "image") -> int:
    """Patches, PSNR, identity and quality of every record, from the images themselves."""
    cache: dict[str, Any] = {}

    def image_of(name: str) -> Any:
        if name not in cache:
            cache[name] = pixels(root / name)
        return cache[name]

    arrays = {path.name: np.load(path) for path in out.glob("*.npy")}
    everything = records_of(out)
    for record, image, shard in everything:
        y, x = record["coords"]["y"], record["coords"]["x"]
        reference = image_of(image["reference"])[y : y + 20, x : x + 20]
        distorted = image_of(image["distorted"])[y : y + 20, x : x + 20]
        assert reference.shape == (20, 20, 3)
        assert np.array_equal(arrays[f"{shard}.reference.npy"][record["reference_row"]], reference)
        assert np.array_equal(arrays[f"{shard}.distorted.npy"][record["distorted_row"]], distorted)
        patch = fused(reference, distorted, record["fusion_type"], record["alpha"])
        for key, a, b in (("PSNR", patch, reference), ("PSNR_roi", patch[ROI, ROI], reference[ROI, ROI])):
            expected = psnr(a, b)
            assert record[key] == (None if expected is None else pytest.approx(expected, abs=1e-9)), (key, record)
        assert record["identical"] == np.array_equal(patch, reference)
        if record["identical"]:
            assert record["quality"] == 1.0
        elif label == "image":
            assert record["quality"] == image["quality"]
        else:
            left = np.mean((patch.astype(float) - reference) ** 2) / np.mean((distorted.astype(float) - reference) ** 2)
            assert record["quality"] == pytest.approx(1 - (1 - image["quality"]) * np.sqrt(left), abs=1e-12)
        assert record["MOS"] == image["MOS"]
        assert record["distortion_type"] == image["distortion_type"]
    return len(everything)


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


def damage_truncated(root: Path, name: str) -> None:
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: len(data) // 2])


def damage_empty(root: Path, name: str) -> None:
    (root / name).write_bytes(b"")


def damage_text(root: Path, name: str) -> None:
    (root / name).write_text("not an image")


def damage_size(root: Path, name: str) -> None:
    save(root / name, photo(9, (40, 50)))


def damage_alpha(root: Path, name: str) -> None:
    Image.fromarray(np.zeros((48, 64, 4), np.uint8)).save(root / name)


def damage_sixteen_bits(root: Path, name: str) -> None:
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(root / name)


def damage_huge(root: Path, name: str) -> None:
    data = bytearray((root / name).read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (root / name).write_bytes(data)


def damage_folder(root: Path, name: str) -> None:
    # The adapter looks for files, so the file must be one until the index is made: a link into nothing is not.
    (root / name).unlink()
    (root / name).mkdir()


DAMAGES = {
    damage_truncated: "",
    damage_empty: "empty",
    damage_text: "",
    damage_size: "is 50x40 pixels, but its reference clean/scene1.png is 64x48",
    damage_alpha: "alpha",
    damage_sixteen_bits: "16 bits",
    damage_huge: "60000",
    damage_folder: "not on disk",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_file_that_cannot_be_used_is_named_counted_and_skipped(tmp_path: Path, damage: Any) -> None:
    root, out = tmp_path / "pairs", tmp_path / "out"
    write_pairs(root, references=5, levels=2)
    damage(root, "noisy/scene1/2.png")
    command = ("build-patches", "--dataset", "pairs", "--root", root, "--out", out)
    run = pixq(*command)
    assert run.code == 1, run
    told = [line for line in run.err.splitlines() if "noisy/scene1/2.png" in line]
    assert len(told) == 1
    assert DAMAGES[damage] in told[0]
    assert "Traceback" not in run.err
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"]["images"] == 9
    assert [item["file"] for item in manifest["skipped"]] == ["noisy/scene1/2.png"]
    # Nothing else was lost, and saying that it is known makes the exit code 0.
    assert check_against_numpy(root, out) == 9 * 6
    assert pixq(*command, "--skip-corrupt").code == 0
    assert pixq(*command).code == 1


def test_a_reference_that_cannot_be_used_skips_its_images_alone(tmp_path: Path) -> None:
    root, out = tmp_path / "pairs", tmp_path / "out"
    write_pairs(root, references=5, levels=2)
    damage_truncated(root, "clean/scene3.png")
    run = pixq("build-patches", "--dataset", "pairs", "--root", root, "--out", out)
    assert run.code == 1, run
    manifest = json.loads((out / "manifest.json").read_text())
    assert [(item["image_id"], item["file"]) for item in manifest["skipped"]] == [
        ("noisy/scene3/1", "clean/scene3.png"),
        ("noisy/scene3/2", "clean/scene3.png"),
    ]
    assert check_against_numpy(root, out) == 8 * 6


def test_images_smaller_than_a_patch_are_skipped(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", references=5, levels=1)
    for name in ("clean/scene1.png", "noisy/scene1/1.png"):
        save(tmp_path / "pairs" / name, photo(1, (19, 64)))
    run = pixq("build-patches", "--dataset", "pairs", "--root", tmp_path / "pairs", "--out", tmp_path / "out")
    assert run.code == 1
    assert "noisy/scene1/1.png: is 64x19 pixels, smaller than a patch of 20x20" in run.err


def test_the_same_photo_under_two_names_is_one_group(tmp_path: Path) -> None:
    root, out = tmp_path / "pairs", tmp_path / "out"
    write_pairs(root, references=6, levels=1)
    save(root / "clean/scene2.png", photo(1))
    save(root / "noisy/scene2/1.png", photo(77))
    run = pixq("build-patches", "--dataset", "pairs", "--root", root, "--out", out)
    assert run.code == 0
    assert "same photo" in run.err
    images = {image["reference_id"]: image for image in lines(out / "images.jsonl")}
    assert images["clean/scene1"]["group"] == images["clean/scene2"]["group"]
    assert images["clean/scene1"]["split"] == images["clean/scene2"]["split"]


def mistakes(tmp_path: Path) -> dict[str, tuple[list[object], str]]:
    root = tmp_path / "pairs"
    good = ["--dataset", "pairs", "--root", root, "--out", tmp_path / "new"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("a file")
    return {
        "dataset": (["--dataset", "tid2012", "--root", root, "--out", tmp_path / "new"], "did you mean tid2013"),
        "root": (
            ["--dataset", "pairs", "--root", tmp_path / "gone", "--out", tmp_path / "new"],
            "gone: no such folder",
        ),
        "other layout": (["--dataset", "tid2013", "--root", root, "--out", tmp_path / "new"], "mos_with_names.txt"),
        "not empty": (
            ["--dataset", "pairs", "--root", root, "--out", tmp_path / "full"],
            "is not empty and not a patch set",
        ),
        "out is a file": (["--dataset", "pairs", "--root", root, "--out", tmp_path / "file"], "choose an --out"),
        "out below a file": (
            ["--dataset", "pairs", "--root", root, "--out", tmp_path / "file" / "x"],
            "choose an --out",
        ),
        "fusion": ([*good, "--fusion", "mix"], "unknown fusion 'mix'"),
        "alpha": ([*good, "--fusion", "blend:1.5"], "alpha of a blend is 1.5"),
        "alpha text": ([*good, "--fusion", "blend:half"], "'half' is not a number"),
        "twice": ([*good, "--fusion", "copy", "copy"], "named twice"),
        "split": ([*good, "--split", "0.5,0.5"], "--split"),
        "split sum": ([*good, "--split", "0.5,0.5,0.5"], "--split"),
        "folds": ([*good, "--folds", "50"], "--folds"),
        "roi": ([*good, "--roi-size", "13"], "can't be centred"),
        "stride": ([*good, "--sampling", "random", "--stride", "5"], "--stride is for --sampling grid"),
        "patches": ([*good, "--patches", "5"], "--patches is for"),
        "bucket": ([*good, "--bucket", "wobble"], "unknown bucket 'wobble'"),
        "threads": ([*good, "--threads", "0"], "--threads is 0"),
        "polarity": ([*good, "--polarity", "up"], "polarity"),
        "range": ([*good, "--score-range", "1"], "--score-range"),
        "scale": ([*good, "--score-range", "0,0.1"], "outside the scale"),
        "option": ([*good, "--colour", "red"], "--colour"),
        "type": ([*good, "--seed", "many"], "seed"),
        "huge": ([*good, "--max-pixels", "1" + 23 * "0"], "--max-pixels is 1000"),
        "huge stride": ([*good, "--stride", "1" + 23 * "0"], "--stride is 1000"),
        "levels": ([*good, "--max-levels", "2"], "--max-levels is for buckets"),
        "all and more": ([*good, "--bucket", "all", "no_flicker"], "--bucket all can't be combined with no_flicker"),
        "two lines": (
            ["--dataset", "pairs", "--root", tmp_path / "a\nb", "--out", tmp_path / "new"],
            "a\\nb: no such folder",
        ),
        "negative": ([*good, "--min-difference", "-1"], "--min-difference is -1"),
    }


def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", references=5, levels=1)
    for name, (arguments, expected) in mistakes(tmp_path).items():
        assert expected in mistake(pixq("build-patches", *arguments)), name
        assert not (tmp_path / "new" / "manifest.json").exists(), name
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "file").read_text() == "a file"


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    root, out = tmp_path / "pairs", tmp_path / "out"
    write_pairs(root, references=5, levels=1)
    command = ("build-patches", "--dataset", "pairs", "--root", root, "--out", out)
    assert pixq(*command).code == 0
    before = digest(out)
    again = pixq(*command)
    assert (again.code, digest(out)) == (0, before)
    assert "already complete" in again.out
    told = mistake(pixq(*command, "--seed", "3", "--label", "energy"))
    assert "seed is 0 there and 3 here" in told
    assert 'label is "image" there and "energy" here' in told
    assert "fusions" not in told
    save(root / "noisy/scene1/1.png", photo(3))
    assert "noisy/scene1/1.png: changed since" in mistake(pixq(*command))
    scores = (root / "pairs.csv").read_text()
    (root / "pairs.csv").write_text(scores.replace("0.80", "0.81"))
    assert "other files or scores" in mistake(pixq(*command))
    assert digest(out) == before


def other_pixels(path: Path) -> None:
    """Another picture in a file of the same size and time: BMP sizes tell nothing."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-50] ^= 255
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_finished_set_is_held_against_its_images(tmp_path: Path) -> None:
    root, out = tmp_path / "tid", tmp_path / "out"
    write_tid(root, references=5, types=(1,), levels=2)
    (root / "distorted_images" / "i05_01_2.bmp").write_bytes(b"BM damaged")
    command = ("build-patches", "--dataset", "tid2013", "--root", root, "--out", out)
    assert pixq(*command).code == 1
    before = digest(out)
    for name in ("distorted_images/i02_01_1.bmp", "reference_images/I03.BMP"):
        other_pixels(root / name)
        assert f"{name}: changed since" in mistake(pixq(*command))
        other_pixels(root / name)
    assert pixq(*command).code == 1
    # A file that was mended since must not stay skipped in silence.
    save(root / "distorted_images" / "i05_01_2.bmp", photo(5))
    assert "distorted_images/i05_01_2.bmp: changed since" in mistake(pixq(*command))
    assert digest(out) == before


def test_a_finished_set_that_was_damaged_is_not_called_complete(tmp_path: Path) -> None:
    root, out = tmp_path / "pairs", tmp_path / "out"
    write_pairs(root, references=5, levels=1)
    command = ("build-patches", "--dataset", "pairs", "--root", root, "--out", out)
    assert pixq(*command).code == 0
    (out / "shard-00001.jsonl").unlink()
    assert "shard-00001.jsonl: No such file or directory; delete" in mistake(pixq(*command))


def test_directories_of_others_are_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "pairs"
    write_pairs(root, references=5, levels=1)
    there = [
        (".build/mine", "1"),
        ("manifest.json", '{"name": "web"}'),
        ("manifest.json", "[1]"),
        ("manifest.json", "{"),
        ("thesis.txt", ""),
    ]
    for number, (name, text) in enumerate(there):
        out = tmp_path / f"out{number}"
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text(text)
        before = digest(out)
        told = mistake(pixq("build-patches", "--dataset", "pairs", "--root", root, "--out", out))
        assert "choose another --out" in told
        assert "delete" not in told
        assert digest(out) == before


def test_a_file_in_two_roles_keeps_its_groups_in_one_split(tmp_path: Path) -> None:
    """p0 -> p1, p1 -> p2, ...: the distorted image of one pair is the reference of the next."""
    root, out = tmp_path / "pairs", tmp_path / "out"
    for n in range(9):
        save(root / f"p{n}.png", photo(n))
    chain = "".join(f"p{n}.png,p{n + 1}.png,0.5\n" for n in range(3))
    apart = "".join(f"p{n}.png,q{n}.png,0.5\n" for n in range(4, 9))
    for n in range(4, 9):
        save(root / f"q{n}.png", photo(100 + n))
    (root / "pairs.csv").write_text(f"reference,distorted,score\n{chain}{apart}")
    run = pixq("build-patches", "--dataset", "pairs", "--root", root, "--out", out)
    assert run.code == 0, run
    assert "p1.png serves in groups" in run.err
    groups = {image["reference_id"]: (image["group"], image["split"]) for image in lines(out / "images.jsonl")}
    assert groups["p0"] == groups["p1"] == groups["p2"]
    assert len(set(groups.values())) == 6


def test_two_pairs_of_one_name_are_refused(tmp_path: Path) -> None:
    # The blend of I01_01_01 and I01_01_02 has the name of a file that is there.
    scores = {(n, 1): (0.93, 0.93) for n in range(1, 6)}
    write_jianjin008(tmp_path / "jj", scores)
    index = datasets.index("jianjin008", tmp_path / "jj")
    twice = replace(index, pairs=(*index.pairs, index.pairs[0]))
    with pytest.raises(PixqError, match="two image pairs are called 'I01_01_01'"):
        make_plan(twice, {pair.reference_id: pair.group for pair in index.pairs}, BuildSettings())


def test_nothing_cut_is_no_success(tmp_path: Path) -> None:
    root = tmp_path / "pairs"
    write_pairs(root, references=5, levels=1)
    command = ("build-patches", "--dataset", "pairs", "--root", root)
    run = pixq(*command, "--out", tmp_path / "a", "--unchanged", "drop", "--min-difference", "255")
    assert run.code == 1
    assert "no patch was cut" in run.err
    assert "has no record" in mistake(pixq("show", tmp_path / "a", "--out", tmp_path / "sheet.png"))
    for n in range(1, 6):
        damage_truncated(root, f"noisy/scene{n}/1.png")
    run = pixq(*command, "--out", tmp_path / "b", "--skip-corrupt")
    assert run.code == 1
    assert "split train is empty" in run.err
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["splits"]["images"] == {"train": 0, "validation": 0, "test": 0}


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


@pytest.mark.skipif(os.name != "posix", reason="hostile file names are made on POSIX file systems")
def test_hostile_names_of_folders_are_only_names(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b'a "b" \xff {}\n--x')
    write_pairs(root, references=5, levels=1)
    out = tmp_path / os.fsdecode(b"out \xfe\n")
    run = pixq(
        "build-patches", "--dataset", "pairs", "--root", root, "--out", out, env={**os.environ, "PYTHONUTF8": "1"}
    )
    assert run.code == 0, run
    assert "built: 30 records" in run.out
    assert check_against_numpy(root, out) == 30


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
