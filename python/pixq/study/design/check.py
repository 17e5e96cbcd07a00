"""`pixq study check`: decode every image of a study, run the checks of `checks.py`, and estimate time and cost."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from pixq.errors import PixqError
from pixq.io.images import load_pixels, to_8_bits
from pixq.io.progress import ProgressCallback, ignore_progress
from pixq.ladders.difference import mean_difference
from pixq.study.design.checks import SOURCE_PROBLEMS, SOURCE_WARNINGS, STUDY_PROBLEMS, STUDY_WARNINGS, LadderCheck
from pixq.study.design.config import Study, read_study
from pixq.study.design.study_files import OpenedSource, StudyImage, open_source

__all__ = ["Effort", "LadderCheck", "StudyCheck", "check_study", "effort_of", "equal_runs"]


@dataclass(frozen=True)
class Effort:
    """What a study takes, under the assumptions of `[estimate]` in `study.toml`.

    Parameters
    ----------
    first_bytes, later_bytes
        What a participant downloads in the first session and in each later one: all levels of every image, averaged
        over the sources, without the page itself.
    image_bytes
        The size of the largest image with all its levels.
    first_minutes, later_minutes
        How long a session takes, without downloads.
    sessions
        How many sessions the quota needs.
    people
        The fewest people who can give all answers, and the most that it can take.
    cost
        The cost of all sessions, the platform's fee included, with the fewest and with the most people; in `currency`.
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
    """The result of `check_study`.

    Parameters
    ----------
    study
        The study.
    problems
        What must be fixed before anybody takes part, one line each.
    warnings
        What looks wrong but may be intended, one line each.
    ladders
        The facts about all sources that could be opened.
    effort
        What the study takes; `None` if there are problems.
    """

    study: Study
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    ladders: tuple[LadderCheck, ...]
    effort: Effort | None

    def lines(self) -> list[str]:
        """Write the report for people, without the problems and warnings."""
        count = Counter(ladder.kind for ladder in self.ladders)
        files = sum(len(ladder.levels) for ladder in self.ladders)
        size = sum(ladder.bytes for ladder in self.ladders)
        lines = [
            f"{self.study.title}, version {self.study.version}",
            f"{count['source']} sources, {count['training']} training and {count['test']} test images: "
            f"{files} files, {_size(size)}",
        ]
        effort, assumed = self.effort, self.study.estimate
        if effort is None:
            return lines
        quota, seconds_per_byte = self.study.quota, 8e-6 / assumed.megabits
        lines += [
            f"a first session: {effort.first_minutes:.0f} min, {_size(effort.first_bytes)} "
            f"({_time(effort.first_bytes * seconds_per_byte)} at {assumed.megabits:g} Mbit/s)",
            f"a later session: {effort.later_minutes:.0f} min, {_size(effort.later_bytes)} "
            f"({_time(effort.later_bytes * seconds_per_byte)})",
            f"the largest image, all levels: {_size(effort.image_bytes)} "
            f"({_time(effort.image_bytes * seconds_per_byte)})",
            f"{quota.answers} answers for each source: {effort.sessions} sessions, {_range(*effort.people)} people",
        ]
        if assumed.per_hour:
            lines.append(
                f"cost: {_range(*(f'{cost:.2f}' for cost in effort.cost))} {assumed.currency}, "
                f"at {assumed.per_hour:g} per hour and a fee of {assumed.fee:.1%}"
            )
        else:
            lines.append("cost: set estimate.per_hour to see it")
        lines.append(
            f"assumed: {assumed.seconds_per_image:g} s per image; {assumed.minutes_before:g} min per person before the "
            "first training image; every session is completed; the page itself is not counted"
        )
        return lines


