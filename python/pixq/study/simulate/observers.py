"""Simulated people whose answers are known beforehand; everything about them follows from a seed.

A source has a PJND and places where it is seen. A person notices it earlier or later than others (bias), chooses a
somewhat different level each time (spread), and sometimes answers at random (lapse); careless people always do. A
person's answer to a source depends on the seed, the person and the source alone, not on when it is asked.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixq import ranges
from pixq.study.design.config import Study, TruthSource
from pixq.study.design.study_files import OpenedSource, OpenedStudy
from pixq.study.session.judge import REFERENCE_SIZE, SIGMA

__all__ = ["Observer", "Population", "Reaction", "Truth", "observers", "truths"]

#: Standard deviations on either side of the mean that contain 95 % of a normal distribution.
_TWO_SIDED = 1.959964
#: Shares of the levels between which the PJND of a source lies, as studies avoid images that all or none notice.
_MIDDLE = (0.15, 0.6)
#: Median seconds per image, and how much people and single answers differ, in natural logarithms.
_SECONDS, _SPEEDS, _HASTE = 30.0, 0.3, 0.25
#: The share of that time that somebody takes who does not look.
_AT_A_GLANCE = 0.1


@dataclass(frozen=True)
class Population:
    """What the people of a rehearsal are like.

    Parameters
    ----------
    participants
        How many people there are, from 1.
    bias
        Standard deviation, over people, of how much later they notice than others, in levels, 0 to 100.
    spread
        Standard deviation of one person's answers to the same image, in levels, 0 to 100.
    lapse
        Share of random answers among those of careful people, 0 to 1.
    careless
        Share of people whose answers are all random, 0 to 1.
    seed
        Seed of all random draws; not negative.

    Raises
    ------
    PixqError
        If a value is outside its range.
    """

    participants: int = 200
    bias: float = 6.0
    spread: float = 6.0
    lapse: float = 0.02
    careless: float = 0.05
    seed: int = 1

    def __post_init__(self) -> None:
        ranges.COUNT.check(self.participants, "--participants")
        ranges.SPREAD.check(self.bias, "--bias")
        ranges.SPREAD.check(self.spread, "--spread")
        ranges.PROBABILITY.check(self.lapse, "--lapse")
        ranges.PROBABILITY.check(self.careless, "--careless")
        ranges.SEED.check(self.seed, "--seed")


@dataclass(frozen=True)
class Truth:
    """What is true of an image for all people.

    Parameters
    ----------
    pjnd
        Half of the people who look choose this level or a lower one.
    points
        Where the difference is seen, as (y, x) in pixels of the image.
    scale
        Factor of bias and spread for this image.
    levels
        The levels of the image, rising, without the reference.
    width, height
        Size of the image, in pixels.
    """

    pjnd: float
    points: tuple[tuple[float, float], ...]
    scale: float
    levels: tuple[int, ...]
    width: int
    height: int

    def nearest(self, level: float) -> int:
        """Find the nearest of the image's levels, the lower one of two that are equally near.

        Examples
        --------
        >>> Truth(10, (), 1.0, (5, 10, 20), 64, 48).nearest(15.1)
        20
        """
        above = bisect_left(self.levels, level)
        return min(self.levels[max(0, above - 1) : above + 1], key=lambda candidate: abs(candidate - level))


@dataclass(frozen=True)
class Reaction:
    """What a person does with an image.

    Parameters
    ----------
    level
        The chosen level, one of the image's.
    points
        The clicks, as (y, x) in pixels of the image.
    seconds
        The time it takes.
    """

    level: int
    points: tuple[tuple[float, float], ...]
    seconds: float


def _draws(*seeds: object) -> np.random.Generator:
    key = hashlib.blake2b(json.dumps(seeds).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))


def truths(opened: OpenedStudy, population: Population) -> dict[str, Truth]:
    """Decide what is true of each image of a study, by its id.

    The truth of a source is drawn: one of its lower levels, and as many places as the study asks for. That of training
    and test images comes from `study.toml`: the middle of the range. People agree on such images, so bias and spread
    are scaled down if the range would not contain 95 % of the answers of careful people.

    Parameters
    ----------
    opened
        The study.
    population
        The people, for their seed, bias and spread.

    Examples
    --------
    >>> truths(opened, Population())["SRC01"].pjnd  # doctest: +SKIP
    24
    """
    return {name: _truth(opened.study, source, population) for name, source in opened.sources.items()}


def _truth(study: Study, opened: OpenedSource, population: Population) -> Truth:
    levels = tuple(level for level in opened.levels if level > 0)
    if isinstance(opened.source, TruthSource):
        low, high = opened.source.pjnd_range
        deviation = math.hypot(population.bias, population.spread)
        scale = min(1.0, (high - low) / 2 / _TWO_SIDED / deviation) if deviation else 1.0
        return Truth((low + high) / 2, opened.source.points_yx, scale, levels, opened.width, opened.height)
    draws = _draws(population.seed, "truth", opened.source.id)
    first, last = (round(share * (len(levels) - 1)) for share in _MIDDLE)
    # One of the levels, so that half of the people choose it or a lower one whatever the spacing of the others.
    pjnd = levels[int(draws.integers(first, last + 1))]
    points = [
        (float(draws.uniform(0, opened.height)), float(draws.uniform(0, opened.width))) for _ in range(study.clicks)
    ]
    return Truth(pjnd, tuple(points), 1.0, levels, opened.width, opened.height)


@dataclass(frozen=True)
class Observer:
    """A simulated person.

    Parameters
    ----------
    number
        Counts the people from 0.
    name
        The person's ID on platforms: 24 hexadecimal digits.
    bias
        How much later than others the person notices, in levels.
    spread
        Standard deviation of the person's answers to one image, in levels.
    lapse
        Share of random answers.
    careless
        Whether all answers are random.
    pace
        The time that the person takes, as a multiple of the median.
    seed
        Seed of the population.
    """

    number: int
    name: str
    bias: float
    spread: float
    lapse: float
    careless: bool
    pace: float
    seed: int

    def react(
        self, source: str, truth: Truth, clicks: int, *, tries: int = 0, feedback: Mapping[str, Any] | None = None
    ) -> Reaction:
        """Give the person's reaction to an image.

        Parameters
        ----------
        source
            Id of the image.
        truth
            What is true of it.
        clicks
            How many clicks are asked for.
        tries
            How often the person answered it before, in training.
        feedback
            The page's feedback on the previous answer: `pjnd_range` and `points`. Careful people follow it.
        """
        draws = _draws(self.seed, "answer", self.number, source, tries)
        seconds = _SECONDS * self.pace * math.exp(_HASTE * draws.standard_normal())
        if self.careless or draws.random() < self.lapse:
            places = [(draws.uniform(0, truth.height), draws.uniform(0, truth.width)) for _ in range(clicks)]
            level = truth.levels[int(draws.integers(len(truth.levels)))]
            return Reaction(level, tuple(places), seconds * (_AT_A_GLANCE if self.careless else 1.0))
        middle, points = truth.pjnd, truth.points
        deviation = truth.scale * (self.bias + self.spread * draws.standard_normal())
        if feedback:
            middle, points = sum(feedback["pjnd_range"]) / 2, tuple((y, x) for y, x in feedback["points"])
            # People find the difference when they know where and when to look.
            deviation = 0.0
        return Reaction(truth.nearest(middle + deviation), _clicked(draws, truth, points, clicks), seconds)


def _clicked(
    draws: np.random.Generator, truth: Truth, points: Sequence[tuple[float, float]], clicks: int
) -> tuple[tuple[float, float], ...]:
    """Click near each of the places once, and then anywhere."""
    result = []
    for number in range(clicks):
        dy, dx = draws.normal(0, SIGMA, 2)
        y, x = draws.uniform(0, truth.height), draws.uniform(0, truth.width)
        if number < len(points):
            y = points[number][0] + dy * truth.height / REFERENCE_SIZE[1]
            x = points[number][1] + dx * truth.width / REFERENCE_SIZE[0]
        result.append((float(np.clip(y, 0, truth.height)), float(np.clip(x, 0, truth.width))))
    return tuple(result)


def observers(population: Population) -> list[Observer]:
    """Make the people in the order in which they come, with the careless ones spread evenly among them.

    Parameters
    ----------
    population
        What they are like.

    Examples
    --------
    >>> [person.careless for person in observers(Population(participants=4, careless=0.5))]
    [False, True, False, True]
    """
    people = []
    share, first = population.careless, float(_draws(population.seed, "careless").random())
    for number in range(population.participants):
        draws = _draws(population.seed, "person", number)
        people.append(
            Observer(
                number,
                draws.bytes(12).hex(),
                population.bias * float(draws.standard_normal()),
                population.spread,
                population.lapse,
                math.floor(first + (number + 1) * share) > math.floor(first + number * share),
                math.exp(_SPEEDS * float(draws.standard_normal())),
                population.seed,
            )
        )
    return people
