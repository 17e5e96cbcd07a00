"""TinyPatchRegressor in the core against the torch network in float64: scores, gradients, messages, threads."""

from __future__ import annotations

import doctest
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixq import _core
from support.oracles import Array

torch: Any = pytest.importorskip("torch")

COUNTS = {True: 4417, False: 4321}


class Gate(torch.autograd.Function):  # type: ignore[misc]
    """ReLU whose gradient passes where the input is above a threshold that may differ from 0."""

    @staticmethod
    def forward(ctx: Any, x: Any, threshold: float) -> Any:
        """The values."""
        ctx.save_for_backward(x > threshold)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradient."""
        return grads[0] * ctx.saved_tensors[0], None


class Oracle(torch.nn.Module):  # type: ignore[misc]
    """The network as the report has it, of torch's layers."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        nn = torch.nn
        self.conv1 = nn.Conv2d(9, 32, 3)
        self.norm1 = nn.GroupNorm(8, 32) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(32, 16, 1)
        self.norm2 = nn.GroupNorm(4, 16) if norm else nn.Identity()
        self.conv3 = nn.Conv2d(16, 8, 3)
        self.linear = nn.Linear(8, 1)

    def forward(self, x: Any, threshold: float = 0.0) -> Any:
        """The scores of (n, 9, height, width)."""
        x = Gate.apply(self.norm1(self.conv1(x)), threshold)
        x = Gate.apply(self.norm2(self.conv2(x)), threshold)
        return self.linear(Gate.apply(self.conv3(x), threshold).mean((2, 3)))[:, 0]


def network(seed: int, norm: bool) -> Any:
    """A network whose parameters are all of some weight, those that torch sets to 0 or 1 included."""
    model = Oracle(norm).double()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = rng.uniform(-1, 1, parameter.shape)
            if name.startswith("norm"):
                drawn = drawn * 0.5 + name.endswith("weight")
            elif name.startswith("conv1"):
                drawn = drawn * 0.3
            else:
                drawn = drawn * 0.5
            parameter.copy_(torch.from_numpy(drawn.astype(np.float32)))
    return model


def flat(model: Any) -> Array:
    """The parameters, one after the other."""
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()]).astype(np.float32)


def inputs(reference: Array, distorted: Array, scale: Array, shift: Array) -> Any:
    """What the network takes, in float64."""
    r, d = (image.astype(np.float64) for image in (reference, distorted))
    stack = np.concatenate([r, d, np.abs(r - d)], axis=-1) * scale.astype(np.float64) + shift.astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(stack, -1, 1)))


def gradients(model: Any, x: Any, grad_output: Array, threshold: float) -> list[Array]:
    """The gradient by each parameter."""
    model.zero_grad()
    model(x, threshold).backward(torch.from_numpy(grad_output.astype(np.float64)))
    return [parameter.grad.numpy().ravel() for parameter in model.parameters()]


def run(norm: bool, parameters: Array, pair: list[Array], scale: Any, shift: Any, grad: Array) -> tuple[Array, Array]:
    """Scores and gradient by the core."""
    out, gradient = np.full(len(grad), np.nan, np.float32), np.full(COUNTS[norm], np.nan, np.float32)
    tape = _core.TinyTape(norm=norm)
    tape.forward(parameters, *pair, scale=scale, shift=shift, out=out)
    tape.backward(grad, gradient)
    again = np.full_like(out, np.nan)
    _core.tiny_score(parameters, *pair, norm=norm, scale=scale, shift=shift, out=again)
    assert np.array_equal(out, again)
    return out, gradient


def check(norm: bool, seed: int, pair: list[Array]) -> None:
    """Compare scores and gradients with the oracle's."""
    rng = np.random.default_rng(seed)
    scale = (rng.uniform(0.5, 2, 9) / 128).astype(np.float32)
    shift = rng.uniform(-1.5, 0.5, 9).astype(np.float32)
    grad = rng.uniform(-1, 1, len(pair[0])).astype(np.float32)
    model = network(seed, norm)
    found, gradient = run(norm, flat(model), pair, scale, shift, grad)
    x = inputs(pair[0], pair[1], scale, shift)
    with torch.no_grad():
        expected = model(x).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)
    if not len(grad):
        assert not gradient.any()
        return
    # A number so near 0 that rounding decides whether a ReLU passes it: either gradient is right.
    many, few = (gradients(model, x, grad, threshold) for threshold in (-1e-5, 1e-5))
    start = 0
    for (name, _), a, b in zip(model.named_parameters(), many, few, strict=True):
        part, start = gradient[start : start + a.size], start + a.size
        tolerance = 5e-5 * np.abs(a).max() + 1e-6
        low, high = (
            np.minimum(a, b) - np.abs(a - b).max() - tolerance,
            np.maximum(a, b) + np.abs(a - b).max() + tolerance,
        )
        assert (low <= part).all(), name
        assert (part <= high).all(), name
    assert start == COUNTS[norm] == gradient.size


