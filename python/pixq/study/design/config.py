"""`study.toml`: what a study shows, to whom, and how its answers are judged."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from pixq.errors import PixqError
from pixq.io.folders import find_path
from pixq.io.paths import nfc
from pixq.io.text import decode_text, read_bytes, read_text
from pixq.study.design.platforms import PLATFORMS
from pixq.study.design.survey import QUESTION_KINDS, Question, check_survey, default_survey
from pixq.study.design.table import Id, Language, Table, matching

__all__ = [
    "PLACEHOLDER",
    "STUDY_FILE",
    "EstimateSettings",
    "Platform",
    "Qualification",
    "Quota",
    "Signature",
    "Source",
    "Study",
    "TruthSource",
    "read_study",
]

#: The name of a study's file.
STUDY_FILE = "study.toml"
#: The contact address that `pixq study new` writes, to be replaced.
PLACEHOLDER = "you@example.org"

#: The most characters that a consent text may have.
_LONGEST = 100_000

_RULE = re.compile(r"n|\d{1,4}-n")
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or ".." in parts or "\\" in path:
        raise ValueError("is not inside the study's folder; give a path relative to it, with / and without ..")
    return nfc(path)


def _platform(kind: str) -> str:
    if kind not in PLATFORMS:
        *names, last = map(repr, PLATFORMS)
        raise ValueError(f"is {kind!r}; it should be {', '.join(names)} or {last}")
    return kind


Inside = Annotated[str, AfterValidator(_inside)]
Code = Annotated[str, matching(_CODE, "must be 1 to 64 letters, digits, dots, dashes or underscores")]
Level = Annotated[int, Field(ge=0, le=100)]
# TOML has arrays where Python has tuples, and 30 where a person means 30.0.
Point = Annotated[tuple[float, float], Field(strict=False)]
Positive = Annotated[float, Field(gt=0.0)]
Item = TypeVar("Item")


class Source(Table):
    """`[[source]]`: a reference and its levels, which people are asked about.

    Parameters
    ----------
    id
        Its name in answers, unique among all sources, training and test images.
    codec
        What made the levels.
    reference
        The file of the reference, relative to the study's folder. It is level 0.
    levels
        A pattern that matches the files of the levels, such as `images/SRC01_JPEG_*.jpg`.
    level
        How a level is computed from n, the last number in a file's name: `n`, or `101-n` if n is a JPEG quality.
    """

    id: Id
    codec: Id
    reference: Inside
    levels: Inside
    level: Annotated[str, matching(_RULE, 'must be "n", or a number minus n, like "101-n"')] = "n"


class TruthSource(Source):
    """`[[training]]` and `[[test]]`: a source for which it is known when and where people notice the difference.

    Parameters
    ----------
    pjnd_range
        The lowest and the highest level accepted as its PJND, 0 to 100.
    points_yx
        The two to five places where people notice it first, as [y, x] in pixels of the image.
    """

    pjnd_range: Annotated[tuple[Level, Level], Field(strict=False)]
    points_yx: Annotated[tuple[Point, ...], Field(strict=False, min_length=2, max_length=5)]

    @field_validator("pjnd_range")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError("has its lower end above its upper end; swap them")
        return value

    @field_validator("points_yx")
    @classmethod
    def _positive(cls, value: tuple[Point, ...]) -> tuple[Point, ...]:
        if any(coordinate < 0 for point in value for coordinate in point):
            raise ValueError("has a point outside the image; give [y, x] in pixels, from 0")
        return value


class Quota(Table):
    """`[quota]`: how many answers are wanted, and how they are spread over sessions.

    Parameters
    ----------
    answers
        Answers wanted for each source, from different people.
    images
        Sources per session.
    tests
        Test images hidden among them, per session.
    max_sessions
        The most sessions of one person.
    screen_after, screen_below
        After `screen_after` sessions, people who passed less than the share `screen_below` of the test images are
        screened out.
    hold_minutes
        How long an unfinished session keeps its sources reserved before others get them.
    """

    answers: Annotated[int, Field(ge=1)] = 30
    images: Annotated[int, Field(ge=1, le=200)] = 10
    tests: Annotated[int, Field(ge=0, le=50)] = 2
    max_sessions: Annotated[int, Field(ge=1)] = 20
    screen_after: Annotated[int, Field(ge=1)] = 10
    screen_below: Annotated[float, Field(ge=0.0, le=1.0)] = 0.7
    hold_minutes: Annotated[float, Field(gt=0.0)] = 120.0


class Signature(Table):
    """`[platform.signature]`: verify that the platform signed the address at which a person comes.

    Parameters
    ----------
    domain
        The domain of the study's address, such as `study.example.org`.
    workspace
        The platform's ID of your workspace. Without it, people whom others send to your study are let in too.
    jwks
        The address of the platform's keys, or a file in the study's folder, where the server can't reach the platform.
        By default the platform's own address.
    """

    domain: Annotated[str, matching(_DOMAIN, "must be a domain in lower case, like study.example.org")]
    workspace: Id | None = None
    jwks: str = ""

    @field_validator("jwks")
    @classmethod
    def _address_or_file(cls, value: str) -> str:
        if "://" in value:
            parts = urlsplit(value)
            if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
                return value
            raise ValueError("must start with https://, or be a file in the study's folder")
        return _inside(value) if value else value


class Platform(Table):
    """`[platform]`: where participants come from, and with which code they are sent back.

    Parameters
    ----------
    kind
        One of `pixq.study.design.platforms.PLATFORMS`.
    done, screened_out, failed
        Completion codes. `done`: the session was completed. `screened_out`: the person gets no session, because too
        few test images were passed, after `max_sessions`, or because no image is left to ask about. `failed`: consent
        was declined, the device is a phone or a tablet, or the screen is lower than `min_screen_cm`. People who leave
        in the middle see no code.
    url
        The address where participants go at the end; `{code}` becomes the code. If empty, the page shows the code.
    signature
        Verify that the platform signed the address, if it can.
    """

    kind: Annotated[str, AfterValidator(_platform)] = "local"
    done: Code | None = None
    screened_out: Code | None = None
    failed: Code | None = None
    url: str = ""
    signature: Signature | None = None

    @field_validator("url")
    @classmethod
    def _template(cls, value: str) -> str:
        if value and not (value.startswith("https://") and value.count("{code}") == 1):
            raise ValueError("must start with https:// and contain {code} once")
        if re.search(r"[{}\s<>\"'\\]", value.replace("{code}", "")):
            raise ValueError("must contain no spaces, quotes or <>, and no other {...} than {code}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        codes = (self.done, self.screened_out, self.failed)
        known = [code for code in codes if code is not None]
        if (why := PLATFORMS[self.kind].codes) and len(known) < len(codes):
            raise ValueError(f"needs done, screened_out and failed: {why}")
        if self.url and len(known) < len(codes):
            raise ValueError("has a url that needs a code; give done, screened_out and failed")
        if self.signature is not None and not PLATFORMS[self.kind].token:
            raise ValueError(f"has a signature, but the platform {self.kind!r} signs no addresses; remove it")
        if len(set(known)) < len(known):
            raise ValueError("has the same code for two outcomes; give each its own")
        return self


class Qualification(Table):
    """`[qualification]`: which completed sessions get no completion code, or another one.

    Parameters
    ----------
    unwatched
        The largest share of a session's answers that the server's clock may contradict: the image was not sent, or less
        than 3 s before the answer, or later than the page claims to have shown it.
    failed_tests
        Whether a session in which no test image was passed is left out too.
    code
        The completion code that these sessions get. Without it they get none, and the page says that their answers will
        be looked at.
    """

    unwatched: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    failed_tests: bool = True
    code: Code | None = None


class EstimateSettings(Table):
    """`[estimate]`: the assumptions of `pixq study check`.

    Parameters
    ----------
    seconds_per_image
        Time for the slider and the clicks.
    minutes_before
        Time for consent, checks, calibration and instructions in a person's first session; the time for training
        images is added to it.
    megabits
        Speed of a participant's connection, in megabits per second.
    per_hour, currency
        What a participant is paid.
    fee
        The platform's fee, as a share of what participants are paid.
    """

    seconds_per_image: Positive = 45.0
    minutes_before: Annotated[float, Field(ge=0.0)] = 5.0
    megabits: Positive = 10.0
    per_hour: Annotated[float, Field(ge=0.0)] = 0.0
    currency: str = Field(default="EUR", max_length=12)
    fee: Annotated[float, Field(ge=0.0)] = 0.0


class Study(Table):
    """The contents of a `study.toml`.

    Parameters
    ----------
    title, version
        Title and version of the study. Answers carry the version, and the consent text is kept with them.
    languages, default_language
        Languages of the page.
    consent
        A consent text for each language.
    contact
        The person or address that participants can ask.
    seed
        Seed of all random draws.
    scaling
        `physical`: images are `width_cm` x `height_cm`; `native`: one image pixel to one device pixel.
    width_cm, height_cm, distance_cm
        Size of an image on the screen, and the viewing distance.
    min_screen_cm
        The lowest height of a screen that is accepted.
    min_window
        The smallest window that is accepted: width and height in CSS pixels.
    hertz
        Changes per second between the reference and the distorted image.
    clicks
        How many places people are asked to click.
    survey
        Questions at the end of a session; see `pixq.study.design.survey`. `survey = []` asks none.
    folder
        The folder of the file. It is not a key of the file.
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
    qualification: Qualification | None = None
    estimate: EstimateSettings = EstimateSettings()
    source: Annotated[tuple[Source, ...], Field(strict=False, min_length=1)]
    training: Annotated[tuple[TruthSource, ...], Field(strict=False)] = ()
    test: Annotated[tuple[TruthSource, ...], Field(strict=False)] = ()
    survey: Annotated[tuple[Question, ...], Field(strict=False, default_factory=default_survey)]
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def everything(self) -> tuple[Source, ...]:
        """All sources, training and test images."""
        return (*self.source, *self.training, *self.test)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.languages)) < len(self.languages):
            raise ValueError("languages: lists a language twice; remove one")
        if self.default_language not in self.languages:
            raise ValueError(f"default_language: {self.default_language!r} is not among languages; add it there")
        if missing := [language for language in self.languages if language not in self.consent]:
            raise ValueError(
                f"consent: has no text in {missing[0]!r}; add consent.{missing[0]}, or remove the language"
            )
        if more := [language for language in self.consent if language not in self.languages]:
            raise ValueError(f"consent: has a text in {more[0]!r}, which is not among languages; add it there")
        if self.survey != default_survey():
            check_survey(self.survey, self.languages)
        if min(self.min_window) < 1:
            raise ValueError("min_window: must be a width and a height in CSS pixels, like [1360, 760]")
        code = self.qualification.code if self.qualification else None
        if code is not None and code in (self.platform.done, self.platform.screened_out, self.platform.failed):
            raise ValueError(f"qualification.code: is {code!r}, which [platform] has for another outcome; give its own")
        names = [source.id for source in self.everything]
        if duplicate := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"id: {duplicate!r} is used twice among source, training and test; rename one")
        if self.quota.tests > len(self.test):
            raise ValueError(
                f"quota.tests: is {self.quota.tests} per session, but [[test]] has {len(self.test)}; add some, or "
                "lower it"
            )
        return self


