"""A level that is better than both its neighbours: its file may have a wrong name."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from pixq.ladders.difference import out_of_order
from pixq.study.design.check import check_study
from support.ladders import Shell, write_ladder
from support.studies import entry, tables, write_study


@pytest.mark.parametrize("count", [4, 6, 11, 16, 21, 100])
def test_two_levels_that_changed_places_are_found(count: int) -> None:
    levels = np.linspace(1, 0, count)
    assert out_of_order(levels.tolist()) == []
    for place in range(1, count - 2):
        changed = levels.copy()
        changed[[place, place + 1]] = changed[[place + 1, place]]
        assert out_of_order(changed.tolist()) == [place + 1]
        # A level that is the reference.
        changed[place] = math.inf
        assert place in out_of_order(changed.tolist())


def test_noise_is_not_reported() -> None:
    rng = np.random.default_rng(1)
    found = sum(
        len(out_of_order((np.linspace(1, 0, 100) + noise * rng.standard_normal(100)).tolist()))
        for noise in (0.001, 0.01, 0.05)
        for _ in range(20)
    )
    # Of 6,000 levels, of which a third or so are better than both neighbours where the noise is large.
    assert found <= 10
    for values in ([], [1.0], [math.inf, math.inf], [0.5, 0.5, 0.5], [0.1, 0.5, 0.9]):
        assert out_of_order(values) == []


@pytest.mark.parametrize("command", ["pjnd", "critical"])
def test_commands_name_the_file(command: str, tmp_path: Path, shell: Shell) -> None:
    reference = write_ladder(tmp_path, "photo", 3)
    first, second, other = (tmp_path / f"photo_{name}.png" for name in (1, 2, "other"))
    shell(command, reference, tmp_path)
    assert "neighbours" not in shell.warnings
    first.rename(other)
    second.rename(first)
    other.rename(second)
    shell(command, reference, tmp_path)
    expected = f"{second}: level 2 looks better than both its neighbours; check that the file has the right name"
    assert expected in shell.warnings


def test_calibrate_names_the_file(truths: Path, bare: Path, tmp_path: Path, shell: Shell) -> None:
    folder = tmp_path / "truths"
    shutil.copytree(truths, folder)
    first, second = (folder / "images" / f"first_NOISE_{101 - level:03d}.png" for level in (1, 2))
    pixels = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(pixels)
    shell("calibrate", bare, "--ladders", folder, "--stride", 20)
    assert f"warning: {second}: level 2 looks better than both its neighbours" in shell.warnings
    assert shell.warnings.count("neighbours") == 1


def test_study_check_names_the_file(tmp_path: Path) -> None:
    value = tables(source=[entry("S0")], training=[], test=[], quota={"tests": 0})
    path = write_study(tmp_path, value, levels=range(1, 101, 11))
    wrong = [line for line in check_study(path).warnings if "right name" in line]
    assert wrong == []
    first, second = (tmp_path / "images" / f"S0_JPEG_{number:03d}.png" for number in (67, 56))
    pixels = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(pixels)
    (line,) = [line for line in check_study(path).warnings if "right name" in line]
    assert line.startswith(f"{second}: is level 45 of S0, but differs less from the reference than")
