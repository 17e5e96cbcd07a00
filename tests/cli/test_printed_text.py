"""Text from outside can't steer a terminal or fake a line, wherever it is printed."""

from __future__ import annotations

import ast
import csv
import json
import shutil
from pathlib import Path

import pytest

import pixq.cli
from pixq.cli import main, messages
from pixq.errors import printable
from pixq.scoring.scorer import DEFAULT
from support import trees
from support.ladders import write_ladder
from support.studies import entry, tables, write_study

#: Clears the screen, begins a line of its own, and turns the rest around.
HOSTILE = "x\x1b[2J\npixq: all is well\u202e\x9b"


def check_printed(capsys: pytest.CaptureFixture[str], *, mentioned: bool = True) -> str:
    printed = capsys.readouterr()
    for stream in (printed.out, printed.err):
        assert all(letter == "\n" or letter.isprintable() for letter in stream), ascii(stream)
        assert not any(line.startswith("pixq: all is well") for line in stream.split("\n"))
    both = printed.out + printed.err
    assert (r"x\x1b[2J\npixq: all is well\u202e\x9b" in both) is mentioned, both
    return both


@pytest.mark.parametrize("command", ["predict", "predict folders", "pjnd", "critical", "distort", "missing"])
def test_names_of_files(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    reference = write_ladder(tmp_path / HOSTILE, HOSTILE, 3)
    (tmp_path / HOSTILE / f"{HOSTILE}_9.png").symlink_to("nowhere")
    trees.save(tmp_path / "clean" / f"{HOSTILE}_1.png", trees.photo(3, (100, 140)))
    arguments = {
        "predict": ["predict", str(reference), HOSTILE, "--csv", "out.csv"],
        "predict folders": ["predict", "clean", HOSTILE, "--json", HOSTILE + "json"],
        "pjnd": ["pjnd", str(reference), HOSTILE, "--csv", "out.csv"],
        "critical": ["critical", str(reference), HOSTILE, "--csv", "out.csv"],
        "distort": ["distort", HOSTILE, "--out", "made", "--kinds", "white_noise", "--levels", "1"],
        "missing": ["predict", HOSTILE + "gone", "clean"],
    }
    code = main(arguments[command])
    assert code == (2 if command == "missing" else 1)
    check_printed(capsys)
    if (tmp_path / "out.csv").exists():
        text = (tmp_path / "out.csv").read_text("utf-8")
        assert all(letter == "\n" or letter.isprintable() for letter in text)
        assert len({len(row) for row in csv.reader(text.split("\n")) if row}) == 1


def test_cells_and_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.write_pairs(tmp_path, references=1, levels=1)
    rows = [["reference", "distorted", "score", "distortion"], ["clean/scene1.png", "noisy/scene1/1.png", "1", HOSTILE]]
    with (tmp_path / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    inspect = ["inspect", "--root", str(tmp_path), "--dataset", "pairs", "--no-picture"]
    assert main(inspect) == 0
    check_printed(capsys)
    assert main([*inspect, "--json"]) == 0
    text = check_printed(capsys, mentioned=False)
    # Still JSON, and the same text.
    assert list(json.loads(text)["types"]) == [HOSTILE]
    shutil.copytree(DEFAULT, tmp_path / "run")
    (tmp_path / "images").mkdir()
    (tmp_path / "ground_truth.json").write_text(json.dumps({"images": {HOSTILE: {"codec": HOSTILE}}}), "utf-8")
    assert main(["calibrate", str(tmp_path / "run"), "--force", "--ladders", str(tmp_path)]) == 2
    check_printed(capsys)


def test_titles_and_keys_of_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = {**tables(source=[entry("S0")], training=[], test=[], quota={"tests": 0}), "title": HOSTILE}
    write_study(tmp_path, study)
    text = (tmp_path / "study.toml").read_text("utf-8").replace("\x9b", "\\u009b")
    (tmp_path / "study.toml").write_text(text, "utf-8")
    main(["study", "check", str(tmp_path)])
    check_printed(capsys)
    (tmp_path / "study.toml").write_text(f"{json.dumps(HOSTILE)} = 1\n{text}", "utf-8")
    assert main(["study", "check", str(tmp_path)]) == 2
    check_printed(capsys)


def test_what_is_harmless_is_printed_as_it_is() -> None:
    # A narrow space, as in macOS' names of screenshots, and joiners, as in Persian and in emoji.
    for text in ("at 3.00\u202fPM", "\u0645\u06cc\u200c\u062e", "\U0001f468\u200d\U0001f4bb", "caf\u00e9"):
        assert printable(text) == text


def test_commands_print_by_way_of_messages() -> None:
    folder = Path(pixq.cli.__file__).parent
    # The first prints what pixq itself says about datasets, the second is a bar, and escapes by itself.
    for path in sorted(folder.glob("*.py")):
        if path.name in ("datasets.py", "progress.py", Path(messages.__file__).name):
            continue
        calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        named = [call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls]
        assert not {"print", "write"}.intersection(named), path


@pytest.mark.parametrize("name", ["line\nbreak.png", "two  spaces.png"])
def test_a_damaged_file_is_named_once(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.save(tmp_path / "whole.png", trees.photo(3, (40, 60)))
    (tmp_path / name).write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    assert main(["predict", str(tmp_path / "whole.png"), str(tmp_path / name)]) == 2
    shown = str(tmp_path / name).replace("\n", "\\n")
    assert capsys.readouterr().err.startswith(f"pixq: {shown}: is a truncated PNG")
