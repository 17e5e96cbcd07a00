"""Image metrics where their formulas are least stable: flat, dark, bright and opposite images.

Each is compared with its float64 oracle, stays in its range, doesn't depend on the order of the images if it is
symmetric, and gives its best value, exactly, to identical images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixq import _core
from pixq.distort.apply import synthetic_quality
from pixq.evaluation.baselines import BASELINES, gradient_similarity
from pixq.evaluation.piq_metrics import piq_metric
from pixq.statistics.correlation import LogisticFit, Ranks
from pixq.viewing import ViewingConditions
from support import metric_oracles as oracles

Image = NDArray[np.uint8]
Measure = Callable[[Image, Image], float]


@dataclass(frozen=True)
class Bounds:
    """A metric, its float64 oracle, and what its values are like."""

    measure: Measure
    oracle: Measure
    low: float
    high: float
    best: float
    symmetric: bool = True
    near: float = 1e-9


def of_batch(reference: Image, distorted: Image) -> float:
    """The PSNR of a pair of a batch, whose other pair is another."""
    opposite = 255 - reference
    return float(_core.psnr(np.stack([opposite, reference]), np.stack([reference, distorted]))[1])


def of_patches(reference: Image, distorted: Image) -> float:
    """The PSNR that cutting and fusing measures."""
    size = reference.shape[:2]
    roi = (0, 0, *size)
    _, psnr, _ = _core.fuse_at(reference, distorted, np.array([[0, 0]]), size=size, roi=roi, fusions=[("none", 0.0)])
    return float(psnr[0, 0])


def mse_oracle(reference: Image, distorted: Image) -> float:
    return float(np.mean((reference.astype(np.float64) - distorted) ** 2))


def ssim_oracle(reference: Image, distorted: Image) -> float:
    return float(np.mean(oracles.ssim_oracle(reference.astype(float), distorted.astype(float))))


def quality_oracle(reference: Image, distorted: Image) -> float:
    return 1 / (1 + 10 ** ((30 - oracles.psnr_oracle(reference, distorted)) / 20))


METRICS: dict[str, Bounds] = {
    "psnr": Bounds(BASELINES["psnr"].score, oracles.psnr_oracle, 0, math.inf, math.inf),
    "psnr of a batch": Bounds(of_batch, oracles.psnr_oracle, 0, math.inf, math.inf),
    "psnr of fused patches": Bounds(of_patches, oracles.psnr_oracle, 0, math.inf, math.inf),
    "mse": Bounds(_core.mse, mse_oracle, 0, 255**2, 0),
    "ssim": Bounds(BASELINES["ssim"].score, ssim_oracle, -1, 1, 1),
    "ms_ssim": Bounds(BASELINES["ms_ssim"].score, oracles.ms_ssim_oracle, 0, 1, 1),
    # The paper takes one gradient from the reference and the mean of both, so the order counts.
    "mdsi": Bounds(BASELINES["mdsi"].score, oracles.mdsi_oracle, 0, 1, 0, symmetric=False),
    "gmsd": Bounds(BASELINES["gmsd"].score, oracles.gmsd_oracle, 0, 1, 0),
    "gradient similarity": Bounds(
        lambda r, d: float(gradient_similarity(r[None], d[None])[0]), oracles.gradient_similarity_oracle, 0, 1, 1
    ),
    # Its saliency is a program rather than a formula, so the oracle is piq's in float64.
    "vsi": Bounds(
        BASELINES["vsi"].score,
        lambda r, d: float(piq_metric("vsi")(r[None], d[None], "cpu", ViewingConditions())[0]),
        0,
        1,
        1,
        near=1e-4,
    ),
    # So is phase congruency. Images without structure count as alike.
    "fsim": Bounds(
        BASELINES["fsim"].score,
        lambda r, d: float(np.nan_to_num(piq_metric("fsim")(r[None], d[None], "cpu", ViewingConditions())[0], nan=1)),
        0,
        1,
        1,
    ),
    "haarpsi": Bounds(BASELINES["haarpsi"].score, oracles.haarpsi_oracle, 0, 1, 1),
    "synthetic quality": Bounds(synthetic_quality, quality_oracle, 0, 1, 1),
}


#: These take a fifth of a second per pair.
SLOW = ("ms_ssim", "vsi")


def side_of(metric: str) -> int:
    return 176 if metric == "ms_ssim" else 20


def images(side: int) -> dict[str, Image]:
    """Flat ones of several colours, and noise that barely leaves black or white."""
    rng = np.random.default_rng(8)
    grain = rng.integers(0, 3, (side, side, 3), dtype=np.uint8)
    flat = {
        str(colour): np.full((side, side, 3), colour, np.uint8)
        for colour in (0, 1, 128, 129, 200, 203, 254, 255, (255, 0, 0), (250, 251, 255))
    }
    return flat | {"dark": grain, "bright": 255 - grain, "grain": 128 + grain, "noise": grain * 100}


def test_every_metric_is_here() -> None:
    # Others' programs are tested in test_display_metrics, and visibility in test_visibility.
    own = {name for name, metric in BASELINES.items() if metric.needs in (None, "piq")}
    assert own - {"visibility"} <= METRICS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_flat_dark_bright_and_opposite_images(metric: str) -> None:
    tested, drawn = METRICS[metric], images(side_of(metric))
    names = list(drawn)
    # All pairs of an image and one of the next four, and black with white both ways.
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 : i + 5]] + [("0", "255"), ("255", "0")]
    for a, b in pairs[:: 8 if metric in SLOW else 1] + pairs[-2:]:
        first, second = drawn[a], drawn[b]
        value = tested.measure(first, second)
        assert value == pytest.approx(tested.oracle(first, second), abs=tested.near), (a, b)
        assert tested.low <= value <= tested.high, (a, b)
        if tested.symmetric:
            assert value == tested.measure(second, first), (a, b)


@pytest.mark.parametrize("metric", METRICS)
def test_identical_images_get_exactly_the_best(metric: str) -> None:
    tested = METRICS[metric]
    for name, image in list(images(side_of(metric)).items())[:: 3 if metric in SLOW else 1]:
        assert tested.measure(image, image.copy()) == tested.best, name


@pytest.mark.parametrize("metric", [name for name in METRICS if name not in SLOW])
@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    base=st.tuples(*[st.integers(0, 255)] * 3),
    shift=st.tuples(*[st.integers(-3, 3)] * 3),
    grain=st.integers(0, 2),
)
def test_nearly_flat_images(metric: str, seed: int, base: tuple[int, ...], shift: tuple[int, ...], grain: int) -> None:
    rng, tested = np.random.default_rng(seed), METRICS[metric]
    flat = np.array(base) + rng.integers(-grain, grain + 1, (20, 20, 3))
    first, second = (np.clip(image, 0, 255).astype(np.uint8) for image in (flat, flat + np.array(shift)))
    value = tested.measure(first, second)
    assert value == pytest.approx(tested.oracle(first, second), abs=tested.near)
    assert tested.low <= value <= tested.high
    assert value == tested.best or not np.array_equal(first, second)


@pytest.mark.parametrize("value", [0.1, 1e6, 3e-30])
def test_float_images_without_a_difference_or_variance_have_none(value: float) -> None:
    image = np.full((30, 30), value, np.float32)
    assert _core.psnr(image, image.copy()) == math.inf
    assert _core.mse(image, image.copy()) == 0
    assert np.all(_core.local_variance(image) <= 1e-20 * value**2)
    assert _core.mse(image, np.nextafter(image, np.float32(np.inf))) == pytest.approx(
        float(np.spacing(image[0, 0])) ** 2
    )


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-6, 1.0, 1e6]), slope=st.floats(-3, 3))
def test_correlations_of_lines_are_at_most_1(seed: int, scale: float, slope: float) -> None:
    rng = np.random.default_rng(seed)
    score = scale * rng.normal(size=rng.integers(2, 30))
    weight = rng.integers(0, 4, len(score)).astype(float)
    quality = slope * score + 0.3
    for value in (Ranks(score, quality).srcc(weight), LogisticFit(score, quality).plcc(weight)):
        assert math.isnan(value) or -1 <= value <= 1
