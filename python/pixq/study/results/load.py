"""Load a study's sessions and events from its database, in the form that answers, exports and statistics need."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from pixq.study.results.answers import Answer, SessionEvent, SessionRow, flag_answer, session_answers
from pixq.study.results.event_times import as_time
from pixq.study.results.session_summary import SessionSummary, summary_of
from pixq.study.session.event_payloads import LOGGED_KINDS
from pixq.study.session.service import SessionService
from pixq.study.session.state_machine import replay
from pixq.study.session.viewing import Viewing
from pixq.study.store.records import Event
from pixq.study.store.snapshot import Snapshot, StoredSession

__all__ = ["UNREAD_KINDS", "SessionResult", "StudyResults", "load_results", "session_results", "short_answers"]

#: Kinds of events whose data neither answers nor summaries need; whether and when they came does matter.
UNREAD_KINDS = frozenset(LOGGED_KINDS) - {"recalibration"}


class SessionResult(NamedTuple):
    """A session as it is stored, the row that its answers are built from, and a summary."""

    stored: StoredSession
    row: SessionRow
    summary: SessionSummary

    @property
    def answers(self) -> list[Answer]:
        """The answers of the session, without the flags of `pixq.study.results.answers.flag_answer`."""
        return session_answers(self.row, self.events(_needed_numbers(self.stored.events, self.row.counted)))

    def events(self, needed: Collection[int] | None = None) -> Iterator[SessionEvent]:
        """Yield the events one after the other; those that are not `needed` have empty data."""
        session = self.stored.session
        for event, received in zip(self.stored.events, self.stored.received, strict=True):
            yield SessionEvent(
                participant=session.participant,
                session=session.public,
                number=event.number,
                kind=event.kind,
                at=event.at,
                wall=event.wall,
                received=as_time(received),
                data=json.loads(event.data) if needed is None or event.number in needed else {},
            )


def _needed_numbers(events: Sequence[Event], counted: Collection[int]) -> set[int]:
    """Numbers of the events whose data answers need: those that count, and the environment in which they were given.

    A page may send any number of checks, whose data may be anything: reading them all would take long.
    """
    needed: set[int] = set()
    last: dict[str, int] = {}
    for event in events:
        if event.kind in ("check", "calibration"):
            last[event.kind] = event.number
        elif event.kind == "recalibration":
            last["calibration"] = event.number
        elif event.number in counted:
            needed.update((event.number, *last.values()))
    return needed


def session_results(
    service: SessionService, snapshot: Snapshot, without: Collection[str] = UNREAD_KINDS
) -> Iterator[SessionResult]:
    """Yield all sessions, even those without an answer, by person and in order; only one is in memory.

    Parameters
    ----------
    service
        The service of the study's database.
    snapshot
        See `pixq.study.store.store.Store.snapshot`.
    without
        Kinds of events whose data are not needed.
    """
    for stored in snapshot.sessions(without):
        session = stored.session
        plan = service.read_plan(session)
        progress = replay(plan, stored.events)
        row = SessionRow(
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
            viewings={image.place: Viewing(image.fetched, image.watched) for image in stored.images},
            started=as_time(session.started),
        )
        summary = summary_of(session, stored.events, progress, stored.received)
        yield SessionResult(stored, row, summary)


def short_answers(result: SessionResult) -> list[Answer]:
    """The answers of a session for statistics: flagged, except as screened out, and without what takes memory."""
    return [replace(flag_answer(answer, ()), track=None, environment={}, points=()) for answer in result.answers]


class StudyResults(NamedTuple):
    """All sessions of a study, all their events, and a summary of each session, in the order in which they started."""

    sessions: list[SessionRow]
    events: list[SessionEvent]
    summaries: list[SessionSummary]


def load_results(service: SessionService) -> StudyResults:
    """Load everything that is stored of a study into memory; `session_results` takes less.

    Parameters
    ----------
    service
        The service of the study's database.
    """
    with service.store.snapshot() as snapshot:
        loaded = [
            (result.row, list(result.events()), result.summary) for result in session_results(service, snapshot, ())
        ]
    loaded.sort(key=lambda each: (each[0].started, each[0].participant, each[0].number))
    return StudyResults(
        [row for row, _, _ in loaded],
        [event for _, events, _ in loaded for event in events],
        [summary for _, _, summary in loaded],
    )
