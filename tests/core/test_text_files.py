"""Text as people write it: byte order marks, separators of CSV, decimal commas, other encodings."""

from __future__ import annotations

import codecs
import csv
import json
import shutil
from pathlib import Path

import pytest

from pixq import datasets
from pixq.cli import main
from pixq.datasets.scores import csv_rows
from pixq.errors import PixqError
from pixq.io.csv import csv_writer, read_csv
from pixq.io.text import read_text
from pixq.ladders.ground_truth import read_ground_truth
from pixq.patches.store import PatchSet
from pixq.runs.recipe import read_recipe
from pixq.scoring.scorer import load
from pixq.study.design.config import read_study
from support import trees
from support.judging import quality_run
from support.ladders import write_ladder
from support.studies import tables, write_study


def mark(path: Path) -> Path:
    """Put a byte order mark first, as Windows' Notepad and Excel do."""
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    return path


def test_every_text_file_may_begin_with_a_byte_order_mark(tmp_path: Path, patch_set: Path) -> None:
    consent = {"en": {"file": "consent.txt"}}
    study = mark(write_study(tmp_path / "study", tables(consent=consent)))
    (tmp_path / "study" / "consent.txt").write_text("\ufeffI take part.", "utf-8")
    assert read_study(study).consent == {"en": "I take part."}
    write_ladder(tmp_path / "truth" / "images", "a", 1, "{name}_NOISE_{number:03d}.png")
    truth = tmp_path / "truth" / "ground_truth.json"
    truth.write_text("\ufeff" + json.dumps({"images": {"a": {"codec": "NOISE"}}}), "utf-8")
    assert len(read_ground_truth(tmp_path / "truth")) == 1
    (tmp_path / "recipe.toml").write_text('\ufeff[model]\nname = "tiny"\n', "utf-8")
    assert read_recipe(str(tmp_path / "recipe.toml")).model.name == "tiny"
    quality_run(tmp_path / "run")
    for name in ("run.json", "pjnd.json"):
        mark(tmp_path / "run" / name)
    assert load(tmp_path / "run").pjnd_cuts is not None
    shutil.copytree(patch_set, tmp_path / "patches")
    mark(tmp_path / "patches" / "manifest.json")
    assert len(PatchSet(tmp_path / "patches"))
    trees.write_pairs(tmp_path / "pairs", references=2, levels=1)
    (tmp_path / "pairs" / "labels.json").write_text('\ufeff{"synthetic": true}', "utf-8")
    mark(tmp_path / "pairs" / "pairs.csv")
    index = datasets.index("pairs", tmp_path / "pairs")
    assert index.contract.synthetic
    assert len(index.pairs) == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("told", ["", "sep"])
def test_separators_are_recognised(tmp_path: Path, delimiter: str, told: str) -> None:
    path = tmp_path / "pairs.csv"
    head = f"sep={delimiter}\n" if told else ""
    rows = [["Reference", "distorted", "score", "group"], ["a;b,c.png", "d.png", "0.5", "x"], ["e.png", "f.png", "1"]]
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(head)
        csv.writer(file, delimiter=delimiter).writerows(rows)
    read = list(csv_rows(path, ("reference", "distorted", "score")))
    first = 2 if told else 1
    assert read == [
        (first + 1, {"reference": "a;b,c.png", "distorted": "d.png", "score": "0.5", "group": "x"}),
        (first + 2, {"reference": "e.png", "distorted": "f.png", "score": "1", "group": ""}),
    ]


def test_texts_in_written_tables_are_escaped(tmp_path: Path) -> None:
    with csv_writer(tmp_path / "a.csv", ("name", "number")) as write:
        write([("a\x1b[2Jb\r\n\u202e", 0.5), ("caf\u00e9, at 3.00\u202fPM", True)])
    text = (tmp_path / "a.csv").read_text("utf-8")
    assert text == 'name,number\na\\x1b[2Jb\\r\\n\\u202e,0.5\n"caf\u00e9, at 3.00\u202fPM",True\n'


def test_a_table_in_other_columns_is_read_with_commas() -> None:
    assert [row.cells for row in read_csv('a,"b\nc"\n\n,\n1,2\n', ("x",))] == [["a", "b\nc"], ["1", "2"]]
    with pytest.raises(csv.Error, match=r"^line 2: "):
        list(read_csv('a,b\n"1"2,3\n', ("a",)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "reference;distorted;score\nclean/scene1.png;noisy/scene1/1.png;0,875\n",
            "line 2: the score '0,875' has a decimal comma; write it with a point, like 0.875",
        ),
        (
            "reference,distorted,score\nclean/scene1.png,noisy/scene1/1.png,0,875\n",
            "line 2: 4 cells under 3 columns; write numbers with a decimal point, like 0.875, and quote cells that "
            "hold a comma",
        ),
        ("reference;distorted;score\na;b;1;2\n", "line 2: 4 cells under 3 columns; quote cells that hold a semicolon"),
        (
            "reference|distorted|score\na|b|1\n",
            "line 1: no column reference, distorted, score; the first line must name the columns reference, distorted, "
            "score, separated by commas, semicolons or tabs",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_named(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.write_pairs(tmp_path, references=1, levels=1)
    (tmp_path / "pairs.csv").write_text(text, "utf-8")
    assert main(["inspect", "--root", str(tmp_path), "--dataset", "pairs"]) == 2
    assert capsys.readouterr().err == f"pixq: {tmp_path / 'pairs.csv'}, {message}\n"


def test_a_decimal_comma_in_a_list_of_scores(tmp_path: Path) -> None:
    trees.write_tid(tmp_path, references=1, types=(7,), levels=1)
    (tmp_path / "mos_with_names.txt").write_text("5,51429 I01_07_1.bmp\n", "utf-8")
    with pytest.raises(PixqError, match="line 1: the score '5,51429' has a decimal comma"):
        datasets.index("tid2013", tmp_path)


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a", "utf-16")
    with pytest.raises(PixqError, match=r"a.txt: is UTF-16 text; save the file as UTF-8"):
        read_text(path)
    path.write_bytes("one\nzw\u00f6lf".encode("latin-1"))
    with pytest.raises(PixqError, match=r"a.txt, line 2: byte 0xf6 is not UTF-8; save the file as UTF-8"):
        read_text(path)
