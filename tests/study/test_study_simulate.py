"""Rehearsals: people whose answers are known, through the real server, and what is said of the plan."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixq.cli import main
from pixq.errors import PixqError
from pixq.http.server import open_socket
from pixq.study.design.study_files import OpenedStudy, open_study
from pixq.study.results.estimate import SourceEstimate
from pixq.study.session.judge import judge
from pixq.study.simulate.client import Participant, UnexpectedResponse
from pixq.study.simulate.observers import Observer, Population, Truth, observers, truths
from pixq.study.simulate.rehearsal import rehearse, slider_track, take_part_over_http
from pixq.study.simulate.server_process import run_server
from pixq.study.simulate.simulate import Simulation, judge_plan, simulate
from pixq.study.store.store import open_store
from support import browser, databases
from support.studies import TRUTH, entry, study, tables, toml, write_study
from support.surveys import SURVEY
from support.trees import photo, save

LEVELS = range(2, 101, 2)
PLATFORMS = {
    "local": {"kind": "local"},
    "link": {"kind": "link"},
    "prolific": {
        "kind": "prolific",
        "done": "A",
        "screened_out": "B",
        "failed": "C",
        "url": "https://a.example/{code}",
    },
}
QUOTA = {"screen_after": 1, "answers": 12, "images": 2, "tests": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sources, a training image and two test images, of fifty levels."""
    made = tmp_path_factory.mktemp("study")
    write_study(made, tables(source=[entry(f"S{i}") for i in range(4)], quota=QUOTA), levels=LEVELS)
    return made


@pytest.fixture(scope="module")
def opened(folder: Path) -> OpenedStudy:
    return open_study(folder)


@pytest.fixture(scope="module")
def found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Simulation, Path]:
    out = tmp_path_factory.mktemp("out") / "rehearsed"
    return simulate(folder, Population(40, careless=0.1), out=out, keep=True, threads=8), out


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "answers.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def passes(person: Observer, truth: Truth, source: str, low: int, high: int) -> bool:
    done = person.react(source, truth, 3)
    found = judge(
        done.level, done.points, pjnd_range=(low, high), truth=truth.points, width=truth.width, height=truth.height
    )
    return found.passed


def test_what_is_true_of_images(opened: OpenedStudy) -> None:
    found = truths(opened, Population())
    assert list(found) == list(opened.sources)
    for name in ("T0", "H0", "H1"):
        assert found[name].pjnd == 15
        assert found[name].points == tuple(tuple(point) for point in TRUTH["points_yx"])
        assert found[name].scale < 1
    for name in ("S0", "S1", "S2", "S3"):
        assert found[name].pjnd in LEVELS
        assert len(found[name].points) == 3
        assert found[name].scale == 1
        assert all(0 <= y <= 48 and 0 <= x <= 64 for y, x in found[name].points)
    assert found == truths(opened, Population(7, careless=0.5))
    assert found["S0"] != truths(opened, Population(seed=2))["S0"]


def test_answers_are_spread_about_the_truth_as_the_population_is(opened: OpenedStudy) -> None:
    population = Population(3000, bias=4, spread=3, lapse=0, careless=0)
    truth = truths(opened, population)["S1"]
    people = observers(population)
    levels = np.array([each.react("S1", truth, 3).level for each in people])
    assert np.median(levels) == truth.pjnd
    # The root of 4² + 3², and levels that are two apart.
    assert np.std(levels) == pytest.approx(5.03, rel=0.05)
    again = np.array([each.react("S2", truth, 3).level for each in people])
    assert np.corrcoef(levels, again)[0, 1] == pytest.approx(16 / 25, abs=0.05), "bias is the person's"
    nobody = Population(10, bias=0, spread=0, lapse=0, careless=0)
    assert {each.react("S1", truth, 3).level for each in observers(nobody)} == {truth.pjnd}


