"""The rule that gives an image's level from the last number in its file name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pixq.io.paths import original_of

__all__ = ["is_rule", "level_in", "levels_in", "same_level"]

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


def levels_in(names: Sequence[str], rule: str = "n") -> list[float | None]:
    """The levels of the files of one ladder; see `level_in`.

    The number of a copy, as in `photo_050 (1)`, is not a level, unless every file has such a number.

    Raises
    ------
    ValueError
        If the rule is not valid.

    Examples
    --------
    >>> levels_in(["photo_010", "photo_050 (1)"]), levels_in(["photo (1)", "photo (2)"])
    ([10.0, 50.0], [1.0, 2.0])
    """
    originals = [original_of(name) for name in names]
    if None not in originals:
        originals = [None] * len(names)
    return [level_in(original or name, rule) for name, original in zip(names, originals, strict=True)]


def same_level(path: Path, other: Path, level: float) -> str:
    """Say that two files of a ladder are the same level, and how to fix it."""
    first, second = sorted((path, other), key=lambda file: original_of(file.stem) is not None)
    if original_of(second.stem) is not None:
        return f"{second}: looks like a copy of {first.name}: both are level {level:g}; keep one of them"
    return f"{path}: is level {level:g}, and so is {other.name}; keep one of them"
