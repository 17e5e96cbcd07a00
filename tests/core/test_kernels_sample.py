"""The samplers against the algorithms that their documentation names, in Python's whole numbers."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pixq import _core
from support import oracles


def splitmix(seed: int, key: str) -> Any:
    """The documented generator, in Python's whole numbers."""
    mask = 2**64 - 1
    state = int.from_bytes(hashlib.sha256(seed.to_bytes(8, "little") + key.encode()).digest()[:8], "little")
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


SEEDS = st.integers(0, 2**64 - 1)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 40), SEEDS, st.text(max_size=5), st.data())
def test_random_is_the_documented_algorithm(
    height: int, width: int, n: int, seed: int, key: str, data: st.DataObject
) -> None:
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    corners = oracles.grid(height, width, size, (1, 1))
    draws = splitmix(seed, key)
    chosen: set[int] = set()
    for last in range(max(len(corners) - n, 0), len(corners)) if n < len(corners) else ():
        draw = next(draws)
        while draw >= 2**64 - 2**64 % (last + 1):
            draw = next(draws)
        position = draw % (last + 1)
        chosen.add(last if position in chosen else position)
    expected = [corners[i] for i in sorted(chosen)] if n < len(corners) else corners
    assert _core.sample_random(height, width, n, seed=seed, key=key, size=size).tolist() == expected


@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 40), SEEDS, st.booleans(), st.data())
def test_texture_is_the_documented_algorithm(
    height: int, width: int, n: int, seed: int, flat: bool, data: st.DataObject
) -> None:
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if flat:
        image[:, : width // 2 + 1] = 9
    corners = oracles.grid(height, width, size, (1, 1))
    keys = []
    for (y, x), variance, draw in zip(corners, _core.local_variance(image, size=size).ravel(), splitmix(seed, "k")):  # noqa: B905
        u = ((draw >> 11) + 1) / 2**53
        keys.append((variance == 0, -math.log(u) / (variance or 1.0), [y, x]))
    expected = sorted(corner for _, _, corner in sorted(keys)[:n])
    assert _core.sample_texture(image, n, seed=seed, key="k", size=size).tolist() == expected


def test_samplers_choose_as_often_as_they_should() -> None:
    # 4 of 12 positions, 6000 times: each is expected 2000 times with a deviation of 37; 6 of them are allowed.
    counts = np.zeros(12)
    for seed in range(6000):
        for y, x in _core.sample_random(3, 4, 4, seed=seed, key="I01", size=1):
            counts[4 * y + x] += 1
    assert np.all(np.abs(counts - 2000) < 6 * 37)
    # One of three columns pairs with variances 1 : 4 : 0 (differences of 2, 4 and 0): 1200 : 4800 : 0 of 6000.
    image = np.array([[0, 2, 2, 2, 6]], np.uint8)  # boxes of two columns: variances 1, 0, 0, 4
    chosen = [_core.sample_texture(image, 1, seed=seed, key="", size=(1, 2))[0, 1] for seed in range(6000)]
    counts = np.bincount(chosen, minlength=4).astype(float)
    assert counts[1] == counts[2] == 0
    assert abs(counts[0] - 1200) < 6 * 31
    # When the others have run out, each of the flat ones is as likely: 3000 : 3000.
    chosen = [tuple(_core.sample_texture(image, 3, seed=s, key="", size=(1, 2))[:, 1]) for s in range(6000)]
    assert set(chosen) == {(0, 1, 3), (0, 2, 3)}
    assert abs(chosen.count((0, 1, 3)) - 3000) < 6 * 39


def test_samples_depend_on_seed_and_key_alone() -> None:
    def sample(seed: int, key: str) -> list[Any]:
        return _core.sample_random(200, 200, 50, seed=seed, key=key).tolist()

    first = sample(1, "I01")
    assert sample(2, "I01") != first != sample(1, "I02")
    assert sample(1, "I01") == first
    assert first == sorted(first)
    assert len({tuple(corner) for corner in first}) == 50
