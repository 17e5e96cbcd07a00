"""The rule that gives an image's level from the last number in its file name."""

from __future__ import annotations

import re

__all__ = ["is_rule", "level_in"]

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_RULE = re.compile(r"(?:(\d+(?:\.\d+)?)-)?n")


def is_rule(rule: str) -> bool:
    """Whether `rule` is a valid rule: `n`, or a number minus n.

    Examples
    --------
    >>> is_rule("101-n"), is_rule("n+1")
    (True, False)
    """
    return _RULE.fullmatch(rule) is not None


def level_in(name: str, rule: str = "n") -> float | None:
    """The level in a file's name, or `None` if the name has no number.

    Parameters
    ----------
    name
        The file's name without its suffix.
    rule
        How the level follows from n, the last number in the name: `n`, or for example `101-n` if n is a JPEG's quality,
        so that a higher n means less distortion.

    Raises
    ------
    ValueError
        If the rule is not valid.

    Examples
    --------
    >>> level_in("SRC01_JPEG_090", "101-n"), level_in("blur 1.5"), level_in("photo")
    (11.0, 1.5, None)
    """
    parsed = _RULE.fullmatch(rule)
    if parsed is None:
        raise ValueError(f"{rule!r} is not a rule; give n, or a number minus n, like 101-n")
    numbers = _NUMBER.findall(name)
    if not numbers:
        return None
    n = float(numbers[-1])
    return n if parsed[1] is None else float(parsed[1]) - n
