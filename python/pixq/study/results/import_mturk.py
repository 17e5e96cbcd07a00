"""Result files that batches of the earlier framework (KonJND++) left: Mechanical Turk's CSV, or its own download.

Workers become pseudonyms here, and of what the page wrote of a person's machine only a few named keys are taken: there
is an address in it.
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
from pixq.io.csv import allow_long_cells
from pixq.study.design.study_files import OpenedSource, OpenedStudy
from pixq.study.results.answers import Answer, with_flags
from pixq.study.session.judge import judge_source

__all__ = ["AmtResults", "places_of", "read_amt"]

#: Columns of a batch that are read, besides the name of the worker.
_JND, _LOC, _OS = "Answer.jnd-result", "Answer.loc-result", "Answer.os-info"
#: First columns of the framework's own download, without the space that follows some commas.
_DOWNLOAD = ("Ref Image", "Distortion Level", "JND Point(IMG)", "Start Timestamp", "End Timestamp", "Slider Tracking")
#: File index and level of one image add up to it.
_SUM = 101
#: What is taken of `os-info`; the rest, an address among it, is never looked at.
_TAKEN = ("Resolution", "PixelRatio", "TimeZone", "px_cm_rate", "browser_width_cm", "calibration_time")

_ADDRESS = re.compile(r"\+\s*\{[^{}]*(?:\}|$)")
_VALUE = re.compile(r"[\w.*x: /-]{1,64}")
_NUMBER = r"(-?\d{1,9}(?:\.\d{1,20})?)"
_PART = re.compile(
    rf"(?P<void>-WRONGLOC-\d+|-clicktryagain_\d+)|"
    rf"-\('ox':{_NUMBER}_'oy':{_NUMBER}_'imw':{_NUMBER}_'imh':{_NUMBER}_[^()]*\)"
)
#: Behind a codec's name in the name of a level's file.
_INDEX = re.compile(r"_\d{1,4}$")
_TRACK = re.compile(r"\+(\d{1,3})-(\d{1,15})")


@dataclass(frozen=True)
class AmtResults:
    """What was read.

    Parameters
    ----------
    answers
        By person and session, flagged.
    skipped
        What was not taken and why; a line each. No name of a worker is in it.
    training
        Answers to training images, which are no answers.
    """

    answers: tuple[Answer, ...]
    skipped: tuple[str, ...]
    training: int


@dataclass(frozen=True)
class _Given:
    """A session of a person: name -> level, index, start, end, track; name -> places; and the machine."""

    where: str
    participant: str
    session: str
    jnd: Mapping[str, Any]
    loc: Mapping[str, Any]
    machine: Mapping[str, str]


def read_amt(
    opened: OpenedStudy, paths: Iterable[str | os.PathLike[str]], pseudonym: Callable[[str, str], str]
) -> AmtResults:
    """Read result files.

    Parameters
    ----------
    opened
        The study that has the images: which is meant by a name, its size, and whether it is a test image.
    paths
        CSV files of batches, or downloads. An assignment that is in several is read once.
    pseudonym
        Of a platform and a person's name there; see `pixq.study.store.keys`.

    Raises
    ------
    PixqError
        If a file can't be read, or is none of the two.

    Examples
    --------
    >>> read_amt(open_study("my-study"), ["batch.csv"], key.pseudonym).answers  # doctest: +SKIP
    """
    skipped: list[str] = []
    sessions: dict[str, _Given] = {}
    for path in map(Path, paths):
        for given in _sessions(path, pseudonym, skipped):
            if sessions.setdefault(given.session, given) is not given:
                skipped.append(f"{given.where}: is an assignment that was read before")
    by_person: dict[str, list[list[Answer]]] = defaultdict(list)
    training = 0
    for given in sessions.values():
        own, trained = _answers(opened, given, skipped)
        training += trained
        if own:
            by_person[given.participant].append(own)
    answers = [
        replace(answer, session_number=number)
        for _, mine in sorted(by_person.items())
        for number, own in enumerate(sorted(mine, key=lambda each: each[0].answered or ""), start=1)
        for answer in own
    ]
    return AmtResults(tuple(with_flags(opened.study, answers)), tuple(skipped), training)


def places_of(text: str, width: int, height: int) -> list[tuple[float, float]]:
    """The clicks of a `loc-result` that are not void, (y, x) in pixels of an image of `width` x `height`.

    Examples
    --------
    >>> click = "-('ox':{}_'oy':{}_'imw':500_'imh':375_'cx':1_'cy':2_'sx':3_'sy':4_'et':1678)"
    >>> text = "-st_1" + click.format(9, 9) + "-WRONGLOC-5" + click.format(250, 75)
    >>> places_of(text, 640, 480)
    [(96.0, 320.0)]
    """
    found: list[tuple[float, float]] = []
    for part in _PART.finditer(text):
        if part["void"]:
            found.clear()
            continue
        x, y, shown_width, shown_height = (float(each) for each in part.groups()[1:])
        if shown_width > 0 and shown_height > 0:
            # A click on the border of a scaled image may lie a fraction of a pixel outside.
            at = min(max(y / shown_height * height, 0.0), height), min(max(x / shown_width * width, 0.0), width)
            found.append((float(at[0]), float(at[1])))
    return found


def _sessions(path: Path, pseudonym: Callable[[str, str], str], skipped: list[str]) -> Iterable[_Given]:
    try:
        # A slider's track may be longer than what csv takes by default.
        with path.open(encoding="utf-8-sig", newline="") as file, allow_long_cells(2**31 - 1):
            table = list(csv.reader(file))
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; give a CSV file of results") from None
    except (UnicodeDecodeError, csv.Error):
        raise PixqError(f"{path}: is no CSV in UTF-8; save it as that") from None
    head = [name.strip() for name in table[0]] if table else []
    if tuple(head[: len(_DOWNLOAD)]) == _DOWNLOAD:
        jnd = {row[0]: row[1:6] for row in table[1:] if len(row) >= 6}
        loc = {row[0]: row[6] for row in table[1:] if len(row) >= 7}
        # It says nothing of who it was.
        name = pseudonym("download", path.stem)
        return [_Given(str(path), name, name, jnd, loc, {})]
    if missing := [name for name in ("WorkerId", "AssignmentId", _JND, _LOC) if name not in head]:
        raise PixqError(f"{path}: has no column {missing[0]}; give a batch's results, or the framework's download")
    found: list[_Given] = []
    for number, cells in enumerate(table[1:], start=2):
        row = dict(zip(head, cells, strict=False))
        where = f"{path}, line {number}"
        try:
            jnd, loc = json.loads(row[_JND]), json.loads(row[_LOC])
            if not isinstance(jnd, dict) or not isinstance(loc, dict) or not row["WorkerId"] or not row["AssignmentId"]:
                raise ValueError
        except (KeyError, ValueError, RecursionError):
            skipped.append(f"{where}: has no results that can be read")
            continue
        person, session = pseudonym("amt", row["WorkerId"]), pseudonym("amt assignment", row["AssignmentId"])
        found.append(_Given(where, person, session, jnd, loc, _machine(row.get(_OS, ""))))
    return found


def _machine(text: str) -> dict[str, str]:
    """The few keys that are taken. The address goes first: a key of its may have the same name as one of them."""
    pairs = (pair.partition(":") for pair in _ADDRESS.sub(";", text).split(";"))
    said = {key.strip(): value.strip() for key, _, value in pairs}
    return {key: said[key] for key in _TAKEN if _VALUE.fullmatch(said.get(key, ""))}


def _answers(opened: OpenedStudy, given: _Given, skipped: list[str]) -> tuple[list[Answer], int]:
    named = _named(opened.sources.values())
    found: list[Answer] = []
    training = 0
    for name, said in given.jnd.items():
        where = f"{given.where}: {name[-80:]}"
        meant = _meant(name, named)
        if not meant:
            skipped.append(f"{where}: is no image of the study")
        elif len(meant) > 1:
            ids = ", ".join(each.source.id for each in meant)
            skipped.append(f"{where}: may be any of {ids}, and neither its file nor its folder names one's codec")
        elif meant[0].kind == "training":
            training += 1
        else:
            try:
                (source,) = meant
                found.append(_answer(source, given, said, given.loc.get(name, "")))
            except (ValueError, TypeError, OverflowError, OSError) as error:
                skipped.append(f"{where}: {error if isinstance(error, _Odd) else 'is no answer that can be read'}")
    found.sort(key=lambda each: each.answered or "")
    return [replace(each, place=place) for place, each in enumerate(found, start=1)], training


def _named(sources: Iterable[OpenedSource]) -> dict[str, list[OpenedSource]]:
    """Sources by the names, in small letters, that a batch may have for them.

    These are the reference's file, `SRC.png`, which all codecs of a picture share, and `SRC_CODEC`.
    """
    found: dict[str, list[OpenedSource]] = defaultdict(list)
    for each in sources:
        reference = PurePosixPath(each.source.reference.lower())
        for name in (reference.name, f"{reference.stem}_{each.source.codec.lower()}"):
            found[name].append(each)
    return found


def _meant(name: str, named: Mapping[str, list[OpenedSource]]) -> list[OpenedSource]:
    """The sources that a batch's name of an image may mean: one, or several codecs of one picture, or none."""
    # The name is the address that the image was loaded from: `jpeg/SRC.png`, `SRC_JPEG.png`, or `SRC_JPEG_061.jpg`.
    *folders, file = name.lower().replace("\\", "/").split("/")
    found = named.get(file) or named.get(_INDEX.sub("", PurePosixPath(file).stem)) or []
    told = [each for each in found if each.source.codec.lower() in folders]
    return found if len(found) == 1 or not told else told


