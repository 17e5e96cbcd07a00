"""Answers as files: `answers.csv` and `sessions.csv`, Parquet of the same, `consents.json`, and `dictionary.json`.

The dictionary says what each column is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pixq.errors import PixqError
from pixq.io.atomic import write_json
from pixq.io.csv import table_of
from pixq.study.design.config import Study
from pixq.study.results.answers import FLAGS, Answer, as_json
from pixq.study.results.session_summary import SessionSummary

__all__ = ["SESSION_COLUMNS", "Column", "columns", "dictionary", "write_answers", "write_export"]

Type = Literal["text", "integer", "number", "boolean", "json"]


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Parameters
    ----------
    name
        In the files.
    type
        `text`, `integer`, `number`, `boolean`, or `json`: text that is JSON.
    what
        It is, for people.
    of
        Its value in a row; `None` where it is not known.
    unit
        If it has one.
    """

    name: str
    type: Type
    what: str
    of: Callable[[Any], Any]
    unit: str = ""


def _field(name: str, type: Type, what: str, unit: str = "") -> Column:
    return Column(name, type, what, lambda row: getattr(row, name), unit)


def _point(number: int, axis: int) -> Column:
    name = f"{'yx'[axis]}{number}"
    what = f"{('row', 'column')[axis]} of the {number}. click, from the image's {('top', 'left')[axis]} edge"
    return Column(name, "number", what, lambda answer: _at(answer, number - 1, axis), "image pixels")


def _at(answer: Answer, number: int, axis: int) -> float | None:
    return answer.points[number][axis] if number < len(answer.points) else None


def _shown_cm(name: str, css: str, what: str) -> Column:
    def of(answer: Answer) -> float | None:
        size = getattr(answer, css)
        return size / answer.px_per_cm if size is not None and answer.px_per_cm else None

    return Column(name, "number", what, of, "cm")


def columns(clicks: int) -> tuple[Column, ...]:
    """The columns of a study that asks for so many clicks."""
    return (
        _field("participant", "text", "pseudonym of the person"),
        _field("session", "text", "name of the session"),
        _field("session_number", "integer", "the person's first, second, ... session, from 1"),
        _field("place", "integer", "of the image in its session, from 1; test images count"),
        _field("source", "text", "id of the source or test image in study.toml"),
        _field("codec", "text", "what made its levels"),
        _field("kind", "text", "source: it is asked about; test: its truth is known"),
        _field("width", "integer", "of the image", "image pixels"),
        _field("height", "integer", "of the image", "image pixels"),
        _field("level", "integer", "the PJND: the level at which the person first noticed the flicker, 1 to 100"),
        *(_point(number, axis) for number in range(1, clicks + 1) for axis in (0, 1)),
        _field("answered", "text", "when the answer was given, by the person's clock, ISO 8601"),
        _field("received", "text", "when the answer was stored, by the server's clock, ISO 8601"),
        _field("at_ms", "number", "when the answer was given, since the page was opened", "ms"),
        _field("shown_ms", "number", "how long the image was shown before the answer", "ms"),
        Column(
            "track",
            "json",
            "every position of the slider: [[ms since the image was shown, level], ...]",
            lambda answer: None if answer.track is None else as_json(answer.track),
        ),
        Column(
            "track_positions",
            "integer",
            "number of positions in track",
            lambda answer: None if answer.track is None else len(answer.track),
        ),
        _field("rate", "number", "of the screen, measured", "Hz"),
        _field("achieved", "number", "changes between reference and distorted image, measured", "1/s"),
        _field("frames_per_image", "integer", "frames of the screen that each image stays, as planned", "frames"),
        _field("late", "integer", "frames that came late while the image was shown", "frames"),
        _field("dpr", "number", "device pixels to a CSS pixel"),
        _field("px_per_cm", "number", "of the screen, by the bank card", "CSS pixels/cm"),
        _field("width_css", "number", "of the image as it was shown", "CSS pixels"),
        _field("height_css", "number", "of the image as it was shown", "CSS pixels"),
        _shown_cm("width_cm", "width_css", "width_css by px_per_cm: how wide the image was on the screen"),
        _shown_cm("height_cm", "height_css", "height_css by px_per_cm: how high the image was on the screen"),
        Column(
            "environment",
            "json",
            "what the page's last check and calibration before the answer said: {check: {...}, calibration: {...}}",
            lambda answer: as_json(answer.environment),
        ),
        _field("language", "text", "of the page"),
        _field("study_version", "text", "version of the study that the session was of"),
        _field("consent", "text", "digest of the consent's text that the person agreed to"),
        _field("step", "text", "where the session is, or how it ended: completed, failed"),
        _field("in_range", "boolean", "of a test image: level lies in its accepted range"),
        _field("matched", "integer", "of a test image: how many clicks match its places one to one"),
        _field("passed", "boolean", "of a test image: in_range, and two clicks or more match"),
        Column(
            "flags",
            "text",
            "what may be odd about the answer, parted by |; see flags",
            lambda answer: "|".join(answer.flags),
        ),
    )


