"""`study.toml`: everything that decides what a study shows, to whom, and how its answers are judged."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from pixq.errors import PixqError
from pixq.study.design.survey import QUESTION_KINDS, Question, check_survey, default_survey
from pixq.study.design.table import Id, Language, Table, matching

__all__ = ["PLACEHOLDER", "STUDY_FILE", "Estimate", "Platform", "Quota", "Source", "Study", "TruthSource", "read_study"]

#: What a study's file is called in its folder.
STUDY_FILE = "study.toml"
#: Whom participants could ask, until somebody says so.
PLACEHOLDER = "you@example.org"

#: A longer text is no text of a page.
_LONGEST = 100_000

_RULE = re.compile(r"n|\d{1,4}-n")
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or ".." in parts or "\\" in path:
        raise ValueError("is not inside the study's folder; give a path relative to it, with / and without ..")
    return path


Inside = Annotated[str, AfterValidator(_inside)]
Code = Annotated[str, matching(_CODE, "must be 1 to 64 letters, digits, dots, dashes or underscores")]
Level = Annotated[int, Field(ge=0, le=100)]
# TOML has arrays where Python has tuples, and 30 where a person means 30.0.
Point = Annotated[tuple[float, float], Field(strict=False)]
Positive = Annotated[float, Field(gt=0.0)]
Item = TypeVar("Item")


class Source(Table):
    """`[[source]]`: a reference and its levels, about which people are asked.

    Parameters
    ----------
    id
        Its name in answers; no other source, training or test image has it.
    codec
        What made the levels.
    reference
        The reference's file, relative to the study's folder. It is level 0.
    levels
        A pattern of the files of the levels, such as `images/SRC01_JPEG_*.jpg`.
    level
        How a level follows from n, the last number in a file's name: `n`, or `101-n` where n is a JPEG's quality.
    """

    id: Id
    codec: Id
    reference: Inside
    levels: Inside
    level: Annotated[str, matching(_RULE, 'must be "n", or a number minus n, like "101-n"')] = "n"


class TruthSource(Source):
    """`[[training]]` and `[[test]]`: a source of which it is known when and where people notice.

    Parameters
    ----------
    pjnd_range
        The lowest and the highest level that are accepted as its PJND, 0 to 100.
    points_yx
        Places where people see it first, [y, x] in pixels of the image; two to five.
    """

    pjnd_range: Annotated[tuple[Level, Level], Field(strict=False)]
    points_yx: Annotated[tuple[Point, ...], Field(strict=False, min_length=2, max_length=5)]

    @field_validator("pjnd_range")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError("has its lower end above its higher one; swap them")
        return value

    @field_validator("points_yx")
    @classmethod
    def _positive(cls, value: tuple[Point, ...]) -> tuple[Point, ...]:
        if any(each < 0 for point in value for each in point):
            raise ValueError("has a point outside the image; give [y, x] in pixels, from 0")
        return value


class Quota(Table):
    """`[quota]`: how many answers, and how they spread over sessions.

    Parameters
    ----------
    answers
        Of different people, wanted for each source.
    images
        Sources that a session asks about.
    tests
        Test images that are hidden among them.
    max_sessions
        Of one person.
    screen_after, screen_below
        From so many sessions on, a person who passed a smaller share of the test images is out.
    hold_minutes
        How long an unfinished session holds its places before others get them.
    """

    answers: Annotated[int, Field(ge=1)] = 30
    images: Annotated[int, Field(ge=1, le=200)] = 10
    tests: Annotated[int, Field(ge=0, le=50)] = 2
    max_sessions: Annotated[int, Field(ge=1)] = 20
    screen_after: Annotated[int, Field(ge=1)] = 10
    screen_below: Annotated[float, Field(ge=0.0, le=1.0)] = 0.7
    hold_minutes: Annotated[float, Field(gt=0.0)] = 120.0


class Platform(Table):
    """`[platform]`: where participants come from, and what they are sent back with.

    Parameters
    ----------
    kind
        `prolific`, `link` (an address with a token), or `local`.
    done, screened_out, failed
        Completion codes. `done`: a session was answered to its end. `screened_out`: a person who comes gets no session,
        having passed too few test images, or had `max_sessions`, or because no image is left to ask about. `failed`:
        consent was declined, the device is a phone or tablet, or the screen is lower than `min_screen_cm`. Who
        leaves in the middle sees no code.
    url
        Where a participant goes in the end; `{code}` becomes the code. Empty: the code is shown.
    """

    kind: Literal["prolific", "link", "local"] = "local"
    done: Code | None = None
    screened_out: Code | None = None
    failed: Code | None = None
    url: str = ""

    @field_validator("url")
    @classmethod
    def _template(cls, value: str) -> str:
        if value and not (value.startswith("https://") and value.count("{code}") == 1):
            raise ValueError("must start with https:// and hold {code} once")
        if re.search(r"[{}\s<>\"'\\]", value.replace("{code}", "")):
            raise ValueError("must hold no spaces, quotes or <>, and no other {...} than {code}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        codes = (self.done, self.screened_out, self.failed)
        given = [code for code in codes if code is not None]
        if self.kind == "prolific" and len(given) < len(codes):
            raise ValueError("needs done, screened_out and failed: the completion codes that Prolific gives the study")
        if self.url and len(given) < len(codes):
            raise ValueError("has a url that needs a code; give done, screened_out and failed")
        if len(set(given)) < len(given):
            raise ValueError("has one code for two endings; give each its own")
        return self


class Estimate(Table):
    """`[estimate]`: what `pixq study check` reckons with.

    Parameters
    ----------
    seconds_per_image
        For the slider and the clicks.
    minutes_before
        For consent, checks, calibration, instructions and training, in a person's first session; the training images'
        time is counted besides.
    megabits
        Of a participant's line, a second.
    per_hour, currency
        What a participant is paid.
    fee
        The platform's, as a share of what participants are paid.
    """

    seconds_per_image: Positive = 45.0
    minutes_before: Annotated[float, Field(ge=0.0)] = 5.0
    megabits: Positive = 10.0
    per_hour: Annotated[float, Field(ge=0.0)] = 0.0
    currency: str = Field(default="EUR", max_length=12)
    fee: Annotated[float, Field(ge=0.0)] = 0.0


class Study(Table):
    """A study, as `study.toml` has it.

    Parameters
    ----------
    title, version
        Of the study; answers carry the version, and the consent's text is kept with them.
    languages, default_language
        Of the page.
    consent
        A text for each language.
    contact
        Whom a participant can ask.
    seed
        Of everything that is drawn.
    scaling
        `physical`: images are `width_cm` x `height_cm`; `native`: one image pixel to one device pixel.
    width_cm, height_cm, distance_cm
        An image's size on the screen, and the distance it is seen from.
    min_screen_cm
        The lowest height of a screen that is let in.
    min_window
        The smallest window that is let in: width and height in CSS pixels.
    hertz
        Changes a second between reference and distorted image.
    clicks
        Places that are asked for.
    survey
        Questions at the end of a session; see `pixq.study.design.survey`. `survey = []` asks none.
    folder
        That of the file. It is no key of the file.
    """

    title: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(min_length=1, max_length=64)] = "1"
    languages: Annotated[tuple[Language, ...], Field(strict=False, min_length=1)] = ("en",)
    default_language: Language = "en"
    consent: dict[str, Annotated[str, Field(min_length=1, max_length=_LONGEST)]]
    contact: Annotated[str, Field(min_length=1, max_length=200)]
    seed: int = 1
    scaling: Literal["physical", "native"] = "physical"
    width_cm: Positive = 13.797
    height_cm: Positive = 10.347
    distance_cm: Positive = 30.0
    min_screen_cm: Annotated[float, Field(ge=0.0)] = 17.0
    min_window: Annotated[tuple[int, int], Field(strict=False)] = (1360, 760)
    hertz: Annotated[float, Field(ge=1.0, le=60.0)] = 8.0
    clicks: Annotated[int, Field(ge=2, le=5)] = 3
    quota: Quota = Quota()
    platform: Platform = Platform()
    estimate: Estimate = Estimate()
    source: Annotated[tuple[Source, ...], Field(strict=False, min_length=1)]
    training: Annotated[tuple[TruthSource, ...], Field(strict=False)] = ()
    test: Annotated[tuple[TruthSource, ...], Field(strict=False)] = ()
    survey: Annotated[tuple[Question, ...], Field(strict=False, default_factory=default_survey)]
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def everything(self) -> tuple[Source, ...]:
        """Sources, training and test images."""
        return (*self.source, *self.training, *self.test)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.languages)) < len(self.languages):
            raise ValueError("languages: names one twice")
        if self.default_language not in self.languages:
            raise ValueError(f"default_language: {self.default_language!r} is not among languages; add it there")
        if missing := [language for language in self.languages if language not in self.consent]:
            raise ValueError(
                f"consent: has no text in {missing[0]!r}; add consent.{missing[0]}, or leave the language out"
            )
        if more := [language for language in self.consent if language not in self.languages]:
            raise ValueError(f"consent: has a text in {more[0]!r}, which is not among languages; add it there")
        if self.survey != default_survey():
            check_survey(self.survey, self.languages)
        if min(self.min_window) < 1:
            raise ValueError("min_window: must be a width and a height in CSS pixels, like [1360, 760]")
        names = [each.id for each in self.everything]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"id: {twice!r} stands for two of source, training and test; rename one")
        if self.quota.tests > len(self.test):
            raise ValueError(
                f"quota.tests: {self.quota.tests} test images a session, and [[test]] has {len(self.test)}; "
                "add some, or lower it"
            )
        return self


def read_study(path: str | os.PathLike[str]) -> Study:
    """The study of a `study.toml`, or of the folder that has one. No image is opened.

    Parameters
    ----------
    path
        The file or its folder. A text of `consent` may be `{ file = "consent.en.txt" }`, relative to the folder.

    Raises
    ------
    PixqError
        If it can't be read, or a key or a value is wrong; the line names the file, the key and the mend.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "study.toml").write_text('''
    ... title = "Where is it?"
    ... contact = "us@example.org"
    ... consent.en = "I take part of my own will."
    ... quota.tests = 0
    ... [[source]]
    ... id = "S1"
    ... codec = "JPEG"
    ... reference = "S1.png"
    ... levels = "S1_JPEG_*.jpg"
    ... level = "101-n"
    ... ''')
    >>> study = read_study(folder)
    >>> study.title, study.quota.answers, study.source[0].id
    ('Where is it?', 30, 'S1')
    """
    path = Path(path)
    if path.is_dir():
        path /= STUDY_FILE
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; `pixq study new` writes one") from None
    except UnicodeDecodeError:
        raise PixqError(f"{path}: is not text in UTF-8; save it as that") from None
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError is a ValueError, and so is the error of a number of thousands of digits.
        raise PixqError(f"{path}: is no TOML: {error}; mend that line") from None
    if "folder" in tables:
        raise PixqError(f"{path}: folder: there is no such key; take it out")
    folder = path.parent
    consent = tables.get("consent")
    if isinstance(consent, dict):
        tables["consent"] = {key: _text(path, folder, key, value) for key, value in consent.items()}
    try:
        return Study.model_validate({**tables, "folder": folder})
    except ValidationError as error:
        raise PixqError(f"{path}: {_wrong(error, tables)}") from None


def _text(path: Path, folder: Path, language: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    where = f"{path}: consent.{language}"
    name = value.get("file")
    if set(value) != {"file"} or not isinstance(name, str):
        raise PixqError(f'{where}: must be a text, or {{ file = "consent.{language}.txt" }}')
    try:
        file = folder / _inside(name)
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError("leads out of the study's folder; copy the file into it")
        return file.read_text("utf-8")
    except OSError as error:
        raise PixqError(f"{where}: {name}: {error.strerror or error}; write the text there") from None
    except UnicodeDecodeError:
        raise PixqError(f"{where}: {name}: is not text in UTF-8; save it as that") from None
    except ValueError as error:
        raise PixqError(f"{where}: {name}: {error}") from None


def _wrong(error: ValidationError, tables: dict[str, Any]) -> str:
    """The first of what pydantic found, with the key as a person would write it."""
    first = error.errors(include_url=False)[0]
    where: str = ""
    at: Any = tables
    for part in first["loc"]:
        if isinstance(part, int):
            table = at[part] if isinstance(at, list) and isinstance(at[part], dict) else {}
            named = table.get("id", table.get("name", table.get("value")))
            where += f"[{part + 1}]" if named is None else f"[{named}]"
        elif isinstance(at, dict) and part == at.get("kind") and part not in at:
            # The kind of a question is not a key of its table.
            continue
        else:
            where += f".{part}" if where else part
        try:
            at = at[part]
        except (KeyError, IndexError, TypeError):
            at = {}
    kind = first["type"]
    if kind.startswith("union_tag_"):
        return f"{where}.kind: must be one of {', '.join(QUESTION_KINDS)}"
    if kind == "extra_forbidden":
        return f"{where}: there is no such key; take it out, or look at its spelling"
    if kind == "missing":
        return f"{where}: is missing; add it"
    said = " ".join(first["msg"].removeprefix("Value error, ").split())
    said = said.replace("Input should", "should").replace("Tuple", "it").replace("String", "it").replace("Field", "it")
    if kind == "value_error":
        return f"{where}: {said}" if where else said
    value = first["input"]
    shown = repr(value) if isinstance(value, (str, int, float, bool)) else f"a {type(value).__name__}"
    return f"{where}: is {shown[:60]}; it {said}" if not said.startswith("it ") else f"{where}: is {shown[:60]}; {said}"
