"""The model monotone by the core against the torch module: scores, weights, threads, views, messages, the engine."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq import _core
from pixq.errors import PixqError
from pixq.io.progress import ignore_progress
from pixq.models.spec import ModelSpec
from pixq.scoring.core_engine import CORE_BLOCK, CoreEngine, takes
from pixq.scoring.grid import Grid
from support.oracles import Array

torch: Any = pytest.importorskip("torch")
torch.set_num_threads(1)

#: Of members 1, 3 and 8, both poolings, three sizes and both scalings the farthest was 3e-5, at a score of -54.
CLOSE = 1e-4
PATH = Path("model.safetensors")
ORDER = [
    *("context_mean", "context_scale", "distance_scale", "rise", "cost", "look.weight", "look.bias", "modulate"),
    *("bias", "top", "bend_in.weight", "bend_in.bias", "bend_out"),
]
LEARNED = ["weigh_in.weight", "weigh_in.bias", "weigh_out"]


def spec_of(members: int, learned: bool) -> ModelSpec:
    return ModelSpec(name="monotone", members=members, pooling="learned" if learned else "mean")


def draw(seed: int, shape: tuple[int, ...]) -> list[Array]:
    """Images that differ as images do: by noise, a lighter part, and a part that lost its colour; some not at all."""
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, shape).astype(np.float64)
    # Flat, dark and light parts too, where logarithms and quotients are of small numbers.
    reference[: shape[0] // 3] = reference[: shape[0] // 3] * 0.03 + rng.choice([0, 128, 250])
    distorted = reference + rng.normal(0, 1, shape) * rng.choice([0, 2, 30])
    distorted[:, shape[1] // 2 :] += rng.choice([-20, 0, 20])
    distorted[shape[0] // 2 :] = distorted[shape[0] // 2 :].mean(axis=-1, keepdims=True)
    return [np.clip(image, 0, 255).astype(np.uint8) for image in (reference, distorted)]


def model_of(seed: int, members: int, learned: bool, adapted: bool) -> Any:
    """A model all of whose parameters matter: those that training starts at 0 too."""
    from pixq.models import build

    torch.manual_seed(seed)
    model = build(spec_of(members, learned)).eval()
    rng = np.random.default_rng(seed)
    patches = [np.stack(images) for images in zip(*(draw(seed + i, (20, 20, 3)) for i in range(30)), strict=True)]
    with torch.no_grad():
        if adapted:
            # As `pixq adapt` leaves them: other for every channel.
            model.channels.scale.copy_(torch.from_numpy((rng.uniform(0.5, 1.5, 9) / 255).astype(np.float32)))
            model.channels.shift.copy_(torch.from_numpy(rng.uniform(-0.2, 0.2, 9).astype(np.float32)))
        body: Any = model.body
        body.calibrate([model.channels(*map(torch.from_numpy, patches))])
        for name in ("bend_out", "weigh_out") if learned else ("bend_out",):
            getattr(body, name).normal_()
        body.top.normal_(1.5, 0.2)
        body.cost.normal_(-2)
        body.modulate.mul_(10)
    return model


def tensors_of(model: Any) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def flat(model: Any, learned: bool) -> Array:
    """Buffers and parameters, one after the other."""
    tensors = tensors_of(model)
    return np.concatenate([tensors[f"body.{name}"].ravel() for name in [*ORDER, *(LEARNED if learned else [])]])


def scored(model: Any, pair: Iterable[Array], corners: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Scores and weights (n, members) by the core."""
    learned, members = bool(model.body.learned), int(model.body.members)
    raw, weight = (np.full(len(corners) * members, np.nan, np.float32) for _ in range(2))
    _core.score_at(
        "monotone",
        flat(model, learned),
        *pair,
        corners,
        size=size,
        options={"members": members, "learned": learned},
        scale=model.channels.scale.numpy(),
        shift=model.channels.shift.numpy(),
        scores=raw,
        weights=weight,
    )
    return raw.reshape(-1, members), weight.reshape(-1, members)


