"""The filter and the buckets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq import datasets
from pixq.datasets import ImagePair
from pixq.datasets.buckets import BUCKETS, bucket
from pixq.errors import PixqError
from support import trees


def pair(level: float | None, quality: float, *, kind: str = "01", reference: str = "I01") -> ImagePair:
    image_id = f"{reference}_{kind}_{level}"
    return ImagePair(
        image_id=image_id,
        reference_id=reference,
        group=reference,
        reference=f"{reference}.png",
        distorted=f"{image_id}.png",
        distortion_type=kind,
        level=level,
        score=quality,
        quality=quality,
    )


def names(pairs: list[ImagePair], **options: object) -> dict[str, tuple[str, ...]]:
    built = bucket(pairs, buckets=BUCKETS, **options).pairs  # type: ignore[arg-type]
    return {one.image_id: names for one, names in built}


def test_a_single_level_is_slight_flicker() -> None:
    assert names([pair(1, 0.9)]) == {"I01_01_1": ("slight_flicker",)}


def test_the_better_neighbour_is_no_flicker_whichever_level_it_has() -> None:
    assert names([pair(1, 0.9), pair(2, 0.8)]) == {"I01_01_1": ("no_flicker",), "I01_01_2": ("slight_flicker",)}
    assert names([pair(1, 0.8), pair(2, 0.9)]) == {"I01_01_1": ("slight_flicker",), "I01_01_2": ("no_flicker",)}


def test_a_middle_level_is_in_the_buckets_of_both_its_neighbours() -> None:
    assert names([pair(3, 0.7), pair(1, 0.9), pair(2, 0.8)]) == {
        "I01_01_1": ("no_flicker",),
        "I01_01_2": ("no_flicker", "slight_flicker"),
        "I01_01_3": ("slight_flicker",),
    }


def test_equal_scores_add_their_blend() -> None:
    first, second = pair(1, 0.9), pair(2, 0.9)
    built = bucket([second, first], buckets=["same_score"]).pairs
    assert [(one.image_id, names) for one, names in built] == [
        ("I01_01_1", ("same_score",)),
        ("I01_01_1+I01_01_2", ("same_score",)),
        ("I01_01_2", ("same_score",)),
    ]
    blend = built[1][0]
    assert (blend.distorted, blend.blend_with) == (first.distorted, second.distorted)
    assert (blend.level, blend.score, blend.quality, blend.reference) == (None, 0.9, 0.9, first.reference)


def test_quality_decides_not_the_score() -> None:
    # On a lower-is-better scale the higher score is the worse image.
    better, worse = replace(pair(1, 0.9), score=0.1), replace(pair(2, 0.8), score=0.2)
    assert names([better, worse]) == {"I01_01_1": ("no_flicker",), "I01_01_2": ("slight_flicker",)}


def test_groups_are_of_one_reference_and_one_distortion() -> None:
    apart = [pair(1, 0.9), pair(2, 0.9, kind="02"), pair(3, 0.9, reference="I02")]
    assert set(names(apart).values()) == {("slight_flicker",)}


def test_more_levels_than_allowed_are_excluded_and_counted() -> None:
    pairs = [pair(level, 1 - level / 10) for level in range(1, 5)]
    result = bucket([*pairs, pair(1, 0.9, kind="02")], buckets=BUCKETS)
    assert [one.image_id for one, _ in result.pairs] == ["I01_02_1"]
    assert result.excluded == {"more than 3 levels": 4}
    assert bucket(pairs, max_levels=4, buckets=BUCKETS).excluded == {}
    assert bucket(pairs, max_levels=1).excluded == {"more than 1 level": 4}


def test_buckets_not_asked_for_are_counted_by_name() -> None:
    pairs = [pair(1, 0.9), pair(2, 0.8), pair(3, 0.8)]
    result = bucket(pairs)
    assert [(one.image_id, names) for one, names in result.pairs] == [("I01_01_2", ("slight_flicker",))]
    assert result.excluded == {"bucket no_flicker not built": 1, "bucket same_score not built": 1}


def test_levels_that_tie_are_ordered_by_image() -> None:
    twins = [replace(pair(1, 0.8), image_id="b"), replace(pair(1, 0.9), image_id="a")]
    assert names(twins) == {"a": ("no_flicker",), "b": ("slight_flicker",)}
    assert names([pair(None, 0.8), pair(9, 0.9)]) == {"I01_01_9": ("no_flicker",), "I01_01_None": ("slight_flicker",)}


def test_mistakes_are_named() -> None:
    with pytest.raises(PixqError, match="--max-levels is 0"):
        bucket([], max_levels=0)
    with pytest.raises(
        PixqError, match="unknown bucket 'flicker'; choose among no_flicker, same_score, slight_flicker"
    ):
        bucket([], buckets=["slight_flicker", "flicker"])
    with pytest.raises(PixqError, match="no bucket to build"):
        bucket([], buckets=[])


def test_the_small_jianjin008_tree(tmp_path: Path) -> None:
    trees.write_jianjin008(tmp_path)
    pairs = datasets.index("jianjin008", tmp_path).pairs
    levels = Counter(Counter((one.reference_id, one.distortion_type) for one in pairs).values())
    # Groups with 1/2/3/4/5 levels, as the published histogram counts them (711/277/113/3/5 there).
    assert [levels[count] for count in range(1, 6)] == [2, 2, 1, 1, 0]
    result = bucket(pairs)
    # By hand: the singles I01_01 and I100_25, the worse of I01_02, and levels 2 and 3 of I02_03.
    assert [one.image_id for one, _ in result.pairs] == [
        "I01_01_01",
        "I01_02_02",
        "I02_03_02",
        "I02_03_03",
        "I100_25_01",
    ]
    assert result.excluded == {
        "bucket no_flicker not built": 2,
        "bucket same_score not built": 2,
        "more than 3 levels": 4,
    }


PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["I01", "I02"]),
        st.sampled_from(["01", "02"]),
        st.one_of(st.none(), st.integers(1, 5)),
        st.sampled_from([0.7, 0.8, 0.9]),
    ),
    max_size=30,
).map(
    lambda rows: [
        replace(pair(level, quality, kind=kind, reference=reference), image_id=f"image {i}", distorted=f"{i}.png")
        for i, (reference, kind, level, quality) in enumerate(rows)
    ]
)


@settings(deadline=None)
@given(
    PAIRS,
    st.integers(1, 6),
    st.lists(st.sampled_from(BUCKETS), min_size=1, max_size=3, unique=True),
    st.randoms(use_true_random=False),
)
def test_each_image_is_built_or_excluded_once(
    pairs: list[ImagePair], most: int, wanted: list[str], random: Random
) -> None:
    result = bucket(pairs, max_levels=most, buckets=wanted)
    originals = [one.image_id for one, _ in result.pairs if one.blend_with is None]
    assert len(originals) == len(set(originals))
    assert set(originals) <= {one.image_id for one in pairs}
    assert len(originals) + sum(result.excluded.values()) == len(pairs)
    for one, names in result.pairs:
        assert names
        assert set(names) <= set(wanted)
        assert list(names) == sorted(names, key=BUCKETS.index)
        assert one.blend_with is None or names == ("same_score",)
    shuffled = random.sample(pairs, len(pairs))
    assert bucket(shuffled, max_levels=most, buckets=wanted) == result
