"""What a person has done, for whoever approves or rejects the submission on a platform."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from pixq.study.store.store import Store

__all__ = ["Done", "done_by", "lines"]


@dataclass(frozen=True)
class Done:
    """A session of a person.

    Parameters
    ----------
    number
        The person's first, second, ... session: from 1.
    step, reason
        Where it is or how it ended, and why; `reason` is empty for the usual end.
    started, ended
        By the server's clock, ISO 8601; `ended` is `None` before the end.
    answers, images
        Images answered, and all it shows, test images among both.
    passed, tests
        Test images passed, and answered.
    """

    number: int
    step: str
    reason: str
    started: str
    ended: str | None
    answers: int
    images: int
    passed: int
    tests: int


def done_by(store: Store, participant: str) -> list[Done]:
    """The sessions of a person, in order; nothing is written, and no image is read.

    Parameters
    ----------
    store
        Where they are.
    participant
        Pseudonym; see `pixq.study.store.keys.find_pseudonym`.
    """
    mine = [each for each in store.sessions() if each.participant == participant]
    images: dict[int, list[tuple[bool | None, bool]]] = defaultdict(list)
    for session, _, _, _, passed, answered in store.assignments():
        images[session].append((passed, answered is not None))
    return [
        Done(
            each.ordinal, each.step, each.reason, _time(each.started),
            None if each.ended is None else _time(each.ended),
            sum(answered for _, answered in images[each.id]), len(images[each.id]),
            sum(passed is True for passed, _ in images[each.id]),
            sum(passed is not None for passed, _ in images[each.id]),
        )
        for each in sorted(mine, key=lambda each: each.ordinal)
    ]  # fmt: skip


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def lines(participant: str, done: list[Done]) -> list[str]:
    r"""What `done_by` gave, for people: the pseudonym, and a table.

    Examples
    --------
    >>> print(*lines("3fa9", [Done(1, "failed", "consent", "2026-01-01T00:00:00", None, 0, 5, 0, 0)]), sep="\n")
    participant 3fa9
    session  step    started              ended  answers  tests passed  reason
    1        failed  2026-01-01T00:00:00  -      0 of 5   0 of 0        consent
    """
    rows = [("session", "step", "started", "ended", "answers", "tests passed", "reason")]
    rows += [
        (
            str(each.number), each.step, each.started, each.ended or "-", f"{each.answers} of {each.images}",
            f"{each.passed} of {each.tests}", each.reason or "-",
        )
        for each in done
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"participant {participant}", *table]
