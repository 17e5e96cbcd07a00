"""Is a study ready? Every image is decoded, and what it costs participants and experimenters is reckoned."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from pixq.errors import PixqError
from pixq.io.images import pixels_of
from pixq.study.design.checks import (
    LadderCheck,
    doubtful,
    impossible,
    noted,
    of_sessions,
    telling,
    turned_round,
    twice,
)
from pixq.study.design.config import Study, read_study
from pixq.study.design.study_files import OpenedSource, open_source

__all__ = ["Effort", "LadderCheck", "StudyCheck", "check_study", "effort_of", "runs"]


@dataclass(frozen=True)
class Effort:
    """What a study takes, by the assumptions of `[estimate]`.

    Parameters
    ----------
    first_bytes, later_bytes
        That a participant downloads in the first session, and in a later one: all levels of every image, on average
        over the sources; without the page itself.
    image_bytes
        Of the largest image with all its levels.
    first_minutes, later_minutes
        That a session takes, downloads not counted.
    sessions
        That the quota needs.
    people
        The fewest that can give all answers, and the most that it takes.
    cost
        Of all sessions, the platform's fee included, with the fewest and with the most people; in `currency`.
    """

    first_bytes: float
    later_bytes: float
    image_bytes: int
    first_minutes: float
    later_minutes: float
    sessions: int
    people: tuple[int, int]
    cost: tuple[float, float]


@dataclass(frozen=True)
class StudyCheck:
    """What `check_study` found.

    Parameters
    ----------
    study
        As its file has it.
    problems
        What must be mended before anybody takes part; a line each.
    warnings
        What may be meant so; a line each.
    ladders
        Of all sources that could be opened.
    effort
        `None` where a problem keeps it from being reckoned.
    """

    study: Study
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    ladders: tuple[LadderCheck, ...]
    effort: Effort | None

    def lines(self) -> list[str]:
        """The report for people; problems and warnings are not in it."""
        count = {kind: sum(each.kind == kind for each in self.ladders) for kind in ("source", "training", "test")}
        files = sum(len(each.levels) for each in self.ladders)
        size = sum(each.bytes for each in self.ladders)
        told = [
            f"{self.study.title}, version {self.study.version}",
            f"{count['source']} sources, {count['training']} training and {count['test']} test images: "
            f"{files} files, {_size(size)}",
        ]
        effort, given = self.effort, self.study.estimate
        if effort is None:
            return told
        quota, seconds = self.study.quota, 8e-6 / given.megabits
        told += [
            f"a first session: {effort.first_minutes:.0f} min, {_size(effort.first_bytes)} "
            f"({_time(effort.first_bytes * seconds)} at {given.megabits:g} Mbit/s)",
            f"a later session: {effort.later_minutes:.0f} min, {_size(effort.later_bytes)} "
            f"({_time(effort.later_bytes * seconds)})",
            f"the largest image, all levels: {_size(effort.image_bytes)} ({_time(effort.image_bytes * seconds)})",
            f"{quota.answers} answers for each source: {effort.sessions} sessions, {_range(*effort.people)} people",
        ]
        if given.per_hour:
            told.append(
                f"cost: {_range(*(f'{each:.2f}' for each in effort.cost))} {given.currency}, "
                f"at {given.per_hour:g} an hour and a fee of {given.fee:.1%}"
            )
        else:
            told.append("cost: give estimate.per_hour")
        told.append(
            f"assumed: {given.seconds_per_image:g} s an image; {given.minutes_before:g} min before the first training "
            "image, once a person; every session is finished; the page itself is not counted"
        )
        return told


def check_study(path: str | os.PathLike[str], watch: Callable[[int, int], None] | None = None) -> StudyCheck:
    r"""Decode every image of a study, and look for what would spoil it.

    Parameters
    ----------
    path
        `study.toml`, or its folder.
    watch
        Is told how many sources are done, of how many.

    Raises
    ------
    PixqError
        If `study.toml` itself is wrong. What is wrong with images is in the result.

    Examples
    --------
    >>> print(*check_study("my-study").lines(), sep="\n")  # doctest: +SKIP
    """
    study = read_study(path)
    problems: list[str] = []
    warned: list[str] = []
    ladders: list[LadderCheck] = []
    pictures: dict[str, list[LadderCheck]] = defaultdict(list)
    tell = watch or (lambda done, total: None)
    every = study.everything
    with ThreadPoolExecutor(os.cpu_count(), "pixq-decode") as pool:
        for number, source in enumerate(every):
            tell(number, len(every))
            try:
                opened = open_source(study, source)
                hashes = list(pool.map(_pixels, (image.path for image in opened.levels.values())))
                turned = turned_round(opened)
            except PixqError as error:
                problems.append(str(error))
                continue
            ladder = _ladder(opened, hashes)
            ladders.append(ladder)
            pictures[hashes[0]].append(ladder)
            problems += impossible(study, opened, ladder)
            warned += doubtful(study, ladder) + turned + noted(opened, pool.map)
    tell(len(every), len(every))
    warned += twice(pictures.values()) + telling(ladders) + of_sessions(study)
    effort = None if problems else effort_of(study, ladders)
    return StudyCheck(study, tuple(problems), tuple(warned), tuple(ladders), effort)


def runs(levels: Sequence[int], hashes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Runs of neighbours among `levels` whose hashes are equal, of two levels or more.

    Examples
    --------
    >>> runs([0, 1, 5, 6, 9], ["a", "b", "b", "b", "a"])
    ((1, 5, 6),)
    """
    found: list[list[int]] = []
    open_run = False
    for (level, own), (after, other) in pairwise(zip(levels, hashes, strict=True)):
        if own == other:
            if not open_run:
                found.append([level])
            found[-1].append(after)
        open_run = own == other
    return tuple(map(tuple, found))


