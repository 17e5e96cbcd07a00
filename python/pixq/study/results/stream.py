"""Export a study session by session, so that memory does not grow with what is stored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pixq.study.results.answers import Answer, flag_answer, screened_out_people
from pixq.study.results.export import check_target, write_export
from pixq.study.results.load import session_results, short_answers
from pixq.study.results.session_summary import SessionSummary
from pixq.study.session.service import SessionService

__all__ = ["export_study"]


def export_study(service: SessionService, out: str | os.PathLike[str], *, parquet: bool = True) -> list[Path]:
    """Write the answers, sessions and consents of a study; see `pixq.study.results.export.write_export`.

    Parameters
    ----------
    service
        The service of the study's database. While the study is served, what is stored later is left out.
    out, parquet
        See `pixq.study.results.export.write_export`.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    PixqError
        If a file can't be written, or pyarrow is not installed.
    """
    check_target(out, parquet=parquet)
    study = service.study
    with service.store.snapshot() as snapshot:
        summaries: list[SessionSummary] = []
        judged: list[Answer] = []
        for result in session_results(service, snapshot):
            summaries.append(result.summary)
            judged += short_answers(result)
        screened_out = screened_out_people(study, judged)
        del judged
        # As they started, and not by pseudonym.
        summaries.sort(key=lambda summary: (summary.started, summary.participant, summary.session_number))

        def answers() -> Iterator[Answer]:
            for result in session_results(service, snapshot):
                for answer in result.answers:
                    yield flag_answer(answer, screened_out)

        consents = service.store.agreed_consents()
        return write_export(study, answers(), summaries, consents, out, parquet=parquet)
