"""The state machine: whatever a page sends, in whichever order, a session can continue, and ends where it must."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")

from hypothesis import given
from hypothesis import strategies as st

from pixq.study.design.config import Platform, Quota, Source, Study
from pixq.study.session.event_payloads import EVENT_KINDS, LOGGED_KINDS
from pixq.study.session.participants import completion, links, person
from pixq.study.session.session_plan import GroundTruth, Item, SessionPlan, rules_of
from pixq.study.session.state_machine import CALIBRATIONS, TRAININGS, SessionProgress, advance, replay
from pixq.study.store.keys import Key
from pixq.study.store.records import Event

TRUTH = GroundTruth((10, 12), ((100.0, 100.0), (300.0, 500.0)))
STUDY = Study(
    title="t", contact="c", consent={"en": "?"}, quota=Quota(tests=0), min_window=(1000, 700), min_screen_cm=17,
    source=(Source(id="S", codec="JPEG", reference="s.png", levels="s_*.jpg"),),
)  # fmt: skip


def item(key: str, kind: Any, truth: GroundTruth | None = None) -> Item:
    return Item(key, f"source of {key}", kind, "JPEG", 640, 480, (5, 10, 40), truth)


PLAN = SessionPlan(
    "1",
    rules_of(STUDY),
    (item("a", "training", TRUTH),),
    (item("b", "source"), item("c", "test", TRUTH), item("d", "source")),
)


def answer(
    key: str, pjnd: int = 10, points: Any = ((105, 95), (300, 510), (0, 0)), track: Any = ((0, 0), (9, 10))
) -> dict[str, Any]:
    return {"key": key, "pjnd": pjnd, "points": [list(p) for p in points], "track": [list(t) for t in track]}


WHOLE: list[tuple[str, dict[str, Any]]] = [
    ("opened", {}), ("consent", {"agreed": True}),
    ("check", {"mobile": False, "width": 1000, "height": 700, "rate": 16.0}),
    ("calibration", {"px_per_cm": 40, "screen_height": 680}), ("instructions", {}), ("training", answer("a")),
    ("frames", {"late": 3}), ("trial", answer("b")), ("trial", answer("c")), ("trial", answer("d", 40)), ("survey", {}),
]  # fmt: skip


def events(said: list[tuple[str, dict[str, Any]]]) -> list[Event]:
    return [Event(n, kind, float(n), "", json.dumps(data)) for n, (kind, data) in enumerate(said)]


def after(*said: tuple[str, dict[str, Any]]) -> SessionProgress:
    return replay(PLAN, events(list(said)))


def test_the_whole_way() -> None:
    steps = [replay(PLAN, events(WHOLE[:n])).step for n in range(len(WHOLE) + 1)]
    assert steps == [
        "consent", "consent", "check", "calibration", "instructions", "training", "trial", "trial", "trial", "trial",
        "survey", "completed",
    ]  # fmt: skip
    found = replay(PLAN, events(WHOLE))
    assert [(each.place, each.number, each.passed) for each in found.answers] == [
        (0, 7, None),
        (1, 8, True),
        (2, 9, None),
    ]
    assert [each.passed for each in found.trained] == [True]
    assert (found.next, found.ended, found.reason) == (len(WHOLE), True, "")


# Events of any kind, with valid, nearly valid or arbitrary data.
data = st.one_of(
    st.sampled_from([each for _, each in WHOLE]),
    st.builds(
        answer, st.sampled_from(["a", "b", "c", "d", ""]), st.sampled_from([5, 10, 40, 11, 0, -1]),
        st.lists(st.tuples(st.floats(-1, 641), st.floats(-1, 641)), max_size=4),
        st.lists(st.tuples(st.floats(0, 9), st.floats(0, 40)), max_size=3),
    ),
    st.dictionaries(
        st.sampled_from(["agreed", "mobile", "width", "height", "rate", "px_per_cm", "screen_height", "key", "pjnd"]),
        st.one_of(st.none(), st.booleans(), st.integers(-2, 2000), st.floats(-2, 2000), st.text(max_size=3)),
    ),
)  # fmt: skip
said = st.lists(st.one_of(st.sampled_from(WHOLE), st.tuples(st.sampled_from(EVENT_KINDS), data)), max_size=40)


@given(said)
def test_any_prefix_of_any_events_goes_on(said: list[tuple[str, dict[str, Any]]]) -> None:
    every, progress = events(said), SessionProgress()
    for event in every:
        stood = progress
        progress, wrong = advance(PLAN, progress, event)
        assert progress.next == event.number + 1
        if wrong:
            assert "\n" not in wrong
            # Only the number of the next event changes.
            assert progress == stood.__class__(**{**stood.__dict__, "next": progress.next})
        if stood.ended:
            assert progress.step == stood.step
            assert bool(wrong) == (event.kind not in LOGGED_KINDS)
        assert list(range(len(progress.answers))) == [each.place for each in progress.answers]
    # Whatever came before, honest answers lead to the end.
    honest = {kind: data for kind, data in WHOLE if kind not in ("training", "trial")}
    for _ in range(20):
        if progress.ended:
            break
        given = honest.get(progress.step) or answer("a" if progress.step == "training" else "bcd"[progress.index])
        progress, wrong = advance(PLAN, progress, Event(progress.next, progress.step, 0.0, "", json.dumps(given)))
        assert not wrong
    assert progress.ended


@given(said, st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=12))
def test_batches_that_come_again_lead_to_the_same_place(
    said: list[tuple[str, dict[str, Any]]], batches: list[tuple[int, int]]
) -> None:
    every = events(said)
    once = replay(PLAN, every)
    progress = SessionProgress()
    for first, end in batches:
        # A gap is never stored, so it is never replayed.
        if first <= progress.next:
            progress = replay(PLAN, every[first : max(first, end)], progress)
    assert replay(PLAN, every, progress) == once


def test_who_does_not_agree_is_asked_nothing() -> None:
    found = after(("consent", {"agreed": False}), *WHOLE[1:])
    assert (found.step, found.reason) == ("failed", "consent")


@pytest.mark.parametrize(
    "wrong", [{"width": 999}, {"height": 699.5}, {"rate": 15.9}, {"width": None}, {"rate": "60"}, {"mobile": 0}]
)
def test_a_window_too_small_is_checked_again(wrong: dict[str, Any]) -> None:
    bad = ("check", {**WHOLE[2][1], **wrong})
    assert after(*WHOLE[:2], bad, bad).step == "check"
    assert after(*WHOLE[:2], bad, WHOLE[2]).step == "calibration"
    found = after(*WHOLE[:2], ("check", {**WHOLE[2][1], "mobile": True}))
    assert (found.step, found.reason) == ("failed", "mobile")


def test_three_calibrations_and_a_friendly_end() -> None:
    low = ("calibration", {"px_per_cm": 40, "screen_height": 679})
    assert CALIBRATIONS == 3
    assert [after(*WHOLE[:3], *[low] * n).step for n in (1, 2, 3)] == ["calibration", "calibration", "failed"]
    assert after(*WHOLE[:3], low, low, WHOLE[3]).step == "instructions"
    assert after(*WHOLE[:3], low, low, low).reason == "screen"


def test_training_says_what_was_expected_and_asks_again() -> None:
    wrong = ("training", answer("a", 40))
    found = after(*WHOLE[:5], wrong)
    assert (found.step, found.tries) == ("training", 1)
    # 35 px on 640x480, two sigma.
    assert found.feedback == {
        "key": "a", "passed": False, "in_range": False, "matched": [0, 1], "pjnd_range": [10, 12],
        "points": [[100.0, 100.0], [300.0, 500.0]], "radius": [70.0, 70.0],
    }  # fmt: skip
    right = after(*WHOLE[:5], wrong, WHOLE[5])
    assert right.step == "trial"
    assert right.feedback is not None
    assert right.feedback["passed"]
    assert after(*WHOLE[:5], wrong, WHOLE[5], WHOLE[7]).feedback is None
    assert [after(*WHOLE[:5], *[wrong] * n).step for n in (TRAININGS - 1, TRAININGS)] == ["training", "trial"]


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (answer("c"), "the current image"),
        (answer("b", 11), "not one of the levels"), (answer("b", 0), "not one of the levels"),
        (answer("b", points=((1, 1), (2, 2))), "exactly 3"),
        (answer("b", points=((1, 1), (2, 2), (481, 0))), "outside"),
        (answer("b", points=((1, 1), (2, 2), (0, -0.5))), "outside"), (answer("b", track=()), "not moved"),
        (answer("b", track=((0, 0),)), "not moved"), ({**answer("b"), "pjnd": 10.0}, "pjnd"),
        ({**answer("b"), "pjnd": True}, "pjnd"), ({**answer("b"), "points": [[1, 2, 3]] * 3}, "points"),
    ],
)  # fmt: skip
def test_what_is_no_answer_changes_nothing(bad: dict[str, Any], word: str) -> None:
    before = replay(PLAN, events(WHOLE[:7]))
    found, wrong = advance(PLAN, before, Event(7, "trial", 0.0, "", json.dumps(bad)))
    assert word in wrong
    assert (found.step, found.index, found.answers) == ("trial", 0, ())


def test_a_test_image_is_judged_and_says_nothing() -> None:
    found = after(*WHOLE[:8], ("trial", answer("c", 40)))
    assert found.answers[-1].passed is False
    assert found.feedback is None
    assert found.step == "trial"


def test_without_training_comes_the_first_image() -> None:
    plan = SessionPlan("1", PLAN.rules, (), PLAN.trials)
    found = replay(plan, events(WHOLE[:5]))
    assert (found.step, found.index) == ("trial", 0)


# Platforms and participants.

KEY = Key(bytes(32))


def test_a_link_is_one_persons_and_cannot_be_made_up() -> None:
    made = links(KEY, 50)
    assert len({person("link", KEY, {"token": each}).id for each in made}) == 50
    good = made[0]
    for bad in (
        "",
        good[:-1],
        good + "0",
        good.upper() + " ",
        f"{good[:47]}{'0' if good[47] != '0' else '1'}",
        "0" * 48,
    ):
        with pytest.raises(ValueError, match="link"):
            person("link", KEY, {"token": bad})
    with pytest.raises(ValueError, match="link"):
        person("link", Key(bytes(31) + b"1"), {"token": good})


def test_prolific_needs_its_parameters_and_they_are_not_kept() -> None:
    given = {"PROLIFIC_PID": "5f0000000000000000000001", "STUDY_ID": "s", "SESSION_ID": "5f0000000000000000000002"}
    found = person("prolific", KEY, given)
    assert not set(given.values()) & {found.id, found.visit}
    assert found == person("prolific", KEY, {**given, "STUDY_ID": "other"})
    assert found.id != person("prolific", Key(bytes(31) + b"1"), given).id
    assert found.id != person("local", KEY, {"participant": given["PROLIFIC_PID"]}).id
    for name in ("PROLIFIC_PID", "SESSION_ID"):
        for bad in ("", "{{%PROLIFIC_PID%}}", "a b", "x" * 65):
            with pytest.raises(ValueError, match="Prolific"):
                person("prolific", KEY, {**given, name: bad})


def test_where_people_go_in_the_end() -> None:
    platform = Platform(kind="prolific", done="D", screened_out="S", failed="F")
    for step, code in (("completed", "D"), ("screened_out", "S"), ("failed", "F")):
        url = f"https://app.prolific.com/submissions/complete?cc={code}"
        assert completion(platform, step) == {"code": code, "url": url}
    assert completion(platform, "survey") is None
    assert completion(Platform(), "completed") == {"code": None, "url": None}
