"""Files of answers: what of them is stored, and what of broken, edited and foreign ones is said."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("starlette", reason="Starlette is not installed")

import pixq
from pixq.cli import main
from pixq.io.csv import FORMULA
from pixq.study.design.study_files import open_study
from pixq.study.offline.build_page import OfflineSessions
from pixq.study.offline.import_files import read_answer_file
from pixq.study.results.answers import answers_of
from pixq.study.results.load import load_results
from pixq.study.results.statistics import study_statistics
from pixq.study.session.service import SessionService
from pixq.study.store.store import open_store
from support.studying import HEIGHT, KEY, SAID, TRUTH, WIDTH, make_study

Given = dict[str, Any]
HEAD = [
    "format", "format_version", "study", "study_version", "seal", "number", "session", "count",
    "event", "kind", "at", "wall", "image", "level", "points_yx", "data",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_study(tmp_path / "study")
    (made / "study.key").write_text(KEY.secret.hex() + "\n")
    (made / "study.key").chmod(0o600)
    return made


def given(folder: Path, *, number: int = 1, person: int = 1, tests: bool = True) -> Given:
    """What a page saves of a session; `tests`: whether the hidden ones are answered rightly."""
    opened = open_study(folder)
    drawn = OfflineSessions(opened, KEY).get(number)
    assert drawn is not None
    draws = random.Random(person)
    said: list[tuple[str, Given]] = [("opened", {"language": "de"}), ("consent", {"agreed": True, "language": "de"})]
    said += [(kind, SAID[kind]) for kind in ("check", "calibration", "instructions")]
    for item in drawn.plan.training:
        (low, _), points = TRUTH[item.source]
        said.append(("training", answer(item.key, low, [*points, (0.5, 0.5)])))
    for item in drawn.plan.trials:
        level = draws.choice(item.levels)
        places = [(draws.uniform(0, HEIGHT), draws.uniform(0, WIDTH)) for _ in range(3)]
        if item.truth is not None and tests:
            level, places = item.truth.pjnd_range[0], [*item.truth.points_yx, (0.0, 0.0)]
        said += [("frames", {"key": item.key}), ("trial", answer(item.key, level, places))]
    said += [("survey", {"remarks": "=ä\n\ud83d"}), ("done", {"step": "completed"})]
    events = [
        {"number": n, "kind": kind, "at": 10 * n, "wall": "2026-01-01T00:00:00.000Z", "data": data}
        for n, (kind, data) in enumerate(said)
    ]
    return {
        "format": "pixq-offline-answers", "format_version": 1, "study": opened.study.title, "study_version": "1",
        "seal": drawn.seal, "number": number, "session": f"p{person:024x}", "count": len(events), "events": events,
    }  # fmt: skip


def answer(key: str, level: int, points: Any) -> Given:
    return {
        "key": key, "pjnd": level, "track": [[0, 0], [12.5, level]], "points": [list(each) for each in points],
        "rate": 60.0, "achieved": 7.5, "frames_per_image": 8, "late": 0, "shown_ms": 9000.5, "dpr": 1,
        "px_per_cm": 40, "width_css": 552, "height_css": 414,
    }  # fmt: skip


def as_csv(file: Given) -> str:
    """The file as the page writes it, in CSV."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(HEAD)
    for each in file["events"]:
        facts = [file[name] for name in HEAD[:8]]
        writer.writerow(
            [*facts, each["number"], each["kind"], each["at"], each["wall"], "", "", "", json.dumps(each["data"])]
        )
    return "\ufeff" + out.getvalue()


def save(path: Path, file: Given | str) -> Path:
    text = file if isinstance(file, str) else as_csv(file) if path.suffix == ".csv" else json.dumps(file)
    path.write_text(text, "utf-8")
    return path


def ran(*arguments: Any) -> int:
    return main(["study", *map(str, arguments)])


