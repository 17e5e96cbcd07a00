"""Decides which completed sessions get the usual completion code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pixq.study.design.config import Qualification
from pixq.study.session.event_payloads import read_number
from pixq.study.session.state_machine import SessionProgress
from pixq.study.session.viewing import is_contradicted
from pixq.study.store.records import Event

__all__ = ["qualifies"]


def qualifies(
    rules: Qualification, progress: SessionProgress, events: Iterable[Event], watched: Mapping[int, float | None]
) -> bool:
    """Whether a completed session gets the usual completion code.

    Parameters
    ----------
    rules
        `[qualification]` of the study.
    progress
        Progress of the session.
    events
        Its events; those of answers suffice.
    watched
        For how many seconds each answered image can have been watched, by its place; `None` means unknown.
    """
    answers = progress.answers
    tests = [answer.passed for answer in answers if answer.passed is not None]
    if rules.failed_tests and tests and not any(tests):
        return False
    places = {answer.number: answer.place for answer in answers}
    contradicted = sum(
        is_contradicted(read_number(json.loads(event.data).get("shown_ms")), watched.get(places[event.number]))
        for event in events
        if event.number in places
    )
    return contradicted <= rules.unwatched * len(answers)
