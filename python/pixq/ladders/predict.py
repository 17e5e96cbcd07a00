"""Predictions for a ladder: its PJND, and the JND-critical regions of one of its levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from pixq.classes import GREEN
from pixq.decisions.decision import Decision
from pixq.decisions.pjnd_cuts import PJND_CUTS, GreenCut
from pixq.errors import PixqError
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.ladders.critical import DEGREE, POINTS, CriticalPoint, check_points, critical_points
from pixq.ladders.difference import order_warnings
from pixq.ladders.ladder import Ladder, Level, check_options, check_share_used, image_value, level_maps
from pixq.ladders.pjnd import SHARE, Pjnd, pjnd, score_quantile
from pixq.scoring.grid import STRIDE
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import Scorer
from pixq.visibility import jnd_noticed_by

__all__ = [
    "INTERVAL",
    "JND_CUT",
    "LadderPjnd",
    "LadderRegions",
    "LevelMap",
    "PjndRule",
    "choose_rule",
    "predict_pjnd",
    "predict_regions",
]


#: Where the PJND of a run of `visibility` has its interval: these shares of people notice.
INTERVAL = (0.25, 0.75)

#: 1 JND or more is noticed by half of the people or more.
JND_CUT = GreenCut(
    -jnd_noticed_by(0.5), low=-jnd_noticed_by(INTERVAL[1]), high=-jnd_noticed_by(INTERVAL[0]), inclusive=True
)


@dataclass(frozen=True)
class PjndRule:
    """When a level counts as noticed.

    Parameters
    ----------
    decision
        What turns the patches' scores into classes.
    cut
        The decision's Green cut with its interval, on the scale of the decision: score or quality. Without `share`, it
        is minus the JND from which an image is noticed.
    share
        The share of patches that must not be Green. `None`: the JND of the image decides.
    stride
        Pixels between patches.
    name
        Name of the calibration that the cut comes from, or `pjnd` for that of `pjnd.json`; `None` if it was not
        fitted.
    """

    decision: Decision
    cut: GreenCut
    share: float | None
    stride: int
    name: str | None = None

    @property
    def by_people(self) -> bool:
        """Whether the PJND is where half of the people notice, and its interval where 25 % and 75 % do."""
        return self.share is None and self.name is None

    def quantile(self, quality_map: QualityMap) -> float:
        """What is compared with the cut: minus the image's JND, or a quantile (`pixq.ladders.pjnd.score_quantile`)."""
        if self.share is None:
            return image_value(quality_map)
        values = quality_map.score
        if self.decision.scale == "quality":
            values = np.where(quality_map.identical, math.inf, quality_map.quality)
        return score_quantile(values, self.share)


@dataclass(frozen=True)
class LevelMap:
    """A level of a ladder, its map, what is compared with the cut (`PjndRule.quantile`), and whether it is noticed."""

    level: Level
    map: QualityMap
    quantile: float
    noticed: bool


@dataclass(frozen=True)
class LadderPjnd:
    """The result of `predict_pjnd`: the rule, the levels, rising, and the PJND."""

    rule: PjndRule
    levels: tuple[LevelMap, ...]
    pjnd: Pjnd


@dataclass(frozen=True)
class LadderRegions:
    """The result of `predict_regions`.

    Parameters
    ----------
    rule
        The rule that chose the level.
    level
        The level that was looked at; `None` if none is noticed.
    map
        Its map.
    points
        The JND-critical places, the most visible one first.
    """

    rule: PjndRule
    level: Level | None
    map: QualityMap | None
    points: tuple[CriticalPoint, ...]


def choose_rule(
    scorer: Scorer, share: float | None = None, stride: int | None = None, warn: Callable[[str], None] | None = None
) -> PjndRule:
    """The rule for a run: the cuts that people's PJNDs chose win over a calibration, unless one was asked for by name.

    For a run of `visibility` without either, levels are noticed from 1 JND on.

    Parameters
    ----------
    scorer
        The model.
    share, stride
        See `PjndRule`. `None`: those that the cut was chosen with, or else `SHARE` and `STRIDE`. A share of patches
        says nothing where the JND of the image decides.
    warn
        Called with one line for each reason to doubt the rule.

    Raises
    ------
    PixqError
        If a number is out of range, the share would have no effect, or the calibration or the cuts can't be used.
    """
    warn = warn or (lambda line: None)
    check_options(scorer, share, stride)
    if scorer.scores_visibility and (scorer.calibration_name is None or scorer.calibration is None):
        return _jnd_rule(scorer, share, stride)
    by_people = scorer.calibration_name is None and scorer.pjnd_cuts is not None
    calibration = None if by_people else scorer.calibration
    pjnd_cuts = scorer.pjnd_cuts if calibration is None else None
    decision = Decision.choose(calibration, pjnd_cuts)
    cut = GreenCut(decision.cuts[GREEN - 1])
    if calibration is not None:
        cut = replace(cut, low=calibration.cuts.green.low, high=calibration.cuts.green.high)
    elif pjnd_cuts is not None:
        cut = pjnd_cuts.cut
        for option, value, chosen in (("share", share, pjnd_cuts.share), ("stride", stride, pjnd_cuts.stride)):
            if value is not None and value != chosen:
                warn(f"the Green cut was chosen with --{option} {chosen:g}, not {value:g}")
        share, stride = share or pjnd_cuts.share, stride or pjnd_cuts.stride
    else:
        warn(
            "no cut was chosen for this run, so Green follows from quality alone; choose one with pixq calibrate "
            "--ladders, on ladders whose PJNDs people gave"
        )
    return PjndRule(decision, cut, share or SHARE, stride or STRIDE, decision.name)


