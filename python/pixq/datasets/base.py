"""Types that dataset adapters share: image pairs with scores, and problems with files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pixq.datasets.labels import LabelContract, Observers

__all__ = ["Adapter", "DatasetIndex", "ImagePair", "Problem"]


@dataclass(frozen=True, slots=True)
class ImagePair:
    """One distorted image, its reference, and the score people gave it.

    `reference` and `distorted` are paths relative to the dataset's root, with forward slashes; both exist on disk.
    `group` names what must stay on one side of a split: the reference unless the dataset knows better.
    `blend_with` is set on the synthetic pairs of the `same_score` bucket: the distorted image is then the mean of
    `distorted` and `blend_with`, rounded half up.
    `split` is the dataset's own split of the pair, if it has one; `both` if the pair is in both. `attributes` are
    further properties of the pair as text, e.g. its method. `observers` are the people behind the score, where the
    dataset counts them for each pair.
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
    observers: Observers | None = None


@dataclass(frozen=True)
class Problem:
    """A problem with a file of a dataset.

    `kind` is `missing` (has a score but is not on disk), `duplicate` (two lines or two files for one image), `extra`
    (on disk without a score), `corrupt` (can't be decoded) or `leak` (the dataset's own split separates pairs that
    belong together). `file` is the path relative to the root, as in the score file or on disk; `detail` says where the
    problem is and what was done about it; `left_out` says whether an image pair is left out because of it.
    """

    kind: str
    file: str
    detail: str
    left_out: bool = False


@dataclass(frozen=True)
class DatasetIndex:
    """The contents of a dataset on disk. `pairs` are ordered by `image_id`."""

    adapter: str
    root: Path
    contract: LabelContract
    pairs: tuple[ImagePair, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Adapter:
    """A dataset that pixq can read: its layout on disk, its scores, licence and citation.

    `index(root, **options)` returns a `DatasetIndex`; `options` maps the name of each option to its description.
    `default_fusions` and `bucketed` are the defaults of `pixq build-patches`.
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
