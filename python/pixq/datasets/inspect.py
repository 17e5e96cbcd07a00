"""Counts and a picture of a dataset's contents, to look at before building anything from it."""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixq.datasets.base import DatasetIndex, ImagePair, Problem
from pixq.datasets.buckets import BUCKETS, bucket
from pixq.datasets.given_split import given_split
from pixq.datasets.labels import LabelContract
from pixq.errors import PixqError, printable
from pixq.io.atomic import save_bytes
from pixq.io.images import AS_SHOWN, ReadOptions, read_pixels, to_8_bits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["NoPicture", "Summary", "figure", "save_figure", "summarise"]

KINDS = ("missing", "duplicate", "extra")
_NAMED = 10
"""Number of problems per kind that the text lists; JSON lists all of them."""
_VALUES = 12
"""For attributes with more values than this, the text only gives their number."""
_SAMPLES = 8
"""Number of distortion types in the picture."""
_THUMBNAIL = 320
"""The longer side of a thumbnail, in pixels."""


class NoPicture(PixqError):
    """No picture can be drawn: matplotlib is missing, or the dataset has no image."""


@dataclass(frozen=True)
class Summary:
    """The contents of a dataset in numbers.

    `types` counts images by distortion type; `levels` counts groups (one reference, one distortion type) by their
    number of levels; `score_range` is the lowest and the highest score, `None` without images. `buckets` counts images
    by bucket, including blends, and `excluded` those that the filter leaves out, both for `max_levels`. `groups`
    is the number of groups that must not be split, `attributes` counts images by the values of their attributes, and
    `given` counts images on each side of the dataset's own split and those that leak; it is `None` without one.
    """

    dataset: str
    root: Path
    contract: LabelContract
    references: int
    distorted: int
    types: dict[str, int]
    levels: dict[int, int]
    score_range: tuple[float, float] | None
    max_levels: int
    buckets: dict[str, int]
    excluded: dict[str, int]
    problems: tuple[Problem, ...]
    groups: int
    attributes: dict[str, dict[str, int]]
    given: dict[str, int] | None

    def to_json(self) -> dict[str, Any]:
        """The summary as standard JSON values."""
        return {
            **asdict(self),
            "root": printable(str(self.root)),
            "levels": {str(levels): groups for levels, groups in self.levels.items()},
            "problems": [asdict(problem) for problem in self.problems],
        }

    def text(self) -> str:
        """The summary as a few dozen lines of text, with the first ten problems of each kind."""
        contract = self.contract
        rows = [
            ("dataset", f"{self.dataset} at {printable(str(self.root))}"),
            ("references", f"{self.references:,}"),
            ("distorted", f"{self.distorted:,}"),
            ("types", f"{len(self.types)}"),
            *(("", f"{name}: {count:,}") for name, count in self.types.items()),
            ("levels", ", ".join(f"{groups:,} groups with {levels}" for levels, groups in self.levels.items())),
            ("scores", _range(self.score_range) + f" on {contract.minimum:g} to {contract.maximum:g}"),
            ("", f"{contract.name}, {contract.polarity}: {contract.unit}"),
            *(("", note) for note in (contract.note,) if note),
            *(("", "synthetic: no person gave these scores") for _ in range(contract.synthetic)),
            *(("", f"{name}: {_counts(counts)}") for name, counts in self.attributes.items()),
            *(("given split", _given(self.given, self.groups)) for _ in range(self.given is not None)),
            ("buckets", f"of groups with at most {self.max_levels} levels"),
            *(("", f"{name}: {count:,}") for name, count in self.buckets.items()),
            *(("", f"excluded, {reason}: {count:,}") for reason, count in self.excluded.items()),
        ]
        for kind in KINDS:
            problems = [problem for problem in self.problems if problem.kind == kind]
            rows.append((kind, f"{len(problems):,}"))
            rows += [("", f"{problem.file} ({problem.detail})") for problem in problems[:_NAMED]]
            if len(problems) > _NAMED:
                rows.append(("", f"and {len(problems) - _NAMED:,} more; --json lists them all"))
        return "\n".join(f"{name:<16}{printable(value) or 'none'}".rstrip() for name, value in rows)


