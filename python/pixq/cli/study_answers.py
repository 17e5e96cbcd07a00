"""`pixq study status` and `export`: what has been answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixq.cli.messages import print_json, print_lines
from pixq.io.optional import require

__all__ = ["export", "status"]


def status(
    study: Path = Path(),
    /,
    *,
    database: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Print how far a study is: answers per source, test images passed, times, where people left, late frames.

    It also works while the study is being served.

    Parameters
    ----------
    study
        Folder of the study, or its study.toml. Default: this folder.
    database
        Database of the answers: a file, or postgresql://user@host/name with its password in PGPASSWORD or in the file
        that PGPASSFILE names. Default: answers.db beside study.toml.
    json_
        Print it as JSON.
    """
    require("sqlalchemy")
    from pixq.study.results.statistics import statistics_lines, study_statistics
    from pixq.study.server.open_study import open_service

    with open_service(study, database) as service:
        statistics = study_statistics(service)
    if json_:
        print_json(json.dumps(statistics, indent=2))
    else:
        print_lines(*statistics_lines(statistics))
    return 0


def export(
    study: Path = Path(),
    /,
    *,
    out: Path,
    database: str | None = None,
    parquet: Annotated[bool, Parameter(negative="--no-parquet")] = True,
) -> int:
    """Write the answers, sessions and consents of a study, and a dictionary of all columns; print the files' names.

    It also works while the study is being served. Files of an earlier export in the folder are replaced; everything
    else in it stays.

    Parameters
    ----------
    study
        Folder of the study, or its study.toml. Default: this folder.
    out
        Folder for answers.csv, sessions.csv, their Parquet versions, consents.json and dictionary.json.
    database
        Database of the answers: a file, or postgresql://user@host/name with its password in PGPASSWORD or in the file
        that PGPASSFILE names. Default: answers.db beside study.toml.
    parquet
        Also write Parquet files.
    """
    require("sqlalchemy")
    from pixq.study.results.stream import export_study
    from pixq.study.server.open_study import open_service

    with open_service(study, database) as service:
        written = export_study(service, out, parquet=parquet)
    print_lines(*written)
    return 0
