"""Every kernel against its oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixq import _core
from support import oracles
from support.oracles import Array
from support.strategies import ALPHAS, boxes, corner_arrays, image_pairs, pixels, sizes

FUSIONS = ["none", "copy", "blend", "paste"]


def same(found: Array, expected: Array) -> bool:
    """Whether two arrays are equal bit for bit, NaNs and signs of zeros included."""
    return found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()


@given(st.integers(0, 60), st.integers(0, 60), st.data())
def test_grid(height: int, width: int, data: st.DataObject) -> None:
    size, stride = (data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30))) for _ in range(2))
    assert _core.grid(height, width, size=size, stride=stride).tolist() == oracles.grid(height, width, size, stride)
    assert _core.grid(height, width, size=size).tolist() == oracles.grid(height, width, size, size)


@given(image_pairs(), st.data())
def test_tile_on_a_grid_and_at_corners(pair: tuple[Array, Array], data: st.DataObject) -> None:
    image, _ = pair
    height, width = image.shape[:2]
    size = data.draw(sizes(height, width))
    stride = data.draw(sizes(height, width))
    expected = oracles.tile(image, size, oracles.grid(height, width, size, stride))
    assert same(_core.tile(image, size=size, stride=stride), expected)
    coords = data.draw(corner_arrays(height, width, size))
    assert same(_core.tile(image, size=size, coords=coords), oracles.tile(image, size, coords))


@given(image_pairs(batch=True, max_side=12), st.data())
def test_untile(pair: tuple[Array, Array], data: st.DataObject) -> None:
    patches, _ = pair
    height = data.draw(st.integers(patches.shape[1], 30))
    width = data.draw(st.integers(patches.shape[2], 30))
    ys = st.integers(0, height - patches.shape[1])
    xs = st.integers(0, width - patches.shape[2])
    coords = np.array([[data.draw(ys), data.draw(xs)] for _ in patches], np.int64).reshape(-1, 2)
    assert same(_core.untile(patches, coords, height, width), oracles.untile(patches, coords, height, width))
    if patches.shape[3] == 1:
        grey = patches[..., 0]
        assert same(_core.untile(grey, coords, height, width), oracles.untile(grey, coords, height, width))


@given(image_pairs(), st.data())
def test_untile_undoes_tile(pair: tuple[Array, Array], data: st.DataObject) -> None:
    image, _ = pair
    height, width = image.shape[:2]
    size = data.draw(sizes(height, width))
    stride = (data.draw(st.integers(1, size[0])), data.draw(st.integers(1, size[1])))
    coords = _core.grid(height, width, size=size, stride=stride)
    again = _core.untile(_core.tile(image, size=size, stride=stride), coords, height, width)
    bottom, right = coords.max(axis=0) + size  # overlapping or touching patches leave no gaps
    assert same(again[:bottom, :right], np.ascontiguousarray(image[:bottom, :right]))
    assert not again[bottom:].any()
    assert not again[:, right:].any()


@given(image_pairs(batch=None), st.sampled_from(FUSIONS), ALPHAS, st.data())
def test_fuse(pair: tuple[Array, Array], fusion: str, alpha: float, data: st.DataObject) -> None:
    reference, distorted = pair
    size = reference.shape[1:3] if reference.ndim == 4 else reference.shape[:2]
    roi = data.draw(boxes(*size))
    expected = oracles.fuse(reference, distorted, oracles.weights(fusion, alpha, size, roi))
    assert same(_core.fuse(reference, distorted, fusion=fusion, alpha=alpha, roi=roi), expected)


@given(image_pairs(batch=None, max_side=24), st.data())
def test_fuse_with_a_mask(pair: tuple[Array, Array], data: st.DataObject) -> None:
    reference, distorted = pair
    size = reference.shape[1:3] if reference.ndim == 4 else reference.shape[:2]
    mask = draw_masks(data, size, min_size=1)[0]
    assert same(_core.fuse(reference, distorted, mask=mask), oracles.fuse(reference, distorted, mask))


def draw_masks(data: st.DataObject, size: tuple[int, int], min_size: int = 0) -> list[Array]:
    """Weights with many 0, 0.5 and 1, in either order of memory."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    masks = []
    for fortran in data.draw(st.lists(st.booleans(), min_size=min_size, max_size=3)):
        mask = np.where(rng.random(size) < 0.4, rng.choice([0.0, 0.5, 1.0], size), rng.random(size))
        masks.append(np.asfortranarray(mask) if fortran else mask)
    return masks


