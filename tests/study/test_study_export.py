"""Answers as rows and files, their dictionary, and the figures of a study."""

from __future__ import annotations

import csv
import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pixq.errors import PixqError
from pixq.study.design.study_files import OpenedSource, OpenedStudy, StudyImage
from pixq.study.results import export as exporting
from pixq.study.results.answers import FLAGS, Answer, SessionEvent, SessionRow, answers_of, with_flags
from pixq.study.results.event_times import TIME_PROBLEMS
from pixq.study.results.export import answer_columns, dictionary, write_answers
from pixq.study.results.status import status_of
from pixq.study.session.session_plan import parse_plan, plan_json, rules_of
from pixq.study.session.viewing import Viewing
from pixq.study.store.keys import Key
from support.studies import study

STUDY = study(3, 2, answers=2, images=3, tests=2)
# Truth of the test images: range 10 to 20, [[5, 5], [40, 60], [24, 32]]; of images of 640x480.
IMAGE = StudyImage(Path("image.jpg"), "image/jpeg", 1)
IMAGES = dict.fromkeys(range(101), IMAGE)
OPENED = OpenedStudy(
    STUDY,
    {
        each.id: OpenedSource(each, "test" if each in STUDY.test else "source", 640, 480, IMAGES)
        for each in STUDY.everything
    },
)
GOOD = {
    "points": [[5.0, 5.0], [40.5, 60.25], [300.0, 300.0]],
    "shown_ms": 20_000.5,
    "track": [[0, 1], [5.5, 12], [9, 14]],
    "rate": 60.0,
    "achieved": 7.5,
    "frames_per_image": 8,
    "late": 3,
    "dpr": 1.25,
    "px_per_cm": 40.0,
    "width_css": 13.797 * 40,
    "height_css": 10.347 * 40,
}


def session(name: str = "s", person: str = "p", shown: Sequence[str] = ("S1", "H0"), **more: Any) -> SessionRow:
    given = {"number": 1, "language": "de", "version": "1", "consent": "abc", "step": "completed"}
    counted = frozenset(more.pop("counted", range(100)))
    items = parse_plan(plan_json(OPENED, (), shown), Key(bytes(32)), "s").trials
    told = tuple(replace(each, key=f"k{each.source}") for each in items)
    return SessionRow(name, person, rules=rules_of(STUDY), shown=told, counted=counted, **given | more)


def event(number: int, kind: str = "trial", name: str = "s", person: str = "p", **data: Any) -> SessionEvent:
    wall, received = f"2026-11-23T01:00:{number:02d}.000Z", f"2026-11-23T01:01:{number:02d}.000+00:00"
    return SessionEvent(person, name, number, kind, 60_000.0 + 1000.0 * number, wall, received, data)


def trial(number: int, source: str, pjnd: int = 14, **more: Any) -> SessionEvent:
    where = {key: more.pop(key) for key in ("name", "person") if key in more}
    return event(number, **where, key=f"k{source}", pjnd=pjnd, **GOOD | more)


def one(**more: Any) -> Answer:
    (answer,) = answers_of(STUDY, [session()], [trial(0, "S1", **more)])
    return answer


def test_an_answer_is_a_row_with_all_that_was_said() -> None:
    events = [
        event(0, "consent", agreed=True),
        event(1, "check", rate=60, width=1920),
        event(2, "calibration", px_per_cm=38.0),
        event(3, "calibration", px_per_cm=40.0),
        trial(4, "S1", pjnd=33),
        trial(5, "H0"),
    ]
    random.Random(1).shuffle(events)
    first, second = answers_of(STUDY, [session()], events)
    assert (first.source, first.kind, first.place, first.codec, first.level) == ("S1", "source", 1, "JPEG", 33)
    assert (first.participant, first.session, first.session_number) == ("p", "s", 1)
    assert first.points == ((5.0, 5.0), (40.5, 60.25), (300.0, 300.0))
    assert (first.answered, first.received) == ("2026-11-23T01:00:04.000Z", "2026-11-23T01:01:04.000+00:00")
    assert (first.at_ms, first.shown_ms, first.late, first.dpr) == (64_000.0, 20_000.5, 3, 1.25)
    assert first.track == ((0.0, 1.0), (5.5, 12.0), (9.0, 14.0))
    # The calibration that counts is the last.
    assert first.environment == {"check": {"rate": 60, "width": 1920}, "calibration": {"px_per_cm": 40.0}}
    assert (first.in_range, first.matched, first.passed) == (None, None, None)
    assert (second.kind, second.in_range, second.matched, second.passed) == ("test", True, 2, True)
    assert first.flags == second.flags == ()


