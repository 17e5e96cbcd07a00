"""Import results of the earlier framework (KonJND++): batches of Mechanical Turk, or the framework's own downloads.

Workers become pseudonyms here. What the page wrote about a person's machine includes an address, so only a few named
keys of it are read.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pixq.errors import PixqError
from pixq.io.csv import allow_long_cells, read_csv
from pixq.io.paths import nfc
from pixq.io.text import read_text
from pixq.study.design.study_files import OpenedSource, OpenedStudy
from pixq.study.results.answers import Answer, with_flags
from pixq.study.session.judge import judge_source

__all__ = ["MturkResults", "parse_clicks", "read_mturk"]

#: Columns of a batch that are read, besides those that name the worker and the assignment.
_JND, _LOC, _OS = "Answer.jnd-result", "Answer.loc-result", "Answer.os-info"
_BATCH = ("WorkerId", "AssignmentId", _JND, _LOC)
#: The first columns of the framework's own download, without the space after some commas.
_DOWNLOAD = ("Ref Image", "Distortion Level", "JND Point(IMG)", "Start Timestamp", "End Timestamp", "Slider Tracking")
#: The file index and the level of an image add up to this.
_SUM = 101
#: The keys of `os-info` that are read; the rest, which includes an address, is ignored.
_MACHINE_KEYS = ("Resolution", "PixelRatio", "TimeZone", "px_cm_rate", "browser_width_cm", "calibration_time")

_ADDRESS = re.compile(r"\+\s*\{[^{}]*(?:\}|$)")
_VALUE = re.compile(r"[\w.*x: /-]{1,64}")
_NUMBER = r"(-?\d{1,9}(?:\.\d{1,20})?)"
_PART = re.compile(
    rf"(?P<void>-WRONGLOC-\d+|-clicktryagain_\d+)|"
    rf"-\('ox':{_NUMBER}_'oy':{_NUMBER}_'imw':{_NUMBER}_'imh':{_NUMBER}_[^()]*\)"
)
#: The index at the end of the name of a level's file.
_INDEX = re.compile(r"_\d{1,4}$")
_TRACK = re.compile(r"\+(\d{1,3})-(\d{1,15})")


@dataclass(frozen=True)
class MturkResults:
    """The contents of result files.

    Parameters
    ----------
    answers
        By person and session, with flags.
    skipped
        What was skipped and why, one line each, without names of workers.
    training
        How many answers to training images were left out.
    """

    answers: tuple[Answer, ...]
    skipped: tuple[str, ...]
    training: int


@dataclass(frozen=True)
class _Assignment:
    """A session of a person: by name of the image, level, index, start, end and track; clicks; and the machine."""

    where: str
    participant: str
    session: str
    jnd: Mapping[str, Any]
    loc: Mapping[str, Any]
    machine: Mapping[str, str]


def read_mturk(
    opened: OpenedStudy, paths: Iterable[str | os.PathLike[str]], pseudonym: Callable[[str, str], str]
) -> MturkResults:
    """Read result files as answers of a study.

    Parameters
    ----------
    opened
        The study that has the images. It decides which image a name stands for, its size, and whether it is a test.
    paths
        CSV files of batches, or downloads. An assignment that is in several files is read once.
    pseudonym
        Gives a person's pseudonym for a platform and a name there; see `pixq.study.store.keys`.

    Raises
    ------
    PixqError
        If a file can't be read, or is neither a batch nor a download.

    Examples
    --------
    >>> read_mturk(open_study("my-study"), ["batch.csv"], key.pseudonym).answers  # doctest: +SKIP
    """
    skipped: list[str] = []
    assignments: dict[str, _Assignment] = {}
    unreadable: list[PixqError] = []
    files = [Path(path) for path in paths]
    for path in files:
        try:
            read = _assignments(path, pseudonym, skipped)
        except PixqError as error:
            unreadable.append(error)
            skipped.append(str(error))
            continue
        for assignment in read:
            if assignments.setdefault(assignment.session, assignment) is not assignment:
                skipped.append(f"{assignment.where}: repeats an assignment that was read before")
    if unreadable and len(unreadable) == len(files):
        raise unreadable[0]
    by_person: dict[str, list[list[Answer]]] = defaultdict(list)
    training = 0
    for assignment in assignments.values():
        answers, trained = _answers(opened, assignment, skipped)
        training += trained
        if answers:
            by_person[assignment.participant].append(answers)
    numbered = [
        replace(answer, session_number=number)
        for _, sessions in sorted(by_person.items())
        for number, answers in enumerate(sorted(sessions, key=lambda session: session[0].answered or ""), start=1)
        for answer in answers
    ]
    return MturkResults(tuple(with_flags(opened.study, numbered)), tuple(skipped), training)


def parse_clicks(text: str, width: int, height: int) -> list[tuple[float, float]]:
    """Parse the valid clicks of a `loc-result`, as (y, x) in pixels of an image of `width` x `height`.

    Examples
    --------
    >>> click = "-('ox':{}_'oy':{}_'imw':500_'imh':375_'cx':1_'cy':2_'sx':3_'sy':4_'et':1678)"
    >>> text = "-st_1" + click.format(9, 9) + "-WRONGLOC-5" + click.format(250, 75)
    >>> parse_clicks(text, 640, 480)
    [(96.0, 320.0)]
    """
    clicks: list[tuple[float, float]] = []
    for part in _PART.finditer(text):
        if part["void"]:
            clicks.clear()
            continue
        x, y, shown_width, shown_height = map(float, part.groups()[1:])
        if shown_width > 0 and shown_height > 0:
            # A click on the border of a scaled image may lie a fraction of a pixel outside.
            row, column = min(max(y / shown_height * height, 0), height), min(max(x / shown_width * width, 0), width)
            clicks.append((float(row), float(column)))
    return clicks


def _assignments(path: Path, pseudonym: Callable[[str, str], str], skipped: list[str]) -> Iterable[_Assignment]:
    try:
        # The track of a slider may be longer than csv accepts by default.
        with allow_long_cells(2**31 - 1):
            table = [row.cells for row in read_csv(read_text(path), (*_BATCH, *_DOWNLOAD), strict=False)]
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; give a CSV file of results") from None
    except csv.Error:
        raise PixqError(f"{path}: is not a UTF-8 CSV; re-save it as one") from None
    head = [name.strip() for name in table[0]] if table else []
    if tuple(head[: len(_DOWNLOAD)]) == _DOWNLOAD:
        jnd = {row[0]: row[1:6] for row in table[1:] if len(row) >= 6}
        loc = {row[0]: row[6] for row in table[1:] if len(row) >= 7}
        # A download does not name the person.
        name = pseudonym("download", path.stem)
        return [_Assignment(str(path), name, name, jnd, loc, {})]
    if missing := [name for name in _BATCH if name not in head]:
        raise PixqError(f"{path}: has no column {missing[0]}; give a batch's results, or the framework's download")
    return _batch_assignments(path, head, table[1:], pseudonym, skipped)


def _batch_assignments(
    path: Path,
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    pseudonym: Callable[[str, str], str],
    skipped: list[str],
) -> list[_Assignment]:
    assignments: list[_Assignment] = []
    # Numbered as in a spreadsheet: a cell may hold several lines.
    for number, cells in enumerate(body, start=2):
        row = dict(zip(head, cells, strict=False))
        where = f"{path}, line {number}"
        try:
            jnd, loc = json.loads(row[_JND]), json.loads(row[_LOC])
            if not isinstance(jnd, dict) or not isinstance(loc, dict) or not row["WorkerId"] or not row["AssignmentId"]:
                raise ValueError
        except (KeyError, ValueError, RecursionError):
            skipped.append(f"{where}: has no readable results")
            continue
        person, session = pseudonym("amt", row["WorkerId"]), pseudonym("amt assignment", row["AssignmentId"])
        assignments.append(_Assignment(where, person, session, jnd, loc, _machine(row.get(_OS, ""))))
    return assignments


def _machine(text: str) -> dict[str, str]:
    """Read the few keys that are taken. The address is cut first: it may have keys of the same names."""
    pairs = (pair.partition(":") for pair in _ADDRESS.sub(";", text).split(";"))
    values = {key.strip(): value.strip() for key, _, value in pairs}
    return {key: values[key] for key in _MACHINE_KEYS if _VALUE.fullmatch(values.get(key, ""))}


def _answers(opened: OpenedStudy, assignment: _Assignment, skipped: list[str]) -> tuple[list[Answer], int]:
    names = _source_names(opened.sources.values())
    answers: list[Answer] = []
    training = 0
    for name, result in assignment.jnd.items():
        where = f"{assignment.where}: {name[-80:]}"
        sources = _matching_sources(name, names)
        if not sources:
            skipped.append(f"{where}: is not an image of the study")
        elif len(sources) > 1:
            ids = ", ".join(source.source.id for source in sources)
            skipped.append(f"{where}: may be any of {ids}, as neither its file nor its folder names a codec")
        elif sources[0].kind == "training":
            training += 1
        else:
            try:
                answers.append(_answer(sources[0], assignment, result, assignment.loc.get(name, "")))
            except (ValueError, TypeError, OverflowError, OSError) as error:
                reason = error if isinstance(error, _InvalidAnswer) else "is not a readable answer"
                skipped.append(f"{where}: {reason}")
    answers.sort(key=lambda answer: answer.answered or "")
    return [replace(answer, place=place) for place, answer in enumerate(answers, start=1)], training


def _source_names(sources: Iterable[OpenedSource]) -> dict[str, list[OpenedSource]]:
    """Map the names, in lower case, that a batch may use to the sources that they may stand for.

    A batch uses the reference's file, `SRC.png`, which all codecs of a picture share, or `SRC_CODEC`.
    """
    names: dict[str, list[OpenedSource]] = defaultdict(list)
    for source in sources:
        reference = PurePosixPath(nfc(source.source.reference).lower())
        for name in (reference.name, f"{reference.stem}_{source.source.codec.lower()}"):
            names[name].append(source)
    return names


def _matching_sources(name: str, names: Mapping[str, list[OpenedSource]]) -> list[OpenedSource]:
    """List the sources that a batch's name may stand for: one, or several codecs of one picture, or none."""
    # The name is the address that the image was loaded from: `jpeg/SRC.png`, `SRC_JPEG.png`, or `SRC_JPEG_061.jpg`.
    *folders, file = nfc(name).lower().replace("\\", "/").split("/")
    sources = names.get(file) or names.get(_INDEX.sub("", PurePosixPath(file).stem)) or []
    by_folder = [source for source in sources if source.source.codec.lower() in folders]
    return sources if len(sources) == 1 or not by_folder else by_folder


