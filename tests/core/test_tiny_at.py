"""Scores of patches where they lie in images, against those of the patches cut out: the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq import _core
from pixq.scoring.grid import Grid
from support.oracles import Array
from support.strategies import KINDS, strided

COUNTS = {True: 4417, False: 4321}


def network(seed: int, norm: bool) -> dict[str, Any]:
    """Parameters at which outputs differ from pixel to pixel, and about half of them are cut at 0."""
    rng = np.random.default_rng(seed)
    return {
        "parameters": rng.uniform(-0.3, 0.3, COUNTS[norm]).astype(np.float32),
        "norm": norm,
        "scale": (rng.uniform(0.5, 2, 9) / 128).astype(np.float32),
        "shift": rng.uniform(-1.5, 0.5, 9).astype(np.float32),
    }


def draw(seed: int, height: int, width: int) -> list[Array]:
    """A pair of images that differ by noise, a part of which is flat."""
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, (height, width, 3))
    reference[: height // 3] = 128
    distorted = np.clip(reference + rng.normal(0, 20, reference.shape), 0, 255)
    return [reference.astype(np.uint8), distorted.astype(np.uint8)]


def cut(pair: list[Array], coords: Array, size: Any, model: dict[str, Any]) -> Array:
    """Scores of the patches that `tile` cuts."""
    out = np.full(len(coords), np.nan, np.float32)
    model = dict(model)
    patches = [_core.tile(image, size=size, coords=coords) for image in pair]
    _core.tiny_score(model.pop("parameters"), *patches, **model, out=out)
    return out


def at(pair: list[Array], coords: Array, size: Any, model: dict[str, Any]) -> Array:
    """Scores of the patches where they lie."""
    out = np.full(len(coords), np.nan, np.float32)
    model = dict(model)
    weights = np.zeros_like(out)
    options = {"norm": model.pop("norm")}
    parameters = model.pop("parameters")
    _core.score_at("tiny", parameters, *pair, coords, size=size, options=options, **model, scores=out, weights=weights)
    assert (weights == 1).all()
    return out


def check(pair: list[Array], coords: Array, size: Any, model: dict[str, Any]) -> None:
    """Compare the bits of scores."""
    found, expected = at(pair, coords, size, model), cut(pair, coords, size, model)
    assert found.tobytes() == expected.tobytes()
    # Lest patches that are all alike prove nothing.
    if len({(y, x) for y, x in coords.tolist() if y > pair[0].shape[0] // 3}) > 1:
        assert len(set(found.tolist())) > 1


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("stride", [1, 3, 7, 10, 20])
def test_a_grid(norm: bool, stride: int) -> None:
    height, width = (61, 83) if stride == 1 else (203, 187)
    corners = Grid(height, width, 20, stride).corners
    check(draw(stride, height, width), corners, 20, network(1, norm))
    shuffled = np.random.default_rng(0).permutation(np.concatenate([corners, corners[::5]]))
    check(draw(stride, height, width), shuffled, 20, network(1, norm))


@st.composite
def corner_sets(draw: st.DrawFn, height: int, width: int) -> Array:
    """Corners up to (`height`, `width`): some anywhere, some close together, some twice, in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    anywhere = rng.integers(0, (height + 1, width + 1), (draw(st.integers(0, 12)), 2))
    spread = draw(st.integers(1, 30))
    near = rng.integers(0, (height + 1, width + 1)) + rng.integers(0, spread, (draw(st.integers(0, 60)), 2))
    coords = np.concatenate([anywhere, np.minimum(near, (height, width))])
    again = coords[rng.integers(0, len(coords), len(coords) // 4)] if len(coords) else coords
    return rng.permutation(np.concatenate([coords, again])).astype(np.int64)


@pytest.mark.usefixtures("restore_threads")
@given(
    norm=st.booleans(),
    size=st.tuples(st.integers(5, 44), st.integers(5, 44)),
    more=st.tuples(st.integers(0, 150), st.integers(0, 150)),
    seed=st.integers(0, 999),
    kinds=st.tuples(KINDS, KINDS),
    threads=st.integers(1, 3),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_any_corners(
    norm: bool,
    size: tuple[int, int],
    more: tuple[int, int],
    seed: int,
    kinds: tuple[str, str],
    threads: int,
    data: st.DataObject,
) -> None:
    rng = np.random.default_rng(seed)
    packed = draw(seed, size[0] + more[0], size[1] + more[1])
    pair = [strided(rng, image, 1, (kind,)) for image, kind in zip(packed, kinds, strict=True)]
    coords = data.draw(corner_sets(*more))
    _core.set_num_threads(threads)
    check(pair, coords, size, network(seed, norm))


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("norm", [True, False])
def test_the_number_of_threads_changes_no_bit(norm: bool) -> None:
    pair, corners = draw(5, 300, 310), Grid(300, 310).corners
    seen = []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        seen.append(at(pair, corners, 20, network(2, norm)).tobytes())
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("norm", [True, False])
def test_other_strides_of_memory(norm: bool) -> None:
    wide = draw(4, 130, 95)
    pair = [image[::-2, 3:90] for image in wide]
    assert not any(image.flags.c_contiguous for image in pair)
    corners = Grid(65, 87, 20, 5).corners
    # A broadcast image has a row stride of 0, corners may be any view, and what is read-only is taken.
    coords = np.asfortranarray(corners)[::-1]
    for given_pair in (pair, [np.broadcast_to(image[:1], image.shape) for image in pair]):
        check(given_pair, coords, (20, 20), network(3, norm))


def test_infinities_are_where_they_were() -> None:
    # One bright pixel, at which the first layer overflows, and no weight that is negative. The third layer takes rows
    # in pairs, each with the other's weights as 0, and 0 times infinity is no number: which rows are a pair shows.
    model = network(1, norm=False)
    model |= {"parameters": np.abs(model["parameters"]), "scale": [1e36] * 9, "shift": [0.0] * 9}
    image = np.zeros((90, 91, 3), np.uint8)
    image[43, 44] = 255
    corners = Grid(90, 91, 20, 1).corners
    for size in (20, 19):
        found, expected = (of([image, image], corners, size, model) for of in (at, cut))
        assert np.array_equal(found, expected, equal_nan=True)
        assert np.isnan(found).any()
        assert np.isfinite(found).any()
        # The last row of a patch whose rows are not all in pairs is multiplied by no such 0.
        assert np.isinf(found).any() == (size == 19)


@pytest.mark.parametrize("norm", [True, False])
def test_a_parameter_that_is_no_number_shows(norm: bool) -> None:
    model = network(1, norm)
    model["parameters"][3300] = np.nan
    pair, corners = draw(1, 90, 90), Grid(90, 90, 20, 5).corners
    assert np.isnan(at(pair, corners, 20, model)).all()


P, IMAGE, OUT = np.zeros(4417, np.float32), np.zeros((40, 50, 3), np.uint8), np.zeros(2, np.float32)
COORDS = np.array([[0, 0], [20, 30]])
WEIGHTS = np.zeros(2, np.float32)
LOCKED = np.zeros(2, np.float32)
LOCKED.flags.writeable = False
BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "too few": (
        {"parameters": P[:4321]},
        ValueError,
        "'parameters' has shape (4321,); expected (4417,): the parameters of a model with these options",
    ),
    "16 bits": (
        {"reference": IMAGE.astype(np.uint16), "distorted": IMAGE.astype(np.uint16)},
        TypeError,
        "'reference' has dtype uint16; expected uint8",
    ),
    "two dtypes": (
        {"distorted": IMAGE.astype(np.uint16)},
        TypeError,
        "'distorted' has dtype uint16 but 'reference' has uint8; make them the same",
    ),
    "shapes": (
        {"distorted": IMAGE[1:]},
        ValueError,
        "'distorted' has shape (39, 50, 3) but 'reference' has (40, 50, 3); make them the same",
    ),
    "patches": (
        {"reference": IMAGE[None], "distorted": IMAGE[None]},
        ValueError,
        "'reference' has shape (1, 40, 50, 3); expected (height, width, 3)",
    ),
    "grey": (
        {"reference": IMAGE[..., :1], "distorted": IMAGE[..., :1]},
        ValueError,
        "'reference' has shape (40, 50, 1); expected (height, width, 3)",
    ),
    "BGR": (
        {"reference": IMAGE[..., ::-1]},
        ValueError,
        "'reference' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray(...)",
    ),
    "outside": (
        {"coords": COORDS + np.array([1, 0])},
        ValueError,
        "the patch (y=21, x=30, height=20, width=20) does not lie inside 40x50",
    ),
    "negative": (
        {"coords": COORDS - np.array([0, 1])},
        ValueError,
        "the patch at (y=0, x=-1) does not lie inside the image",
    ),
    "int32": (
        {"coords": COORDS.astype(np.int32)},
        TypeError,
        "'coords' has dtype int32 and shape (2, 2); expected an int64 array of shape (n, 2), the y and x of each patch",
    ),
    "small": ({"size": (4, 20)}, ValueError, "the patch size is 4x20; expected at least 5x5"),
    "half a size": (
        {"size": 20.5},
        TypeError,
        "'size' is a float; expected a whole number, or (rows, columns), from 1 to 2147483647",
    ),
    "large": (
        {"size": 41, "coords": COORDS[:1], "scores": OUT[:1]},
        ValueError,
        "the patch (y=0, x=0, height=41, width=41) does not lie inside 40x50",
    ),
    "eight numbers": (
        {"scale": [1.0] * 8},
        ValueError,
        "'scale' has length 8; expected nine numbers: three each for reference, distorted and difference",
    ),
    "short out": (
        {"scores": OUT[:1]},
        ValueError,
        "'scores' has shape (1,); expected (2,): one score per patch and member",
    ),
    "every other out": (
        {"scores": np.zeros(4, np.float32)[::2]},
        ValueError,
        "'scores' is not contiguous; pass numpy.ascontiguousarray(...)",
    ),
    "read-only out": ({"scores": LOCKED}, ValueError, "'scores' is read-only; pass a writable array"),
    "double out": (
        {"scores": OUT.astype(float)},
        TypeError,
        "'scores' has dtype float64 and shape (2,); expected a float32 array of shape (n,)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case: str) -> None:
    wrong, kind, message = BAD[case]
    arguments: dict[str, Any] = {
        "parameters": P,
        "reference": IMAGE,
        "distorted": IMAGE,
        "coords": COORDS,
        "options": {"norm": True},
        "scale": [1.0] * 9,
        "shift": [0.0] * 9,
        "scores": OUT,
        "weights": WEIGHTS,
    }
    positional = ("parameters", "reference", "distorted", "coords")
    with pytest.raises(kind) as error:
        call({**arguments, **wrong}, positional)
    assert str(error.value) == message
    call(arguments, positional)  # which is lawful otherwise


def call(arguments: dict[str, Any], positional: tuple[str, ...]) -> None:
    """Score with these arguments."""
    given = [arguments[name] for name in positional]
    _core.score_at("tiny", *given, **{name: value for name, value in arguments.items() if name not in positional})


def test_a_model_that_the_core_does_not_compute_is_refused() -> None:
    with pytest.raises(ValueError, match='the model is "residual"; expected one that the core computes'):
        _core.score_at(
            *("residual", P, IMAGE, IMAGE, COORDS),
            options={},
            scale=[1.0] * 9,
            shift=[0.0] * 9,
            scores=OUT,
            weights=WEIGHTS,
        )


def test_what_does_not_fit_memory_is_refused() -> None:
    size = (2**31 - 1, 2**16)
    image = np.broadcast_to(np.zeros((1, size[1], 3), np.uint8), (*size, 3))
    with pytest.raises(MemoryError, match="do not fit in memory"):
        _core.score_at(
            *("tiny", P, image, image, COORDS[:1]),
            size=size,
            options={"norm": True},
            scale=[1.0] * 9,
            shift=[0.0] * 9,
            scores=OUT[:1],
            weights=WEIGHTS[:1],
        )
