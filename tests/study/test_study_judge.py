"""When an answer to a test image is correct, and when a person is screened out."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixq.study.design.config import Quota
from pixq.study.session.judge import Judgement, eligibility, judge

# Published with LocJND: Test_SRC0027.
TRUTH = [(261, 111), (434, 566), (41, 450)]

coordinate = st.floats(0, 640, allow_nan=False)
points = st.lists(st.tuples(coordinate, coordinate), min_size=0, max_size=4)


def at(
    clicks: list[tuple[float, float]], pjnd: float = 12, truth: object = TRUTH, size: object = (640, 480)
) -> Judgement:
    return judge(pjnd, clicks, pjnd_range=(10, 17), truth=truth, width=size[0], height=size[1])  # type: ignore[arg-type, index]


def test_two_of_three_in_range_pass() -> None:
    assert at([(261, 111), (434, 566), (0, 0)]).passed
    assert not at([(261, 111), (0, 0), (0, 300)]).passed


@pytest.mark.parametrize(("pjnd", "inside"), [(9, False), (10, True), (17, True), (18, False), (math.nan, False)])
def test_the_ends_of_the_range_belong_to_it(pjnd: float, inside: bool) -> None:
    found = at([*TRUTH], pjnd)
    assert found.in_range is found.passed is inside
    assert len(found.matched) == 3


# 42, 56, 70 is a right-angled triangle: by hand, a distance of exactly two sigma.
@pytest.mark.parametrize(
    ("move", "near"),
    [((0, 70), True), ((70, 0), True), ((42, 56), True), ((0, 70.000001), False), ((42, 56.000001), False)],
)
def test_the_border_of_two_sigma_belongs_to_it(move: tuple[float, float], near: bool) -> None:
    moved = (261 + move[0], 111 + move[1])
    assert len(at([moved]).matched) == near


@pytest.mark.parametrize("size", [(640, 480), (1280, 480), (640, 960), (333, 1017), (7, 4999)])
def test_sigma_scales_by_width_and_height_apart(size: tuple[int, int]) -> None:
    width, height = size
    truth = [(height / 2, width / 2)]
    # Of an image of 640x480, the reach is 70 of its 640 columns, and 70 of its 480 rows.
    for share, near in ((0.999, True), (1.001, False)):
        assert len(at([(height / 2, width / 2 + share * 70 * width / 640)], 12, truth, size).matched) == near
        assert len(at([(height / 2 + share * 70 * height / 480, width / 2)], 12, truth, size).matched) == near


@pytest.mark.slow
@given(points, points, st.sampled_from([(640, 480), (320, 600)]))
def test_the_order_of_points_does_not_matter(clicks: list, truth: list, size: tuple[int, int]) -> None:
    expected = len(at(clicks, 12, truth, size).matched)
    for order in permutations(clicks):
        assert len(at(list(order), 12, truth, size).matched) == expected
    for order in permutations(truth):
        assert len(at(clicks, 12, list(order), size).matched) == expected
    assert len(at(truth, 12, clicks, size).matched) == expected


@given(points, points)
def test_pairs_are_one_to_one_and_near(clicks: list, truth: list) -> None:
    matched = at(clicks, 12, truth).matched
    assert len({i for i, _ in matched}) == len({j for _, j in matched}) == len(matched)
    for i, j in matched:
        # A tolerance of one millionth for floats.
        assert math.dist(clicks[i], truth[j]) <= 70 * (1 + 1e-6)


@given(points, points)
def test_no_other_way_matches_more(clicks: list, truth: list) -> None:
    """Compared with augmenting paths (Kuhn), an independent algorithm for a maximum matching."""
    near = [[j for j, t in enumerate(truth) if math.dist(c, t) <= 70] for c in clicks]
    owner: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for j in near[i]:
            if j not in tried:
                tried.add(j)
                if j not in owner or place(owner[j], tried):
                    owner[j] = i
                    return True
        return False

    assert len(at(clicks, 12, truth).matched) == sum(place(i, set()) for i in range(len(clicks)))


@given(coordinate, coordinate, st.floats(-30, 30), st.floats(-30, 30))
def test_two_clicks_near_one_place_count_once(y: float, x: float, dy: float, dx: float) -> None:
    truth = [(y, x), (y + 1000, x), (y, x + 1000)]
    assert len(at([(y, x), (y + dy, x + dx), (y + dy / 2, x)], 12, truth).matched) == 1


def test_a_greedy_match_would_be_less() -> None:
    # The first click is near both places, the second near the first place alone.
    assert len(at([(100, 100), (100, 40)], 12, [(100, 90), (100, 160)]).matched) == 2


def test_no_number_matches_nothing() -> None:
    found = at([(math.nan, 111), (math.inf, 566), (41, -math.inf)])
    assert found.matched == ()


def test_what_could_not_be_tried_in_all_ways_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 6 points can be matched"):
        at([(0, 0)] * 7)
    with pytest.raises(ValueError, match="0x480"):
        at([(0, 0)], size=(0, 480))


@pytest.mark.parametrize(
    ("sessions", "right", "of", "expected"),
    [
        (9, 0, 18, "welcome"),
        (10, 13, 20, "screened_out"),
        (10, 14, 20, "welcome"),
        (19, 38, 38, "welcome"),
        (20, 38, 40, "finished"),
        (20, 0, 40, "screened_out"),
        (10, 0, 0, "welcome"),
    ],
)
def test_who_may_go_on(sessions: int, right: int, of: int, expected: str) -> None:
    assert eligibility(Quota(), sessions, [True] * right + [False] * (of - right)) == expected