class _InvalidAnswer(ValueError):
    """An answer that contradicts itself, or is incomplete."""


def _answer(source: OpenedSource, assignment: _Assignment, result: Sequence[Any], clicks: object) -> Answer:
    if len(result) < 4 or result[0] == "" or result[3] == "":
        raise _InvalidAnswer("was not finished")
    level, index, start, end = map(int, result[:4])
    if level + index != _SUM:
        raise _InvalidAnswer(f"has level {level} and file index {index}, which do not add up to {_SUM}")
    if not 1 <= level <= 100:
        raise _InvalidAnswer(f"has level {level}, at which nothing can be seen")
    if end < start:
        raise _InvalidAnswer("ended before it began")
    points = tuple(parse_clicks(clicks, source.width, source.height)) if isinstance(clicks, str) else ()
    if not 1 <= len(points) <= 6:
        raise _InvalidAnswer(f"has {len(points)} places")
    track = result[4] if len(result) > 4 and isinstance(result[4], str) else ""
    size = next((part.groups()[3:] for part in _PART.finditer(str(clicks)) if not part["void"]), ("", ""))
    judgement = judge_source(source.source, level, points, source.width, source.height)
    return Answer(
        participant=assignment.participant,
        session=assignment.session,
        session_number=1,
        place=1,
        source=source.source.id,
        codec=source.source.codec,
        kind="source" if judgement is None else "test",
        width=source.width,
        height=source.height,
        level=level,
        highest=max(source.levels, default=100),
        points=points,
        answered=datetime.fromtimestamp(end / 1000, UTC).isoformat(timespec="milliseconds"),
        shown_ms=float(end - start),
        track=tuple((float(int(ms) - start), float(level)) for level, ms in _TRACK.findall(track)) or None,
        dpr=_positive(assignment.machine.get("PixelRatio")),
        px_per_cm=_positive(assignment.machine.get("px_cm_rate")),
        width_css=_positive(size[0]),
        height_css=_positive(size[1]),
        environment={"amt": dict(assignment.machine)} if assignment.machine else {},
        step="completed",
        in_range=None if judgement is None else judgement.in_range,
        matched=None if judgement is None else len(judgement.matched),
        passed=None if judgement is None else judgement.passed,
    )


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