def effort_of(study: Study, ladders: Sequence[LadderCheck]) -> Effort:
    """What a study takes whose images have these sizes.

    A picture that is there in several codecs is asked about once a person, as `pixq.study.session.allocation` has it.
    """
    quota, given = study.quota, study.estimate
    sizes = {kind: [each.bytes for each in ladders if each.kind == kind] for kind in ("source", "training", "test")}
    codecs = Counter(each.reference for each in study.source)
    wanted = quota.answers * len(study.source)
    images = min(quota.images, len(codecs))
    later_bytes = images * fmean(sizes["source"]) + quota.tests * fmean(sizes["test"] or [0])
    later = (images + quota.tests) * given.seconds_per_image / 60
    before = given.minutes_before + len(study.training) * given.seconds_per_image / 60
    sessions = math.ceil(wanted / images)
    per_person = min(quota.max_sessions, math.ceil(len(codecs) / images))
    # The picture in the most codecs takes another person, and so another session, for each answer to it.
    fewest = max(quota.answers * max(codecs.values()), math.ceil(sessions / per_person))
    sessions = max(sessions, fewest)
    rate = given.per_hour / 60 * (1 + given.fee)
    low, high = (rate * (sessions * later + people * before) for people in (fewest, sessions))
    return Effort(
        first_bytes=later_bytes + sum(sizes["training"]),
        later_bytes=later_bytes,
        image_bytes=max(each.bytes for each in ladders),
        first_minutes=later + before,
        later_minutes=later,
        sessions=sessions,
        people=(fewest, sessions),
        cost=(low, high),
    )


def _pixels(path: Path) -> str:
    pixels = pixels_of(path)
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _ladder(opened: OpenedSource, hashes: Sequence[str]) -> LadderCheck:
    levels = tuple(opened.levels)
    equal = runs(levels, hashes)
    first, *others = (image.media for image in opened.levels.values())
    media = (first, *sorted(set(others)))
    return LadderCheck(opened.source.id, opened.kind, opened.width, opened.height, levels, equal, opened.bytes, media)


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _range(low: object, high: object) -> str:
    return f"{low}" if low == high else f"{low} to {high}"
