"""What the tables of `study.toml` have in common."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

__all__ = ["Id", "Language", "Table", "matching"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


class Table(BaseModel):
    """A table of the file: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def matching(pattern: re.Pattern[str], requirement: str) -> AfterValidator:
    """Accepts texts that match a pattern, and states the requirement for others."""

    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(requirement)
        return value

    return AfterValidator(check)


Id = Annotated[str, matching(_ID, "must be 1 to 64 letters, digits, dots, dashes or underscores")]
Language = Annotated[str, matching(_LANGUAGE, 'must be a language tag, such as "en" or "de"')]