def test_answers_are_those_of_any_session(
    folder: Path, tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [
        save(tmp_path / "a.json", given(folder, number=1, person=1)),
        save(tmp_path / "b.csv", given(folder, number=2, person=2, tests=False)),
        # The same file, taken by somebody else.
        save(tmp_path / "c.json", given(folder, number=1, person=3)),
    ]
    assert ran("import", *people, "--study", folder, "--database", database) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"{people[0]}: p{1:024x}: 3 answers"
    assert "pixq: 3 sessions stored, 0 files there already" in err
    store = open_store(database)
    service = SessionService(open_study(folder), store, KEY)
    rows, events, _ = load_results(service)
    answers = answers_of(service.study, rows, events)
    assert len(answers) == 9
    assert [each.passed for each in answers if each.kind == "test"].count(True) == 2
    assert [each.passed for each in answers if each.kind == "test"].count(False) == 1
    assert len({each.participant for each in answers}) == 3
    assert f"p{1:024x}" not in {each.participant for each in answers}
    assert {each.language for each in answers} == {"de"}
    for session in store.sessions():
        assert session.consent is not None
        assert store.agreed_consents()[session.consent] == ("1", "de", "Ja.")
        assert session.step == "completed"
        assert session.ended is not None
    told = study_statistics(service)
    assert told["pass_rate"] == pytest.approx(2 / 3)
    service.check()
    store.close()
    # And a person can have them deleted, by the number on the last page.
    capsys.readouterr()
    assert ran("who", f"p{3:024x}", folder, "--database", database) == 0
    assert " 3 of 3 " in capsys.readouterr().out
    assert ran("withdraw", f"p{3:024x}", folder, "--database", database) == 0
    assert ran("withdraw", f"p{3:024x}", folder, "--database", database) == 2


def test_a_session_is_stored_once(
    folder: Path, tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = given(folder)
    # Saved again after the page was loaded again.
    longer = json.loads(json.dumps(file))
    longer["events"].append({**file["events"][-1], "number": file["count"], "kind": "opened", "data": {}})
    longer["count"] += 1
    paths = [save(tmp_path / name, file) for name in ("a.json", "a.csv")]
    assert ran("import", paths[0], paths[0], paths[1], "--study", folder, "--database", database) == 0
    out, err = capsys.readouterr()
    assert [line.rpartition(": ")[2] for line in out.splitlines()] == ["3 answers", *["is stored already"] * 2]
    assert "1 sessions stored, 2 files there already" in err
    assert ran("import", save(tmp_path / "b.json", longer), paths[1], "--study", folder, "--database", database) == 0
    store = open_store(database)
    [session] = store.sessions()
    # What came after the end is not stored.
    assert [event.kind for event in store.events(session.id)] == [event["kind"] for event in file["events"][:-1]]
    store.close()


def edit(**more: Any) -> Callable[[Given], Given]:
    return lambda file: {**file, **more}


def said(kind: str, **more: Any) -> Callable[[Given], Given]:
    def change(file: Given) -> Given:
        event = next(each for each in file["events"] if each["kind"] == kind)
        event["data"] = event["data"] | more
        return file

    return change


def cut(events: int) -> Callable[[Given], Given]:
    return lambda file: {**file, "events": file["events"][:events], "count": events}


BAD: list[tuple[str, Callable[[Given], Any], str]] = [
    ("a.json", lambda file: json.dumps(file)[:-40], "is not complete JSON, so it was cut off or edited"),
    ("a.csv", lambda file: as_csv(file)[:-40], "is not complete CSV .*so it was cut off or edited"),
    ("a.csv", lambda file: "".join(as_csv(file).splitlines(True)[:-2]), "holds 12 events of 14, so it was cut off"),
    ("a.json", lambda file: {**file, "events": file["events"][:-1]}, "holds 13 events of 14"),
    ("a.json", edit(count="14"), "holds 14 events of 14, so it was cut off or edited"),
    ("a.json", edit(events={}), "holds 0 events of 14"),
    ("a.json", cut(0), "holds 0 events; a session has 1 to"),
    ("a.json", lambda file: {name: file[name] for name in file if name != "seal"}, "has no seal; ask for the file"),
    ("a.json", lambda file: "{}", "is not a file of answers"),
    ("a.json", lambda file: "[1]", "is not a file of answers"),
    ("a.csv", lambda file: "a,b\n1,2\n", "is not a file of answers"),
    ("a.csv", lambda file: "", "is not a file of answers"),
    ("a.csv", lambda file: as_csv(file).replace('"10"', '"10,0"'), "a row is incomplete, so it was edited, perhaps"),
    ("a.csv", lambda file: as_csv(file).replace(file["session"], f"p{9:024x}", 1), "its rows come from several files"),
    ("a.json", edit(format_version=2), "has format version 2, and this pixq reads 1"),
    ("a.json", edit(study_version="2"), r"comes from version '2' of the study, and study\.toml has version '1'"),
    ("a.json", edit(seal="0" * 64), "does not have this study's seal"),
    ("a.json", edit(seal=5), "seal and number: were not made by pixq"),
    ("a.json", edit(number=2), "does not have this study's seal"),
    ("a.json", edit(number=0), "does not have this study's seal"),
    ("a.json", edit(number=10**9), "does not have this study's seal"),
    ("a.json", edit(number=True), "seal and number: were not made by pixq"),
    ("a.json", edit(session="5f0000000000000000000001"), "session: is not a name that a page made"),
    ("a.json", cut(8), "is not finished: it ends at trial, image 2 of 3"),
    ("a.json", cut(4), "is not finished: it ends at instructions"),
    ("a.json", said("consent", agreed=False), "event 2: check: the session is at failed"),
    ("a.json", said("trial", pjnd=11), "event 7: trial: pjnd: is not one of the levels of this image"),
    ("a.json", said("trial", key="0" * 16), "event 7: trial: key: does not belong to the current image"),
    ("a.json", said("training", pjnd=40), "the session is at training"),
    ("a.json", lambda file: json.dumps(file).replace("9000.5", "1e999"), "event 5: data must be standard JSON"),
    ("a.json", said("check", a=json.loads("[" * 900 + "]" * 900)),
     "event 2: data must not nest objects and lists more than 16 levels deep"),
    ("a.csv", lambda file: as_csv(said("check", a=json.loads("[" * 16 + "]" * 16))(file)),
     "event 2: data must not nest objects"),
    ("a.json", lambda file: json.dumps(file).replace('"kind": "done"', '"kind": "won"'), "event 13: kind must be"),
    ("a.json", lambda file: json.dumps(file).replace('"number": 3,', '"number": 4,'), "event 3: has the number 4"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "spoil", "line"), BAD, ids=[line[:40] for *_, line in BAD])
def test_a_bad_file_is_said_and_the_others_are_stored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, spoil: Any, line: str
) -> None:
    bad = save(tmp_path / name, spoil(given(folder)))
    good = save(tmp_path / "good.json", given(folder, person=2))
    assert ran("import", bad, good, "--study", folder) == 2
    out, err = capsys.readouterr()
    assert out == f"{good}: p{2:024x}: 3 answers\n"
    [said] = [each for each in err.splitlines() if str(bad) in each]
    assert re.search(line, said), said
    store = open_store(str(folder / "answers.db"))
    assert len(store.sessions()) == 1
    store.close()


def test_a_file_of_another_study_or_of_this_one_before_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "a.json", given(folder))
    text = (folder / "study.toml").read_text("utf-8")
    for old, new in (
        ("Where is it?", "Elsewhere?"), ("I agree.", "I disagree."), ("images = 2", "images = 1"),
        ("[20, 21]", "[20, 22]"), ("[1000, 700]", "[900, 700]"),
    ):  # fmt: skip
        (folder / "study.toml").write_text(text.replace(old, new), "utf-8")
        assert ran("import", path, "--study", folder) == 2
        assert "does not have this study's seal" in capsys.readouterr().err
    # What is known of hidden tests may become better: they are judged now.
    (folder / "study.toml").write_text(text.replace("[30, 33]", "[30, 34]"), "utf-8")
    assert ran("import", path, "--study", folder) == 0


