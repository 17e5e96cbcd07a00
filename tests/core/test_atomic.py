"""Files and folders appear whole or not at all, and errors name the file that they are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixq.errors import PixqError
from pixq.io.atomic import atomic_directory, atomic_write, explain_os_errors, save_json


@pytest.mark.parametrize("context", [atomic_write, atomic_directory])
def test_what_raises_leaves_nothing_and_keeps_what_was_there(context: type, tmp_path: Path) -> None:
    old = tmp_path / "old.txt"
    old.write_text("old")
    target = old if context is atomic_write else tmp_path / "folder"
    with pytest.raises(ZeroDivisionError), context(target):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]
    assert old.read_text() == "old"


def test_an_error_names_the_target_and_never_the_scratch_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "a.json"
    with pytest.raises(PixqError) as caught:
        save_json(path, {})
    assert str(caught.value) == f"{path}: File exists; free some disk space, or make it writable"
    taken = tmp_path / "taken"
    (taken / "something").mkdir(parents=True)
    with pytest.raises(PixqError, match=r"taken: .*not empty; ") as caught, atomic_directory(taken) as scratch:
        (scratch / "a").write_text("")
    assert ".partial" not in str(caught.value)


@pytest.mark.parametrize("context", [atomic_write, atomic_directory])
def test_an_error_about_another_file_is_passed_on(context: type, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, context(tmp_path / "out"):
        (tmp_path / "gone.npy").read_bytes()
    assert caught.value.filename == str(tmp_path / "gone.npy")
    assert list(tmp_path.iterdir()) == []


def test_an_explanation_names_the_file_of_the_error(tmp_path: Path) -> None:
    fix = "look there"
    with pytest.raises(PixqError, match=r"inside\.txt: No such file .*; look there$"), explain_os_errors(tmp_path, fix):
        (tmp_path / "inside.txt").read_bytes()
    with (
        pytest.raises(PixqError, match=r"out: Input/output error; look there$"),
        explain_os_errors(tmp_path / "out", fix),
    ):
        raise OSError(5, "Input/output error")
    # Whoever reads a pipe may stop: that is no fault of a file.
    with pytest.raises(BrokenPipeError), explain_os_errors(tmp_path):
        raise BrokenPipeError
