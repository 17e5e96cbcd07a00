"""Adapters: what they read, what they name, what they refuse."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixq import datasets
from pixq.datasets import ADAPTERS, ImagePair
from pixq.errors import PixqError
from support import trees
from support.trees import WRITE, append, edit, problems

SCORES = {
    "jianjin008": "mos.txt",
    "tid2008": "mos_with_names.txt",
    "tid2013": "mos_with_names.txt",
    "kadid10k": "dmos.csv",
    "pairs": "pairs.csv",
    "triplets": "train_metadata.json",
    **dict.fromkeys(("live", "midd-gar", "mict", "thresholds", "colour-pairs"), "labels.csv"),
    "csiq": "csiq.DMOS.csv",
    "konjnd": "ground_truth.json",
    "konjnd1k": "subjective_ratings.csv",
    "aic3": "JPEG_AIC_reconstructed_jnd_scores.csv",
}


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small tree of each dataset."""
    roots = {name: tmp_path_factory.mktemp(name) for name in WRITE}
    for name, root in roots.items():
        WRITE[name](root)
    return roots


@pytest.mark.parametrize("name", list(WRITE))
def test_a_tree_in_the_published_layout_is_read_whole(name: str, tmp_path: Path) -> None:
    scores = WRITE[name](tmp_path)
    index = datasets.index(name, tmp_path)
    assert index.problems == ()
    assert index.adapter == name
    assert sorted(pair.score for pair in index.pairs) == pytest.approx(sorted(scores.values()), abs=1e-9)
    assert [pair.image_id for pair in index.pairs] == sorted({pair.image_id for pair in index.pairs})
    for pair in index.pairs:
        assert (tmp_path / pair.reference).is_file()
        assert (tmp_path / pair.distorted).is_file()
        assert 0.0 <= pair.quality <= 1.0
        assert pair.quality == index.contract.quality(pair.score)
        assert pair.group in (pair.reference_id, pair.reference_id.rsplit("/")[-1])


@pytest.mark.parametrize("name", list(WRITE))
def test_windows_line_ends_and_a_byte_order_mark_change_nothing(name: str, tmp_path: Path) -> None:
    WRITE[name](tmp_path)
    before = datasets.index(name, tmp_path)
    path = tmp_path / SCORES[name]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n  \r\n")
    assert datasets.index(name, tmp_path) == before


def test_tid_names_follow_the_disk_in_case_and_extension(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,))
    (tmp_path / "distorted_images" / "i01_07_1.bmp").rename(tmp_path / "distorted_images" / "I01_07_1.BMP")
    trees.save(tmp_path / "distorted_images" / "i01_07_2.png", trees.photo(1))
    (tmp_path / "distorted_images" / "i01_07_2.bmp").unlink()
    (tmp_path / "reference_images").rename(tmp_path / "Reference_Images")
    index = datasets.index("tid2013", tmp_path)
    assert index.problems == ()
    first, second = index.pairs[:2]
    assert (first.image_id, first.reference_id) == ("i01_07_1", "I01")
    assert (first.distorted, first.reference) == ("distorted_images/I01_07_1.BMP", "Reference_Images/I01.BMP")
    assert second.distorted == "distorted_images/i01_07_2.png"
    assert (second.distortion_type, second.level) == ("07 quantization noise", 2)


def test_images_of_another_tid_are_refused(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1, types=(18,), levels=5)
    assert {pair.distortion_type for pair in datasets.index("tid2013", tmp_path).pairs} == {
        "18 change of color saturation"
    }
    told = r"line 1: 'I01_18_1.bmp' is type 18, level 1; tid2008 has types 1 to 17 and levels 1 to 4: choose"
    with pytest.raises(PixqError, match=told):
        datasets.index("tid2008", tmp_path)
    edit(tmp_path / "mos_with_names.txt", "I01_18_1", "I01_18_6")
    with pytest.raises(PixqError, match="is type 18, level 6"):
        datasets.index("tid2013", tmp_path)


