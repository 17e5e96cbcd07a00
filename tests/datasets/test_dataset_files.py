"""Pairs of the user's own, and files that links, names or rights make hard to find."""

from __future__ import annotations

import errno
import os
import shutil
import unicodedata
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq import datasets
from pixq.datasets.pairs import _identifiers
from pixq.datasets.tree import Found, Tree
from pixq.errors import PixqError
from support import trees
from support.trees import WRITE, append, edit, problems

LOOP = os.strerror(errno.ELOOP)
LOOPS = "is a link that leads back to itself"


def test_pairs_take_their_scale_group_and_columns_from_the_user(tmp_path: Path) -> None:
    trees.write_pairs(tmp_path, references=2, levels=2)
    (tmp_path / "pairs.csv").rename(tmp_path / "mine.csv")
    index = datasets.index(
        "pairs", tmp_path, csv="mine.csv", polarity="lower-is-better", score_range=(0, 2), unit="visibility"
    )
    contract = index.contract
    assert (contract.polarity, contract.minimum, contract.maximum) == ("lower-is-better", 0.0, 2.0)
    assert contract.unit == "visibility"
    first = index.pairs[0]
    assert (first.image_id, first.reference_id, first.group) == ("noisy/scene1/1", "clean/scene1", "scene1")
    assert (first.distortion_type, first.level) == ("noise", 1.0)
    assert first.quality == pytest.approx(0.6)


def test_pairs_need_three_columns_only(tmp_path: Path) -> None:
    trees.write_pairs(tmp_path, references=1, levels=1)
    text = "Reference, Distorted, Score\nclean/scene1.png, noisy/scene1/1.png, 0.5\n"
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    (pair,) = datasets.index("pairs", tmp_path).pairs
    assert (pair.distortion_type, pair.level, pair.group) == ("unspecified", None, "clean/scene1")


def test_pairs_with_one_stem_stay_apart(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "b.png"):
        trees.save(tmp_path / name, trees.photo(1))
    text = "reference,distorted,score\nb.png,a.png,0.5\nb.png,a.bmp,0.25\n"
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    index = datasets.index("pairs", tmp_path)
    assert index.problems == ()
    assert [(pair.image_id, pair.distorted) for pair in index.pairs] == [("a.bmp", "a.bmp"), ("a.png", "a.png")]
    assert {pair.reference_id for pair in index.pairs} == {"b"}


def test_pairs_that_fit_into_one_another_stay_apart(tmp_path: Path) -> None:
    text = "reference,distorted,score\n"
    for i, name in enumerate(("photo.png", "photo.jpg", "photo.jpg.png")):
        trees.save(tmp_path / name, trees.photo(i))
        text += f"photo.png,{name},0.{i}\n"
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    index = datasets.index("pairs", tmp_path)
    assert index.problems == ()
    assert [(pair.image_id, pair.distorted) for pair in index.pairs] == [
        (name, name) for name in ("photo.jpg", "photo.jpg.png", "photo.png")
    ]


PATHS = st.builds(
    lambda folder, parts: folder + ".".join(parts),
    st.sampled_from(["", "a/", "a.b/"]),
    st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=5),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(paths=st.lists(PATHS, unique=True, max_size=12), random=st.randoms(use_true_random=False))
def test_identifiers_are_unique_and_do_not_depend_on_order(paths: list[str], random: Random) -> None:
    names = _identifiers(paths)
    assert names.keys() == set(paths)
    assert len(set(names.values())) == len(paths)
    assert all(name in (path, path.rpartition(".")[0]) for path, name in names.items())
    assert _identifiers(random.sample(paths, len(paths)) + paths) == names
    assert _identifiers(["a/b.png", "a/c.x.png", "a/.png"]) == {
        "a/b.png": "a/b",
        "a/c.x.png": "a/c.x",
        "a/.png": "a/.png",
    }


