"""What a session consists of: written down when it begins, so that no later change of the study changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pixq.study.design.config import Study, TruthSource
from pixq.study.design.study_files import Kind, OpenedSource, OpenedStudy
from pixq.study.design.survey import Question, default_survey, parse_survey
from pixq.study.store.keys import Key

__all__ = [
    "GroundTruth",
    "Item",
    "Rules",
    "SessionPlan",
    "parse_plan",
    "parse_rules",
    "plan_json",
    "public_rules",
    "public_study",
    "rules_json",
    "rules_of",
]


@dataclass(frozen=True)
class Rules:
    """What of a study decides where an event leads; as in `pixq.study.design.config.Study`.

    A session that began before surveys were stored with it has the survey `None`: it was asked the default questions,
    and any answer to them was accepted.
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
    """What is known of a training or test image; as in `pixq.study.design.config.TruthSource`."""

    pjnd_range: tuple[int, int]
    points_yx: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Item:
    """An image that a session shows.

    Parameters
    ----------
    key
        What the page calls it; it tells nothing.
    source
        Its id.
    kind
        The page learns only whether it is training.
    codec
        What made its levels.
    width, height
        In pixels.
    levels
        Those there are, rising, without the reference.
    known
        Of a training or test image.
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
    """What a session consists of.

    Parameters
    ----------
    version
        Of the study.
    rules
        Of the study.
    training
        Training images; none where the person has been through them in an earlier session.
    trials
        Images asked about, in order, tests among them.
    """

    version: str
    rules: Rules
    training: tuple[Item, ...]
    trials: tuple[Item, ...]


def public_study(study: Study) -> dict[str, Any]:
    """What a page is told of a study: nothing of what is asked about, nor of what is known of it."""
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
    survey = parse_survey(rules["survey"]) if "survey" in rules else None
    return Rules(**{**rules, "min_window": tuple(rules["min_window"]), "survey": survey})


def _survey_json(questions: Sequence[Question], without: Set[str] = frozenset()) -> list[dict[str, Any]]:
    return [question.model_dump(mode="json", exclude=set(without), exclude_none=True) for question in questions]


def plan_json(opened: OpenedStudy, training: Sequence[str], trials: Sequence[str]) -> dict[str, Any]:
    """A session's plan as JSON; `parse_plan` makes the session of it.

    Parameters
    ----------
    opened
        The study and its images, as they are now.
    training, trials
        Ids of what is shown, in order.
    """
    return {
        "version": opened.study.version,
        "rules": rules_json(rules_of(opened.study)),
        "training": [_told(opened.sources[name]) for name in training],
        "trials": [_told(opened.sources[name]) for name in trials],
    }  # fmt: skip


def _told(of: OpenedSource) -> dict[str, Any]:
    told = {
        "source": of.source.id, "kind": of.kind, "codec": of.source.codec, "width": of.width, "height": of.height,
        "levels": [level for level in of.levels if level > 0],
    }  # fmt: skip
    if isinstance(of.source, TruthSource):
        told["pjnd_range"] = list(of.source.pjnd_range)
        told["points_yx"] = [list(point) for point in of.source.points_yx]
    return told


def parse_plan(plan: Mapping[str, Any], key: Key, name: str) -> SessionPlan:
    """The session of a plan.

    Parameters
    ----------
    plan
        Of `plan_json`.
    key
        The study's.
    name
        That the keys of its images are made of.
    """

    def item(step: str, place: int, told: Mapping[str, Any]) -> Item:
        known = None
        if "pjnd_range" in told:
            low, high = told["pjnd_range"]
            known = GroundTruth((low, high), tuple((y, x) for y, x in told["points_yx"]))
        return Item(
            key.sign("trial", name, step, str(place))[:16], told["source"], told["kind"], told["codec"], told["width"],
            told["height"], tuple(told["levels"]), known,
        )  # fmt: skip

    training, trials = (
        tuple(item(step, place, told) for place, told in enumerate(plan[step])) for step in ("training", "trials")
    )
    return SessionPlan(plan["version"], parse_rules(plan["rules"]), training, trials)