def test_kadid_is_higher_is_better_and_keeps_its_score(tmp_path: Path) -> None:
    trees.write_kadid10k(tmp_path, references=1, types=(10,))
    index = datasets.index("kadid10k", tmp_path)
    assert [(pair.score, pair.quality) for pair in index.pairs[:2]] == [(4.25, 0.8125), (3.5, 0.625)]
    assert index.pairs[0].distortion_type == "10 JPEG"
    assert "higher is better" in index.contract.note


def test_jianjin008_takes_png_and_bmp_and_three_digits(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path)
    by_id = {pair.image_id: pair for pair in datasets.index("jianjin008", tmp_path).pairs}
    assert len(by_id) == 13
    assert by_id["I100_25_01"].reference == "ref_img/I100.bmp"
    assert by_id["I01_01_01"].reference == "ref_img/I01.png"
    assert (by_id["I02_03_03"].distortion_type, by_id["I02_03_03"].level) == ("03", 3)


def test_jianjin008_polarity_is_taken_as_given_and_recorded(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path)
    index = datasets.index("jianjin008", tmp_path)
    assert index.contract.polarity == "higher-is-better"
    assert "undocumented" in index.contract.note
    turned = datasets.index("jianjin008", tmp_path, polarity="lower-is-better")
    assert turned.contract.polarity == "lower-is-better"
    assert "set to lower-is-better" in turned.contract.note
    for pair, other in zip(index.pairs, turned.pairs, strict=True):
        assert pair.quality + other.quality == pytest.approx(1.0)
    with pytest.raises(PixqError, match="unknown polarity 'up'"):
        datasets.index("jianjin008", tmp_path, polarity="up")


def test_synthetic_labels_are_marked_by_a_sidecar_or_a_comment(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path)
    assert not datasets.index("jianjin008", tmp_path).contract.synthetic
    scores = tmp_path / "mos.txt"
    real = scores.read_text(encoding="utf-8")
    scores.write_text("# synthetic: made by a formula\n" + real, encoding="utf-8")
    by_comment = datasets.index("jianjin008", tmp_path)
    assert by_comment.contract.synthetic
    assert by_comment.contract.note.endswith("synthetic: made by a formula")
    assert len(by_comment.pairs) == 13
    scores.write_text(real, encoding="utf-8")
    sidecar = tmp_path / "labels.json"
    sidecar.write_text(json.dumps({"synthetic": True, "note": "for show", "made_by": "x"}), encoding="utf-8")
    contract = datasets.index("jianjin008", tmp_path).contract
    assert contract.synthetic
    assert contract.note.endswith("; for show")


@pytest.mark.parametrize("text", ["{", "[]", '{"synthetic": 1}', '{"synthetic": true, "note": 1}', '{"fake": true}'])
def test_a_wrong_sidecar_is_named(text: str, tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path)
    (tmp_path / "labels.json").write_text(text, encoding="utf-8")
    with pytest.raises(PixqError, match=r"labels\.json: .*write it"):
        datasets.index("jianjin008", tmp_path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=2, types=(7,), levels=2)
    (tmp_path / "distorted_images" / "i01_07_2.bmp").unlink()
    index = datasets.index("tid2013", tmp_path)
    assert problems(index) == [("missing", "distorted_images/I01_07_2.bmp")]
    assert index.problems[0].detail == "mos_with_names.txt, line 2; not on disk"
    assert len(index.pairs) == 3


def test_a_missing_reference_is_told_of_each_image_that_needs_it(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=2, types=(7,), levels=2)
    (tmp_path / "reference_images" / "I02.BMP").unlink()
    index = datasets.index("tid2013", tmp_path)
    assert problems(index) == [
        ("missing", "distorted_images/I02_07_1.bmp"),
        ("missing", "distorted_images/I02_07_2.bmp"),
    ]
    assert all("reference_images/I02 is its reference and not on disk" in one.detail for one in index.problems)
    assert {pair.reference_id for pair in index.pairs} == {"I01"}


def test_extra_images_are_named_and_other_files_are_not(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=2)
    trees.save(tmp_path / "distorted_images" / "i01_09_1.bmp", trees.photo(3))
    trees.save(tmp_path / "reference_images" / "I09.BMP", trees.photo(4))
    for name in ("Thumbs.db", "._i01_07_1.bmp"):
        (tmp_path / "distorted_images" / name).write_bytes(b"x")
    index = datasets.index("tid2013", tmp_path)
    assert problems(index) == [("extra", "distorted_images/i01_09_1.bmp"), ("extra", "reference_images/I09.BMP")]
    assert len(index.pairs) == 2


