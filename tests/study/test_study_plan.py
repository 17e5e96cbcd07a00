"""Which images a session shows: quotas, no repeated images, hidden test images."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq.study.design.config import Source, Study, TruthSource
from pixq.study.session.allocation import PlannedImage, Reservation, allocate_images, count_with_reservations
from support.studies import TRUTH, entry, study


def run(of: Study, people: int, sessions: int = 1) -> tuple[Counter[str], dict[str, list[tuple[PlannedImage, ...]]]]:
    """Let people take part one after another in all their sessions, and answer everything."""
    answers: Counter[str] = Counter()
    seen: dict[str, list[tuple[PlannedImage, ...]]] = {}
    for person in range(people):
        name = f"p{person}"
        mine = seen.setdefault(name, [])
        for session in range(1, sessions + 1):
            before = [each.source for plan in mine for each in plan]
            plan = allocate_images(of, name, session, answers, before)
            if not plan:
                break
            mine.append(plan)
            answers.update(each.source for each in plan if not each.test)
    return answers, seen


@settings(max_examples=40, deadline=None)
@given(
    sources=st.integers(1, 15),
    images=st.integers(1, 8),
    quota=st.integers(1, 6),
    tests=st.integers(0, 3),
    sessions=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_every_source_gets_its_quota_within_one_and_nobody_sees_one_twice(
    sources: int, images: int, quota: int, tests: int, sessions: int, seed: int
) -> None:
    of = study(sources, 3, seed=seed, answers=quota, images=images, tests=tests)
    # A new person can always answer what is missing.
    answers, seen = run(of, sources * quota + 1, sessions)
    assert {answers[each.id] - quota for each in of.source} <= {0, 1}
    for plans in seen.values():
        met = [each.source for plan in plans for each in plan if not each.test]
        assert len(met) == len(set(met))
        for plan in plans:
            hidden = [each for each in plan if each.test]
            assert len(hidden) == min(tests, len(plan) - 1) == len({each.source for each in hidden})
            assert not plan[0].test
            assert 1 <= len(plan) - len(hidden) <= images


def test_sources_with_fewest_answers_come_first() -> None:
    of = study(6, 2, images=3, tests=1)
    answers = {"S0": 5, "S1": 2, "S2": 9, "S3": 0, "S4": 1, "S5": 5}
    for person in "abcdef":
        plan = allocate_images(of, person, 1, answers)
        assert {each.source for each in plan if not each.test} == {"S1", "S3", "S4"}


def test_a_session_that_nothing_needs_is_empty() -> None:
    of = study(3, 2, answers=2, images=2, tests=1)
    assert allocate_images(of, "p", 1, {"S0": 2, "S1": 2, "S2": 2}) == ()
    assert allocate_images(of, "p", 1, {}, ["S0", "S1", "S2"]) == ()
    left = allocate_images(of, "p", 1, {"S0": 3, "S1": 3, "S2": 1})
    assert [each.source for each in left if not each.test] == ["S2"]


def test_a_plan_depends_on_seed_person_and_session_alone() -> None:
    one, other = study(seed=1), study(seed=2)
    first = allocate_images(one, "p", 1, {})
    assert first == allocate_images(study(seed=1), "p", 1, {})
    # The order of the sources in the file does not matter.
    turned = one.model_copy(update={"source": one.source[::-1], "test": one.test[::-1]})
    assert first == allocate_images(turned, "p", 1, {})
    others = [allocate_images(other, "p", 1, {}), allocate_images(one, "q", 1, {}), allocate_images(one, "p", 2, {})]
    assert all(first != each for each in others)


def test_the_plan_is_the_same_on_every_machine() -> None:
    # Recorded from the first version: a change would give returning people other images.
    found = allocate_images(study(3, 2, images=2, tests=1), "p", 1, {})
    assert [(each.source, each.test) for each in found] == [("S1", False), ("S2", False), ("H1", True)]


def test_tests_lie_at_any_place_but_the_first_with_the_same_probability() -> None:
    of = study(30, 6, images=10, tests=2)
    people = 1100
    places: Counter[int] = Counter()
    which: Counter[tuple[str, int]] = Counter()
    first: Counter[str] = Counter()
    for person in range(people):
        plan = allocate_images(of, f"p{person}", 1, {})
        hidden = [place for place, each in enumerate(plan) if each.test]
        places.update(hidden)
        which.update((plan[place].source, place) for place in hidden)
        first.update([plan[0].source])
    assert set(places) == set(range(1, 12))
    # Chi square over 11 places, 10 degrees of freedom: above 29.6 once in a thousand seeds.
    expected = people * 2 / 11
    assert sum((places[place] - expected) ** 2 / expected for place in range(1, 12)) < 29.6
    # The same for each test image: 66 cells, 65 degrees of freedom: above 105.99 once in a thousand.
    cell = people * 2 / 66
    assert sum((which[f"H{i}", place] - cell) ** 2 / cell for i in range(6) for place in range(1, 12)) < 105.99
    # Every source may be the first: 29 degrees of freedom, 58.3.
    assert sum((first[f"S{i}"] - people / 30) ** 2 / (people / 30) for i in range(30)) < 58.3


def test_both_of_two_tests_may_be_neighbours() -> None:
    of = study(30, 6, images=4, tests=2)
    pairs = Counter(
        tuple(place for place, each in enumerate(allocate_images(of, f"p{i}", 1, {})) if each.test) for i in range(1000)
    )
    # All ways to choose two of five places, 100 times each on average: 27.9 once in a thousand.
    assert len(pairs) == 10
    assert sum((count - 100) ** 2 / 100 for count in pairs.values()) < 27.9


def test_tests_are_used_up_before_one_comes_again() -> None:
    of = study(40, 6, images=5, tests=2)
    _, seen = run(of, 1, 6)
    met = [sorted(each.source for each in plan if each.test) for plan in seen["p0"]]
    assert len({name for pair in met[:3] for name in pair}) == 6
    assert len({name for pair in met[3:] for name in pair}) == 6


def test_one_picture_in_two_codecs_is_shown_to_a_person_once() -> None:
    base = study(4, 2, images=8, tests=1)
    again = tuple(Source(**entry(f"S{i}") | {"id": f"B{i}", "codec": "BPG"}) for i in range(4))
    trained = TruthSource(**entry("S3", **TRUTH) | {"id": "T"})
    of = base.model_copy(update={"source": (*base.source, *again), "training": (trained,)})
    plan = allocate_images(of, "p", 1, {})
    pictures = [each.source[1:] for each in plan if not each.test]
    # The fourth image is a training image.
    assert sorted(pictures) == ["0", "1", "2"]
    assert allocate_images(of, "p", 2, {}, [each.source for each in plan]) == ()


def test_what_an_unfinished_session_holds_counts() -> None:
    held = [Reservation("S0", 100.0), Reservation("S1", 99.0, answered=True)]
    assert count_with_reservations({"S0": 1}, held) == {"S0": 2, "S1": 1}


@pytest.mark.parametrize("missing", [1, 2, 3, 10])
def test_nobody_can_hold_everything(missing: int) -> None:
    answers = {"S": 30 - missing}
    looked_in = [Reservation("S", 0.0, address=f"{n}") for n in range(500)]
    assert count_with_reservations(answers, looked_in, 30)["S"] == 30 - missing + missing // 2
    one_address = [Reservation("S", 0.0, answered=True, address="a") for _ in range(500)]
    assert count_with_reservations(answers, one_address, 30)["S"] == 30 - missing + max(1, missing // 2)
    # Several people who have answered hold their places.
    others = [Reservation("S", 0.0, answered=True, address=f"{n}") for n in range(missing)]
    assert count_with_reservations(answers, others, 30)["S"] == 30
    assert count_with_reservations(answers, [*looked_in, *others], 30)["S"] == 30


def test_people_at_once_are_spread_over_the_sources() -> None:
    of = study(12, 2, answers=5, images=3, tests=1)
    held: list[Reservation] = []
    for person in range(8):
        counts = count_with_reservations({}, held)
        held += [
            Reservation(each.source, 0.0) for each in allocate_images(of, f"p{person}", 1, counts) if not each.test
        ]
    assert set(Counter(each.source for each in held).values()) == {2}


@pytest.mark.parametrize("odd", ["", "p|1", "ü", "\ud800", "x" * 10_000])
def test_any_name_of_a_person_will_do(odd: str) -> None:
    assert len(allocate_images(study(), odd, 1, {})) == 12
