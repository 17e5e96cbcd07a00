"""Arrays that results are written to share no memory with another argument, in every function that takes one.

Functions are found in the stub, so a new one is tested once it has an example here, and fails until then.
"""

from __future__ import annotations

import ast
import functools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

import pixq
from pixq import _core

Array = NDArray[Any]
Arguments = dict[str, Any]

RNG = np.random.default_rng(15)
SCALING: Arguments = {"scale": np.full(9, 1 / 255, np.float32), "shift": np.zeros(9, np.float32)}
BATCH: Arguments = {name: RNG.integers(0, 256, (3, 8, 9, 3), dtype=np.uint8) for name in ("reference", "distorted")}
IMAGES: Arguments = {name: RNG.integers(0, 256, (21, 30, 3), dtype=np.uint8) for name in ("reference", "distorted")}
COORDS = np.array([[0, 0], [1, 3], [0, 10]])


def floats(count: int) -> NDArray[np.float32]:
    return RNG.normal(0, 0.1, count).astype(np.float32)


def backward(**arguments: Any) -> None:
    tape = _core.TinyTape(norm=True)
    tape.forward(EXAMPLES["TinyTape.forward"][1]["parameters"], **BATCH, **SCALING, out=np.empty(3, np.float32))
    tape.backward(**arguments)


#: Functions and valid arguments by the names of the stub.
EXAMPLES: dict[str, tuple[Callable[..., None], Arguments]] = {
    "tiny_score": (
        _core.tiny_score,
        {"parameters": floats(4417), **BATCH, "norm": True, **SCALING, "out": np.empty(3, np.float32)},
    ),
    "score_at": (
        functools.partial(_core.score_at, "monotone", options={"members": 1, "learned": False}),
        {"parameters": floats(1198), **IMAGES, "coords": COORDS, **SCALING, "scores": floats(3), "weights": floats(3)},
    ),
    "TinyTape.forward": (
        lambda **arguments: _core.TinyTape(norm=True).forward(**arguments),
        {"parameters": floats(4417), **BATCH, **SCALING, "out": floats(3)},
    ),
    "TinyTape.backward": (backward, {"grad_output": floats(3), "gradients": floats(4417)}),
}


@dataclass(frozen=True)
class Function:
    """A function of the stub: which of its arguments are arrays, and which of these it writes to."""

    name: str
    arrays: tuple[str, ...]
    outputs: tuple[str, ...]
    returns_none: bool


def of_stub() -> Iterator[Function]:
    stub = ast.parse((Path(pixq.__file__).parent / "_core.pyi").read_text(encoding="utf-8"))
    for node in stub.body:
        scope = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            if not isinstance(function, ast.FunctionDef):
                continue
            kinds = {
                each.arg: ast.unparse(each.annotation)
                for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
                if each.annotation is not None
            }
            yield Function(
                scope + function.name,
                tuple(name for name, kind in kinds.items() if re.search("NDArray|_Float|_Int|_Image|_Output", kind)),
                tuple(name for name, kind in kinds.items() if kind == "_Output"),
                function.returns is not None and ast.unparse(function.returns) == "None",
            )


FUNCTIONS = {function.name: function for function in of_stub()}
WRITERS = {name: function for name, function in FUNCTIONS.items() if function.outputs}
PAIRS = [
    (name, output, other)
    for name, function in WRITERS.items()
    for output in function.outputs
    for other in (*function.arrays, *function.outputs)
    if other != output
]


def test_the_stub_names_every_output() -> None:
    """A function that takes arrays and returns nothing writes to one; and each has an example above."""
    for function in FUNCTIONS.values():
        if function.returns_none and function.arrays:
            assert function.outputs, f"{function.name}: annotate what it writes to as _Output in the stub"
    assert EXAMPLES.keys() == WRITERS.keys(), "give each function with an _Output an example"
    for name, (_, arguments) in EXAMPLES.items():
        arrays = {key for key, value in arguments.items() if isinstance(value, np.ndarray)}
        assert arrays == {*WRITERS[name].arrays, *WRITERS[name].outputs}


def laid_out(array: Array, memory: Any, offset: int, gap: int, reverse: bool) -> Array:
    """The array's values within a buffer: from `offset` on, with `gap` bytes after each row, upside down."""
    strides: list[int] = []
    step = array.itemsize
    free = array.ndim - 2 if array.ndim > 2 else 0
    for axis in reversed(range(array.ndim)):
        step += gap if axis < free else 0
        strides.insert(0, step)
        step *= array.shape[axis]
    view = np.ndarray(array.shape, array.dtype, memory, offset, tuple(strides))
    view = view[::-1] if reverse and free else view
    view[...] = array
    return view