def draw(seed: int, shape: tuple[int, ...]) -> list[Array]:
    """A pair of pictures that differ by noise, as patches do."""
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, shape)
    distorted = np.clip(reference + rng.normal(0, 20, shape), 0, 255)
    return [reference.astype(np.uint8), distorted.astype(np.uint8)]


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("n", [0, 1, 17])
@pytest.mark.parametrize("size", [(5, 5), (20, 20), (7, 31)])
def test_scores_and_gradients_are_torchs(norm: bool, n: int, size: tuple[int, int]) -> None:
    check(norm, 10 * n + size[0], draw(n, (n, *size, 3)))


@given(
    norm=st.booleans(),
    n=st.integers(1, 4),
    height=st.integers(5, 30),
    width=st.integers(5, 40),
    seed=st.integers(0, 999),
)
@settings(max_examples=40)
def test_any_size(norm: bool, n: int, height: int, width: int, seed: int) -> None:
    check(norm, seed, draw(seed, (n, height, width, 3)))


@pytest.mark.parametrize("norm", [True, False])
def test_flat_and_identical_patches(norm: bool) -> None:
    noise = draw(3, (3, 20, 20, 3))[0]
    for level in (0, 128, 255):
        noise[0] = level
        check(norm, level, [noise, noise])


@pytest.mark.parametrize("norm", [True, False])
def test_patches_may_be_strided(norm: bool) -> None:
    wide = draw(4, (5, 22, 25, 3))
    cut = [image[::-2, 20:0:-1, 2:22] for image in wide]
    parameters, grad = flat(network(1, norm)), np.ones(3, np.float32)
    ones, zeros = [1 / 64] * 9, (0.0,) * 9
    packed = [np.ascontiguousarray(image) for image in cut]
    for a, b in zip(*(run(norm, parameters, pair, ones, zeros, grad) for pair in (cut, packed)), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("norm", [True, False])
def test_the_number_of_threads_changes_no_bit(norm: bool) -> None:
    pair, parameters = draw(5, (50, 20, 20, 3)), flat(network(2, norm))
    grad = np.linspace(-1, 1, 50, dtype=np.float32)
    seen = []
    for threads in (1, 2, 3):
        _core.set_num_threads(threads)
        seen.append([found.tobytes() for found in run(norm, parameters, pair, [0.01] * 9, [-1] * 9, grad)])
    assert seen[0] == seen[1] == seen[2]


def test_a_tape_is_used_again_and_again() -> None:
    parameters = flat(network(3, True))
    tape = _core.TinyTape(norm=True)
    for shape in ((17, 20, 20, 3), (1, 40, 10, 3), (2, 10, 40, 3), (17, 20, 20, 3)):
        pair, grad = draw(6, shape), np.linspace(0, 1, shape[0], dtype=np.float32)
        out, gradient = np.empty(shape[0], np.float32), np.empty(4417, np.float32)
        tape.forward(parameters, *pair, scale=[0.01] * 9, shift=[0] * 9, out=out)
        expected = run(True, parameters, pair, [0.01] * 9, [0] * 9, grad)
        for image in pair:
            image[:] = 0  # the tape keeps none of its inputs
        for _ in range(2):
            gradient[:] = np.nan
            tape.backward(grad, gradient)
            assert np.array_equal(gradient, expected[1])
        assert np.array_equal(out, expected[0])


P, PAIR, OUT = np.zeros(4417, np.float32), np.zeros((2, 20, 20, 3), np.uint8), np.zeros(2, np.float32)
LOCKED = np.zeros(2, np.float32)
LOCKED.flags.writeable = False
NINE = "expected nine numbers: three each for reference, distorted and difference"
SHAPE = "expected (n, height, width, 3), at least 5x5"
BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "list": (
        {"parameters": [0.0]},
        TypeError,
        "'parameters' is a list; expected a numpy array, a float32 array of shape (n,)",
    ),
    "float64": (
        {"parameters": P.astype(float)},
        TypeError,
        "'parameters' has dtype float64 and shape (4417,); expected a float32 array of shape (n,)",
    ),
    "matrix": (
        {"parameters": P[None]},
        TypeError,
        "'parameters' has dtype float32 and shape (1, 4417); expected a float32 array of shape (n,)",
    ),
    "too few": (
        {"parameters": P[:4321]},
        ValueError,
        "'parameters' has shape (4321,); expected (4417,): the parameters of a network with norm",
    ),
    "not packed": (
        {"parameters": np.zeros(8834, np.float32)[::2]},
        ValueError,
        "'parameters' is not contiguous; pass numpy.ascontiguousarray(...)",
    ),
    "float images": (
        {"reference": PAIR / 1},
        TypeError,
        "'reference' has dtype float64; expected uint8, uint16 or float32",
    ),
    "16 bits": (
        {"reference": PAIR.astype(np.uint16), "distorted": PAIR.astype(np.uint16)},
        TypeError,
        "'reference' has dtype uint16; expected uint8",
    ),
    "shapes": (
        {"distorted": PAIR[:1]},
        ValueError,
        "'distorted' has shape (1, 20, 20, 3) but 'reference' has (2, 20, 20, 3); make them the same",
    ),
    "one image": (
        {"reference": PAIR[0], "distorted": PAIR[0]},
        ValueError,
        f"'reference' has shape (20, 20, 3); {SHAPE}",
    ),
    "grey": (
        {"reference": PAIR[..., :1], "distorted": PAIR[..., :1]},
        ValueError,
        f"'reference' has shape (2, 20, 20, 1); {SHAPE}",
    ),
    "small": (
        {"reference": PAIR[:, :4], "distorted": PAIR[:, :4]},
        ValueError,
        f"'reference' has shape (2, 4, 20, 3); {SHAPE}",
    ),
    "narrow": (
        {"reference": PAIR[:, :, :4], "distorted": PAIR[:, :, :4]},
        ValueError,
        f"'reference' has shape (2, 20, 4, 3); {SHAPE}",
    ),
    "every other column": (
        {"reference": PAIR[:, :, ::2], "distorted": PAIR[:, :, ::2]},
        ValueError,
        "'reference' has pixels that are not contiguous within rows; pass numpy.ascontiguousarray(...)",
    ),
    "eight numbers": ({"scale": [1.0] * 8}, ValueError, f"'scale' has length 8; {NINE}"),
    "a number": ({"shift": 1.0}, TypeError, f"'shift' is a float; {NINE}"),
    "words": ({"shift": ["a"] * 9}, TypeError, f"'shift' is a list; {NINE}"),
    "short out": ({"out": OUT[:1]}, ValueError, "'out' has shape (1,); expected (2,): one score per pair"),
    "read-only out": ({"out": LOCKED}, ValueError, "'out' is read-only; pass a writable array"),
    "double out": (
        {"out": OUT.astype(float)},
        TypeError,
        "'out' has dtype float64 and shape (2,); expected a float32 array of shape (n,)",
    ),
    "shared": (
        {"out": P[:2]},
        ValueError,
        "'out' shares memory with 'parameters'; pass an array of its own, such as numpy.empty(...)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_messages(case: str) -> None:
    wrong, kind, message = BAD[case]
    arguments: dict[str, Any] = {
        "parameters": P,
        "reference": PAIR,
        "distorted": PAIR,
        "scale": [1.0] * 9,
        "shift": [0.0] * 9,
        "out": OUT,
    } | wrong
    positional = [arguments.pop(name) for name in ("parameters", "reference", "distorted")]
    for call in (_core.TinyTape(norm=True).forward, lambda *a, **k: _core.tiny_score(*a, norm=True, **k)):
        with pytest.raises(kind) as error:
            call(*positional, **arguments)
        assert str(error.value) == message


def test_messages_of_backward() -> None:
    tape = _core.TinyTape(norm=False)
    with pytest.raises(ValueError, match=r"^'grad_output' has shape \(2,\); expected \(0,\): one number per pair of"):
        tape.backward(OUT, P[:4321])
    tape.forward(P[:4321], PAIR, PAIR, scale=[1.0] * 9, shift=[0.0] * 9, out=OUT)
    with pytest.raises(
        ValueError, match=r"^'gradients' has shape \(4417,\); expected \(4321,\): the parameters of a network w"
    ):
        tape.backward(OUT, P)
    with pytest.raises(TypeError, match=r"^'grad_output' has dtype float64 and shape"):
        tape.backward(OUT.astype(float), P[:4321])


def test_what_does_not_fit_memory_is_refused() -> None:
    tall = np.broadcast_to(np.zeros((1, 1, 100_000, 3), np.uint8), (1, 2**31 - 1, 100_000, 3))
    with pytest.raises(MemoryError, match="do not fit in memory"):
        _core.tiny_score(P, tall, tall, norm=True, scale=[1.0] * 9, shift=[0.0] * 9, out=OUT[:1])


@pytest.mark.slow
def test_other_threads_run_meanwhile() -> None:
    many = np.zeros((2000, 20, 20, 3), np.uint8)
    out, inside, seen = np.empty(2000, np.float32), threading.Event(), []
    tape = _core.TinyTape(norm=True)

    def work() -> None:
        inside.set()
        for _ in range(5):
            tape.forward(P, many, many, scale=[1.0] * 9, shift=[0.0] * 9, out=out)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    while thread.is_alive():
        try:
            tape.backward(OUT[:0], P)
        except RuntimeError as error:
            seen.append(str(error))
        except ValueError:
            pass
    thread.join()
    assert "Already mutably borrowed" in seen


@pytest.mark.parametrize("name", ["TinyTape", "tiny_score"])
def test_documentation_runs(name: str) -> None:
    thing = getattr(_core, name)
    test = doctest.DocTestParser().get_doctest(thing.__doc__, {}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
