"""The PJND of a source from people's answers, and how sure it is.

The estimate is the median of the levels that people chose: the PJND of an image is the level that half of the people
notice, and a median bears the few who answer at random or never noticed anything. Its interval has the 2.5 and 97.5 %
percentiles of the medians of answers drawn again from these (the bootstrap). Each person answers a source once at most,
so answers are drawn one by one. It is never narrower than the step between the levels that could be chosen: all people
may agree on one of few levels, and tell nothing of what lies between. And there is none of fewer than six answers: no
interval lies beyond the lowest and the highest, and those of five hold the median of all people with 94 % only (the
bootstrap's would hold it with 88 % for four, 77 % for three, 58 % for two; of
six it holds it with 93 %).
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

from pixq.errors import PixqError
from pixq.study.design.config import Study
from pixq.study.design.study_files import OpenedStudy
from pixq.study.results.answers import Answer

__all__ = ["CONFIDENCE", "DRAWS", "FEWEST", "LEFT_OUT", "SourceEstimate", "estimate_source", "estimates_of", "interval"]

#: Of the interval: the share of such intervals that hold the truth.
CONFIDENCE = 0.95
#: Answers of which there is an interval: the median lies between the lowest and the highest of n answers with
#: 1 - 2 / 2**n, which is 94 % for 5 and 97 % for 6.
FEWEST = 6
#: Medians of the bootstrap.
DRAWS = 2000
#: Flags of answers that no estimate is made of.
LEFT_OUT = ("failed_tests", "unfinished")
#: Answers that are drawn at once.
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class SourceEstimate:
    """The PJND of a source, in levels.

    Parameters
    ----------
    source
        Its id.
    answers
        That the estimate is made of.
    left_out
        Answers that it is not made of, by the flag that says why; see `LEFT_OUT`.
    median, mean
        Of the levels chosen; `None` where there is no answer. The median is the estimate.
    low, high
        Ends of the median's interval; `None` where there are fewer than `FEWEST` answers.
    step
        Between the levels about the median, halfway on either side; 0 where it is not known.

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
        """All its answers, those left out among them."""
        return self.answers + sum(self.left_out.values())

    @property
    def width(self) -> float | None:
        """Of the interval, in levels."""
        return None if self.low is None or self.high is None else self.high - self.low

    def answers_needed(self, width: float) -> int | None:
        """How many answers would make an interval that is at most so wide.

        By the spread found: an interval becomes narrower as the root of the number of answers.

        Parameters
        ----------
        width
            In levels, above 0.

        Returns
        -------
        int or None
            `FEWEST` at least; `None` where there is no interval, or the step between the levels is wider than that.
            These answers are used, all of them: for those that are left out, others must be collected besides.

        Raises
        ------
        PixqError
            If `width` is no number above 0.
        """
        if not 0 < width < math.inf:
            raise PixqError(f"width {width:g}: must be above 0; give the levels that an interval may have")
        if self.width is None or self.step > width:
            return None
        return max(FEWEST, math.ceil(self.answers * (self.width / width) ** 2))


def interval(levels: Sequence[float], *what: object) -> tuple[float, float]:
    """Ends of the interval of the median of some levels.

    Parameters
    ----------
    levels
        Chosen, one a person; `FEWEST` or more, in any order.
    what
        Seeds the draws: the same levels and seeds give the same interval.

    Returns
    -------
    tuple of float
        The lower and the higher end, between the lowest and the highest level.

    Raises
    ------
    ValueError
        If there are fewer.

    Examples
    --------
    >>> interval([10] * 20 + [90], 1, "S1")
    (10.0, 10.0)
    """
    if len(levels) < FEWEST:
        raise ValueError(f"an interval takes {FEWEST} answers or more")
    key = hashlib.blake2b(json.dumps(what).encode(), digest_size=16).digest()
    draws = np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))
    # The order in which answers came says nothing.
    found = np.sort(np.asarray(levels, np.float64))
    at_once = max(1, _AT_ONCE // len(found))
    medians = np.concatenate(
        [
            np.median(found[draws.integers(0, len(found), (min(at_once, DRAWS - begun), len(found)))], axis=1)
            for begun in range(0, DRAWS, at_once)
        ]
    )
    out = (1 - CONFIDENCE) / 2
    # Ends that answers can have: a level, or the middle between two.
    low = np.quantile(medians, out, method="lower")
    high = np.quantile(medians, 1 - out, method="higher")
    return float(low), float(high)


def estimate_source(study: Study, source: str, levels: Collection[int], answers: Iterable[Answer]) -> SourceEstimate:
    """The PJND of one source.

    Parameters
    ----------
    study
        Whose seed the interval is drawn with.
    source
        Its id.
    levels
        That could be chosen; the reference is 0, whether it is among them or not.
    answers
        About it, with their flags; the order does not matter. Those that `LEFT_OUT` names are not used: of people who
        failed the test images, and of sessions that were not completed.

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
    """Halfway from a level to the one below, and to the one above where there is one."""
    below = max((each for each in levels if each < level), default=0)
    above = min((each for each in levels if each > level), default=level)
    return (below + level) / 2, (level + above) / 2


def estimates_of(opened: OpenedStudy, answers: Iterable[Answer]) -> list[SourceEstimate]:
    """The PJND of every source of a study, in the study's order; those nobody answered are there too.

    Parameters
    ----------
    opened
        The study, and the levels of its sources.
    answers
        Of any of its sources, with their flags; those about test images are passed over.
    """
    by_source: dict[str, list[Answer]] = defaultdict(list)
    for each in answers:
        by_source[each.source].append(each)
    return [
        estimate_source(opened.study, each.id, opened.sources[each.id].levels, by_source[each.id])
        for each in opened.study.source
    ]