def test_extra_names_that_are_not_text_can_still_be_printed(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    for name in (b"tr\xe8s.png", b"two\nlines.png"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path / "distorted_images"), name))).write_bytes(b"x")
    assert problems(datasets.index("tid2013", tmp_path)) == [
        ("extra", "distorted_images/tr\\udce8s.png"),
        ("extra", "distorted_images/two\\nlines.png"),
    ]


def test_a_name_that_fits_two_files_is_taken_only_if_exact(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=2)
    folder = tmp_path / "distorted_images"
    trees.save(folder / "i01_07_1.png", trees.photo(1))
    trees.save(folder / "I01_07_2.bmp", trees.photo(1))
    index = datasets.index("tid2013", tmp_path)
    # I01_07_1.bmp is on disk under neither name; I01_07_2.bmp is, beside i01_07_2.bmp.
    assert [pair.distorted for pair in index.pairs] == ["distorted_images/I01_07_2.bmp"]
    assert problems(index) == [
        ("duplicate", "distorted_images/I01_07_1.bmp"),
        ("duplicate", "distorted_images/i01_07_2.bmp"),
    ]
    left_out, rival = index.problems
    assert "i01_07_1.bmp and distorted_images/i01_07_1.png" in left_out.detail
    assert "left out" in left_out.detail
    assert "I01_07_2.bmp was taken" in rival.detail


def test_two_files_for_one_reference_leave_its_images_out(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path, {(1, 1): (0.9,), (2, 1): (0.9,)})
    trees.save(tmp_path / "ref_img" / "I01.bmp", trees.photo(1))
    index = datasets.index("jianjin008", tmp_path)
    assert problems(index) == [("duplicate", "jnd_img/I01_01_01.png")]
    assert "fits ref_img/I01.bmp and ref_img/I01.png" in index.problems[0].detail
    assert [pair.image_id for pair in index.pairs] == ["I02_01_01"]