def test_the_careful_pass_test_images_and_the_careless_do_not(opened: OpenedStudy) -> None:
    population = Population(1000, careless=0.3)
    truth = truths(opened, population)["H0"]
    people = observers(population)
    assert sum(each.careless for each in people) == 300
    share = {
        kind: np.mean([passes(each, truth, "H0", 10, 20) for each in people if each.careless is kind])
        for kind in (False, True)
    }
    assert 0.84 < share[False] < 0.95
    assert share[True] < 0.05


def test_whoever_is_told_where_and_when_answers_so(opened: OpenedStudy) -> None:
    population = Population(bias=60, spread=60, lapse=0, careless=0)
    truth = truths(opened, population)["S0"]
    feedback = {"pjnd_range": [70, 74], "points": [[8, 8], [40, 8], [8, 60]]}
    person = observers(population)[0]
    done = person.react("S0", truth, 3, tries=1, feedback=feedback)
    assert done.level == 72
    near = [abs(y - ty) + abs(x - tx) for (y, x), (ty, tx) in zip(done.points, feedback["points"], strict=True)]
    assert max(near) < 20


def test_an_answer_is_of_seed_person_and_source_alone(opened: OpenedStudy) -> None:
    population = Population()
    truth = truths(opened, population)["S0"]
    first, second = observers(population)[:2]
    assert first.react("S0", truth, 3) == first.react("S0", truth, 3)
    reactions = {each.react(name, truth, 3).points for each in (first, second) for name in ("S0", "S1")}
    assert len(reactions) == 4
    assert observers(Population(5))[:2] == [first, second], "others are other people"
    assert observers(Population(seed=2))[0].name != first.name


def test_sliders_are_moved_to_the_answer(opened: OpenedStudy) -> None:
    population = Population()
    truth = truths(opened, population)["S0"]
    for person in observers(population)[:50]:
        done = person.react("S0", truth, 3)
        way = slider_track(done, truth.levels)
        assert way[-1][1] == done.level
        assert [ms for ms, _ in way] == sorted(ms for ms, _ in way)
        assert {level for _, level in way} <= {0, *truth.levels}


def test_people_take_part_until_the_quotas_are_full(
    folder: Path, opened: OpenedStudy, found: tuple[Simulation, Path]
) -> None:
    of, out = found
    assert of.quotas_met == 4
    # As many as count are as many as planned; for those that do not, others were asked.
    assert all(12 <= each.answers <= 14 for each in of.estimates)
    assert sum(each.collected - each.answers for each in of.estimates) > 0
    people = of.careful.people + of.careless.people
    assert of.sessions["completed"] >= people
    assert people + of.turned_away == 40
    assert of.careless.people >= 2
    assert of.careless.failed_tests == of.careless.people
    assert of.careful.failed_tests <= of.careful.people / 3
    assert sorted(each.name for each in out.iterdir() if each.suffix != ".parquet") == [
        "answers.csv", "answers.db", "dictionary.json", "simulation.json",
    ]  # fmt: skip
    assert json.loads((out / "simulation.json").read_text("utf-8")) == json.loads(json.dumps(of.record()))
    # The study's folder is as it was.
    assert sorted(each.name for each in folder.iterdir()) == ["images", "study.toml"]
    assert [each.name for each in out.parent.iterdir()] == [out.name]
    stored = open_store(str(out / "answers.db"))
    assert len(stored.sessions()) == sum(of.sessions.values())
    stored.close()


def test_what_is_stored_is_what_people_answered(opened: OpenedStudy, found: tuple[Simulation, Path]) -> None:
    of, out = found
    answers = rows(out)
    true = truths(opened, of.population)
    expected = {
        (each.react(name, true[name], 3).level, *each.react(name, true[name], 3).points)
        for each in observers(of.population)
        for name in opened.sources
    }
    assert len(answers) == sum(each.collected for each in of.estimates) + sum(of.sessions.values())
    for row in answers:
        points = [(float(row[f"y{n}"]), float(row[f"x{n}"])) for n in (1, 2, 3)]
        assert (int(row["level"]), *points) in expected
    careful = [row for row in answers if "failed_tests" not in row["flags"]]
    assert {row["flags"] for row in careful} <= {"", "one_place", "highest_level"}
    for each in of.estimates:
        levels = sorted(int(row["level"]) for row in careful if row["source"] == each.source)
        assert each.median == float(np.median(levels))


