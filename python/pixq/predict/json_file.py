"""The JSON file of a prediction for one image pair; it is validated when written and when read."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal, Self, cast

import numpy as np
from pydantic import ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict

from pixq._version import __version__
from pixq.classes import GREEN, NAMES
from pixq.decisions.decision import Cuts, CutScale
from pixq.errors import PixqError
from pixq.io.atomic import save_text
from pixq.io.images import Background, Colours, Intent, ReadOptions
from pixq.io.json_file import Count, FileModel, HexDigest, Share, read_model
from pixq.io.paths import text_of
from pixq.scoring.grid import Grid
from pixq.scoring.quality_map import QualityMap
from pixq.viewing import ViewingConditions
from pixq.visibility import Visibility

__all__ = [
    "FORMAT",
    "GridEntry",
    "ImageEntry",
    "ModelEntry",
    "Patches",
    "PixelsEntry",
    "Prediction",
    "VisibilityEntry",
    "prediction",
    "read_prediction",
    "write_prediction",
]

FORMAT: Literal["pixq prediction"] = "pixq prediction"

Pixels = Annotated[int, Field(ge=1)]
Name = Literal["Red", "Orange", "Green"]


class ModelEntry(FileModel):
    """The model that compared the images."""

    name: str
    blake3: Annotated[HexDigest, Field(description="BLAKE3 of model.safetensors")]


class GridEntry(FileModel):
    """Where the patches lie in the image."""

    height: Annotated[Pixels, Field(description="height of the image")]
    width: Annotated[Pixels, Field(description="width of the image")]
    size: Annotated[Pixels, Field(description="side of a patch")]
    stride: Annotated[
        Pixels, Field(description="between neighbouring patches; the last of a row or column lies at the edge")
    ]
    rows: Annotated[int, Field(ge=1, description="rows of patches")]
    columns: Annotated[int, Field(ge=1, description="columns of patches")]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        try:
            shape = self.grid.shape
        except PixqError as error:
            raise ValueError(str(error)) from None
        if shape != (self.rows, self.columns):
            raise ValueError(f"such a grid has {shape[0]} rows and {shape[1]} columns")
        return self

    @property
    def grid(self) -> Grid:
        """The grid."""
        return Grid(self.height, self.width, self.size, self.stride)


@with_config(ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class Shares(TypedDict):
    """The share of patches of each class."""

    Red: Share
    Orange: Share
    Green: Share


class VisibilityEntry(FileModel):
    """Would people notice? How visible the change is, and under which viewing conditions."""

    jnd: Annotated[float, Field(ge=0.0, description="0 for identical images; 1 where half of the people notice")]
    p_notice: Annotated[Share, Field(description="the share of people who notice")]
    viewing: Annotated[
        ViewingConditions, Field(description="how people look at the images; the JND holds for no other")
    ]


class ImageEntry(FileModel):
    """The verdict on the whole pair."""

    quality: Annotated[Share, Field(description="the image's score, pooled from its patches; 1 = nobody notices")]
    worst: Annotated[Share, Field(description="the 5th percentile of its patches' qualities")]
    shares: Shares
    unsure: Annotated[
        Share | None, Field(description="the share of unsure patches; null if the calibration has no sets")
    ]
    identical: Annotated[Share, Field(description="the share of patches that equal the reference at 8 bits")]


class Patches(FileModel):
    """Lists of the same length, rows * columns: each place in them is a patch, row by row."""

    y: Annotated[list[Count], Field(min_length=1, description="top row of each patch, in pixels")]
    x: Annotated[list[Count], Field(min_length=1, description="left column of each patch, in pixels")]
    score: Annotated[
        list[float | None],
        Field(
            min_length=1,
            description="what the cuts apply to, higher is better; null where the patch is identical to its reference",
        ),
    ]
    quality: Annotated[list[Share], Field(min_length=1, description="1 = nobody notices")]
    jnd: Annotated[
        Annotated[list[Annotated[float, Field(ge=0.0)]], Field(min_length=1)] | None,
        Field(
            description="the JND that the image would have if no place had changed more than this patch; null in files "
            "of version 1"
        ),
    ] = None
    name: Annotated[
        list[Name],
        Field(
            min_length=1,
            alias="class",
            description="Red: obvious; Orange: some people notice; Green: nobody notices",
        ),
    ]
    identical: Annotated[
        list[bool],
        Field(
            min_length=1,
            description="whether the patch equals its reference at 8 bits, to which deeper pixels are rounded; such "
            "patches are not given to the model",
        ),
    ]
    unsure: Annotated[
        Annotated[list[bool], Field(min_length=1)] | None,
        Field(description="whether the class may be another one; null if the calibration has no sets"),
    ]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        columns = (
            self.x,
            self.score,
            self.quality,
            self.name,
            self.identical,
            self.y if self.unsure is None else self.unsure,
            self.y if self.jnd is None else self.jnd,
        )
        if any(len(column) != len(self.y) for column in columns):
            raise ValueError("the lists differ in length")
        if any((score is None) != same for score, same in zip(self.score, self.identical, strict=True)):
            raise ValueError("a score must be null where a patch is identical to its reference, and nowhere else")
        best = NAMES[GREEN]
        for row, same in enumerate(self.identical):
            if same and (
                self.quality[row] != 1.0 or self.name[row] != best or (self.unsure is not None and self.unsure[row])
            ):
                raise ValueError(f"patch {row} is identical to its reference, so it must be {best}, and not unsure")
        return self


class PixelsEntry(FileModel):
    """Which pixels were compared."""

    colours: Annotated[Colours, Field(description="sRGB: samples with a profile were converted; raw: none were")]
    intent: Annotated[Intent | None, Field(description="rendering intent of the conversion; null if raw")]
    reference_profile: Annotated[
        str | None, Field(description="the profile the reference was converted from; null: its samples are as stored")
    ]
    distorted_profile: Annotated[str | None, Field(description="that of the distorted image")]
    backgrounds: Annotated[
        list[Background],
        Field(description="what both images were put on, one after the other; empty if both are opaque everywhere"),
    ]
    background: Annotated[
        Background | None,
        Field(description="the one whose result this is: that with the highest JND"),
    ]
    frame: Annotated[
        int | None,
        Field(description="which frame of animations, or page of TIFFs; null: files with several were refused"),
    ]
    reference_notes: Annotated[
        list[str],
        Field(description="what is wrong with the reference's file although its pixels are all there"),
    ]
    distorted_notes: Annotated[list[str], Field(description="that of the distorted image")]

    @classmethod
    def of(
        cls,
        reading: ReadOptions,
        profiles: tuple[str | None, str | None],
        notes: tuple[Sequence[str], Sequence[str]],
        backgrounds: Sequence[Background] = (),
        background: Background | None = None,
    ) -> PixelsEntry:
        """The entry of a pair, given how its files were read, and for reference and distorted image what was found."""
        return cls(
            colours=reading.colours,
            intent=reading.intent,
            reference_profile=profiles[0],
            distorted_profile=profiles[1],
            backgrounds=[] if background is None else list(backgrounds),
            background=background,
            frame=reading.frame,
            reference_notes=list(notes[0]),
            distorted_notes=list(notes[1]),
        )


class Prediction(FileModel):
    """What a model says about an image pair."""

    # There is no time in it: the same input gives the same bytes.
    model_config = ConfigDict(title="a pixq prediction")

    format: Literal["pixq prediction"] = FORMAT
    schema_version: Literal[1, 2] = 2
    pixq: Annotated[str, Field(description="version of pixq")]
    reference: Annotated[str, Field(description="name of the file, as given by the user")]
    distorted: Annotated[str, Field(description="name of the file, as given by the user")]
    visibility: Annotated[VisibilityEntry | None, Field(description="null in files of version 1")] = None
    model: ModelEntry
    calibration: Annotated[
        str | None,
        Field(description="name of the calibration that the cuts come from; null if none set them"),
    ]
    cuts: Cuts
    cut_scale: Annotated[
        CutScale | None,
        Field(
            description="what the cuts apply to: score, quality, or visibility, that is minus the JND; null in files "
            "of version 1: the score if there is a calibration, otherwise the quality"
        ),
    ] = None
    pixels: Annotated[
        PixelsEntry | None, Field(description="null in files of earlier versions, which compared raw samples")
    ] = None
    grid: GridEntry
    image: ImageEntry
    warnings: list[str]
    patches: Patches

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        corners = self.grid.grid.corners
        if [self.patches.y, self.patches.x] != corners.T.tolist():
            raise ValueError("the patches' corners are not those of the grid")
        if self.schema_version == 2 and None in (self.visibility, self.patches.jnd, self.cut_scale):
            raise ValueError("visibility, the patches' jnd and cut_scale must not be null in version 2")
        if (self.image.unsure is None) != (self.patches.unsure is None):
            raise ValueError("unsure must be null of the image and of its patches, or of neither")
        for name, count in Counter(self.patches.name).items():
            if abs(self.image.shares[name] - count / len(corners)) > 1e-9:
                raise ValueError(f"image: shares: {name} is not the share of such patches")
        return self

    @property
    def map(self) -> QualityMap:
        """The map that it was made from."""
        grid, patches = self.grid.grid, self.patches
        score = [np.inf if value is None else value for value in patches.score]
        seen = None
        if self.visibility is not None and patches.jnd is not None:
            jnd = np.array(patches.jnd, np.float64).reshape(grid.shape)
            seen = Visibility(self.visibility.jnd, jnd, self.visibility.viewing)
        return QualityMap(
            grid,
            np.array(score, np.float64).reshape(grid.shape),
            np.array(patches.quality, np.float32).reshape(grid.shape),
            np.array([NAMES.index(name) for name in patches.name], np.int8).reshape(grid.shape),
            np.array(patches.identical, np.bool_).reshape(grid.shape),
            None if patches.unsure is None else np.array(patches.unsure, np.bool_).reshape(grid.shape),
            self.image.quality,
            (self.cuts.orange, self.cuts.green),
            self.calibration,
            seen,
            self.cut_scale or ("quality" if self.calibration is None else "score"),
        )


def prediction(
    quality_map: QualityMap,
    *,
    reference: str | os.PathLike[str],
    distorted: str | os.PathLike[str],
    model: str,
    blake3: str,
    warnings: Sequence[str] = (),
    pixels: PixelsEntry | None = None,
) -> Prediction:
    """The JSON of a map.

    Parameters
    ----------
    found
        The map.
    reference, distorted
        The files' names, as the user gave them; bytes that are not text are escaped.
    model, blake3
        The model's name, and the BLAKE3 checksum (hex) of its `model.safetensors`.
    warnings
        What a reader should know, one line each.
    pixels
        Which pixels were compared.

    Raises
    ------
    ValueError
        If the map contradicts itself: a score is infinite where the patch is not identical, for example.

    Examples
    --------
    >>> one = np.ones((1, 1), np.int8)
    >>> quality_map = QualityMap(
    ...     Grid(20, 20), one * np.inf, one.astype(np.float32), 2 * one, one > 0, None, 1, (0.3, 0.6), None
    ... )
    >>> made = prediction(quality_map, reference="a.png", distorted="b.png", model="tiny", blake3="ab" * 32)
    >>> made.patches.score, made.patches.name, made.image.shares["Green"]
    ([None], ['Green'], 1.0)
    """
    grid, verdict, (orange, green) = quality_map.grid, quality_map.verdict, quality_map.cuts
    seen = quality_map.visibility
    corners = grid.corners
    same = quality_map.identical.ravel().tolist()
    return Prediction(
        pixq=__version__,
        reference=text_of(reference),
        distorted=text_of(distorted),
        schema_version=1 if seen is None else 2,
        visibility=None
        if seen is None
        else VisibilityEntry(jnd=seen.jnd, p_notice=seen.p_notice, viewing=seen.viewing),
        cut_scale=None if seen is None else quality_map.cut_scale,
        model=ModelEntry(name=model, blake3=blake3),
        calibration=quality_map.calibration,
        cuts=Cuts(orange=float(orange), green=float(green)),
        pixels=pixels,
        grid=GridEntry(
            height=grid.height,
            width=grid.width,
            size=grid.size,
            stride=grid.stride,
            rows=grid.shape[0],
            columns=grid.shape[1],
        ),
        image=ImageEntry(
            quality=float(verdict.quality),
            worst=verdict.worst,
            shares=cast("Shares", verdict.shares),
            unsure=verdict.unsure,
            identical=verdict.identical,
        ),
        warnings=[text_of(warning) for warning in warnings],
        patches=Patches.model_validate(
            {
                "y": corners[:, 0].tolist(),
                "x": corners[:, 1].tolist(),
                "score": [
                    None if identical else score
                    for identical, score in zip(same, quality_map.score.ravel().tolist(), strict=True)
                ],
                # Not 0.8299999833106995.
                "quality": quality_map.decimals.astype(np.float64).tolist(),
                "jnd": None if seen is None else seen.map.ravel().tolist(),
                "class": [NAMES[number] for number in quality_map.classes.ravel().tolist()],
                "identical": same,
                "unsure": None if quality_map.unsure is None else quality_map.unsure.ravel().tolist(),
            }
        ),
    )


def write_prediction(made: Prediction, path: str | os.PathLike[str]) -> Path:
    """Write the JSON, whole or not at all, and return its path; folders are created.

    Raises
    ------
    PixqError
        If it can't be written.
    """
    path = Path(path)
    values = made.model_dump(mode="json", by_alias=True, exclude={"patches"})
    head = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    save_text(path, chain((head, ',\n  "patches": {'), _columns(made.patches), ("\n  }\n}\n",)))
    return path


def _columns(patches: Patches) -> Iterator[str]:
    """The lists of the patches, one per line; one at a time, since together they are as large as the images."""
    separator = "\n"
    for name, field in Patches.model_fields.items():
        yield f"{separator}    {json.dumps(field.alias or name)}: {json.dumps(getattr(patches, name), allow_nan=False)}"
        separator = ",\n"


def read_prediction(path: str | os.PathLike[str]) -> Prediction:
    """Read and check the JSON of a prediction.

    Raises
    ------
    PixqError
        If it is missing, damaged, or another kind or version of file.
    """
    return read_model(Prediction, Path(path), "pixq predict")
