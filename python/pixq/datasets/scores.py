"""Readers of score files: text, numbers and names, with errors that name the file and the line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pixq.datasets.labels import LabelContract, Polarity, check_text
from pixq.errors import PixqError
from pixq.io import text as text_files
from pixq.io.csv import DELIMITERS, read_csv

__all__ = ["contract_of", "csv_rows", "number", "read_text", "safe_path", "score", "text_lines"]

# Stricter than float(): no "1_0", no "nan", no digits of other scripts.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+", re.ASCII)


def _halves_of_number(left: str, right: str) -> bool:
    """Whether two neighbouring cells may be one number that was written with a comma."""
    return re.fullmatch(r"[+-]?\d+", left, re.ASCII) is not None and right.isascii() and right.isdecimal()


def read_text(path: Path) -> str:
    """Read a text file as `pixq.io.text.read_text` does.

    Raises
    ------
    PixqError
        If the file can't be read or is not UTF-8.
    """
    try:
        return text_files.read_text(path)
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}") from None


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and text of each line that is neither blank nor a comment (`#`)."""
    # Not str.splitlines: it also splits at form feeds and the like, and the numbers would no longer be an editor's.
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        text = text.strip()
        if text and not text.startswith("#"):
            yield line, text


def csv_rows(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells (by column name, stripped) of each row of a CSV file with a header.

    Cells are separated by commas, semicolons or tabs. Column names are matched without regard to case; missing cells
    are empty.

    Raises
    ------
    PixqError
        If a required column is absent, a row has more cells than the header, or the quoting is broken.
    """
    header: list[str] = []
    try:
        for line, cells, delimiter in read_csv(read_text(path), required):
            cells = [cell.strip() for cell in cells]
            if not header:
                header = [cell.lower() for cell in cells]
                absent = [name for name in required if name not in header]
                if absent:
                    raise PixqError(
                        f"{path}, line {line}: no column {', '.join(absent)}; "
                        f"the first line must name the columns {', '.join(required)}, separated by commas, semicolons "
                        "or tabs"
                    )
                if len(set(header)) != len(header):
                    raise PixqError(f"{path}, line {line}: a column is named twice; keep one of each")
                continue
            if len(cells) > len(header):
                numbers = delimiter == "," and any(map(_halves_of_number, cells, cells[1:]))
                raise PixqError(
                    f"{path}, line {line}: {len(cells)} cells under {len(header)} columns; "
                    + ("write numbers with a decimal point, like 0.875, and " if numbers else "")
                    + f"quote cells that hold a {DELIMITERS[delimiter]}"
                )
            yield line, dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=True))
    except csv.Error as error:
        raise PixqError(f"{path}, {error}; fix the quoting") from None


def number(text: str, path: Path, line: int, what: str) -> float:
    """Parse a finite number; the error names `path`, `line` and `what`."""
    if _DECIMAL_COMMA.fullmatch(text) is not None:
        raise PixqError(
            f"{path}, line {line}: the {what} {text!r} has a decimal comma; write it with a point, like 0.875"
        )
    if _NUMBER.fullmatch(text) is None or abs(value := float(text)) == float("inf"):
        raise PixqError(f"{path}, line {line}: the {what} {text!r} is not a finite number; write it like 0.875")
    return value


def score(
    text: str,
    path: Path,
    line: int,
    contract: LabelContract,
    fix: str = "fix the line, or choose the dataset that the file belongs to",
) -> float:
    """Parse a score on the contract's scale; the error names `path` and `line`, and may end with `fix`."""
    value = number(text, path, line, "score")
    if not contract.minimum <= value <= contract.maximum:
        raise PixqError(
            f"{path}, line {line}: score {text} lies outside the scale {contract.minimum:g} to {contract.maximum:g}; "
            f"{fix}"
        )
    return value


def safe_path(name: str, path: Path, line: int, *, folders: bool = False) -> str:
    """Check that `name` stays below the dataset's root; the error names `path` and `line`.

    `folders` allows forward slashes. Absolute names, `..`, control characters and empty names are refused: a score
    file comes from somebody else and must not choose which files are read.
    """
    parts = name.split("/")
    fault = None
    if not name:
        fault = "an empty file name"
    elif any(ord(character) < 32 or ord(character) == 127 for character in name):
        fault = f"a control character in the file name {name!r}"
    elif "\\" in name:
        fault = f"a backslash in the file name {name!r}"
    elif name.startswith("/") or re.match(r"[A-Za-z]:", name):
        fault = f"the absolute file name {name!r}"
    elif any(part in ("", ".", "..") for part in parts):
        fault = f"the file name {name!r}, which is not plain"
    elif len(parts) > 1 and not folders:
        fault = f"the file name {name!r} with a folder in it"
    if fault:
        wanted = "a path below the root with forward slashes" if folders else "a bare file name"
        raise PixqError(f"{path}, line {line}: {fault}; give {wanted}")
    return name


def contract_of(
    root: Path, contract: LabelContract, scores: Path | None = None, polarity: Polarity | None = None
) -> LabelContract:
    """Adjust `contract` to the dataset in `root`.

    A file `labels.json` in the root marks labels that don't come from people: `{"synthetic": true, "note": "how they
    were made"}`. The note is optional, and other keys are ignored. A first line `# synthetic ...` in the score file
    does the same. `polarity`, if given, replaces the contract's, and the note says so.
    """
    notes = [contract.note] if contract.note else []
    if polarity is not None:
        contract = replace(contract, polarity=polarity)
        notes.append(f"set to {polarity} by its user")
    synthetic = contract.synthetic
    if scores is not None and (first := read_text(scores).lstrip().split("\n", 1)[0]).startswith("#"):
        comment = first.lstrip("# \t").strip()
        if comment.lower().startswith("synthetic"):
            synthetic = True
            notes.append(comment)
    sidecar = root / "labels.json"
    if sidecar.is_file():
        try:
            loaded = json.loads(read_text(sidecar))
        except ValueError as error:
            raise PixqError(f'{sidecar}: {error}; write it like {{"synthetic": true}}') from None
        if (
            not isinstance(loaded, dict)
            or not isinstance(loaded.get("synthetic"), bool)
            or not isinstance(loaded.get("note", ""), str)
        ):
            raise PixqError(f'{sidecar}: write it as {{"synthetic": true or false, "note": "text"}}')
        check_text(loaded.get("note", ""), f"{sidecar}: the note")
        synthetic = synthetic or loaded["synthetic"]
        notes.append(" ".join(loaded.get("note", "").split()))
    # The dataset's raters did not rate synthetic labels. Notes may repeat, as those of the demo do.
    raters = None if synthetic else contract.raters
    return replace(
        contract, synthetic=synthetic, raters=raters, note="; ".join(dict.fromkeys(note for note in notes if note))
    )
