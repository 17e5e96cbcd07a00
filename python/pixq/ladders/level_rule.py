"""Which level an image is, by the last number in its file's name."""

from __future__ import annotations

import re

__all__ = ["is_rule", "level_in"]

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_RULE = re.compile(r"(?:(\d+(?:\.\d+)?)-)?n")


def is_rule(rule: str) -> bool:
    """Whether `rule` says how a level follows from n: `n`, or a number minus n.

    Examples
    --------
    >>> is_rule("101-n"), is_rule("n+1")
    (True, False)
    """
    return _RULE.fullmatch(rule) is not None


def level_in(name: str, rule: str = "n") -> float | None:
    """The level that a name tells, or `None` if it has no number.

    Parameters
    ----------
    name
        Of a file, without its suffix.
    rule
        How the level follows from n, the last number in the name: `n`, or `101-n` where n is the quality that a JPEG
        was saved with, and a higher n is distorted less.

    Raises
    ------
    ValueError
        If the rule is none.

    Examples
    --------
    >>> level_in("SRC01_JPEG_090", "101-n"), level_in("blur 1.5"), level_in("photo")
    (11.0, 1.5, None)
    """
    parsed = _RULE.fullmatch(rule)
    if parsed is None:
        raise ValueError(f"{rule!r} is no rule; give n, or a number minus n, like 101-n")
    numbers = _NUMBER.findall(name)
    if not numbers:
        return None
    n = float(numbers[-1])
    return n if parsed[1] is None else float(parsed[1]) - n
