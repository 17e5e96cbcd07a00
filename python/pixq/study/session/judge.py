"""Judges answers to images with a ground truth, and decides who may start another session.

An answer is correct if its PJND lies in the range of the image, and at least two of its points match points of the
ground truth, one to one, within two sigma. Sigma is 35 pixels in an image of 640x480, and scales with width and height
separately.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations
from typing import Literal

from pixq.study.constants import CONSTANTS
from pixq.study.design.config import Quota, Source, TruthSource

__all__ = [
    "NEEDED", "REFERENCE_SIZE", "SIGMA", "SIGMAS", "Eligibility", "Judgement", "eligibility", "judge", "judge_source",
]  # fmt: skip

_JUDGEMENT = CONSTANTS["judgement"]
#: Of a click, in pixels of an image of `REFERENCE_SIZE`.
SIGMA: int = _JUDGEMENT["sigma"]
#: Width and height.
REFERENCE_SIZE: tuple[int, int] = tuple(_JUDGEMENT["reference_size"])
#: How many sigma away a point may be from what it matches.
SIGMAS: int = _JUDGEMENT["sigmas"]
#: How many points must match.
NEEDED: int = _JUDGEMENT["needed"]
_MAX_POINTS: int = _JUDGEMENT["max_points"]

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Judgement:
    """The result of judging an answer.

    Parameters
    ----------
    in_range
        Whether the PJND lies in the range, which includes its ends.
    matched
        Pairs (index of the answer's point, index of the true point) that match one to one: as many as possible.
    """

    in_range: bool
    matched: tuple[tuple[int, int], ...]

    @property
    def passed(self) -> bool:
        """Whether the answer is correct."""
        return self.in_range and len(self.matched) >= NEEDED


def judge(
    pjnd: float,
    points: Points,
    *,
    pjnd_range: tuple[float, float],
    truth: Points,
    width: int,
    height: int,
) -> Judgement:
    """Judge an answer.

    Parameters
    ----------
    pjnd
        Level of the answer, 0 to 100.
    points
        Clicks of the answer, (y, x) in pixels of the image; at most six. A point with NaN matches nothing.
    pjnd_range
        Lowest and highest accepted level.
    truth
        Where people see the change first, (y, x) in pixels of the image; at most six.
    width, height
        Size of the image in pixels.

    Raises
    ------
    ValueError
        If there are more than six points, or the image is empty.

    Examples
    --------
    >>> truth = [(261, 111), (434, 566), (41, 450)]
    >>> found = judge(12, [(40, 440), (265, 100), (10, 10)], pjnd_range=(10, 17), truth=truth, width=640, height=480)
    >>> found.passed, found.matched
    (True, ((0, 2), (1, 0)))
    """
    if max(len(points), len(truth)) > _MAX_POINTS:
        raise ValueError(f"at most {_MAX_POINTS} points can be matched; pass fewer")
    if width < 1 or height < 1:
        raise ValueError(f"the image size {width}x{height} is not positive; pass its width and height in pixels")
    near = {
        (i, j) for i, point in enumerate(points) for j, place in enumerate(truth) if _near(point, place, width, height)
    }
    low, high = pjnd_range
    # A comparison with NaN is false, as it should be.
    return Judgement(low <= pjnd <= high, _matching(near, len(points), len(truth)))


def judge_source(source: Source, pjnd: float, points: Points, width: int, height: int) -> Judgement | None:
    """Judge an answer to a source by its ground truth; `None` if it has none. See `judge`."""
    if not isinstance(source, TruthSource):
        return None
    return judge(pjnd, points, pjnd_range=source.pjnd_range, truth=source.points_yx, width=width, height=height)


def _near(point: tuple[float, float], place: tuple[float, float], width: int, height: int) -> bool:
    if not all(map(math.isfinite, (*point, *place))):
        return False
    # Exact fractions: a point on the border matches in an image of any size.
    y = (Fraction(point[0]) - Fraction(place[0])) * Fraction(REFERENCE_SIZE[1], height)
    x = (Fraction(point[1]) - Fraction(place[1])) * Fraction(REFERENCE_SIZE[0], width)
    return y * y + x * x <= (SIGMAS * SIGMA) ** 2


def _matching(near: set[tuple[int, int]], points: int, truths: int) -> tuple[tuple[int, int], ...]:
    """The first of the largest sets of pairs in `near` that share no point; all assignments are tried."""
    best: tuple[tuple[int, int], ...] = ()
    for order in permutations(range(max(points, truths)), points):
        pairs = tuple((i, j) for i, j in enumerate(order) if (i, j) in near)
        if len(pairs) > len(best):
            best = pairs
    return best


Eligibility = Literal["welcome", "screened_out", "finished"]


def eligibility(quota: Quota, sessions: int, passed: Sequence[bool]) -> Eligibility:
    """Whether a person may start another session.

    Parameters
    ----------
    quota
        Quota of the study.
    sessions
        Number of sessions that the person has completed.
    passed
        For each test image that the person has answered, whether the answer was correct.

    Returns
    -------
    str
        `screened_out` if the person has completed enough sessions, but passed too few test images; otherwise `finished`
        after the last session, and `welcome` before it. Nobody is screened out who has seen no test image.

    Examples
    --------
    >>> eligibility(Quota(), 10, [True] * 13 + [False] * 7), eligibility(Quota(), 10, [True] * 14 + [False] * 6)
    ('screened_out', 'welcome')
    """
    # As a fraction: in floats, 0.7 * 20 is greater than 14.
    share = Fraction(str(quota.screen_below))
    if sessions >= quota.screen_after and passed and Fraction(sum(passed), len(passed)) < share:
        return "screened_out"
    return "finished" if sessions >= quota.max_sessions else "welcome"
