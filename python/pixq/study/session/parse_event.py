"""Events as a page gives them, by a request or in a file."""

from __future__ import annotations

import json
import re
from typing import Any

from pixq.study.session.event_payloads import EVENT_KINDS
from pixq.study.store.records import Event

__all__ = ["parse_event"]

_WALL = re.compile(r"[0-9T:.+Zz-]{0,40}")
_NAMES = {"number", "kind", "at", "wall", "data"}
_LARGEST_NUMBER = 2**31 - 1
#: Objects and lists within one another; pages send four. Whatever reads data may go into them by recursion.
_DEEPEST = 16


def parse_event(given: Any) -> Event:
    """An event, of what standard JSON says of it.

    Parameters
    ----------
    given
        An object of `number`, `kind`, `at` (milliseconds), `wall` (ISO 8601) and `data` (an object, at most 16 deep).

    Raises
    ------
    ValueError
        If it is none; one line that says why.

    Examples
    --------
    >>> parse_event({"number": 0, "kind": "consent", "at": 5, "wall": "", "data": {"agreed": True}}).data
    '{"agreed":true}'
    """
    if not isinstance(given, dict) or set(given) != _NAMES:
        raise ValueError("an event has number, kind, at, wall and data, and nothing else")
    number, kind, at, wall, data = (given[name] for name in ("number", "kind", "at", "wall", "data"))
    if type(number) is not int or not 0 <= number <= _LARGEST_NUMBER:
        raise ValueError("number must be 0, 1, 2, ...")
    if kind not in EVENT_KINDS:
        raise ValueError(f"kind must be one of {', '.join(EVENT_KINDS)}")
    if type(at) not in (int, float) or not 0 <= at <= 1e12:
        raise ValueError("at must be milliseconds")
    if not isinstance(wall, str) or not _WALL.fullmatch(wall):
        raise ValueError("wall must be a time in ISO 8601")
    if not isinstance(data, dict):
        raise ValueError("data must be an object")
    if _deeper(data, _DEEPEST):
        raise ValueError(f"data may hold objects and lists {_DEEPEST} deep, no deeper")
    try:
        # NaN can't come; an infinity can, as 1e999. What standard JSON lacks is not stored.
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError("data must be standard JSON") from None
    return Event(number, kind, float(at), wall, text)


def _deeper(value: Any, most: int) -> bool:
    """Whether objects and lists lie within one another more than `most` deep; without recursion."""
    layer = [value]
    for _ in range(most):
        within = (part for each in layer for part in (each.values() if isinstance(each, dict) else each))
        layer = [part for part in within if isinstance(part, (dict, list))]
    return bool(layer)
