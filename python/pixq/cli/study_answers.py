"""`pixq study status` and `export`: what has been answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.errors import printable
from pixq.io.optional import require

__all__ = ["export", "status"]


def status(
    study: Path = Path(),
    /,
    *,
    database: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Say how far a study is: answers by source and quota, tests passed, times, where people left, late frames.

    It works while the study is served, and after it.

    Parameters
    ----------
    study
        Its folder, or study.toml. Default: this folder.
    database
        Of the answers: a file, or postgresql://user:password@host/name. Default: answers.db beside study.toml.
    json_
        Print it as JSON.
    """
    require("sqlalchemy")
    from pixq.study.results.statistics import statistics_lines, study_statistics
    from pixq.study.server.open_study import open_service

    with open_service(study, database) as service:
        statistics = study_statistics(service)
    if json_:
        print(json.dumps(statistics, indent=2))
    else:
        print(*map(printable, statistics_lines(statistics)), sep="\n")
    return 0


def export(
    study: Path = Path(),
    /,
    *,
    out: Path,
    database: str | None = None,
    parquet: Annotated[bool, Parameter(negative="--no-parquet")] = True,
) -> int:
    """Write answers, one row each, sessions, consents, and a dictionary of all columns. The files are named on stdout.

    It works while the study is served, and after it. An earlier export's files in the folder are replaced, each whole;
    all else in it stays.

    Parameters
    ----------
    study
        Its folder, or study.toml. Default: this folder.
    out
        The folder for answers.csv, sessions.csv, both as Parquet, consents.json and dictionary.json.
    database
        Of the answers: a file, or postgresql://user:password@host/name. Default: answers.db beside study.toml.
    parquet
        Write Parquet files too.
    """
    require("sqlalchemy")
    from pixq.study.results.answers import answers_of
    from pixq.study.results.export import write_export
    from pixq.study.results.load import load_results
    from pixq.study.server.open_study import open_service

    with open_service(study, database) as service:
        results = load_results(service)
        answers = answers_of(service.study, results.sessions, results.events)
        consents = service.store.agreed_consents()
        written = write_export(service.study, answers, results.summaries, consents, out, parquet=parquet)
    print(*written, sep="\n")
    return 0