def summarise(index: DatasetIndex, *, max_levels: int = 3) -> Summary:
    """Count the contents of a dataset.

    Parameters
    ----------
    index
        The dataset, as returned by `pixq.datasets.index`.
    max_levels
        Largest number of levels in a group for the buckets.

    Raises
    ------
    PixqError
        If `max_levels` is below 1.
    """
    pairs = index.pairs
    scores = [pair.score for pair in pairs]
    result = bucket(pairs, max_levels=max_levels, buckets=BUCKETS)
    given = given_split((pair.split, pair.group) for pair in pairs)
    in_buckets = Counter(name for _, names in result.pairs for name in names)
    return Summary(
        dataset=index.adapter,
        root=index.root,
        contract=index.contract,
        references=len({pair.reference_id for pair in pairs}),
        distorted=len(pairs),
        types=dict(sorted(Counter(pair.distortion_type for pair in pairs).items())),
        levels=dict(sorted(Counter(_group_sizes(pairs).values()).items())),
        score_range=(min(scores), max(scores)) if scores else None,
        max_levels=max_levels,
        buckets={name: in_buckets[name] for name in BUCKETS},
        excluded=result.excluded,
        problems=index.problems,
        groups=len({pair.group for pair in pairs}),
        attributes=_attributes(pairs),
        given=None if given is None else {"train": given.train, "test": given.test, "leaked": given.leaked},
    )


def figure(index: DatasetIndex, reading: ReadOptions = AS_SHOWN) -> Figure:
    """Draw a dataset: samples, and histograms of scores and levels.

    For up to eight evenly chosen distortion types, it shows a reference beside the image of that type with the lowest
    quality, read as `reading` says. In place of an image that can't be decoded, it shows the reason. The figure is
    returned, never shown.

    Raises
    ------
    NoPicture
        If matplotlib is not installed, or the dataset has no image.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NoPicture("a picture needs matplotlib; install it with pip install 'pixq[report]'") from None
    if not index.pairs:
        raise NoPicture(f"{index.root}: no image to make a picture of; the counts say what is missing")
    tiles = [(pair, _tile(index.root, pair, reading)) for pair in _samples(index.pairs)]
    rows = max(2, (len(tiles) + 1) // 2)
    # A tile is five inches wide and as high as its image asks for, within reason; its title takes half an inch.
    asked = [5.0 * tile.shape[0] / tile.shape[1] for _, tile in tiles if not isinstance(tile, str)]
    height = 0.6 + min(max(asked, default=2.0), 4.0)
    drawn = Figure(figsize=(15, 0.8 + max(rows * height, 5.5)), dpi=110, layout="constrained")
    drawn.suptitle(_title(index), fontsize=13, x=0.005, ha="left")
    # matplotlib's stubs say "an array or one of them", whatever the shape asked for.
    panels: Any = drawn.subfigures(1, 2, width_ratios=(2.1, 1), wspace=0.03)
    left, right = panels
    left.suptitle(
        "a sample of each type: the reference on the left, the image on the right", fontsize=10, x=0.008, ha="left"
    )
    for axes, i in zip(left.subplots(rows, 2, squeeze=False).flat, range(2 * rows), strict=True):
        axes.axis("off")
        if i < len(tiles):
            _draw_tile(axes, index.contract, *tiles[i])
    above, below = right.subplots(2, 1)
    _draw_scores(above, index)
    _draw_levels(below, index.pairs)
    return drawn


def save_figure(index: DatasetIndex, path: Path, reading: ReadOptions = AS_SHOWN) -> None:
    """Write `figure(index)` to a file, in the format of its extension (.png, .svg or .pdf).

    Raises
    ------
    NoPicture
        If `figure` raises it.
    PixqError
        If matplotlib doesn't know the extension, or the file can't be written.
    """
    drawn = figure(index, reading)
    kind = path.suffix.lower().lstrip(".")
    if kind not in drawn.canvas.get_supported_filetypes():
        raise PixqError(f"--picture {path}: unknown image format; use a name that ends in .png, .svg or .pdf")
    picture = io.BytesIO()
    drawn.savefig(picture, format=kind)
    save_bytes(path, picture.getbuffer(), "name a file that can be written with --picture")


def _group_sizes(pairs: Sequence[ImagePair]) -> Counter[tuple[str, str]]:
    return Counter((pair.reference_id, pair.distortion_type) for pair in pairs)


def _attributes(pairs: Sequence[ImagePair]) -> dict[str, dict[str, int]]:
    """Count images by the value of each attribute, with attributes in order of first appearance."""
    counts: dict[str, Counter[str]] = {}
    for pair in pairs:
        for name, value in pair.attributes.items():
            counts.setdefault(name, Counter())[value] += 1
    return {name: dict(sorted(of.items())) for name, of in counts.items()}


def _counts(counts: dict[str, int]) -> str:
    if len(counts) > _VALUES:
        return f"{len(counts):,} values"
    return ", ".join(f"{value} {count:,}" for value, count in counts.items())


def _given(given: dict[str, int] | None, groups: int) -> str:
    """Describe the dataset's own split."""
    if given is None:
        return "none"
    leaked = f"{given['leaked']:,} images leak: their groups are on both sides" if given["leaked"] else "no leak"
    return f"train {given['train']:,}, test {given['test']:,}, {groups:,} groups; {leaked}"


