"""What is stored, as the export and the figures take it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pixq.study.answers import Event, SessionRow, Shown, answers_of
from pixq.study.conduct import Conductor
from pixq.study.status import status_of

__all__ = ["figures", "stored"]


def stored(conductor: Conductor) -> tuple[list[SessionRow], list[Event]]:
    """All sessions and all events of a study.

    Parameters
    ----------
    conductor
        Of its store.
    """
    rows, events = [], []
    for session in conductor.store.sessions():
        own = conductor.store.events(session.id)
        course, progress = conductor.course(session), conductor.replayed(session, own)
        rows.append(
            SessionRow(
                session.public, session.participant, session.ordinal, session.language,
                json.loads(session.plan)["version"], session.consent or "", session.step,
                tuple(Shown(each.key, each.source) for each in course.trials),
                frozenset(each.number for each in progress.answers),
            )
        )  # fmt: skip
        events += [
            Event(
                session.participant, session.public, each.number, each.kind, each.at, each.wall,
                datetime.fromtimestamp(received, UTC).isoformat(timespec="milliseconds"), json.loads(each.data),
            )
            for each, received in zip(own, conductor.store.received(session.id), strict=False)
        ]  # fmt: skip
    return rows, events


def figures(conductor: Conductor) -> dict[str, Any]:
    """How far a study is, as JSON; see `pixq.study.status.StudyStatus`."""
    rows, events = stored(conductor)
    status = status_of(conductor.study, rows, answers_of(conductor.opened, rows, events))
    return {
        "title": conductor.study.title,
        **asdict(status),
        "pass_rate": status.pass_rate,
        "dropouts": status.dropouts,
    }
