"""The survey at the end of a session: `[[survey]]` of `study.toml`, or the questions of `default_survey.toml`."""

from __future__ import annotations

import re
import tomllib
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, field_validator, model_validator

from pixq.study.constants import CONSTANTS
from pixq.study.design.table import Id, Language, Table, matching

__all__ = [
    "QUESTION_KINDS",
    "Choice",
    "Number",
    "Option",
    "Question",
    "Scale",
    "Text",
    "check_survey",
    "default_survey",
    "parse_survey",
]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: The largest number that may be entered; every whole number up to it is exact.
_LARGEST: int = CONSTANTS["limits"]["survey_number"]
#: The longest text, in characters.
_LONGEST: int = CONSTANTS["limits"]["survey_text"]

Texts = Annotated[dict[Language, Annotated[str, Field(min_length=1, max_length=_LONGEST)]], Field(min_length=1)]
ColumnType = Literal["text", "integer", "number"]
Limit = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]


class _Question(Table):
    """A question of the survey.

    Parameters
    ----------
    name
        The answer's name in events; the export's column is `survey_<name>`.
    question
        The question in each language of the study.
    required
        Whether the session ends only with an answer.
    description
        What `dictionary.json` says about the column. By default it follows from the question.
    """

    name: Annotated[str, matching(_NAME, "must be 1 to 40 lower-case letters, digits and _, beginning with a letter")]
    question: Texts
    required: bool = False
    description: str = ""

    #: The type of the export's column.
    column_type: ClassVar[ColumnType]

    def value(self, answer: object) -> str | int | float | None:
        """The answer to this question that a session gave; `None` where it gave none."""
        return answer if isinstance(answer, (str, int, float)) and answer != "" and self.accepts(answer) else None

    def refusal(self, answer: object) -> str:
        """Why a value is not an answer to this question; empty where it is one, or where none is needed."""
        if answer is None or (isinstance(answer, str) and not answer.strip()):
            return "needs an answer" if self.required else ""
        return "" if self.accepts(answer) else f"must be {self.expected()}"

    def texts(self) -> dict[str, dict[str, str]]:
        """The texts that are needed in each language, by their key in `study.toml`."""
        return {"question": self.question}

    @abstractmethod
    def accepts(self, answer: object) -> bool:
        """Whether a value is an answer."""

    @abstractmethod
    def expected(self) -> str:
        """What an answer is."""

    def describe(self, language: str) -> str:
        """What `dictionary.json` says about the column."""
        return self.description or f"{_text(self.question, language)} {self._values(language)}".strip()

    def unit_text(self, language: str) -> str:
        """The unit of the column; empty if it has none."""
        return ""

    def _values(self, language: str) -> str:
        """What the column's values mean."""
        return ""


class Option(Table):
    """`[[survey.options]]`: the value that is stored, and its text in each language."""

    value: Id
    text: Texts


class Choice(_Question):
    """One of several options."""

    kind: Literal["choice"]
    options: Annotated[tuple[Option, ...], Field(strict=False)]

    @field_validator("options")
    @classmethod
    def _distinct(cls, options: tuple[Option, ...]) -> tuple[Option, ...]:
        values = [option.value for option in options]
        if len(values) < 2:
            raise ValueError("needs two or more options; add [[survey.options]] with value and text")
        if twice := _repeated(values):
            raise ValueError(f"two options have the value {twice!r}; give each its own")
        return options

    column_type: ClassVar[ColumnType] = "text"

    def accepts(self, answer: object) -> bool:
        return isinstance(answer, str) and answer in {option.value for option in self.options}

    def expected(self) -> str:
        return f"one of {', '.join(option.value for option in self.options)}"

    def texts(self) -> dict[str, dict[str, str]]:
        return super().texts() | {f"options[{option.value}].text": option.text for option in self.options}

    def _values(self, language: str) -> str:
        return "; ".join(f"{option.value}: {_text(option.text, language)}" for option in self.options)


