"""Folders as commands read them: links are followed, and whatever can't be read is named."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from pixq.cli import main
from pixq.errors import PixqError
from pixq.io import folders
from pixq.io.folders import Entry, find_files, find_path, glob_files
from pixq.io.paths import original_of
from support import trees
from support.ladders import write_ladder
from support.predictions import names

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def messy(folder: Path) -> dict[str, str]:
    """Fill a folder with one image and everything that is not one; gives the reasons that must be named."""
    names(folder, "a.png", "deep/b.png", "notes.txt", ".hidden.png", ".git/c.png", "closed/d.png")
    outside = names(folder.parent / "outside", "e.png", "deeper/f.png")
    (folder / "elsewhere").symlink_to(outside)
    (folder / "z.png").symlink_to(outside / "e.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "gone").symlink_to("nowhere")
    (folder / "round.png").symlink_to("round.png")
    (folder / "deep/up").symlink_to("..")
    (folder / "again").symlink_to(outside / "deeper")
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    return {
        "gone": "is a link that leads nowhere",
        "gone.png": "is a link that leads nowhere",
        "round.png": "is a link that leads back to itself",
        "pipe.png": "is a pipe, a socket or a device, not a file",
        "deep/up": "is the same folder as",
        "elsewhere/deeper": "is the same folder as",
        "closed": "can't be read: Permission denied",
    }


def close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders called `closed` can't be listed; the user may be root, whom no mode keeps out."""
    listing = folders.list_entries

    def closed(folder: Path) -> list[Entry]:
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return listing(folder)

    monkeypatch.setattr(folders, "list_entries", closed)


def test_everything_in_a_folder_is_found_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    reasons = messy(root)
    close(monkeypatch)
    found = find_files(root, {".png"})
    # A link is read where its name comes first: `again` before `elsewhere`.
    assert found.files == ("a.png", "again/f.png", "deep/b.png", "elsewhere/e.png", "z.png")
    named = {item.path.relative_to(root).as_posix(): item.reason for item in found.left_out}
    assert named.keys() == reasons.keys()
    assert all(named[name].startswith(reason) for name, reason in reasons.items()), named
    # A text and a pipe that is not called an image.
    assert found.other == 2
    flat = find_files(root, {".png"}, recursive=False)
    assert flat.files == ("a.png", "z.png")
    assert [item.path.name for item in flat.left_out] == ["gone", "gone.png", "pipe.png", "round.png"]
    with pytest.raises(PixqError, match="closed: Permission denied; give a folder that can be read"):
        find_files(root / "closed", {".png"})


def test_patterns_match_names_that_look_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    messy(root)
    close(monkeypatch)
    names(root, f"{NFD}_1.png", f"{NFD}/x_2.png")

    def matches(pattern: str) -> tuple[list[str], list[str]]:
        files, left_out = glob_files(root, pattern)
        found, rest = (
            [path.relative_to(root).as_posix() for path in paths] for paths in (files, [one.path for one in left_out])
        )
        return found, rest

    assert matches(f"{NFC}_*.png") == ([f"{NFD}_1.png"], [])
    assert matches(f"{NFC}/x_?.png") == ([f"{NFD}/x_2.png"], [])
    assert matches("[ag]*.png") == (["a.png"], ["gone.png"])
    assert matches(".h*.png") == ([".hidden.png"], [])
    assert matches("closed/*.png") == ([], ["closed"])
    assert matches("**/[b-f].png")[0] == ["again/f.png", "deep/b.png", "elsewhere/e.png"]
    assert matches("**/[b-f].png")[1] == ["closed"]
    assert find_path(root, f"{NFC}/x_2.png") == root / NFD / "x_2.png"
    names(root, f"{NFC}_1.png")
    # Of two that look the same, the one that was named.
    assert matches(f"{NFC}_1.png") == ([f"{NFC}_1.png"], [])
    assert find_path(root, "none/x.png") == root / "none/x.png"
    for pattern in ("", "/a.png"):
        with pytest.raises(ValueError, match="is not a pattern"):
            glob_files(root, pattern)