def test_a_repeated_line_is_a_duplicate_and_a_contradiction_leaves_the_image_out(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path, {(1, 1): (0.9,), (1, 2): (0.8,), (1, 3): (0.7,)})
    append(tmp_path / "mos.txt", "I01_01_01.png 0.9")
    append(tmp_path / "mos.txt", "i01_02_1.PNG 0.81")
    index = datasets.index("jianjin008", tmp_path)
    assert [(pair.image_id, pair.score) for pair in index.pairs] == [("I01_01_01", 0.9), ("I01_03_01", 0.7)]
    assert problems(index) == [("duplicate", "jnd_img/I01_01_01.png"), ("duplicate", "jnd_img/I01_02_01.png")]
    repeated, contradiction = index.problems
    assert repeated.detail == "mos.txt, line 4, repeats line 1, which was taken"
    assert contradiction.detail.startswith("lines 2, 5 of mos.txt disagree")


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("tid2013", "5.0", "'5.0' is not `<MOS> <file name>`"),
        ("tid2013", "i01_07_1.bmp 5.0", "score 'i01_07_1.bmp' is not a finite number"),
        ("tid2013", "5.0 photo.bmp", r"'photo.bmp' is not named i<nn>_<type>_<level>\.bmp"),
        ("tid2013", "9.1 I01_07_1.bmp", "score 9.1 lies outside the scale 0 to 9"),
        ("tid2013", "nan I01_07_1.bmp", "'nan' is not a finite number"),
        ("tid2013", "inf I01_07_1.bmp", "'inf' is not a finite number"),
        ("tid2013", "1e999 I01_07_1.bmp", "'1e999' is not a finite number"),
        ("tid2013", "5,0 I01_07_1.bmp", "'5,0' has a decimal comma"),
        ("tid2013", "5.0 ../../etc/passwd", "'../../etc/passwd', which is not plain; give a bare"),
        ("tid2013", "5.0 /etc/passwd", "absolute file name '/etc/passwd'"),
        ("tid2013", "5.0 C:passwd.bmp", "absolute file name"),
        ("tid2013", "5.0 a\\..\\b.bmp", "a backslash in the file name"),
        ("tid2013", "5.0 x/i01_07_1.bmp", "with a folder in it"),
        ("tid2013", "5.0 i01\0_07_1.bmp", "a control character"),
        ("jianjin008", "I01_01_01.png", "is not `<file name> <score>`"),
        ("jianjin008", "I01_01_01.png 1.01", "score 1.01 lies outside the scale 0 to 1"),
        ("jianjin008", "0.9 I01_01_01.png", "'I01_01_01.png' is not a finite number"),
        ("jianjin008", "I01.png 0.9", "is not named I<nn>_<type>_<level>"),
        ("kadid10k", "I01_01_01.png,I02.png,3,0.5", "'I01_01_01.png' is a version of I01, not of 'I02.png'"),
        ("kadid10k", "I01_01_01.png,I01.png,0.5,0.5", "score 0.5 lies outside the scale 1 to 5"),
        ("kadid10k", "I01_01_01.png,I01.png,,0.5", "score '' is not a finite number"),
        ("kadid10k", "I01.png,I01.png,3,0.5", "is not named"),
        ("kadid10k", "../I01_01_01.png,I01.png,3,0.5", "which is not plain"),
        ("kadid10k", "I01_01_01.png,I01.png,3,0.5,6", "5 cells under 4 columns"),
        ("kadid10k", '"I01_01_01.png,I01.png,3,0.5', "unexpected end of data; fix the quoting"),
        ("live", "a.png,kodim01.png,jpeg,1,113", "score 113 lies outside the scale -3 to 112"),
        ("live", "../a.png,kodim01.png,jpeg,1,50", "which is not plain"),
        ("live", "a.png,kodim01.png,,1,50", "the type is empty; name the distortion"),
        ("live", "a.png,kodim01.png,jpeg,low,50", "the parameter 'low' is not a finite number"),
        ("midd-gar", "a.png,kodim01.png,heif,1,0.5,4,10", "p_different is 0.5, but 4 of 10 people said so"),
        ("midd-gar", "a.png,kodim01.png,heif,1,1,11,10", "p_different is 1, but 11 of 10 people said so"),
        ("midd-gar", "a.png,kodim01.png,heif,1,0.5,5.5,10", "'5.5' is not a number of people"),
        ("midd-gar", "a.png,kodim01.png,heif,1,0.5,0,0", "n_raters is 0"),
        ("thresholds", "a.png,kodim01.png,gabor,-1", "score -1 lies outside the scale 0 to 1000"),
        ("pairs", ",noisy/scene1/1.png,0.5", "an empty file name"),
        ("pairs", "clean/scene1.png,,0.5", "an empty file name"),
        ("pairs", "clean/scene1.png,noisy/../../1.png,0.5", "which is not plain"),
        ("pairs", "clean/scene1.png,noisy//1.png,0.5", "which is not plain"),
        ("pairs", "/clean/scene1.png,noisy/scene1/1.png,0.5", "absolute"),
        ("pairs", "clean/scene1.png,noisy/scene1/1.png,0.5,noise,high,scene1", "level 'high' is not a finite number"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(name: str, line: str, message: str, tmp_path: Path) -> None:
    WRITE[name](tmp_path)
    path = tmp_path / SCORES[name]
    number = len(path.read_text(encoding="utf-8").splitlines()) + 1
    append(path, line)
    with pytest.raises(PixqError, match=message) as caught:
        datasets.index(name, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{path}, line {number}: ") or "unexpected end" in said
    assert "\n" not in said


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(list(WRITE)),
    damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), st.binary(max_size=6)), min_size=1, max_size=4),
)
def test_damaged_score_files_give_an_index_or_one_line(
    name: str, damage: list[tuple[int, int, bytes]], published: dict[str, Path]
) -> None:
    root = published[name]
    path = root / SCORES[name]
    whole = path.read_bytes()
    data = whole
    for start, removed, added in damage:
        data = data[:start] + added + data[start + removed :]
    pairs: tuple[ImagePair, ...] = ()
    said = str(root)
    try:
        path.write_bytes(data)
        index = datasets.index(name, root)
        pairs = index.pairs
        json.dumps([vars(problem) for problem in index.problems], ensure_ascii=False).encode()
    except PixqError as error:
        said = str(error)
    finally:
        path.write_bytes(whole)
    assert said.startswith(str(root))
    assert "\n" not in said
    assert all((root / pair.distorted).resolve().is_relative_to(root.resolve()) for pair in pairs)