def test_only_what_counted_is_an_answer() -> None:
    events = [trial(0, "S1", pjnd=1), trial(1, "S1", pjnd=2), event(2, "training", key="kS1", **GOOD), trial(3, "H0")]
    (only,) = answers_of(STUDY, [session(counted=[1, 2])], events)
    assert only.level == 2
    assert answers_of(STUDY, [session(counted=[0])], [event(0, key="kS9", pjnd=3, **GOOD)]) == []


def test_sessions_do_not_mix() -> None:
    rows = [session("b", "q", number=2), session("a", "q"), session("c", "p")]
    events = [trial(0, "S1", pjnd=n, name=name, person="x") for n, name in ((20, "a"), (30, "b"), (40, "c"))]
    found = answers_of(STUDY, rows, events)
    assert [(each.participant, each.session, each.level) for each in found] == [
        ("p", "c", 40), ("q", "a", 20), ("q", "b", 30),
    ]  # fmt: skip


@pytest.mark.parametrize("odd", [None, "60", math.nan, math.inf, True, [], {}, -1, 1e-320, 10**400])
def test_what_a_page_says_is_a_number_may_be_anything(odd: Any, tmp_path: Path) -> None:
    answer = one(rate=odd, achieved=odd, frames_per_image=odd, late=odd, dpr=odd, px_per_cm=odd, shown_ms=odd,
                 width_css=odd, height_css=odd)  # fmt: skip
    assert (answer.rate, answer.frames_per_image, answer.dpr, answer.shown_ms) == (None, None, None, None)
    # A list of late frames is one, too.
    assert answer.late == (0 if odd == [] else None)
    write_answers(STUDY, [answer], tmp_path)


def test_what_a_page_makes_up_is_neither_computed_nor_in_the_way(tmp_path: Path) -> None:
    odd = event(0, "check", deep=[{"text": "\ud800 \n=1+1"}])
    made_up = replace(trial(1, "S1"), wall="=HYPERLINK(1)")
    (answer,) = answers_of(STUDY, [session()], [odd, made_up])
    assert answer.answered is None
    write_answers(STUDY, [answer], tmp_path)
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert json.loads(row["environment"])["check"] == {"deep": [{"text": "\ud800 \n=1+1"}]}
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())


FLAGGED: dict[str, dict[str, Any]] = {
    "fast": {"shown_ms": 2999.0, "late": 0},
    "few_positions": {"track": [[0, 1], [5, 3], [8, 1]]},
    "highest_level": {"pjnd": 100},
    "one_place": {"points": [[5, 5], [9, 7.9], [300, 300]]},
    "late_frames": {"late": 13},
    "off_rate": {"achieved": 7.3},
    "off_size": {"width_css": 13.797 * 40 * 1.021},
    "page_times": {"track": [[0, 1], [20_000, 12], [19_999, 14]]},
}


@pytest.mark.parametrize("name", FLAGGED)
def test_odd_answers_are_flagged(name: str) -> None:
    assert one().flags == ()
    assert one(**FLAGGED[name]).flags == (name,)


