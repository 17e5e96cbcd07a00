"""`evaluations/NAME.json`: the result of `pixq evaluate`, checked when it is made and when it is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pixq.classes import NAMES
from pixq.decisions.decision import Cuts
from pixq.errors import PixqError
from pixq.io.json_file import Count, FileModel, Share, check_name, read_model, write_model
from pixq.statistics.estimates import Bootstrap, Data, Estimate
from pixq.statistics.metrics import METRICS
from pixq.viewing import ViewingConditions

__all__ = [
    "EVALUATIONS",
    "Difference",
    "EvaluationFile",
    "Example",
    "Examples",
    "Histogram",
    "ImageMethod",
    "Method",
    "Metrics",
    "ReliabilityBin",
    "RunReference",
    "WholeImages",
    "check_free",
    "read_evaluation",
    "read_evaluations",
    "write_evaluation",
]

#: Name of the folder in a run's directory that holds one file per evaluation.
EVALUATIONS = "evaluations"
FORMAT: Literal["pixq evaluation"] = "pixq evaluation"

Row = Annotated[tuple[Count, Count, Count], Field(strict=False)]


class RunReference(FileModel):
    """The evaluated run: its directory as the user gave it, the BLAKE3 of its weights, its model and head."""

    directory: str
    model_blake3: str
    model: str
    head: str


class Metrics(FileModel):
    """The metrics of a method on some patches or images.

    Parameters
    ----------
    n, groups
        How many patches or images there are, and in how many groups.
    confusion
        Counts: one row per true class, one column per answer, worst class first.
    estimates
        By the names of `pixq.statistics.metrics.METRICS`.
    """

    n: Count
    groups: Count
    confusion: tuple[Row, Row, Row] = Field(strict=False)
    estimates: dict[str, Estimate]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(map(sum, self.confusion)) != self.n:
            raise ValueError(f"the confusion matrix counts {sum(map(sum, self.confusion))}, but n is {self.n}")
        if unknown := [name for name in self.estimates if name not in METRICS]:
            raise ValueError(f"{unknown[0]} is not a metric")
        return self


class Method(FileModel):
    """The model, or a rival.

    Parameters
    ----------
    name, title
        The name for programs, and the one for people.
    kind
        `metric` for image metrics such as PSNR; `majority` for the method that always answers the most frequent class.
    cuts
        The scores from which the method answers Orange and Green; `None` if it has no scores.
    patches, images
        Metrics on patches, and on images if images have more than one patch.
    by
        Metrics on patches, by `distortion_type`, `level`, `fusion` or an attribute, and by each of its values.
    """

    name: str
    title: str
    kind: Literal["model", "metric", "majority", "boosting"]
    cuts: Cuts | None
    patches: Metrics
    images: Metrics | None
    by: dict[str, dict[str, Metrics]]


class Difference(FileModel):
    """The difference between the model's `metric` and that of the rival `name`, on the same resamples.

    `better` is the share of resamples in which the model is better, ties counting half; `None` if that is undefined,
    and in files of earlier versions.
    """

    name: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    better: Share | None = None


class ImageMethod(FileModel):
    """The model, or a metric of whole images: `srcc` and `plcc` of its scores and people's."""

    name: str
    title: str
    estimates: dict[str, Estimate]


class WholeImages(FileModel):
    """The model's image scores beside metrics that see whole images instead of patches.

    Parameters
    ----------
    directory
        Folder of the dataset, as the user gave it.
    images, groups
        How many images were compared, and in how many groups.
    viewing
        How images are looked at, for the metrics that depend on it; `None` if none of them does.
    methods
        The model first, then the metrics.
    against
        The differences between the model and each metric.
    """

    directory: str
    images: Count
    groups: Count
    viewing: ViewingConditions | None
    methods: Annotated[list[ImageMethod], Field(min_length=1)]
    against: list[Difference]

    @property
    def model(self) -> ImageMethod:
        """The model's own estimates."""
        return self.methods[0]