def test_pairs_listed_twice_in_two_spellings_are_one(tmp_path: Path) -> None:
    trees.write_pairs(tmp_path, references=1, levels=2)
    append(tmp_path / "pairs.csv", "CLEAN/scene1.PNG,noisy/Scene1/1.png,0.80,noise,1,scene1")
    index = datasets.index("pairs", tmp_path)
    assert len(index.pairs) == 2
    assert problems(index) == [("duplicate", "noisy/scene1/1.png")]


def test_pairs_that_differ_in_case_alone_are_two_where_both_are_named(tmp_path: Path) -> None:
    for name in ("clean.png", "a.png", "A.png"):
        trees.save(tmp_path / name, trees.photo(1))
    path = tmp_path / "pairs.csv"
    path.write_text("reference,distorted,score\nclean.png,a.png,0.5\nclean.png,A.png,0.25\n", encoding="utf-8")
    index = datasets.index("pairs", tmp_path)
    assert [(pair.image_id, pair.score) for pair in index.pairs] == [("A", 0.25), ("a", 0.5)]
    assert index.problems == ()
    path.write_text("reference,distorted,score\nclean.png,a.png,0.5\n", encoding="utf-8")
    assert problems(datasets.index("pairs", tmp_path)) == [("duplicate", "A.png")]


def test_accents_are_matched_however_they_are_composed(tmp_path: Path) -> None:
    trees.save(tmp_path / unicodedata.normalize("NFD", "café.png"), trees.photo(1))
    text = f"reference,distorted,score\n{unicodedata.normalize('NFC', 'café.png')},{'CAFÉ.PNG'},0.5\n"
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    index = datasets.index("pairs", tmp_path)
    assert index.problems == ()
    assert [pair.distorted for pair in index.pairs] == [unicodedata.normalize("NFD", "café.png")]


def test_a_pairs_reference_in_two_groups_is_an_error(tmp_path: Path) -> None:
    trees.write_pairs(tmp_path, references=1, levels=2)
    edit(tmp_path / "pairs.csv", "2,scene1", "2,other")
    with pytest.raises(PixqError, match=r"line 3: reference 'clean/scene1\.png' is in group 'other', but in 'scene1'"):
        datasets.index("pairs", tmp_path)


def test_links_are_followed_and_broken_ones_are_missing(tmp_path: Path) -> None:
    trees.write_tid(tmp_path / "real", references=1, types=(7,), levels=2)
    shutil.copytree(tmp_path / "real", tmp_path / "linked")
    image = tmp_path / "linked" / "distorted_images" / "i01_07_1.bmp"
    image.unlink()
    image.symlink_to(tmp_path / "real" / "distorted_images" / "i01_07_1.bmp")
    assert len(datasets.index("tid2013", tmp_path / "linked").pairs) == 2
    image.unlink()
    image.symlink_to(tmp_path / "nothing.bmp")
    assert problems(datasets.index("tid2013", tmp_path / "linked")) == [("missing", "distorted_images/I01_07_1.bmp")]


def test_a_link_that_leads_to_itself_is_named_and_hides_nothing_else(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=2, types=(7,), levels=2)
    folder = tmp_path / "distorted_images"
    (folder / "i01_07_1.bmp").unlink()
    # The scores need the first by stem; no line needs the second; a file fits beside the third.
    for name in ("i01_07_1.bmp", "i09_07_1.bmp", "i01_07_2.png"):
        (folder / name).symlink_to(folder / name)
    index = datasets.index("tid2013", tmp_path)
    assert [(problem.kind, problem.file, problem.detail, problem.left_out) for problem in index.problems] == [
        (
            "missing",
            "distorted_images/I01_07_1.bmp",
            f"mos_with_names.txt, line 1; it {LOOPS}",
            True,
        ),
        *(
            ("extra", f"distorted_images/{name}", f"{LOOPS}; no line of mos_with_names.txt needs it", False)
            for name in ("i01_07_2.png", "i09_07_1.bmp")
        ),
    ]
    assert [pair.image_id for pair in index.pairs] == ["i01_07_2", "i02_07_1", "i02_07_2"]
    assert Tree(tmp_path).find("distorted_images/I01_07_2", by_stem=True) == Found("distorted_images/i01_07_2.bmp")