def test_one_or_many_at_a_time_give_the_same(folder: Path, found: tuple[Simulation, Path], tmp_path: Path) -> None:
    of, out = found
    simulate(folder, of.population, out=tmp_path / "one", threads=1)
    assert (tmp_path / "one" / "simulation.json").read_bytes() == (out / "simulation.json").read_bytes()

    def told(row: dict[str, str]) -> list[str]:
        return [row[name] for name in row if name not in ("session", "received")]

    assert list(map(told, rows(tmp_path / "one"))) == list(map(told, rows(out)))


@pytest.mark.parametrize("kind", ["link", "prolific"])
def test_people_come_from_every_platform(folder: Path, tmp_path: Path, kind: str) -> None:
    of = _elsewhere(folder, tmp_path, platform=PLATFORMS[kind], quota={**QUOTA, "answers": 2})
    found = simulate(of, Population(4))
    # Two people with two sessions each, whom the platform sends again.
    assert (found.quotas_met, found.sessions, found.most_sessions) == (4, {"completed": 4}, 1)
    few = simulate(of, Population(2))
    assert (few.quotas_met, few.sessions, few.most_sessions) == (4, {"completed": 4}, 2)


def _elsewhere(folder: Path, where: Path, **changes: Any) -> Path:
    """The study with changes, in a folder of its own."""
    made = where / "changed"
    made.mkdir()
    (made / "images").mkdir()
    for image in (folder / "images").iterdir():
        os.link(image, made / "images" / image.name)
    value = tables(source=[entry(f"S{i}") for i in range(4)], quota=QUOTA)
    (made / "study.toml").write_text(toml({**value, **changes}), "utf-8")
    return made


def test_the_careless_are_screened_out(folder: Path, tmp_path: Path) -> None:
    quota = {"answers": 30, "images": 1, "tests": 1, "screen_after": 2}
    found = simulate(_elsewhere(folder, tmp_path, quota=quota), Population(20, careless=0.3, lapse=0))
    assert found.careless.people == 6
    assert found.careless.screened_out == found.careless.failed_tests == 6
    # After two test images, one of which is enough to be out, some of the careful are, too.
    assert found.careful.screened_out < found.careful.people / 2
    assert found.quotas_met == 0
    assert found.most_sessions == 4
    assert "nobody is screened out before" not in "\n".join(found.lines())


def estimate(source: str, width: float, *, answers: int = 10, step: float = 1.0) -> SourceEstimate:
    return SourceEstimate(source, answers, {}, 50.0, 50.0, 50.0, 50.0 + width, step)


def test_the_verdict_is_by_the_middle_of_the_sources() -> None:
    plan = study(sources=3, answers=40)
    found = judge_plan(plan, [estimate("a", 4), estimate("b", 12), estimate("c", 20)], 6)
    # As many answers four times narrow an interval to its half.
    assert (found.width, found.enough, found.needed) == (6, True, 40)
    assert str(found) == "40 answers per source give an interval of 6.0 levels (median over sources); enough for 6"
    found = judge_plan(plan, [estimate("a", 12)], 3)
    assert (found.width, found.enough, found.needed) == (6, False, 160)
    assert str(found).endswith("not enough for 3: it takes about 160")
    # Others are asked for answers that are left out.
    left_out = replace(estimate("a", 4, answers=40), left_out={"failed_tests": 10})
    assert judge_plan(plan, [left_out], 4).width == 4
    coarse = judge_plan(plan, [estimate("a", 12, step=10)], 3)
    assert (coarse.width, coarse.enough, coarse.needed) == (10, False, None)
    assert str(coarse).endswith("the levels are too far apart")
    none = judge_plan(plan, [SourceEstimate("a", 1, {}, 5, 5, None, None)], 3)
    assert (none.width, none.enough, none.needed) == (None, None, None)
    assert "unknown whether the planned answers are enough: no source has 6 answers" in str(none)
    few = judge_plan(study(sources=1, answers=5), [estimate("a", 4)], 3)
    assert (few.width, few.enough, few.needed) == (None, False, None)
    assert str(few) == "5 answers per source are not enough: an interval needs at least 6"
    # No fewer than have an interval.
    assert judge_plan(plan, [estimate("a", 4)], 50).needed == 6