class Histogram(FileModel):
    """How many of the model's scores lie between neighbouring edges, by the name of the true class."""

    edges: list[float]
    counts: dict[str, list[Count]]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sorted(self.counts) != sorted(NAMES):
            raise ValueError(f"counts must hold {', '.join(NAMES)}")
        if any(len(counts) + 1 != len(self.edges) for counts in self.counts.values()):
            raise ValueError("there must be one more edge than counts")
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("the edges do not increase")
        return self


class ReliabilityBin(FileModel):
    """The answers with a confidence from `low` to `high`: their mean confidence, and the share that is right."""

    low: Share
    high: Share
    confidence: Share
    accuracy: Share
    count: Count


class Example(FileModel):
    """A patch as a picture; `row` is its index in the patch set, and the PNGs are base64."""

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
    """The model's best and worst answers, the most telling first."""

    best: list[Example]
    worst: list[Example]


class EvaluationFile(FileModel):
    """The content of `evaluations/NAME.json`.

    Parameters
    ----------
    created
        ISO 8601, UTC.
    pixq
        Version of pixq.
    command
        The command that repeats the evaluation.
    calibration
        Name of the calibration that the cuts come from; `None` if there is none.
    methods
        The model first, then its rivals.
    against
        The differences between the model and each rival.
    reliability
        How often answers are right, by their confidence.
    whole_images
        The comparison on whole images; `None` if there was none, as in files of earlier versions.
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
    whole_images: WholeImages | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if [method.kind == "model" for method in self.methods] != [True] + [False] * (len(self.methods) - 1):
            raise ValueError("the first method, and no other, must be the model")
        names = [method.name for method in self.methods]
        if len(set(names)) < len(names):
            raise ValueError("two methods have the same name")
        for difference in self.against:
            if difference.name not in names[1:] or difference.metric not in METRICS:
                raise ValueError(f"against: {difference.name}, {difference.metric}: there is no such method or metric")
        return self

    @property
    def model(self) -> Method:
        """The model's own metrics."""
        return self.methods[0]


def check_free(run: str | os.PathLike[str], name: str, command: str) -> None:
    """Check that the run has no evaluation called `name`, unless the same command made it.

    Raises
    ------
    PixqError
        If another command made it.
    """
    path = _path(run, name)
    if path.exists() and (previous := read_evaluation(path).command) != command:
        raise PixqError(f"{path}: already exists, made by `{previous}`; choose another --name, or add --force")


def write_evaluation(run: str | os.PathLike[str], evaluation: EvaluationFile) -> Path:
    """Write `evaluations/NAME.json` of a run, replacing one of the same name, and return its path.

    Raises
    ------
    PixqError
        If the name is not valid, or the file can't be written.
    """
    path = _path(run, evaluation.name)
    write_model(evaluation, path)
    return path


def read_evaluation(path: Path, run: Path | None = None) -> EvaluationFile:
    """Read an evaluation, which must lie inside the directory of its `run` if that is given.

    Raises
    ------
    PixqError
        If the file is missing or damaged, is not an evaluation, or has an unsupported version.
    """
    return read_model(EvaluationFile, path, "pixq evaluate", run)


def read_evaluations(run: str | os.PathLike[str]) -> Sequence[EvaluationFile]:
    """Read all evaluations of a run, the oldest first; there are none if it was not evaluated.

    Raises
    ------
    PixqError
        If one is damaged.
    """
    run = Path(run)
    evaluations = [read_evaluation(path, run) for path in sorted((run / EVALUATIONS).glob("[!.]*.json"))]
    return sorted(evaluations, key=lambda evaluation: (evaluation.created, evaluation.name))


def _path(run: str | os.PathLike[str], name: str) -> Path:
    return Path(run) / EVALUATIONS / f"{check_name(name)}.json"
