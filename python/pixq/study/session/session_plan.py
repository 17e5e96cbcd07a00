"""The plan of a session, stored when it starts, so that later changes of the study don't change the session."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from pixq.study.design.config import Study, TruthSource
from pixq.study.design.study_files import Kind, OpenedSource, OpenedStudy
from pixq.study.design.survey import Question, default_survey, parse_survey
from pixq.study.store.keys import Key

__all__ = [
    "GroundTruth", "Item", "Rules", "SessionPlan", "parse_plan", "parse_rules", "plan_json", "public_rules",
    "public_study", "rules_json", "rules_of",
]  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """The settings of a study that decide where an event leads; see `pixq.study.design.config.Study`.

    The survey is `None` for a session that started before surveys were stored: it was asked the default questions, and
    any answer to them was accepted.
    """

    min_window: tuple[int, int]
    min_screen_cm: float
    hertz: float
    clicks: int
    scaling: Literal["physical", "native"]
    width_cm: float
    height_cm: float
    survey: tuple[Question, ...] | None = None

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions of the survey."""
        return default_survey() if self.survey is None else self.survey


@dataclass(frozen=True)
class GroundTruth:
    """The correct answers for a training or test image; see `pixq.study.design.config.TruthSource`."""

    pjnd_range: tuple[int, int]
    points_yx: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Item:
    """An image that a session shows.

    Parameters
    ----------
    key
        Name of the image on the page; it reveals nothing.
    source
        Id of the source.
    kind
        Kind of the source; the page only learns whether it is a training image.
    codec
        The codec that made the levels.
    width, height
        Size in pixels.
    levels
        Available levels in rising order, without the reference.
    truth
        Correct answers of a training or test image.
    """

    key: str
    source: str
    kind: Kind
    codec: str
    width: int
    height: int
    levels: tuple[int, ...]
    truth: GroundTruth | None = None


@dataclass(frozen=True)
class SessionPlan:
    """The images that a session shows, and the rules that it follows.

    Parameters
    ----------
    version
        Version of the study.
    rules
        Rules of the study.
    training
        Training images; empty if the person completed the training in an earlier session.
    trials
        Images of the trials in order, test images among them.
    """

    version: str
    rules: Rules
    training: tuple[Item, ...]
    trials: tuple[Item, ...]


def public_study(study: Study) -> dict[str, Any]:
    """The part of a study that its page may know: nothing about the images and their correct answers."""
    names = (
        "title", "version", "contact", "languages", "default_language", "consent", "scaling", "width_cm", "height_cm",
        "distance_cm", "min_screen_cm", "min_window", "hertz", "clicks",
    )  # fmt: skip
    return {**study.model_dump(mode="json", include=set(names)), "survey": _survey_json(study.survey, {"description"})}


def rules_of(study: Study) -> Rules:
    """The rules of a study."""
    return Rules(
        study.min_window, study.min_screen_cm, study.hertz, study.clicks, study.scaling, study.width_cm,
        study.height_cm, study.survey,
    )  # fmt: skip


def rules_json(rules: Rules) -> dict[str, Any]:
    """Rules as JSON."""
    return {**asdict(rules), "min_window": list(rules.min_window), "survey": _survey_json(rules.questions)}


def public_rules(rules: Rules) -> dict[str, Any]:
    """The rules that a page needs, as JSON."""
    return {**rules_json(rules), "survey": _survey_json(rules.questions, {"description"})}


def parse_rules(rules: Mapping[str, Any]) -> Rules:
    """The rules of a stored plan."""
    return _parse_rules(json.dumps(rules, sort_keys=True))


@lru_cache(maxsize=64)
def _parse_rules(text: str) -> Rules:
    # Thousands of sessions have the same rules.
    rules = json.loads(text)
    survey = parse_survey(rules["survey"]) if "survey" in rules else None
    return Rules(**{**rules, "min_window": tuple(rules["min_window"]), "survey": survey})


def _survey_json(questions: Sequence[Question], without: Set[str] = frozenset()) -> list[dict[str, Any]]:
    return [question.model_dump(mode="json", exclude=set(without), exclude_none=True) for question in questions]


def plan_json(opened: OpenedStudy, training: Sequence[str], trials: Sequence[str]) -> dict[str, Any]:
    """The plan of a session as JSON; `parse_plan` reads it.

    Parameters
    ----------
    opened
        The study and its images, as they are now.
    training, trials
        Ids of the images, in the order in which they are shown.
    """
    return {
        "version": opened.study.version,
        "rules": rules_json(rules_of(opened.study)),
        "training": [_item_json(opened.sources[name]) for name in training],
        "trials": [_item_json(opened.sources[name]) for name in trials],
    }  # fmt: skip


def _item_json(opened: OpenedSource) -> dict[str, Any]:
    item = {
        "source": opened.source.id, "kind": opened.kind, "codec": opened.source.codec, "width": opened.width,
        "height": opened.height, "levels": [level for level in opened.levels if level > 0],
    }  # fmt: skip
    if isinstance(opened.source, TruthSource):
        item["pjnd_range"] = list(opened.source.pjnd_range)
        item["points_yx"] = [list(point) for point in opened.source.points_yx]
    return item


def parse_plan(plan: Mapping[str, Any], key: Key, name: str) -> SessionPlan:
    """Read a plan that `plan_json` made.

    Parameters
    ----------
    plan
        The plan as JSON.
    key
        Secret key of the study.
    name
        The keys of the images are derived from this name.
    """

    def parse_item(step: str, place: int, item: Mapping[str, Any]) -> Item:
        truth = None
        if "pjnd_range" in item:
            low, high = item["pjnd_range"]
            truth = GroundTruth((low, high), tuple((y, x) for y, x in item["points_yx"]))
        return Item(
            key.sign("trial", name, step, str(place))[:16], item["source"], item["kind"], item["codec"], item["width"],
            item["height"], tuple(item["levels"]), truth,
        )  # fmt: skip

    training, trials = (
        tuple(parse_item(step, place, item) for place, item in enumerate(plan[step])) for step in ("training", "trials")
    )
    return SessionPlan(plan["version"], parse_rules(plan["rules"]), training, trials)