#: Of `sessions.csv`.
SESSION_COLUMNS = (
    _field("participant", "text", "pseudonym of the person"),
    _field("session", "text", "name of the session"),
    _field("session_number", "integer", "the person's first, second, ... session, from 1"),
    _field("language", "text", "of the page"),
    _field("study_version", "text", "version of the study that the session was of"),
    _field("consent", "text", "digest of the consent's text that the person agreed to; consents.json has the text"),
    _field("started", "text", "when it began, by the server's clock, ISO 8601"),
    _field("heard", "text", "when the page was last heard of, by the server's clock, ISO 8601"),
    _field("ended", "text", "when it ended, by the server's clock, ISO 8601"),
    _field("seconds", "number", "from started to ended, pauses included", "s"),
    _field("step", "text", "where it is, or how it ended: completed, failed"),
    _field("reason", "text", "why it failed: consent (declined), mobile, screen (too low); empty for the usual end"),
    _field("images", "integer", "that it was to ask about, test images among them"),
    _field("answered", "integer", "answers that count, those to test images among them: its rows in answers.csv"),
    _field("tests", "integer", "test images answered"),
    _field("tests_passed", "integer", "test images passed"),
    _field("training_tries", "integer", "answers to training images, all tries"),
    _field("training_passed", "integer", "of these, those that were right"),
    _field("opened", "integer", "times that the page was opened"),
    _field("checks", "integer", "checks of browser and window"),
    _field("calibrations", "integer", "calibrations by the bank card"),
    _field("blocked", "integer", "times that the page was covered, because a check failed meanwhile"),
    _field("errors", "integer", "errors that the page told, such as a broken image"),
    _field("late", "integer", "late frames of all answers that count", "frames"),
    _field("survey_hard", "integer", "how hard it was, by the person: 1 (very easy) to 5 (very hard)"),
    _field("survey_sure", "integer", "how sure the person was: 1 (not at all) to 5 (very)"),
    _field("survey_glasses", "text", "none: needs no glasses; worn: wore them; not: did not wear those needed"),
    _field(
        "survey_remarks", "text",
        "what the person wrote, in one line; ' stands before what a spreadsheet would compute. It may name people",
    ),
    Column(
        "survey", "json", "all that the survey said, as it was sent; what is free text in it may name people",
        lambda row: None if row.survey is None else as_json(row.survey),
    ),
)  # fmt: skip


def dictionary(study: Study) -> dict[str, Any]:
    """What `dictionary.json` holds: of every column its name, type, unit and meaning, and what each flag says."""
    return {
        "format": "pixq study answers",
        "study": study.title,
        "version": study.version,
        "rows": "one an answer that counts; training is not among them; an empty cell: not known, or not applicable",
        "columns": _told(columns(study.clicks)),
        "flags": FLAGS,
        "sessions": {
            "rows": "one a session, also without answers, in sessions.csv; not of answers that no server collected",
            "columns": _told(SESSION_COLUMNS),
        },
        "consents": "consents.json has, by digest, version, language and text of what people agreed to",
    }


def _told(table: Sequence[Column]) -> list[dict[str, str]]:
    return [{"name": each.name, "type": each.type, "unit": each.unit, "what": each.what} for each in table]


