"""People whose answers are known beforehand: the population of a rehearsal. All is a pure function of its seed.

A source has a PJND and places where it is seen; a person notices so much earlier or later than others (bias), says
another level each time (spread), and answers now and then at random (lapse). The careless do nothing else. What a
person answers to a source follows from seed, person and source alone, whenever it is asked and whatever else is.
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

from pixq.errors import PixqError
from pixq.study.design.config import Study, TruthSource
from pixq.study.design.study_files import OpenedSource, OpenedStudy
from pixq.study.session.judge import REFERENCE_SIZE, SIGMA

__all__ = ["Observer", "Population", "Reaction", "Truth", "observers", "truths"]

#: Standard deviations on either side of the mean that hold 95 % of a normal distribution.
_TWO_SIDED = 1.959964
#: Part of the levels, from the lowest, that the PJND of a source may lie in: nobody asks about what all or none notice.
_MIDDLE = (0.15, 0.6)
#: Seconds that an image takes, in the middle of all people; and how far people and answers differ, as logarithms.
_SECONDS, _SPEEDS, _HASTE = 30.0, 0.3, 0.25
#: As a share of that, what it takes somebody who does not look.
_AT_A_GLANCE = 0.1


@dataclass(frozen=True)
class Population:
    """What a rehearsal's people are like.

    Parameters
    ----------
    participants
        How many, from 1.
    bias
        Standard deviation over people of how much later than the others one notices, in levels, from 0 to 100.
    spread
        Standard deviation of what one person would say of the same image at different times, in levels, 0 to 100.
    lapse
        Share of a careful person's answers that are given at random, 0 to 1.
    careless
        Share of people all of whose answers are given at random, 0 to 1.
    seed
        Of all of them; not negative.

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
        if not 1 <= self.participants <= 100_000:
            raise PixqError(f"--participants {self.participants}: is not 1 to 100000")
        for name, most in (("bias", 100), ("spread", 100), ("lapse", 1), ("careless", 1)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise PixqError(f"--{name} {value:g}: is not 0 to {most}")
        if self.seed < 0:
            raise PixqError(f"--seed {self.seed}: is negative; give 0 or more")


@dataclass(frozen=True)
class Truth:
    """What is true of an image for all people.

    Parameters
    ----------
    pjnd
        The level that half of the people choose, or a lower one, when they look.
    points
        Where it is seen, (y, x) in pixels of the image.
    scale
        What bias and spread are multiplied with for this image.
    levels
        Those there are, rising, without the reference.
    width, height
        Of the image, in pixels.
    """

    pjnd: float
    points: tuple[tuple[float, float], ...]
    scale: float
    levels: tuple[int, ...]
    width: int
    height: int

    def nearest(self, level: float) -> int:
        """The level there is that is nearest to one; of two as near, the lower one.

        Examples
        --------
        >>> Truth(10, (), 1.0, (5, 10, 20), 64, 48).nearest(15.1)
        20
        """
        at = bisect_left(self.levels, level)
        return min(self.levels[max(0, at - 1) : at + 1], key=lambda each: abs(each - level))


@dataclass(frozen=True)
class Reaction:
    """What a person does with an image.

    Parameters
    ----------
    level
        The one chosen; one that is shown.
    points
        Where it is clicked, (y, x) in pixels of the image.
    seconds
        That it takes.
    """

    level: int
    points: tuple[tuple[float, float], ...]
    seconds: float


def _draws(*what: object) -> np.random.Generator:
    key = hashlib.blake2b(json.dumps(what).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))


def truths(opened: OpenedStudy, population: Population) -> dict[str, Truth]:
    """What is true of each image of a study, by its id.

    Of a source it is drawn: one of its lower levels, and as many places as are asked for. Of training and test images
    it is what the study's file says: the middle of the range. Such images are chosen because people agree on them, so
    bias and spread are scaled down where the range would not hold 95 % of what careful people say.

    Parameters
    ----------
    opened
        The study.
    population
        Whose seed draws.

    Examples
    --------
    >>> truths(opened, Population())["SRC01"].pjnd  # doctest: +SKIP
    24
    """
    return {name: _truth(opened.study, each, population) for name, each in opened.sources.items()}