def check_study(path: str | os.PathLike[str], on_progress: ProgressCallback = ignore_progress) -> StudyCheck:
    r"""Decode every image of a study and look for what would spoil it.

    Parameters
    ----------
    path
        `study.toml`, or the folder that holds it.
    on_progress
        Called with the number of sources that are done.

    Raises
    ------
    PixqError
        If `study.toml` itself is wrong. Problems with images are part of the result.

    Examples
    --------
    >>> print(*check_study("my-study").lines(), sep="\n")  # doctest: +SKIP
    """
    study = read_study(path)
    problems: list[str] = []
    warnings: list[str] = []
    ladders: list[LadderCheck] = []
    with ThreadPoolExecutor(os.cpu_count(), "pixq-decode") as pool:
        for number, source in enumerate(study.everything):
            on_progress("sources", number, len(study.everything))
            try:
                opened = open_source(study, source)
                reference = to_8_bits(load_pixels(opened.levels[0].path))
                ladder = _ladder(opened, list(pool.map(partial(_pixel_facts, reference), opened.levels.values())))
                source_problems = [line for check in SOURCE_PROBLEMS for line in check(study, opened, ladder)]
                source_warnings = [line for check in SOURCE_WARNINGS for line in check(study, opened, ladder)]
            except PixqError as error:
                problems.append(str(error))
                continue
            ladders.append(ladder)
            problems += source_problems
            warnings += source_warnings
    on_progress("sources", len(study.everything), len(study.everything))
    problems += [line for check in STUDY_PROBLEMS for line in check(study, ladders)]
    warnings += [line for check in STUDY_WARNINGS for line in check(study, ladders)]
    effort = None if problems else effort_of(study, ladders)
    return StudyCheck(study, tuple(problems), tuple(warnings), tuple(ladders), effort)


def equal_runs(levels: Sequence[int], hashes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Find runs of two or more neighbouring levels with equal hashes.

    Examples
    --------
    >>> equal_runs([0, 1, 5, 6, 9], ["a", "b", "b", "b", "a"])
    ((1, 5, 6),)
    """
    runs: list[list[int]] = []
    in_run = False
    for (level, level_hash), (next_level, next_hash) in pairwise(zip(levels, hashes, strict=True)):
        if level_hash == next_hash:
            if not in_run:
                runs.append([level])
            runs[-1].append(next_level)
        in_run = level_hash == next_hash
    return tuple(map(tuple, runs))


def effort_of(study: Study, ladders: Sequence[LadderCheck]) -> Effort:
    """Estimate what a study with images of these sizes takes.

    Nobody answers about the same picture in two codecs; see `pixq.study.session.allocation`.
    """
    quota, assumed = study.quota, study.estimate
    sizes = {
        kind: [ladder.bytes for ladder in ladders if ladder.kind == kind] for kind in ("source", "training", "test")
    }
    codecs = Counter(source.reference for source in study.source)
    wanted = quota.answers * len(study.source)
    images = min(quota.images, len(codecs))
    later_bytes = images * fmean(sizes["source"]) + quota.tests * fmean(sizes["test"] or [0])
    later = (images + quota.tests) * assumed.seconds_per_image / 60
    before = assumed.minutes_before + len(study.training) * assumed.seconds_per_image / 60
    sessions = math.ceil(wanted / images)
    per_person = min(quota.max_sessions, math.ceil(len(codecs) / images))
    # The picture in the most codecs needs another person, and so another session, for each of its answers.
    fewest = max(quota.answers * max(codecs.values()), math.ceil(sessions / per_person))
    sessions = max(sessions, fewest)
    rate = assumed.per_hour / 60 * (1 + assumed.fee)
    low, high = (rate * (sessions * later + people * before) for people in (fewest, sessions))
    return Effort(
        first_bytes=later_bytes + sum(sizes["training"]),
        later_bytes=later_bytes,
        image_bytes=max(ladder.bytes for ladder in ladders),
        first_minutes=later + before,
        later_minutes=later,
        sessions=sessions,
        people=(fewest, sessions),
        cost=(low, high),
    )


def _pixel_facts(reference: NDArray[np.uint8], image: StudyImage) -> tuple[str, float]:
    """The hash of an image's pixels, and how much it differs from the reference."""
    # At 8 bits, as screens show it.
    pixels = to_8_bits(load_pixels(image.path))
    differs = mean_difference(reference, pixels) if pixels.shape == reference.shape else math.inf
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(), differs


def _ladder(opened: OpenedSource, facts: Sequence[tuple[str, float]]) -> LadderCheck:
    levels = tuple(opened.levels)
    hashes = [pixel_hash for pixel_hash, _ in facts]
    reference, *others = (image.media for image in opened.levels.values())
    return LadderCheck(
        id=opened.source.id,
        kind=opened.kind,
        width=opened.width,
        height=opened.height,
        levels=levels,
        equal=equal_runs(levels, hashes),
        bytes=opened.bytes,
        media=(reference, *sorted(set(others))),
        reference_hash=hashes[0],
        differences=tuple(differs for _, differs in facts),
    )


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _range(low: object, high: object) -> str:
    return f"{low}" if low == high else f"{low} to {high}"