# 20.0005 s at 60 Hz are 1200 frames, of which 12 may be late; a rate of 7.5 may be 2 % off.
@pytest.mark.parametrize(
    "fine",
    [{"shown_ms": 3000.0, "late": 0}, {"late": 12}, {"achieved": 7.36}, {"width_css": 13.797 * 40 * 1.019},
     {"points": [[5, 5], [9, 8], [300, 300]]}, {"pjnd": 99}],
)  # fmt: skip
def test_what_is_just_not_odd_is_not_flagged(fine: dict[str, Any]) -> None:
    assert one(**fine).flags == ()


@pytest.mark.parametrize(
    "impossible",
    [{"wall": "2026-13-23T01:00:01Z"}, {"wall": "2026-11-23T25:00:01Z"}, {"at": 18_999.0}, {"at": 0.0}],
)  # fmt: skip
def test_times_of_a_page_that_cannot_be_are_flagged(impossible: dict[str, Any]) -> None:
    row = session(shown=("S1", "S2"))
    events = [event(0, "opened"), trial(1, "S1"), replace(trial(2, "S2"), **impossible)]
    found = answers_of(STUDY, [row], events)
    assert found[0].flags == ("interrupted",)
    found = answers_of(STUDY, [row], [event(0, "frames"), *events[1:]])
    assert [answer.flags for answer in found] == [(), ("page_times",)]
    # A page that is opened again begins its time anew.
    events = [trial(0, "S1"), replace(event(1, "opened"), at=0.0), replace(trial(2, "S2"), at=20_100.0)]
    assert [answer.flags for answer in answers_of(STUDY, [row], events)] == [(), ("interrupted",)]


def test_times_of_a_server_whose_clock_was_set_are_flagged() -> None:
    events = [trial(0, "S1"), trial(1, "S2"), trial(2, "S0")]
    row = session(shown=("S1", "S2", "S0"), started=events[0].received)
    assert [answer.flags for answer in answers_of(STUDY, [row], events)] == [(), (), ()]
    late = [*events[:1], replace(events[1], received="2026-11-24T00:00:00.000+00:00"), events[2]]
    assert [answer.flags for answer in answers_of(STUDY, [row], late)] == [(), (), ("server_times",)]
    row = replace(row, started="2026-11-23T01:01:01.500+00:00")
    found = [answer.flags for answer in answers_of(STUDY, [row], events)]
    assert found == [("server_times",), ("server_times",), ()]
    future = [*events[:2], replace(events[2], received="2999-01-01T00:00:00.000+00:00")]
    assert answers_of(STUDY, [session(shown=("S1", "S2", "S0"))], future)[2].flags == ("server_times",)


def test_what_the_server_saw_is_flagged() -> None:
    def flags(watched: float | None, **more: Any) -> tuple[str, ...]:
        row = session(viewings={0: Viewing(5, watched)})
        return answers_of(STUDY, [row], [trial(0, "S1", **more)])[0].flags

    assert flags(None) == flags(20.0) == flags(3600.0) == ()
    # The page claims 20 s.
    assert flags(19.0) == ("overstated",)
    assert flags(2.9) == flags(0.0) == ("unseen", "overstated")
    assert flags(2.9, shown_ms=2900.0, late=0) == ("unseen", "fast")
    assert flags(3.0, shown_ms=2999.0, late=0) == ("fast",)


def test_flags_of_sessions_and_people() -> None:
    (answer,) = answers_of(STUDY, [session(step="survey")], [trial(0, "S1")])
    assert answer.flags == ("unfinished",)
    events = [trial(0, "S1"), event(1, "blocked", why="zoom"), trial(2, "S2"), event(3, "resumed"), trial(4, "S0")]
    found = answers_of(STUDY, [session(shown=("S1", "S2", "S0"))], events)
    # It went on before the last one began; that one was opened again.
    assert [each.flags for each in found] == [(), ("interrupted",), ()]
    events[3] = event(3, "opened")
    assert answers_of(STUDY, [session(shown=("S1", "S2", "S0"))], events)[2].flags == ("interrupted",)
    # Of ten tests seven: not less than 0.7; of ten six.
    rows = [session(f"s{n}", person, number=n) for n in range(10) for person in ("good", "bad")]
    rows = [replace(each, session=f"{each.participant}{each.number}") for each in rows]
    events = [
        trial(0, "H0", pjnd=14 if each.number < (7 if each.participant == "good" else 6) else 50, name=each.session)
        for each in rows
    ]
    found = answers_of(STUDY, rows, events)
    assert {each.flags for each in found if each.participant == "good"} == {()}
    assert {each.flags for each in found if each.participant == "bad"} == {("failed_tests",)}