def write_answers(
    study: Study, answers: Sequence[Answer], out: str | os.PathLike[str], *, parquet: bool = True
) -> list[Path]:
    """Write `answers.csv`, `dictionary.json` and `answers.parquet` into the folder `out`; older ones are replaced.

    Parameters
    ----------
    study
        The study.
    answers
        The rows.
    out
        The folder. Each file appears whole or not at all.
    parquet
        Whether to write `answers.parquet`, which needs pyarrow.

    Returns
    -------
    list of Path
        Of what was written.

    Raises
    ------
    PixqError
        If it can't be written, or pyarrow is missing.

    Examples
    --------
    >>> write_answers(study, answers, "exported")  # doctest: +SKIP
    """
    return _write_answers(*_begin(out, parquet=parquet), study, answers)


def write_export(
    study: Study,
    answers: Sequence[Answer],
    sessions: Sequence[SessionSummary],
    consents: Mapping[str, tuple[str, str, str]],
    out: str | os.PathLike[str],
    *,
    parquet: bool = True,
) -> list[Path]:
    """Write what `write_answers` does, `sessions.csv`, `sessions.parquet` and `consents.json`; otherwise as that.

    Parameters
    ----------
    study
        The study.
    answers, sessions
        The rows; see `pixq.study.results.statistics.everything`.
    consents
        Version, language and text by digest; see `pixq.study.store.store.Store.consents`.
    out
        The folder. Older files of these names are replaced, each whole; all else in it stays.
    parquet
        Whether to write Parquet, which needs pyarrow.

    Raises
    ------
    PixqError
        If it can't be written, or pyarrow is missing.

    Examples
    --------
    >>> write_export(study, answers, sessions, store.agreed_consents(), "exported")  # doctest: +SKIP
    """
    out, arrow = _begin(out, parquet=parquet)
    told = {
        digest: {"version": version, "language": language, "text": text}
        for digest, (version, language, text) in consents.items()
    }
    return [
        *_write_answers(out, arrow, study, answers),
        *_write_table(arrow, out / "sessions.csv", study, SESSION_COLUMNS, sessions),
        _write_json(out / "consents.json", {"format": "pixq study consents", "consents": told}),
    ]


def _begin(out: str | os.PathLike[str], *, parquet: bool) -> tuple[Path, tuple[Any, Any] | None]:
    # Before anything is written: without pyarrow there is nothing.
    arrow = _arrow() if parquet else None
    if Path(out).exists() and not Path(out).is_dir():
        raise PixqError(f"{out}: is no folder; choose another --out")
    return Path(out), arrow


def _write_answers(out: Path, arrow: tuple[Any, Any] | None, study: Study, answers: Sequence[Answer]) -> list[Path]:
    written = _write_table(arrow, out / "answers.csv", study, columns(study.clicks), answers)
    written.insert(1, _write_json(out / "dictionary.json", dictionary(study)))
    return written


def _write_json(path: Path, value: dict[str, Any]) -> Path:
    try:
        write_json(path.with_name(f".{path.stem}.partial-{os.getpid()}"), path, value)
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; make room, or make it writable") from None
    return path


def _write_table(
    arrow: tuple[Any, Any] | None, path: Path, study: Study, table: Sequence[Column], rows: Sequence[Any]
) -> list[Path]:
    """The CSV file, and beside it the Parquet file."""
    with table_of(path, [each.name for each in table]) as write:
        write([_cell(each.of(row)) for each in table] for row in rows)
    if arrow is None:
        return [path]
    _write_parquet(arrow, path.with_suffix(".parquet"), study, table, rows)
    return [path, path.with_suffix(".parquet")]


def _cell(value: object) -> object:
    """As CSV has it: an empty cell for what is not known, and true and false as JSON has them."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else value


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise PixqError("Parquet needs pyarrow; install it with: pip install 'pixq[parquet]'") from None
    return pa, pq


def _write_parquet(
    arrow: tuple[Any, Any], path: Path, study: Study, table: Sequence[Column], rows: Sequence[Any]
) -> None:
    pa, pq = arrow
    types = {
        "text": pa.string(),
        "json": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
    }
    note = {"pixq": as_json(dictionary(study))}
    schema = pa.schema([(each.name, types[each.type]) for each in table], metadata=note)
    arrays = [pa.array([each.of(row) for row in rows], types[each.type]) for each in table]
    scratch = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), scratch)
        scratch.replace(path)
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; make room, or make it writable") from None
    finally:
        scratch.unlink(missing_ok=True)
