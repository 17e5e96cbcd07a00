"""Every option that takes a number checks its range before a command begins, and never rounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from cyclopts import App, Token
from cyclopts.argument import Argument

import pixq
from pixq import ranges
from pixq.cli import app, main
from pixq.datasets.buckets import bucket
from pixq.datasets.splits import assign
from pixq.decisions.conformal import divide_groups
from pixq.decisions.cuts import Objective
from pixq.distort import distort, make_triplets, read_references
from pixq.errors import PixqError
from pixq.geometry import Fusion
from pixq.ladders.pjnd import score_quantile
from pixq.ranges import NumberRange, whole
from pixq.scoring.grid import Grid
from pixq.statistics.bootstrap import interval, resample_groups
from pixq.statistics.metrics import reliability
from pixq.study.simulate.observers import Population

#: What no range holds.
WRONG = ("nan", "inf", "-inf", "1e400", "-1" + "0" * 30, "1" + "0" * 30, "x", "", "1,5", "0x1p3")
NOT_WHOLE = ("2.0", "1e3")


def commands(parent: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command with its words on the command line."""
    for name in parent:
        command = parent[name]
        if not name.startswith("-"):
            if command.default_command is None:
                yield from commands(command, (*path, name))
            else:
                yield (*path, name), command


def numbers(command: App) -> list[Argument]:
    """The options of a command that take a number."""
    return [option for option in command.assemble_argument_collection() if re.search("int|float", str(option.hint))]


def needed(command: App, other_than: Argument) -> list[str]:
    """Something for each argument without which a command does not begin."""
    words: list[str] = []
    for argument in command.assemble_argument_collection():
        if argument.required and argument.name != other_than.name:
            # Positional arguments have names in capitals.
            words += [argument.name, "x"] if argument.name.startswith("--") else ["x"]
    return words


