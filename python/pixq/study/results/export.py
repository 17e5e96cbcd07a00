"""Write a study's answers and sessions as CSV and Parquet, with the consent texts and a data dictionary.

`answer_columns` and `session_columns` are the tables of columns: the CSV and Parquet files and `dictionary.json` all
derive from them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pixq.errors import PixqError
from pixq.io.atomic import atomic_write, save_json
from pixq.io.csv import csv_writer
from pixq.io.optional import require
from pixq.study.design.config import Study
from pixq.study.design.survey import Question
from pixq.study.results.answers import FLAGS, Answer, as_json
from pixq.study.results.event_times import TIME_PROBLEMS
from pixq.study.results.session_summary import SessionSummary, safe_text

__all__ = ["Column", "answer_columns", "check_target", "dictionary", "session_columns", "write_answers", "write_export"]

#: Rows and characters that are kept in memory before they are written to a Parquet file.
_ROWS, _CHARACTERS = 10_000, 8 << 20

Type = Literal["text", "integer", "number", "boolean", "json"]


@dataclass(frozen=True)
class Column:
    """A column of an exported table.

    Parameters
    ----------
    name
        Its name in the files.
    type
        `text`, `integer`, `number`, `boolean`, or `json`: text that is JSON.
    description
        What it means, for people.
    value
        Takes a row and gives the value; `None` means unknown.
    unit
        The unit, if it has one.
    """

    name: str
    type: Type
    description: str
    value: Callable[[Any], Any]
    unit: str = ""


def _field(name: str, type: Type, description: str, unit: str = "") -> Column:
    """Make a column of a row's attribute."""
    return Column(name, type, description, lambda row: getattr(row, name), unit)


def _point(number: int, axis: int) -> Column:
    def value(answer: Answer) -> float | None:
        return answer.points[number - 1][axis] if number <= len(answer.points) else None

    description = f"{('Row', 'Column')[axis]} of click {number}, from the {('top', 'left')[axis]} edge of the image"
    return Column(f"{'yx'[axis]}{number}", "number", description, value, "image pixels")


def _size_cm(name: str, field: str, description: str) -> Column:
    def value(answer: Answer) -> float | None:
        size = getattr(answer, field)
        return size / answer.px_per_cm if size is not None and answer.px_per_cm else None

    return Column(name, "number", description, value, "cm")


_ROW_KEYS = (
    _field("participant", "text", "Pseudonym of the person"),
    _field("session", "text", "Name of the session"),
    _field("session_number", "integer", "Counts the person's sessions from 1"),
)


def answer_columns(clicks: int) -> tuple[Column, ...]:
    """List the columns of `answers.csv` for a study that asks for `clicks` clicks per image."""
    return (
        *_ROW_KEYS,
        _field("place", "integer", "Position of the image in its session, from 1; test images count"),
        _field("source", "text", "Id of the source or test image in study.toml"),
        _field("codec", "text", "What made the levels"),
        _field("kind", "text", "source: an image that people are asked about; test: an image whose truth is known"),
        _field("width", "integer", "Width of the image", "image pixels"),
        _field("height", "integer", "Height of the image", "image pixels"),
        _field("level", "integer", "The PJND: the level at which the person first noticed the flicker, 1 to 100"),
        *(_point(number, axis) for number in range(1, clicks + 1) for axis in (0, 1)),
        _field("answered", "text", "Time of the answer by the person's clock, ISO 8601"),
        _field("received", "text", "Time at which the answer was stored, by the server's clock, ISO 8601"),
        _field("at_ms", "number", "Time of the answer since the page was opened", "ms"),
        _field("shown_ms", "number", "How long the image was shown before the answer, as the page measured it", "ms"),
        _field("fetched", "integer", "Number of the image's files that the server had sent before the answer", "files"),
        _field(
            "watched", "number",
            "How long the person can have seen the image, by the server's clock: since it sent the reference and "
            "stored the answer before; 0 if it had not sent the images that the answer is about", "s",
        ),
        Column(
            "track", "json", "Every position of the slider: [[ms since the image was shown, level], ...]",
            lambda answer: None if answer.track is None else as_json(answer.track),
        ),
        Column(
            "track_positions", "integer", "Number of positions in track",
            lambda answer: None if answer.track is None else len(answer.track),
        ),
        _field("rate", "number", "Measured refresh rate of the screen", "Hz"),
        _field("achieved", "number", "Measured rate of changes between the reference and the distorted image", "1/s"),
        _field("frames_per_image", "integer", "Planned number of screen frames for which each image stays", "frames"),
        _field("late", "integer", "Frames that came late while the image was shown", "frames"),
        _field("dpr", "number", "Device pixels per CSS pixel"),
        _field("px_per_cm", "number", "Resolution of the screen, measured with a bank card", "CSS pixels/cm"),
        _field("width_css", "number", "Width of the image on the screen", "CSS pixels"),
        _field("height_css", "number", "Height of the image on the screen", "CSS pixels"),
        _size_cm("width_cm", "width_css", "Width of the image on the screen: width_css / px_per_cm"),
        _size_cm("height_cm", "height_css", "Height of the image on the screen: height_css / px_per_cm"),
        Column(
            "environment", "json",
            "The page's last check and calibration before the answer: {check: {...}, calibration: {...}}",
            lambda answer: as_json(answer.environment),
        ),
        _field("language", "text", "Language of the page"),
        _field("study_version", "text", "Version of the study when the session began"),
        _field("consent", "text", "Digest of the consent text that the person agreed to"),
        _field("step", "text", "Current step of the session, or how it ended: completed, failed"),
        _field("in_range", "boolean", "Test images only: whether level lies in the accepted range"),
        _field("matched", "integer", "Test images only: number of clicks that match its places one to one"),
        _field("passed", "boolean", "Test images only: whether in_range is true and at least two clicks match"),
        Column(
            "flags", "text", "Why the answer may be unreliable, separated by |; see flags",
            lambda answer: "|".join(answer.flags),
        ),
    )  # fmt: skip


