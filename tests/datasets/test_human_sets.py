"""LIVE and MICT as they were published, ladders with PJNDs, and what manifests say about the people behind a score."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixq import datasets
from pixq.datasets.labels import LabelContract, Observers
from pixq.errors import PixqError
from pixq.geometry import Fusion
from pixq.patches.store import PatchSet
from support import built, trees
from support.trees import edit, problems

FOLDERS = ("jp2k", "jpeg", "wn", "gblur", "fastfading")


def write_release(root: Path, scores: dict[str, Any] | None = None, **names: Any) -> dict[str, float]:
    """LIVE release 2 in small: three images per folder, the second of which is a copy of a reference."""
    savemat = pytest.importorskip("scipy.io").savemat
    for name in ("bikes", "woman"):
        trees.save(root / "refimgs" / f"{name}.bmp", trees.photo(len(name)))
    dmos, hidden, references, given = [], [], [], {}
    for number, folder in enumerate(FOLDERS):
        rows = []
        for image in (1, 2, 3):
            reference = ("bikes", "woman", "woman")[image - 1]
            copy = image == 2
            trees.save(root / folder / f"img{image}.bmp", trees.distorted(trees.photo(len(reference)), image, 1 - copy))
            # As in the release, lines are in any order.
            rows.insert(0, f"{reference}.bmp img{image}.bmp {0 if copy else 0.5 * image}")
            dmos.append(0.0 if copy else 20.0 * number + image)
            hidden.append(copy)
            references.append(f"{reference}.bmp")
            if not copy:
                given[f"{folder}_img{image}"] = dmos[-1]
        (root / folder / "info.txt").write_text(" \n".join(rows) + "\n\n", encoding="utf-8")
    content = {"dmos_new": np.array([dmos]), "orgs": np.array([hidden], np.uint8)} if scores is None else scores
    savemat(root / "dmos_realigned.mat", content)
    cells = np.empty((1, len(references)), dtype=object)
    cells[0] = references
    savemat(root / "refnames_all.mat", names or {"refnames_all": cells})
    return given


def test_the_published_live_release_is_read(tmp_path: Path) -> None:
    given = write_release(tmp_path)
    index = datasets.index("live", tmp_path)
    assert index.problems == ()
    assert {pair.image_id: pair.score for pair in index.pairs} == given
    third = next(pair for pair in index.pairs if pair.image_id == "gblur_img3")
    assert (third.reference, third.distorted) == ("refimgs/woman.bmp", "gblur/img3.bmp")
    assert (third.reference_id, third.distortion_type, third.level) == ("woman", "gblur", 1.5)
    # A higher DMOS is worse.
    assert third.quality == pytest.approx((112 - 63) / 115)


def test_dmos_that_is_not_realigned_is_read_and_told_apart(tmp_path: Path) -> None:
    given = write_release(tmp_path)
    scipy = pytest.importorskip("scipy.io")
    content = scipy.loadmat(tmp_path / "dmos_realigned.mat")
    (tmp_path / "dmos_realigned.mat").unlink()
    scipy.savemat(tmp_path / "dmos.mat", {"dmos": content["dmos_new"], "orgs": content["orgs"]})
    index = datasets.index("live", tmp_path)
    assert {pair.image_id: pair.score for pair in index.pairs} == given
    assert "not realigned" in index.contract.unit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "wn" / "info.txt").unlink(), r"wn: no info\.txt, which names the references"),
        (lambda root: (root / "dmos_realigned.mat").unlink(), r"no dmos_realigned\.mat or dmos\.mat"),
        (lambda root: (root / "dmos_realigned.mat").write_bytes(b"MATLAB"), "is not a MATLAB file"),
        (lambda root: edit(root / "jpeg" / "info.txt", "bikes.bmp img1.bmp", "img1.bmp"), "line 3: .* is not `<refer"),
        (lambda root: edit(root / "jpeg" / "info.txt", "img1.bmp", "img3.bmp"), r"line 3: image img3\.bmp can't be"),
        (lambda root: edit(root / "jpeg" / "info.txt", "img1.bmp", "img9.bmp"), "there are 3 lines"),
        (lambda root: edit(root / "jpeg" / "info.txt", "0.5", "half"), "the parameter 'half' is not a number"),
        (lambda root: edit(root / "jpeg" / "info.txt", "bikes.bmp", "woman.bmp"), r"refnames_all\.mat says bikes\.bmp"),
        (lambda root: edit(root / "jpeg" / "info.txt", "bikes.bmp", "../x.bmp"), "which is not plain"),
    ],
)
def test_a_damaged_live_release_is_one_line(change: Any, message: str, tmp_path: Path) -> None:
    write_release(tmp_path)
    change(tmp_path)
    with pytest.raises(PixqError, match=message) as caught:
        datasets.index("live", tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"dmos_new": np.zeros(14), "orgs": np.zeros(15)}, "dmos_new has 14 entries, but the info.txt files list 15"),
        ({"dmos_new": np.zeros(15)}, "holds no variable orgs"),
        ({"dmos_new": np.full(15, np.nan), "orgs": np.zeros(15)}, "a number that is not finite"),
        ({"dmos_new": np.full(15, 200.0), "orgs": np.zeros(15)}, "is 200, outside of -3 to 112"),
        ({"dmos_new": np.array(["x"] * 15), "orgs": np.zeros(15)}, "does not hold numbers"),
    ],
)
def test_wrong_scores_of_live_are_one_line(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_release(tmp_path, content)
    with pytest.raises(PixqError, match=message):
        datasets.index("live", tmp_path)


def test_missing_images_of_live_are_named_and_copies_of_references_are_not_extra(tmp_path: Path) -> None:
    write_release(tmp_path)
    (tmp_path / "wn" / "img1.bmp").unlink()
    trees.save(tmp_path / "wn" / "img4.bmp", trees.photo(1))
    index = datasets.index("live", tmp_path)
    assert problems(index) == [("missing", "wn/img1.bmp"), ("extra", "wn/img4.bmp")]
    assert index.problems[0].detail == "wn/info.txt, line 3; not on disk"


def test_mict_is_read_by_its_list(tmp_path: Path) -> None:
    rows = ["dis_img_path,dis_type,ref_img_path,score"]
    trees.save(tmp_path / "ref_imgs" / "kp01.bmp", trees.photo(1))
    for name in ("jpeg/kp01.bmp", "jpeg/kp01_15_jpg.bmp", "jpeg2000/kp01_00_jp2.bmp", "jpeg2000/kp01_24_jp2.bmp"):
        trees.save(tmp_path / name, trees.distorted(trees.photo(1), 1, 1))
        kind = "JPEG" if "_15" in name else "JP2K" if "_24" in name else "Reference"
        rows.append(f"Toyama/{name},{kind},Toyama/ref_imgs/kp01.bmp,{2.5 if '_' in name else 4.5} ")
    (tmp_path / "Toyama.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    index = datasets.index("mict", tmp_path)
    assert index.problems == ()
    assert [(pair.image_id, pair.distortion_type, pair.level, pair.quality) for pair in index.pairs] == [
        ("kp01_15_jpg", "JPEG", 15, 0.375),
        ("kp01_24_jp2", "JPEG 2000", 24, 0.375),
    ]
    edit(
        tmp_path / "Toyama.txt",
        "JPEG,Toyama/ref_imgs/kp01",
        "JPEG,Toyama/ref_imgs/kp02",
    )
    with pytest.raises(PixqError, match=r"Toyama\.txt, line 3: .* is a version of kp01, not of 'ref_imgs/kp02"):
        datasets.index("mict", tmp_path)


def test_more_types_of_tid2013_are_a_table_of_labels(tmp_path: Path) -> None:
    header, row = "image,reference,type,level,parameter,mos", "{image},{reference},11,{level},32.5,{score}"
    trees.write_label_table(tmp_path, header, row, ("5.5", "4.25"), references=1)
    first = datasets.index("tid2013", tmp_path).pairs[0]
    assert (first.distortion_type, first.level, first.score) == ("11 JPEG2000 compression", 1, 5.5)
    edit(tmp_path / "labels.csv", ",11,", ",25,")
    with pytest.raises(PixqError, match=r"labels\.csv, line 2: unknown type '25'; choose 1, 2, 3"):
        datasets.index("tid2013", tmp_path)


def test_ladders_know_the_people_or_the_range_of_each_level(tmp_path: Path) -> None:
    trees.write_konjnd(tmp_path)
    by_id = {pair.image_id: pair for pair in datasets.index("konjnd", tmp_path).pairs}
    counts = {name: pair.observers.counts(pair.level) for name, pair in by_id.items() if pair.observers}
    # Levels 100 to 96: above the range 97 to 99 somebody notices, below nobody does, and inside nobody is counted.
    assert [counts[f"S1_JPEG_{n:03d}"] for n in range(1, 6)] == [(1, 1), (0, 0), (0, 0), (0, 0), (1, 0)]
    assert [counts[f"S2_BPG_{n:03d}"] for n in range(1, 6)] == [(4, 4), (4, 3), (4, 2), (4, 2), (4, 1)]
    assert by_id["S2_BPG_002"].quality == 0.25
    truth = tmp_path / "ground_truth.json"
    edit(truth, '"pjnd_range": [97, 99]', '"pjnd_range": null')
    index = datasets.index("konjnd", tmp_path)
    assert {pair.reference_id for pair in index.pairs} == {"S2"}
    assert ("extra", "images/S1_JPEG_001.jpg") in problems(index)
    edit(truth, "[96, 97, 99, 100]", '["early"]')
    with pytest.raises(PixqError, match=r"ground_truth\.json: pjnds of S2 is not a list of levels"):
        datasets.index("konjnd", tmp_path)


def test_ladders_without_images_and_numbers_without_a_level_are_problems(tmp_path: Path) -> None:
    trees.write_konjnd(tmp_path)
    images, truth = tmp_path / "images", tmp_path / "ground_truth.json"
    for number in ("000", "101", "999"):
        (images / f"S2_BPG_{number}.jpg").write_bytes((images / "S2_BPG_001.jpg").read_bytes())
    edit(truth, '{"images": {', '{"images": {"S0": {"codec": "jpeg", "pjnds": [50]}, ')
    index = datasets.index("konjnd", tmp_path)
    extra = [("extra", f"images/S2_BPG_{number}.jpg") for number in ("000", "101", "999")]
    assert problems(index) == [("missing", "images/S0_JPEG_*"), *extra]
    assert {pair.level for pair in index.pairs} == set(range(96, 101))
    for wrong in ("1" * 400, "1e999", "-1001", "true"):
        edit(truth, "[50]", f"[{wrong}]")
        with pytest.raises(PixqError, match=r"ground_truth\.json: pjnds of S0 is not a list of levels"):
            datasets.index("konjnd", tmp_path)
        edit(truth, f"[{wrong}]", "[50]")


def test_what_a_score_is_and_who_gave_it_are_in_the_patch_set(tmp_path: Path) -> None:
    trees.write_midd_gar(tmp_path / "midd", references=5)
    report = built.built("midd-gar", tmp_path / "midd", tmp_path / "patches", fusions=(Fusion("none"),))
    patches = PatchSet(report.out)
    assert patches.manifest["label_contract"]["kind"] == "rate"
    observers = {image["image_id"]: image["observers"] for image in patches.images}
    assert observers["kodim01_2"] == {"raters": 10, "noticed": 3}
    # p_different of 0.3 is a quality of 0.7.
    assert {image["quality"] for image in patches.images} == {0.0, 0.7, 1.0}
    # Other people behind the same scores are another dataset.
    labels = (tmp_path / "midd" / "labels.csv").read_text(encoding="utf-8")
    (tmp_path / "midd" / "labels.csv").write_text(labels.replace(",10,", ",20,"), encoding="utf-8")
    with pytest.raises(PixqError, match="was built from other files or scores"):
        built.built("midd-gar", tmp_path / "midd", tmp_path / "patches", fusions=(Fusion("none"),))


def test_a_rating_is_written_as_by_earlier_versions() -> None:
    contract = LabelContract("MOS", "higher-is-better", 0.0, 9.0, "mean opinion score")
    assert "kind" not in contract.to_json()
    assert LabelContract(**json.loads(json.dumps(contract.to_json()))) == contract


def test_a_threshold_halves_the_quality() -> None:
    contract = LabelContract("multiple", "lower-is-better", 0.0, 1000.0, "thresholds", kind="threshold")
    assert [contract.quality(multiple) for multiple in (0.0, 1.0, 2.0)] == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ({"raters": 3}, "belong together"),
        ({"raters": 3, "noticed": 4}, "4 of 3 people can't be"),
        ({"raters": 0, "noticed": 0}, "0 of 0 people can't be"),
        ({"pjnd_range": (5.0, 4.0)}, "is not a range"),
    ],
)
def test_people_who_contradict_themselves_are_refused(people: dict[str, Any], message: str) -> None:
    with pytest.raises(PixqError, match=message):
        Observers(**people)


@pytest.mark.parametrize(
    ("name", "folder", "images"), [("live", "live", 66), ("midd-gar", "midd_gar", 136), ("konjnd", "konjnd1k", 197)]
)
def test_the_real_sets_are_read_whole(name: str, folder: str, images: int) -> None:
    index = datasets.index(name, trees.data_dir(folder))
    assert (len(index.pairs), index.problems) == (images, ())
    if name == "midd-gar":
        assert all(pair.observers and pair.observers.raters == 30 for pair in index.pairs)


def test_konjnd1k_gives_the_satisfied_user_ratio(tmp_path: Path) -> None:
    """By hand: of PJNDs 2, 2, 5 and never, level 1 satisfies all, levels 2 to 4 half, and level 5 a quarter."""
    trees.write_konjnd1k(tmp_path)
    index = datasets.index("konjnd1k", tmp_path)
    sur = {(pair.reference_id, pair.level): pair.quality for pair in index.pairs}
    assert [sur["SRC1", float(level)] for level in range(1, 6)] == [1.0, 0.5, 0.5, 0.5, 0.25]
    assert [sur["SRC2", float(level)] for level in range(1, 6)] == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3])
    observers = {(pair.reference_id, pair.level): pair.observers for pair in index.pairs}
    assert observers["SRC1", 5.0] == Observers(4, 3)
    # Another source whose files have the same names, in a folder of its own.
    shutil.copytree(tmp_path / "bpg" / "SRC2", tmp_path / "bpg" / "SRC4")
    shutil.copyfile(tmp_path / "source_image" / "SRC2.png", tmp_path / "source_image" / "SRC4.png")
    with (tmp_path / "subjective_ratings.csv").open("a") as file:
        file.write('SRC4,BPG,"[1]"\n')
    index = datasets.index("konjnd1k", tmp_path)
    assert index.problems == ()
    assert [pair.image_id for pair in index.pairs][-2:] == ["SRC4_BPG_004", "SRC4_BPG_005"]
    # A source without levels.
    with (tmp_path / "subjective_ratings.csv").open("a") as file:
        file.write('SRC3,BPG,"[1]"\n')
    problems = [(problem.kind, problem.file) for problem in datasets.index("konjnd1k", tmp_path).problems]
    assert problems == [("missing", "bpg/SRC3_*")]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('SRC9,HEIC,"[1]"', "unknown compression type 'HEIC'; choose JPEG, BPG"),
        ('SRC9,JPEG,"1, 2"', "ratings are not a list of levels; write them like"),
        ('SRC9,JPEG,"[]"', "ratings are not a list of levels"),
        ('SRC9,JPEG,"[true]"', "ratings are not a list of levels"),
        ('SRC1,JPEG,"[1]"', "SRC1 has ratings in line 2 already"),
        ('../SRC,JPEG,"[1]"', "line 4"),
    ],
)
def test_ratings_that_are_none_are_named(row: str, words: str, tmp_path: Path) -> None:
    trees.write_konjnd1k(tmp_path)
    with (tmp_path / "subjective_ratings.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(PixqError, match=re.escape(words)):
        datasets.index("konjnd1k", tmp_path)


def test_csiq_and_aic3_name_what_is_wrong(tmp_path: Path) -> None:
    trees.write_csiq(tmp_path / "csiq")
    trees.write_aic3(tmp_path / "aic3")
    for name, file, row, words in (
        ("csiq", "csiq.DMOS.csv", "bridge,fog,1,0.5,0", "unknown type 'fog'; choose noise"),
        ("csiq", "csiq.DMOS.csv", "bridge,blur,0.5,0.5,0", "the level '0.5' is not a whole number"),
        ("csiq", "csiq.DMOS.csv", "bridge,blur,1,1.5,0", "score 1.5 lies outside the scale 0 to 1"),
        ("aic3", "JPEG_AIC_reconstructed_jnd_scores.csv", "1,,1,a.png,b.png,1,0,2", "the codec is empty"),
    ):
        path = tmp_path / name / file
        before = path.read_text()
        path.write_text(before + row + "\n")
        with pytest.raises(PixqError, match=re.escape(words)):
            datasets.index(name, tmp_path / name)
        path.write_text(before)
    assert {pair.group for pair in datasets.index("aic3", tmp_path / "aic3").pairs} == {
        "00002_TE_crop",
        "00006_TE_crop",
    }
