"""Options that several commands share."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pixq import ranges
from pixq.cli.messages import note
from pixq.cli.number_options import number_in
from pixq.datasets.labels import Polarity, parse_score_range
from pixq.errors import PixqError
from pixq.io.atomic import save_bytes
from pixq.io.images import Background, ReadOptions
from pixq.patches.schema import MANIFEST
from pixq.patches.store import PatchSet
from pixq.ranges import whole
from pixq.runs.load import scores_visibility
from pixq.scoring.backgrounds import DEFAULT_BACKGROUNDS, parse_backgrounds
from pixq.viewing import Task, ViewingConditions

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "AS_DECLARED",
    "AS_SHOWN",
    "AT_A_DESK",
    "EVERYTHING",
    "NAMED",
    "ON_BACKGROUNDS",
    "DatasetOptions",
    "ImageOptions",
    "PairOptions",
    "Selection",
    "ViewingOptions",
    "explain_target",
    "save_picture",
    "shares",
]


@Parameter(name="*")
@dataclass(frozen=True)
class DatasetOptions:
    """Facts that some datasets do not state themselves.

    Parameters
    ----------
    polarity
        Whether a higher score means a better image (jianjin008, pairs).
    csv
        The CSV file, relative to the dataset's root (pairs).
    score_range
        The ends of the scale, as LOW,HIGH (pairs).
    unit
        The unit of the scores, in words (pairs).
    """

    polarity: Polarity | None = None
    csv: Path | None = None
    # A scale may begin below zero: -1,1 is a value.
    score_range: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    unit: str | None = None

    def given(self) -> dict[str, Any]:
        """As keyword arguments of an adapter; `None` if an option was not given."""
        score_range = None if self.score_range is None else parse_score_range(self.score_range)
        return {"polarity": self.polarity, "csv": self.csv, "score_range": score_range, "unit": self.unit}


@Parameter(name="*")
@dataclass(frozen=True)
class Selection:
    """A selection of a patch set's records.

    Parameters
    ----------
    split
        Only train, validation or test.
    fold
        Only this fold.
    bucket
        Only this bucket.
    distortion
        Only this distortion type.
    fusion
        Only this fusion.
    """

    split: str | None = None
    fold: Annotated[int | None, number_in(whole(0, 2**31 - 1))] = None
    bucket: str | None = None
    distortion: str | None = None
    fusion: str | None = None

    def of(self, directory: Path) -> PatchSet:
        """The selected records of the patch set in `directory`."""
        return PatchSet(directory).select(
            split=self.split, fold=self.fold, bucket=self.bucket, distortion=self.distortion, fusion=self.fusion
        )


@Parameter(name="*")
@dataclass(frozen=True)
class ImageOptions:
    """How image files are read.

    Parameters
    ----------
    colour_management
        Convert images with a profile to sRGB. --no-colour-management compares the files' own samples.
    background
        What lies under transparent pixels. Without it, an image that has some is refused.
    frame
        Which frame of animations, or page of TIFFs, counted from 0. Files that hold one image ignore it. Without it,
        files that have several are refused.
    """

    colour_management: bool = True
    background: Background | None = None
    frame: Annotated[int | None, number_in(ranges.FRAME)] = None

    @property
    def reading(self) -> ReadOptions:
        """The same options in the form that the library takes."""
        return ReadOptions(self.colour_management, self.background, self.frame)


@Parameter(name="*")
@dataclass(frozen=True)
class PairOptions:
    """How the images of a pair are read.

    Parameters
    ----------
    colour_management
        Convert images with a profile to sRGB. --no-colour-management compares the files' own samples.
    background
        What images with transparent pixels are put on: black, white, checker, with commas between them. The worst
        result counts.
    frame
        Which frame of animations, or page of TIFFs, counted from 0. Files that hold one image ignore it. Without it,
        files that have several are refused.
    """

    colour_management: bool = True
    background: str = ",".join(DEFAULT_BACKGROUNDS)
    frame: Annotated[int | None, number_in(ranges.FRAME)] = None

    def given(self) -> dict[str, Any]:
        """The options as keyword arguments of the Python functions."""
        return {
            "colour_management": self.colour_management,
            "backgrounds": parse_backgrounds(self.background),
            "frame": self.frame,
        }


@Parameter(name="*")
@dataclass(frozen=True)
class ViewingOptions:
    """How people look at the images. Default: a 24-inch full-HD display at 60 cm, 200 cd/m2, in an office of 250 lux.

    Parameters
    ----------
    ppd
        Pixels per degree of visual angle, instead of a display and a distance. Default: 38.
    display
        Size and resolution of the display, like 27in-1440p or 13in-2560x1600. Default: 24in-1080p.
    distance
        Distance from the eye to the display, like 60cm or 24in. Default: 60cm.
    peak_luminance
        Luminance of white on the display, in cd/m2. Default: 200.
    ambient
        Light of the room that falls on the display, in lux. Default: 250, an office.
    task
        What people do: compare both images at leisure (side-by-side), see them alternate in one place (flicker), or
        look at the one place that may differ (detection), the strictest. Default: flicker for ladders (pixq
        pjnd, critical and calibrate --ladders), side-by-side for everything else.
    """

    ppd: Annotated[float | None, number_in(ranges.VIEWING_PPD)] = None
    display: str | None = None
    distance: str | None = None
    peak_luminance: Annotated[float | None, number_in(ranges.PEAK_LUMINANCE)] = None
    ambient: Annotated[float | None, number_in(ranges.AMBIENT)] = None
    task: Task | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """The options that were given."""
        return tuple(
            "--" + field.name.replace("_", "-") for field in fields(self) if getattr(self, field.name) is not None
        )

    @property
    def conditions(self) -> ViewingConditions:
        """The same options in the form that the library takes."""
        of = (self.ppd, self.display, self.distance, self.peak_luminance, self.ambient)
        return ViewingConditions.of(*of, task=self.task)

    def check_used(self, fields: Collection[str], users: str) -> None:
        """Raise a `PixqError` that names an option unless its field of `ViewingConditions` is among `fields`."""
        for option in self.named:
            fields_of = {"--peak-luminance": "peak_luminance", "--ambient": "ambient", "--task": "task"}
            field = fields_of.get(option, "pixels_per_degree")
            if field not in fields:
                raise PixqError(f"{option} only has an effect with {users}; remove it")

    def check_run(self, run: Path) -> None:
        """Raise a `PixqError` if an option was given for a run whose scores don't depend on it."""
        if self.named and not scores_visibility(run):
            self.check_used((), "runs of the model visibility")