#: The columns of `sessions.csv` that every study has.
_SESSION_COLUMNS = (
    *_ROW_KEYS,
    _field("language", "text", "Language of the page"),
    _field("study_version", "text", "Version of the study when the session began"),
    _field("consent", "text", "Digest of the consent text that the person agreed to; consents.json has the text"),
    _field("started", "text", "Time at which the session began, by the server's clock, ISO 8601"),
    _field("heard", "text", "Time at which the page was last heard from, by the server's clock, ISO 8601"),
    _field("ended", "text", "Time at which the session ended, by the server's clock, ISO 8601"),
    _field("seconds", "number", "Time from started to ended, pauses included; empty if that is negative", "s"),
    Column(
        "time_problems",
        "text",
        "Why the session's times can't be right, separated by |; see time_problems",
        lambda row: "|".join(row.time_problems),
    ),
    _field("step", "text", "Current step, or how the session ended: completed, failed"),
    _field("reason", "text", "Why it failed: consent (declined), mobile, screen (too low); empty for the usual end"),
    _field("images", "integer", "Number of images in the session, test images included"),
    _field("answered", "integer", "Answers that count, test images included: the session's rows in answers.csv"),
    _field("tests", "integer", "Test images answered"),
    _field("tests_passed", "integer", "Test images passed"),
    _field("training_tries", "integer", "Answers to training images, all tries"),
    _field("training_passed", "integer", "Answers to training images that were right"),
    _field("opened", "integer", "How often the page was opened"),
    _field("checks", "integer", "Checks of the browser and the window"),
    _field("calibrations", "integer", "Calibrations with a bank card"),
    _field("blocked", "integer", "How often the page was covered because a check failed"),
    _field("errors", "integer", "Errors that the page reported, such as a broken image"),
    _field("late", "integer", "Late frames of all answers that count", "frames"),
)
_SURVEY_COLUMN = Column(
    "survey", "json", "All survey answers, as they were sent; free text among them may name people",
    lambda row: row.survey,
)  # fmt: skip


def session_columns(study: Study, sessions: Sequence[SessionSummary] = ()) -> tuple[Column, ...]:
    """List the columns of `sessions.csv`.

    The survey has one column per question of the study, and per other question that a session was asked.
    """
    questions = {question.name: question for question in study.survey}
    for session in sessions:
        for question in session.questions:
            questions.setdefault(question.name, question)
    survey = [_survey_column(question, study.default_language) for question in questions.values()]
    return (*_SESSION_COLUMNS, *survey, _SURVEY_COLUMN)


def _survey_column(question: Question, language: str) -> Column:
    types: dict[str, tuple[type, ...]] = {"text": (str,), "integer": (int,), "number": (int, float)}

    def value(session: SessionSummary) -> object:
        answer = session.survey_answers.get(question.name)
        # A session of an earlier version may have been asked another kind of question under this name.
        if not isinstance(answer, types[question.column_type]):
            return None
        return safe_text(answer) if isinstance(answer, str) else answer

    name, description = f"survey_{question.name}", question.describe(language)
    return Column(name, question.column_type, description, value, question.unit_text(language))


def dictionary(study: Study, sessions: Sequence[SessionSummary] = ()) -> dict[str, Any]:
    """Build the contents of `dictionary.json`: name, type, unit and meaning of every column, and of every flag."""
    return {
        "format": "pixq study answers",
        "study": study.title,
        "version": study.version,
        "rows": "One row per answer that counts, without training. An empty cell means unknown or not applicable.",
        "columns": _descriptions(answer_columns(study.clicks)),
        "flags": FLAGS,
        "time_problems": TIME_PROBLEMS,
        "sessions": {
            "rows": "One row per session in sessions.csv, which is only written for answers that a server collected.",
            "columns": _descriptions(session_columns(study, sessions)),
        },
        "consents": "consents.json has the version, language and text of each consent that people agreed to, by digest",
    }


