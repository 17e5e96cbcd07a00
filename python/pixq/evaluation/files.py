"""`evaluations/NAME.json`: what `pixq evaluate` found, checked when it is read and when it is made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pixq.classes import NAMES
from pixq.decisions.decision import Cuts
from pixq.errors import PixqError
from pixq.io.json_file import Count, FileModel, Share, check_name, read_model, write_model
from pixq.statistics.estimates import Bootstrap, Data, Estimate

__all__ = [
    "EVALUATIONS",
    "METRICS",
    "Bootstrap",
    "Data",
    "Difference",
    "Estimate",
    "EvaluationFile",
    "Example",
    "Histogram",
    "Method",
    "Metrics",
    "ReliabilityBin",
    "RunReference",
    "check_free",
    "read_evaluation",
    "read_evaluations",
    "write_evaluation",
]

#: The folder of a run that holds a file an evaluation.
EVALUATIONS = "evaluations"
FORMAT: Literal["pixq evaluation"] = "pixq evaluation"

#: What `Metrics.estimates` may hold, in the order it is shown: how people call it, and whether more is better. Neither
#: is, of coverage, which should be what was asked for, and of how many answers are `unsure`.
METRICS: Mapping[str, tuple[str, bool | None]] = {
    "balanced_accuracy": ("balanced accuracy", True),
    "accuracy": ("accuracy", True),
    "macro_f1": ("macro F1", True),
    "recall_red": ("recall of Red", True),
    "recall_orange": ("recall of Orange", True),
    "recall_green": ("recall of Green", True),
    "kappa": ("quadratic kappa", True),
    "srcc": ("SRCC", True),
    "plcc": ("PLCC, after a logistic fit", True),
    "mse": ("MSE", False),
    "ece": ("ECE", False),
    "coverage": ("coverage of the sets", None),
    "unsure": ("share of unsure answers", None),
}

Row = Annotated[tuple[Count, Count, Count], Field(strict=False)]


class RunReference(FileModel):
    """The run that was evaluated: its directory as it was given, BLAKE3 of its weights, its model and head."""

    directory: str
    model_blake3: str
    model: str
    head: str


class Metrics(FileModel):
    """What was measured on some patches, or images.

    Parameters
    ----------
    n, groups
        How many, and of how many groups.
    confusion
        Counts: a row a true class, a column an answer, worst class first.
    estimates
        By a name of `METRICS`.
    """

    n: Count
    groups: Count
    confusion: tuple[Row, Row, Row] = Field(strict=False)
    estimates: dict[str, Estimate]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(map(sum, self.confusion)) != self.n:
            raise ValueError(f"the confusion matrix counts {sum(map(sum, self.confusion))}, n is {self.n}")
        if unknown := [name for name in self.estimates if name not in METRICS]:
            raise ValueError(f"{unknown[0]} is not a metric")
        return self


class Method(FileModel):
    """The model, or a rival.

    Parameters
    ----------
    name, title
        For programs, and for people.
    kind
        `metric` is PSNR and its like; `majority` always gives the commonest class.
    cuts
        Where its scores become classes, if it has scores.
    patches, images
        Its figures on patches, and on images where these have scores.
    by
        By `distortion_type`, `level`, `fusion` or an attribute, and by each of its values: figures on patches.
    """

    name: str
    title: str
    kind: Literal["model", "metric", "majority", "boosting"]
    cuts: Cuts | None
    patches: Metrics
    images: Metrics | None
    by: dict[str, dict[str, Metrics]]


class Difference(FileModel):
    """The model's `metric` less that of the rival `name`, on the same resamples."""

    name: str
    metric: str
    value: float | None
    low: float | None
    high: float | None


class Histogram(FileModel):
    """How many of the model's scores lie between two neighbouring edges, by the name of the true class."""

    edges: list[float]
    counts: dict[str, list[Count]]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sorted(self.counts) != sorted(NAMES):
            raise ValueError(f"counts must hold {', '.join(NAMES)}")
        if any(len(counts) + 1 != len(self.edges) for counts in self.counts.values()):
            raise ValueError("there must be one edge more than counts")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("the edges do not rise")
        return self