def _range(ends: tuple[float, float] | None) -> str:
    return f"{ends[0]:g} to {ends[1]:g}" if ends else "none"


def _title(index: DatasetIndex) -> str:
    references = len({pair.reference_id for pair in index.pairs})
    types = len({pair.distortion_type for pair in index.pairs})
    problems = Counter(problem.kind for problem in index.problems)
    wrong = (
        ", ".join(f"{problems[kind]:,} {kind}" for kind in KINDS if problems[kind])
        or "nothing missing, duplicate or extra"
    )
    return f"{index.adapter}: {len(index.pairs):,} images, {references:,} references, {types} types; {wrong}"


def _samples(pairs: Sequence[ImagePair]) -> list[ImagePair]:
    """One pair for each of up to eight evenly chosen types, with different references as far as possible."""
    types = sorted({pair.distortion_type for pair in pairs})
    if len(types) > _SAMPLES:
        types = [types[round(i * (len(types) - 1) / (_SAMPLES - 1))] for i in range(_SAMPLES)]
    samples = []
    for i, kind in enumerate(types):
        of_kind = [pair for pair in pairs if pair.distortion_type == kind]
        references = sorted({pair.reference_id for pair in of_kind})
        chosen = references[i % len(references)]
        candidates = [pair for pair in of_kind if pair.reference_id == chosen]
        samples.append(min(candidates, key=lambda pair: (pair.quality, pair.image_id)))
    return samples


def _tile(root: Path, pair: ImagePair, reading: ReadOptions) -> NDArray[np.uint8] | str:
    """Reference and distorted image side by side, or the reason why they can't be shown."""
    try:
        reference, distorted = (_thumbnail(root / path, reading) for path in (pair.reference, pair.distorted))
    except (OSError, ValueError) as error:
        return str(error)
    height = max(reference.shape[0], distorted.shape[0])
    gap = np.full((height, 4, 3), 255, dtype=np.uint8)
    return np.hstack([_padded(reference, height), gap, _padded(distorted, height)])


def _draw_tile(axes: Axes, contract: LabelContract, pair: ImagePair, tile: NDArray[np.uint8] | str) -> None:
    level = f", level {pair.level:g}" if pair.level is not None else ""
    axes.set_title(
        f"{_short(pair.distortion_type + level)}\n"
        f"{_short(pair.image_id)}: {contract.name} {pair.score:.4g}, quality {pair.quality:.2f}",
        fontsize=9,
        loc="left",
        parse_math=False,
    )
    if isinstance(tile, str):
        message = textwrap.fill(tile, 60)
        axes.text(0.0, 0.9, message, va="top", fontsize=8, color="tab:red", parse_math=False)
    else:
        axes.imshow(tile)


def _short(text: str) -> str:
    return text if len(text) <= 52 else f"{text[:25]}…{text[-25:]}"


def _thumbnail(path: Path, reading: ReadOptions) -> NDArray[np.uint8]:
    image = Image.fromarray(to_8_bits(read_pixels(path, options=reading)))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _padded(pixels: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    return np.pad(pixels, ((0, height - pixels.shape[0]), (0, 0), (0, 0)), constant_values=255)


def _draw_scores(axes: Axes, index: DatasetIndex) -> None:
    contract = index.contract
    axes.hist([pair.score for pair in index.pairs], bins=30, color="tab:blue", edgecolor="white", linewidth=0.5)
    better = "right" if contract.polarity == "higher-is-better" else "left"
    axes.set_title("Scores", loc="left")
    axes.set_xlabel(f"{contract.name}, scale {contract.minimum:g} to {contract.maximum:g}; better to the {better}")
    axes.set_ylabel("images")
    axes.locator_params(axis="y", integer=True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_levels(axes: Axes, pairs: Sequence[ImagePair]) -> None:
    groups = Counter(_group_sizes(pairs).values())
    levels = range(1, max(groups) + 1)
    bars = axes.bar(levels, [groups[level] for level in levels], color="tab:blue", width=0.7)
    if len(levels) <= 12:
        axes.set_xticks(list(levels))
        axes.bar_label(bars, fmt="{:,.0f}")
    axes.set_title("Levels per group", loc="left")
    axes.set_xlabel("levels of one distortion type on one reference")
    axes.set_ylabel("groups")
    axes.locator_params(axis="y", integer=True)
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
