"""What every dataset adapter gives: image pairs with scores, and what was wrong on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pixq.datasets.labels import LabelContract

__all__ = ["Adapter", "DatasetIndex", "ImagePair", "Problem"]


@dataclass(frozen=True, slots=True)
class ImagePair:
    """One distorted image, its reference, and the score people gave it.

    `reference` and `distorted` are paths relative to the dataset's root, with forward slashes; both exist on disk.
    `group` names what must stay on one side of a split: the reference unless the dataset knows better.
    `blend_with` is set on the synthetic pairs of the `same_score` bucket: the distorted image is then the mean of
    `distorted` and `blend_with`, rounded half up.
    `split` is the side that the dataset itself puts the pair on, where it has sides; `both` where it names it on
    both. `attributes` are what else it says of the pair, e.g. its method, as texts.
    """

    image_id: str
    reference_id: str
    group: str
    reference: str
    distorted: str
    distortion_type: str
    level: float | None
    score: float
    quality: float
    blend_with: str | None = None
    split: Literal["train", "test", "both"] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the files of a dataset.

    `kind` is `missing` (named by the scores, not on disk), `duplicate` (two lines or two files for one image),
    `extra` (on disk, without a score), `corrupt` (on disk, can't be decoded) or `leak` (the dataset's own split has
    pairs on two sides that belong together). `file` is the path relative to the
    root, as the scores or the disk have it; `detail` says where, and what was done about it; `left_out` whether an
    image pair is left out for it.
    """

    kind: str
    file: str
    detail: str
    left_out: bool = False


@dataclass(frozen=True)
class DatasetIndex:
    """A dataset as found on disk. `pairs` are ordered by `image_id`."""

    adapter: str
    root: Path
    contract: LabelContract
    pairs: tuple[ImagePair, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Adapter:
    """A kind of dataset: how to index its tree, and what its users must know.

    `index(root, **options)` gives a `DatasetIndex`; `options` are those named in `options` (name -> what it is).
    `default_fusions` and `bucketed` are what `pixq build-patches` uses unless told otherwise.
    """

    name: str
    title: str
    needs: str
    licence: str
    citation: str
    contract: LabelContract
    index: Callable[..., DatasetIndex]
    default_fusions: tuple[str, ...] = ("none",)
    bucketed: bool = False
    options: dict[str, str] = field(default_factory=dict)
