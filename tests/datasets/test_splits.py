"""Splits and folds, and the leaks that must not be."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq.datasets.splits import SPLITS, assign, check, check_photos
from pixq.errors import PixqError

NAMES = [f"I{number:02d}" for number in range(1, 26)]


def counts(number: int, ratio: tuple[float, float, float]) -> list[int]:
    found = Counter(of.split for of in assign([str(i) for i in range(number)], ratio=ratio, folds=1).values())
    return [found[split] for split in SPLITS]


@pytest.mark.parametrize(
    ("number", "ratio", "expected"),
    [
        (10, (0.6, 0.2, 0.2), [6, 2, 2]),
        (5, (0.6, 0.2, 0.2), [3, 1, 1]),
        # 4.2, 1.4, 1.4: both remainders are 0.4, and validation comes first.
        (7, (0.6, 0.2, 0.2), [4, 2, 1]),
        # 2.94, 0.03, 0.03: train gives one to each that would have none.
        (3, (0.98, 0.01, 0.01), [1, 1, 1]),
        (3, (1.0, 0.0, 0.0), [3, 0, 0]),
        (4, (0.5, 0.0, 0.5), [2, 0, 2]),
        (1, (0.0, 1.0, 0.0), [0, 1, 0]),
        (0, (1.0, 0.0, 0.0), [0, 0, 0]),
    ],
)
def test_counts_by_hand(number: int, ratio: tuple[float, float, float], expected: list[int]) -> None:
    if number == 0:
        # No share can be filled from nothing, not even a single one.
        with pytest.raises(PixqError, match="there are none"):
            assign([], ratio=ratio)
        return
    assert counts(number, ratio) == expected


def test_the_order_is_that_of_the_hashes() -> None:
    ranked = sorted(NAMES, key=lambda name: hashlib.sha256(f"7:{name}".encode()).hexdigest())
    assigned = assign(NAMES, seed=7)
    assert [assigned[name].split for name in ranked] == ["train"] * 15 + ["validation"] * 5 + ["test"] * 5
    assert [assigned[name].fold for name in ranked] == [rank % 5 for rank in range(25)]


def test_another_seed_is_another_split() -> None:
    assert assign(NAMES, seed=0) != assign(NAMES, seed=1)


RATIOS = (
    st.lists(st.integers(0, 10), min_size=3, max_size=3)
    .filter(any)
    .map(lambda parts: tuple(part / sum(parts) for part in parts))
)


@pytest.mark.slow
@settings(deadline=None)
@given(
    groups=st.lists(st.text(min_size=1, max_size=6), min_size=3, max_size=40, unique=True),
    ratio=RATIOS,
    folds=st.integers(1, 3),
    seed=st.integers(-(2**63), 2**63),
    random=st.randoms(use_true_random=False),
)
def test_any_groups_ratio_and_seed(
    groups: list[str], ratio: tuple[float, float, float], folds: int, seed: int, random: Any
) -> None:
    assigned = assign(groups, ratio=ratio, folds=folds, seed=seed)
    assert set(assigned) == set(groups)
    by_split = Counter(of.split for of in assigned.values())
    for split, share in zip(SPLITS, ratio, strict=True):
        assert (by_split[split] > 0) == (share > 0)
        # Largest remainder is within one of the exact share, and giving one to the empty moves two at most.
        assert abs(by_split[split] - share * len(groups)) < 3
    by_fold = Counter(of.fold for of in assigned.values())
    assert set(by_fold) == set(range(folds))
    assert max(by_fold.values()) - min(by_fold.values()) <= 1
    repeated = random.sample(groups, len(groups)) + groups[:2]
    assert assign(repeated, ratio=ratio, folds=folds, seed=seed) == assigned
    check((f"image of {group}", group, f"reference of {group}", assigned[group].split) for group in repeated)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": (0.6, 0.2, 0.1)}, "--split 0.6,0.2,0.1 adds up to 0.9; make it 1"),
        ({"ratio": (1.2, -0.2, 0.0)}, "give three shares of 0 or more"),
        ({"ratio": (float("nan"), 0.5, 0.5)}, "give three shares"),
        ({"ratio": (0.5, 0.5)}, "give three shares"),
        ({"folds": 0}, "--folds is 0"),
        ({"folds": 26}, "--folds 26 needs at least 26 references, and there are 25; give --folds 25 or fewer"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PixqError, match=message):
        assign(NAMES, **options)


def test_too_few_references_say_how_many_are_needed() -> None:
    with pytest.raises(PixqError, match=r"needs at least 3 references, and there are 2; .*--split 1,0,0"):
        assign(["a", "b"], folds=1)
    with pytest.raises(PixqError, match="needs at least 2 references, and there is 1"):
        assign(["a"], ratio=(0.5, 0.5, 0.0), folds=1)
    assert assign(["a"], ratio=(1, 0, 0), folds=1)["a"].split == "train"


def test_a_leak_is_an_error_that_names_it() -> None:
    check([("1", "g", "r", "train"), ("2", "g", "s", "train"), ("3", "h", "t", "test")])
    with pytest.raises(PixqError, match=r"a leak: group 'g' is in train \(image 1\) and in test \(image 2\)"):
        check([("1", "g", "r", "train"), ("2", "g", "s", "test")])
    with pytest.raises(PixqError, match="a leak: reference 'r' is in train"):
        check([("1", "g", "r", "train"), ("2", "h", "r", "validation")])


def test_one_photo_in_two_splits_is_a_leak() -> None:
    check_photos([("a", "00", "train"), ("b", "00", "train"), ("c", "11", "test")])
    with pytest.raises(PixqError, match=r"a leak: references 'a' \(train\) and 'b' \(test\) are the same photo"):
        check_photos([("a", "00", "train"), ("b", "00", "test")])