class ReliabilityBin(FileModel):
    """Answers whose confidence is from `low` to `high`: the mean of it, and the share that is right."""

    low: Share
    high: Share
    confidence: Share
    accuracy: Share
    count: Count


class Example(FileModel):
    """A patch as a picture; `row` is its number in the patch set, PNGs are base64."""

    row: Count
    image_id: str
    distortion_type: str
    fusion: str
    truth: Literal["Red", "Orange", "Green"]
    answer: Literal["Red", "Orange", "Green"]
    score: float
    quality: float
    reference_png: Annotated[str, Field(pattern=r"^iVBORw0KGgo[A-Za-z0-9+/]+={0,2}$")]
    distorted_png: Annotated[str, Field(pattern=r"^iVBORw0KGgo[A-Za-z0-9+/]+={0,2}$")]


class Examples(FileModel):
    """Patches that the model is most right about, and most wrong, the most telling first."""

    best: list[Example]
    worst: list[Example]


class EvaluationFile(FileModel):
    """`evaluations/NAME.json`.

    Parameters
    ----------
    created
        ISO 8601, UTC.
    pixq
        Version of pixq.
    command
        The command that makes it again.
    calibration
        Name of the calibration that gave the cuts; `None` where there was none.
    methods
        The model first, then its rivals.
    against
        The model less each rival.
    reliability
        Of the answer's own confidence.
    """

    format: Literal["pixq evaluation"] = FORMAT
    schema_version: Literal[1] = 1
    name: str
    created: str
    pixq: str
    command: str
    run: RunReference
    calibration: str | None
    data: Data
    bootstrap: Bootstrap
    warnings: list[str]
    methods: Annotated[list[Method], Field(min_length=1)]
    against: list[Difference]
    histogram: Histogram
    reliability: list[ReliabilityBin]
    examples: Examples

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if [method.kind == "model" for method in self.methods] != [True] + [False] * (len(self.methods) - 1):
            raise ValueError("the first method, and no other, must be the model")
        names = [method.name for method in self.methods]
        if len(set(names)) < len(names):
            raise ValueError("two methods have the same name")
        for difference in self.against:
            if difference.name not in names[1:] or difference.metric not in METRICS:
                raise ValueError(f"against: {difference.name}, {difference.metric}: no such method or metric")
        return self

    @property
    def model(self) -> Method:
        """The run's own figures."""
        return self.methods[0]


def check_free(run: str | os.PathLike[str], name: str, command: str) -> None:
    """Make sure that the run has no evaluation called `name` but one that the same command made.

    Raises
    ------
    PixqError
        If it has another.
    """
    path = Path(run) / EVALUATIONS / f"{check_name(name)}.json"
    if path.exists() and (before := read_evaluation(path).command) != command:
        raise PixqError(f"{path}: is there already, by `{before}`; give another --name, or --force")


def write_evaluation(run: str | os.PathLike[str], evaluation: EvaluationFile) -> Path:
    """Write `evaluations/NAME.json` of the run in `run`; one of the same name is replaced. Gives its path.

    Raises
    ------
    PixqError
        If its name is no file's name, or it can't be written.
    """
    path = Path(run) / EVALUATIONS / f"{check_name(evaluation.name)}.json"
    write_model(evaluation, path)
    return path


def read_evaluation(path: Path) -> EvaluationFile:
    """An evaluation.

    Raises
    ------
    PixqError
        If it is missing, of another kind or version, or damaged.
    """
    return read_model(EvaluationFile, path, "pixq evaluate")


def read_evaluations(run: str | os.PathLike[str]) -> Sequence[EvaluationFile]:
    """All evaluations of a run, by the time they were made; none where nothing was evaluated.

    Raises
    ------
    PixqError
        If one is damaged.
    """
    found = [read_evaluation(path) for path in sorted((Path(run) / EVALUATIONS).glob("[!.]*.json"))]
    return sorted(found, key=lambda each: (each.created, each.name))
