"""Visibility: Rust against NumPy, and what anybody would expect of a number that says whether people notice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq import PixqError, _core
from pixq.viewing import ViewingConditions
from pixq.visibility import (
    NOTICED,
    SENSITIVITY,
    VISIBILITY_CUTS,
    Visibility,
    jnd_noticed_by,
    measure_patches,
    measure_visibility,
    notice_probability,
)
from support.visibility_oracle import visible_differences

VIEWING: dict[str, Any] = {"pixels_per_degree": 40, "peak_luminance": 200, "black_luminance": 0.6}
RNG = np.random.default_rng(16)


def photograph(height: int = 120, width: int = 160) -> np.ndarray[Any, Any]:
    """Smooth on the left, and rough on the right."""
    across = np.linspace(0, 1, width)
    noise = RNG.normal(0, 1, (height, width, 1)) * (across[None, :, None] > 0.5) * 25
    return np.clip(110 + 40 * np.sin(3 * across)[None, :, None] + noise, 0, 255).repeat(3, axis=2).astype(np.uint8)


def spot(image: np.ndarray[Any, Any], y: int, x: int, by: int) -> np.ndarray[Any, Any]:
    changed = image.copy()
    changed[y : y + 8, x : x + 8] += np.uint8(by)
    return changed


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32), st.sampled_from([4, 40, 255]), st.floats(15, 90),
    st.sampled_from([(100.0, 0.5), (1000.0, 3.0), (2.0, 0.01)]), st.integers(3, 30),
)  # fmt: skip
def test_rust_is_numpy(
    height: int, width: int, seed: int, strength: int, ppd: float, lights: tuple[float, float], size: int
) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, (height, width, 3), np.uint8)
    change = rng.integers(-strength, strength + 1, reference.shape)
    distorted = np.clip(reference + change, 0, 255).astype(np.uint8)
    found = _core.visible_differences(
        reference, distorted, size=size, pixels_per_degree=ppd, peak_luminance=lights[0], black_luminance=lights[1]
    )
    expected = visible_differences(reference, distorted, ppd=ppd, white=lights[0], black=lights[1], size=size)
    for name, one, other in zip(("energy", "colour", "structure"), found, expected, strict=True):
        assert one.shape == other.shape
        # Sensitivities come from a table with eight entries to the octave.
        np.testing.assert_allclose(one, other, rtol=0.01, atol=1e-6 * (1 + other.max()), err_msg=name)


@pytest.mark.parametrize("shape", [(1, 1), (2, 31), (47, 61)])
def test_identical_images_have_0_jnd_and_places_may_change(shape: tuple[int, int]) -> None:
    one, other = RNG.integers(0, 256, (2, *shape, 3), np.uint8)
    same = measure_visibility(one, one)
    assert (same.jnd, same.p_notice) == (0, 0)
    assert not same.map.any()
    there, back = measure_visibility(one, other), measure_visibility(other, one)
    assert there.jnd == back.jnd > 0
    np.testing.assert_array_equal(there.map, back.map)
    assert there.map.shape == (-(-shape[0] // 20), -(-shape[1] // 20))


def test_views_of_any_strides_are_read() -> None:
    one, other = photograph(), photograph()
    turned = measure_visibility(one[::-1, ::2], other[::-1, ::2])
    assert turned.jnd == measure_visibility(one[::-1, ::2].copy(), other[::-1, ::2].copy()).jnd


def test_a_stronger_change_is_more_visible_and_texture_hides_it() -> None:
    image = photograph()
    jnd = [measure_visibility(image, spot(image, 46, 26, by)).jnd for by in (1, 2, 4, 8, 16)]
    assert jnd == sorted(jnd)
    smooth, rough = (measure_visibility(image, spot(image, 46, x, 8)) for x in (26, 126))
    assert smooth.jnd > 2 * rough.jnd
    assert divmod(int(smooth.map.argmax()), 8) == (2, 1)
    assert divmod(int(rough.map.argmax()), 8) == (2, 6)


def test_a_larger_change_is_more_visible_than_each_of_its_parts() -> None:
    image = photograph()
    whole = measure_visibility(image, image + np.uint8(3))
    assert whole.jnd > 1.5 * measure_patches(image[None, :20, :20], image[None, :20, :20] + np.uint8(3))[0]
    assert whole.jnd == whole.map.max()


def test_the_map_says_how_visible_the_change_would_be_if_no_place_had_changed_more() -> None:
    image = photograph()
    both = spot(spot(image, 46, 6, 4), 46, 46, 12)
    weak, strong = (measure_visibility(image, spot(image, 46, x, by)) for x, by in ((6, 4), (46, 12)))
    seen = measure_visibility(image, both)
    assert seen.map[2, 2] == seen.jnd == pytest.approx(strong.jnd, rel=0.02)
    assert weak.jnd < seen.map[2, 0] < 1.3 * weak.jnd, "two places that are both a little changed"
    assert seen.map[5, 7] < 0.01 * seen.jnd


def test_overlapping_patches_count_each_pixel_once_and_bands_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    one = RNG.integers(0, 256, (1300, 60, 3), np.uint8)
    other = np.clip(one + RNG.integers(-20, 21, one.shape), 0, 255).astype(np.uint8)
    ys, xs = np.append(np.arange(0, 1280, 10), 1280), np.arange(0, 50, 10)
    beside, over = measure_visibility(one, other), measure_visibility(one, other, ys=ys, xs=xs)
    assert over.map.shape == (129, 5)
    assert over.jnd == pytest.approx(beside.jnd, rel=0.05)
    # Side by side, the last patches are smaller where the image's sides are no multiples of theirs.
    rest = one[:1293, :51], other[:1293, :51]
    smaller = measure_visibility(*rest)
    monkeypatch.setattr("pixq.visibility._BAND_PIXELS", 1)
    for whole, grid in ((beside, {}), (over, {"ys": ys, "xs": xs})):
        np.testing.assert_array_equal(measure_visibility(one, other, **grid).map, whole.map)
    np.testing.assert_array_equal(measure_visibility(*rest).map, smaller.map)
    assert smaller.map.shape == (65, 3)


def test_a_patch_alone_is_an_image_of_its_own() -> None:
    one, other = RNG.integers(0, 256, (2, 5, 20, 20, 3), np.uint8)
    expected = [measure_visibility(r, d).jnd for r, d in zip(one, other, strict=True)]
    np.testing.assert_allclose(measure_patches(one, other), expected, rtol=1e-12)


def test_the_default_cuts_are_those_of_the_stated_shares() -> None:
    assert [float(notice_probability(-cut)) for cut in VISIBILITY_CUTS] == pytest.approx([NOTICED[1], NOTICED[0]])
    assert jnd_noticed_by(0.5) == 1.0


def test_viewing_conditions_count() -> None:
    image = photograph()
    fine = image.copy()
    fine[::2] += np.uint8(6)

    def jnd(**viewing: Any) -> float:
        return measure_visibility(image, fine, ViewingConditions(**viewing)).jnd

    assert jnd(pixels_per_degree=30.0) > 2 * jnd(pixels_per_degree=90.0), "lines that cannot be resolved"
    assert jnd(peak_luminance=200.0) > jnd(peak_luminance=3.0), "a dark display"
    dark = (image // 8, fine // 8)
    assert (
        measure_visibility(*dark, ViewingConditions(ambient=0.0)).jnd
        > measure_visibility(*dark, ViewingConditions(ambient=20000.0)).jnd
    ), "sunlight on the screen"


def test_flicker_shows_more_and_even_changes_of_three_levels_are_noticed() -> None:
    grey = np.full((384, 512, 3), 128, np.uint8)
    flicker, side = (
        measure_visibility(grey, grey + np.uint8(3), ViewingConditions(task=task))
        for task in ("flicker", "side-by-side")
    )
    assert flicker.jnd / side.jnd == pytest.approx(SENSITIVITY["side-by-side"] / SENSITIVITY["flicker"])
    assert flicker.p_notice > 0.1
    assert (notice_probability(flicker.map) > 0.1).all(), "an even change is noticed everywhere"


def test_half_of_the_people_notice_one_jnd() -> None:
    shares = notice_probability(np.array([0.0, 0.3, 1.0, 3.0, 1e9]))
    assert (np.diff(shares) >= 0).all()
    assert shares[2] == pytest.approx(0.5)
    assert (shares[0], shares[-1]) == (0, 1)
    assert Visibility(1.0, np.zeros((1, 1))).p_notice == pytest.approx(0.5)


def test_the_number_of_threads_changes_no_bit(restore_threads: None) -> None:
    one, other = RNG.integers(0, 256, (2, 403, 500, 3), np.uint8)
    seen = []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        seen.append([values.tobytes() for values in _core.visible_differences(one, other, **VIEWING)])
    assert seen[1:] == seen[:1] * 2


U8 = np.zeros((20, 30, 3), np.uint8)
BAD: dict[str, tuple[tuple[Any, Any], dict[str, Any], type[Exception], str]] = {
    "float": (
        (U8.astype(np.float32), U8.astype(np.float32)),
        {},
        TypeError,
        "'reference' and 'distorted' are not uint8",
    ),
    "grey": ((U8[..., 0], U8[..., 0]), {}, ValueError, "'reference' has shape (20, 30); expected (height, width, 3)"),
    "one of two": ((U8, U8), {"ys": np.zeros(1, np.int64)}, ValueError, "'ys' and 'xs' go together"),
    "outside": (
        (U8, U8),
        {"ys": np.zeros(1, np.int64), "xs": np.array([11])},
        ValueError,
        "a patch (y=0, x=11, height=20, width=20) does not lie inside 20x30",
    ),
    "shapes": ((U8, U8[1:]), {}, ValueError, "'distorted' has shape (19, 30, 3) but 'reference' has (20, 30, 3)"),
    "empty": ((U8[:0], U8[:0]), {}, ValueError, "expected at least 1x1 pixel"),
    "size": ((U8, U8), {"size": 0}, ValueError, "'size' is 0"),
    "ppd": ((U8, U8), {"pixels_per_degree": 0}, ValueError, "expected a number above 0"),
    "peak": ((U8, U8), {"peak_luminance": float("nan")}, ValueError, "expected a number above 0"),
    "black": ((U8, U8), {"black_luminance": "dark"}, TypeError, "'black_luminance' is a str; expected a number"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(case: str) -> None:
    pair, options, error, message = BAD[case]
    with pytest.raises(error) as caught:
        _core.visible_differences(*pair, **{**VIEWING, **options})
    assert message in str(caught.value)


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(PixqError, match=r"unknown task 'blink'; .*choose one of flicker, side-by-side, detection"):
        ViewingConditions(task="blink")  # type: ignore[arg-type]