def _jnd_rule(scorer: Scorer, share: float | None, stride: int | None) -> PjndRule:
    """The rule for a run of `visibility`: the image's JND counts, and patches get their classes from P(notice)."""
    check_share_used(share, "remove it, or name a calibration with --calibration")
    cuts, decision = scorer.pjnd_cuts, Decision.choose(None, visibility=True)
    if cuts is not None:
        return PjndRule(decision, cuts.cut, None, stride or cuts.stride, PJND_CUTS)
    return PjndRule(decision, JND_CUT, None, stride or STRIDE)


def predict_pjnd(
    scorer: Scorer,
    ladder: Ladder,
    *,
    share: float | None = None,
    stride: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
    warn: Callable[[str], None] | None = None,
) -> LadderPjnd:
    """Predict the PJND of a ladder.

    Parameters
    ----------
    scorer
        The model.
    ladder
        The images to score.
    share, stride, warn
        As for `choose_rule`.
    on_progress
        Called with the ladder's name as the stage, and the number of levels.

    Raises
    ------
    PixqError
        As `choose_rule`, and if a file can't be read, or has another size than the reference.
    """
    rule = choose_rule(scorer, share, stride, warn)
    levels = tuple(_score_levels(scorer, ladder, rule, on_progress))
    quantiles = [row.quantile for row in levels]
    if warn is not None and len(quantiles) > 2 and quantiles[0] < quantiles[-1]:
        warn("the highest level looks better than the lowest; if n is a quality, give --level 101-n")
    elif warn is not None:
        for line in order_warnings([row.level for row in levels], quantiles):
            warn(line)
    return LadderPjnd(rule, levels, pjnd([row.level.level for row in levels], quantiles, rule.cut))


def predict_regions(
    scorer: Scorer,
    ladder: Ladder,
    *,
    at: float | None = None,
    points: int = POINTS,
    degree: float = DEGREE,
    stride: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
    warn: Callable[[str], None] | None = None,
) -> LadderRegions:
    """Find the JND-critical regions of a level of a ladder.

    Parameters
    ----------
    scorer
        The model.
    ladder
        The images to score.
    at
        The level to look at. `None`: the only one, or else the predicted PJND, up to which all levels are scored.
    points, degree
        As for `pixq.ladders.critical.critical_points`.
    stride, warn
        As for `choose_rule`.
    on_progress
        As for `predict_pjnd`.

    Raises
    ------
    PixqError
        As `predict_pjnd`, and if the ladder has no such level, or `points` or `degree` is out of range.
    """
    check_points(points, degree)
    if at is not None:
        chosen = tuple(level for level in ladder.levels if level.level == at)
        if not chosen:
            raise PixqError(f"--at {at:g}: the ladder has no such level; choose one of {_list_some(ladder.levels)}")
        ladder = replace(ladder, levels=chosen)
    rule = choose_rule(scorer, stride=stride, warn=warn)
    levels = _score_levels(scorer, ladder, rule, on_progress)
    rows: list[LevelMap] = []
    seen = None
    for row in levels:
        rows.append(row)
        # Of several levels, the first that is noticed is the PJND.
        if row.noticed or len(ladder.levels) == 1:
            seen = row
            break
    if warn is not None:
        for line in order_warnings([row.level for row in rows], [row.quantile for row in rows]):
            warn(line)
    if seen is None:
        return LadderRegions(rule, None, None, ())
    return LadderRegions(rule, seen.level, seen.map, tuple(critical_points(seen.map, points=points, degree=degree)))


def _score_levels(scorer: Scorer, ladder: Ladder, rule: PjndRule, on_progress: ProgressCallback) -> Iterator[LevelMap]:
    decided = scorer.with_decision(rule.decision)
    for level, quality_map in level_maps(decided, ladder, stride=rule.stride, on_progress=on_progress):
        quantile = rule.quantile(quality_map)
        yield LevelMap(level, quality_map, quantile, bool(rule.cut.below(quantile)))


def _list_some(levels: tuple[Level, ...]) -> str:
    names = [f"{level.level:g}" for level in levels]
    return ", ".join(names if len(names) <= 12 else [*names[:6], "...", *names[-5:]])