def test_latin_1_is_refused_with_the_line(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1)
    path = tmp_path / "mos_with_names.txt"
    path.write_bytes(path.read_bytes() + "# très bien\n".encode("latin-1"))
    with pytest.raises(
        PixqError, match=r"mos_with_names\.txt, line 11: byte 0xe8 is not UTF-8; save the file as UTF-8"
    ):
        datasets.index("tid2013", tmp_path)


@pytest.mark.parametrize("name", list(WRITE))
def test_a_score_file_without_images_is_an_error(name: str, tmp_path: Path) -> None:
    WRITE[name](tmp_path)
    path = tmp_path / SCORES[name]
    header = path.read_text(encoding="utf-8").split("\n")[0] if path.suffix == ".csv" else ""
    for file in (path, *tmp_path.glob("*.json")):
        file.write_text("[]" if file.suffix == ".json" else header + "\n", encoding="utf-8")
    with pytest.raises(PixqError, match=r"lists no image|write it like"):
        datasets.index(name, tmp_path)


@pytest.mark.parametrize("name", list(WRITE))
def test_a_wrong_root_is_told_apart(name: str, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match="nowhere: no such folder"):
        datasets.index(name, tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PixqError, match="file: not a folder"):
        datasets.index(name, tmp_path / "file")
    with pytest.raises(PixqError, match=f"no .*{SCORES[name]}" if name != "pairs" else r"pairs\.csv: no such file"):
        datasets.index(name, tmp_path)


def test_a_root_one_folder_too_high_is_recognised(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path / "icip")
    with pytest.raises(PixqError, match=r"they are in .*icip; give that as the root"):
        datasets.index("jianjin008", tmp_path)


def test_a_csv_without_a_column_says_which(tmp_path: Path) -> None:
    trees.write_kadid10k(tmp_path)
    edit(tmp_path / "dmos.csv", "dmos,var", "mos,var")
    with pytest.raises(PixqError, match=r"dmos\.csv, line 1: no column dmos; "):
        datasets.index("kadid10k", tmp_path)
    edit(tmp_path / "dmos.csv", "mos,var", "dmos,dmos")
    with pytest.raises(PixqError, match="a column is named twice"):
        datasets.index("kadid10k", tmp_path)


def test_unknown_datasets_and_options_name_the_known(tmp_path: Path) -> None:
    with pytest.raises(PixqError, match="unknown dataset 'TID-2013'; did you mean tid2013"):
        datasets.adapter("TID-2013")
    with pytest.raises(PixqError, match="unknown dataset 'zzz'; choose one of jianjin008, tid2008"):
        datasets.adapter("zzz")
    trees.write_tid(tmp_path)
    with pytest.raises(PixqError, match="tid2013 doesn't take --score-range; it takes no options"):
        datasets.index("tid2013", tmp_path, score_range=(0, 1), polarity=None)
    with pytest.raises(PixqError, match="jianjin008 doesn't take --csv; it takes --polarity"):
        datasets.index("jianjin008", tmp_path, csv="x")


def test_every_adapter_says_what_its_users_must_know() -> None:
    for name, adapter in ADAPTERS.items():
        assert adapter.name == name
        assert all((adapter.title, adapter.needs, adapter.licence, adapter.citation))
    assert ADAPTERS["jianjin008"].bucketed
    assert ADAPTERS["jianjin008"].default_fusions == ("copy", "blend")
    for name in ("tid2008", "tid2013", "kadid10k", "pairs", "triplets"):
        assert (ADAPTERS[name].default_fusions, ADAPTERS[name].bucketed) == (("none",), False)