def by_torch(model: Any, pair: Iterable[Array], corners: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """The same by the torch module, of the patches cut in NumPy."""
    patches = [np.stack([image[y : y + size[0], x : x + size[1]] for y, x in corners.tolist()]) for image in pair]
    with torch.inference_mode():
        found = model.body(model.channels(*map(torch.from_numpy, patches)))
    return found.raw.numpy(), found.weight.numpy()


def same(found: tuple[Array, ...], other: tuple[Array, ...]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(found, other, strict=True))


# Scores.


@pytest.mark.parametrize("size", [(4, 4), (8, 12), (20, 20)])
@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("members", [1, 3, 8])
def test_scores_are_those_of_the_torch_module(
    members: int, learned: bool, adapted: bool, size: tuple[int, int]
) -> None:
    model = model_of(members, members, learned, adapted)
    corners = np.random.default_rng(0).integers(0, (70 - size[0], 90 - size[1]), (150, 2))
    spread = []
    for seed in range(4):
        pair = draw(seed, (70, 90, 3))
        found, expected = scored(model, pair, corners, size), by_torch(model, pair, corners, size)
        for own, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(own, other, rtol=0, atol=CLOSE)
        assert (found[1] == 1).all() or learned
        spread.append(found)
    raw, weight = (np.concatenate(parts) for parts in zip(*spread, strict=True))
    # So far apart that 1e-4 tells them from any others.
    assert (raw.std(axis=0) > 0.1).all()
    assert (weight.std(axis=0) > 0.01).all() or not learned


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 9), st.integers(0, 9), st.integers(0, 999))
def test_any_size(rows: int, columns: int, below: int, right: int, seed: int) -> None:
    size = 4 * rows, 4 * columns
    model, pair = model_of(5, 2, True, True), draw(seed, (size[0] + below, size[1] + right, 3))
    corners = np.array([[0, 0], [below, right], [below // 2, right]])
    for own, other in zip(scored(model, pair, corners, size), by_torch(model, pair, corners, size), strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=CLOSE)


def test_every_parameter_matters() -> None:
    model, pair = model_of(1, 2, True, False), draw(0, (60, 80, 3))
    corners = Grid(60, 80, 20, 7).corners
    before = scored(model, pair, corners, (20, 20))
    for name in [*ORDER, *LEARNED]:
        tensor = model.state_dict()[f"body.{name}"]
        kept = tensor.clone()
        tensor.add_(0.25)
        now = scored(model, pair, corners, (20, 20))
        tensor.copy_(kept)
        changes = [not np.array_equal(a, b) for a, b in zip(before, now, strict=True)]
        of_context = name.startswith("context")
        assert changes == [name not in LEARNED, name in LEARNED or of_context], name
    assert same(before, scored(model, pair, corners, (20, 20)))


def test_flat_and_equal_patches_have_a_score() -> None:
    model = model_of(2, 3, True, False)
    corner = np.array([[0, 0]])
    for low, high in ((0, 0), (255, 255), (0, 255), (255, 0), (77, 77)):
        pair = [np.full((20, 20, 3), value, np.uint8) for value in (low, high)]
        found, expected = scored(model, pair, corner, (20, 20)), by_torch(model, pair, corner, (20, 20))
        for own, other in zip(found, expected, strict=True):
            assert np.isfinite(own).all()
            np.testing.assert_allclose(own, other, rtol=0, atol=CLOSE)


# Bits.


@pytest.mark.usefixtures("restore_threads")
def test_the_number_of_threads_changes_no_bit() -> None:
    model, pair, corners = model_of(3, 3, True, True), draw(1, (200, 250, 3)), Grid(200, 250, 20, 3).corners
    assert len(corners) * 20 * 20 * 6 > 10 * _core.PARALLEL_SAMPLES
    seen = []
    for threads in (1, 2, 3, 7):
        _core.set_num_threads(threads)
        seen.append(scored(model, pair, corners, (20, 20)))
    assert all(same(seen[0], other) for other in seen[1:])


@settings(max_examples=30)
@given(st.lists(st.integers(0, 76), max_size=150))
def test_a_patch_is_scored_the_same_whatever_others_are(chosen: list[int]) -> None:
    model, pair, corners = model_of(4, 3, True, True), draw(2, (80, 90, 3)), Grid(80, 90, 20, 9).corners
    rows = np.array(chosen, np.int64) % len(corners)
    every, some = (scored(model, pair, these, (20, 20)) for these in (corners, corners[rows]))
    assert same(tuple(values[rows] for values in every), some)


def test_rows_may_be_strided_and_reversed() -> None:
    model, corners = model_of(4, 2, False, True), np.array([[0, 0], [1, 7], [5, 20]])
    wide = draw(3, (60, 50, 3))
    for cut in (np.s_[::-2, 4:48], np.s_[::2, 4:48], np.s_[30:60, 4:48]):
        views = [image[cut] for image in wide]
        packed = [np.ascontiguousarray(view) for view in views]
        assert same(*(scored(model, pair, corners, (20, 20)) for pair in (views, packed)))
    mixed = scored(model, [wide[0][::-2, 4:48], np.ascontiguousarray(wide[1][::-2, 4:48])], corners, (20, 20))
    assert same(mixed, scored(model, [image[::-2, 4:48] for image in wide], corners, (20, 20)))


def test_nothing_to_score() -> None:
    raw, weight = scored(model_of(4, 2, True, False), draw(3, (60, 50, 3)), np.empty((0, 2), np.int64), (20, 20))
    assert raw.shape == weight.shape == (0, 2)


# Messages.

P, IMAGE = np.zeros(37 + 1161, np.float32), np.zeros((30, 40, 3), np.uint8)
RAW, WEIGHT = np.zeros((2, 2), np.float32)
LOCKED = np.zeros(2, np.float32)
LOCKED.flags.writeable = False
VECTOR = "expected a float32 array of shape (n,)"
ROOM = "one score per patch and member"
BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "outside": (
        {"coords": np.array([[0, 0], [11, 0]])},
        ValueError,
        "the patch (y=11, x=0, height=20, width=20) does not lie inside 30x40",
    ),
    "above": (
        {"coords": np.array([[0, 0], [-1, 0]])},
        ValueError,
        "the patch at (y=-1, x=0) does not lie inside the image",
    ),
    "corners of floats": ({"coords": np.zeros((2, 2))}, TypeError, "'coords' has dtype float64"),
    "no multiple of 4": (
        {"size": 18},
        ValueError,
        "a patch is 18x18 with 3 channels; expected multiples of 4 pixels a side with 3 channels",
    ),
    "one side no multiple": ({"size": (20, 10)}, ValueError, "a patch is 20x10 with 3 channels; expected multiples"),
    "no size": ({"size": 0}, ValueError, "0"),
    "no members": ({"options": {"members": 0, "learned": 0}}, ValueError, "'members' is 0; expected 1 to 1024"),
    "no option": ({"options": {"members": 1}}, ValueError, "'learned' is missing; expected true or false"),
    "another option": (
        {"options": {"members": 1, "learned": False, "norm": True}},
        ValueError,
        'an option is "norm"; expected one of this model',
    ),
    "option of another type": ({"options": {"members": "one"}}, TypeError, "'str' object"),
    "many members": ({"options": {"members": 1025, "learned": 0}}, ValueError, "'members' is 1025; expected 1 to 1024"),
    "other members": (
        {"options": {"members": 2, "learned": False}},
        ValueError,
        "'parameters' has shape (1198,); expected (2359,): the parameters of a model with these options",
    ),
    "learned": (
        {"options": {"members": 1, "learned": True}},
        ValueError,
        "'parameters' has shape (1198,); expected (1226,): the parameters of a model with these options",
    ),
    "parameters in double": (
        {"parameters": P.astype(float)},
        TypeError,
        f"'parameters' has dtype float64 and shape (1198,); {VECTOR}",
    ),
    "parameters not packed": (
        {"parameters": np.zeros(2 * 1198, np.float32)[::2]},
        ValueError,
        "'parameters' is not contiguous; pass numpy.ascontiguousarray(...)",
    ),
    "float images": (
        {"reference": IMAGE / 1},
        TypeError,
        "'reference' has dtype float64; expected uint8, uint16 or float32",
    ),
    "16 bits": (
        {"reference": IMAGE.astype(np.uint16), "distorted": IMAGE.astype(np.uint16)},
        TypeError,
        "'reference' has dtype uint16; expected uint8",
    ),
    "shapes": (
        {"distorted": IMAGE[:-1]},
        ValueError,
        "'distorted' has shape (29, 40, 3) but 'reference' has (30, 40, 3); make them the same",
    ),
    "grey": (
        {"reference": IMAGE[..., :1], "distorted": IMAGE[..., :1]},
        ValueError,
        "'reference' has shape (30, 40, 1); expected (height, width, 3)",
    ),
    "every other column": (
        {"reference": IMAGE[:, ::2], "distorted": IMAGE[:, ::2]},
        ValueError,
        "'reference' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray(...)",
    ),
    "eight numbers": ({"scale": [1.0] * 8}, ValueError, "'scale' has length 8; expected nine numbers"),
    "a number": ({"shift": 1.0}, TypeError, "'shift' is a float; expected nine numbers"),
    "short scores": ({"scores": RAW[:1]}, ValueError, f"'scores' has shape (1,); expected (2,): {ROOM}"),
    "short weights": (
        {"weights": WEIGHT[:1]},
        ValueError,
        "'weights' has shape (1,); expected (2,): one weight per patch and member",
    ),
    "long scores": ({"scores": np.zeros(3, np.float32)}, ValueError, f"'scores' has shape (3,); expected (2,): {ROOM}"),
    "scores not packed": (
        {"scores": np.zeros(4, np.float32)[::2]},
        ValueError,
        "'scores' is not contiguous; pass numpy.ascontiguousarray(...)",
    ),
    "read-only scores": ({"scores": LOCKED}, ValueError, "'scores' is read-only; pass a writable array"),
    "read-only weights": ({"weights": LOCKED}, ValueError, "'weights' is read-only; pass a writable array"),
    "double scores": ({"scores": RAW.astype(float)}, TypeError, f"'scores' has dtype float64 and shape (2,); {VECTOR}"),
    "shared": ({"weights": RAW}, ValueError, "'weights' shares memory with 'scores'; pass an array of its own"),
    "shared with parameters": (
        {"scores": P[:2]},
        ValueError,
        "'scores' shares memory with 'parameters'; pass an array of its own",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case: str) -> None:
    wrong, kind, message = BAD[case]
    arguments: dict[str, Any] = {
        "parameters": P,
        "reference": IMAGE,
        "distorted": IMAGE,
        "coords": np.array([[0, 0], [10, 20]]),
        "options": {"members": 1, "learned": False},
        "scale": [1.0] * 9,
        "shift": [0.0] * 9,
        "scores": RAW,
        "weights": WEIGHT,
    } | wrong
    positional = [arguments.pop(name) for name in ("parameters", "reference", "distorted", "coords")]
    with pytest.raises(kind) as error:
        _core.score_at("monotone", *positional, **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_documentation_runs() -> None:
    test = doctest.DocTestParser().get_doctest(_core.score_at.__doc__ or "", {}, "doc", None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


# The engine.


@pytest.mark.parametrize("learned", [False, True])
def test_tensors_become_parameters_in_the_cores_order(learned: bool) -> None:
    model = model_of(6, 3, learned, False)
    found = CoreEngine.open(tensors_of(model), spec_of(3, learned), PATH).parameters
    assert found.dtype == np.float32
    assert len(found) == 37 + 3 * (1161 + 28 * learned)
    np.testing.assert_array_equal(found, flat(model, learned))


@pytest.mark.parametrize("learned", [False, True])
def test_tensors_that_do_not_fit_are_refused(learned: bool) -> None:
    tensors, spec = tensors_of(model_of(6, 3, learned, False)), spec_of(3, learned)

    def refused(name: str, changed: dict[str, Array], by: ModelSpec = spec) -> None:
        with pytest.raises(PixqError) as error:
            CoreEngine.open(changed, by, PATH)
        assert str(error.value) == f"{PATH}: does not fit its recipe ({name})"

    for name, tensor in tensors.items():
        refused(name, {key: value for key, value in tensors.items() if key != name})
        refused(name, {**tensors, name: tensor.ravel()[:-1]})
        refused(name, {**tensors, name: tensor[None]})
        refused(name, {**tensors, name: tensor.astype(np.float64)})
    refused("body.more", {**tensors, "body.more": np.zeros(1, np.float32)})
    refused("body.bend_in.bias", tensors, spec_of(4, learned))
    refused("body.weigh_in.bias", tensors, spec_of(3, not learned))


def engines(members: int, learned: bool) -> tuple[CoreEngine, Any]:
    from pixq.scoring.torch_engine import TorchEngine

    model = model_of(7, members, learned, True)
    own = CoreEngine.open(tensors_of(model), spec_of(members, learned), PATH)
    return own, TorchEngine(model, torch.device("cpu"))


@pytest.mark.parametrize("learned", [False, True])
def test_the_engine_says_what_that_of_torch_says(learned: bool) -> None:
    own, other = engines(3, learned)
    pair, corners = draw(4, (90, 110, 3)), Grid(90, 110, 20, 6).corners
    found, expected = (engine.scores_at(*pair, corners, 20, ignore_progress) for engine in (own, other))
    assert [each.dtype for each in found] == [each.dtype for each in expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=CLOSE)
    assert takes(spec_of(3, learned))
    assert not takes(ModelSpec(name="tiny", head="ordinal"))
    with pytest.raises(PixqError, match="no probabilities"):
        own.probabilities(*(image[None, :20, :20] for image in pair))


def test_quality_is_the_score_from_0_to_1() -> None:
    model, pair, corners = model_of(7, 2, False, False), draw(4, (90, 110, 3)), Grid(90, 110, 20, 6).corners
    seen = []
    for top in (-2.0, 0.5, 1.0, 4.0):
        model.body.top.data.fill_(top)
        found = CoreEngine.open(tensors_of(model), spec_of(2, False), PATH).scores_at(
            *pair, corners, 20, ignore_progress
        )
        np.testing.assert_array_equal(found.quality, np.clip(found.score, 0, 1).astype(np.float32))
        seen.append(found.score)
    assert np.min(seen) < 0
    assert np.max(seen) > 1


@pytest.mark.parametrize("shape", [(20, 20), (8, 12)])
def test_batches_of_patches_are_scored_as_where_they_lie(shape: tuple[int, int]) -> None:
    own, other = engines(2, True)
    pair = draw(5, (40, 66, 3))
    height, width = shape
    corners = Grid(40, 66, 20, 11).corners
    batches = [np.stack([image[y : y + height, x : x + width] for y, x in corners.tolist()]) for image in pair]
    found, expected = (engine.scores(*batches) for engine in (own, other))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=CLOSE)
    strided = own.scores(*(np.concatenate([batch, batch])[::-1][len(corners) :][::-1] for batch in batches))
    assert same(found, strided)
    if height == width:
        assert same(found, own.scores_at(*pair, corners, height, ignore_progress))
    nothing = own.scores(*(batch[:0] for batch in batches))
    assert [each.shape for each in nothing] == [(0,)] * 3


def test_blocks_change_nothing_and_are_told() -> None:
    own, _ = engines(1, False)
    pair, corners = draw(6, (200, 200, 3)), Grid(200, 200, 4, 1).corners
    told: list[tuple[int, int]] = []
    found = own.scores_at(*pair, corners, 4, lambda stage, done, total, note="": told.append((done, total)))
    n = len(corners)
    assert n > CORE_BLOCK
    assert told == [(min(at, n), n) for at in range(CORE_BLOCK, n + CORE_BLOCK, CORE_BLOCK)]
    last = own.scores_at(*pair, corners[CORE_BLOCK - 1 :], 4, ignore_progress)
    assert same(tuple(each[CORE_BLOCK - 1 :] for each in found), last)
    assert own.scores_at(*pair, corners[:0], 4, ignore_progress).score.shape == (0,)


def test_the_engine_needs_no_torch() -> None:
    import pixq.scoring.core_engine as module

    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    names = [alias.name for each in ast.walk(tree) if isinstance(each, ast.Import) for alias in each.names]
    assert "torch" not in names