@pytest.mark.slow
def test_every_number_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    checked = 0
    for path, command in commands(app):
        for option in numbers(command):
            rest = needed(command, option)
            is_whole = "int" in str(option.hint)
            for text in ("-1" + "0" * 30, "--out", "1.5" if is_whole else "nan"):
                code = main([*path, *rest, option.name, text])
                out, err = capsys.readouterr()
                where = f"{' '.join(path)} {option.name} {text!r}: {err}"
                assert (code, out, err.count("\n")) == (2, "", 1), where
                assert err.startswith(f"pixq: {option.name} is {text[:37]}"), where
                assert re.search(r"; give a (whole )?number (from|above) ", err), where
            for text in (*WRONG, *(NOT_WHOLE if is_whole else ())):
                with pytest.raises(PixqError, match=f"^{option.name} is {text[:37] or 'empty'}"):
                    option.parameter.converter(option.hint, [Token(keyword=option.name, value=text)])
            checked += 1
    assert checked > 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("distort x --out y --levels 1.5", "--levels is '1.5'"),
        ("distort x --out y --levels 1,99", "--levels is '1,99'; give numbers from 1 to 5 separated by commas"),
        ("calibrate x --target y --objective cost --cost 0,1,nan/1,0,1/4,1,0", "the cost matrix is nan; give a number"),
        ("calibrate x --target y --objective cost --cost 0,1,1e300/1,0,1/4,1,0", "the cost matrix is 1e+300; give"),
        ("build-patches --dataset pairs --root x --out y --split nan,0.5,0.5", "--split is nan,0.5,0.5"),
        ("build-patches --dataset pairs --root x --out y --score-range=-1e308,1e308", "--score-range '-1e308,1e308'"),
        ("build-patches --dataset pairs --root x --out y --fusion blend:2", "the alpha of a blend is 2; give a number"),
        ("build-patches --dataset pairs --root x --out y --fusion blend:nan", "the alpha of a blend is nan; give a"),
        ("build-patches --dataset pairs --root x --out y --roi-size 30", "a RoI of 30 pixels can't be centred"),
    ],
)
def test_numbers_inside_texts_are_checked(
    arguments: str, message: str, tmp_path: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    if arguments.startswith("distort"):
        from PIL import Image

        Image.new("RGB", (40, 40)).save("x.png")
        arguments = arguments.replace(" x ", " x.png ")
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_ranges_hold_their_ends() -> None:
    assert [value in whole(1, 3) for value in (0, 1, 3, 4, True, 1.0, np.int64(3), "1", None)] == [
        False, True, True, False, False, False, True, False, False,
    ]  # fmt: skip
    both, low, neither = (NumberRange(0, 1, open_low=a, open_high=b) for a, b in ((0, 0), (1, 0), (1, 1)))
    values = (0, 0.0, 1e-300, np.float32(0.5), 1, 1.5, -0.5, float("nan"), False)
    assert [value in both for value in values] == [True] * 5 + [False] * 4
    assert [value in low for value in values] == [False] * 2 + [True] * 3 + [False] * 4
    assert [value in neither for value in values] == [False] * 2 + [True] * 2 + [False] * 5
    assert [str(limits) for limits in (whole(1, 2), both, low, neither)] == [
        "a whole number from 1 to 2",
        "a number from 0 to 1",
        "a number above 0 and up to 1",
        "a number above 0 and below 1",
    ]


@pytest.mark.parametrize("value", [0, 1025, 2.0, True, None, "4", 10**40])
def test_functions_check_as_commands_do(value: object) -> None:
    with pytest.raises(PixqError, match=r"^--threads is .{1,40}; give a whole number from 1 to 1024$"):
        ranges.THREADS.check(value, "--threads")  # type: ignore[type-var]


NOISE = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
BAD_CALLS: dict[str, Callable[[], object]] = {
    "Fusion": lambda: Fusion("blend", float("nan")),
    "Grid": lambda: Grid(40, 40, 20, 1.5),  # type: ignore[arg-type]
    "Objective": lambda: Objective("cost", ((0, 1, 4), (1, 0, float("inf")), (4, 1, 0))),
    "PatchGeometry": lambda: pixq.PatchGeometry(20.5),  # type: ignore[arg-type]
    "PatchGeometry, RoI": lambda: pixq.PatchGeometry(20, 12.0),  # type: ignore[arg-type]
    "Population": lambda: Population(lapse=float("nan")),
    "Sampling": lambda: pixq.Sampling("grid", 1.5),  # type: ignore[arg-type]
    "Scorer.map": lambda: pixq.load().map(NOISE, NOISE, stride=True),
    "assign": lambda: assign(["a", "b", "c"], folds=1.5),  # type: ignore[arg-type]
    "bucket": lambda: bucket([], max_levels=1.5),  # type: ignore[arg-type]
    "distort": lambda: distort(NOISE, "jpeg", 1.5, 0),  # type: ignore[arg-type]
    "distort, seed": lambda: distort(NOISE, "jpeg", 1, -1),
    "divide_groups": lambda: divide_groups(["a", "b"], share=1.0),
    "folds": lambda: pixq.BuildSettings(folds=0),
    "interval": lambda: interval([1.0], level=float("nan")),
    "make_triplets": lambda: make_triplets(NOISE, 1.5, 0),  # type: ignore[arg-type]
    "ratio": lambda: pixq.BuildSettings(ratio=(0.5, 0.5, 0.5)),
    "read_references": lambda: read_references([], max_pixels=-1),
    "reliability": lambda: reliability([[1.0, 0.0, 0.0]], [0], bins=0),
    "resample_groups": lambda: resample_groups(["a"], count=10**9),
    "resample_groups, seed": lambda: resample_groups(["a"], seed=-1),
    "score_quantile": lambda: score_quantile([0.5], float("nan")),
    "seed": lambda: pixq.BuildSettings(seed=2**64),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_functions_name_what_is_out_of_range(name: str) -> None:
    with pytest.raises(PixqError) as caught:
        BAD_CALLS[name]()
    assert "; " in str(caught.value)
