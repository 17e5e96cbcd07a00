"""`pixq study import-amt`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.errors import PixqError

__all__ = ["import_amt"]


def import_amt(
    *results: Annotated[Path, Parameter(name="results", negative="")],
    out: Path,
    study: Path = Path(),
    key: Path | None = None,
    parquet: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Read result files that the earlier framework's batches left, as answers of this study.

    Workers become pseudonyms by the study's key, and an address in the files is not taken. What is skipped is said on
    stderr, and ends with code 1.

    Parameters
    ----------
    results
        CSV files of Mechanical Turk's batches, or the framework's own downloads.
    out
        A new folder for answers.csv and dictionary.json.
    study
        The study that has the images: its folder, or study.toml. Default: this folder.
    key
        The study's key, which is made if there is none. Default: study.key beside study.toml.
    parquet
        Write answers.parquet, too.
    """
    if not results:
        raise PixqError("give the result files: pixq study import-amt batch.csv --out answers")
    if out.exists():
        raise PixqError(f"{out}: exists already; choose another --out or delete it")
    from pixq.study.design.study_files import open_study
    from pixq.study.results.export import write_answers
    from pixq.study.results.import_mturk import read_mturk
    from pixq.study.store.keys import KEY_FILE, open_key

    opened = open_study(study)
    secret = open_key(key or opened.study.folder / KEY_FILE)
    found = read_mturk(opened, results, secret.pseudonym)
    for path in write_answers(opened.study, found.answers, out, parquet=parquet):
        print(path)
    for line in found.skipped:
        print(f"pixq: skipped: {line}", file=sys.stderr)
    people = len({each.participant for each in found.answers})
    print(
        f"pixq: {len(found.answers)} answers of {people} people; {found.training} to training images left out; "
        f"{len(found.skipped)} skipped",
        file=sys.stderr,
    )
    return 1 if found.skipped else 0
