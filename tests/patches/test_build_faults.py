"""Builds from files that can't be used, with wrong arguments, or into directories that hold something else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixq import datasets
from pixq.errors import PixqError
from pixq.patches.plan import BuildSettings, make_plan
from support.built import (
    check_against_numpy,
    digest,
    lines,
    mistake,
    pixq,
)
from support.trees import photo, save, write_jianjin008, write_pairs, write_tid


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
    damage_alpha: "has transparent pixels",
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


@pytest.mark.slow
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