def test_an_export_looks_once_whether_it_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    begin = exporting.check_target

    def counted(out: Path, *, parquet: bool) -> Any:
        asked.append(parquet)
        return begin(out, parquet=parquet)

    monkeypatch.setattr(exporting, "check_target", counted)
    written = exporting.write_export(STUDY, [], [], {"d": ("1", "en", "I take part.")}, tmp_path, parquet=False)
    assert [each.name for each in written] == ["answers.csv", "dictionary.json", "sessions.csv", "consents.json"]
    assert asked == [False]


def test_native_images_have_no_size_to_be_off() -> None:
    native = STUDY.model_copy(update={"scaling": "native"})
    assert with_flags(native, [one(**FLAGGED["off_size"])])[0].flags == ("off_size",)
    assert with_flags(native, [replace(one(**FLAGGED["off_size"]), flags=())])[0].flags == ()


def test_every_column_is_in_the_dictionary_and_every_field_in_a_column(tmp_path: Path) -> None:
    write_answers(STUDY, [one()], tmp_path)
    told = json.loads((tmp_path / "dictionary.json").read_text("utf-8"))
    assert told == dictionary(STUDY) | {"flags": dict(FLAGS), "time_problems": dict(TIME_PROBLEMS)}
    names = [each["name"] for each in told["columns"]]
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == names
    assert pq.read_table(tmp_path / "answers.parquet").column_names == names
    assert len(set(names)) == len(names)
    for each in told["columns"]:
        assert each["what"]
        assert each["type"] in ("text", "integer", "number", "boolean", "json")
    assert {each.name for each in fields(Answer)} - set(names) == {"points", "highest"}
    assert {"y1", "x1", "y2", "x2", "y3", "x3"} <= set(names)
    assert set(told["flags"]) == set(FLAGS)


def test_csv_and_parquet_say_the_same_with_the_types_of_the_dictionary(tmp_path: Path) -> None:
    answers = [one(), one(late=None, achieved="x"), *answers_of(STUDY, [session()], [trial(1, "H0"), trial(2, "S1")])]
    written = write_answers(STUDY, answers, tmp_path / "deep" / "out")
    assert [path.name for path in written] == ["answers.csv", "dictionary.json", "answers.parquet"]
    with written[0].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(written[2])
    assert len(rows) == table.num_rows == 4
    types = {"text": pa.string(), "json": pa.string(), "integer": pa.int64(), "number": pa.float64(),
             "boolean": pa.bool_()}  # fmt: skip
    read = {
        "text": str,
        "json": str,
        "integer": int,
        "number": float,
        "boolean": lambda text: {"true": True, "false": False}[text],
    }
    for each in dictionary(STUDY)["columns"]:
        assert table.schema.field(each["name"]).type == types[each["type"]]
        cells = [None if row[each["name"]] == "" else read[each["type"]](row[each["name"]]) for row in rows]
        values = [None if value == "" else value for value in table[each["name"]].to_pylist()]
        assert cells == values, each["name"]
        if each["type"] == "json":
            assert all(json.loads(cell) is not None for cell in cells if cell)
    assert rows[0]["y2"] == "40.5"
    assert rows[0]["width_cm"] == "13.797"
    assert (rows[0]["passed"], rows[2]["passed"]) == ("", "true")
    assert json.loads(rows[0]["track"]) == [[0, 1], [5.5, 12], [9, 14]]
    assert json.loads(table.schema.metadata[b"pixq"]) == dictionary(STUDY) | {"flags": dict(FLAGS)}


