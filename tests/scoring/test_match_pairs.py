"""Which reference file goes with which distorted file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixq.errors import PixqError
from pixq.predict.pairs import Pair, match_pairs
from support.predictions import names


def test_files_are_matched_by_name_then_stem_then_in_any_case(tmp_path: Path) -> None:
    clean = names(
        tmp_path / "r", "a.png", "a.jpg", "b.PNG", "deep/c.png", "C.png", "e.v2.png", "f.png", ".hidden.png",
        ".git/x.png", "notes.txt",
    )  # fmt: skip
    noisy = names(
        tmp_path / "d", "a.jpg", "a.png", "b.webp", "deep/C.jpg", "c.tif", "e.v2.jpg", "e.v1.jpg", "table.csv"
    )
    found = match_pairs(clean, noisy)
    assert [
        (each.reference.relative_to(clean).as_posix(), each.distorted.relative_to(noisy).as_posix(), each.name)
        for each in found.pairs
    ] == [
        ("a.jpg", "a.jpg", "a.jpg"),
        ("a.png", "a.png", "a.png"),
        ("b.PNG", "b.webp", "b"),
        ("C.png", "c.tif", "c"),
        ("deep/c.png", "deep/C.jpg", "deep/C"),
        ("e.v2.png", "e.v2.jpg", "e.v2"),
    ]
    assert found.unpaired == (clean / "f.png", noisy / "e.v1.jpg")
    assert (found.other, found.folder) == (2, True)


@pytest.mark.parametrize(
    ("references", "images", "expected"),
    [
        (
            ("a.png", "a.bmp"),
            ("a.jpg",),
            "r: a.bmp, a.png could all go with a.jpg; keep one of them, or rename the others",
        ),
        (("a.png",), ("a.jpg", "a.webp"), "d: a.jpg, a.webp could all go with a.png; keep one of them"),
        (("A.png", "a.bmp"), ("a.jpg", "b.png"), None),
        (("Ab.png", "aB.png"), ("ab.png",), "r: Ab.png, aB.png could all go with ab.png"),
        (("a.png",), ("b.png",), "no image has the name of one in .*r; give folders whose files have the same names"),
        (("a.png",), ("a.txt",), "no image has the name of one in"),
    ],
)
def test_what_could_go_with_several_is_an_error(
    tmp_path: Path, references: tuple[str, ...], images: tuple[str, ...], expected: str | None
) -> None:
    clean, noisy = names(tmp_path / "r", *references), names(tmp_path / "d", *images)
    if expected is None:
        # The name that is the same to the letter goes first.
        found = match_pairs(clean, noisy)
        assert [each.reference.name for each in found.pairs] == ["a.bmp"]
        assert [path.name for path in found.unpaired] == ["A.png", "b.png"]
        return
    with pytest.raises(PixqError, match=expected) as caught:
        match_pairs(clean, noisy)
    assert "\n" not in str(caught.value)


def test_a_file_and_a_folder(tmp_path: Path) -> None:
    clean, noisy = names(tmp_path, "r.png"), names(tmp_path / "d", "2.png", "10.png", "x/1.jpg")
    found = match_pairs(clean / "r.png", noisy)
    assert [each.name for each in found.pairs] == ["10", "2", "x/1"]
    assert {each.reference for each in found.pairs} == {clean / "r.png"}
    assert match_pairs(clean / "r.png", noisy / "2.png").pairs == (Pair(clean / "r.png", noisy / "2.png", "2"),)
    for first, second, expected in (
        (noisy, clean / "r.png", "d: is a folder, but .*r.png is a file; give two files or two folders"),
        (clean / "gone.png", noisy, "gone.png: no such file or folder"),
        (clean / "r.png", tmp_path / "gone", "gone: no such file or folder"),
        (clean / "r.png", names(tmp_path / "empty", ".hidden.png"), "empty: holds no image"),
    ):
        with pytest.raises(PixqError, match=expected):
            match_pairs(first, second)


def test_the_reference_may_lie_among_the_distorted(tmp_path: Path) -> None:
    folder = names(tmp_path / "d", "clean.png", "noisy.png")
    found = match_pairs(folder / "clean.png", folder)
    assert ([each.name for each in found.pairs], found.unpaired) == (["noisy"], ())
    (folder / "noisy.png").unlink()
    with pytest.raises(PixqError, match="d: holds no other image; give a folder of distorted images"):
        match_pairs(folder / "clean.png", folder)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (("x.jpg", "x.png", "x.png.bmp"), ["x.jpg", "x.png", "x.png.bmp"]),
        (("X.PNG.bmp", "x.jpg", "x.png"), ["X.PNG.bmp", "x.jpg", "x.png"]),
        (("A.png", "a.png"), ["A.png", "a.png"]),
        (("x.png", "x.png.bmp"), ["x", "x.png"]),
        (
            ("a.png", "a.png.png", "a.png.png.jpg", "a.tif"),
            ["a.png", "a.png.png", "a.png.png.jpg", "a.tif"],
        ),
    ],
)
def test_no_two_pairs_have_one_output(tmp_path: Path, images: tuple[str, ...], expected: list[str]) -> None:
    found = match_pairs(names(tmp_path, "r.png") / "r.png", names(tmp_path / "d", *images))
    assert [each.name for each in found.pairs] == expected
