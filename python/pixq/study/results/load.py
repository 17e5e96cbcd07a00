"""Load a study's sessions and events from its database, in the form that answers, exports and statistics need."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import NamedTuple

from pixq.study.results.answers import SessionEvent, SessionRow
from pixq.study.results.event_times import as_time
from pixq.study.results.session_summary import SessionSummary, summary_of
from pixq.study.session.service import SessionService
from pixq.study.session.viewing import Viewing

__all__ = ["StudyResults", "load_results"]


class StudyResults(NamedTuple):
    """All sessions of a study, all their events, and a summary of each session, even of those without an answer."""

    sessions: list[SessionRow]
    events: list[SessionEvent]
    summaries: list[SessionSummary]


def load_results(service: SessionService) -> StudyResults:
    """Load everything that is stored of a study; while it is served, this is what its server is about to answer.

    Parameters
    ----------
    service
        The service of the study's database.
    """
    results = StudyResults([], [], [])
    viewings: dict[int, dict[int, Viewing]] = defaultdict(dict)
    for image in service.store.assignments():
        viewings[image.session][image.place] = Viewing(image.fetched, image.watched)
    for session, stored in service.store.sessions_with_events():
        events = [event for event, _ in stored]
        progress, plan = service.replay(session, events), service.plan(session)
        results.summaries.append(summary_of(session, events, progress, [received for _, received in stored]))
        results.sessions.append(
            SessionRow(
                session=session.public,
                participant=session.participant,
                number=session.ordinal,
                language=session.language,
                version=plan.version,
                consent=session.consent or "",
                step=progress.step,
                rules=plan.rules,
                shown=plan.trials,
                counted=frozenset(answer.number for answer in progress.answers),
                viewings=viewings[session.id],
                started=as_time(session.started),
            )
        )
        results.events.extend(
            SessionEvent(
                participant=session.participant,
                session=session.public,
                number=event.number,
                kind=event.kind,
                at=event.at,
                wall=event.wall,
                received=as_time(received),
                data=json.loads(event.data),
            )
            for event, received in stored
        )
    return results