def read_study(path: str | os.PathLike[str]) -> Study:
    """Read and check a `study.toml`; no image is opened.

    Parameters
    ----------
    path
        The file or its folder. A consent text may be `{ file = "consent.en.txt" }`, relative to the folder.

    Raises
    ------
    PixqError
        If the file can't be read, or a key or a value is wrong; the message names the file, the key and the fix.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "study.toml").write_text('''
    ... title = "Where is it?"
    ... contact = "us@example.org"
    ... consent.en = "I take part."
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
        tables: dict[str, Any] = tomllib.loads(read_text(path))
    except OSError as error:
        raise PixqError(f"{path}: {error.strerror or error}; create one with pixq study new") from None
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError is a ValueError, and so is the error of a number of thousands of digits.
        raise PixqError(f"{path}: is not valid TOML: {error}; fix that line") from None
    if "folder" in tables:
        raise PixqError(f"{path}: folder: is not a known key; remove it")
    folder = path.parent
    consent = tables.get("consent")
    if isinstance(consent, dict):
        tables["consent"] = {key: _text(path, folder, key, value) for key, value in consent.items()}
    if _has_nul(tables):
        raise PixqError(f"{path}: has a text with a NUL character, which can't be stored; remove it")
    try:
        return Study.model_validate({**tables, "folder": folder})
    except ValidationError as error:
        raise PixqError(f"{path}: {_explain(error, tables)}") from None


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nul, value.values()))
    return any(map(_has_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\x00" in value


def _text(path: Path, folder: Path, language: str, value: Any) -> Any:
    """Read a consent text that stands in a file of its own."""
    if not isinstance(value, dict):
        return value
    where = f"{path}: consent.{language}"
    name = value.get("file")
    if set(value) != {"file"} or not isinstance(name, str):
        raise PixqError(f'{where}: must be a text, or {{ file = "consent.{language}.txt" }}')
    try:
        file = find_path(folder, _inside(name))
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError("lies outside the study's folder; copy the file into it")
        return decode_text(read_bytes(file), f"{where}: {name}")
    except OSError as error:
        raise PixqError(f"{where}: {name}: {error.strerror or error}; write the consent text into that file") from None
    except ValueError as error:
        raise PixqError(f"{where}: {name}: {error}") from None


def _explain(error: ValidationError, tables: dict[str, Any]) -> str:
    """Describe the first error that pydantic found, with the key as a person would write it."""
    first = error.errors(include_url=False)[0]
    key: str = ""
    table: Any = tables
    for part in first["loc"]:
        if isinstance(part, int):
            entry = table[part] if isinstance(table, list) and isinstance(table[part], dict) else {}
            name = entry.get("id", entry.get("name", entry.get("value")))
            key += f"[{part + 1}]" if name is None else f"[{name}]"
        elif isinstance(table, dict) and part == table.get("kind") and part not in table:
            # The kind of a question is not a key of its table.
            continue
        else:
            key += f".{part}" if key else part
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            table = {}
    kind = first["type"]
    if kind.startswith("union_tag_"):
        return f"{key}.kind: must be one of {', '.join(QUESTION_KINDS)}"
    if kind == "extra_forbidden":
        return f"{key}: is not a known key; remove it, or check its spelling"
    if kind == "missing":
        return f"{key}: is missing; add it"
    message = " ".join(first["msg"].removeprefix("Value error, ").split())
    for noun in ("Tuple", "String", "Field"):
        message = message.replace(noun, "it")
    message = message.replace("Input should", "should")
    if kind == "value_error":
        return f"{key}: {message}" if key else message
    value = first["input"]
    shown = repr(value) if isinstance(value, (str, int, float, bool)) else f"a {type(value).__name__}"
    return f"{key}: is {shown[:60]}; {message if message.startswith('it ') else f'it {message}'}"