def test_without_its_key_nothing_is_known(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.json", given(folder))
    (folder / "study.key").unlink()
    assert ran("import", path, "--study", folder) == 2
    assert "study.key: is not there; put back the one that the file was built with" in capsys.readouterr().err
    assert not (folder / "study.key").exists()
    (folder / "study.key").write_text("11" * 32)
    (folder / "study.key").chmod(0o600)
    assert ran("import", path, "--study", folder) == 2
    assert "does not have this study's seal" in capsys.readouterr().err


def test_edited_answers_of_a_session_that_is_stored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = given(folder)
    assert ran("import", save(tmp_path / "a.json", file), "--study", folder) == 0
    other = said("trial", shown_ms=1.0)(file)
    assert ran("import", save(tmp_path / "b.json", other), "--study", folder) == 2
    assert "event 7 differs from the one stored for session p" in capsys.readouterr().err


def test_no_file_is_an_error(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("import", "--study", folder) == 2
    assert "give the files" in capsys.readouterr().err
    assert ran("import", tmp_path / "none.json", "--study", folder) == 2
    assert "none.json: No such file or directory" in capsys.readouterr().err
    (tmp_path / "latin.csv").write_bytes("ä".encode("latin-1"))
    assert ran("import", tmp_path / "latin.csv", "--study", folder) == 2
    assert "is not text in UTF-8" in capsys.readouterr().err


def test_build_says_what_it_is_for(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("build", folder, "--out", tmp_path / "a.html") == 2
    assert "give --offline to write one HTML file" in capsys.readouterr().err
    if not (Path(pixq.__file__).parent / "study" / "page" / "offline.js").is_file():
        pytest.skip("the study's page is not bundled; `make build` does it")
    assert ran("build", "--offline", folder, "--out", tmp_path / "a.html", "--number", "2") == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'a.html'}\n"
    assert "session 2, 0.2 MB" in err


def test_a_copy_of_the_folder_imports_too(folder: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", given(folder))
    shutil.copytree(folder, tmp_path / "copy")
    assert ran("import", path, "--study", tmp_path / "copy", "--database", tmp_path / "other.db") == 0
    assert not (tmp_path / "copy" / "answers.db").exists()
    assert (tmp_path / "other.db").exists()


def test_what_the_page_marks_as_no_formula_is_read_without_the_mark(folder: Path, tmp_path: Path) -> None:
    assert set("=+-@\t\r＝＋－＠") == set(FORMULA)
    path = tmp_path / "marked.csv"
    for mark in FORMULA:
        path.write_bytes(as_csv({**given(folder), "study_version": f"'{mark}1"}).encode())
        assert read_answer_file(path).study_version == f"{mark}1"


def test_what_is_no_file_is_a_bad_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = save(tmp_path / "good.json", given(folder))
    deep = save(tmp_path / "deep.json", "{" + '"a":[' * 50_000)
    assert ran("import", "/dev/zero", tmp_path, tmp_path / "gone.json", deep, good, "--study", folder) == 2
    out, err = capsys.readouterr()
    assert out == f"{good}: p{1:024x}: 3 answers\n"
    for path in ("/dev/zero", tmp_path, tmp_path / "gone.json", deep):
        assert f"pixq: {path}: " in err
