"""How far a study is, as JSON for the experimenter's page and as tables for `pixq study status`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pixq.study.results.answers import FLAGS, Answer, flag_answer, screened_out_people
from pixq.study.results.load import session_results, short_answers
from pixq.study.results.session_summary import SessionSummary
from pixq.study.results.status import status_of
from pixq.study.session.judge import eligibility
from pixq.study.session.service import SessionService
from pixq.study.store.records import ENDED

__all__ = ["statistics_lines", "study_statistics"]


def study_statistics(service: SessionService) -> dict[str, Any]:
    """Compute how far a study is, as JSON: a `StudyStatus`, why sessions ended, and how many people may continue."""
    answers: list[Answer] = []
    sessions: list[SessionSummary] = []
    with service.store.snapshot() as snapshot:
        for result in session_results(service, snapshot):
            sessions.append(replace(result.summary, survey_answers={}, survey=None))
            answers += short_answers(result)
    screened_out = screened_out_people(service.study, answers)
    status = status_of(service.opened, sessions, [flag_answer(answer, screened_out) for answer in answers])
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    completed: Counter[str] = Counter()
    passed: dict[str, list[bool]] = defaultdict(list)
    for session in sessions:
        if session.reason:
            reasons[session.step][session.reason] += 1
        completed[session.participant] += session.step == "completed"
        failures = session.tests - session.tests_passed
        passed[session.participant] += [True] * session.tests_passed + [False] * failures
    standings = Counter(eligibility(service.study.quota, completed[person], passed[person]) for person in completed)
    return {
        "title": service.study.title,
        **asdict(status),
        "pass_rate": status.pass_rate,
        "dropouts": status.dropouts,
        "ends": {step: status.sessions.get(step, 0) for step in ENDED},
        "reasons": {step: dict(sorted(counts.items())) for step, counts in reasons.items()},
        "standings": dict(standings),
    }


def statistics_lines(statistics: Mapping[str, Any]) -> list[str]:
    """Lay out the result of `study_statistics` as tables for people, one string per line."""
    people = statistics["standings"]
    overview = [
        ["answers that count", f"{statistics['stored']} of {statistics['wanted']} wanted"],
        ["people", f"{statistics['people']}, {people.get('screened_out', 0)} of them screened out by test images"],
        ["test images passed", _percent(statistics["pass_rate"])],
        ["seconds per answer (median)", _number(statistics["seconds"])],
        ["late frames", _percent(statistics["late"], 2)],
    ]
    sources = [
        [
            source["id"],
            _bar(source["counted"], source["quota"]),
            f"{source['counted']} of {source['quota']}",
            str(source["answers"] - source["counted"]),
            _number(source["pjnd"]),
            "-" if source["low"] is None else f"{source['low']:g} to {source['high']:g}",
            _number(source["seconds"]),
        ]
        for source in statistics["sources"]
    ]
    tests = [
        [
            test["id"],
            *(str(test[name]) for name in ("answers", "in_range", "matched", "passed")),
            _percent(test["passed"] / test["answers"] if test["answers"] else None),
        ]
        for test in statistics["tests"]
    ]
    ends = [
        [step, str(count), ", ".join(f"{why} {n}" for why, n in statistics["reasons"].get(step, {}).items())]
        for step, count in statistics["ends"].items()
    ]
    steps = [[step, str(count)] for step, count in statistics["dropouts"].items()]
    flags = [[name, str(count), FLAGS[name]] for name, count in statistics["flags"].items()]
    return [
        statistics["title"],
        "",
        *_table(overview),
        *_table(sources, ("source", "", "answers", "left out", "PJND", "95 % interval", "seconds"), "Sources"),
        *_table(tests, ("image", "answers", "in range", "2 places", "passed", "share"), "Test images"),
        *_table(ends, ("end", "sessions", "why"), "Sessions that ended"),
        *_table(steps, ("step", "sessions"), "Sessions that did not end, by step"),
        *_table(flags, ("flag", "answers", ""), "Flags"),
    ]


def _bar(value: int, most: int, cells: int = 20) -> str:
    full = min(cells, cells * value // most)
    return "#" * full + "." * (cells - full)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _table(body: Sequence[Sequence[str]], head: Sequence[str] = (), title: str = "") -> list[str]:
    """Lay out a table: each column as wide as its longest cell, columns of numbers aligned to the right."""
    if title and not body:
        return []
    rows = [*([head] if head else []), *body]
    columns = range(len(rows[0]))
    widths = [max(len(row[column]) for row in rows) for column in columns]
    numeric = [
        bool(head) and all(row[column][:1].isdigit() or row[column] in ("-", "") for row in body) for column in columns
    ]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in rows
    ]
    return [*(["", title] if title else []), *(f"  {line}" for line in lines)]