class Scale(_Question):
    """A number of steps between two words.

    Parameters
    ----------
    low, high
        The words at step 1 and at the last step, in each language.
    steps
        How many there are.
    """

    kind: Literal["scale"]
    low: Texts
    high: Texts
    steps: Annotated[int, Field(ge=2, le=11)] = 5

    column_type: ClassVar[ColumnType] = "integer"

    def accepts(self, answer: object) -> bool:
        return type(answer) is int and 1 <= answer <= self.steps

    def expected(self) -> str:
        return f"1 to {self.steps}"

    def texts(self) -> dict[str, dict[str, str]]:
        return super().texts() | {"low": self.low, "high": self.high}

    def _values(self, language: str) -> str:
        return f"1 ({_text(self.low, language)}) to {self.steps} ({_text(self.high, language)})"


class Text(_Question):
    """A text of the person's own.

    Parameters
    ----------
    max_length
        The number of characters that an answer may have.
    """

    kind: Literal["text"]
    max_length: Annotated[int, Field(ge=1, le=_LONGEST)] = _LONGEST

    column_type: ClassVar[ColumnType] = "text"

    def accepts(self, answer: object) -> bool:
        return isinstance(answer, str) and len(answer) <= self.max_length

    def value(self, answer: object) -> str | None:
        # What an earlier version accepted may be longer.
        return answer if isinstance(answer, str) and answer.strip() else None

    def expected(self) -> str:
        return f"a text of at most {self.max_length} characters"

    def _values(self, language: str) -> str:
        return "In one line, with ' before anything that a spreadsheet would compute; it may name people"


class Number(_Question):
    """A number.

    Parameters
    ----------
    min, max
        The smallest and the largest number that may be entered.
    unit
        Its unit in each language, if it has one.
    """

    kind: Literal["number"]
    min: Limit | None = None
    max: Limit | None = None
    unit: Texts | None = None

    column_type: ClassVar[ColumnType] = "number"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max; swap them")
        return self

    def accepts(self, answer: object) -> bool:
        low, high = (-_LARGEST if self.min is None else self.min), (_LARGEST if self.max is None else self.max)
        return type(answer) in (int, float) and low <= answer <= high  # type: ignore[operator]

    def expected(self) -> str:
        limits = [
            f"{word} {limit:g}" for word, limit in (("at least", self.min), ("at most", self.max)) if limit is not None
        ]
        return " of ".join(["a number", " and ".join(limits)]) if limits else "a number"

    def texts(self) -> dict[str, dict[str, str]]:
        return super().texts() | ({"unit": self.unit} if self.unit else {})

    def unit_text(self, language: str) -> str:
        return _text(self.unit, language) if self.unit else ""


Question = Annotated[Choice | Scale | Text | Number, Field(discriminator="kind")]
QUESTION_KINDS = ("choice", "scale", "text", "number")
_QUESTIONS: TypeAdapter[tuple[Question, ...]] = TypeAdapter(Annotated[tuple[Question, ...], Field(strict=False)])


def parse_survey(tables: Any) -> tuple[Question, ...]:
    """The questions of tables as `study.toml` and stored plans have them."""
    return _QUESTIONS.validate_python(tables)


@cache
def default_survey() -> tuple[Question, ...]:
    """The questions of a study that names none.

    Examples
    --------
    >>> [question.name for question in default_survey()]
    ['hard', 'sure', 'glasses', 'remarks']
    """
    text = (files("pixq.study.design") / "default_survey.toml").read_text("utf-8")
    return parse_survey(tomllib.loads(text)["survey"])


def check_survey(questions: Sequence[Question], languages: Iterable[str]) -> None:
    """Check that the names are distinct, and that no text is missing in any language.

    Raises
    ------
    ValueError
        If two have one name, or a text is missing in a language; one line that says which.
    """
    if twice := _repeated([question.name for question in questions]):
        raise ValueError(f"survey: two questions are named {twice!r}; rename one")
    for question in questions:
        for key, texts in question.texts().items():
            for language in languages:
                if language not in texts:
                    add = f"{key.rpartition('.')[2]}.{language}"
                    raise ValueError(f"survey[{question.name}].{key}: has no text in {language!r}; add {add}")


def _repeated(values: Sequence[str]) -> str | None:
    return next((value for value in values if values.count(value) > 1), None)


def _text(texts: dict[str, str], language: str) -> str:
    return texts.get(language) or next(iter(texts.values()))