def test_every_pair_of_bytes_at_many_alphas() -> None:
    reference, distorted = (plane.astype(np.uint8) for plane in np.meshgrid(np.arange(256), np.arange(256)))
    whole = (0, 0, 256, 256)
    for alpha in [0.5, 0.1, 0.2, 0.3, 0.7, 0.9, 1 / 3, 2 / 3, 1 / 255, *np.random.default_rng(0).random(20)]:
        expected = np.floor(alpha * reference + (1 - alpha) * distorted + 0.5).astype(np.uint8)
        assert same(_core.fuse(reference, distorted, fusion="blend", alpha=float(alpha), roi=whole), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_default_geometry_is_the_general_one(dtype: str) -> None:
    # 20x20 RGB with the default RoI has code of its own; a batch that holds it in a larger patch has not.
    rng = np.random.default_rng(3)
    pair = [(rng.random((4, 20, 20, 3)) * (1 if dtype == "float32" else 255)).astype(dtype) for _ in range(2)]
    wide = [np.concatenate([a, a], axis=2) for a in pair]
    for fusion in FUSIONS:
        for alpha in (0.5, 0.3):
            options = {"fusion": fusion, "alpha": alpha}
            narrow = _core.fuse(*pair, **options)
            expected = _core.fuse(*wide, roi=(4, 4, 12, 12), **options)[:, :, :20]
            assert same(narrow, np.ascontiguousarray(expected))


@given(image_pairs(batch=True, max_side=22), st.data())
def test_fuse_rows(pair: tuple[Array, Array], data: st.DataObject) -> None:
    reference, distorted = pair
    distorted = distorted[: data.draw(st.integers(0, len(distorted)))]
    count = data.draw(st.integers(0, 8)) if len(distorted) else 0
    rows = [
        np.array([data.draw(st.integers(0, len(array) - 1)) for _ in range(count)], np.int64)
        for array in (reference, distorted)
    ]
    size = reference.shape[1:3]
    fusions = data.draw(st.lists(st.tuples(st.sampled_from(FUSIONS), ALPHAS), max_size=4))
    masks = draw_masks(data, size, min_size=0 if fusions else 1)
    total = len(fusions) + len(masks)
    which = np.array([data.draw(st.integers(0, total - 1)) for _ in range(count)], np.uint8)
    roi = data.draw(boxes(*size))
    found = _core.fuse_rows(reference, distorted, *rows, fusions=fusions, masks=masks, which=which, roi=roi)
    weights = [oracles.weights(*fusion, size, roi) for fusion in fusions] + masks
    expected = [oracles.fuse(reference[r], distorted[d], weights[k]) for r, d, k in zip(*rows, which, strict=True)]
    assert same(found, np.stack(expected) if expected else np.empty((0, *reference.shape[1:]), reference.dtype))
    first = _core.fuse_rows(reference, distorted, *rows, fusions=fusions, masks=masks, roi=roi)
    zeros = np.zeros_like(which)
    again = _core.fuse_rows(reference, distorted, *rows, fusions=fusions, masks=masks, which=zeros, roi=roi)
    assert same(first, again)


@given(image_pairs(min_side=1, max_side=48), st.booleans(), st.data())
def test_fuse_at_is_tile_fuse_and_psnr(pair: tuple[Array, Array], default: bool, data: st.DataObject) -> None:
    reference, distorted = pair
    height, width = reference.shape[:2]
    if default and min(height, width) >= 20:
        size, roi = (20, 20), (4, 4, 12, 12)
    else:
        size = data.draw(sizes(height, width))
        roi = data.draw(boxes(*size))
    coords = data.draw(corner_arrays(height, width, size))
    fusions = data.draw(st.lists(st.tuples(st.sampled_from(FUSIONS), ALPHAS), max_size=4))
    masks = draw_masks(data, size)
    fused, psnr, psnr_roi = _core.fuse_at(
        reference, distorted, coords, size=size, roi=roi, fusions=fusions, masks=masks
    )
    assert len(fused) == len(fusions) + len(masks)
    assert psnr.shape == psnr_roi.shape == (len(fused), len(coords))
    cut_reference, cut_distorted = (oracles.tile(image, size, coords) for image in (reference, distorted))
    y, x, h, w = roi
    for k, mask in enumerate([oracles.weights(*fusion, size, roi) for fusion in fusions] + masks):
        expected = [oracles.fuse(r, d, mask) for r, d in zip(cut_reference, cut_distorted, strict=True)]
        assert same(fused[k], np.stack(expected) if expected else cut_reference)
        for i, (clean, patch) in enumerate(zip(cut_reference, expected, strict=True)):
            inside = np.s_[y : y + h, x : x + w]
            assert psnr[k, i] == pytest.approx(oracles.psnr(clean, patch), rel=1e-12, abs=1e-12)
            assert psnr_roi[k, i] == pytest.approx(oracles.psnr(clean[inside], patch[inside]), rel=1e-12, abs=1e-12)
    batches = [_core.psnr(cut_reference.reshape(-1, *size, 3), f) for f in fused if f.ndim == 4 and f.shape[3] == 3]
    assert all(same(found, psnr[k]) for k, found in enumerate(batches))


@given(st.integers(20, 64), st.integers(20, 64), st.sampled_from([1, -1]), st.integers(0, 3), st.integers(0, 2**32))
def test_the_default_pass_over_every_place(height: int, width: int, step: int, gap: int, seed: int) -> None:
    # Copy and blend of 20x20 RGB bytes have a sweep of their own, which reads past the rows of a patch where it can.
    rng = np.random.default_rng(seed)
    reference, distorted = (pixels(rng, (height, width + gap, 3), "uint8")[::step, gap:] for _ in range(2))
    coords = _core.grid(height, width, stride=(max(1, (height - 20) // 3), max(1, width - 20)))
    coords = np.concatenate([coords, [[height - 20, width - 20], [0, width - 20], [0, 0]]])
    check_default_pass(reference, distorted, coords)


def test_the_default_pass_over_a_large_image() -> None:
    # More than 8 MB of output is made in the cache and copied out.
    rng = np.random.default_rng(1)
    reference, distorted = (rng.integers(0, 256, (1200, 1640, 3), np.uint8) for _ in range(2))
    coords = _core.grid(1200, 1640)
    assert 2 * 1200 * len(coords) > 8 << 20
    check_default_pass(reference, distorted, coords)


def check_default_pass(reference: Array, distorted: Array, coords: Array) -> None:
    fused, psnr, psnr_roi = _core.fuse_at(reference, distorted, coords)
    clean, other = oracles.tile(reference, (20, 20), coords), oracles.tile(distorted, (20, 20), coords)
    for k, (name, alpha) in enumerate((("copy", 0.5), ("blend", 0.5))):
        expected = oracles.fuse(clean, other, oracles.weights(name, alpha, (20, 20), (4, 4, 12, 12)))
        assert same(fused[k], expected)
        errors = (clean.astype(np.int64) - expected) ** 2
        with np.errstate(divide="ignore"):
            whole = 10 * np.log10(255.0**2 / errors.mean(axis=(1, 2, 3)))
            inside = 10 * np.log10(255.0**2 / errors[:, 4:16, 4:16].mean(axis=(1, 2, 3)))
        assert np.allclose(psnr[k], whole, rtol=1e-13)
        assert np.allclose(psnr_roi[k], inside, rtol=1e-13)


@given(image_pairs(batch=None), st.booleans(), st.sampled_from([None, 0.5, 255.0, 1023.0]), st.data())
def test_mse_and_psnr(pair: tuple[Array, Array], cropped: bool, peak: float | None, data: st.DataObject) -> None:
    reference, distorted = pair
    axes = reference.shape[1:3] if reference.ndim == 4 else reference.shape[:2]
    roi = data.draw(boxes(*axes)) if cropped else None
    y, x, h, w = roi or (0, 0, *axes)
    inside = np.s_[y : y + h, x : x + w]
    found, found_mse = (
        _core.psnr(reference, distorted, roi=roi, data_range=peak),
        _core.mse(reference, distorted, roi=roi),
    )
    if reference.ndim == 4:
        expected = [oracles.psnr(r[inside], d[inside], peak) for r, d in zip(reference, distorted, strict=True)]
        errors = [oracles.mse(r[inside], d[inside]) for r, d in zip(reference, distorted, strict=True)]
        assert found.dtype == found_mse.dtype == np.float64
        assert found.shape == found_mse.shape == (len(reference),)
    else:
        expected, errors = (
            oracles.psnr(reference[inside], distorted[inside], peak),
            oracles.mse(reference[inside], distorted[inside]),
        )
        assert type(found) is type(found_mse) is float
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    if reference.dtype.kind == "u":
        assert np.array_equal(found_mse, errors)  # exact sums, divided once
    else:
        assert found_mse == pytest.approx(errors, rel=1e-12)


@given(image_pairs(batch=None))
def test_psnr_is_symmetric_and_infinite_for_the_same(pair: tuple[Array, Array]) -> None:
    reference, distorted = pair
    assert np.array_equal(_core.psnr(reference, distorted), _core.psnr(distorted, reference))
    assert np.all(np.asarray(_core.psnr(reference, np.array(reference))) == np.inf)


def test_psnr_by_hand() -> None:
    # One step of 5 in 4 samples: mse = 25 / 4; 10 log10(255^2 * 4 / 25) = 10 log10(10404), by Python's decimal.
    reference = np.zeros((2, 2), np.uint8)
    distorted = np.array([[0, 5], [0, 0]], np.uint8)
    assert _core.mse(reference, distorted) == 6.25
    assert _core.psnr(reference, distorted) == pytest.approx(40.172003435238351, abs=1e-13)
    # Black against white: the error is the range itself, 10 log10(1) = 0.
    for dtype, white in (("uint8", 255), ("uint16", 65535), ("float32", 1)):
        assert _core.psnr(np.zeros((3, 5), dtype), np.full((3, 5), white, dtype)) == 0.0
    # A tenth of the range everywhere: 10 log10(100) = 20.
    assert _core.psnr(np.zeros((3, 5), np.uint16), np.full((3, 5), 10, np.uint16), data_range=100) == 20.0
    # A blend of 100 and 110 is 105 in 12x12 of 20x20: mse = (256 * 100 + 144 * 25) / 400 = 73, and 25 inside.
    pair = np.full((20, 20), 100, np.uint8), np.full((20, 20), 110, np.uint8)
    _, psnr, inside = _core.fuse_at(*pair, np.zeros((1, 2), np.int64), fusions=[("blend", 0.5)])
    # 10 log10(65025 / 73) and 10 log10(65025 / 25), to 30 digits with Python's decimal and cut.
    assert psnr[0, 0] == pytest.approx(29.497575007474544, abs=1e-13)
    assert inside[0, 0] == pytest.approx(34.151403521958727, abs=1e-13)


def test_sums_do_not_overflow() -> None:
    # 2^17 samples of 65535^2 pass 2^49, and 2^17 of 255^2 pass 2^32, in one row.
    for dtype, white in (("uint8", 255), ("uint16", 65535)):
        black = np.zeros((1, 1 << 17), dtype)
        assert _core.mse(black, np.full_like(black, white)) == float(white) ** 2


@given(image_pairs(max_side=30), st.data())
def test_local_variance(pair: tuple[Array, Array], data: st.DataObject) -> None:
    image, _ = pair
    size = data.draw(sizes(*image.shape[:2]))
    found, expected = _core.local_variance(image, size=size), oracles.local_variance(image, size)
    assert found.shape == expected.shape
    spread = np.abs(image.astype(np.float64)).max() ** 2
    assert np.all(np.abs(found - expected) <= 1e-12 * spread)
    assert np.all(found >= 0)


def test_local_variance_is_exact_and_does_not_drift() -> None:
    # A box of w columns of 0 and 1 by turns has variance 1/4, whatever lies far to the left of it.
    image = np.zeros((8, 4000), np.float32)
    image[:, :100] = 3e7
    image[:, 101::2] = 1
    assert np.all(_core.local_variance(image, size=(8, 10))[:, 100:] == 0.25)
    assert np.all(_core.local_variance(np.full((40, 40, 3), 1 / 3, np.float32)) == 0)
    for dtype in ("uint8", "uint16"):
        top = np.iinfo(dtype).max
        image = np.full((300, 300), top, dtype)
        image[:, ::2] = 0
        # Half 0 and half m: the variance is m^2 / 4, with sums that pass 2^32 for both types.
        assert np.all(_core.local_variance(image, size=300) == float(top) ** 2 / 4)


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.floats(0, 1), st.integers(0, 8), st.data())
def test_feather_mask(
    height: int, width: int, inside: float, outside: float, feather: int, data: st.DataObject
) -> None:
    roi = data.draw(boxes(height, width))
    found = _core.feather_mask(height, width, roi=roi, feather=feather, inside=inside, outside=outside)
    expected = oracles.feather_mask(height, width, roi, feather, inside, outside)
    assert found == pytest.approx(expected, abs=1e-15)
    assert np.all(found[roi[0] : roi[0] + roi[2], roi[1] : roi[1] + roi[3]] == inside)
    if feather == 0:
        assert set(found.ravel()) <= {inside, outside}


def test_masks_alone_are_all_the_fusions() -> None:
    rng = np.random.default_rng(0)
    reference, distorted = (rng.integers(0, 256, (40, 60, 3), np.uint8) for _ in range(2))
    masks = [_core.feather_mask(20, 20, roi=(4, 4, 12, 12), feather=n) for n in (3, 0)]
    coords = _core.grid(40, 60)
    fused, _, psnr_roi = _core.fuse_at(reference, distorted, coords, masks=masks)
    clean, other = (_core.tile(image) for image in (reference, distorted))
    assert [same(found, oracles.fuse(clean, other, mask)) for found, mask in zip(fused, masks, strict=True)] == [
        True
    ] * 2
    assert np.all(psnr_roi == np.inf)  # either mask is 1 in the whole RoI
    rows = np.arange(len(coords))
    assert same(_core.fuse_rows(clean, other, rows, rows, masks=masks), fused[0])
    second = np.ones(len(coords), np.uint8)
    assert same(_core.fuse_rows(clean, other, rows, rows, masks=masks, which=second), fused[1])
    assert same(_core.fuse_at(reference, distorted, coords)[0][0], fused[1])  # a hard edge is a copy


def test_feathered_fusion_of_the_same_image_is_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)
    mask = _core.feather_mask(20, 20, roi=(4, 4, 12, 12), feather=3)
    assert same(_core.fuse(image, image, mask=mask), image)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_extreme_alphas_copy_floats_exactly(fusion: str) -> None:
    odd = np.array([[np.nan, np.inf, -0.0, 1e-45]], np.float32)
    other = np.array([[0.0, -np.inf, np.nan, 3.0]], np.float32)
    whole = (0, 0, 1, 4)
    at_0 = _core.fuse(odd, other, fusion=fusion, alpha=0.0, roi=whole)
    at_1 = _core.fuse(odd, other, fusion=fusion, alpha=1.0, roi=whole)
    assert same(at_0, odd if fusion == "copy" else other)
    assert same(at_1, odd if fusion in ("copy", "blend") else other)
    assert same(_core.fuse(odd, other, mask=np.array([[0.0, 1.0, 0.0, 1.0]])), np.where([[0, 1, 0, 1]], odd, other))


@pytest.mark.slow
def test_real_images_have_the_psnr_of_pillow_and_numpy(data_dir: Path) -> None:
    from PIL import Image

    root = data_dir / "tid2013"
    references = {
        path.stem.lower(): np.asarray(Image.open(path).convert("RGB")) for path in (root / "reference_images").iterdir()
    }
    files = sorted((root / "distorted_images").iterdir())
    assert len(files) == 300
    for path in files:
        reference = references[path.name[:3].lower()]
        distorted = np.asarray(Image.open(path).convert("RGB"))
        error = np.mean((reference.astype(np.float64) - distorted) ** 2)
        assert abs(_core.psnr(reference, distorted) - 10 * np.log10(255**2 / error)) < 1e-9