def test_the_report_names_what_is_missed(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    late = _elsewhere(folder, tmp_path, quota={**QUOTA, "screen_after": 10})
    assert main(["study", "simulate", str(late), "--participants", "10", "--width", "3", "--seed", "3"]) == 0
    told = capsys.readouterr().out
    assert "10 simulated people" in told
    assert "answers that count: no interval" not in told
    assert "nobody is screened out before 10 sessions" in told
    assert "quota: 0 of 4 sources have 12 answers" in told
    assert "not enough for 3: it takes about " in told.splitlines()[-1]


def test_the_report_says_that_answers_are_too_few(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["study", "simulate", str(folder), "--participants", "4"]) == 0
    told = capsys.readouterr().out
    assert "4 of 4 sources have fewer than 6 answers that count: no interval" in told
    assert told.splitlines()[-1] == (
        "unknown whether the planned answers are enough: no source has 6 answers that count"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--width", "0"], "--width is 0; give a number above 0"),
        (["--participants", "0"], "--participants is 0; give a whole number from 1"),
        (["--bias", "-1"], "--bias is -1; give a number from 0 to 100"),
        (["--careless", "1.5"], "--careless is 1.5; give a number from 0 to 1"),
        (["--lapse", "nan"], "--lapse is nan; give a number from 0 to 1"),
        (["--seed", "-1"], "--seed is -1; give a whole number from 0"),
        (["--threads", "0"], "--threads is 0; give a whole number from 1"),
        (["--keep"], "--keep: needs --out"),
        (["--out", "."], "exists already"),
        (["--database", "study.toml"], "exists already; give a new --database"),
        (["--database", "mysql://a/b"], "pass the path of a file, or postgresql://"),
    ],
)
def test_what_is_wrong_ends_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    assert main(["study", "simulate", *options]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert sorted(each.name for each in folder.iterdir()) == ["images", "study.toml"]


def test_images_that_nobody_can_tell_apart_are_named(tmp_path: Path) -> None:
    write_study(tmp_path, levels=(10, 20))
    for name in ("S0", "S1"):
        for each in (tmp_path / "images").glob(f"{name}*"):
            save(each, photo(0))
    with pytest.raises(PixqError, match="S1: has the same reference and highest level as S0"):
        simulate(tmp_path, Population(1), database=str(tmp_path / "new.db"))
    assert not list(tmp_path.glob("new.db*"))


def test_a_database_of_another_study_is_left_alone(
    opened: OpenedStudy, found: tuple[Simulation, Path], tmp_path: Path
) -> None:
    own, other = tmp_path / "own.db", tmp_path / "other.db"
    shutil.copyfile(found[1] / "answers.db", own)
    store = open_store(str(other))
    store.setdefault_fact("key", "of another")
    store.close()
    for number, database in enumerate((own, other)):
        private = tmp_path / str(number)
        private.mkdir()
        before = database.read_bytes()
        with pytest.raises(PixqError, match="is in use by a study"):
            rehearse(opened, Population(1), str(database), private)
        assert database.read_bytes() == before


def test_a_server_that_does_not_begin_says_why(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PixqError, match=r"study\.toml: No such file"), run_server(tmp_path, "a.db", tmp_path):
        pass
    (tmp_path / "study.key").write_text("none")
    (tmp_path / "study.key").chmod(0o600)
    with pytest.raises(PixqError, match="is not a key"), run_server(folder, str(tmp_path / "a.db"), tmp_path):
        pass


def test_a_server_that_breaks_off_ends_the_rehearsal(opened: OpenedStudy, tmp_path: Path) -> None:
    async def spoilt(visit: Any) -> None:
        visit.client.token = "a" * 43
        await take_part_over_http(visit)

    with pytest.raises(PixqError, match="ended early because its server did not answer: POST /api/events: 401"):
        rehearse(opened, Population(2), str(tmp_path / "a.db"), tmp_path, stage=lambda port: nullcontext(spoilt))


def test_the_client_says_what_the_server_refused(folder: Path, tmp_path: Path) -> None:
    async def wrong(port: int) -> None:
        client = Participant(port, {"participant": "somebody"})
        await client.start()
        assert (client.step, client.ended) == ("consent", False)
        with pytest.raises(UnexpectedResponse, match=r"409.*the session is at consent"):
            await client.send_event({}, kind="survey")
        with pytest.raises(UnexpectedResponse, match="GET /api/image: 404"):
            await client.fetch_images("none")
        await client.send_event({"agreed": False})
        assert client.ended
        client.close()

    with run_server(folder, str(tmp_path / "a.db"), tmp_path) as port:
        asyncio.run(wrong(port))


def test_an_answer_waits_for_no_receipt_of_its_head() -> None:
    with open_socket("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.close()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT to send")
def test_ctrl_c_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "pixq", "study", "simulate", str(folder), "--out", str(tmp_path / "out")]
    command += ["--participants", "5000", "--database", str(tmp_path / "answers.db")]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        until = time.monotonic() + 60
        # The first session has begun.
        while not _begun(tmp_path / "answers.db") and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1]) == (130, "pixq: interrupted")
    assert [each.name for each in tmp_path.iterdir()] == ["scratch"]
    assert list(scratch.iterdir()) == []


