"""Estimate the PJND of a source from people's answers, with a confidence interval.

The estimate is the median of the chosen levels: the PJND of an image is the level that half of the people notice, and a
median tolerates the few who answer at random or never notice anything. The interval spans the 2.5th to the 97.5th
percentile of medians of resampled answers (the bootstrap). Each person answers a source at most once, so answers are
resampled one by one. The interval is never narrower than the step between the available levels, because people who
agree on one of few levels say nothing about what lies between. Fewer than six answers have no interval: it cannot
extend beyond the lowest and the highest answer, and those of five contain the median of all people with only 94 %
(the bootstrap interval contains it with 58 % for two answers, 77 % for three, 88 % for four and 93 % for six).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from pixq import ranges
from pixq.study.design.config import Study
from pixq.study.design.study_files import OpenedStudy
from pixq.study.results.answers import Answer

__all__ = ["CONFIDENCE", "DRAWS", "FEWEST", "LEFT_OUT", "SourceEstimate", "estimate_source", "estimates_of", "interval"]

#: The confidence of the interval: the share of such intervals that contain the truth.
CONFIDENCE = 0.95
#: The fewest answers with an interval: the median lies between the lowest and the highest of n answers with probability
#: 1 - 2 / 2**n, which is 94 % for 5 and 97 % for 6.
FEWEST = 6
#: Number of bootstrap resamples.
DRAWS = 2000
#: Answers with these flags are left out of estimates.
LEFT_OUT = ("failed_tests", "unfinished", "unseen")
#: How many answers are drawn in one step.
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class SourceEstimate:
    """The PJND of a source, in levels.

    Parameters
    ----------
    source
        Id of the source.
    answers
        How many answers the estimate uses.
    left_out
        How many answers it leaves out, by the flag that says why; see `LEFT_OUT`.
    median, mean
        Median and mean of the chosen levels; `None` without answers. The median is the estimate.
    low, high
        Ends of the median's interval; `None` for fewer than `FEWEST` answers.
    step
        Distance between the levels around the median, halfway on either side; 0 if unknown.

    Examples
    --------
    >>> found = SourceEstimate("S1", 30, {}, 24.0, 24.3, 20.0, 28.0, 1.0)
    >>> found.width, found.answers_needed(8.0), found.answers_needed(4.0)
    (8.0, 30, 120)
    """

    source: str
    answers: int
    left_out: dict[str, int]
    median: float | None
    mean: float | None
    low: float | None
    high: float | None
    step: float = 0.0

    @property
    def collected(self) -> int:
        """All answers to the source, including those left out."""
        return self.answers + sum(self.left_out.values())

    @property
    def width(self) -> float | None:
        """Width of the interval, in levels."""
        return None if self.low is None or self.high is None else self.high - self.low

    def answers_needed(self, width: float) -> int | None:
        """Estimate how many answers would make the interval at most this wide.

        The width of an interval falls with the square root of the number of answers.

        Parameters
        ----------
        width
            The wanted width in levels, above 0.

        Returns
        -------
        int or None
            At least `FEWEST`; `None` if there is no interval, or the step between the levels is wider than `width`. It
            counts the answers that are used: those that are left out must be collected in addition.

        Raises
        ------
        PixqError
            If `width` is not a number above 0.
        """
        ranges.INTERVAL_WIDTH.check(width, "the width")
        if self.width is None or self.step > width:
            return None
        return max(FEWEST, math.ceil(self.answers * (self.width / width) ** 2))


def interval(levels: Sequence[float], *seeds: object) -> tuple[float, float]:
    """Compute the confidence interval of the median of some levels.

    Parameters
    ----------
    levels
        The chosen levels, one per person; `FEWEST` or more, in any order.
    seeds
        Seeds of the draws: the same levels and seeds give the same interval.

    Returns
    -------
    tuple of float
        The lower and the higher end, between the lowest and the highest level.

    Raises
    ------
    ValueError
        If there are fewer levels.

    Examples
    --------
    >>> interval([10] * 20 + [90], 1, "S1")
    (10.0, 10.0)
    """
    if len(levels) < FEWEST:
        raise ValueError(f"an interval needs at least {FEWEST} answers")
    key = hashlib.blake2b(json.dumps(seeds).encode(), digest_size=16).digest()
    draws = np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))
    # The order in which answers came must not matter.
    answers = np.sort(np.asarray(levels, np.float64))
    at_once = max(1, _AT_ONCE // len(answers))
    medians = np.concatenate(
        [
            np.median(answers[draws.integers(0, len(answers), (min(at_once, DRAWS - begun), len(answers)))], axis=1)
            for begun in range(0, DRAWS, at_once)
        ]
    )
    out = (1 - CONFIDENCE) / 2
    # The ends are medians that answers can have: a level, or the middle between two.
    low = np.quantile(medians, out, method="lower")
    high = np.quantile(medians, 1 - out, method="higher")
    return float(low), float(high)


def estimate_source(study: Study, source: str, levels: Collection[int], answers: Iterable[Answer]) -> SourceEstimate:
    """Estimate the PJND of one source.

    Parameters
    ----------
    study
        The study, for its seed.
    source
        Its id.
    levels
        The levels that could be chosen; the reference is 0, whether it is among them or not.
    answers
        Answers about the source with their flags, in any order. Those with a flag of `LEFT_OUT` are not used: people
        failed the test images, sessions were not completed, or nobody can have seen the image.

    Examples
    --------
    >>> estimate_source(study, "SRC01", range(1, 101), answers).median  # doctest: +SKIP
    24.0
    """
    chosen: list[int] = []
    out: dict[str, int] = dict.fromkeys(LEFT_OUT, 0)
    for each in answers:
        why = next((flag for flag in out if flag in each.flags), None)
        if why is None:
            chosen.append(each.level)
        else:
            out[why] += 1
    if not chosen:
        return SourceEstimate(source, 0, out, None, None, None, None)
    chosen.sort()
    middle = float(median(chosen))
    below, above = _cell(middle, levels)
    low = high = None
    if len(chosen) >= FEWEST:
        first, last = interval(chosen, study.seed, "interval", source)
        low, high = min(first, below), max(last, above)
    return SourceEstimate(source, len(chosen), out, middle, fmean(chosen), low, high, above - below)


def _cell(level: float, levels: Collection[int]) -> tuple[float, float]:
    """Give the points halfway from a level to the level below, and to the level above if there is one."""
    below = max((each for each in levels if each < level), default=0)
    above = min((each for each in levels if each > level), default=level)
    return (below + level) / 2, (level + above) / 2


def estimates_of(opened: OpenedStudy, answers: Iterable[Answer]) -> list[SourceEstimate]:
    """Estimate the PJND of every source of a study, in the study's order, even of those that nobody answered.

    Parameters
    ----------
    opened
        The study, and the levels of its sources.
    answers
        Answers about any of its sources, with their flags; those about test images are ignored.
    """
    by_source: dict[str, list[Answer]] = defaultdict(list)
    for each in answers:
        by_source[each.source].append(each)
    return [
        estimate_source(opened.study, each.id, opened.sources[each.id].levels, by_source[each.id])
        for each in opened.study.source
    ]
