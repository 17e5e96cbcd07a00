"""Pipes are read once where that can work; those that nobody writes to, devices and sockets are refused at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pixq._core import checksum, decode, probe
from pixq.cli import main
from pixq.io import text
from pixq.io.text import read_bytes
from pixq.scoring.scorer import DEFAULT
from support import trees
from support.predictions import DISTORTED, REFERENCE

NOT_A_FILE = "is a pipe, a socket or a device, not a file"


@contextmanager
def filled(pipe: Path, data: bytes) -> Iterator[Path]:
    """A pipe that somebody writes `data` to, once it is read."""
    os.mkfifo(pipe)

    def write() -> None:
        with suppress(BrokenPipeError), pipe.open("wb") as file:
            file.write(data)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield pipe
    # A reader lets a writer go that nobody has read.
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    writer.join(10)
    assert not writer.is_alive()


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    trees.save(tmp_path / "clean.png", REFERENCE)
    trees.save(tmp_path / "noisy.png", DISTORTED)
    return tmp_path / "clean.png", tmp_path / "noisy.png"


def test_images_from_pipes_are_those_of_their_files(
    images: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, noisy = images
    assert main(["predict", str(clean), str(noisy), "--json", str(tmp_path / "files.json")]) == 0
    with filled(tmp_path / "a", clean.read_bytes()) as a, filled(tmp_path / "b", noisy.read_bytes()) as b:
        assert main(["predict", str(a), str(b), "--json", str(tmp_path / "pipes.json")]) == 0
    files, pipes = (json.loads((tmp_path / f"{name}.json").read_text("utf-8")) for name in ("files", "pipes"))
    assert (pipes["reference"], pipes["distorted"]) == (str(a), str(b))
    assert {**pipes, "reference": files["reference"], "distorted": files["distorted"]} == files
    capsys.readouterr()
    with filled(tmp_path / "c", b"GIF") as c:
        assert main(["predict", str(clean), str(c)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    # The user knows nothing of temporary files.
    assert line.startswith(f"pixq: {c}: ")


def test_a_shell_s_pipes(images: tuple[Path, Path]) -> None:
    command = f'"{sys.executable}" -m pixq predict <(cat clean.png) <(cat noisy.png)'
    done = subprocess.run(
        ["bash", "-c", command], cwd=images[0].parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "identical" in done.stdout


def test_tables_from_pipes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.write_pairs(tmp_path, references=1, levels=1)
    with filled(tmp_path / "pipe", (tmp_path / "pairs.csv").read_bytes()) as pipe:
        assert main(["inspect", "--root", str(tmp_path), "--dataset", "pairs", "--csv", str(pipe), "--no-picture"]) == 0
    assert "distorted       1" in capsys.readouterr().out


def test_pipes_and_devices_that_can_not_be_read(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text, "_WAIT", 0.1)
    monkeypatch.chdir(tmp_path)
    clean, noisy = images
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    nobody = "is a pipe that nobody writes to; save the content as a file"
    (tmp_path / "folder").mkdir()
    shutil.copytree(DEFAULT, tmp_path / "run")
    (tmp_path / "ladders").mkdir()
    os.mkfifo(tmp_path / "ladders" / "ground_truth.json")
    noisy.rename(tmp_path / "folder" / "noisy_1.png")
    for message, *command in (
        (nobody, "predict", clean, pipe),
        (nobody, "inspect", "--root", tmp_path, "--dataset", "pairs", "--csv", pipe),
        ("is a pipe, but is needed for each image of folder; save it as a file", "predict", pipe, "folder"),
        (NOT_A_FILE, "predict", "/dev/zero", clean),
        (NOT_A_FILE, "predict", clean, "/dev/null"),
        (NOT_A_FILE, "pjnd", pipe, "folder"),
        (NOT_A_FILE, "pjnd", clean, pipe),
        (NOT_A_FILE, "critical", clean, "/dev/zero"),
        (NOT_A_FILE, "distort", pipe, "--out", "made"),
        (NOT_A_FILE, "study", "check", "/dev/zero"),
        (NOT_A_FILE, "inspect", "--root", tmp_path, "--dataset", "pairs", "--csv", "/dev/zero"),
        (NOT_A_FILE, "calibrate", "run", "--force", "--ladders", "ladders"),
    ):
        assert main([str(part) for part in command]) == 2, command
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line, (command, line)


def test_a_pipe_without_end_is_given_up(tmp_path: Path) -> None:
    with filled(tmp_path / "pipe", bytes(5 << 20)) as pipe, pytest.raises(OSError, match="more than 2 MiB") as caught:
        read_bytes(pipe, limit=2 << 20)
    assert caught.value.filename == str(pipe)


def test_the_core_opens_neither_pipes_nor_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        for function in (decode, probe, checksum):
            with pytest.raises(OSError, match=NOT_A_FILE) as caught:
                function(path)
            assert caught.value.filename == str(path)
            assert caught.value.strerror == f"{NOT_A_FILE}; save its content as a file"