def _begun(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])
    except sqlite3.OperationalError:
        return False


@pytest.mark.slow
def test_postgresql_gives_the_same_and_keeps_the_answers(
    folder: Path, found: tuple[Simulation, Path], tmp_path: Path
) -> None:
    of, out = found
    with databases.postgresql() as url:
        database = databases.fresh(url)
        simulate(folder, of.population, out=tmp_path / "out", database=database)
        assert (tmp_path / "out" / "simulation.json").read_bytes() == (out / "simulation.json").read_bytes()
        assert not (tmp_path / "out" / "answers.db").exists()
        stored = open_store(database)
        assert len(stored.sessions()) == sum(of.sessions.values())
        stored.close()
        with pytest.raises(PixqError, match="is in use by a study"):
            simulate(folder, of.population, database=database)


@pytest.mark.slow
def test_people_before_the_real_page_answer_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (Path(__file__).parents[2] / "python/pixq/study/page/page.js").is_file():
        pytest.skip("the study's page is not bundled; `make build` does it")
    with browser.opened():
        monkeypatch.setenv("PIXQ_BROWSER", str(browser.find()))
    quota = {"answers": 1, "images": 2, "tests": 1}
    # Nobody gets to the end who does not answer every question.
    survey = [question | {"required": True} for question in SURVEY]
    of = _elsewhere(folder, tmp_path, quota=quota, platform=PLATFORMS["prolific"], survey=survey)
    assert main(["study", "simulate", str(of), "--browser", "--participants", "1", "--out", str(tmp_path / "b")]) == 0
    simulate(of, Population(1), out=tmp_path / "h")
    seen, said = rows(tmp_path / "b"), rows(tmp_path / "h")
    assert len(seen) == len(said) == 6
    for one, other in zip(seen, said, strict=True):
        names = ("participant", "session_number", "place", "source", "level", "passed", "step")
        assert [one[name] for name in names] == [other[name] for name in names]
        # A place is a pixel of the screen, and a millimetre of it several of the image.
        for name in ("y1", "x1", "y2", "x2", "y3", "x3"):
            assert float(one[name]) == pytest.approx(float(other[name]), abs=0.5)
        assert json.loads(one["track"])[-1][1] == int(one["level"])
        assert float(one["achieved"]) > 0, "it flickered"


def test_the_browser_needs_playwright(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "playwright", None)
    assert main(["study", "simulate", str(folder), "--browser"]) == 2
    assert "pip install 'pixq[rehearsal]'" in capsys.readouterr().err
