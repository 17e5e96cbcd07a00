"""What is stored, as the export and the figures take it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pixq.study.results.answers import FLAGS, Heard, SessionRow, answers_of
from pixq.study.results.session_summary import SessionSummary, summary_of
from pixq.study.results.status import status_of
from pixq.study.session.judge import eligibility
from pixq.study.session.service import SessionService
from pixq.study.session.state_machine import Progress
from pixq.study.store.records import ENDED, Event, Session

__all__ = ["everything", "figures", "lines", "stored"]


def _replayed(service: SessionService) -> Iterator[tuple[Session, list[tuple[Event, float]], Progress]]:
    """All sessions with their events and where these lead, which is what a running server is about to say."""
    for session, own in service.store.sessions_with_events():
        yield session, own, service.replay(session, [event for event, _ in own])


def everything(service: SessionService) -> tuple[list[SessionRow], list[Heard], list[SessionSummary]]:
    """All sessions, all events of a study, and a row a session, also of those without an answer.

    Parameters
    ----------
    service
        Of their store.
    """
    rows, events, summaries = [], [], []
    for session, own, progress in _replayed(service):
        summaries.append(summary_of(session, [event for event, _ in own], progress))
        rows.append(
            SessionRow(
                session.public, session.participant, session.ordinal, session.language,
                service.plan(session).version, session.consent or "", progress.step,
                service.plan(session).rules, service.plan(session).trials,
                frozenset(each.number for each in progress.answers),
            )
        )  # fmt: skip
        events += [
            Heard(
                session.participant, session.public, each.number, each.kind, each.at, each.wall,
                datetime.fromtimestamp(received, UTC).isoformat(timespec="milliseconds"), json.loads(each.data),
            )
            for each, received in own
        ]  # fmt: skip
    return rows, events, summaries


def stored(service: SessionService) -> tuple[list[SessionRow], list[Heard]]:
    """All sessions and all events of a study, as `answers_of` takes them; see `everything`."""
    rows, events, _ = everything(service)
    return rows, events


def figures(service: SessionService) -> dict[str, Any]:
    """How far a study is, as JSON: a `StudyStatus`, with `reasons` of ends and people by standing."""
    rows, events, every = everything(service)
    status = status_of(service.opened, rows, answers_of(service.study, rows, events))
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    done: Counter[str] = Counter()
    passed: dict[str, list[bool]] = defaultdict(list)
    for each in every:
        if each.reason:
            reasons[each.step][each.reason] += 1
        done[each.participant] += each.step == "completed"
        passed[each.participant] += [True] * each.tests_passed + [False] * (each.tests - each.tests_passed)
    people = Counter(eligibility(service.study.quota, done[who], passed[who]) for who in done)
    return {
        "title": service.study.title,
        **asdict(status),
        "pass_rate": status.pass_rate,
        "dropouts": status.dropouts,
        "ends": {step: status.sessions.get(step, 0) for step in ENDED},
        "reasons": {step: dict(own) for step, own in reasons.items()},
        "standings": dict(people),
    }


def lines(told: Mapping[str, Any]) -> list[str]:
    """What `figures` gave, for people: tables, a line each.

    Parameters
    ----------
    told
        By `figures`.
    """
    steps = [[step, str(count)] for step, count in told["dropouts"].items()]
    ends = [
        [step, str(count), ", ".join(f"{why} {n}" for why, n in told["reasons"].get(step, {}).items())]
        for step, count in told["ends"].items()
    ]
    sources = [
        [
            each["id"], _bar(each["counted"], each["quota"]), f"{each['counted']} of {each['quota']}",
            str(each["answers"] - each["counted"]),
            _number(each["pjnd"], 1), "-" if each["low"] is None else f"{each['low']:g} to {each['high']:g}",
            _number(each["seconds"], 1),
        ]
        for each in told["sources"]
    ]  # fmt: skip
    tests = [
        [each["id"], *(str(each[name]) for name in ("answers", "in_range", "matched", "passed")),
         _percent(each["passed"] / each["answers"] if each["answers"] else None)]
        for each in told["tests"]
    ]  # fmt: skip
    people = told["standings"]
    return [
        told["title"],
        "",
        *_table([
            ["answers that count", f"{told['stored']} of {told['wanted']} wanted"],
            ["people", f"{told['people']}, of whom {people.get('screened_out', 0)} are screened out by test images"],
            ["test images passed", _percent(told["pass_rate"])],
            ["seconds an answer (median)", _number(told["seconds"], 1)],
            ["late frames", _percent(told["late"], 2)],
        ]),
        *_table(sources, ("source", "", "answers", "left out", "PJND", "95 % interval", "seconds"), "Sources"),
        *_table(tests, ("image", "answers", "in range", "2 places", "passed", "share"), "Test images"),
        *_table(ends, ("end", "sessions", "why"), "Sessions that ended"),
        *_table(steps, ("step", "sessions"), "Sessions that did not end, by step"),
        *_table(
            [[name, str(count), FLAGS[name]] for name, count in told["flags"].items()], ("flag", "answers", ""), "Flags"
        ),
    ]  # fmt: skip


def _bar(value: int, most: int, cells: int = 20) -> str:
    full = min(cells, cells * value // most)
    return "#" * full + "." * (cells - full)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _table(body: Sequence[Sequence[str]], head: Sequence[str] = (), title: str = "") -> list[str]:
    """Columns as wide as they must be, numbers to the right."""
    if title and not body:
        return []
    every = [*([head] if head else []), *body]
    widths = [max(len(line[place]) for line in every) for place in range(len(every[0]))]
    right = [
        all(line[place][:1].isdigit() or line[place] in ("-", "") for line in body) for place in range(len(widths))
    ]
    right = [each and bool(head) for each in right]
    shown = [
        "  ".join(
            cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in every
    ]
    return [*(["", title] if title else []), *(f"  {line}" for line in shown)]
