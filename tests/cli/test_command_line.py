"""The command line explains itself, and a mistyped command is one line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import pixq
from pixq.cli import app

VERBS = (
    "datasets", "inspect", "build-patches", "verify", "show", "train", "adapt", "calibrate", "evaluate", "predict",
    "pjnd", "critical", "serve", "study", "report", "compare", "export", "distort", "demo",
)  # fmt: skip


def test_help_lists_every_verb_with_what_it_does() -> None:
    done = subprocess.run([sys.executable, "-m", "pixq", "--help"], capture_output=True, text=True, check=True)
    for verb in VERBS:
        assert re.search(rf"^\W*{verb} {{2,}}\w+ \w+", done.stdout, re.MULTILINE), f"{verb} is not explained"


def test_help_imports_no_verb() -> None:
    loaded = (
        "[name for name in sys.modules if name.startswith('pixq.cli.') and name[9:] not in ('console', 'messages')]"
    )
    code = f"import sys; from pixq.cli import main; main(['--help']); print('|', *{loaded})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.rpartition("|")[2].split() == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    app([verb, "--help"], exit_on_error=False)
    assert f"pixq {verb}" in capsys.readouterr().out


def test_version_is_printed() -> None:
    done = subprocess.run([sys.executable, "-m", "pixq", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == pixq.__version__


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["no-such-verb"], ["demo", "--no-such-option"], ["demo", "--out"]])
def test_a_mistyped_command_is_one_line_and_code_2(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pixq", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("pixq: ")
    assert done.stderr.count("\n") == 1
