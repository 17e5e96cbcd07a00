"""The smallest file of an image whose difference nobody notices: a codec's strongest level that stays below a limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixq import ranges
from pixq.classes import GREEN, NAMES
from pixq.ladders.codecs import Codec
from pixq.ladders.predict import PjndRule, choose_rule
from pixq.scoring.scorer import Scorer

__all__ = ["ENCODES", "MARGIN", "Limit", "Smallest", "Trial", "choose_limit", "find_smallest"]

#: The most levels that are tried of an image and a codec.
ENCODES = 9

#: How far below what half of the people notice a file must stay: for a run of visibility, at 0.75 JND, where 23 % do.
MARGIN = 0.25


@dataclass(frozen=True)
class Limit:
    """What counts as noticed.

    Parameters
    ----------
    scorer
        The model, with the rule's decision.
    rule
        When a level is noticed.
    margin
        The share, 0 to 1, of the way from the rule's cut to no difference at all by which a file must stay below it.
    max_share
        The share of patches, 0 to 1, that may be other than Green; `None`: any.
    """

    scorer: Scorer
    rule: PjndRule
    margin: float
    max_share: float | None

    @property
    def cut(self) -> float:
        """What `PjndRule.quantile` must reach; for a run of visibility, minus the highest JND."""
        best = 0.0 if self.scorer.scores_visibility and self.rule.share is None else 1.0
        return self.rule.cut.value + self.margin * (best - self.rule.cut.value)


@dataclass(frozen=True)
class Trial:
    """A level that was encoded and scored.

    Parameters
    ----------
    level, parameter
        The codec's level, and its parameter.
    data
        The file.
    jnd, p_notice
        The image's JND, and the share of people who notice.
    noticed
        Whether it is beyond the limit.
    """

    level: int
    parameter: float
    data: bytes
    jnd: float
    p_notice: float
    noticed: bool


@dataclass(frozen=True)
class Smallest:
    """The result of `find_smallest`.

    Parameters
    ----------
    trial
        The strongest level that is within the limit; `None` if even the mildest is not.
    trials
        All levels that were tried, in the order of trying.
    """

    trial: Trial | None
    trials: tuple[Trial, ...]


def choose_limit(
    scorer: Scorer,
    *,
    margin: float = MARGIN,
    max_share: float | None = None,
    stride: int | None = None,
    warn: Callable[[str], None] | None = None,
) -> Limit:
    """The limit for a model; see `pixq.ladders.predict.choose_rule`.

    Raises
    ------
    PixqError
        If a number is out of range, or the model's calibration or cuts can't be used.
    """
    ranges.MARGIN.check(margin, "--margin")
    if max_share is not None:
        ranges.PROBABILITY.check(max_share, "--max-share")
    rule = choose_rule(scorer, stride=stride, warn=warn)
    return Limit(scorer.with_decision(rule.decision), rule, margin, max_share)


def find_smallest(limit: Limit, pixels: NDArray[np.uint8], codec: Codec, chroma: str, name: str = "") -> Smallest:
    """Find the strongest level of a codec that nobody notices, by bisection; no level is encoded twice.

    Bisection takes for granted that what is noticed at one level is noticed at all stronger ones. Where two levels
    below the result are left to try within `ENCODES`, they are tried as well: if one is noticed, what is below it
    counts.

    Parameters
    ----------
    limit
        What counts as noticed.
    pixels
        uint8 (height, width, 3), sRGB.
    codec, chroma
        The codec, and its chroma subsampling, as `Codec.check_chroma` gives it.
    name
        Name of the image, by which random kinds of distortion draw.
    """
    trials: dict[int, Trial] = {}

    def noticed(level: int) -> bool:
        if level not in trials:
            trials[level] = _try(limit, pixels, codec, chroma, name, level)
        return trials[level].noticed

    unnoticed, above = 0, codec.levels + 1
    while above - unnoticed > 1:
        middle = (unnoticed + above) // 2
        if noticed(middle):
            above = middle
        else:
            unnoticed = middle
    below = unnoticed - 1
    while below > 0 and (below in trials or len(trials) < ENCODES):
        if noticed(below):
            unnoticed = below - 1
        below -= 1
    while unnoticed > 0 and unnoticed not in trials:
        unnoticed -= 1
    best = trials.get(unnoticed)
    return Smallest(best if best is not None and not best.noticed else None, tuple(trials.values()))


def _try(limit: Limit, pixels: NDArray[np.uint8], codec: Codec, chroma: str, name: str, level: int) -> Trial:
    value = codec.value(level)
    data = codec.encode(pixels, value, chroma, name)
    quality_map: Any = limit.scorer.map(pixels, codec.decode(data), stride=limit.rule.stride)
    verdict = quality_map.verdict
    noticed = limit.rule.quantile(quality_map) < limit.cut
    if limit.margin == 0.0:
        noticed = bool(limit.rule.cut.below(limit.rule.quantile(quality_map)))
    if limit.max_share is not None:
        noticed = noticed or 1.0 - verdict.shares[NAMES[GREEN]] > limit.max_share
    return Trial(level, value, data, float(verdict.jnd or 0.0), float(verdict.p_notice or 0.0), noticed)
