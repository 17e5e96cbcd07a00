"""Which images of a dataset are built: the filter and the buckets of the Jianjin008 report."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pixq import ranges
from pixq.datasets.base import ImagePair
from pixq.errors import PixqError

__all__ = ["BUCKETS", "BucketResult", "bucket"]

BUCKETS = ("no_flicker", "same_score", "slight_flicker")
"""All buckets, in the order in which an image in several of them names them."""


@dataclass(frozen=True)
class BucketResult:
    """The image pairs to build, and how many others are excluded.

    `pairs` holds each pair to build with its requested buckets, in the order of `BUCKETS`; it is ordered by `image_id`.
    `excluded` counts the other pairs by reason. Each input pair is in exactly one of the two. The blends of
    `same_score` are added to `pairs` and never counted as excluded.
    """

    pairs: tuple[tuple[ImagePair, tuple[str, ...]], ...]
    excluded: dict[str, int]


def bucket(
    pairs: Iterable[ImagePair], *, max_levels: int = 3, buckets: Sequence[str] = ("slight_flicker",)
) -> BucketResult:
    """Sort image pairs into buckets by comparing neighbouring levels of one distortion.

    A group is all pairs of one reference and one distortion type; a group of more than `max_levels` is excluded. Its
    pairs are ordered by level, and each is compared with the next: the one of higher quality goes to `no_flicker`, the
    other to `slight_flicker`; two of equal quality both go to `same_score`, which adds their blend (`blend_with` set,
    no level). A pair without neighbours goes to `slight_flicker`. A pair with two neighbours can be in two buckets.

    Source: the Jianjin008 dataset report, section 3.1.

    Parameters
    ----------
    pairs
        The pairs of one dataset.
    max_levels
        Largest number of levels in a group, 1 or more.
    buckets
        The buckets to build, out of `BUCKETS`.

    Raises
    ------
    PixqError
        If `max_levels` or a name in `buckets` is wrong.

    Examples
    --------
    >>> from pixq.datasets import ImagePair
    >>> def pair(level, score):
    ...     return ImagePair(f"I01_01_{level}", "I01", "I01", "r.png", f"{level}.png", "01", level, score, score)
    >>> result = bucket([pair(1, 0.9), pair(2, 0.8)])
    >>> [(pair.image_id, names) for pair, names in result.pairs], result.excluded
    ([('I01_01_2', ('slight_flicker',))], {'bucket no_flicker not built': 1})
    """
    ranges.MAX_LEVELS.check(max_levels, "--max-levels")
    if unknown := [name for name in buckets if name not in BUCKETS]:
        raise PixqError(f"unknown bucket {unknown[0]!r}; choose among {', '.join(BUCKETS)}")
    if not buckets:
        raise PixqError(f"no bucket to build; choose among {', '.join(BUCKETS)}")

    groups: dict[tuple[str, str], list[ImagePair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.reference_id, pair.distortion_type].append(pair)
    built: list[tuple[ImagePair, tuple[str, ...]]] = []
    excluded: Counter[str] = Counter()
    for group in groups.values():
        if len(group) > max_levels:
            excluded[f"more than {max_levels} level{'s' if max_levels > 1 else ''}"] += len(group)
            continue
        for pair, names in _compare(sorted(group, key=_level)):
            wanted = tuple(name for name in BUCKETS if name in names and name in buckets)
            if wanted:
                built.append((pair, wanted))
            elif pair.blend_with is None:
                excluded[f"bucket {', '.join(name for name in BUCKETS if name in names)} not built"] += 1
    return BucketResult(tuple(sorted(built, key=lambda entry: entry[0].image_id)), dict(sorted(excluded.items())))


def _level(pair: ImagePair) -> tuple[bool, float, str]:
    return pair.level is None, pair.level or 0.0, pair.image_id


def _compare(group: list[ImagePair]) -> list[tuple[ImagePair, set[str]]]:
    """Each pair of a group, ordered by level, with its buckets; then the blends."""
    if len(group) == 1:
        return [(group[0], {"slight_flicker"})]
    names: list[set[str]] = [set() for _ in group]
    blends: list[tuple[ImagePair, set[str]]] = []
    for i, (first, second) in enumerate(itertools.pairwise(group)):
        if first.quality == second.quality:
            names[i].add("same_score")
            names[i + 1].add("same_score")
            blends.append((_blend(first, second), {"same_score"}))
        else:
            better, worse = (i, i + 1) if first.quality > second.quality else (i + 1, i)
            names[better].add("no_flicker")
            names[worse].add("slight_flicker")
    return [*zip(group, names, strict=True), *blends]


def _blend(first: ImagePair, second: ImagePair) -> ImagePair:
    return replace(first, image_id=f"{first.image_id}+{second.image_id}", level=None, blend_with=second.distorted)
