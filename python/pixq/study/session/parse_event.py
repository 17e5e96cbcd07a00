"""Reads the events that a page sends in a request or saves in a file."""

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
#: Maximum nesting of objects and lists; pages send four levels. Readers of the data may recurse into them.
_MAX_DEPTH = 16


def parse_event(value: Any) -> Event:
    """Check an event, and make an `Event` of it.

    Parameters
    ----------
    value
        An object of `number`, `kind`, `at` (milliseconds), `wall` (ISO 8601) and `data` (an object, at most 16 deep).

    Raises
    ------
    ValueError
        If it is not a valid event; one line that says why.

    Examples
    --------
    >>> parse_event({"number": 0, "kind": "consent", "at": 5, "wall": "", "data": {"agreed": True}}).data
    '{"agreed":true}'
    """
    if not isinstance(value, dict) or set(value) != _NAMES:
        raise ValueError("an event must have exactly the fields number, kind, at, wall and data")
    number, kind, at, wall, data = (value[name] for name in ("number", "kind", "at", "wall", "data"))
    if type(number) is not int or not 0 <= number <= _LARGEST_NUMBER:
        raise ValueError(f"number must be an integer from 0 to {_LARGEST_NUMBER}")
    if kind not in EVENT_KINDS:
        raise ValueError(f"kind must be one of {', '.join(EVENT_KINDS)}")
    if type(at) not in (int, float) or not 0 <= at <= 1e12:
        raise ValueError("at must be a number of milliseconds")
    if not isinstance(wall, str) or not _WALL.fullmatch(wall):
        raise ValueError("wall must be a time in ISO 8601")
    if not isinstance(data, dict):
        raise ValueError("data must be an object")
    if _is_deeper(data, _MAX_DEPTH):
        raise ValueError(f"data must not nest objects and lists more than {_MAX_DEPTH} levels deep")
    try:
        # Infinity can arrive as 1e999; only standard JSON is stored.
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError("data must be standard JSON") from None
    return Event(number, kind, float(at), wall, text)


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether objects and lists are nested more than `depth` levels deep; does not recurse."""
    layer = [value]
    for _ in range(depth):
        parts = (part for item in layer for part in (item.values() if isinstance(item, dict) else item))
        layer = [part for part in parts if isinstance(part, (dict, list))]
    return bool(layer)
