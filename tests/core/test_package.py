"""What is shipped: versions, licences, types, and a light import."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import pixq
from pixq import _core

ROOT = Path(__file__).parents[2]


def toml(name: str) -> dict[str, object]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_all_say_the_same_version() -> None:
    version = pixq.__version__
    assert _core.__version__ == version
    assert toml("pyproject.toml")["project"]["version"] == version  # type: ignore[index]
    assert toml("Cargo.toml")["workspace"]["package"]["version"] == version  # type: ignore[index]
    locked = {p["name"]: p["version"] for p in toml("Cargo.lock")["package"]}  # type: ignore[attr-defined, index]
    assert locked["pixq-core"] == locked["pixq-py"] == version
    changes = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert version in changes


def test_what_is_installed_is_this_version() -> None:
    try:
        installed = importlib.metadata.version("pixq")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pixq is on PYTHONPATH and not installed; `make build` installs it")
    assert installed == pixq.__version__


def test_the_module_is_optimised() -> None:
    assert _core.DEBUG_BUILD is False


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "_core.pyi",
        "default/model.safetensors",
        "http/assets/flicker.js",
        "http/assets/icon.svg",
        "http/assets/page.css",
        "io/formula_characters.json",
        "runs/recipes/seed.toml",
        "runs/recipes/strong.toml",
        "serve/page/index.html",
        "study/admin/index.html",
        "study/constants.json",
        "study/design/default_survey.toml",
    ],
)
def test_files_that_are_read_at_run_time_are_shipped(name: str) -> None:
    assert files("pixq").joinpath(name).is_file()


def test_both_licences_are_whole_and_shipped() -> None:
    mit = (ROOT / "LICENSE-MIT").read_text(encoding="utf-8")
    apache = (ROOT / "LICENSE-APACHE").read_text(encoding="utf-8")
    assert mit.startswith("MIT License")
    assert mit.rstrip().endswith("SOFTWARE.")
    assert "Version 2.0, January 2004" in apache
    assert "END OF TERMS AND CONDITIONS" in apache
    project = toml("pyproject.toml")["project"]
    assert project["license"] == "MIT OR Apache-2.0"  # type: ignore[index]
    assert project["license-files"] == ["LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-NOTICES.txt"]  # type: ignore[index]
    assert toml("Cargo.toml")["workspace"]["package"]["license"] == "MIT OR Apache-2.0"  # type: ignore[index]


@pytest.mark.parametrize("module", ["pixq", "pixq.cli", "pixq.distort", "pixq.distort.demo"])
def test_import_is_light(module: str) -> None:
    heavy = ("torch", "matplotlib", "PIL", "scipy", "skimage", "pyarrow", "pandas", "sklearn", "ray")
    assert python(f"import sys, {module}; print(*sorted(set({heavy!r}) & set(sys.modules)))").split() == []


def test_import_starts_no_thread() -> None:
    tasks = "len(os.listdir('/proc/self/task'))"
    code = f"import os, numpy; before = {tasks}; import pixq; print({tasks} - before)"
    if not Path("/proc/self/task").is_dir():
        pytest.skip("no /proc here to count threads in")
    assert python(code).split() == ["0"]