def size_of(array: Array, gap: int) -> int:
    return array.nbytes + gap * int(np.prod(array.shape[:2])) if array.ndim > 2 else array.nbytes


def run(name: str, arguments: Arguments) -> list[bytes]:
    EXAMPLES[name][0](**arguments)
    return [arguments[output].tobytes() for output in WRITERS[name].outputs]


@pytest.mark.parametrize(("name", "output", "other"), PAIRS)
@settings(max_examples=20)
@given(data=st.data())
def test_views_of_one_buffer(name: str, output: str, other: str, data: st.DataObject) -> None:
    """Views that share memory are refused before anything is written, and others give what separate arrays give."""
    arguments = {
        key: value.copy() if isinstance(value, np.ndarray) else value for key, value in EXAMPLES[name][1].items()
    }
    expected = run(name, arguments)
    gap, reverse = data.draw(st.integers(0, 24), "gap"), data.draw(st.booleans(), "reverse")
    first, second = arguments[other], arguments[output]
    length = size_of(first, gap)
    start = data.draw(st.integers(0, 3), "start") * 8
    # From in front of the other array to behind it, each end included.
    place = data.draw(st.integers(0, (start + length + second.nbytes) // 4), "place") * 4
    memory = np.zeros(start + length + 2 * second.nbytes + 8, np.uint8)
    # The arrays have one base object; or two, which nothing but their addresses relates.
    related = data.draw(st.booleans(), "related")
    buffers = (memory, memory) if related else (memory.data, memory.data[:])
    view = laid_out(second, buffers[1], place, 0, False)
    arguments |= {output: view, other: laid_out(first, buffers[0], start, gap, reverse)}
    (low, high), (begin, end) = byte_bounds(view), byte_bounds(arguments[other])
    if max(low, begin) < min(high, end):
        before = memory.copy()
        with pytest.raises(ValueError, match=f"^'({output}|{other})' shares memory with '({output}|{other})'; pass an"):
            run(name, arguments)
        np.testing.assert_array_equal(memory, before)
    else:
        assert not np.shares_memory(view, arguments[other])
        assert run(name, arguments) == expected
        np.testing.assert_array_equal(
            arguments[other],
            first
            if other not in WRITERS[name].outputs
            else np.frombuffer(expected[WRITERS[name].outputs.index(other)], np.float32),
        )


@pytest.mark.parametrize(("name", "output"), [(name, output) for name in WRITERS for output in WRITERS[name].outputs])
def test_read_only_outputs_are_refused(name: str, output: str) -> None:
    arguments = dict(EXAMPLES[name][1])
    arguments[output] = np.frombuffer(arguments[output].tobytes(), np.float32)
    with pytest.raises(ValueError, match=f"^'{output}' is read-only; pass a writable array$"):
        run(name, arguments)


def test_inputs_may_be_read_only_and_share_memory() -> None:
    """Reading is not a conflict: one array may be both images, and read-only."""
    arguments = dict(EXAMPLES["tiny_score"][1])
    image = np.frombuffer(arguments["reference"].tobytes(), np.uint8).reshape(arguments["reference"].shape)
    run("tiny_score", arguments | {"reference": image, "distorted": image})
    assert np.all(_core.psnr(image, image[:]) == np.inf)


def test_what_another_call_reads_is_not_written_to() -> None:
    """While a call on one thread reads an image, no other call takes a part of it, or of a gap in it, as its output."""
    memory = np.zeros((1200, 4000), np.uint8)
    image = memory[:, :3000].reshape(1200, 1000, 3)
    assert image.base is not None, "a view"
    corners = _core.grid(1200, 1000, stride=4)
    scores, weights = np.empty((2, len(corners)), np.float32)
    arguments = {"reference": image, "distorted": image, "coords": corners, "scores": scores, "weights": weights}
    reader = threading.Thread(target=run, args=("score_at", EXAMPLES["score_at"][1] | arguments), daemon=True)
    outputs = [memory[600, offset : offset + 12].view(np.float32) for offset in (0, 3600)]
    refused: list[str] = []
    reader.start()
    while reader.is_alive() and len(refused) < len(outputs):
        try:
            run("tiny_score", EXAMPLES["tiny_score"][1] | {"out": outputs[len(refused)]})
        except ValueError as error:
            refused.append(str(error))
    reader.join()
    message = "'out' shares memory with an array of a call that has not returned; wait for it or pass a copy"
    assert refused == [message] * 2
    for output in outputs:
        run("tiny_score", EXAMPLES["tiny_score"][1] | {"out": output})
