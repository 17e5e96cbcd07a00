"""Options that take a number; it imports nothing heavy, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import Parameter, Token

from pixq.ranges import NumberRange

__all__ = ["number_in"]


def number_in(limits: NumberRange) -> Parameter:
    """How an option with a number of this range is read: checked before the command begins, and never rounded."""

    def convert(type_: object, tokens: Sequence[Token]) -> float:
        (token,) = tokens
        return limits.parse(token.value, token.keyword or "the number")

    # A number may begin with a hyphen in more ways than -1: -inf, -0x1.
    return Parameter(converter=convert, allow_leading_hyphen=True)