def test_a_reference_that_links_to_itself_leaves_its_images_out(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=2, types=(7,), levels=1)
    file = tmp_path / "reference_images" / "I02.BMP"
    file.unlink()
    file.symlink_to(file)
    index = datasets.index("tid2013", tmp_path)
    assert [problem.detail for problem in index.problems] == [
        f"mos_with_names.txt, line 2; reference_images/I02 is its reference and {LOOPS}"
    ]
    assert [pair.image_id for pair in index.pairs] == ["i01_07_1"]


def test_a_folder_that_links_to_itself_is_told_of_each_image(tmp_path: Path) -> None:
    trees.write_pairs(tmp_path, references=2, levels=1)
    folder = tmp_path / "noisy" / "scene2"
    shutil.rmtree(folder)
    folder.symlink_to(folder)
    index = datasets.index("pairs", tmp_path)
    assert [(problem.file, problem.detail) for problem in index.problems] == [
        ("noisy/scene2/1.png", f"pairs.csv, line 3; it {LOOPS}")
    ]
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(PixqError, match=f"loop: {LOOP}; give a folder that can be read with --root"):
        datasets.index("pairs", loop)


@pytest.mark.parametrize(
    ("number", "fix"), [(errno.EACCES, "give yourself permission to list and enter it"), (errno.EIO, "fix the folder")]
)
def test_a_folder_that_cannot_be_listed_is_one_line(
    number: int, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Simulated: whoever runs tests as root may list every folder.
    trees.write_tid(tmp_path / "tree", references=1, types=(7,), levels=1)
    real = os.scandir

    def scandir(folder: Path) -> Any:
        if folder.name in ("distorted_images", "closed"):
            raise OSError(number, os.strerror(number), os.fspath(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PixqError, match=f"distorted_images: {os.strerror(number)}; {fix}") as caught:
        datasets.index("tid2013", tmp_path / "tree")
    assert "\n" not in str(caught.value)
    # A closed folder beside the one that was meant doesn't hide it.
    (tmp_path / "closed").mkdir()
    with pytest.raises(PixqError, match=r"they are in .*tree; give that as the root"):
        datasets.index("tid2013", tmp_path)


@pytest.mark.parametrize("name", list(WRITE))
def test_a_tree_without_its_images_is_an_index_of_problems(name: str, tmp_path: Path) -> None:
    scores = WRITE[name](tmp_path)
    for file in tmp_path.rglob("*.*"):
        if file.suffix in (".png", ".bmp", ".BMP"):
            file.unlink()
    index = datasets.index(name, tmp_path)
    assert index.pairs == ()
    # A ladder whose levels are not there is one problem.
    expected = {"konjnd1k": 6}.get(name, len(scores))
    assert Counter(problem.kind for problem in index.problems) == {"missing": expected}
    assert all(problem.left_out for problem in index.problems)


def test_text_that_is_not_unicode_is_refused_where_it_is_read(tmp_path: Path) -> None:
    trees.write_pairs(tmp_path, references=1, levels=1)
    # What Python makes of `--unit $'\xff'`.
    with pytest.raises(PixqError, match=r"the unit of the scores is '\\udcff', which is not valid Unicode"):
        datasets.index("pairs", tmp_path, unit=os.fsdecode(b"\xff"))
    (tmp_path / "labels.json").write_text('{"synthetic": true, "note": "a \\ud800"}', encoding="utf-8")
    with pytest.raises(PixqError, match=r"labels\.json: the note is 'a \\ud800', which is not valid Unicode"):
        datasets.index("pairs", tmp_path)


def test_a_csv_whose_name_is_not_text_can_still_be_told(tmp_path: Path) -> None:
    trees.write_pairs(tmp_path, references=1, levels=1)
    name = os.fsdecode(b"\xff.csv")
    (tmp_path / "pairs.csv").rename(tmp_path / name)
    (tmp_path / "noisy" / "scene1" / "1.png").unlink()
    (problem,) = datasets.index("pairs", tmp_path, csv=name).problems
    assert problem.detail == "\\udcff.csv, line 2; not on disk"