def _truth(study: Study, of: OpenedSource, population: Population) -> Truth:
    levels = tuple(level for level in of.levels if level > 0)
    if isinstance(of.source, TruthSource):
        low, high = of.source.pjnd_range
        deviation = math.hypot(population.bias, population.spread)
        scale = min(1.0, (high - low) / 2 / _TWO_SIDED / deviation) if deviation else 1.0
        return Truth((low + high) / 2, of.source.points_yx, scale, levels, of.width, of.height)
    draws = _draws(population.seed, "truth", of.source.id)
    first, last = (round(share * (len(levels) - 1)) for share in _MIDDLE)
    # A level there is: half of the people choose it or a lower one, however the others are spaced.
    pjnd = levels[int(draws.integers(first, last + 1))]
    points = [(float(draws.uniform(0, of.height)), float(draws.uniform(0, of.width))) for _ in range(study.clicks)]
    return Truth(pjnd, tuple(points), 1.0, levels, of.width, of.height)


@dataclass(frozen=True)
class Observer:
    """A person.

    Parameters
    ----------
    number
        0, 1, 2, ...
    name
        24 hexadecimal digits, by which platforms know the person.
    bias
        How much later than others the person notices, in levels.
    spread
        Standard deviation of the person's answers to one image, in levels.
    lapse
        Share of answers that are given at random.
    careless
        Whether all are.
    pace
        How long the person takes, as a multiple of what others take.
    seed
        Of the population.
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
        self, source: str, truth: Truth, clicks: int, *, tries: int = 0, told: Mapping[str, Any] | None = None
    ) -> Reaction:
        """What the person does with an image.

        Parameters
        ----------
        source
            Its id.
        truth
            Of it.
        clicks
            Places that are asked for.
        tries
            Answers that the person gave to it before, in training.
        told
            What the page said of the answer before: `pjnd_range` and `points`. Whoever is careful goes by it.
        """
        draws = _draws(self.seed, "answer", self.number, source, tries)
        seconds = _SECONDS * self.pace * math.exp(_HASTE * draws.standard_normal())
        if self.careless or draws.random() < self.lapse:
            places = [(draws.uniform(0, truth.height), draws.uniform(0, truth.width)) for _ in range(clicks)]
            level = truth.levels[int(draws.integers(len(truth.levels)))]
            return Reaction(level, tuple(places), seconds * (_AT_A_GLANCE if self.careless else 1.0))
        middle, points = truth.pjnd, truth.points
        deviation = truth.scale * (self.bias + self.spread * draws.standard_normal())
        if told:
            middle, points = sum(told["pjnd_range"]) / 2, tuple((y, x) for y, x in told["points"])
            # Who was told where and when to look finds it there.
            deviation = 0.0
        return Reaction(truth.nearest(middle + deviation), _clicked(draws, truth, points, clicks), seconds)


def _clicked(
    draws: np.random.Generator, truth: Truth, points: Sequence[tuple[float, float]], clicks: int
) -> tuple[tuple[float, float], ...]:
    """Clicks near the places, one at each while there are some, and then anywhere."""
    found = []
    for which in range(clicks):
        dy, dx = draws.normal(0, SIGMA, 2)
        y, x = draws.uniform(0, truth.height), draws.uniform(0, truth.width)
        if which < len(points):
            y = points[which][0] + dy * truth.height / REFERENCE_SIZE[1]
            x = points[which][1] + dx * truth.width / REFERENCE_SIZE[0]
        found.append((float(np.clip(y, 0, truth.height)), float(np.clip(x, 0, truth.width))))
    return tuple(found)


def observers(population: Population) -> list[Observer]:
    """The people, in the order in which they come. The careless are spread evenly, so that some come early, too.

    Parameters
    ----------
    population
        What they are like.

    Examples
    --------
    >>> [each.careless for each in observers(Population(participants=4, careless=0.5))]
    [False, True, False, True]
    """
    found = []
    share, first = population.careless, float(_draws(population.seed, "careless").random())
    for number in range(population.participants):
        draws = _draws(population.seed, "person", number)
        found.append(
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
    return found
