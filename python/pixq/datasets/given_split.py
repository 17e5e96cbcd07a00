"""The dataset's own train and test split: kept if it separates the groups, and replaced if it leaks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from pixq.datasets import splits
from pixq.datasets.base import Problem
from pixq.errors import PixqError

__all__ = ["GivenSplit", "assign", "given_split"]


@dataclass(frozen=True)
class GivenSplit:
    """A dataset's own split, by group.

    Parameters
    ----------
    sides
        The sides that each group has pairs on: `train`, `test` or both.
    train, test
        Number of image pairs on each side; a pair on both sides counts twice.
    pairs
        Number of image pairs.
    leaked
        Number of image pairs whose group is on both sides.
    """

    sides: Mapping[str, frozenset[str]]
    train: int
    test: int
    pairs: int
    leaked: int

    @property
    def kept(self) -> bool:
        """Whether the split can be kept: it has a test side, and no group is on both sides."""
        return self.leaked == 0 and self.test > 0

    @property
    def outcome(self) -> str:
        """What was done with the split, as the manifest says it."""
        if self.kept:
            return "kept"
        if self.leaked:
            return f"leaked: {self.leaked} of {self.pairs} pairs, split anew"
        return "no test side: split anew"

    @property
    def problems(self) -> tuple[Problem, ...]:
        """A problem for the leak, if there is one."""
        if not self.leaked:
            return ()
        both = sum(len(sides) > 1 for sides in self.sides.values())
        detail = (
            f"the given split leaks: {self.leaked} of {self.pairs} pairs are in "
            f"{both} group{'s' if both > 1 else ''} on both sides; all were split anew, by group"
        )
        return (Problem("leak", "train, test", detail),)


def given_split(pairs: Iterable[tuple[str | None, str]]) -> GivenSplit | None:
    """Summarise a dataset's own split; `None` unless the dataset gives every pair a side.

    Parameters
    ----------
    pairs
        `(side, group)` of each image pair; a side is `train`, `test`, `both`, or `None` where none is given.

    Examples
    --------
    >>> given_split([("train", "a"), ("test", "a"), ("test", "b")]).outcome
    'leaked: 2 of 3 pairs, split anew'
    """
    rows = list(pairs)
    if not rows or any(side is None for side, _ in rows):
        return None
    sides: dict[str, set[str]] = defaultdict(set)
    for side, group in rows:
        sides[group].update(("train", "test") if side == "both" else (str(side),))
    return GivenSplit(
        sides={group: frozenset(group_sides) for group, group_sides in sorted(sides.items())},
        train=sum(side != "test" for side, _ in rows),
        test=sum(side != "train" for side, _ in rows),
        pairs=len(rows),
        leaked=sum(len(sides[group]) > 1 for _, group in rows),
    )


def assign(
    groups: Collection[str],
    given: GivenSplit | None,
    *,
    ratio: tuple[float, float, float],
    folds: int,
    seed: int,
) -> dict[str, splits.SplitOf]:
    """Give each group a split and a fold, as `splits.assign` does, but keep the dataset's own split if it has no leak.

    Groups on its test side are `test`. Those on its train side are divided into `train` and `validation` in proportion
    to the first two shares of `ratio`. Folds are assigned over all groups, as by `splits.assign`.

    Raises
    ------
    PixqError
        For the reasons of `splits.assign`, or if `ratio` leaves nothing for the train side.

    Examples
    --------
    >>> given = given_split([("train", "a"), ("train", "b"), ("test", "c"), ("test", "d")])
    >>> sides = assign("abcd", given, ratio=(0.5, 0.5, 0.0), folds=2, seed=0)
    >>> sorted(of.split for of in sides.values()), sides["c"].split
    (['test', 'test', 'train', 'validation'], 'test')
    """
    if given is None or not given.kept:
        return splits.assign(groups, ratio=ratio, folds=folds, seed=seed)
    # `ranked` is only used for its order and folds; wrong shares get the usual message.
    splits.check_ratio(ratio)
    ranked = splits.assign(groups, ratio=(1.0, 0.0, 0.0), folds=folds, seed=seed)
    train = [group for group in ranked if given.sides[group] == {"train"}]
    share = ratio[0] + ratio[1]
    if train and share <= 0:
        shares = ",".join(f"{share:g}" for share in ratio)
        raise PixqError(
            f"--split {shares} leaves nothing for the train side of the dataset's own split; "
            "make its first two shares more than 0, like 0.6,0.2,0.2"
        )
    cut = splits.assign(train, ratio=(ratio[0] / share, ratio[1] / share, 0.0), folds=1, seed=seed) if train else {}
    return {
        group: splits.SplitOf(cut[group].split if group in cut else "test", of.fold) for group, of in ranked.items()
    }
