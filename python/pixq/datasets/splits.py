"""Train, validation and test splits and folds by group, decided by names and a seed alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from pixq import ranges
from pixq.errors import PixqError

__all__ = ["SPLITS", "SplitOf", "assign", "check", "check_photos", "check_ratio"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SplitOf:
    """The split of a group, one of `SPLITS`, and the number of its fold, from 0."""

    split: str
    fold: int


def assign(
    groups: Iterable[str], *, ratio: tuple[float, float, float] = (0.6, 0.2, 0.2), folds: int = 5, seed: int = 0
) -> dict[str, SplitOf]:
    """Give each group a split and a fold.

    Groups are ordered by the SHA-256 of `"<seed>:<group>"`, so the result depends on the set of names and the seed
    alone. The first go to train, the next to validation, the last to test. Counts are by largest remainder; a split
    with a positive share gets at least one group.

    Parameters
    ----------
    groups
        Names of groups; repeats don't matter. All pairs of a group stay in one split.
    ratio
        Shares of train, validation and test: not negative, with a sum of 1.
    folds
        The number of folds, 1 to the number of groups; a group's fold is its rank modulo `folds`.
    seed
        Seed of the order.

    Returns
    -------
    dict
        `SplitOf` by group, ordered by group.

    Raises
    ------
    PixqError
        If `ratio` or `folds` is wrong, or there are fewer groups than splits or folds.

    Examples
    --------
    >>> splits = assign(["I01", "I02", "I03", "I04", "I05"])
    >>> [of.split for of in splits.values()].count("train")
    3
    """
    check_ratio(ratio)
    names = sorted(set(groups))
    wanted = sum(share > 0 for share in ratio)
    if len(names) < wanted:
        raise PixqError(
            f"--split {_text(ratio)} needs at least {wanted} references, and there {_are(len(names))}; "
            "add references, or put all of them in one split with --split 1,0,0"
        )
    ranges.FOLDS.check(folds, "--folds")
    if folds > len(names) > 0:
        raise PixqError(
            f"--folds {folds} needs at least {folds} references, and there {_are(len(names))}; "
            f"give --folds {len(names)} or fewer"
        )
    ranked = sorted(names, key=lambda name: (hashlib.sha256(f"{seed}:{name}".encode()).digest(), name))
    train, validation, _ = _counts(len(ranked), ratio)
    assigned = {
        name: SplitOf(SPLITS[(rank >= train) + (rank >= train + validation)], rank % folds)
        for rank, name in enumerate(ranked)
    }
    return {name: assigned[name] for name in names}


def check_ratio(ratio: tuple[float, float, float]) -> None:
    """Make sure that `ratio` is three shares that add up to 1.

    Raises
    ------
    PixqError
        If it isn't.
    """
    if len(ratio) != 3 or any(not math.isfinite(share) or share < 0 for share in ratio):
        raise PixqError(f"--split is {_text(ratio)}; give three shares of 0 or more, like 0.6,0.2,0.2")
    if not math.isclose(sum(ratio), 1.0, abs_tol=1e-9):
        raise PixqError(f"--split {_text(ratio)} adds up to {sum(ratio):g}; make it 1, like 0.6,0.2,0.2")


def check(rows: Iterable[tuple[str, str, str, str]]) -> None:
    """Make sure that no group and no reference is in two splits.

    Parameters
    ----------
    rows
        `(image_id, group, reference_id, split)` of each image pair.

    Raises
    ------
    PixqError
        If one is, which is a leak.
    """
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for image_id, group, reference_id, split in rows:
        for kind, name in (("group", group), ("reference", reference_id)):
            first, there = seen.setdefault((kind, name), (image_id, split))
            if there != split:
                raise PixqError(
                    f"a leak: {kind} {name!r} is in {there} (image {first}) and in {split} (image {image_id}); "
                    "build the patch set again"
                )


def check_photos(rows: Iterable[tuple[str, str, str]]) -> None:
    """Make sure that no photo is in two splits under two names.

    Parameters
    ----------
    rows
        `(reference_id, sha256 of its pixels, split)` of each reference.

    Raises
    ------
    PixqError
        If one is, which is a leak.
    """
    seen: dict[str, tuple[str, str]] = {}
    for reference_id, sha256, split in rows:
        first, there = seen.setdefault(sha256, (reference_id, split))
        if there != split:
            raise PixqError(
                f"a leak: references {first!r} ({there}) and {reference_id!r} ({split}) are the same photo, "
                "pixel for pixel; give them one group, or remove one"
            )


def _counts(total: int, ratio: tuple[float, float, float]) -> list[int]:
    """How many of `total` go to each split: largest remainder, and one at least where the share is positive."""
    exact = [share * total for share in ratio]
    # Without the tiny bonus, 0.6 * 5 = 3.0000000000000004 or 2.9999... would decide who gets the remainder.
    counts = [math.floor(share + 1e-9) for share in exact]
    for i in sorted(range(3), key=lambda i: (counts[i] - exact[i], i))[: max(0, total - sum(counts))]:
        counts[i] += 1
    for i in range(3):
        if ratio[i] > 0 and counts[i] == 0:
            counts[max(range(3), key=lambda j: (counts[j], -j))] -= 1
            counts[i] = 1
    return counts


def _text(ratio: Iterable[float]) -> str:
    return ",".join(f"{share:g}" for share in ratio)


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count or 'none'}"