def _descriptions(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [
        {"name": column.name, "type": column.type, "unit": column.unit, "what": column.description}
        for column in columns
    ]


def write_answers(
    study: Study, answers: Iterable[Answer], out: str | os.PathLike[str], *, parquet: bool = True
) -> list[Path]:
    """Write `answers.csv`, `dictionary.json` and `answers.parquet` into a folder, replacing older ones.

    Parameters
    ----------
    study
        The study.
    answers
        The rows. Each is written before the next one is taken.
    out
        The folder. Each file appears whole or not at all, and only its owner can read it.
    parquet
        Whether to write `answers.parquet`, which needs pyarrow.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    PixqError
        If a file can't be written, or pyarrow is not installed.

    Examples
    --------
    >>> write_answers(study, answers, "exported")  # doctest: +SKIP
    """
    out = check_target(out, parquet=parquet)
    return _write_answers(out, study, answers, dictionary(study), parquet=parquet)


def write_export(
    study: Study,
    answers: Iterable[Answer],
    sessions: Sequence[SessionSummary],
    consents: Mapping[str, tuple[str, str, str]],
    out: str | os.PathLike[str],
    *,
    parquet: bool = True,
) -> list[Path]:
    """Write the files of `write_answers`, and `sessions.csv`, `sessions.parquet` and `consents.json`.

    Parameters
    ----------
    study
        The study.
    answers, sessions
        The rows; see `pixq.study.results.stream.export_study`. Each answer is written before the next one is taken.
    consents
        Version, language and text by digest; see `pixq.study.store.store.Store.agreed_consents`.
    out
        The folder. Older files of these names are replaced, each whole or not at all; everything else in it stays.
    parquet
        Whether to write Parquet files, which needs pyarrow.

    Raises
    ------
    PixqError
        If a file can't be written, or pyarrow is not installed.

    Examples
    --------
    >>> write_export(study, answers, sessions, store.agreed_consents(), "exported")  # doctest: +SKIP
    """
    out = check_target(out, parquet=parquet)
    texts = {
        digest: {"version": version, "language": language, "text": text}
        for digest, (version, language, text) in consents.items()
    }
    meanings, columns = dictionary(study, sessions), session_columns(study, sessions)
    return [
        *_write_answers(out, study, answers, meanings, parquet=parquet),
        *_write_table(out / "sessions.csv", columns, sessions, meanings, parquet=parquet),
        _write_json(out / "consents.json", {"format": "pixq study consents", "consents": texts}),
    ]


def check_target(out: str | os.PathLike[str], *, parquet: bool) -> Path:
    """Refuse before anything is written if pyarrow is missing or `out` is a file."""
    if parquet:
        require("pyarrow")
    if Path(out).exists() and not Path(out).is_dir():
        raise PixqError(f"{out}: is not a folder; choose another --out")
    return Path(out)


def _write_answers(
    out: Path, study: Study, answers: Iterable[Answer], meanings: dict[str, Any], *, parquet: bool
) -> list[Path]:
    written = _write_table(out / "answers.csv", answer_columns(study.clicks), answers, meanings, parquet=parquet)
    written.insert(1, _write_json(out / "dictionary.json", meanings))
    return written


def _write_json(path: Path, value: dict[str, Any]) -> Path:
    save_json(path, value, private=True)
    return path


def _write_table(
    path: Path, columns: Sequence[Column], rows: Iterable[Any], meanings: dict[str, Any], *, parquet: bool
) -> list[Path]:
    """Write the CSV file and, beside it, the Parquet file, row by row."""
    values = ([column.value(row) for column in columns] for row in rows)
    if not parquet:
        _write_csv(path, columns, values)
        return [path]
    beside = path.with_suffix(".parquet")
    with _parquet_writer(beside, columns, meanings) as append:
        _write_csv(path, columns, (append(row) for row in values))
    return [path, beside]


def _write_csv(path: Path, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    with csv_writer(path, [column.name for column in columns], private=True) as write:
        write([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    """Make a CSV cell: empty for an unknown value, and true and false as JSON writes them."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


_Row = Sequence[Any]


@contextmanager
def _parquet_writer(
    path: Path, columns: Sequence[Column], meanings: dict[str, Any]
) -> Iterator[Callable[[_Row], _Row]]:
    """Write a Parquet file: yields a function that appends a row and returns it."""
    pa, pq = require("pyarrow"), require("pyarrow", "pyarrow.parquet")
    types = {
        "text": pa.string(),
        "json": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
    }
    metadata = {"pixq": as_json(meanings)}
    schema = pa.schema([(column.name, types[column.type]) for column in columns], metadata=metadata)
    waiting: list[_Row] = []
    characters = 0
    with atomic_write(path, private=True) as scratch, pq.ParquetWriter(scratch, schema) as file:

        def flush() -> None:
            arrays = [
                pa.array(values, field.type) for values, field in zip(zip(*waiting, strict=True), schema, strict=True)
            ]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))
            waiting.clear()

        def append(row: _Row) -> _Row:
            nonlocal characters
            waiting.append(row)
            characters += sum(len(value) for value in row if isinstance(value, str))
            if len(waiting) >= _ROWS or characters >= _CHARACTERS:
                flush()
                characters = 0
            return row

        yield append
        if waiting:
            flush()
