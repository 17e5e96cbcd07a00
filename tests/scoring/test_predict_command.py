"""The command `pixq predict`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixq.predict.json_file import read_prediction
from pixq.predict.resume_log import LOG
from pixq.scoring.scorer import Scorer
from support import trees
from support.built import Run, pixq
from support.built import mistake as cli_mistake
from support.predictions import DISTORTED, REFERENCE, SIZE, same


def command(*arguments: object, **options: Any) -> Run:
    return pixq("predict", *arguments, **options)


def test_the_command(trained: Path, pair: tuple[Path, Path], tmp_path: Path, scorer: Scorer) -> None:
    out = {
        name: tmp_path / f"out{end}"
        for name, end in (("map", ".png"), ("values", ".tif"), ("json", ".json"), ("csv", ".csv"))
    }
    options = [text for name, path in out.items() for text in (f"--{name}", path)]
    done = command(trained, *pair, *options, "--stride", "9", "--safe-colors", "--threads", "1")
    assert done.code == 0, done.err
    found = scorer.map(REFERENCE, DISTORTED, stride=9)
    same(read_prediction(out["json"]).map, found)
    verdict = found.verdict
    lines = done.out.splitlines()
    assert lines[0] == "run: tiny (core), no calibration"
    assert lines[1].startswith("seen 37.8 pixels per degree (24in-1080p at 60 cm)")
    titles = ["quality", "worst", "5%", "Green", "Orange", "Red", "unsure", "identical"]
    assert lines[2].split() == ["JND", "noticed", "by", *titles]
    shares = [f"{verdict.shares[name]:.1%}" for name in ("Green", "Orange", "Red")]
    seen = [f"{verdict.jnd:.2f}", f"{verdict.p_notice:.0%}"]
    assert lines[3].split() == [*seen, f"{verdict.quality:.3f}", f"{verdict.worst:.3f}", *shares, "-", "0.0%"]
    assert done.err == (
        "pixq: warning: there is no calibration: Red, Orange and Green follow from quality alone; "
        "pixq calibrate sets them for a domain\n"
    )
    assert len(out["csv"].read_text("utf-8").splitlines()) == found.score.size + 1
    with Image.open(out["map"]) as picture:
        assert min(picture.size) >= max(SIZE)
    with Image.open(out["values"]) as values:
        assert values.size == SIZE[::-1]


def test_the_command_on_folders(trained: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    clean, noisy = folders
    done = command(trained, clean, noisy, "--csv", tmp_path / "all.csv")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "4 pairs"
    (noisy / "b.bmp").write_bytes(b"BM")
    trees.save(clean / "lonely.png", REFERENCE)
    (noisy / "notes.txt").touch()
    done = command(trained, clean, noisy, "--json", tmp_path / "json")
    assert done.code == 1
    assert done.out.splitlines()[-1] == (
        "3 pairs; could not be compared: 1; images without a partner: 1; files that are not images: 1"
    )
    said = done.err.splitlines()
    assert "b.bmp: " in said[0]
    assert said[1] == f"pixq: {clean / 'lonely.png'}: has no partner of the same name; it was not compared"
    done = command(trained, clean, noisy, "--json", tmp_path / "json")
    assert done.code == 1
    assert done.out.splitlines()[-1].startswith("3 pairs; done before: 3; could not be compared: 1")


def test_mistakes_are_one_line(trained: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    clean, noisy = pair
    trees.save(tmp_path / "other.png", REFERENCE[:40])
    for arguments, expected in (
        ((), "give two paths, REFERENCE DISTORTED, or three, RUN REFERENCE DISTORTED"),
        ((trained, clean, noisy, noisy), "give two paths"),
        ((trained, clean), "is a run; give two images or folders after it: RUN REFERENCE DISTORTED"),
        ((tmp_path, clean, noisy), "holds no run.json"),
        ((trained, clean, tmp_path / "other.png"), "clean.png: has 91x67 pixels, "),
        ((trained, clean, noisy, "--memory", "0"), "--memory is 0; give a whole number from 1"),
        ((trained, clean, noisy, "--threads", "0"), "--threads is 0; give a whole number from 1"),
        ((trained, clean, noisy, "--stride", "0"), "--stride is 0; give a whole number from 1 to 4096"),
        ((trained, clean, noisy, "--engine", "magic"), "magic"),
        ((trained, clean, noisy, "--calibration", "none"), "has no calibration; create one with `pixq calibrate`"),
    ):
        assert expected in cli_mistake(command(*arguments))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_file_name_does_not_steer_the_terminal(trained: Path, tmp_path: Path) -> None:
    names = ("a\x1b[2J.png", "b\nc\td.png", "e\u202ef.png")
    for name in names:
        trees.save(tmp_path / "d" / name, DISTORTED)
    trees.save(tmp_path / "r" / names[0], REFERENCE)
    trees.save(tmp_path / "r" / names[1], REFERENCE)
    done = command(trained, tmp_path / "r", tmp_path / "d")
    assert done.code == 1
    rows = done.out.splitlines()
    assert [line.split()[0] for line in rows[3:5]] == [r"a\x1b[2J", r"b\nc\td"]
    assert len(rows[3]) == len(rows[4]) == len(rows[2])
    assert r"e\u202ef.png: has no partner" in done.err
    assert all(each.isprintable() for each in (done.out + done.err).replace("\n", ""))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_control_c(trained: Path, tmp_path: Path) -> None:
    large = np.tile(REFERENCE, (12, 12, 1))
    for number in range(30):
        trees.save(tmp_path / "noisy" / f"{number:02d}.bmp", np.roll(large, number + 1, axis=1))
    trees.save(tmp_path / "clean.bmp", large)
    arguments = ["predict", trained, tmp_path / "clean.bmp", tmp_path / "noisy", "--json", tmp_path / "json"]
    text = [sys.executable, "-m", "pixq", *map(str, arguments)]
    process = subprocess.Popen(text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    # A pair is done when the log has its line, which comes after its JSON.
    log = tmp_path / "json" / LOG
    while not (log.exists() and log.stat().st_size) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "of 30 pairs are done; the same command resumes here" in said
    done = command(*arguments[1:])
    assert done.code == 0
    assert "done before: " in done.out
    assert len(list((tmp_path / "json").glob("*.json"))) == 30
    assert json.loads((tmp_path / "json" / "00.json").read_bytes())["format"] == "pixq prediction"