class _Odd(ValueError):
    """An answer that says two things, or nothing."""


def _answer(source: OpenedSource, given: _Given, said: Sequence[Any], places: object) -> Answer:
    if len(said) < 4 or said[0] == "" or said[3] == "":
        raise _Odd("was not finished")
    level, index, start, end = (int(each) for each in said[:4])
    if level + index != _SUM:
        raise _Odd(f"has level {level} and file index {index}, which do not add up to {_SUM}")
    if not 1 <= level <= 100:
        raise _Odd(f"has level {level}, at which nothing can be seen")
    if end < start:
        raise _Odd("ended before it began")
    points = tuple(places_of(places, source.width, source.height)) if isinstance(places, str) else ()
    if not 1 <= len(points) <= 6:
        raise _Odd(f"has {len(points)} places")
    track = said[4] if len(said) > 4 and isinstance(said[4], str) else ""
    size = next((part.groups()[3:] for part in _PART.finditer(str(places)) if not part["void"]), ("", ""))
    found = judge_source(source.source, level, points, source.width, source.height)
    return Answer(
        participant=given.participant,
        session=given.session,
        session_number=1,
        place=1,
        source=source.source.id,
        codec=source.source.codec,
        kind="source" if found is None else "test",
        width=source.width,
        height=source.height,
        level=level,
        highest=max(source.levels, default=100),
        points=points,
        answered=datetime.fromtimestamp(end / 1000, UTC).isoformat(timespec="milliseconds"),
        shown_ms=float(end - start),
        track=tuple((float(int(at) - start), float(to)) for to, at in _TRACK.findall(track)) or None,
        dpr=_positive(given.machine.get("PixelRatio")),
        px_per_cm=_positive(given.machine.get("px_cm_rate")),
        width_css=_positive(size[0]),
        height_css=_positive(size[1]),
        environment={"amt": dict(given.machine)} if given.machine else {},
        step="completed",
        in_range=None if found is None else found.in_range,
        matched=None if found is None else len(found.matched),
        passed=None if found is None else found.passed,
    )


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None
