"""`pixq study import-amt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.cli.messages import note, print_lines
from pixq.errors import PixqError
from pixq.study.design.study_files import open_study
from pixq.study.results.export import write_answers
from pixq.study.results.import_mturk import read_mturk
from pixq.study.store.keys import KEY_FILE, open_key

__all__ = ["import_amt"]


def import_amt(
    *results: Annotated[Path, Parameter(name="results", negative="")],
    out: Path,
    study: Path = Path(),
    key: Path | None = None,
    parquet: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Read result files of the earlier framework as answers of this study.

    Workers become pseudonyms by the study's key, and addresses in the files are ignored. Skipped entries are listed on
    stderr, and the exit code is then 1.

    Parameters
    ----------
    results
        CSV files of Mechanical Turk batches, or the framework's own downloads.
    out
        A new folder for answers.csv and dictionary.json.
    study
        The study that has the images: its folder, or its study.toml. Default: this folder.
    key
        The study's key, which is created if missing. Default: study.key beside study.toml.
    parquet
        Also write answers.parquet.
    """
    if not results:
        raise PixqError("give the result files: pixq study import-amt batch.csv --out answers")
    if out.exists():
        raise PixqError(f"{out}: exists already; choose another --out or delete it")

    opened = open_study(study)
    secret = open_key(key or opened.study.folder / KEY_FILE)
    imported = read_mturk(opened, results, secret.pseudonym)
    for path in write_answers(opened.study, imported.answers, out, parquet=parquet):
        print_lines(path)
    for line in imported.skipped:
        note(f"skipped: {line}")
    people = len({each.participant for each in imported.answers})
    note(
        f"{len(imported.answers)} answers of {people} people; {imported.training} to training images left out; "
        f"{len(imported.skipped)} skipped"
    )
    return 1 if imported.skipped else 0
