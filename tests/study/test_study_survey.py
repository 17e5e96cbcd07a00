"""Survey questions: what `study.toml` may ask, what the server accepts as an answer, and what the export says."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pixq.cli import main
from pixq.errors import PixqError
from pixq.study.design.config import Study, read_study
from pixq.study.design.survey import check_survey, default_survey, parse_survey
from pixq.study.results.export import dictionary, session_columns
from pixq.study.session.session_plan import public_study
from pixq.study.simulate.client import typical_data
from support import studies, studying
from support.studying import KEY, Page
from support.surveys import SURVEY, SURVEY_ANSWERS

EN = {"en": "?"}
DEFAULT = ["hard", "sure", "glasses", "remarks"]
OPTIONS = [{"value": "a", "text": EN}, {"value": "b", "text": EN}]


def question(kind: str = "number", **more: Any) -> dict[str, Any]:
    return {"name": "age", "kind": kind, "question": EN, **more}


def read(folder: Path, **more: Any) -> Study:
    (folder / "study.toml").write_text(studies.toml(studies.tables(**more)), "utf-8")
    return read_study(folder)


WRONG: dict[str, tuple[Any, tuple[str, ...]]] = {
    "no name": ([{"kind": "text", "question": EN}], ("survey[1].name: is missing; add it",)),
    "name": ([question(name="Age 1")], ("survey[Age 1].name: must be", "lower-case letters")),
    "two of one name": ([question(), question("text")], ("survey: two questions are named 'age'; rename one",)),
    "no kind": ([{"name": "age", "question": EN}], ("survey[age].kind: must be one of choice, scale, text, number",)),
    "kind": ([question("date")], ("survey[age].kind: must be one of choice, scale, text, number",)),
    "unknown key": ([question(steps=5)], ("survey[age].steps: is not a known key",)),
    "no question": ([{"name": "age", "kind": "text"}], ("survey[age].question: is missing; add it",)),
    "language": ([question(question={"de": "?"})], ("survey[age].question: has no text in 'en'; add question.en",)),
    "empty text": ([question(question={"en": ""})], ("survey[age].question.en: ",)),
    "no options": ([question("choice")], ("survey[age].options: is missing; add it",)),
    "one option": ([question("choice", options=OPTIONS[:1])], ("survey[age].options: needs two or more options",)),
    "option twice": ([question("choice", options=OPTIONS + OPTIONS)], ("two options have the value 'a'",)),
    "option's value": (
        [question("choice", options=[*OPTIONS, {"value": "=1", "text": EN}])],
        ("survey[age].options[=1].value: must be 1 to 64 letters",),
    ),
    "option's language": (
        [question("choice", options=[*OPTIONS, {"value": "c", "text": {"de": "C"}}])],
        ("survey[age].options[c].text: has no text in 'en'; add text.en",),
    ),
    "no words": ([question("scale", low=EN)], ("survey[age].high: is missing; add it",)),
    "steps": ([question("scale", low=EN, high=EN, steps=1)], ("survey[age].steps: is 1; it should be",)),
    "length": ([question("text", max_length=2001)], ("survey[age].max_length: is 2001; it should be",)),
    "range": ([question(min=3, max=2)], ("survey[age]: min is above max; swap them",)),
    "unit's language": ([question(unit={"de": "Jahre"})], ("survey[age].unit: has no text in 'en'; add unit.en",)),
    "required": ([question(required="yes")], ("survey[age].required: is 'yes'; it should be a valid boolean",)),
    "no list": ("none", ("survey: is 'none'",)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_bad_question_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    survey, words = WRONG[name]
    with pytest.raises(PixqError) as caught:
        read(tmp_path, survey=survey)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'study.toml'}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_study_has_the_four_questions_others_or_none(tmp_path: Path) -> None:
    assert [question.name for question in read(tmp_path).survey] == DEFAULT
    # The page says them in English to a language that they have no texts in.
    assert read(tmp_path, languages=["fr"], default_language="fr", consent={"fr": "?"}).survey == default_survey()
    study = read(tmp_path, languages=["en", "de"], consent={"en": "?", "de": "?"}, survey=SURVEY)
    assert [question.kind for question in study.survey] == ["choice", "scale", "number", "text", "text"]
    assert Study.model_validate_json(study.model_dump_json()).survey == study.survey
    assert read(tmp_path, survey=[]).survey == ()
    # What is only said about a column stays here.
    assert "description" not in json.dumps(public_study(read(tmp_path))["survey"])


#: Answers to `SURVEY`, and what of them is wrong.
REFUSED: dict[str, tuple[Any, str]] = {
    "missing": ({}, "survey: screen: needs an answer"),
    "empty": ({"screen": ""}, "survey: screen: needs an answer"),
    "no option": ({"screen": "tv"}, "survey: screen: must be one of laptop, desk"),
    "not of the type": ({"screen": ["desk"]}, "survey: screen: must be one of laptop, desk"),
    "beyond the scale": ({"screen": "desk", "tired": 8}, "survey: tired: must be 1 to 7"),
    "half a step": ({"screen": "desk", "tired": 1.5}, "survey: tired: must be 1 to 7"),
    "a truth": ({"screen": "desk", "tired": True}, "survey: tired: must be 1 to 7"),
    "too low": ({"screen": "desk", "age": 17.9}, "survey: age: must be a number of at least 18 and at most 99.5"),
    "huge": ({"screen": "desk", "age": 10**400}, "survey: age: must be a number of at least 18"),
    "as a text": ({"screen": "desk", "age": "20"}, "survey: age: must be a number of at least 18"),
    "too long": ({"screen": "desk", "job": "x" * 41}, "survey: job: must be a text of at most 40 characters"),
}


def toml(survey: list[dict[str, Any]]) -> str:
    return studies.toml({"survey": survey})


def export(folder: Path, database: str) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """The rows of `sessions.csv`, and what the dictionary says about its survey's columns."""
    out = folder / "out"
    assert main(["study", "export", str(folder), "--database", database, "--out", str(out)]) == 0
    with (out / "sessions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = json.loads((out / "dictionary.json").read_text("utf-8"))["sessions"]["columns"]
    return rows, [column for column in columns if column["name"].startswith("survey_")]


def make_study(folder: Path, more: str = "") -> Path:
    studying.make_study(folder, more=more)
    (folder / "study.key").write_text(KEY.secret.hex())
    (folder / "study.key").chmod(0o600)
    return folder


def test_answers_are_checked_by_the_server_and_exported(tmp_path: Path, database: str) -> None:
    folder = make_study(tmp_path / "study", toml(SURVEY))
    with studying.running(folder, database) as server:
        page = Page(server, {"participant": "anna"})
        assert page.start()["study"]["survey"] == public_study(server.service.study)["survey"]
        page.go("survey")
        for name, (answers, why) in REFUSED.items():
            status, told = page.send(page.event("survey", answers))
            assert (status, why in told["error"]) == (409, True), (name, told)
        assert page.say("survey", SURVEY_ANSWERS)["state"]["step"] == "completed"
    [row], columns = export(folder, database)
    assert {column["name"]: row[column["name"]] for column in columns} == {
        "survey_screen": "desk", "survey_tired": "7", "survey_age": "20.5", "survey_job": "'=1+1", "survey_notes": "",
    }  # fmt: skip
    assert json.loads(row["survey"]) == SURVEY_ANSWERS
    assert [(column["type"], column["unit"]) for column in columns] == [
        ("text", ""), ("integer", ""), ("number", "years"), ("text", ""), ("text", ""),
    ]  # fmt: skip
    assert columns[0]["what"] == "Which screen did you use? laptop: The one of a laptop; desk: One on a desk"
    assert columns[1]["what"] == "How tired are your eyes? 1 (not at all) to 7 (very)"


def test_without_questions_a_session_ends_with_its_last_image(tmp_path: Path, database: str) -> None:
    folder = make_study(tmp_path / "study", "survey = []")
    with studying.running(folder, database) as server:
        page = Page(server, {"participant": "anna"})
        assert page.start()["study"]["survey"] == []
        page.go("completed")
        assert [event["kind"] for event in page.sent][-2:] == ["trial", "trial"]
        page.say("done", {"step": "completed"})
    [row], columns = export(folder, database)
    assert (row["step"], row["answered"], row["survey"], columns) == ("completed", "3", "", [])


def test_a_session_keeps_the_questions_that_it_began_with(tmp_path: Path) -> None:
    """And one that began before they were stored has the default ones, and whatever was answered to them."""
    folder, database = make_study(tmp_path / "study"), str(tmp_path / "answers.db")
    with studying.running(folder, database) as server:
        old, new = (Page(server, {"participant": name}) for name in ("old", "new"))
        for page in (old, new):
            page.start()
            page.go("instructions")
    with sqlite3.connect(database) as connection:
        [(plan,)] = connection.execute("SELECT plan FROM sessions WHERE id = 1")
        del (stored := json.loads(plan))["rules"]["survey"]
        connection.execute("UPDATE sessions SET plan = ? WHERE id = 1", [json.dumps(stored)])
    text = (folder / "study.toml").read_text("utf-8")
    (folder / "study.toml").write_text(toml(SURVEY) + text, "utf-8")
    with studying.running(folder, database) as server:
        for name in ("old", "new", "later"):
            page = Page(server, {"participant": name})
            asked = [each["name"] for each in page.start()["study"]["survey"]]
            assert asked == ([each["name"] for each in SURVEY] if name == "later" else DEFAULT)
            page.go("survey")
            if name == "old":
                page.say("survey", {"hard": 4, "sure": 99, "glasses": "no", "remarks": "x" * 3000, "more": [1]})
            elif name == "new":
                assert page.send(page.event("survey", {"sure": 99}))[0] == 409
                page.say("survey", {"hard": None, "sure": 2, "glasses": "not", "remarks": ""})
            else:
                page.say("survey", {"screen": "laptop"})
    rows, columns = export(folder, database)
    names = [column["name"].removeprefix("survey_") for column in columns]
    assert names == ["screen", "tired", "age", "job", "notes", "hard", "sure", "glasses", "remarks"]
    answers = [{name: row[f"survey_{name}"] for name in names if row[f"survey_{name}"]} for row in rows]
    assert answers == [{"hard": "4", "remarks": "x" * 2000}, {"sure": "2", "glasses": "not"}, {"screen": "laptop"}]
    assert json.loads(rows[0]["survey"])["sure"] == 99


def test_no_question_takes_the_name_of_another_column(tmp_path: Path) -> None:
    names = [column.name for column in session_columns(read(tmp_path, survey=[]))]
    assert [name for name in names if name.startswith("survey_")] == []
    columns = dictionary(read(tmp_path))["sessions"]["columns"]
    types = {column["name"]: column["type"] for column in columns if column["name"].startswith("survey")}
    assert types == {
        "survey_hard": "integer", "survey_sure": "integer", "survey_glasses": "text", "survey_remarks": "text",
        "survey": "json",
    }  # fmt: skip


@pytest.mark.parametrize("required", [False, True])
def test_a_rehearsal_answers_any_survey(tmp_path: Path, required: bool) -> None:
    tables = [question | {"required": required} for question in SURVEY]
    limits: dict[str, dict[str, float]] = {"low": {"max": -3.5}, "any": {}, "high": {"min": 7}, "both": {"min": -9}}
    tables += [question(name=name, **limit) for name, limit in limits.items()]
    study = read(tmp_path, survey=tables)
    answers = typical_data(public_study(study), "survey")
    assert [answers[each.name] for each in parse_survey(tables) if each.refusal(answers.get(each.name))] == []
    assert (answers["low"], answers["any"], answers["high"], answers["both"]) == (-3.5, 0, 7, 0)


def test_the_guide_shows_a_survey_that_a_study_can_have() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "study.md").read_text("utf-8")
    [example] = [text for text in re.findall(r"```toml\n(.*?)```", guide, re.DOTALL) if "[[survey]]" in text]
    questions = parse_survey(tomllib.loads(example)["survey"])
    check_survey(questions, ("en",))
    assert {question.kind for question in questions} == {"choice", "scale", "number", "text"}