def test_a_study_with_two_clicks_has_two_points() -> None:
    names = [each.name for each in answer_columns(2)]
    assert "x2" in names
    assert "y3" not in names


def test_an_export_without_answers_has_its_columns(tmp_path: Path) -> None:
    write_answers(STUDY, [], tmp_path)
    assert pq.read_table(tmp_path / "answers.parquet").num_rows == 0
    assert (tmp_path / "answers.csv").read_text("utf-8").count("\n") == 1


def test_exports_replace_older_ones_and_leave_nothing_else(tmp_path: Path) -> None:
    write_answers(STUDY, [one()] * 5, tmp_path)
    write_answers(STUDY, [one()], tmp_path)
    assert pq.read_table(tmp_path / "answers.parquet").num_rows == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "answers.parquet", "dictionary.json"]


def test_where_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(PixqError, match="is not a folder"):
        write_answers(STUDY, [], tmp_path / "file")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(PixqError, match=r"pixq\[parquet\]"):
        write_answers(STUDY, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(write_answers(STUDY, [], tmp_path / "out", parquet=False)) == 2


def test_figures() -> None:
    rows = [
        session("a", "p", ("S0", "H0", "S1")),
        session("b", "q", ("S0", "H0", "H1")),
        session("c", "r", (), step="calibration"),
        session("d", "r", ("S0",), step="trial", number=2),
    ]
    events = [
        trial(0, "S0", 10, name="a", shown_ms=10_000, late=6), trial(1, "H0", name="a", shown_ms=30_000, late=0),
        trial(2, "S1", 40, name="a", shown_ms=20_000, late=0),
        trial(0, "S0", 30, name="b", shown_ms=20_000, late=None),
        trial(1, "H0", 50, name="b", shown_ms=None),
        trial(2, "H1", 12, name="b", points=[[5, 5], [200, 6], [300, 300]]),
        trial(0, "S0", 26, name="d"),
    ]  # fmt: skip
    answers = answers_of(STUDY, rows, events)
    status = status_of(OPENED, rows, answers)
    assert status.people == 3
    assert status.sessions == {"completed": 2, "calibration": 1, "trial": 1}
    assert list(status.dropouts.items()) == [("calibration", 1), ("trial", 1)]
    flagged = [replace(answers[0], flags=("interrupted",)), replace(answers[1], flags=("fast",))]
    backwards = status_of(OPENED, rows[::-1], flagged)
    assert list(backwards.sessions) == list(status.sessions) == ["calibration", "trial", "completed"]
    assert list(backwards.flags) == ["fast", "interrupted"]
    # Of S0 one answer is of a session that is not completed.
    assert [(each.id, each.answers, each.counted, each.pjnd, each.low) for each in status.sources] == [
        ("S0", 3, 2, 20.0, None), ("S1", 1, 1, 40.0, None), ("S2", 0, 0, None, None),
    ]  # fmt: skip
    # Three answers of S0 are one more than its quota, and do not make up for S2.
    assert (status.stored, status.wanted) == (3, 6)
    assert [(each.id, each.answers, each.in_range, each.matched, each.passed) for each in status.tests] == [
        ("H0", 2, 1, 2, 1), ("H1", 1, 1, 0, 0),
    ]  # fmt: skip
    assert status.pass_rate == 1 / 3
    assert status.sources[0].seconds == 20.0
    # Frames of the five answers that say both: 600 + 1800 + 1200 + 2 * 1200.03; late 6 + 0 + 0 + 3 + 3.
    assert status.late == pytest.approx(12 / 6000.06)
    assert status.flags["unfinished"] == 1
    assert status_of(OPENED, [], []).pass_rate is None
    assert status_of(OPENED, [], []).late is None