@pytest.mark.parametrize(
    ("stem", "original"),
    [
        ("photo_050 (1)", "photo_050"),
        ("photo_050(12)", "photo_050"),
        ("photo_050 - Copy", "photo_050"),
        ("photo_050 - Kopie (2)", "photo_050"),
        ("photo_050 copy", "photo_050"),
        ("photo_050 copy 2", "photo_050"),
        ("photo_050 (another copy)", "photo_050"),
        ("photo_050 (3rd copy)", "photo_050"),
        ("photo_050 (weitere Kopie)", "photo_050"),
        ("photo_050", None),
        ("photocopy", None),
        ("photo (2024)", None),
        ("(1)", None),
    ],
)
def test_copies_by_their_names(stem: str, original: str | None) -> None:
    assert original_of(stem) == original


def test_every_command_names_what_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    reference = write_ladder(tmp_path / "levels", "photo", 3)
    distorted = tmp_path / "levels"
    clean = tmp_path / "clean"
    trees.save(clean / "photo_1.png", trees.photo(3, (100, 140)))
    for folder in (clean, distorted):
        (folder / "photo_9.png").symlink_to("nowhere.png")
    for command, left_out in (
        (["predict", clean, distorted], 2),
        (["predict", reference, distorted], 1),
        (["pjnd", reference, distorted], 1),
        (["critical", reference, distorted], 1),
        (["distort", clean, "--out", "made", "--kinds", "white_noise", "--levels", "1"], 1),
    ):
        assert main([str(part) for part in command]) == 1, command
        errors = capsys.readouterr().err.splitlines()
        named = [line for line in errors if line.endswith("photo_9.png: is a link that leads nowhere; it was left out")]
        assert len(named) == left_out, (command, errors)
    (clean / "photo.tga").write_bytes(b"")
    assert main(["distort", str(clean), "--out", "made", "--kinds", "white_noise", "--levels", "1"]) == 1
    assert "photo.tga: is an image of a format that pixq does not read; it was left out" in capsys.readouterr().err
    # A file that was named is not left out but missing.
    assert main(["pjnd", str(reference), str(distorted / "photo_9.png")]) == 2
    assert "photo_9.png: is a link that leads nowhere; check the path" in capsys.readouterr().err


def test_copies_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    reference = write_ladder(tmp_path / "levels", "photo", 3, "{name}_{level:03d}.png")
    copy = tmp_path / "levels/photo_005 (1).png"
    shutil.copy(tmp_path / "levels/photo_005.png", copy)
    assert main(["pjnd", str(reference), "levels"]) == 2
    same = "levels/photo_005 (1).png: looks like a copy of photo_005.png: both are level 5; keep one of them"
    assert same in capsys.readouterr().err
    (tmp_path / "levels/photo_005.png").unlink()
    # Without its original it still is level 5.
    assert main(["pjnd", str(reference), "levels", "--csv", "levels.csv"]) == 0
    rows = (tmp_path / "levels.csv").read_text("utf-8").splitlines()[1:]
    assert [row.split(",")[2] for row in rows if "(1)" in row] == ["5"]
    capsys.readouterr()
    trees.save(tmp_path / "clean/photo_001.png", trees.photo(3, (100, 140)))
    shutil.copy(tmp_path / "clean/photo_001.png", tmp_path / "clean/photo_001 (1).png")
    assert main(["predict", "clean", "levels"]) == 1
    assert "photo_001 (1).png: has no partner of the same name, and looks like a copy of photo_001.png" in (
        capsys.readouterr().err
    )
    assert main(["distort", "clean", "--out", "made", "--kinds", "white_noise", "--levels", "1"]) == 0
    assert "warning: clean/photo_001 (1).png: looks like a copy of photo_001.png" in capsys.readouterr().err