#: Nothing is said about how images are looked at.
AT_A_DESK = ViewingOptions()

#: Colours are converted, and transparent pixels refused.
AS_SHOWN = ImageOptions()

#: Colours are converted, and transparent pixels put on the usual backgrounds.
ON_BACKGROUNDS = PairOptions()

#: No dataset option is given.
AS_DECLARED = DatasetOptions()

#: Largest number of skipped files to list on stderr; a missing folder would fill the screen.
NAMED = 20

#: Every record of a patch set.
EVERYTHING = Selection()


def explain_target(target: Path, patches: PatchSet, made: Path | None) -> int:
    """Say on stderr from what a dataset's patch set was made, if it was; return the number of pairs that it lacks."""
    if made is None:
        return 0
    note(f"{target}: is a tree of triplets; using its patch set {made}")
    skipped = patches.manifest["skipped"]
    for item in skipped[:NAMED]:
        note(f"skipped {item['file']}: {item['reason']}")
    if skipped:
        note(f"{len(skipped)} image pairs were skipped; {made / MANIFEST} lists them all")
    return len(skipped)


def shares(text: str) -> tuple[float, float, float]:
    """Parse the shares of train, validation and test from three numbers with commas between them."""
    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError:
        raise PixqError(f"--split is {text!r}; give three shares with commas between them, like 0.6,0.2,0.2") from None
    return train, validation, test


def save_picture(picture: Image, out: Path) -> None:
    """Write a Pillow picture as a PNG file."""
    if out.suffix.lower() != ".png":
        raise PixqError(f"{out}: is not a PNG file name; give a name that ends in .png")
    data = io.BytesIO()
    picture.save(data, format="PNG")
    save_bytes(out, data.getbuffer())
