"""Result files of the earlier framework, in the notation of its batches."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixq.cli import main
from pixq.errors import PixqError
from pixq.study.design.study_files import OpenedSource, OpenedStudy
from pixq.study.results.export import write_answers
from pixq.study.results.import_mturk import MturkResults, parse_clicks, read_mturk
from support.studies import study, write_study

STUDY = study(3, 1, tests=1)
TRAINED = STUDY.test[0].model_copy(update={"id": "T0", "reference": "images/T0.png"})
STUDY = STUDY.model_copy(update={"training": (TRAINED,)})
KINDS: dict[str, Any] = {"S": "source", "T": "training", "H": "test"}
OPENED = OpenedStudy(STUDY, {each.id: OpenedSource(each, KINDS[each.id[0]], 640, 480, {}) for each in STUDY.everything})
ADDRESS = '+{\n  "ip": "203.0.113.7",\n  "city": "Konstanz",\n  "PixelRatio:9;px_cm_rate": 9\n}'
MACHINE = (
    "userAgent:Mozilla/5.0 (X11; Linux x86_64);vendor:Google Inc.;Resolution:1920*1080;PixelRatio:1.25;TimeZone:2;"
    f"Downlink:1280;{ADDRESS}px_cm_rate:37.8;browser_width_cm:51;browser_height_cm:29;calibration_time:-1;"
)
START = 1_678_000_000_000
HEAD = ["HITId", "AssignmentId", "WorkerId", "SubmitTime", "Answer.jnd-result", "Answer.loc-result", "Answer.os-info"]


def click(x: float, y: float, width: float = 500, height: float = 375) -> str:
    return f"-('ox':{x}_'oy':{y}_'imw':{width}_'imh':{height}_'cx':700_'cy':300_'sx':700_'sy':380_'et':{START + 9})"


THREE = "-st_1678000000123" + click(250, 75) + click(0, 0) + click(500, 375)


def name(source: str) -> str:
    return f"https://images.example.org/konjnd/{source}.png"


def jnd(level: int = 40, start: int = START, **more: Any) -> list[Any]:
    track = more.get("track", f"+10-{start + 500}+39-{start + 900}+{level}-{start + 1000}")
    return [level, more.get("index", 101 - level), start, start + more.get("took", 20_000), track]


def row(
    worker: str = "A1", assignment: str = "X1", answers: Any = None, places: Any = None, machine: str = MACHINE
) -> list[str]:
    answers = {"S0": jnd()} if answers is None else answers
    places = dict.fromkeys(answers, THREE) if places is None else places
    named = [json.dumps({name(key): value for key, value in each.items()}) for each in (answers, places)]
    return ["HIT", assignment, worker, "Tue Mar 14 08:15:22 PDT 2023", *named, machine]


def batch(path: Path, *rows: list[str], head: list[str] = HEAD) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def pseudonym(platform: str, who: str) -> str:
    return f"<{platform} {who.lower()}>"


def read(*paths: Path) -> MturkResults:
    return read_mturk(OPENED, paths, pseudonym)


def test_an_answer_is_read_as_its_notation_says(tmp_path: Path) -> None:
    found = read(batch(tmp_path / "b.csv", row()))
    (answer,) = found.answers
    assert (answer.participant, answer.session) == ("<amt a1>", "<amt assignment x1>")
    assert (answer.source, answer.kind, answer.level, answer.codec) == ("S0", "source", 40, "JPEG")
    # By hand: 250 of 500 is the middle of 640; 75 of 375 is a fifth of 480.
    assert answer.points == ((96.0, 320.0), (0.0, 0.0), (480.0, 640.0))
    assert answer.track == ((500.0, 10.0), (900.0, 39.0), (1000.0, 40.0))
    # 1,678,000,020 s since the epoch.
    assert answer.answered == "2023-03-05T07:07:00.000+00:00"
    assert (answer.shown_ms, answer.dpr, answer.px_per_cm) == (20_000.0, 1.25, 37.8)
    assert (answer.width_css, answer.height_css) == (500.0, 375.0)
    assert answer.environment == {
        "amt": {"Resolution": "1920*1080", "PixelRatio": "1.25", "TimeZone": "2", "px_cm_rate": "37.8",
                "browser_width_cm": "51", "calibration_time": "-1"}
    }  # fmt: skip
    assert (answer.received, answer.rate, answer.passed) == (None, None, None)
    assert found.skipped == ()


def test_nothing_of_a_person_is_left(tmp_path: Path) -> None:
    found = read(batch(tmp_path / "b.csv", row("AWORKER", "ASSIGNMENT"), row("AWORKER", "2", {"S1": jnd(index=3)})))
    write_answers(STUDY, found.answers, tmp_path / "out")
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir()) + repr(found).encode()
    for secret in (b"203.0.113", b"Konstanz", b"AWORKER", b"ASSIGNMENT", b"Mozilla", b"Google"):
        assert secret not in written


@pytest.mark.parametrize("broken", [ADDRESS[:-1], ADDRESS.replace("Konstanz", "Kon}stanz"), ADDRESS.replace("\n", "")])
def test_an_address_that_is_cut_off_is_not_taken_either(tmp_path: Path, broken: str) -> None:
    (answer,) = read(batch(tmp_path / "b.csv", row(machine=MACHINE.replace(ADDRESS, broken)))).answers
    assert "203" not in repr(answer)
    assert "stanz" not in repr(answer)
    assert answer.dpr == 1.25


def test_clicks_before_feedback_are_void() -> None:
    for void in ("-WRONGLOC-1678000000000", "-clicktryagain_1678000000000"):
        assert parse_clicks(THREE + void + click(250, 75), 640, 480) == [(96.0, 320.0)]
        assert parse_clicks(THREE + void, 640, 480) == []
    assert parse_clicks(click(-0.4, 375.3), 640, 480) == [(480.0, 0.0)]
    assert parse_clicks(click(1, 1, 0, 0), 640, 480) == []
    assert parse_clicks("", 640, 480) == []


def test_test_images_are_judged_and_training_is_counted(tmp_path: Path) -> None:
    # Truth: range 10 to 20, [[5, 5], [40, 60], [24, 32]].
    right = click(5, 5, 640, 480) + click(60, 40, 640, 480) + click(600, 400, 640, 480)
    answers = {"H0": jnd(20), "T0": jnd(), "S1": jnd(start=START + 50)}
    found = read(batch(tmp_path / "b.csv", row(answers=answers, places={"H0": right, "T0": THREE, "S1": THREE})))
    assert found.training == 1
    assert [(each.source, each.place, each.passed) for each in found.answers] == [("H0", 1, True), ("S1", 2, None)]


def test_sessions_are_numbered_by_time_and_read_once(tmp_path: Path) -> None:
    late, early = row("A", "1", {"S0": jnd(start=START + 10**9)}), row("A", "2", {"S1": jnd()})
    one, two = batch(tmp_path / "1.csv", late, row("B", "3")), batch(tmp_path / "2.csv", early, late)
    found = read(one, two)
    assert [(each.participant[5:-1], each.source, each.session_number) for each in found.answers] == [
        ("a", "S1", 1), ("a", "S0", 2), ("b", "S0", 1),
    ]  # fmt: skip
    assert found.skipped == (f"{two}, line 3: repeats an assignment that was read before",)


@pytest.mark.parametrize(
    ("answers", "places", "said"),
    [
        ({"S9": jnd()}, None, "S9.png: is not an image of the study"),
        ({"S0": ["", "", START, ""]}, None, "was not finished"),
        ({"S0": [40, 61]}, None, "was not finished"),
        ({"S0": jnd(index=40)}, None, "level 40 and file index 40, which do not add up to 101"),
        ({"S0": jnd(0)}, None, "level 0, at which nothing can be seen"),
        ({"S0": jnd(101)}, None, "level 101"),
        ({"S0": jnd(took=-1)}, None, "ended before it began"),
        ({"S0": jnd()}, {}, "has 0 places"),
        ({"S0": jnd()}, {"S0": 7}, "has 0 places"),
        ({"S0": jnd()}, {"S0": THREE * 3}, "has 9 places"),
        ({"S0": 5}, None, "is not a readable answer"),
        ({"S0": None}, None, "is not a readable answer"),
        ({"S0": [40, 61, "x", "y"]}, None, "is not a readable answer"),
        ({"S0": [40, 61, 10**30, 10**30 + 1]}, None, "is not a readable answer"),
        ({"S0": [40, 61, {}, []]}, None, "is not a readable answer"),
    ],
)
def test_an_answer_that_says_nothing_is_told(tmp_path: Path, answers: Any, places: Any, said: str) -> None:
    found = read(batch(tmp_path / "b.csv", row("A1", "1", answers, places), row("A2", "2")))
    assert len(found.answers) == 1
    (line,) = found.skipped
    assert line.startswith(f"{tmp_path / 'b.csv'}, line 2: ")
    assert said in line


@pytest.mark.parametrize("cell", ["", "{", "[]", "3", "[" * 100_000])
def test_a_row_without_results_is_told(tmp_path: Path, cell: str) -> None:
    for place in (4, 5):
        spoilt = row("A1", "1")
        spoilt[place] = cell
        found = read(batch(tmp_path / "b.csv", spoilt, ["x"], row("A2", "2")))
        assert len(found.answers) == 1
        assert [line.partition(": ")[2] for line in found.skipped] == ["has no readable results"] * 2


def test_its_own_download_is_read(tmp_path: Path) -> None:
    # As the framework wrote it, spaces after some commas of its head included.
    text = (
        "Ref Image,Distortion Level,JND Point(IMG), Start Timestamp, End Timestamp, Slider Tracking, locations\n"
        f"./images/S0.png,40,61,{START},{START + 20000},+40-{START + 1},{THREE}\n"
    )
    path = tmp_path / "1678_eye-tracking_jnd.csv"
    path.write_text(text, encoding="utf-8")
    (answer,) = read(path).answers
    assert (answer.source, answer.level, answer.points[0]) == ("S0", 40, (96.0, 320.0))
    assert answer.participant == "<download 1678_eye-tracking_jnd>"
    assert answer.track == ((1.0, 40.0),)


def test_of_two_codecs_the_name_tells_which(tmp_path: Path) -> None:
    bpg = STUDY.source[0].model_copy(update={"id": "S0B", "codec": "BPG"})
    both = {**OPENED.sources, "S0B": OpenedSource(bpg, "source", 640, 480, {})}
    opened = OpenedStudy(STUDY.model_copy(update={"source": (*STUDY.source, bpg)}), both)

    def which(image: str) -> tuple[list[str], tuple[str, ...]]:
        line = row()
        line[4:6] = [json.dumps({image: each}) for each in (jnd(), THREE)]
        found = read_mturk(opened, [batch(tmp_path / "b.csv", line)], pseudonym)
        return [each.source for each in found.answers], found.skipped

    for image in ("S0_BPG.png", "img/S0_bpg_061.jpg", "https://a.example/BPG/S0.png", r"study\bpg\S0.png"):
        assert which(image) == (["S0B"], ())
    for image in ("S0_JPEG.png", "S0_JPEG_061.jpg", "https://a.example/jpeg/S0.png"):
        assert which(image) == (["S0"], ())
    # One codec needs none, whatever the folder is called.
    assert which("bpg/S1.png") == (["S1"], ())
    for image in ("S0.png", "jpeg/bpg/S0.png"):
        answers, (said,) = which(image)
        assert answers == []
        assert f"{image}: may be any of S0, S0B, as neither its file" in said
    assert "is not an image of the study" in which("S0_J2K.png")[1][0]


def test_files_that_are_neither(tmp_path: Path) -> None:
    with pytest.raises(PixqError, match=r"absent\.csv: No such file"):
        read(tmp_path / "absent.csv")
    for text, said in ((b"", "no column WorkerId"), (b"a,b\n1,2\n", "no column WorkerId"), (b"\xff\xfe", "UTF-8")):
        (tmp_path / "x.csv").write_bytes(text)
        with pytest.raises(PixqError, match=said):
            read(tmp_path / "x.csv")
    head = [each for each in HEAD if each != "Answer.loc-result"]
    with pytest.raises(PixqError, match=r"no column Answer\.loc-result"):
        read(batch(tmp_path / "y.csv", head=head))


def test_a_long_track_is_read(tmp_path: Path) -> None:
    track = "".join(f"+{n % 101}-{START + n}" for n in range(20_000))
    before = csv.field_size_limit(50_000)
    (answer,) = read(batch(tmp_path / "b.csv", row(answers={"S0": jnd(track=track)}))).answers
    assert csv.field_size_limit(before) == 50_000, "of the process it stays as it was"
    assert answer.track is not None
    assert len(answer.track) == 20_000


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(said=values, places=values, machine=st.text(max_size=40))
def test_nothing_in_a_cell_is_a_traceback(tmp_path: Path, said: Any, places: Any, machine: str) -> None:
    line = row("A1", "1", {"S0": said}, {"S0": places}, machine.encode("utf-8", "replace").decode().replace("\0", ""))
    found = read(batch(tmp_path / "b.csv", line))
    assert len(found.answers) + len(found.skipped) == 1


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The store's package, beside which pseudonyms are made.
    pytest.importorskip("sqlalchemy")
    folder, out = tmp_path / "study", tmp_path / "out"
    write_study(folder)
    results = batch(tmp_path / "b.csv", row("AWORKER"), row("AWORKER", "2", {"H0": jnd(15)}), ["x"])
    arguments = ["study", "import-amt", str(results), "--study", str(folder), "--out", str(out)]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out.split() == [str(out / "answers.csv"), str(out / "dictionary.json")]
    assert "b.csv, line 4: has no readable results" in said.err
    assert "2 answers of 1 people; 0 to training images left out; 1 skipped" in said.err
    with (out / "answers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [each["session_number"] for each in rows] == ["1", "2"]
    # The images of this study are 64x48: 250 of 500 is the middle.
    assert (float(rows[0]["y1"]), float(rows[0]["x1"])) == pytest.approx((9.6, 32.0))
    assert "AWORKER" not in (out / "answers.csv").read_text("utf-8")
    # By the study's key, the same person has the same name again; with another study's key, another one.
    again = ["study", "import-amt", str(results), "--study", str(folder), "--out", str(tmp_path / "2")]
    main(again)
    assert (tmp_path / "2" / "answers.csv").read_bytes() == (out / "answers.csv").read_bytes()
    main([*again[:-1], str(tmp_path / "3"), "--key", str(tmp_path / "other.key")])
    assert rows[0]["participant"] not in (tmp_path / "3" / "answers.csv").read_text("utf-8")
    capsys.readouterr()
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["study", "import-amt", "--out", str(tmp_path / "4")]) == 2
    assert "give the result files" in capsys.readouterr().err


def test_a_file_that_can_not_be_read_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path / "study")
    good, bad = batch(tmp_path / "good.csv", row()), tmp_path / "bad.csv"
    bad.write_bytes(b"\xff\xfe")
    command = ["study", "import-amt", "--study", str(tmp_path / "study"), "--out"]
    assert main([*command, str(tmp_path / "1"), str(bad), str(tmp_path), str(good), str(tmp_path / "gone.csv")]) == 1
    out, err = capsys.readouterr()
    assert str(tmp_path / "1" / "answers.csv") in out
    for path in (bad, tmp_path, tmp_path / "gone.csv"):
        assert f"pixq: skipped: {path}: " in err
    # If none can be read, there is nothing to write.
    assert main([*command, str(tmp_path / "2"), str(bad)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "2").exists()
