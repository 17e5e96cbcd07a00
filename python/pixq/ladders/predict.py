"""What is predicted of a ladder: the PJND, and the JND-critical regions of a level."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from pixq.classes import GREEN
from pixq.decisions.decision import Decision
from pixq.decisions.pjnd_cuts import GreenCut
from pixq.errors import PixqError
from pixq.ladders.critical import DEGREE, POINTS, CriticalPoint, check_points, critical_points
from pixq.ladders.ladder import Ladder, Level, check_given, maps
from pixq.ladders.pjnd import SHARE, Pjnd, edge, pjnd
from pixq.scoring.engines import Watch
from pixq.scoring.grid import STRIDE
from pixq.scoring.quality_map import QualityMap
from pixq.scoring.scorer import Scorer

__all__ = ["LadderPjnd", "LadderRegions", "LevelMap", "Rule", "predict_pjnd", "predict_regions", "rule_of"]


@dataclass(frozen=True)
class Rule:
    """What makes a level noticed.

    Parameters
    ----------
    decision
        What makes classes of the patches.
    cut
        Its Green cut, with the interval; of what the decision is of, score or quality.
    share
        Of patches that must be no longer Green.
    stride
        Pixels between them.
    """

    decision: Decision
    cut: GreenCut
    share: float
    stride: int

    def edge(self, found: QualityMap) -> float:
        """The edge of a map, on the scale of the cut; see `pixq.ladders.pjnd.edge`."""
        values = found.score if self.decision.scale == "score" else np.where(found.identical, math.inf, found.quality)
        return edge(values, self.share)


@dataclass(frozen=True)
class LevelMap:
    """A level of a ladder, its map, the map's edge, and whether it is noticed."""

    level: Level
    found: QualityMap
    edge: float
    noticed: bool


@dataclass(frozen=True)
class LadderPjnd:
    """What `predict_pjnd` says of a ladder: by which rule, what each level is like, rising, and the PJND."""

    rule: Rule
    levels: tuple[LevelMap, ...]
    pjnd: Pjnd


@dataclass(frozen=True)
class LadderRegions:
    """What `predict_regions` says of a ladder.

    Parameters
    ----------
    rule
        What it is said by.
    level
        The level that was looked at; `None` where none is noticed.
    found
        Its map.
    places
        The JND-critical places, the surest first.
    """

    rule: Rule
    level: Level | None
    found: QualityMap | None
    places: tuple[CriticalPoint, ...]


def rule_of(
    scorer: Scorer, share: float | None = None, stride: int | None = None, note: Callable[[str], None] | None = None
) -> Rule:
    """The rule of a scorer: what people's PJNDs chose for its run goes before a calibration, unless that was named.

    Parameters
    ----------
    scorer
        The model.
    share, stride
        As `Rule`; `None`: those that the cut was chosen with, or `SHARE` and `STRIDE`.
    note
        Is told what makes the rule doubtful.

    Raises
    ------
    PixqError
        If a number is out of its range, or the calibration or the cuts can't be used.
    """
    tell = note or (lambda line: None)
    check_given(scorer, share, stride)
    chosen = None if scorer.named is None and scorer.pjnd_cuts is not None else scorer.calibration
    people = scorer.pjnd_cuts if chosen is None else None
    decision = Decision.choose(chosen, people)
    cut = GreenCut(decision.cuts[GREEN - 1])
    if chosen is not None:
        cut = replace(cut, low=chosen.cuts.green.low, high=chosen.cuts.green.high)
    elif people is not None:
        cut = people.cut
        for name, given, known in (("--share", share, people.share), ("--stride", stride, people.stride)):
            if given is not None and given != known:
                tell(f"the Green cut was chosen with {name} {known:g}, not {given:g}")
        share, stride = share or people.share, stride or people.stride
    else:
        tell(
            "no cut was chosen for this run, so Green is by quality alone; pixq calibrate --ladders chooses one on "
            "ladders whose PJNDs people gave"
        )
    return Rule(decision, cut, share or SHARE, stride or STRIDE)


def predict_pjnd(
    scorer: Scorer,
    ladder: Ladder,
    *,
    share: float | None = None,
    stride: int | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> LadderPjnd:
    """The predicted PJND of a ladder.

    Parameters
    ----------
    scorer
        The model.
    ladder
        What to score.
    share, stride, note
        As for `rule_of`.
    watch
        Is told how many levels are done, of how many.

    Raises
    ------
    PixqError
        As `rule_of`, and if a file can't be read, or is of another size than the reference.
    """
    rule = rule_of(scorer, share, stride, note)
    levels = tuple(_levels(scorer, ladder, rule, watch))
    edges = [each.edge for each in levels]
    if note is not None and len(edges) > 2 and edges[0] < edges[-1]:
        note("the highest level looks better than the lowest; if n is a quality, give --level 101-n")
    return LadderPjnd(rule, levels, pjnd([each.level.level for each in levels], edges, rule.cut))


def predict_regions(
    scorer: Scorer,
    ladder: Ladder,
    *,
    at: float | None = None,
    points: int = POINTS,
    degree: float = DEGREE,
    stride: int | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> LadderRegions:
    """The JND-critical regions of a level of a ladder.

    Parameters
    ----------
    scorer
        The model.
    ladder
        What to score.
    at
        The level to look at; `None`: the only one, or else the predicted PJND, up to which all levels are scored.
    points, degree
        As for `pixq.ladders.critical.critical_points`.
    stride, note
        As for `rule_of`.
    watch
        Is told how many levels are done, of how many.

    Raises
    ------
    PixqError
        As `predict_pjnd`, and if the ladder has no such level, or `points` or `degree` is out of its range.
    """
    check_points(points, degree)
    if at is not None:
        chosen = tuple(each for each in ladder.levels if each.level == at)
        if not chosen:
            raise PixqError(f"--at {at:g}: the ladder has no such level; it has {_some(ladder.levels)}")
        ladder = replace(ladder, levels=chosen)
    rule = rule_of(scorer, stride=stride, note=note)
    levels = _levels(scorer, ladder, rule, watch)
    # Of several, the first that is noticed is the PJND.
    looked = next((each for each in levels if each.noticed or len(ladder.levels) == 1), None)
    if looked is None:
        return LadderRegions(rule, None, None, ())
    places = critical_points(looked.found, points=points, degree=degree)
    return LadderRegions(rule, looked.level, looked.found, tuple(places))


def _levels(scorer: Scorer, ladder: Ladder, rule: Rule, watch: Watch | None) -> Iterator[LevelMap]:
    for level, found in maps(scorer.with_decision(rule.decision), ladder, stride=rule.stride, watch=watch):
        at = rule.edge(found)
        yield LevelMap(level, found, at, at < rule.cut.value)


def _some(levels: tuple[Level, ...]) -> str:
    names = [f"{each.level:g}" for each in levels]
    return ", ".join(names if len(names) <= 12 else [*names[:6], "...", *names[-5:]])
